"""Endpoints from EndpointSlices, against a small API server that lists, watches, forgets and breaks off."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from proxy.config.upstreams import KubernetesDiscovery
from proxy.control.discovery import kubernetes as module
from proxy.control.discovery.kubernetes import KubernetesSource
from proxy.control.names import Names

PATH = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"


def endpoint(*addresses: str, **conditions: bool | None) -> Any:
    return {"addresses": list(addresses), "conditions": conditions, "targetRef": {"kind": "Pod"}}


def a_slice(name: str, *endpoints: Any, ports: Any = None, kind: str = "IPv4", version: str = "1") -> Any:
    return {
        "metadata": {"name": name, "resourceVersion": version, "labels": {"kubernetes.io/service-name": "orders"}},
        "addressType": kind,
        "endpoints": list(endpoints) or None,  # Go writes an empty list so
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}] if ports is None else ports,
    }


class Api:
    """An API server. Each watch gets what ``say`` is given while it is open; ``end`` and ``cut`` end it."""

    def __init__(self) -> None:
        self.url = ""
        self.slices: list[Any] = []
        self.version = "100"
        self.token = ""
        self.status = 200
        self.watch_status = 200
        self.seen: list[dict[str, str]] = []
        self.watches: list[asyncio.Queue[bytes | None]] = []
        self.opened = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(dict(request.query))
        if request.headers.get("Authorization", "") != (f"Bearer {self.token}" if self.token else ""):
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        assert request.query["labelSelector"] == "kubernetes.io/service-name=orders"
        if "watch" not in request.query:
            listed = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": self.version}, "items": self.slices}
            return web.json_response(listed, status=self.status)
        if self.watch_status != 200:
            return web.json_response({"kind": "Status", "code": self.watch_status}, status=self.watch_status)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watches.append(queue)
        self.opened.set()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        while (piece := await queue.get()) is not None:
            if piece == b"cut":
                assert request.transport is not None
                request.transport.abort()
                break
            await response.write(piece)
        return response

    async def open(self) -> None:
        """Wait for the next watch."""
        await self.opened.wait()
        self.opened.clear()

    def say(self, kind: str, what: Any) -> None:
        self.raw(json.dumps({"type": kind, "object": what}).encode() + b"\n")

    def raw(self, piece: bytes) -> None:
        self.watches[-1].put_nowait(piece)

    def cut(self) -> None:
        self.raw(b"cut")

    def end(self) -> None:
        """As the server ends a watch after ``timeoutSeconds``."""
        self.watches[-1].put_nowait(None)

    @property
    def lists(self) -> int:
        return sum("watch" not in query for query in self.seen)


async def serving(api: Api, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application()
    app.router.add_get(PATH, api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    api.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    runner = await serving(made)
    yield made
    for watch in made.watches:
        watch.put_nowait(None)
    await runner.cleanup()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_PAUSE_SECONDS", 0.01)


def a_source(api: Api, **more: Any) -> KubernetesSource:
    absent = {"token_file": "/nonexistent/token", "ca_file": "/nonexistent/ca.crt"}
    return KubernetesSource(
        KubernetesDiscovery(url=api.url, service="orders", namespace="shop", **{**absent, **more}), Names()
    )


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


# -- how it is watched ------------------------------------------------------------------------------------------------


async def test_a_watch_that_the_server_ends_is_taken_up_where_it_ended(api: Api, watching: Any) -> None:
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.say("ADDED", a_slice("a", endpoint("10.0.0.1"), version="101"))
        await answers.until("http://10.0.0.1:8080")
        api.say("BOOKMARK", {"kind": "EndpointSlice", "metadata": {"resourceVersion": "170"}})
        assert await answers.next() == {"http://10.0.0.1:8080": 1}
        api.end()
        assert await answers.next() == {"http://10.0.0.1:8080": 1}
        assert api.lists == 1
        first, second = (query for query in api.seen if "watch" in query)
        assert (first["resourceVersion"], second["resourceVersion"]) == ("100", "170")
        assert first["allowWatchBookmarks"] == "true"
        assert first["timeoutSeconds"] == "240"


async def test_a_version_that_is_gone_in_mid_watch_is_listed_anew(api: Api, watching: Any) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"))]
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.slices, api.version = [a_slice("b", endpoint("10.0.0.2"))], "900"
        api.say("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
        assert await answers.next() == {"http://10.0.0.2:8080": 1}
        await answers.next()
        assert api.seen[-1]["resourceVersion"] == "900"


async def test_a_version_that_is_gone_when_the_watch_begins_is_listed_anew(api: Api, watching: Any) -> None:
    api.slices, api.watch_status = [a_slice("a", endpoint("10.0.0.1"))], 410
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        api.watch_status = 200
        await answers.next()
        await api.open()
    assert api.lists >= 2


async def test_a_connection_that_is_cut_in_mid_watch_is_a_loss_and_the_next_watch_lists(
    api: Api, watching: Any
) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"))]
    source = a_source(api)
    async with watching(source) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.raw(b'{"type": "ADDED", "obj')
        api.cut()
        assert await answers.lost() == f"{api.url}: the answer broke off"
    api.slices = [a_slice("b", endpoint("10.0.0.2"))]
    async with watching(source) as answers:
        assert await answers.next() == {"http://10.0.0.2:8080": 1}


async def test_a_watch_that_falls_silent_for_good_is_a_loss(
    api: Api, watching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0)
    monkeypatch.setattr(module, "MARGIN_SECONDS", 0.3)
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        assert await answers.lost() == f"{api.url}: no answer in time"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage\n", "an event is not understood"),
        (b'{"type": "ADDED", "object": 7}\n', "an event is not understood"),
        (
            b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}}\n',
            "the watch failed: 500 etcd is away",
        ),
        (b"x" * 5000, "an event is larger than"),
    ],
)
async def test_an_event_that_is_none_is_a_loss(
    api: Api, watching: Any, line: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 4096)
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.raw(line)
        assert why in await answers.lost()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "it answers 401: is the token right?"),
        (403, "it answers 403: may the service account"),
        (503, "answers 503"),
    ],
)
async def test_a_list_that_is_refused_is_a_loss(api: Api, watching: Any, status: int, why: str) -> None:
    api.status = status
    async with watching(a_source(api)) as answers:
        assert why in await answers.lost()


async def test_more_slices_than_the_bound_are_a_loss(api: Api, watching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLICES", 2)
    api.slices = [a_slice("a"), a_slice("b")]
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.say("MODIFIED", a_slice("a", endpoint("10.0.0.1")))
        await answers.next()
        api.say("ADDED", a_slice("c"))
        assert await answers.lost() == f"{api.url}: the Service has more than 2 slices"


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
