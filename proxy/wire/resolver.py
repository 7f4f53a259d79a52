"""The addresses of one endpoint's host name.

Law: a lookup runs in a thread that belongs to this name alone, one at a time, shared by all who wait for it. A name
server that hangs for one upstream (or for a candidate that is only shadowed) can so never hold up another. Addresses
that were good once are used while a newer answer is awaited or cannot be had.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from proxy.wire.tasks import spawn

FRESH_SECONDS = 5.0
"""The system's resolver tells no TTL; after this an answer is asked for again, beside the traffic."""


class Resolver:
    """Looks up ``host``; an address literal is its own answer."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._addresses: list[str] = []
        self._until = 0.0
        self._lookup: asyncio.Task[OSError | None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        try:
            self._addresses = [str(ipaddress.ip_address(host))]
            self._until = float("inf")
        except ValueError:
            pass

    async def addresses(self) -> list[str]:
        """All addresses, best first. Raises OSError if there never was an answer and there is none now."""
        if monotonic() >= self._until and self._lookup is None:
            self._lookup = spawn(self._ask(), f"lookup {self._host}")
        if not self._addresses and self._lookup is not None:
            failure = await asyncio.shield(self._lookup)
            if failure is not None:
                raise failure
        return self._addresses

    async def _ask(self) -> OSError | None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lookup")
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, _getaddrinfo, self._host)
        except (OSError, UnicodeError) as error:
            return error if isinstance(error, OSError) else OSError(str(error))
        else:
            self._addresses, self._until = found, monotonic() + FRESH_SECONDS
            return None
        finally:
            self._lookup = None


def _getaddrinfo(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
