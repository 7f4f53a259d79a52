"""Clients: they ask for everything in every way, and look closely at what they get.

Law: each request has an id of its own and ends in exactly one record, within PATIENCE_SECONDS. What a client does is
worked out from the run's seed; only how long it takes is up to Banyan. A client that leaves does so on purpose.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from proxy.wire.tasks import spawn
from tests.chaos.payload import answer_body, error_body, make_id, request_body
from tests.chaos.plan import Phase
from tests.chaos.records import Record
from tests.chaos.routes import BY_ID, ROUTES, STAFF_HEADER, USERS, Route, path

PATIENCE_SECONDS = 25.0
"""Above every deadline of the configuration: who waits longer has been forgotten."""
THINK_SECONDS = 0.04
"""The mean pause of a client between two requests."""
READ_LIMIT = 256 * 1024
LARGE_BYTES = 32 * 1024
"""A body above it is sent while the answer is awaited: it may be refused half-way."""
OWN_STATUSES = frozenset({502, 503, 504})
"""With which Banyan itself may answer: these clients make no mistakes, and 500 is a bug."""

REQUEST_SIZES = ((0, 20, 2_000, 70_000, 300_000, 1_300_000), (20, 40, 30, 6, 3, 1))
"""Sizes and weights; the last is above `max_replay_body`."""
ANSWER_SIZES = ((0, 20, 2_000, 70_000, 300_000, 1_300_000), (5, 50, 35, 6, 3, 1))


@dataclass(slots=True)
class Weather:
    """What all clients share: where in the plan the run is, and whether to go on."""

    cycle: int = 0
    phase: Phase = "calm"
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while clients may begin requests."""
    over: bool = False
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """How one request is made."""

    size: int
    answer: int
    chunked: bool
    answer_chunked: bool
    old: bool
    """HTTP/1.0."""
    close: bool
    slow_send: bool
    slow_read: bool
    leave: str
    """"" or where the client goes away: "body", "sent", "head"."""


class Cut(Exception):  # noqa: N818 - an outcome, not an error
    """The answer ended before its framing said so."""


class Client:
    """One client with at most one connection and one request at a time."""

    def __init__(self, number: int, seed: int, address: tuple[str, int], weather: Weather, out: list[Record]) -> None:
        self._number = number
        self._dice = random.Random(f"{seed}/client {number}")
        self._address = address
        self._weather = weather
        self._out = out
        self._made = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._connected = 0.0

    async def run(self) -> None:
        """Ask until the weather says that it is over."""
        weather = self._weather
        while not weather.over:
            await weather.open.wait()
            if weather.over:
                break
            weather.under_way += 1
            try:
                await self._request()
            finally:
                weather.under_way -= 1
            await asyncio.sleep(self._dice.expovariate(1 / THINK_SECONDS))
        self._drop()

    # -- one request --------------------------------------------------------------------------------------------------

    def _shape(self, method: str) -> Shape:
        dice = self._dice
        size = 0 if method in ("GET", "HEAD") else dice.choices(*REQUEST_SIZES)[0]
        old = dice.random() < 0.03
        leave = dice.choice(("body", "sent", "head")) if dice.random() < 0.02 else ""
        return Shape(
            size=size,
            answer=dice.choices(*ANSWER_SIZES)[0],
            chunked=size > 0 and not old and dice.random() < 0.3,
            answer_chunked=dice.random() < 0.3,
            old=old,
            close=old or dice.random() < 0.05,
            slow_send=size > 0 and dice.random() < 0.03,
            slow_read=dice.random() < 0.02,
            leave=leave,
        )

    async def _request(self) -> None:
        dice, weather = self._dice, self._weather
        route = dice.choices(ROUTES, [each.weight for each in ROUTES])[0]
        method = dice.choices(list(route.methods), list(route.methods.values()))[0]
        self._made += 1
        record = Record(
            id=make_id(weather.cycle, self._number, self._made),
            route=route.id,
            method=method,
            user=f"user-{dice.randrange(USERS)}",
            staff=dice.random() < 0.1,
            keyed=method not in ("GET", "HEAD") and dice.random() < route.keyed,
            cycle=weather.cycle,
            phase=weather.phase,
        )
        shape = self._shape(method)
        record.hurried = not (shape.slow_send or shape.slow_read) and max(shape.size, shape.answer) <= LARGE_BYTES
        record.started = monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ask(record, route, shape)
        except TimeoutError:
            record.outcome = "hung"
            self._drop()
        record.ended = monotonic()
        record.phase_at_end = weather.phase
        self._out.append(record)

    async def _ask(self, record: Record, route: Route, shape: Shape) -> None:
        if self._reader is None or self._reader.at_eof():
            self._drop()
            try:
                self._reader, self._writer = await asyncio.open_connection(*self._address, limit=READ_LIMIT)
            except OSError:
                record.outcome = "refused"
                return
            self._connected = monotonic()
        record.connected = self._connected
        reader, writer = self._reader, self._writer
        assert writer is not None
        sending = spawn(self._send(writer, record, route, shape), "client sends") if shape.size > LARGE_BYTES else None
        keep = False
        try:
            if sending is None:
                await self._send(writer, record, route, shape)
            if shape.leave in ("body", "sent"):
                if sending is not None:
                    await sending
                await asyncio.sleep(self._dice.random() * 0.05)
                record.outcome = "left"
                return
            keep = await self._read(reader, record, shape) and not shape.close
        except (OSError, asyncio.IncompleteReadError):
            record.outcome = "truncated" if record.status else "reset"
        except Cut:
            record.outcome = "truncated"
        except (ValueError, asyncio.LimitOverrunError) as error:
            record.outcome, record.flaw = "truncated", f"no HTTP: {error!r}"[:200]
        finally:
            if sending is not None and not sending.done():  # answered before the request was whole
                keep = False
                sending.cancel()
            if sending is not None:
                with suppress(OSError, asyncio.CancelledError):
                    await sending
            if not keep:
                self._drop()

    async def _send(self, writer: asyncio.StreamWriter, record: Record, route: Route, shape: Shape) -> None:
        query = f"n={shape.size}&a={shape.answer}&c={int(shape.answer_chunked)}&s={route.style}"
        lines = [
            f"{record.method} {path(route.id, record.id)}?{query} HTTP/1.{0 if shape.old else 1}",
            "Host: chaos.example",
            f"X-Chaos-Id: {record.id}",
            f"X-User-Id: {record.user}",
        ]
        if record.staff:
            lines.append(f"{STAFF_HEADER}: 1")
        if record.keyed:
            lines.append(f"Idempotency-Key: {record.id}")
        if shape.close and not shape.old:
            lines.append("Connection: close")
        if shape.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif shape.size or record.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {shape.size}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        pieces = self._pieces(request_body(record.id, shape.size), shape)
        if shape.leave == "body":
            pieces = pieces[: len(pieces) // 2]
        if not shape.slow_send and shape.size <= LARGE_BYTES:
            writer.write(head + b"".join(pieces))
            return
        writer.write(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if shape.slow_send:
                await asyncio.sleep(self._dice.random() * 0.2)

    def _pieces(self, body: bytes, shape: Shape) -> list[bytes]:
        if not body:
            return []
        number = self._dice.randint(1, 8)
        step = max(1, len(body) // number)
        pieces = [body[i : i + step] for i in range(0, len(body), step)]
        if shape.chunked:
            pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
        return pieces

    # -- the answer ---------------------------------------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader, record: Record, shape: Shape) -> bool:
        """Read the answer into the record; whether the connection may be used again."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status, fields = _parse(head)
            if status >= 200:
                break
        record.status = status
        record.side, record.arm = fields.get("x-chaos-side", ""), fields.get("x-banyan-arm", "")
        if shape.leave == "head":
            record.outcome = "left"
            return False
        body = bytearray()
        try:
            await self._body(reader, record, shape, fields, body)
        finally:
            self._judge(record, shape, fields, bytes(body), whole=record.outcome == "complete")
        return fields.get("connection", "").lower() != "close" and not shape.old

    async def _body(
        self, reader: asyncio.StreamReader, record: Record, shape: Shape, fields: dict[str, str], body: bytearray
    ) -> None:
        if record.method == "HEAD" or record.status in (204, 304):
            pass
        elif fields.get("transfer-encoding", "").lower() == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await self._take(reader, size, shape, body)
                if await reader.readexactly(2) != b"\r\n":
                    record.flaw = "a chunk without an end"
                    raise Cut
            await reader.readuntil(b"\r\n")
        elif "content-length" in fields:
            await self._take(reader, int(fields["content-length"]), shape, body)
        else:
            while piece := await reader.read(65536):
                body += piece
        record.outcome = "complete"

    async def _take(self, reader: asyncio.StreamReader, size: int, shape: Shape, body: bytearray) -> None:
        while size:
            piece = await reader.read(min(size, 65536))
            if not piece:
                raise Cut
            body += piece
            size -= len(piece)
            if shape.slow_read:
                await asyncio.sleep(self._dice.random() * 0.1)

    def _judge(self, record: Record, shape: Shape, fields: dict[str, str], body: bytes, *, whole: bool) -> None:
        """Equation 4, on the spot: whoever answered, these are its bytes for this request, or a beginning of them
        that cannot be taken for all."""
        if record.flaw:
            return
        if "x-chaos-shadow" in fields:
            record.flaw = "a shadow's answer"
        elif not record.side:
            if record.status not in OWN_STATUSES:
                record.flaw = f"banyan's own answer {record.status} {body[:80]!r}"
        elif fields.get("x-chaos-id") != record.id:
            record.flaw = f"the answer to {fields.get('x-chaos-id')}"
        elif record.arm != record.side:
            record.flaw = f"banyan calls it {record.arm or 'nothing'}"
        else:
            expected = self._expected(record, shape)
            if whole and body != expected:
                what = "short" if expected.startswith(body) else "other"
                record.flaw = f"{what} body of {len(body)} bytes instead of {len(expected)} that looks whole"
            elif not expected.startswith(body):
                record.flaw = "a truncated body that is no beginning of the answer"

    def _expected(self, record: Record, shape: Shape) -> bytes:
        if record.method == "HEAD":
            return b""
        side = "legacy" if record.side == "legacy" else "candidate"
        if record.status >= 500:
            return error_body(side, record.id, record.status)
        return answer_body(BY_ID[record.route].style, side, record.id, shape.answer)

    def _drop(self) -> None:
        if self._writer is not None:
            if self._dice.random() < 0.3:
                self._writer.transport.abort()
            else:
                self._writer.close()
        self._reader = self._writer = None


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}
