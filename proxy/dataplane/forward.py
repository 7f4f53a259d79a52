"""One try on one upstream: send the request, get the head of the answer, pass the answer on.

Law: what the upstream may have seen decides what may happen next, so every failure that leaves here says it (see
:class:`proxy.errors.Seen`). Nothing is sent twice from here, but for one case: a kept connection that dies before any
byte of the answer, which common servers cause by closing idle connections, is replaced once, and only for a safe method
whose body (if any) is at hand.

Bodies stream. A copy of the request's is kept only while somebody may need it, and only up to its cap.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.core.deadline import try_deadline
from proxy.core.fields import Kind
from proxy.core.gate import CHUNKED
from proxy.core.heads import client_head, marked, trailer_lines
from proxy.dataplane.stats import count
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.wire.body import ChunkedBody, chunk, last_chunk
from proxy.wire.tunnel import Tunnel

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.request_body import RequestBody
    from proxy.dataplane.upstreams import Way
    from proxy.wire.downstream import ClientConnection
    from proxy.wire.pool import Pool
    from proxy.wire.response import ResponseHead
    from proxy.wire.upstream import UpstreamConnection

CONTINUE_SECONDS: Final = 1.0
"""A client that waits for 100 (Continue) gets ours after this time, if the upstream says nothing."""

JOIN_BYTES: Final = 16 * 1024
"""Up to this a head and its first body bytes leave in one write; above it the copy would cost more than the write."""

HALF_CLOSED_SECONDS: Final = 5.0
"""How long an answer of unknown length may be silent before a client that has half-closed counts as gone."""


async def ask(  # noqa: C901 - one loop that reads from top to bottom; in parts it would only be longer
    exchange: Exchange, way: Way, pool: Pool, mark: bytes, reserve: float, begun: float
) -> tuple[UpstreamConnection, ResponseHead]:
    """Send the request over ``pool`` and wait for the head of its final answer.

    ``mark`` are header lines for this try alone; ``reserve`` are seconds of the deadline to be left for a fallback;
    ``begun`` is when the try began (monotonic seconds). The caller owns the connection then. Raises
    :class:`ExchangeError`; the connection is given up before.
    """
    client, body, timeouts = exchange.client, exchange.body, way.timeouts
    fiber, per_try = client.fiber, timeouts.per_try
    connection = pool.take(fiber, exchange.now)
    reused = connection is not None
    while True:
        if connection is None:
            left = try_deadline(begun, exchange.total_at - reserve, per_try) - monotonic()
            connection = await pool.connect(fiber, max(0.001, min(timeouts.connect, left)))
        try:
            if client.lost:
                raise ExchangeError(FailureKind.CLIENT_LEFT)
            if connection.lost or connection.eof:  # a new one that was closed at once: nothing has been written
                raise ExchangeError(FailureKind.RESET, Seen.NOT_SENT)
            head_bytes = marked(exchange.head, mark) if mark else exchange.head
            if body is None:
                connection.write(head_bytes)
                now = exchange.now if reused else monotonic()
                exchange.received(now)
            else:
                await _send_body(exchange, connection, head_bytes, body, timeouts.idle)
                now = exchange.sent_at = monotonic()
                if body.ended:
                    exchange.received(now)
            by, late = now + timeouts.first_byte, FailureKind.FIRST_BYTE_TIMEOUT
            if per_try:
                by = min(by, (begun if body is None else now) + per_try)
            if exchange.total_at - reserve < by:
                by, late = exchange.total_at - reserve, FailureKind.TOTAL_TIMEOUT
            while True:
                if connection.heard:
                    head = connection.take_head(exchange.request.method)
                    if head is not None:
                        if head.status >= 200 or (head.status == 101 and exchange.request.upgrade):
                            exchange.now = monotonic()
                            return connection, head
                        exchange.interim(head)
                        continue
                if connection.lost or connection.eof:
                    raise ExchangeError(_broke_off(connection), Seen.MAYBE_SEEN)
                if client.lost:
                    raise ExchangeError(FailureKind.CLIENT_LEFT, Seen.MAYBE_SEEN)
                if client.eof and exchange.request.safe:
                    # It sends no more. Nearly always it has left, which only a write would show; a write is let finish.
                    left_at = client.eof_at + exchange.runtime.clocks.half_closed
                    if left_at < by:
                        by, late = left_at, FailureKind.CLIENT_LEFT
                await fiber.park(by, late)
        except ExchangeError as failure:
            connection.discard()
            stale = reused and failure.kind is FailureKind.RESET  # so not a byte of an answer was heard
            if not (stale and exchange.request.safe and exchange.body_at_hand):
                raise
            count(exchange.stats.counters.retries, "stale-connection")
            exchange.note(way, pool.url, failure.kind.value, monotonic() - begun)
            exchange.why = "retry"
        except BaseException:
            connection.discard()
            raise
        connection, reused = None, False


def _broke_off(connection: UpstreamConnection) -> FailureKind:
    return FailureKind.INVALID_RESPONSE if connection.heard else FailureKind.RESET


async def _send_body(
    exchange: Exchange, connection: UpstreamConnection, head: bytes, body: RequestBody, idle: float
) -> None:
    """Send head and body; returns when the body has ended or the upstream begins to answer before that."""
    client = exchange.client
    data = body.begin()
    if len(data) <= JOIN_BYTES:
        connection.write(head + data)
    else:
        connection.write(head)
        connection.write(data)
    if body.ended:
        return
    connection.unfinished = True
    connection.keep_for_rescue()
    moved_at = monotonic()
    while not body.ended:
        if connection.heard:
            if connection.interim_pending():
                interim = connection.take_head(exchange.request.method)
                if interim is not None:
                    exchange.interim(interim)
                    continue
            else:
                return
        if connection.lost or connection.eof:
            raise ExchangeError(_broke_off(connection), Seen.MAYBE_SEEN)
        if client.lost:
            raise ExchangeError(FailureKind.CLIENT_LEFT, Seen.MAYBE_SEEN)
        if not connection.writable:
            await client.fiber.park(moved_at + idle, FailureKind.IDLE_TIMEOUT)
        elif data := body.next():
            connection.write(data)
            moved_at = monotonic()
            connection.unfinished = not body.ended
            if client.pending and not body.ended:
                await client.fiber.others_first()
        elif body.ended:
            connection.unfinished = False
        else:
            await _wait_for_body(exchange, moved_at)


async def _wait_for_body(exchange: Exchange, moved_at: float) -> None:
    """Wait for the client; if it waits for 100 (Continue) and the upstream is silent, tell it to go on."""
    fiber = exchange.client.fiber
    by = moved_at + exchange.runtime.clocks.body_idle
    if exchange.awaits_continue:
        continue_at = exchange.started + CONTINUE_SECONDS
        if monotonic() >= continue_at:
            exchange.send_continue()
        elif continue_at < by:
            await fiber.park(continue_at)
            return
    await fiber.park(by, FailureKind.BODY_TIMEOUT)


def start_answer(exchange: Exchange, connection: UpstreamConnection, head: ResponseHead, bandwidth: int = 0) -> bool:
    """Pass on the answer's head and what has come of its body. Returns whether that was all of it.

    Most answers are whole here, in one write; with a ``bandwidth`` (see :func:`continue_answer`) it is the head alone.
    Raises :class:`ExchangeError` for broken framing.
    """
    request, body = exchange.request, exchange.body
    length, hidden = head.length, head.hidden
    chunked = exchange.ends_with_connection = False
    if length is None or length == CHUNKED:
        if request.version == "1.0":
            exchange.ends_with_connection = True
        else:
            chunked = True
    exchange.chunked = chunked
    if head.status == 204 and head.kinds & Kind.LENGTH:  # it has no body, but some clients would wait for one
        hidden = hidden + [field for field in head.fields if field[0].lower() == b"content-length"]
    keep = request.keep_alive and not exchange.draining and not exchange.ends_with_connection
    exchange.keep = keep = keep and (body is None or body.done)
    extra = exchange.client_extra
    if not keep:
        extra += b"Connection: close\r\n"
    if not head.kinds & Kind.DATE:
        extra += b"Date: %b\r\n" % exchange.date
    try:
        piece = b"" if bandwidth else connection.take_body()
    except ExchangeError as failure:  # nothing of it was passed on yet
        raise ExchangeError(FailureKind.INVALID_RESPONSE, Seen.MAYBE_SEEN, failure.detail) from None
    done = connection.body_done
    exchange.status = head.status
    exchange.answering = True
    exchange.sent = len(piece)
    exchange.cover(head, empty=done and not piece)
    if exchange.glimpse is not None:
        exchange.glimpse.capture(piece)
    if exchange.pairing is not None:
        exchange.pairing.capture_head(head)
        exchange.pairing.capture(piece)
    data = client_head(head.raw, hidden, chunked=chunked, extra=extra)
    if chunked:
        piece = _in_chunks(connection, piece, done=done)
    if len(piece) <= JOIN_BYTES:
        exchange.client.write(data + piece if piece else data)
    else:
        exchange.client.write(data)
        exchange.client.write(piece)
    if done:
        connection.release(exchange.now)
    return done


def _in_chunks(connection: UpstreamConnection, piece: bytes, *, done: bool) -> bytes:
    data = chunk(piece) if piece else b""
    if done:
        body = connection.body
        data += last_chunk(trailer_lines(body.trailers) if isinstance(body, ChunkedBody) else b"")
    return data


async def continue_answer(exchange: Exchange, connection: UpstreamConnection, idle: float, bandwidth: int = 0) -> None:
    """Pass on the rest of the answer, at ``bandwidth`` bytes per second (0: as it comes).

    Raises :class:`ExchangeError` with Seen.ANSWER_STARTED.
    """
    client = exchange.client
    try:
        while True:
            piece = await _next_piece(exchange, connection, idle)
            done = connection.body_done
            if piece and exchange.pairing is not None:
                exchange.pairing.capture(piece)
            if piece and exchange.glimpse is not None:
                exchange.glimpse.capture(piece)
            if bandwidth:
                connection.hold()
                exchange.not_timed()
                piece = await _drip(exchange, piece, bandwidth)
            exchange.sent += len(piece)
            if exchange.chunked:
                piece = _in_chunks(connection, piece, done=done)
            if piece:
                client.write(piece)
            if done:
                break
    except ExchangeError as failure:
        if exchange.ends_with_connection and failure.kind is not FailureKind.CLIENT_LEFT:
            client.abort(reset=True)  # only a reset tells an HTTP/1.0 client that this was not the end
        raise ExchangeError(failure.kind, Seen.ANSWER_STARTED, failure.detail) from None
    exchange.now = monotonic()
    connection.release(exchange.now)


async def _drip(exchange: Exchange, piece: bytes, bandwidth: int) -> bytes:
    """Pass a piece on, some of it ten times a second; returns the last of it when its time has come."""
    size, at = max(1, bandwidth // 10), 0
    while True:
        part = piece[at : at + size]
        await sleep(exchange, len(part) / bandwidth)
        at += size
        if at >= len(piece):
            return part
        exchange.sent += len(part)
        exchange.client.write(chunk(part) if exchange.chunked else part)


async def _next_piece(exchange: Exchange, connection: UpstreamConnection, idle: float) -> bytes:
    """Wait until there is more of the answer (or it is at its end) and the client can take it."""
    client, fiber, body = exchange.client, exchange.client.fiber, exchange.body
    by = monotonic() + idle
    if connection.pending:
        await fiber.others_first()  # more came than is decoded at once
    while True:
        if not client.writable:
            connection.hold()
            exchange.not_timed()
            await client_writable(client, exchange.runtime.clocks.write_idle)
            by = monotonic() + idle
        if client.lost:
            raise ExchangeError(FailureKind.CLIENT_LEFT)
        connection.proceed()
        if body is not None and not body.ended and connection.writable and (data := body.next()):
            connection.write(data)  # both directions at once: the answer began while the request still comes
            connection.unfinished = not body.ended
            by = monotonic() + idle
        piece = connection.take_body()
        if piece or connection.body_done:
            return piece
        if connection.ended:
            raise ExchangeError(FailureKind.TRUNCATED)
        if body is not None and not body.ended and client.pending and connection.writable:
            await fiber.others_first()
        elif client.eof and (exchange.chunked or exchange.ends_with_connection):
            # A stream without end, and the client sends no more: nearly always it has left, which only a write would
            # show. One that still reads gets what comes within this time.
            await fiber.park(min(by, monotonic() + HALF_CLOSED_SECONDS), FailureKind.CLIENT_LEFT)
        else:
            await fiber.park(by, FailureKind.IDLE_TIMEOUT)


async def sleep(exchange: Exchange, seconds: float) -> None:
    """Pause. Raises :class:`ExchangeError` CLIENT_LEFT if the client leaves meanwhile.

    Before an answer, one that sends no more counts as gone after a while, as in :func:`ask`.
    """
    client, fiber = exchange.client, exchange.client.fiber
    watched = not exchange.answering and exchange.request.safe
    by = monotonic() + seconds
    # The sweep is too coarse for 25 ms. The loop's clock is a millisecond coarse itself: a timer that rings too early
    # leaves the rest to the sweep, so one is added.
    timer = asyncio.get_running_loop().call_later(seconds + 0.001, fiber.wake)
    try:
        while (now := monotonic()) < by:  # one look at the clock: a pause that is over is no client that has left
            left_at = client.eof_at + exchange.runtime.clocks.half_closed if watched and client.eof else by
            if client.lost or now >= left_at:
                raise ExchangeError(FailureKind.CLIENT_LEFT)
            await fiber.park(min(by, left_at))
    finally:
        timer.cancel()


async def client_writable(client: ClientConnection, seconds: float) -> None:
    """Wait until the client has read enough to be sent more. Raises :class:`ExchangeError` WRITE_TIMEOUT.

    Only reading counts: a client that sends all the while is cut as well.
    """
    by = monotonic() + seconds
    while not client.writable and not client.lost:
        await client.fiber.park(by, FailureKind.WRITE_TIMEOUT)


async def tunnel(exchange: Exchange, connection: UpstreamConnection, head: ResponseHead, idle: float) -> None:
    """Pass the 101 on, then bytes both ways until either side ends or both are silent for ``idle`` seconds."""
    client = exchange.client
    exchange.status = 101
    exchange.answering = True
    exchange.cover(head, empty=True)
    client.write(head.raw)
    connection.owner = None
    link = Tunnel(client, connection)
    while not link.over:
        await client.fiber.park(link.active + idle)
        if not link.over and monotonic() - link.active >= idle:
            link.close()
    exchange.now = monotonic()
