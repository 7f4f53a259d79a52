"""A service under test: ``python -m tests.chaos.service SIDE PORT LEDGER [FAST]``.

Law: it answers nothing that is not in its ledger, and it notes what was wrong with each request that reached it: an
upstream is where a proxy's mistakes with bodies and framing show. ``PUT /-/mode`` with a JSON object tells it how to
misbehave, by shares of its requests (see :class:`Mode`). A ledger named ``-`` is none.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import socket
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httptools
import uvloop

from proxy.wire.tasks import spawn
from tests.chaos.ledger import AUTHORITATIVE, SHADOW, Entry, Ledger
from tests.chaos.payload import Side, answer_body, content_type, error_body, request_body

BACKLOG = 2048
PIECE_BYTES = 16_000
_PR_SET_PDEATHSIG = 1


@dataclass
class Mode:
    """Shares of the requests (0 to 1) that meet each misbehaviour; at most one of them each."""

    fail: float = 0.0
    """Answered with a 5xx."""
    garbage: float = 0.0
    """Answered with what is no HTTP."""
    late: float = 0.0
    """Answered late, by up to ``late_seconds``."""
    close: float = 0.0
    """The connection is closed instead of an answer."""
    cut: float = 0.0
    """The connection is closed in the middle of the answer."""
    drop: float = 0.0
    """The connection is closed right after the answer, unannounced."""
    interim: float = 0.0
    """A 103 goes before the answer."""
    late_seconds: float = 0.0

    def choose(self, dice: random.Random) -> str:
        """The misbehaviour of one request; "" for none."""
        left = dice.random()
        for share in ("fail", "garbage", "late", "close", "cut", "drop", "interim"):
            left -= getattr(self, share)
            if left < 0:
                return share
        return ""


def garbage(side: Side, request: str, dice: random.Random) -> bytes:
    """An answer that no proxy may pass on."""
    return dice.choice(
        [
            dice.randbytes(400),
            b"HTTP/1.1 banana\r\n\r\n",
            b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chaos\r\nConnection: Upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            # The head of this one is good: to a HEAD it is an answer.
            b"HTTP/1.1 200 OK\r\nX-Chaos-Side: %b\r\nX-Chaos-Id: %b\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"
            % (side.encode(), request.encode()),
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
            b"\r\n\r\n\r\n" + b"\0" * 100,
        ]
    )


class Service:
    """What the connections of one process share."""

    def __init__(self, side: Side, ledger: Ledger | None) -> None:
        self.side = side
        self.ledger = ledger
        self.mode = Mode()
        self.dice = random.Random()

    def set_mode(self, body: bytes) -> None:
        """Misbehave as told from now on."""
        known = {field.name for field in fields(Mode)}
        self.mode = Mode(**{name: value for name, value in json.loads(body).items() if name in known})


class Connection(asyncio.Protocol):
    """One connection from Banyan, one request at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._busy = False
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._fields: dict[str, str] = {}
        self._pieces: list[bytes] = []

    # -- asyncio and httptools ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's does not say that it is one

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            spawn(self._broken(f"{type(error).__name__}:{data[:60]!r}".replace(" ", "_")), "broken")

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._busy:
            spawn(self._broken("a-second-request-before-the-answer"), "broken")
            return
        self._busy = True
        method, target = self._parser.get_method().decode(), self._target.decode("latin-1")
        received, body = self._fields, b"".join(self._pieces)
        self._begin()
        if target == "/-/mode":
            self._service.set_mode(body)
            self._send(200, "text/plain", b"", {}, keep=True)
            return
        spawn(self._serve(method, target, received, body), "serve")

    # -- answering ----------------------------------------------------------------------------------------------------

    async def _broken(self, why: str) -> None:
        """The request was no HTTP: with Banyan in front that is its fault, whatever else is broken."""
        if self._service.ledger is not None:
            await self._service.ledger.append(Entry("-", "-", AUTHORITATIVE, "-", why))
        self._transport.close()

    async def _serve(self, method: str, target: str, received: dict[str, str], body: bytes) -> None:
        service = self._service
        url = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        request = url.path.rsplit("/", 1)[-1]
        mark = SHADOW if "x-banyan-shadow" in received else received.get("x-banyan-fallback", AUTHORITATIVE)
        if service.ledger is not None:
            flaw = "ok"
            if body != request_body(request, int(asked.get("n", "0"))):
                flaw = f"body-of-{len(body)}-bytes-is-not-the-client's"
            elif received.get("x-chaos-id") != request:
                flaw = "another-id-in-the-header"
            entry = Entry(request, method, mark, received.get("x-request-id", "-"), flaw)
            await service.ledger.append(entry)
        deed = service.mode.choose(service.dice)
        if deed == "late":
            await asyncio.sleep(service.dice.random() * service.mode.late_seconds)
        if self._transport.is_closing():
            return
        if deed == "close":
            self._transport.close()
        elif deed == "garbage":
            self._transport.write(garbage(service.side, request, service.dice))
        else:
            self._answer(method, request, asked, shadow=mark == SHADOW, deed=deed)

    def _answer(self, method: str, request: str, asked: dict[str, str], *, shadow: bool, deed: str) -> None:
        side = self._service.side
        marks = {"X-Chaos-Side": side, "X-Chaos-Id": request}
        if shadow:
            marks["X-Chaos-Shadow"] = "1"
        if deed == "fail":
            status = self._service.dice.choice((500, 502, 503, 504))
            kind, data = "text/plain", error_body(side, request, status)
        else:
            style = asked.get("s", "own")
            status = 201 if method == "POST" else 200
            kind, data = content_type(style), answer_body(style, side, request, int(asked.get("a", "20")))  # type: ignore[arg-type]  # the client says one of them
        if deed == "interim":
            self._transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </chaos>\r\n\r\n")
        self._send(status, kind, data, marks, method=method, chunked=asked.get("c") == "1", cut=deed == "cut")
        if deed == "drop":
            self._transport.close()

    def _send(
        self,
        status: int,
        kind: str,
        data: bytes,
        marks: dict[str, str],
        *,
        method: str = "GET",
        chunked: bool = False,
        cut: bool = False,
        keep: bool = True,
    ) -> None:
        lines = [f"HTTP/1.1 {status} Chaos", f"Content-Type: {kind}", *(f"{k}: {v}" for k, v in marks.items())]
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(data)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if method == "HEAD":
            data = b""
        elif chunked:
            pieces = [data[i : i + PIECE_BYTES] for i in range(0, len(data), PIECE_BYTES)]
            data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        whole = head + data
        if cut:
            self._transport.write(whole[: self._service.dice.randrange(len(whole))])
            self._transport.close()
            return
        self._transport.write(whole)
        self._busy = False


async def serve(side: Side, port: int, path: str) -> None:
    """Serve until SIGTERM."""
    service = Service(side, None if path == "-" else Ledger(Path(path)))
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    server = await loop.create_server(lambda: Connection(service), sock=sock, backlog=BACKLOG)
    await over.wait()
    server.close()


def main() -> None:
    """The process. It dies with the one that started it, even if that one is killed while this one is stopped."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    side, port, path = sys.argv[1:4]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(side, int(port), path))  # type: ignore[arg-type]  # the caller says one of the two
    os._exit(0)


if __name__ == "__main__":
    main()
