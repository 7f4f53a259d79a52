"""Endpoints from DNS: a real dnsmasq, and a scripted server for what dnsmasq would never say."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import dns.nameserver
import pytest
from dnsmasq import Dnsmasq
from scripted_dns import scripted_dns

from proxy.config.upstreams import DnsDiscovery, SrvDiscovery
from proxy.control.discovery import dns as module
from proxy.control.discovery.dns import MAX_REFRESH_SECONDS, DnsSource, SrvSource, _refresh
from proxy.control.names import Names


def a_source(server: str | None, name: str = "orders.test", refresh: str = "100ms", port: int = 80) -> DnsSource:
    return DnsSource(DnsDiscovery(name=name, port=port, server=server, min_refresh=refresh), Names())


def srv_source(server: str, name: str = "_http._tcp.orders.test", refresh: str = "100ms") -> SrvSource:
    return SrvSource(SrvDiscovery(name=name, server=server, min_refresh=refresh), Names())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERY_SECONDS", 0.6)
    monkeypatch.setattr(module, "SERVER_SECONDS", 0.2)


# -- A and AAAA -------------------------------------------------------------------------------------------------------


async def test_all_addresses_of_both_families_are_endpoints(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("host-record=orders.test,10.0.0.1,fd00::1", "host-record=orders.test,10.0.0.2")
    async with watching(a_source(dnsmasq.address, port=8080)) as answers:
        assert await answers.next() == {
            "http://10.0.0.1:8080": 1, "http://10.0.0.2:8080": 1, "http://[fd00::1]:8080": 1,
        }  # fmt: skip
    assert sorted(dnsmasq.queries) == ["A orders.test", "AAAA orders.test"]


async def test_a_change_is_found_when_the_ttl_has_passed(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("host-record=orders.test,10.0.0.1", ttl=1)
    async with watching(a_source(dnsmasq.address)) as answers:
        begun = time.monotonic()
        assert await answers.next() == {"http://10.0.0.1:80": 1}
        dnsmasq.start("host-record=orders.test,10.0.0.2", ttl=1)
        await answers.until("http://10.0.0.2:80")
        assert time.monotonic() - begun > 0.9


async def test_records_are_not_asked_for_again_before_their_ttl(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("host-record=orders.test,10.0.0.1", ttl=600)
    async with watching(a_source(dnsmasq.address)) as answers:
        await answers.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # five times min_refresh
                await answers.next()
    assert dnsmasq.queries.count("A orders.test") == 1


async def test_the_shortest_ttl_of_a_chain_of_aliases_counts(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("cname=orders.test,real.test,1", "host-record=real.test,10.0.0.1,600", ttl=600)
    async with watching(a_source(dnsmasq.address)) as answers, asyncio.timeout(15):
        assert await answers.next() == await answers.next() == {"http://10.0.0.1:80": 1}


async def test_a_ttl_of_nought_waits_for_the_least_refresh(watching: Any) -> None:
    async with scripted_dns() as server:
        server.ttl = 0
        server.says = {"A orders.test": ["10.0.0.1"]}
        async with watching(a_source(server.address)) as answers:  # AAAA: no such name
            assert await answers.next() == {"http://10.0.0.1:80": 1}
            server.says = {"A orders.test": ["10.0.0.2"]}
            assert await answers.next() == {"http://10.0.0.2:80": 1}


@pytest.mark.parametrize(
    ("ttl", "least", "waits"), [(30, 5, 30), (1, 5, 5), (0, 0.1, 0.1), (-3, 5, 5), (86400, 5, MAX_REFRESH_SECONDS)]
)
def test_how_long_an_answer_holds(ttl: float, least: float, waits: float) -> None:
    assert _refresh(ttl, least) == waits


def test_a_longer_least_refresh_than_the_bound_holds() -> None:
    assert _refresh(10, 900) == 900


async def test_an_answer_that_does_not_fit_into_a_packet_comes_over_tcp(dnsmasq: Dnsmasq, watching: Any) -> None:
    addresses = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(300)]
    dnsmasq.start(*(f"host-record=orders.test,{address}" for address in addresses))
    async with watching(a_source(dnsmasq.address)) as answers:
        assert (await answers.next()).keys() == {f"http://{address}:80" for address in addresses}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("host-record=other.test,10.0.0.1", "there is no name orders.test"),
        ("txt-record=orders.test,x", "orders.test has neither A nor AAAA records"),
    ],
)
async def test_no_records_are_a_lost_answer_and_not_an_empty_one(
    dnsmasq: Dnsmasq, watching: Any, record: str, why: str
) -> None:
    dnsmasq.start(record)
    async with watching(a_source(dnsmasq.address)) as answers:
        assert why in await answers.lost()


async def test_a_server_that_is_gone_is_a_loss_with_a_sentence(
    dnsmasq: Dnsmasq, watching: Any, impatient: None
) -> None:
    dnsmasq.start("host-record=orders.test,10.0.0.1", ttl=0)
    async with watching(a_source(dnsmasq.address)) as answers:
        await answers.next()
        dnsmasq.stop()
        assert (await answers.lost()).startswith("orders.test: the name server did not answer within")


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
async def test_a_server_that_fails_is_a_loss(watching: Any, rcode: str, impatient: None) -> None:
    async with scripted_dns() as server:
        server.says = {"A orders.test": rcode, "AAAA orders.test": rcode}
        async with watching(a_source(server.address)) as answers:
            assert (await answers.lost()).startswith("orders.test: ")


async def test_garbage_is_a_loss(watching: Any, impatient: None) -> None:
    async with scripted_dns() as server:
        server.says = {"A orders.test": b"\xff" * 40, "AAAA orders.test": b""}
        async with watching(a_source(server.address)) as answers:
            assert await answers.lost()


async def test_a_family_that_cannot_be_asked_keeps_its_addresses_while_the_other_answers(
    watching: Any, impatient: None
) -> None:
    async with scripted_dns() as server:
        server.ttl = 0
        server.says = {"A orders.test": ["10.0.0.1"], "AAAA orders.test": ["fd00::1"]}
        async with watching(a_source(server.address)) as answers:
            await answers.until("http://10.0.0.1:80", "http://[fd00::1]:80")
            server.says = {"A orders.test": ["10.0.0.2"], "AAAA orders.test": "SERVFAIL"}
            await answers.until("http://10.0.0.2:80", "http://[fd00::1]:80")
            server.says = {"A orders.test": ["10.0.0.2"], "AAAA orders.test": []}  # it says: there are none
            await answers.until("http://10.0.0.2:80")
            server.says = {"A orders.test": ["10.0.0.2"], "AAAA orders.test": "SERVFAIL"}
            assert await answers.next() == {"http://10.0.0.2:80": 1}


# -- the system's names -----------------------------------------------------------------------------------------------


async def test_a_name_of_the_hosts_file_needs_no_name_server(
    watching: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESOLV_CONF", str(tmp_path / "absent"))
    async with watching(a_source(None, "localhost", port=9001)) as answers:
        assert "http://127.0.0.1:9001" in await answers.next()


async def test_an_address_is_its_own_name(watching: Any) -> None:
    async with watching(a_source(None, "127.0.0.9")) as answers:
        assert await answers.next() == {"http://127.0.0.9:80": 1}


async def test_what_dns_does_not_know_the_system_may(
    watching: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 other # localhost\n")
    (tmp_path / "resolv.conf").write_text("# none\n")
    monkeypatch.setattr(module, "HOSTS", tmp_path / "hosts")
    monkeypatch.setattr(module, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    async with watching(a_source(None, "localhost")) as answers:
        assert "http://127.0.0.1:80" in await answers.next()
    async with watching(a_source(None, "no-such-name.invalid")) as answers:
        assert "there is no name server" in await answers.lost()


async def test_the_systems_server_and_search_list_are_used(
    dnsmasq: Dnsmasq, watching: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dnsmasq.start("host-record=orders.shop.test,10.0.0.7")
    (tmp_path / "resolv.conf").write_text("search shop.test\noptions ndots:2\nnameserver 127.0.0.1\n")
    monkeypatch.setattr(module, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    # resolv.conf knows no port, and ours is not 53
    port = dnsmasq.port
    monkeypatch.setattr(dns.nameserver.Do53Nameserver, "__init__", lambda self, address, _: _on(self, address, port))
    async with watching(a_source(None, "orders")) as answers:
        assert await answers.next() == {"http://10.0.0.7:80": 1}


def _on(server: Any, address: str, port: int) -> None:
    server.address, server.port = address, port


async def test_a_name_server_with_a_name_is_looked_up(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("host-record=orders.test,10.0.0.1")
    async with watching(a_source(f"localhost:{dnsmasq.port}")) as answers:
        assert await answers.next() == {"http://10.0.0.1:80": 1}
    async with watching(a_source("no-such-server.invalid:53")) as answers:
        assert "the name server no-such-server.invalid:53" in await answers.lost()


# -- SRV --------------------------------------------------------------------------------------------------------------


async def test_srv_records_of_the_lowest_priority_are_endpoints_with_their_weights(
    dnsmasq: Dnsmasq, watching: Any
) -> None:
    dnsmasq.start(
        "srv-host=_http._tcp.orders.test,one.test,8001,10,3",
        "srv-host=_http._tcp.orders.test,two.test,8002,10,1",
        "srv-host=_http._tcp.orders.test,spare.test,8003,20,100",
        "host-record=one.test,10.0.0.1,fd00::1",
        "host-record=two.test,fd00::2",
        "host-record=spare.test,10.0.0.3",
    )
    async with watching(srv_source(dnsmasq.address)) as answers:
        # of a target with both families the IPv4 address: both would be one machine twice
        assert await answers.next() == {"http://10.0.0.1:8001": 3, "http://[fd00::2]:8002": 1}
    assert "A spare.test" not in dnsmasq.queries


async def test_an_srv_weight_of_nought_is_a_very_small_share(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start(
        "srv-host=_http._tcp.orders.test,one.test,8001,1,0",
        "srv-host=_http._tcp.orders.test,one.test,8002,1,65535",
        "srv-host=_http._tcp.orders.test,one.test,8003,1,32768",
        "host-record=one.test,10.0.0.1",
    )
    async with watching(srv_source(dnsmasq.address)) as answers:
        assert await answers.next() == {
            "http://10.0.0.1:8001": 1, "http://10.0.0.1:8002": 1000, "http://10.0.0.1:8003": 500,
        }  # fmt: skip


async def test_the_target_that_means_nobody_is_an_empty_answer(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("srv-host=_http._tcp.orders.test")
    async with watching(srv_source(dnsmasq.address)) as answers:
        assert await answers.next() == {}


async def test_a_target_that_cannot_be_looked_up_keeps_its_addresses(watching: Any, impatient: None) -> None:
    async with scripted_dns() as server:
        server.ttl = 0
        server.says = {
            "SRV _http._tcp.orders.test": ["1 1 8001 one.test.", "1 1 8002 two.test."],
            "A one.test": ["10.0.0.1"],
        }
        async with watching(srv_source(server.address)) as answers:
            assert await answers.next() == {"http://10.0.0.1:8001": 1}  # two.test was never known
            server.says["A two.test"] = ["10.0.0.2"]
            await answers.until("http://10.0.0.1:8001", "http://10.0.0.2:8002")
            server.says |= {"A two.test": "SERVFAIL", "AAAA two.test": "SERVFAIL", "A one.test": ["10.0.0.9"]}
            await answers.until("http://10.0.0.9:8001", "http://10.0.0.2:8002")
            server.says |= {"A one.test": "SERVFAIL", "AAAA one.test": "SERVFAIL"}
            assert (await answers.lost()).startswith(("one.test: ", "two.test: "))


async def test_no_srv_records_are_a_lost_answer(dnsmasq: Dnsmasq, watching: Any) -> None:
    dnsmasq.start("host-record=one.test,10.0.0.1")
    async with watching(srv_source(dnsmasq.address)) as answers:
        assert "there is no name _http._tcp.orders.test" in await answers.lost()
