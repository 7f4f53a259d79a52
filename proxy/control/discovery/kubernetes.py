"""Endpoints from Kubernetes: the EndpointSlices of a Service, listed once and then watched.

Law: what is told is the merger of all slices as the API server last said them. A watch that the server ends is taken up
where it ended; a version that the server has forgotten (410 Gone) begins anew with a list, and so does a connection
that breaks. The resource version is opaque: it is handed back as it came.

Who is used: endpoints that are *ready* (unknown counts as ready). If none is, those that are terminating but still
*serving*, as kube-proxy does, so that the last pods of a rollout finish their work. Nobody is an answer: the API server
knows who belongs to the Service, and the address of a pod that is gone is soon another's. The upstream then has no
endpoint until there is one again.

Sources: the API reference of discovery.k8s.io/v1, "Efficient detection of changes" in the API concepts, KEP-1669.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from proxy.config.upstreams import KubernetesDiscovery
from proxy.control.discovery.source import Answer, SourceLostError, endpoint_url
from proxy.control.http_client import REASONS, open_session, read_within, why
from proxy.control.names import Names

LIST_SECONDS = 10.0
"""For a list, and for the head of a watch's answer."""
WATCH_SECONDS = 240
"""How long a watch may last; the server is asked to end it then, so a connection that died silently is found out."""
MARGIN_SECONDS = 15.0
"""What the server may take longer to end it."""
MIN_PAUSE_SECONDS = 1.0
"""Between two lists or two watches, if the server ends them at once."""
MAX_LIST_BYTES = 64 * 1024 * 1024
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""A slice has at most 1000 endpoints, of about 500 bytes."""
MAX_SLICES = 1000
GONE = 410


class _Conditions(msgspec.Struct):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Endpoint(msgspec.Struct):
    addresses: list[str] = []
    conditions: _Conditions = msgspec.field(default_factory=_Conditions)


class _Port(msgspec.Struct):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class _Slice(msgspec.Struct, rename="camel"):
    metadata: _Metadata
    address_type: str = ""
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class _List(msgspec.Struct):
    metadata: _Metadata
    items: list[_Slice] | None = None


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode_list = msgspec.json.Decoder(_List).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_slice = msgspec.json.Decoder(_Slice).decode
_decode_status = msgspec.json.Decoder(_Status).decode


class _GoneError(Exception):
    """The server has forgotten the version that the watch was to begin with."""


class KubernetesSource:
    """Endpoints are the ready addresses of ``config.service``, each of weight 1."""

    def __init__(self, config: KubernetesDiscovery, names: Names) -> None:
        self._config = config
        self._names = names
        self._slices: dict[str, _Slice] = {}
        self._version = ""

    async def watch(self) -> AsyncGenerator[Answer, None]:
        """As in Source: an answer for the list, for each event, and each time a watch has begun anew."""
        tls = await self._authorities() if self._config.url.startswith("https:") else None
        async with open_session(self._names, tls) as session:
            while True:
                await self._list(session)
                yield self._endpoints()
                try:
                    while True:
                        begun = monotonic()
                        async with aclosing(self._follow(session)) as events:
                            async for _ in events:
                                yield self._endpoints()
                        await asyncio.sleep(max(0.0, MIN_PAUSE_SECONDS - (monotonic() - begun)))
                except _GoneError:
                    await asyncio.sleep(MIN_PAUSE_SECONDS)

    async def _list(self, session: aiohttp.ClientSession) -> None:
        """Take all slices anew. Raises SourceLostError."""
        async with self._get(session, {}, LIST_SECONDS) as response:
            body = await read_within(response, MAX_LIST_BYTES)
        if body is None:
            raise self._lost(f"its answer is larger than {MAX_LIST_BYTES >> 20} MiB")
        try:
            found = _decode_list(body)
        except msgspec.DecodeError as error:
            raise self._lost(f"its answer is not understood: {error}") from None
        self._slices = {each.metadata.name: each for each in found.items or []}
        self._version = found.metadata.resource_version

    async def _follow(self, session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
        """One watch, from the version that is known: yields when it has begun and after each event.

        Raises SourceLostError and _GoneError.
        """
        query = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with self._get(session, query, WATCH_SECONDS + MARGIN_SECONDS) as response:
            yield
            rest = b""
            async for piece in response.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.strip():
                        self._take(line)
                if len(rest) > MAX_EVENT_BYTES:
                    raise self._lost(f"an event is larger than {MAX_EVENT_BYTES >> 20} MiB")
                if lines:
                    yield

    def _take(self, line: bytes) -> None:
        try:
            event = _decode_event(line)
            if event.type == "ERROR":
                status = _decode_status(event.object)
                if status.code == GONE:
                    raise _GoneError
                raise self._lost(f"the watch failed: {status.code} {status.message}"[:200])
            changed = _decode_slice(event.object)
        except msgspec.DecodeError as error:
            raise self._lost(f"an event is not understood: {error}") from None
        if event.type == "DELETED":
            self._slices.pop(changed.metadata.name, None)
        elif event.type in ("ADDED", "MODIFIED"):
            if len(self._slices) >= MAX_SLICES and changed.metadata.name not in self._slices:
                raise self._lost(f"the Service has more than {MAX_SLICES} slices")
            self._slices[changed.metadata.name] = changed
        self._version = changed.metadata.resource_version or self._version

    @asynccontextmanager
    async def _get(
        self, session: aiohttp.ClientSession, query: dict[str, str], seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for the Service's slices; the answer must be good. Raises SourceLostError and _GoneError."""
        config = self._config
        headers = {"Accept": "application/json"}
        if token := await self._token():
            headers["Authorization"] = f"Bearer {token}"
        query = {"labelSelector": f"kubernetes.io/service-name={config.service}", **query}
        path = f"/apis/discovery.k8s.io/v1/namespaces/{quote(config.namespace, safe='')}/endpointslices"
        url = URL(f"{config.url.rstrip('/')}{path}?{urlencode(query)}", encoded=True)
        try:
            async with (
                asyncio.timeout(LIST_SECONDS) as clock,
                session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                if response.status == GONE:
                    raise _GoneError
                if response.status != 200:
                    raise self._lost(f"it answers {response.status}{_HINTS.get(response.status, '')}")
                clock.reschedule(asyncio.get_running_loop().time() + seconds)
                yield response
        except REASONS as error:
            raise self._lost(why(error)) from error

    async def _token(self) -> str:
        """The token of now: it is replaced about once an hour. Raises SourceLostError."""
        path = Path(self._config.token_file)
        try:
            return (await asyncio.to_thread(path.read_text, encoding="ascii")).strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeError) as error:
            raise SourceLostError(f"the token in {path} cannot be read: {error}") from None

    async def _authorities(self) -> ssl.SSLContext:
        """Whom to believe to be the API server. Raises SourceLostError."""
        path = Path(self._config.ca_file)

        def read() -> ssl.SSLContext:
            return ssl.create_default_context(cafile=str(path) if path.exists() else None)

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise SourceLostError(f"the certificates in {path} cannot be read: {error}") from None

    def _lost(self, text: str) -> SourceLostError:
        return SourceLostError(f"{self._config.url}: {text}")

    # -- from slices to endpoints -----------------------------------------------------------------------------------

    def _endpoints(self) -> Answer:
        """The merger of all slices; IPv4 addresses if there are any, else the others. Raises SourceLostError.

        A Service of two stacks has slices of both kinds with the same pods in them.
        """
        ready: dict[str, list[str]] = {}
        leaving: dict[str, list[str]] = {}
        several: set[str] = set()
        without_port = False
        for each in self._slices.values():
            if not each.endpoints:
                continue
            ports = self._ports(each)
            if len(ports) != 1:
                several |= {_label(port) for port in each.ports or []}
                without_port = True
                continue
            for endpoint in each.endpoints:
                into = _condition(endpoint.conditions, ready, leaving)
                if into is None or not endpoint.addresses:
                    continue
                try:  # the addresses of one endpoint are interchangeable: the first is the one to use
                    url = endpoint_url(self._config.scheme, endpoint.addresses[0], ports[0])
                except ValueError:
                    continue
                into.setdefault(each.address_type, []).append(url)
        chosen = ready or leaving
        if not chosen and without_port:
            missing = "several ports" if self._config.port is None else f"no port {self._config.port!r}"
            known = f"port must be one of: {', '.join(sorted(several))}" if several else "its slices have no ports"
            raise self._lost(f"Service {self._config.service} has {missing}; {known}")
        urls = chosen.get("IPv4") or chosen.get("IPv6") or chosen.get("FQDN") or []
        return dict.fromkeys(urls, 1)

    def _ports(self, each: _Slice) -> list[int]:
        """The TCP ports of a slice that the configuration means; exactly one is right."""
        wanted = self._config.port
        return [
            port.port
            for port in each.ports or []
            if port.port is not None
            and port.protocol in (None, "TCP")
            and (wanted is None or wanted in (port.port, port.name))
        ]


_HINTS = {401: ": is the token right?", 403: ": may the service account list and watch endpointslices?"}


def _condition(
    conditions: _Conditions, ready: dict[str, list[str]], leaving: dict[str, list[str]]
) -> dict[str, list[str]] | None:
    """Where an endpoint of these conditions belongs; None: nowhere."""
    is_ready = conditions.ready is not False
    serving = is_ready if conditions.serving is None else conditions.serving
    if is_ready:
        return ready
    return leaving if conditions.terminating and serving else None


def _label(port: _Port) -> str:
    return f"{port.name} {port.port}" if port.name else str(port.port)
