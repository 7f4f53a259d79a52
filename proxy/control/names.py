"""Names that the supervisor looks up with the system's resolver.

Law: a lookup that hangs holds up nobody else. Each name has a thread of its own while it is looked up, shared by all
who ask for it, and the thread is a daemon: neither the threads that the store uses nor the end of the process waits for
a name server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from threading import Thread

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_LOOKUPS = 256
"""Names looked up at once; above it a lookup fails, because so many hang only when the resolver does."""

_Outcome = list[str] | OSError


class Names(AbstractResolver):
    """The lookups under way. Nothing is remembered: who asks decides how long an answer is good."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[_Outcome]] = {}

    async def lookup(self, host: str) -> list[str]:
        """All addresses, best first; an address is its own answer. Raises OSError when there is none."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        future = self._running.get(host)
        if future is None:
            if len(self._running) >= MAX_LOOKUPS:
                raise OSError("too many name lookups hang")
            loop = asyncio.get_running_loop()
            future = self._running[host] = loop.create_future()
            Thread(target=self._ask, args=(loop, host), name=f"lookup {host}", daemon=True).start()
        outcome = await asyncio.shield(future)
        if isinstance(outcome, OSError):
            raise OSError(f"{host}: {outcome.strerror or outcome}")
        return outcome

    def _ask(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        """In the thread."""
        outcome: _Outcome
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            outcome = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except OSError as error:
            outcome = error
        except UnicodeError:
            outcome = OSError("this is no host name")
        try:
            loop.call_soon_threadsafe(self._told, host, outcome)
        except RuntimeError:  # the loop has ended meanwhile
            return

    def _told(self, host: str, outcome: _Outcome) -> None:
        future = self._running.pop(host)
        if not future.done():
            future.set_result(outcome)

    # -- for aiohttp ------------------------------------------------------------------------------------------------

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The same as aiohttp's connector asks for it."""
        results: list[ResolveResult] = []
        for address in await self.lookup(host):
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in (socket.AF_UNSPEC, kind):
                flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
                results.append(ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=flags))
        if not results:
            raise OSError(f"{host}: no address of that family")
        return results

    async def close(self) -> None:
        """Nothing to close: threads end when their lookup does."""
