"""Endpoints from EndpointSlices: what a source tells of them, whom it asks, and as whom."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from scripted_api import Api, a_slice, a_source, endpoint, serving

# -- what is told -----------------------------------------------------------------------------------------------------


async def test_slices_are_merged_and_ready_endpoints_taken(api: Api, watching: Any) -> None:
    api.slices = [
        a_slice("a", endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=False), endpoint("10.0.0.3")),
        a_slice("b", endpoint("10.0.0.4", ready=None), endpoint("10.0.0.1", ready=True)),
        a_slice("c"),
    ]
    async with watching(a_source(api)) as answers:
        assert await answers.next() == {
            "http://10.0.0.1:8080": 1, "http://10.0.0.3:8080": 1, "http://10.0.0.4:8080": 1,
        }  # fmt: skip


async def test_events_change_the_slices_that_they_name(api: Api, watching: Any) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1")), a_slice("b", endpoint("10.0.0.2"))]
    async with watching(a_source(api)) as answers:
        await answers.until("http://10.0.0.1:8080", "http://10.0.0.2:8080")
        await answers.next()  # the watch has begun
        api.say("ADDED", a_slice("c", endpoint("10.0.0.3")))
        await answers.until("http://10.0.0.1:8080", "http://10.0.0.2:8080", "http://10.0.0.3:8080")
        api.say("MODIFIED", a_slice("b", endpoint("10.0.0.9")))
        await answers.until("http://10.0.0.1:8080", "http://10.0.0.9:8080", "http://10.0.0.3:8080")
        api.say("DELETED", a_slice("a", endpoint("10.0.0.1")))
        await answers.until("http://10.0.0.9:8080", "http://10.0.0.3:8080")
        api.say("MODIFIED", a_slice("b"))
        api.say("MODIFIED", a_slice("c"))
        await answers.until()
    assert api.lists == 1


async def test_events_may_come_in_pieces_and_several_at_once(api: Api, watching: Any) -> None:
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        one = json.dumps({"type": "ADDED", "object": a_slice("a", endpoint("10.0.0.1"))}).encode()
        two = json.dumps({"type": "ADDED", "object": a_slice("b", endpoint("10.0.0.2"))}).encode()
        api.raw(one[:30])
        await asyncio.sleep(0.05)
        api.raw(one[30:] + b"\n" + two + b"\n\n")
        await answers.until("http://10.0.0.1:8080", "http://10.0.0.2:8080")


async def test_a_slice_larger_than_a_line_of_the_client_library_is_read(api: Api, watching: Any) -> None:
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        addresses = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(900)]
        api.say("ADDED", a_slice("a", *(endpoint(address, ready=True) for address in addresses)))
        await answers.until(*(f"http://{address}:8080" for address in addresses))


async def test_who_is_terminating_serves_only_if_nobody_is_ready(api: Api, watching: Any) -> None:
    leaving = endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    failing = endpoint("10.0.0.2", ready=False, serving=False, terminating=True)
    starting = endpoint("10.0.0.3", ready=False, serving=False, terminating=False)
    api.slices = [a_slice("a", leaving, failing, starting, endpoint("10.0.0.4", ready=True))]
    async with watching(a_source(api)) as answers:
        assert await answers.next() == {"http://10.0.0.4:8080": 1}
        await answers.next()
        api.say("MODIFIED", a_slice("a", leaving, failing, starting))
        assert await answers.next() == {"http://10.0.0.1:8080": 1}


async def test_of_two_address_families_one_is_taken(api: Api, watching: Any) -> None:
    api.slices = [a_slice("six", endpoint("fd00::1"), kind="IPv6"), a_slice("four", endpoint("10.0.0.1"))]
    async with watching(a_source(api, scheme="https")) as answers:
        assert await answers.next() == {"https://10.0.0.1:8080": 1}
        await answers.next()
        api.say("DELETED", a_slice("four"))
        assert await answers.next() == {"https://[fd00::1]:8080": 1}


METRICS = {"name": "metrics", "port": 9100, "protocol": "TCP"}
HTTP = {"name": "http", "port": 8080, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("wanted", "ports", "port"),
    [
        ("http", [HTTP, METRICS], 8080),
        (9100, [HTTP, METRICS], 9100),
        (None, [{"port": 8080}], 8080),
        (None, [HTTP, {"name": "dns", "port": 53, "protocol": "UDP"}], 8080),
    ],
)
async def test_the_port_is_the_one_that_is_meant(
    api: Api, watching: Any, wanted: str | int | None, ports: Any, port: int
) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"), ports=ports)]
    async with watching(a_source(api, port=wanted)) as answers:
        assert await answers.next() == {f"http://10.0.0.1:{port}": 1}


@pytest.mark.parametrize(
    ("wanted", "ports", "why"),
    [
        (None, [HTTP, METRICS], "Service orders has several ports; port must be one of: http 8080, metrics 9100"),
        ("grpc", [HTTP], "Service orders has no port 'grpc'; port must be one of: http 8080"),
        ("http", [], "Service orders has no port 'http'; its slices have no ports"),
    ],
)
async def test_a_port_that_is_not_clear_is_a_loss_with_the_cure(
    api: Api, watching: Any, wanted: str | None, ports: Any, why: str
) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"), ports=ports)]
    async with watching(a_source(api, port=wanted)) as answers:
        assert await answers.lost() == f"{api.url}: {why}"


# -- who is asked, and as whom ----------------------------------------------------------------------------------------


async def test_the_pods_token_is_read_anew_for_each_request(api: Api, watching: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    api.token = "first"
    async with watching(a_source(api, token_file=str(token))) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        token.write_text("second\n")
        api.token = "second"
        api.end()
        await answers.next()
        await api.open()
        api.token = "third"
        api.end()
        assert await answers.lost() == f"{api.url}: it answers 401: is the token right?"


async def test_a_token_that_cannot_be_read_is_a_loss(api: Api, watching: Any, tmp_path: Path) -> None:
    async with watching(a_source(api, token_file=str(tmp_path))) as answers:
        assert (await answers.lost()).startswith(f"the token in {tmp_path} cannot be read: ")


async def test_the_api_server_is_believed_by_the_ca_file_alone(watching: Any, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.crt"))
    (tmp_path / "broken.crt").write_text("no certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    api = Api()
    api.slices = [a_slice("a", endpoint("10.0.0.1"))]
    runner = await serving(api, context)
    try:
        async with watching(a_source(api, ca_file=str(tmp_path / "ca.crt"))) as answers:
            assert await answers.next() == {"http://10.0.0.1:8080": 1}
        for file, why in (
            ("stranger", "the certificate is not good"),
            ("broken", "cannot be read"),
            ("absent", "not good"),
        ):
            async with watching(a_source(api, ca_file=str(tmp_path / f"{file}.crt"))) as answers:
                assert why in await answers.lost()
    finally:
        for watch in api.watches:
            watch.put_nowait(None)
        await runner.cleanup()
