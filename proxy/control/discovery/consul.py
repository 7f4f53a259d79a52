"""Endpoints from Consul: the passing instances of a service, watched with blocking queries.

Law: the index follows Consul's rules for blocking queries (its documentation, "Blocking Queries"): an answer's index is
the next question's; one that goes backwards begins again from 0, which does not block; one that is missing or below 1
counts as 1, so that the next question does block. An answer that was not asked of a leader is not believed.

Nobody is an answer: the catalogue knows who belongs to the service, and the addresses of who left may serve something
else tomorrow. The upstream then has no endpoint, until there is one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from proxy.config.upstreams import ConsulDiscovery
from proxy.control.discovery.source import Answer, SourceLostError, endpoint_url, scaled
from proxy.control.http_client import REASONS, open_session, read_within, why
from proxy.control.names import Names

MAX_BODY_BYTES = 16 * 1024 * 1024
"""An instance takes about 1 KiB."""
MARGIN_SECONDS = 10.0
"""Beside ``wait``, and the sixteenth of it that Consul adds by chance."""
MIN_PAUSE_SECONDS = 0.2
"""Between two questions, however fast the service changes: Consul asks its clients to bound their rate."""


class _Weights(msgspec.Struct, rename="pascal"):
    passing: int = 1


class _Service(msgspec.Struct, rename="pascal"):
    address: str = ""
    port: int = 0
    weights: _Weights | None = None


class _Node(msgspec.Struct, rename="pascal"):
    address: str = ""


class _Instance(msgspec.Struct, rename="pascal"):
    node: _Node
    service: _Service


_decode = msgspec.json.Decoder(list[_Instance]).decode


class ConsulSource:
    """Endpoints are the passing instances of ``config.service``, with their weights."""

    def __init__(self, config: ConsulDiscovery, names: Names) -> None:
        self._config = config
        self._names = names

    async def watch(self) -> AsyncGenerator[Answer, None]:
        """As in Source: one answer for each blocking query, also when it ended without a change."""
        async with open_session(self._names) as session:
            index = 0
            while True:
                asked = monotonic()
                body, told = await self._ask(session, index)
                yield self._endpoints(body)
                index = 0 if told < index else max(1, told)
                await asyncio.sleep(max(0.0, MIN_PAUSE_SECONDS - (monotonic() - asked)))

    async def _ask(self, session: aiohttp.ClientSession, index: int) -> tuple[bytes, int]:
        """One query: its body and its index, 0 without one. Raises SourceLostError."""
        config = self._config
        query = {"passing": "true", "index": str(index), "wait": f"{config.wait * 1000:.0f}ms"}
        if config.tag is not None:
            query["tag"] = config.tag
        if config.datacenter is not None:
            query["dc"] = config.datacenter
        path = f"/v1/health/service/{quote(config.service, safe='')}?{urlencode(query)}"
        url = URL(config.url.rstrip("/") + path, encoded=True)
        headers = {} if config.token is None else {"X-Consul-Token": config.token}
        limit = config.wait * 17 / 16 + MARGIN_SECONDS
        try:
            async with (
                asyncio.timeout(limit),
                session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                body = await read_within(response, MAX_BODY_BYTES)
        except REASONS as error:
            raise SourceLostError(f"{config.url}: {why(error)}") from error
        if response.status != 200:
            hint = ": is the token right?" if response.status in (401, 403) else ""
            raise SourceLostError(f"{config.url}: it answers {response.status}{hint}")
        if response.headers.get("X-Consul-KnownLeader", "true") == "false":
            raise SourceLostError(f"{config.url}: its cluster has no leader")
        if body is None:
            raise SourceLostError(f"{config.url}: its answer is larger than {MAX_BODY_BYTES >> 20} MiB")
        told = response.headers.get("X-Consul-Index", "")
        return body, int(told) if told.isascii() and told.isdigit() and len(told) <= 20 else 0

    def _endpoints(self, body: bytes) -> Answer:
        """The instances; one without a usable address or port is not an endpoint. Raises SourceLostError."""
        try:
            instances = _decode(body)
        except msgspec.DecodeError as error:
            raise SourceLostError(f"{self._config.url}: its answer is not understood: {error}") from None
        weights: dict[str, int] = {}
        for instance in instances:
            service = instance.service
            try:
                url = endpoint_url(self._config.scheme, service.address or instance.node.address, service.port)
            except ValueError:
                continue
            weights[url] = weights.get(url, 0) + (service.weights.passing if service.weights else 1)
        if instances and not weights:
            raise SourceLostError(f"{self._config.url}: no instance has an address and a port")
        return scaled(weights)
