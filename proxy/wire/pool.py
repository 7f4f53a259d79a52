"""Connections to one endpoint, for one purpose.

Law: idle connections are taken last in, first out, so that the surplus ages and goes; none is used that has been idle
longer than IDLE_SECONDS, because common servers close theirs at 5 s (Node, uvicorn, hypercorn) and a request on a
closing connection is lost. Traffic and shadow have pools of their own: neither can take the other's connections.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from proxy.errors import OUT_OF_RESOURCES, ExchangeError, FailureKind, Seen
from proxy.wire.resolver import Resolver
from proxy.wire.tasks import spawn
from proxy.wire.upstream import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.fiber import Fiber
    from proxy.wire.outbox import Outbox

IDLE_SECONDS: Final = 4.0


class Pool:
    """Connections to ``url`` (``http://host:port``). ``max_idle`` of them are kept; the rest is closed when free."""

    def __init__(self, url: str, max_idle: int, outbox: Outbox) -> None:
        parts = urlsplit(url)
        self.url = url
        self.outbox = outbox
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.max_idle = max_idle
        self._idle: deque[UpstreamConnection] = deque()
        self._resolver = Resolver(self.host)

    def take(self, owner: Fiber, now: float) -> UpstreamConnection | None:
        """A connection that is free at ``now`` (monotonic seconds), or None."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.lost or connection.eof or connection.transport.is_closing():
                continue
            if now - connection.idle_since > IDLE_SECONDS:
                connection.transport.abort()
                continue
            connection.owner = owner
            return connection
        return None

    async def connect(self, owner: Fiber, seconds: float) -> UpstreamConnection:
        """A new connection; for fibers.

        Raises :class:`ExchangeError`, not sent: CONNECT_FAILURE, CONNECT_TIMEOUT, or OVERFLOW if we have no descriptor
        or port left for it.
        If the fiber is interrupted meanwhile, the connection goes to the pool when it comes.
        """
        task = spawn(self._open(seconds), f"connect {self.url}")
        wanted = True

        def settled(task: asyncio.Task[UpstreamConnection | ExchangeError]) -> None:
            if wanted:
                owner.wake()
            elif not task.cancelled() and isinstance(outcome := task.result(), UpstreamConnection):
                self.put(outcome, monotonic())

        task.add_done_callback(settled)
        try:
            while not task.done():
                await owner.park()
        except BaseException:
            wanted = False
            raise
        if task.cancelled():
            raise ExchangeError(FailureKind.CONNECT_FAILURE, Seen.NOT_SENT, "cancelled")
        outcome = task.result()
        if isinstance(outcome, ExchangeError):
            raise outcome
        outcome.owner = owner
        return outcome

    async def _open(self, seconds: float) -> UpstreamConnection | ExchangeError:
        loop = asyncio.get_running_loop()
        # A protocol by its methods: compiled classes do not inherit from asyncio's.
        make = cast("Callable[[], asyncio.BaseProtocol]", lambda: UpstreamConnection(self))
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolver.addresses()
                for last, address in enumerate(addresses, 1 - len(addresses)):
                    try:
                        transport, made = await loop.create_connection(
                            make,
                            address,
                            self.port,
                            ssl=self._tls,
                            server_hostname=self.host if self._tls else None,
                        )
                        break
                    except OSError:
                        if last == 0:
                            raise
        except TimeoutError:
            return ExchangeError(FailureKind.CONNECT_TIMEOUT, Seen.NOT_SENT)
        except (OSError, ssl.SSLError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
                return ExchangeError(FailureKind.OVERFLOW, Seen.NOT_SENT, str(error))
            return ExchangeError(FailureKind.CONNECT_FAILURE, Seen.NOT_SENT, str(error))
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cast("UpstreamConnection", made)

    def put(self, connection: UpstreamConnection, now: float) -> None:
        """A connection is free from ``now`` on; above ``max_idle`` it is closed."""
        if len(self._idle) >= self.max_idle or connection.lost:
            if not connection.lost:
                connection.transport.abort()
            return
        connection.idle_since = now
        self._idle.append(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle too long; the oldest stand on the left."""
        idle = self._idle
        while idle and (idle[0].lost or now - idle[0].idle_since > IDLE_SECONDS):
            connection = idle.popleft()
            if not connection.lost:
                connection.transport.abort()

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                connection.transport.abort()
