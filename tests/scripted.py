"""Upstreams that answer as scripted, and a client that speaks bytes. Everything is a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from ports import free_port

from proxy.wire.body import ChunkedBody, chunk

Fields = list[tuple[bytes, bytes]]
LIMIT = 64 * 1024 * 1024
PATIENCE = 15.0
"""Seconds after which something that should have happened is a failure; no test waits for it on purpose."""


async def until(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until ``holds`` says something true, and return that."""
    by = time.monotonic() + seconds
    while time.monotonic() < by:
        if found := holds():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def parse_fields(head: bytes) -> Fields:
    """Field lines of a head, in order; names and values as they stand."""
    lines = head.split(b"\r\n")[1:]
    pairs = [line.partition(b":") for line in lines if line]
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


class Message:
    """A request or an answer as it came: ``line``, ``fields``, ``head`` (raw), ``body`` (decoded), ``trailers``."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.line = head.split(b"\r\n", 1)[0]
        self.fields = parse_fields(head)
        self.body = b""
        self.trailers: Fields = []
        self.whole = True  # the body ended where its framing said

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def all(self, name: str) -> list[bytes]:
        return [v for n, v in self.fields if n.lower() == name.lower().encode()]

    def get(self, name: str) -> bytes | None:
        return next(iter(self.all(name)), None)

    def json(self) -> Any:
        return json.loads(self.body)

    async def read_body(self, reader: asyncio.StreamReader, *, answer_to: str | None = None) -> None:
        """Read the body by its framing; ``answer_to`` is the method that an answer belongs to."""
        if answer_to is not None and (answer_to == "HEAD" or self.status in (204, 304) or self.status < 200):
            return
        try:
            if (self.get("transfer-encoding") or b"").lower() == b"chunked":
                body = ChunkedBody()
                pieces = []
                while not body.done:
                    line = await reader.readuntil(b"\n")
                    pieces.append(body.take(line)[0])
                    if body._state == ChunkedBody._DATA and body._left:
                        pieces.append(body.take(await reader.readexactly(body._left))[0])
                self.trailers = body.trailers
                self.body = b"".join(pieces)
            elif (length := self.get("content-length")) is not None:
                self.body = await reader.readexactly(int(length))
            elif answer_to is not None:
                self.body = await reader.read(-1)
        except asyncio.IncompleteReadError as error:
            self.whole = False
            self.body += error.partial
        except ConnectionError:
            self.whole = False


class Act:
    """What an upstream does about a request: wait, send ``data``, then keep, close, reset or hang."""

    def __init__(self, data: bytes = b"", then: str = "keep", delay: float = 0.0) -> None:
        self.data, self.then, self.delay = data, then, delay


def ok(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    """A plain answer."""
    lines = "".join(f"{field}\r\n" for field in fields).encode("latin-1")
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), lines, body)


def chunked(*pieces: bytes, head: str = "HTTP/1.1 200 OK\r\n", end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked answer."""
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, pieces)) + end


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Script = Callable[[Message], "bytes | Act | Awaitable[bytes | Act]"]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """An HTTP/1.1 server. ``reply`` is an answer, an Act or a function of the request; ``raw`` takes the whole
    connection. ``requests`` are those that came whole, ``heads`` also the others, ``connections`` were accepted."""

    def __init__(
        self, reply: bytes | Act | Script | None = None, raw: Raw | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.reply: bytes | Act | Script = ok() if reply is None else reply
        self.raw = raw
        self._tls = tls
        self.requests: list[Message] = []
        self.heads: list[Message] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self) -> None:
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=LIMIT, ssl=self._tls, backlog=4096
        )

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def targets(self) -> list[str]:
        return [request.target.decode("latin-1") for request in self.requests]

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            with suppress(asyncio.CancelledError, Exception):
                await task
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            if self.raw is not None:
                await self.raw(reader, writer)
            else:
                while await self._one(reader, writer):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()
            with suppress(Exception, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = Message(await reader.readuntil(b"\r\n\r\n"))
        self.heads.append(request)
        await request.read_body(reader)
        if not request.whole:
            return False
        self.requests.append(request)
        answer = self.reply(request) if callable(self.reply) else self.reply
        if not isinstance(answer, bytes | Act):
            answer = await answer
        act = Act(answer) if isinstance(answer, bytes) else answer
        if act.delay:
            await asyncio.sleep(act.delay)
        if act.data:
            data = act.data
            if request.method == b"HEAD":
                data = b"".join(data.partition(b"\r\n\r\n")[:2])
            writer.write(data)
            await writer.drain()
        match act.then:
            case "close":
                return False
            case "reset":
                await asyncio.sleep(0.02)  # what was sent is on its way
                reset(writer)
                return False
            case "hang":
                await asyncio.Event().wait()
        return True


class Client:
    """A client connection that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def get(
        self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"", version: str = "1.1"
    ) -> None:
        """Send a request; with a body of known length if there is one."""
        self.send(request(target, *fields, method=method, body=body, version=version))

    async def answer(self, method: str = "GET", *, interim: bool = False) -> Message:
        """The next answer; 1xx ones are skipped unless ``interim``."""
        while True:
            async with asyncio.timeout(PATIENCE):
                message = Message(await self.reader.readuntil(b"\r\n\r\n"))
                if message.status >= 200 or message.status == 101 or interim:
                    await message.read_body(self.reader, answer_to=method)
                    return message

    async def head(self) -> Message:
        """The next head alone."""
        async with asyncio.timeout(PATIENCE):
            return Message(await self.reader.readuntil(b"\r\n\r\n"))

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything until the end of the connection; ends at a reset, too."""
        data = b""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    data += piece
        return data

    async def was_reset(self) -> bool:
        """Wait for the end; True if it was a reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                return True
        return False

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def request(target: str = "/", *fields: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} HTTP/{version}", "Host: shop.test", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
