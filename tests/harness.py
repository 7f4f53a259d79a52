"""One worker without its supervisor, upstreams that answer as scripted, and a client that speaks bytes.

Law: everything here is a real socket; nothing of the worker is replaced. The worker's configuration is swapped with
:meth:`Worker.apply`, so the tests of a file share one process; counters are told apart by the ids of routes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from proxy.config.model import settings_from_document
from proxy.messages import Drain, Hello, Override, Pair, Ready, RouteCounters, Snapshot, WorkerStats
from proxy.wire.body import ChunkedBody, chunk
from proxy.wire.ipc import Channel

Fields = list[tuple[bytes, bytes]]
LIMIT = 64 * 1024 * 1024
PATIENCE = 15.0
"""Seconds after which something that should have happened is a failure; no test waits for it on purpose."""
QUICK_FIGURES = "from proxy.dataplane import worker; worker.STATS_SECONDS = 0.1; worker.main()"
"""The worker's own entry; it only tells its figures ten times as often."""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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

    def __init__(self, reply: bytes | Act | Script | None = None, raw: Raw | None = None) -> None:
        self.reply: bytes | Act | Script = ok() if reply is None else reply
        self.raw = raw
        self.requests: list[Message] = []
        self.heads: list[Message] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Upstream:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self, **more: Any) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LIMIT, **more)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def get(self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> None:
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


class Worker:
    """A worker process. The harness is its supervisor and its comparator."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bw"))
        self.port = free_port()
        self.pairs: list[Pair] = []
        self.generation = 0
        self.instance = "banyan-test"
        self._newest: WorkerStats | None = None
        self._ready = 0
        self._channel: Channel[Any] | None = None
        self._comparators: list[Channel[Any]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._news = asyncio.Condition()
        self.process: asyncio.subprocess.Process

    async def start(self, *, comparator: bool = True) -> Worker:
        self._server = await asyncio.start_unix_server(self._supervise, str(self.folder / "supervisor.sock"))
        self._comparing: asyncio.Server | None = None
        if comparator:
            await self.comparator_up()
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", QUICK_FIGURES, str(self.folder), "0", stderr=stderr
            )
        await self._wait(lambda: self._channel is not None)
        return self

    async def comparator_up(self) -> None:
        """Begin (again) to take pairs."""
        path = self.folder / "comparator.sock"
        path.unlink(missing_ok=True)
        self._comparing = await asyncio.start_unix_server(self._compare, str(path))

    async def comparator_down(self) -> None:
        """The comparator dies."""
        assert self._comparing is not None
        self._comparing.close()
        for channel in self._comparators:
            channel.close()
        self._comparators.clear()
        (self.folder / "comparator.sock").unlink(missing_ok=True)

    async def _supervise(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: Channel[Any] = Channel(reader, writer, Hello | Ready | WorkerStats)
        while True:
            message = await channel.receive()
            async with self._news:
                match message:
                    case None:
                        self._news.notify_all()
                        break
                    case Hello():
                        self._channel = channel
                    case Ready():
                        self._ready = message.generation
                    case WorkerStats():
                        self._newest = message
                self._news.notify_all()
        writer.close()

    async def _compare(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: Channel[Pair] = Channel(reader, writer, Pair)
        self._comparators.append(channel)
        while (pair := await channel.receive()) is not None:
            self.pairs.append(pair)
        writer.close()

    async def _wait(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            while not holds():
                if getattr(self, "process", None) is not None and self.process.returncode is not None:
                    raise AssertionError(self.log())
                await self._news.wait()

    async def apply(self, document: dict[str, Any], overrides: list[Override] | None = None) -> int:
        """Swap the configuration and wait until it serves; returns its generation."""
        assert self._channel is not None
        self.generation += 1
        whole = {"listen": f"127.0.0.1:{self.port}", **document}
        settings_from_document(whole)  # a mistake of the test's fails here and not in the worker
        self._channel.send(Snapshot(self.generation, json.dumps(whole).encode(), overrides or [], self.instance))
        await self._wait(lambda: self._ready >= self.generation)
        return self.generation

    async def stats(self) -> WorkerStats:
        """Figures made after this call."""
        self._newest = None
        await self._wait(lambda: self._newest is not None)
        assert self._newest is not None
        return self._newest

    async def route(self, route: str) -> RouteCounters:
        """The counters of one route, made after this call."""
        return (await self.stats()).routes.get(route, RouteCounters())

    async def route_when(self, route: str, holds: Callable[[RouteCounters], Any]) -> RouteCounters:
        """The counters of one route as soon as they fulfil a condition."""
        by = time.monotonic() + PATIENCE
        while True:
            counters = await self.route(route)
            if holds(counters):
                return counters
            assert time.monotonic() < by, counters

    def drain(self, delay: float = 0.0, grace: float = 5.0) -> None:
        assert self._channel is not None
        self._channel.send(Drain(delay, grace))

    def log(self) -> str:
        return (self.folder / "stderr").read_text()

    def rss(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the worker is gone")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def connect(self, **more: Any) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=more.pop("limit", LIMIT), **more))

    async def ask(self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> Message:
        """One request on a connection of its own."""
        async with await self.connect() as client:
            client.get(target, *fields, method=method, body=body)
            return await client.answer(method)

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self._server.close()
        if self._comparing is not None:
            self._comparing.close()
        for channel in [*self._comparators, *([self._channel] if self._channel else [])]:
            channel.close()
        await asyncio.sleep(0.01)
        shutil.rmtree(self.folder, ignore_errors=True)


@asynccontextmanager
async def running(document: dict[str, Any] | None = None, *, comparator: bool = True) -> AsyncIterator[Worker]:
    """A worker of one's own."""
    worker = Worker()
    try:
        await worker.start(comparator=comparator)
        if document is not None:
            await worker.apply(document)
        yield worker
    finally:
        await worker.stop()


def plain(upstream: Upstream, *, timeouts: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A configuration without routes: everything goes to ``upstream``."""
    legacy: dict[str, Any] = {"endpoints": [upstream.url]}
    if timeouts:
        legacy["timeouts"] = timeouts
    return {"upstreams": {"legacy": legacy}, "legacy": "legacy", **more}


def migration(
    legacy: Upstream | str, candidate: Upstream | str, route: str, stage: str, **more: Any
) -> dict[str, Any]:
    """A configuration with one route for every path; what of ``more`` is not in OUTER goes into the route."""
    outer = {key: more.pop(key) for key in list(more) if key in OUTER}
    timeouts = outer.pop("timeouts", {})

    def side(upstream: Upstream | str) -> dict[str, Any]:
        url = upstream if isinstance(upstream, str) else upstream.url
        return {"endpoints": [url], **({"timeouts": timeouts} if timeouts else {})}

    return {
        "upstreams": {"legacy": side(legacy), "candidate": side(candidate)},
        "legacy": "legacy",
        "routes": [{"id": route, "match": {"path_prefix": "/"}, "candidate": "candidate", "stage": stage, **more}],
        **outer,
    }


OUTER = ("timeouts", "cohorts", "identity", "tester_key", "expose", "shadow_memory", "client_timeouts", "trusted_proxies",
         "ambiguous_paths")  # fmt: skip
