"""A small API server that lists, watches, forgets and breaks off, and a source that asks it."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from proxy.config.upstreams import KubernetesDiscovery
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


def a_source(api: Api, **more: Any) -> KubernetesSource:
    absent = {"token_file": "/nonexistent/token", "ca_file": "/nonexistent/ca.crt"}
    return KubernetesSource(
        KubernetesDiscovery(url=api.url, service="orders", namespace="shop", **{**absent, **more}), Names()
    )
