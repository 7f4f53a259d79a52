"""One client's connection.

Law: callbacks only note what happened and wake the fiber; the fiber reads heads and bodies out of the buffer when it
wants them. The buffer is bounded: above the mark the socket is not read. Nothing of a request remains here when the
next one begins.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import httptools

from proxy.core import gate
from proxy.core.fields import shape_of, shapes
from proxy.core.request import Request
from proxy.errors import ExchangeError, FailureKind
from proxy.wire.body import Body, BodyError, ChunkedBody, LengthBody
from proxy.wire.fiber import NEVER, Fiber
from proxy.wire.head import Collector, FieldList
from proxy.wire.outbox import Outbox, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.wire.tunnel import Tunnel

READ_MARK_BYTES: Final = 256 * 1024
"""Unread bytes above which the socket is not read: a body that waits for its upstream, or a flood of pipelining."""

CLOSE_SECONDS: Final = 60.0
"""How long a closed connection may take to swallow what was written before."""

_SPACE: Final = 0x20
_TAB: Final = 0x09
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def _repeating(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a complete request head that repeats a name; llhttp has accepted it before."""
    collector = FieldList()
    with suppress(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(collector).feed_data(raw)
    return collector.fields


class ClientConnection(Sender):
    """The asyncio protocol of one client connection; ``fiber`` runs its requests one after the other."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_opened",
        "_parser",
        "_parsing",
        "_paused",
        "_scanned",
        "abort_at",
        "body",
        "eof",
        "eof_at",
        "fiber",
        "forwarded",
        "peer",
        "serving",
        "tunnel",
        "writable",
    )

    def __init__(
        self,
        outbox: Outbox,
        opened: Callable[[ClientConnection], None],
        closed: Callable[[ClientConnection], None],
    ) -> None:
        super().__init__(outbox)
        self.fiber = Fiber()
        self._opened = opened
        self._closed = closed
        self.peer = ""
        self.forwarded = b""  # the beginning of what upstreams are told of this client
        self.body: Body | None = None
        self.tunnel: Tunnel | None = None
        self.abort_at = NEVER  # monotonic; when a closing connection is cut
        self.writable = True
        self.eof = False
        self.eof_at = 0.0  # monotonic; when the client sent its last byte
        self.serving = True  # a request is under way, or the first has yet to come
        self._buffer = b""
        self._scanned = 0
        self._parser: httptools.HttpRequestParser | None = None
        self._parsing: Collector | None = None
        self._paused = False

    # -- callbacks ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self.transport = transport  # type: ignore[assignment]  # a TCP server makes transports of both directions
        self.outbox.open += 1
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self.forwarded = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " % self.peer.encode()
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.tunnel is not None:
            self.tunnel.from_client(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > READ_MARK_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self.fiber.wake()

    def eof_received(self) -> bool:
        """The client will send no more; it may still read (half-close), so the answer is finished first."""
        self.eof = True
        self.eof_at = monotonic()
        if self.tunnel is not None:
            self.tunnel.client_ended()
        self.fiber.wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self.lost = True
        self.outbox.open -= 1
        self._closed(self)
        if self.tunnel is not None:
            self.tunnel.client_lost()
        self.fiber.wake()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self.writable = False
        if self.tunnel is not None:
            self.tunnel.client_full()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self.writable = True
        if self.tunnel is not None:
            self.tunnel.client_drained()
        self.fiber.wake()

    # -- for the fiber ------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Bytes came that nobody has taken yet."""
        return bool(self._buffer)

    def take_head(  # noqa: C901 - one way in for every head, whole or in pieces
        self, max_bytes: int, max_fields: int, instance: bytes
    ) -> Request | None:
        """The next request, if its head is complete; None if more bytes are needed.

        Raises :class:`ExchangeError` for what is not to be served; the connection must then be closed.
        """
        buffer = self._buffer
        parser, parsing, scanned = self._parser, self._parsing, self._scanned
        if parser is None or parsing is None:
            if buffer[0] < _SPACE:
                buffer = self._skip_empty_line(buffer)
                if not buffer:
                    return None
            parsing = Collector()
            parser = httptools.HttpRequestParser(parsing)
        size = len(buffer)
        if scanned == size:
            return None
        end = buffer.find(b"\r\n\r\n", scanned - 3 if scanned > 3 else 0)
        stop = end + 4 if end >= 0 else size
        if stop > max_bytes:
            line = buffer.find(b"\r\n", 0, max_bytes)
            raise ExchangeError(FailureKind.TARGET_TOO_LONG if line < 0 else FailureKind.HEAD_TOO_LARGE)
        raw = buffer if stop == size else buffer[:stop]
        try:
            parser.feed_data(raw[scanned:] if scanned else raw)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserInvalidMethodError:
            unknown = gate.unknown_method(buffer)
            raise ExchangeError(FailureKind.METHOD_UNKNOWN if unknown else FailureKind.BAD_REQUEST) from None
        except httptools.HttpParserError as error:
            raise ExchangeError(FailureKind.BAD_REQUEST, detail=str(error)) from None
        if end < 0:
            self._parser, self._parsing, self._scanned = parser, parsing, stop
            if self._paused:  # a head may be larger than the mark, if the configuration says so
                self._paused = False
                self.transport.resume_reading()
            return None
        self._buffer = buffer[stop:] if stop != size else b""
        if self._paused:
            self._read_on()
        if scanned:
            self._parser, self._parsing, self._scanned = None, None, 0
        found, urls = parsing.found, parsing.urls
        target = urls[0] if len(urls) == 1 else b"".join(urls)
        whole = parsing.whole(raw)
        fields = list(found.items()) if whole else _repeating(raw)
        if len(fields) > max_fields:  # before anything is worked out for each of them
            raise ExchangeError(FailureKind.HEAD_TOO_LARGE, detail="too many fields")
        shape = (shapes.get(names := tuple(found)) or shape_of(names)) if whole else None
        tidy = raw.find(b" \r\n") < 0 and _TAB not in raw
        if not tidy:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        method: bytes = parser.get_method()
        at = len(method) + 1
        version: str = "1.1"
        if not (raw.startswith(b" HTTP/1.1\r\n", at + len(target)) and target.startswith(b"/")):
            tidy = False
            version = parser.get_http_version()
        request = gate.admit(method.decode(), version, target, fields, shape, instance=instance)
        request.raw = raw
        request.tidy = tidy
        if length := request.length:
            self.body = ChunkedBody() if length == gate.CHUNKED else LengthBody(length)
        return request

    def _skip_empty_line(self, buffer: bytes) -> bytes:
        """One empty line before a request is forgiven (RFC 9112 section 2.2)."""
        if buffer == b"\r":
            return b""
        if not buffer.startswith(b"\r\n"):
            raise ExchangeError(FailureKind.BAD_REQUEST, detail="a line ends without CR LF")
        self._buffer = buffer = buffer[2:]
        return buffer

    def take_body(self) -> bytes:
        """What has come of the body of the current request, decoded; b"" if nothing has.

        Raises :class:`ExchangeError` if its framing is broken.
        """
        body = self.body
        if body is None or not self._buffer:
            return b""
        try:
            piece, self._buffer = body.take(self._buffer)
        except BodyError as error:
            raise ExchangeError(FailureKind.BAD_REQUEST, detail=str(error)) from None
        self._read_on()
        return piece

    @property
    def body_done(self) -> bool:
        """The body of the current request has been taken whole (also if it has none)."""
        return self.body is None or self.body.done

    @property
    def body_arrived(self) -> bool:
        """The body of the current request is here whole, taken or not; a chunked one is known only when it is taken."""
        body = self.body
        return self.body_done or (isinstance(body, LengthBody) and len(self._buffer) >= body.left)

    def _read_on(self) -> None:
        if self._paused and len(self._buffer) <= READ_MARK_BYTES and not self.lost:
            self._paused = False
            self.transport.resume_reading()

    def discard(self) -> None:
        """Forget what has come: the connection will be closed, and its rest must not be read as a request."""
        self._buffer = b""
        self._read_on()

    def take_rest(self) -> bytes:
        """Everything unread, for a tunnel."""
        rest, self._buffer = self._buffer, b""
        self._read_on()
        return rest

    def write_eof(self) -> None:
        """Tell the client that nothing more will come, after everything written."""
        if not self.lost:
            self.flush()
            self.transport.write_eof()

    def close(self) -> None:
        """Close when everything written has been sent; the sweep cuts a client that does not take it."""
        if not self.lost:
            self.abort_at = monotonic() + CLOSE_SECONDS
            self.flush()
            self.transport.close()

    def abort(self, reset: bool = False) -> None:
        """Close now. ``reset``: also tell a client that can only see an end of data that it was not the end."""
        if self.lost:
            return
        if reset:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.flush()
            self.transport.close()
        else:
            self.transport.abort()
