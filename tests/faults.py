"""Faults of the network, made on real sockets between two peers that know nothing of them.

Law: everything may be changed while connections are open, and holds from the next byte on. What goes through is never
reordered or changed; it comes late, in pieces, or not at all. The words are Toxiproxy's where it has one.

Asynchronous tests use :class:`FaultProxy` as it is; the others run it, and anything else that is asynchronous, in a
:class:`Background`.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from time import monotonic
from typing import Any, Literal, Self, TypeVar

from ports import free_port
from scripted import PATIENCE, Raw, reset

PIECE_BYTES = 64 * 1024
WAITING_PIECES = 64
"""Pieces of one direction that are late or held back; above it the sender meets TCP's backpressure."""
TICK_SECONDS = 0.005
"""How late a change is noticed by a connection that is stalled."""

Result = TypeVar("Result")


class Toxics:
    """What happens to the bytes of one direction."""

    def __init__(self) -> None:
        self.passed = 0
        """Bytes that went through, over all connections."""
        self.heal()

    def heal(self) -> None:
        """No faults."""
        self.latency = 0.0  # seconds, for every byte and for the end
        self.jitter = 0.0  # seconds at most, added by chance; bytes keep their order
        self.bandwidth = 0.0  # bytes per second and connection; 0: unbounded
        self.slice = 0  # bytes of a segment; 0: as they come
        self.pause = 0.0  # seconds after each segment
        self.stalled = False  # a black hole: nothing passes, nobody is told (Toxiproxy's timeout 0)
        self.limit: int | None = None  # bytes of a connection that pass before `then`
        self.then: Literal["close", "reset", "stall"] = "close"
        self.slow_close = 0.0  # seconds that an end is kept back


class FaultProxy:
    """A TCP proxy to ``port`` on this machine. ``up`` are the faults towards it, ``down`` those of what it answers."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.up, self.down = Toxics(), Toxics()
        self.port = 0
        self.connections = 0  # accepted so far
        self.open = 0
        self._dice = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        await self.cut()

    async def listen(self) -> None:
        """Accept connections (again, on the same port)."""
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, backlog=4096)

    async def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def cut(self) -> None:
        """Reset all open connections, on both sides."""
        tasks = list(self._pairs)
        for task in tasks:
            _reset(list(self._pairs.get(task, ())))  # some may be gone already, and their tasks not know it yet
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def heal(self) -> None:
        """No faults on the wire; a proxy that refuses goes on refusing."""
        self.up.heal()
        self.down.heal()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self.open += 1
        self._pairs[task] = (writer,)
        writers = [writer]
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(their_writer)
            self._pairs[task] = (writer, their_writer)
            async with asyncio.TaskGroup() as group:
                for source, sink, toxics in ((reader, their_writer, self.up), (their_reader, writer, self.down)):
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_PIECES)
                    group.create_task(_take(source, queue))
                    group.create_task(self._give(queue, sink, toxics))
        except* _Cut as cut:
            if cut.exceptions[0].args == ("reset",):
                _reset(writers)
        except* OSError:  # one side is gone or was never there: to the other it is as if it had been connected to it
            _reset(writers)
        except* asyncio.CancelledError:
            pass
        finally:
            self.open -= 1
            del self._pairs[task]
            for each in writers:
                each.close()
            for each in writers:
                with suppress(OSError, asyncio.CancelledError):
                    await each.wait_closed()

    async def _give(
        self, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter, toxics: Toxics
    ) -> None:
        passed = 0
        while True:
            came, data = await queue.get()
            due = came + toxics.latency + self._dice.random() * toxics.jitter
            await asyncio.sleep(max(0.0, due - monotonic()))
            if not data:
                while toxics.stalled:  # noqa: ASYNC110 - no event: tests change it from other threads, too
                    await asyncio.sleep(TICK_SECONDS)
                await asyncio.sleep(toxics.slow_close)
                if not sink.is_closing():
                    sink.write_eof()
                return
            while data:
                size = await _allowance(toxics, passed, len(data))
                if toxics.bandwidth:
                    await asyncio.sleep(size / toxics.bandwidth)
                sink.write(data[:size])
                await sink.drain()
                data = data[size:]
                passed += size
                toxics.passed += size
                if toxics.slice:
                    await asyncio.sleep(toxics.pause)


class _Cut(Exception):  # noqa: N818 - it is what a test asked for
    """A connection has had its share of bytes; the argument says how it ends."""


async def _allowance(toxics: Toxics, passed: int, wanted: int) -> int:
    """How many bytes may pass next, once any may. Raises _Cut."""
    while True:
        left = wanted if toxics.limit is None else toxics.limit - passed
        if left > 0 and not toxics.stalled:
            break
        if left <= 0 and toxics.then != "stall":
            raise _Cut(toxics.then)
        await asyncio.sleep(TICK_SECONDS)
    if toxics.bandwidth:
        wanted = min(wanted, max(1, int(toxics.bandwidth / 50)))  # steps of 20 ms
    return min(wanted, left, toxics.slice or wanted)


async def _take(source: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
    while True:
        data = await source.read(PIECE_BYTES)
        await queue.put((monotonic(), data))
        if not data:
            return


def _reset(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        if not writer.transport.is_closing():
            reset(writer)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where connecting takes for ever: its listener's queue is full, and nobody accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fill = [socket.socket() for _ in range(4)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(address)
        try:
            yield address[1]
        finally:
            for sock in fill:
                sock.close()


# -- servers that misbehave from their first byte, for ``Upstream(raw=…)`` -----------------------------------------


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes whatever comes, and says nothing until the other side leaves."""
    while await reader.read(PIECE_BYTES):
        pass


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer of chunks without a last one."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


def huge(size: int) -> Raw:
    """An answer of so many bytes, announced as such."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for left in range(size, 0, -PIECE_BYTES):
            writer.write(b"x" * min(left, PIECE_BYTES))
            await writer.drain()
        await reader.read()

    return server


async def ticking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream that never ends, a line every 20 ms."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        writer.write(b"tick\n")
        await writer.drain()
        await asyncio.sleep(0.02)


class Background:
    """An event loop in a thread, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background")
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end over there; returns its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def enter(self, context: AbstractAsyncContextManager[Result]) -> Result:
        """Enter a context that is left when this ends."""
        return self.run(self._stack.enter_async_context(context))
