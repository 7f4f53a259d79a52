"""One try on one upstream: send the request, get the head of the answer, pass the answer on.

Law: what the upstream may have seen decides what may happen next, so every failure that leaves here says it (see
:class:`proxy.errors.Seen`). Nothing is sent twice from here, but for one case: a kept connection that dies before any
byte of the answer, which common servers cause by closing idle connections, is replaced once, and only for a safe method
whose body (if any) is at hand.

Bodies stream. A copy of the request's is kept only while somebody may need it, and only up to its cap.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.config.model import SAFE_METHODS
from proxy.core.fields import Kind
from proxy.core.gate import CHUNKED
from proxy.core.heads import client_head, trailer_lines
from proxy.dataplane.stats import count
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.wire.body import ChunkedBody, chunk, last_chunk
from proxy.wire.tunnel import Tunnel

if TYPE_CHECKING:
    from proxy.core.gate import Admitted
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.runtime import UpstreamRuntime
    from proxy.wire.downstream import ClientConnection
    from proxy.wire.upstream import ResponseHead, UpstreamConnection

CONTINUE_SECONDS = 1.0
"""A client that waits for 100 (Continue) gets ours after this time, if the upstream says nothing."""

JOIN_BYTES = 16 * 1024
"""Up to this a head and its first body bytes leave in one write; above it the copy would cost more than the write."""


class RequestBody:
    """The body of a request, from its client to whoever needs it.

    ``kept`` holds everything that came so far while it is below ``cap``; None once it is not at hand any more.
    """

    __slots__ = ("_cap", "_client", "_limit", "chunked", "ended", "kept", "size")

    def __init__(self, client: ClientConnection, admitted: Admitted, cap: int, limit: int | None) -> None:
        self._client = client
        self._cap = cap
        self._limit = limit
        self.chunked = admitted.length == CHUNKED
        self.kept: list[bytes] | None = [] if cap >= admitted.length else None
        self.size = 0
        self.ended = False  # its end has been handed to the upstream of the current try
        if limit is not None and admitted.length > limit:
            raise ExchangeError(FailureKind.BODY_TOO_LARGE)

    @property
    def done(self) -> bool:
        """It has come whole."""
        return self._client.body_done

    def begin(self) -> bytes:
        """What an upstream gets first: everything kept, and what has come since; framed."""
        self.ended = False
        kept = b"".join(self.kept) if self.kept else b""
        return self._framed(kept + self._pull())

    def next(self) -> bytes:
        """What has come since the last call, framed; b"" if there is nothing to send.

        Raises :class:`ExchangeError` over the limit, for broken framing, and if the client left in the middle.
        """
        return self._framed(self._pull())

    def _pull(self) -> bytes:
        client = self._client
        piece = client.take_body()
        if piece:
            self.size += len(piece)
            if self._limit is not None and self.size > self._limit:
                raise ExchangeError(FailureKind.BODY_TOO_LARGE, Seen.MAYBE_SEEN)
            if self.kept is not None:
                if self.size > self._cap:
                    self.kept = None
                else:
                    self.kept.append(piece)
        elif client.eof and not client.pending and not client.body_done:
            raise ExchangeError(FailureKind.CLIENT_LEFT, Seen.MAYBE_SEEN, "the body broke off")
        return piece

    def _framed(self, piece: bytes) -> bytes:
        done = self._client.body_done
        data = piece
        if self.chunked:
            data = chunk(piece) if piece else b""
            if done and not self.ended and isinstance(body := self._client.body, ChunkedBody):
                data += last_chunk(trailer_lines(body.trailers))
        self.ended = done
        return data


async def ask(
    exchange: Exchange, upstream: UpstreamRuntime, mark: bytes, reserve: float
) -> tuple[UpstreamConnection, ResponseHead]:
    """Send the request to ``upstream`` and wait for the head of its final answer.

    ``mark`` are header lines for this try alone; ``reserve`` are seconds of the deadline to be left for a fallback. The
    caller owns the connection then. Raises :class:`ExchangeError`; the connection is given up before.
    """
    fiber = exchange.client.fiber
    pool = upstream.pick()
    connection = pool.take(fiber)
    reused = connection is not None
    while True:
        if connection is None:
            left = exchange.total_at - reserve - monotonic()
            connection = await pool.connect(fiber, max(0.001, min(upstream.timeouts.connect, left)))
        try:
            return connection, await _send(exchange, connection, upstream, mark, reserve)
        except ExchangeError as failure:
            connection.discard()
            stale = reused and failure.kind is FailureKind.RESET  # and so no byte of the answer was heard
            if not (stale and exchange.method in SAFE_METHODS and exchange.body_at_hand):
                raise
            count(exchange.stats.counters.retries, "stale-connection")
        except BaseException:
            connection.discard()
            raise
        connection, reused = None, False


async def _send(
    exchange: Exchange, connection: UpstreamConnection, upstream: UpstreamRuntime, mark: bytes, reserve: float
) -> ResponseHead:
    client, fiber, body, timeouts = exchange.client, exchange.client.fiber, exchange.body, upstream.timeouts
    head = b"%b%b\r\n" % (exchange.head, mark)
    if body is None:
        connection.write(head)
    else:
        data = body.begin()
        if len(data) <= JOIN_BYTES:
            connection.write(head + data)
        else:
            connection.write(head)
            connection.write(data)
        if not body.ended:
            connection.keep_for_rescue()
    sent = body is None or body.ended
    if sent:
        exchange.received()
    moved_at = monotonic()
    answer_by = moved_at + timeouts.first_byte
    while True:
        if not sent and body is not None:
            while connection.writable and (data := body.next()):
                connection.write(data)
                moved_at = monotonic()
            if body.ended:
                sent = True
                exchange.received()
                answer_by = moved_at + timeouts.first_byte
        head_of_answer = connection.take_head(exchange.method)
        if head_of_answer is not None:
            if head_of_answer.status >= 200:
                return head_of_answer
            if head_of_answer.status == 101:
                if exchange.admitted.upgrade:
                    return head_of_answer
                raise ExchangeError(FailureKind.INVALID_RESPONSE, Seen.MAYBE_SEEN, "101 without Upgrade")
            exchange.interim(head_of_answer)
            continue
        if connection.lost or connection.eof:
            kind = FailureKind.INVALID_RESPONSE if connection.heard else FailureKind.RESET
            raise ExchangeError(kind, Seen.MAYBE_SEEN)
        if client.lost:
            raise ExchangeError(FailureKind.CLIENT_LEFT, Seen.MAYBE_SEEN)
        if sent:
            total_at = exchange.total_at - reserve
            if total_at < answer_by:
                await fiber.park(total_at, FailureKind.TOTAL_TIMEOUT)
            else:
                await fiber.park(answer_by, FailureKind.FIRST_BYTE_TIMEOUT)
        else:
            await _wait_for_body(exchange, connection, moved_at, timeouts.idle)


async def _wait_for_body(exchange: Exchange, connection: UpstreamConnection, moved_at: float, idle: float) -> None:
    client = exchange.client
    if not connection.writable:
        await client.fiber.park(moved_at + idle, FailureKind.IDLE_TIMEOUT)
        return
    body_by = moved_at + exchange.runtime.clocks.body_idle
    if exchange.awaits_continue:
        continue_at = exchange.started_at + CONTINUE_SECONDS
        if monotonic() >= continue_at:
            exchange.send_continue()
        elif continue_at < body_by:
            await client.fiber.park(continue_at)
            return
    await client.fiber.park(body_by, FailureKind.BODY_TIMEOUT)


async def relay(exchange: Exchange, connection: UpstreamConnection, head: ResponseHead, idle: float) -> None:
    """Pass the answer on to the client, to its end. Raises :class:`ExchangeError` with Seen.ANSWER_STARTED."""
    client = exchange.client
    length = head.length
    old_client = exchange.admitted.request.version == "1.0"
    to_end = False  # the end of the connection is the end of the body
    chunked = length is None or length == CHUNKED
    if chunked and old_client:
        chunked, to_end = False, True
    request_open = exchange.body is not None and not exchange.body.done
    keep = exchange.admitted.keep_alive and not to_end and not request_open and not exchange.draining
    exchange.keep = keep
    extra = exchange.client_extra
    if not keep:
        extra += b"Connection: close\r\n"
    if not head.has_date:
        extra += b"Date: %b\r\n" % exchange.date
    fields, raw, kinds = head.fields, head.raw, head.kinds
    if head.status == 204 and kinds & Kind.LENGTH:  # a body it must not have; some clients would wait for it
        fields = [field for field in fields if field[0].lower() != b"content-length"]
        raw = b""
    frame_chunked = CHUNKED if chunked and connection.body is not None else None
    if frame_chunked is not None and not kinds & Kind.TRANSFER:
        raw = b""  # close-delimited: the head has to be told of the chunks
    data = client_head(raw, head.status, head.reason, fields, kinds, length=frame_chunked, extra=extra)
    exchange.status = head.status
    exchange.capture_head(head)
    exchange.answering = True
    try:
        piece = connection.take_body()
        while True:
            if piece:
                exchange.capture(piece)
                if frame_chunked is not None:
                    piece = chunk(piece)
            done = connection.body_done
            if done and frame_chunked is not None:
                trailers = connection.body.trailers if isinstance(connection.body, ChunkedBody) else []
                piece += last_chunk(trailer_lines(trailers))
            if data and len(piece) <= JOIN_BYTES:
                client.write(data + piece)
            else:
                if data:
                    client.write(data)
                if piece:
                    client.write(piece)
            data = b""
            if done:
                break
            piece = await _next_piece(exchange, connection, idle)
    except ExchangeError as failure:
        if to_end and failure.kind is not FailureKind.CLIENT_LEFT:
            client.abort(reset=True)  # only a reset tells an HTTP/1.0 client that this was not the end
        raise ExchangeError(failure.kind, Seen.ANSWER_STARTED, failure.detail) from None
    if request_open:
        connection.discard()
    else:
        connection.release()


async def _next_piece(exchange: Exchange, connection: UpstreamConnection, idle: float) -> bytes:
    """Wait until there is more of the answer (or it is at its end) and the client can take it."""
    client, fiber, body = exchange.client, exchange.client.fiber, exchange.body
    by = monotonic() + idle
    while True:
        if client.lost:
            raise ExchangeError(FailureKind.CLIENT_LEFT)
        if not client.writable:
            connection.hold()
            await fiber.park(monotonic() + exchange.runtime.clocks.write_idle, FailureKind.WRITE_TIMEOUT)
            by = monotonic() + idle
            continue
        connection.proceed()
        if body is not None and not body.ended and not connection.lost and connection.writable:
            if data := body.next():
                connection.write(data)
        piece = connection.take_body()
        if piece or connection.body_done:
            return piece
        if connection.ended:
            raise ExchangeError(FailureKind.TRUNCATED)
        await fiber.park(by, FailureKind.IDLE_TIMEOUT)


async def tunnel(exchange: Exchange, connection: UpstreamConnection, head: ResponseHead, idle: float) -> None:
    """Pass the 101 on, then bytes both ways until either side ends or both are silent for ``idle`` seconds."""
    client = exchange.client
    exchange.status = 101
    exchange.answering = True
    client.write(head.raw)
    connection.owner = None
    link = Tunnel(client, connection)
    while not link.over:
        await client.fiber.park(link.active + idle)
        if not link.over and monotonic() - link.active >= idle:
            link.close()
