"""One connection to an endpoint of an upstream.

Law: it carries one request at a time, for one owner; bytes that come without an owner, or after the end of an answer,
make it unusable: they can never become somebody's answer (RFC 9112 section 6.3). It is reusable only after an answer
that ended where its framing said.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httptools

from proxy.core.fields import (
    NEVER_NAMED_IN_CONNECTION,
    TO_CLIENT_DROPPED,
    Kind,
    classify,
    connection_tokens,
    shape_of,
    shapes,
)
from proxy.core.gate import CHUNKED
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.wire.body import Body, BodyError, ChunkedBody, CloseBody, LengthBody
from proxy.wire.downstream import READ_MARK_BYTES
from proxy.wire.head import Collector, FieldList
from proxy.wire.outbox import Sender
from proxy.wire.response import ResponseHead

if TYPE_CHECKING:
    from proxy.messages import Fields
    from proxy.wire.fiber import Fiber
    from proxy.wire.pool import Pool
    from proxy.wire.tunnel import Tunnel

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 200
"""Answers may have larger heads than requests: frameworks set many cookies."""
MAX_INTERIM_ANSWERS: Final = 16
"""1xx answers before the final one; more is an attack or a bug."""
RESCUE_BYTES: Final = 64 * 1024

_TRANSFER: Final = Kind.TRANSFER
_CONNECTION: Final = Kind.CONNECTION
_LENGTH: Final = Kind.LENGTH
_INTERIM: Final = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_NO_BODY: Final = (204, 304)


def _repeating(raw: bytes) -> tuple[Fields, list[tuple[int, tuple[bytes, bytes]]], int]:
    """(fields, those of any kind, all kinds) of a complete head that repeats a name; llhttp has accepted it before."""
    collector = FieldList()
    with suppress(httptools.HttpParserUpgrade):
        httptools.HttpResponseParser(collector).feed_data(raw)
    special = [(kind, field) for field in collector.fields if (kind := classify(field[0])[1])]
    kinds = 0
    for kind, _ in special:
        kinds |= kind
    return collector.fields, special, kinds


class UpstreamConnection(Sender):
    """The asyncio protocol of one upstream connection; ``owner`` is the fiber that is served by it now."""

    __slots__ = (
        "_buffer",
        "_duplicate",
        "_parser",
        "_parsing",
        "_paused",
        "_reusable",
        "_scanned",
        "_whole",
        "body",
        "eof",
        "heard",
        "idle_since",
        "interims",
        "owner",
        "pool",
        "tunnel",
        "unfinished",
        "writable",
    )

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.outbox)
        self.pool = pool
        self.owner: Fiber | None = None
        self.tunnel: Tunnel | None = None
        self.idle_since = 0.0
        self.eof = False
        self.writable = True
        self._duplicate = -1
        self.body: Body | None = None
        self.heard = False  # any byte of the current answer came
        self.interims = 0
        self._parser: httptools.HttpResponseParser | None = None
        self._parsing: Collector | None = None
        self._scanned = 0
        self._reusable = False
        self.unfinished = False  # the request has not been sent whole: what comes next would be read as its rest
        self._whole = False  # the buffer holds exactly the body
        self._buffer = b""
        self._paused = False

    # -- callbacks ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = transport  # type: ignore[assignment]  # a TCP client makes transports of both directions
        self.outbox.open += 1

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.tunnel is not None:
            self.tunnel.from_upstream(data)
            return
        if self.owner is None:
            self.transport.abort()  # nobody asked: whatever it is, it is nobody's answer
            return
        self.heard = True
        if self._whole:  # not of the answer, which was whole before: it has to be counted after all
            self.body, self._whole = LengthBody(len(self._buffer)), False
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > READ_MARK_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self.owner.wake()

    def eof_received(self) -> bool:
        """The upstream will send no more."""
        self.eof = True
        if self.tunnel is not None:
            self.tunnel.upstream_ended()
            return True
        if isinstance(self.body, CloseBody) and not self._buffer:
            self.body.done = True
        if self.owner is not None:
            self.owner.wake()
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self.lost = True
        self.outbox.open -= 1
        self._rescue()
        if self.tunnel is not None:
            self.tunnel.upstream_lost()
        if self.owner is not None:
            self.owner.wake()

    def pause_writing(self) -> None:
        """The upstream does not read as fast as we write."""
        self.writable = False
        if self.tunnel is not None:
            self.tunnel.upstream_full()

    def resume_writing(self) -> None:
        """The upstream has read enough."""
        self.writable = True
        if self.tunnel is not None:
            self.tunnel.upstream_drained()
        if self.owner is not None:
            self.owner.wake()

    # -- for the owner ------------------------------------------------------------------------------------------

    def write_eof(self) -> None:
        """Tell the upstream that nothing more will come, after everything written."""
        if not self.lost:
            self.flush()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:  # TLS cannot half-close
                self.transport.close()

    def keep_for_rescue(self) -> None:
        """Call before a body is streamed.

        An upstream may answer early and close; our next write then fails, and the event loop drops the connection with
        the answer still unread in the kernel. A second descriptor keeps it readable.
        """
        transport = self.transport
        if self._duplicate >= 0 or self.lost or transport.is_closing():
            return  # a new connection may be gone before it is used
        if transport.get_extra_info("ssl_object") is not None:
            return  # what the kernel holds of a TLS connection is not an answer
        if (sock := transport.get_extra_info("socket")) is not None:
            self._duplicate = os.dup(sock.fileno())

    def _rescue(self) -> None:
        if self._duplicate < 0:
            return
        descriptor, self._duplicate = self._duplicate, -1
        try:
            if self.owner is not None and not self.eof:
                os.set_blocking(descriptor, False)
                while len(self._buffer) < RESCUE_BYTES and (data := os.read(descriptor, RESCUE_BYTES)):
                    self.heard = True
                    self._buffer += data
        except OSError:  # nothing (more) to read
            pass
        finally:
            os.close(descriptor)

    def interim_pending(self) -> bool:
        """What has come is (the beginning of) a 1xx answer, or too little to tell."""
        return self._buffer[:10] in _INTERIM or len(self._buffer) < len(_INTERIM[0])

    def take_head(self, method: str) -> ResponseHead | None:
        """The next head (also a 1xx one), if it is complete; None if more bytes are needed.

        Raises :class:`ExchangeError` of kind INVALID_RESPONSE.
        """
        buffer = self._buffer
        if not buffer:
            return None
        parser, parsing = self._parser, self._parsing
        if parser is None or parsing is None:
            parsing = self._parsing = Collector()
            parser = self._parser = httptools.HttpResponseParser(parsing)
        scanned = self._scanned
        end = buffer.find(b"\r\n\r\n", scanned - 3 if scanned > 3 else 0)
        stop = end + 4 if end >= 0 else len(buffer)
        if stop > MAX_HEAD_BYTES:
            raise self._invalid("head too large")
        raw = buffer[:stop]
        try:
            parser.feed_data(raw[scanned:] if scanned else raw)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise self._invalid(str(error)) from None
        if end < 0:
            self._scanned = stop
            return None
        self._buffer = buffer[stop:]
        self._scanned = 0
        self._parser = self._parsing = None
        if self._paused:  # by interim answers
            self.proceed()
        return self._head(parser, parsing, raw, method)

    def _head(  # noqa: C901 - one pass over the fields, on the path of every answer
        self, parser: httptools.HttpResponseParser, parsing: Collector, raw: bytes, method: str
    ) -> ResponseHead:
        found = parsing.found
        if parsing.whole(raw):
            fields = list(found.items())
            shape = shapes.get(names := tuple(found)) or shape_of(names)
            kinds = shape.kinds
            special = [(kind, (name, found[name])) for kind, name in shape.telling]
        else:
            fields, special, kinds = _repeating(raw)
        status: int = parser.get_status_code()
        keep = raw.startswith(b"HTTP/1.1 ")
        if status < 100 or len(fields) > MAX_FIELDS or not (keep or raw.startswith(b"HTTP/1.0 ")):
            raise self._invalid("version, status or number of fields")
        length: int | None = None
        hidden: list[tuple[bytes, bytes]] = []
        named: set[bytes] = set()
        for kind, field in special:
            if kind == _LENGTH:
                length = int(field[1])  # llhttp has checked the digits
            elif kind & TO_CLIENT_DROPPED:
                hidden.append(field)
                if kind == _CONNECTION and field[1] != b"keep-alive":
                    named |= connection_tokens(field[1])
        if named:
            keep = keep and b"close" not in named
            named -= NEVER_NAMED_IN_CONNECTION
            hidden += [f for f in fields if f[0].lower() in named and not classify(f[0])[1] & TO_CLIENT_DROPPED]
        if kinds & _TRANSFER:
            length = self._chunked(fields)
        if status < 200:
            self.interims += 1
            if self.interims > MAX_INTERIM_ANSWERS:
                raise self._invalid("too many interim answers")
            return ResponseHead(status, fields, raw, kinds, 0, hidden)
        if method == "HEAD" or status in _NO_BODY:
            length = 0
        elif length == CHUNKED:
            self.body = ChunkedBody()
        elif length is None:
            self.body = CloseBody()
            self.body.done = self.eof and not self._buffer
            keep = False
        elif length:
            if length == len(self._buffer):
                self._whole = True  # nothing to count: take_body hands it over
            else:
                self.body = LengthBody(length)
        self._reusable = keep
        return ResponseHead(status, fields, raw, kinds, length, hidden)

    def _chunked(self, fields: list[tuple[bytes, bytes]]) -> int:
        """CHUNKED, if that is the one transfer coding; llhttp has refused it beside a Content-Length."""
        codings = [value.strip().lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        if codings != [b"chunked"]:
            raise self._invalid("transfer coding")
        return CHUNKED

    def take_body(self) -> bytes:
        """What has come of the answer's body, decoded; b"" if nothing has.

        Raises :class:`ExchangeError` of kind TRUNCATED if its framing is broken.
        """
        body = self.body
        if body is None:
            if not self._whole:
                return b""
            self._whole = False
            piece, self._buffer = self._buffer, b""
            return piece
        if not self._buffer:
            return b""
        try:
            piece, self._buffer = body.take(self._buffer)
        except BodyError as error:
            raise ExchangeError(FailureKind.TRUNCATED, Seen.ANSWER_STARTED, str(error)) from None
        if self._paused:
            self.proceed()
        if body.done:
            if type(body) is LengthBody:  # a chunked one still holds its trailers
                self.body = None
        elif self.eof and isinstance(body, CloseBody):
            body.done = True
        return piece

    def take_rest(self) -> bytes:
        """Everything unread, for a tunnel."""
        rest, self._buffer = self._buffer, b""
        return rest

    @property
    def body_done(self) -> bool:
        """The answer has been taken whole."""
        return not self._whole if self.body is None else self.body.done

    @property
    def pending(self) -> bool:
        """Bytes came that nobody has taken yet."""
        return bool(self._buffer)

    @property
    def ended(self) -> bool:
        """Nothing more will come, and nothing is left to take."""
        return (self.lost or self.eof) and not self._buffer

    def hold(self) -> None:
        """Do not read until :meth:`proceed`: the client is slower than the upstream."""
        if not self._paused and not self.lost:
            self._paused = True
            self.transport.pause_reading()

    def proceed(self) -> None:
        """Read again, unless what came before is enough for now."""
        if self._paused and not self.lost and len(self._buffer) <= READ_MARK_BYTES:
            self._paused = False
            self.transport.resume_reading()

    def release(self, now: float) -> None:
        """The owner is done at ``now`` (monotonic seconds): to the pool if the answer ended as it said, else closed."""
        usable = self._reusable and self.writable and self.body_done
        if not usable or self.unfinished or self._buffer or self._paused or self.eof or self.lost:
            self.discard()
            return
        self.owner = None
        if self._duplicate >= 0:
            self._drop_duplicate()
        self.body = None
        self.heard = self._reusable = False
        self.interims = 0
        self.pool.put(self, now)

    def discard(self) -> None:
        """The owner does not want what may still come: close now."""
        self.owner = None
        self._buffer = b""
        self._drop_duplicate()
        if not self.lost:
            self.transport.abort()

    def _drop_duplicate(self) -> None:
        if self._duplicate >= 0:
            os.close(self._duplicate)
            self._duplicate = -1

    def _invalid(self, detail: str) -> ExchangeError:
        return ExchangeError(FailureKind.INVALID_RESPONSE, Seen.MAYBE_SEEN, detail)
