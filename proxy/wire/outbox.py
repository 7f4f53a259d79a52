"""What one turn of the event loop wants to send, sent together at its end.

Law: order on each connection is kept, nothing waits longer than the turn in which it was written, and closing sends
what is still here. Large pieces do not come here.

Why: a write wakes the process at the other end, and waking an idle core costs more than the write itself. Sent one by
one between two requests' worth of Python, every write finds the other core asleep again; sent together, the first wakes
it and the rest find it busy. With 32 connections and a peer on the other core this alone was worth a third more
requests per second (docs/performance.md).
"""

from __future__ import annotations

import asyncio
from typing import Final

DIRECT_BYTES: Final = 32 * 1024
"""Pieces above this are given to the transport at once: joining them would copy them."""


class Outbox:
    """The connections of one event loop that have something to send.

    ``open`` is the number of all its connections, to clients and to upstreams: each has a descriptor.
    """

    __slots__ = ("_loop", "open", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.open = 0
        self.waiting: list[Sender] = []

    def begin(self) -> None:
        """The first write of a turn: send at its end."""
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for sender in waiting:
            held = sender.held
            if held:
                sender.held = b""
                if not sender.lost:
                    try:
                        sender.transport.write(held)
                    except (OSError, RuntimeError):  # a dying connection must not keep the others' bytes
                        sender.transport.abort()


class Sender:
    """The writing half of a connection."""

    __slots__ = ("held", "lost", "outbox", "transport")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made, before any use
        self.lost = False
        self.held = b""

    def write(self, data: bytes) -> None:
        """Send; without effect on a lost connection."""
        if self.lost:
            return
        if self.held:
            self.held += data
            if len(self.held) > DIRECT_BYTES:
                self.flush()
        elif len(data) > DIRECT_BYTES:
            self.transport.write(data)
        else:
            self.held = data
            waiting = self.outbox.waiting
            if not waiting:
                self.outbox.begin()
            waiting.append(self)

    def flush(self) -> None:
        """Give what is held to the transport now."""
        if self.held:
            held, self.held = self.held, b""
            if not self.lost:
                self.transport.write(held)
