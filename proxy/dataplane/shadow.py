"""The shadow: the copy of a request that only gets compared.

Law: it lives after the client in every priority. It has connections of its own, a clock, a bound on how many run at
once and on the memory they hold; where a bound is met it is dropped and counted, and nothing ever waits for it. No byte
of its answer leaves towards a client. Each sampled request ends in exactly one place: matched here, sent to the
comparator, or dropped for a reason.
"""

from __future__ import annotations

import time
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.config.model import SAFE_METHODS
from proxy.core.fields import Kind, classify
from proxy.core.heads import marked, trailer_lines
from proxy.dataplane.stats import count
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.messages import Answer, Fields, Pair
from proxy.telemetry.logs import log_line
from proxy.wire.body import ChunkedBody, chunk, last_chunk
from proxy.wire.fiber import Fiber

if TYPE_CHECKING:
    from proxy.core.snapshot import RoutePlan
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.stats import RouteStats
    from proxy.dataplane.upstreams import Way
    from proxy.dataplane.worker import Worker
    from proxy.wire.response import ResponseHead
    from proxy.wire.upstream import UpstreamConnection

SPENT_BYTES: Final = 16 * 1024
"""Kept of an answer whose pair cannot be compared any more: streams go on for hours, and others need the memory."""

_MARK: Final = b"X-Banyan-Shadow: 1\r\n"


class Side:
    """One answer, collected up to ``cap`` bytes."""

    __slots__ = ("_cap", "fields", "pieces", "seconds", "size", "status", "truncated")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.status = 0
        self.fields: Fields = []
        self.pieces: list[bytes] = []
        self.size = 0
        self.truncated = False
        self.seconds = 0.0

    def head(self, head: ResponseHead) -> None:
        """The answer's head came."""
        self.status = head.status
        self.fields = head.fields

    def piece(self, data: bytes) -> int:
        """A piece of its body came; returns the bytes that are now held for it."""
        if self.truncated:
            return 0
        if self.size + len(data) > self._cap:
            self.truncated = True
            data = data[: self._cap - self.size]
        self.size += len(data)
        if data:
            self.pieces.append(data)
        return len(data)

    def answer(self, failure: str) -> Answer:
        """As it goes to the comparator."""
        if failure:
            return Answer(0, [], b"", truncated=False, seconds=self.seconds, failure=failure)
        return Answer(self.status, self.fields, b"".join(self.pieces), self.truncated, self.seconds)


class Pairing:
    """Two answers to one request on their way to be compared: the client's and the shadow's."""

    # Defaults stand on the class: most pairs never touch them.
    _failure = ""
    _shadow_failure = ""
    _answered = False
    _closed = False
    _held = 0

    def __init__(
        self, exchange: Exchange, worker: Worker, plan: RoutePlan, way: Way, permit: int, request: bytes, body: bytes
    ) -> None:
        cap = plan.route.shadow.max_body
        self._worker = worker
        self._plan = plan
        self._stats: RouteStats = exchange.stats
        self._request = request
        # Not the exchange itself: it holds this pair, and a circle would have to wait for the collector.
        self._facts = (exchange.request, exchange.decision, exchange.request_id, body)
        self._permit = permit
        self._user = exchange.user() if way.upstream.by_identity else None
        self._way = way
        self._begun = exchange.now
        self.mine = Side(cap)
        self.shadow = Side(cap)
        self._fiber = Fiber()

    @classmethod
    def begin(cls, exchange: Exchange, worker: Worker) -> Pairing | None:
        """Start the shadow of a request that has been sent whole; None (and counted) if a bound forbids it."""
        plan, decision, stats = exchange.decision.plan, exchange.decision, exchange.stats
        if plan is None:
            return None
        runtime, route, permit = exchange.runtime, exchange.route, 0
        way = route.candidate if decision.arm == "legacy" else route.legacy
        if way is None:
            return None
        upstream, lag = way.upstream, runtime.overload.shadow_lag
        reason = ""
        if worker.draining:
            reason = "draining"
        elif lag and worker.late(exchange.now) > lag:
            reason = "loop-lag"
        elif stats.shadows_in_flight >= plan.route.shadow.max_in_flight:
            reason = "concurrency"
        elif upstream.shadows_in_flight >= upstream.settings.bulkhead.shadow:
            reason = "bulkhead"
        elif worker.shadow_bytes >= runtime.shadow_memory:
            reason = "memory"
        elif exchange.request.upgrade:
            reason = "upgrade"
        elif not exchange.body_at_hand:
            reason = "body-too-large"
        elif way.shadow_breaker is not None and not (permit := way.shadow_breaker.admit(exchange.now, random)):
            reason = "breaker-open"
        if reason:
            stats.shadow_dropped(reason)
            return None
        body = sent = b""
        if exchange.body is not None and exchange.body.kept is not None:
            body = sent = b"".join(exchange.body.kept)
            if exchange.body.chunked:
                trailers = exchange.client.body.trailers if isinstance(exchange.client.body, ChunkedBody) else []
                sent = (chunk(body) if body else b"") + last_chunk(trailer_lines(trailers))
        pairing = cls(exchange, worker, plan, way, permit, marked(exchange.head, _MARK) + sent, body)
        pairing._hold(len(sent))
        stats.shadows_in_flight += 1
        upstream.shadows_in_flight += 1
        worker.shadows.add(pairing._fiber)
        pairing._fiber.start(pairing._ask(exchange.request.method), pairing._ended)
        return pairing

    # -- the client's side ----------------------------------------------------------------------------------------

    def capture_head(self, head: ResponseHead) -> None:
        """The client's answer began."""
        self.mine.head(head)

    def capture(self, piece: bytes) -> None:
        """A piece of the client's answer; too much for the memory that all shadows share ends this one."""
        if self._closed:
            return
        if not self._hold(self.mine.piece(piece)):
            self.drop("memory")
        elif self.mine.truncated and self.mine.size > SPENT_BYTES:
            self._spend()

    def answered(self, failure: FailureKind | None, now: float) -> None:
        """The client's answer is over since ``now`` (monotonic seconds)."""
        if self._closed:
            return
        if failure in (FailureKind.CLIENT_LEFT, FailureKind.WRITE_TIMEOUT, FailureKind.BODY_TIMEOUT):
            self.drop("client-left")
            return
        self._failure = "" if failure is None else failure.value
        self.mine.seconds = now - self._begun
        self._answered = True
        if self._fiber.done:
            self._compare()

    def drop(self, reason: str) -> None:
        """No pair will come of it."""
        if self._closed:
            return
        self._closed = True
        self._stats.shadow_dropped(reason)
        self.mine.pieces.clear()
        self.shadow.pieces.clear()
        self._let_go()
        self._fiber.interrupt(ExchangeError(FailureKind.CLIENT_LEFT))

    # -- the shadow's side ----------------------------------------------------------------------------------------

    async def _ask(self, method: str) -> None:
        way, timeout = self._way, self._plan.route.shadow.timeout
        by = self._begun + timeout
        connection: UpstreamConnection | None = None
        try:
            endpoint = way.upstream.endpoints.pick(self._begun, random, key=self._user)
            if endpoint is None:
                raise ExchangeError(FailureKind.NO_ENDPOINT)
            pool = way.upstream.shadow_pool(endpoint)
            connection = pool.take(self._fiber, self._begun)
            reused = connection is not None
            while True:
                if connection is None:
                    connection = await pool.connect(self._fiber, min(way.timeouts.connect, timeout))
                try:
                    await self._collect(connection, method, by)
                    break
                except ExchangeError as failure:
                    connection.discard()
                    stale = reused and failure.kind is FailureKind.RESET
                    if not (stale and method in SAFE_METHODS):
                        raise
                connection, reused = None, False
            self._stats.shadowed(way.name, self.shadow.seconds)
        except ExchangeError as failure:
            if connection is not None:
                connection.discard()
            self.shadow.seconds = monotonic() - self._begun
            self._shadow_failure = failure.kind.value
            if failure.kind is FailureKind.OVERFLOW:
                self.drop("descriptors")  # ours, and no word about the upstream

    async def _collect(self, connection: UpstreamConnection, method: str, by: float) -> None:
        fiber, shadow = self._fiber, self.shadow
        connection.write(self._request)
        while True:
            if connection.heard:
                head = connection.take_head(method)
                if head is not None:
                    if head.status >= 200:
                        break
                    if head.status == 101:
                        raise ExchangeError(FailureKind.INVALID_RESPONSE, Seen.MAYBE_SEEN)
                    continue
            if connection.lost or connection.eof:
                kind = FailureKind.INVALID_RESPONSE if connection.heard else FailureKind.RESET
                raise ExchangeError(kind, Seen.MAYBE_SEEN)
            await fiber.park(by, FailureKind.FIRST_BYTE_TIMEOUT)
        shadow.head(head)
        while True:
            piece = connection.take_body()
            if piece:
                if not self._hold(shadow.piece(piece)):
                    self.drop("memory")
                    raise ExchangeError(FailureKind.CLIENT_LEFT)
                if shadow.truncated:
                    self._spend()  # enough is known, and an endless answer must not be followed
                    connection.discard()
                    break
            if connection.body_done:
                connection.release(monotonic())
                break
            if connection.ended:
                raise ExchangeError(FailureKind.TRUNCATED, Seen.ANSWER_STARTED)
            await fiber.park(by, FailureKind.IDLE_TIMEOUT)
        shadow.seconds = monotonic() - self._begun

    def _ended(self, error: BaseException | None) -> None:
        self._worker.shadows.discard(self._fiber)
        self._stats.shadows_in_flight -= 1
        self._way.upstream.shadows_in_flight -= 1
        if self._permit and self._way.shadow_breaker is not None:
            ok: bool | None = not self._shadow_failure and self.shadow.status < 500
            if self._closed:  # it was dropped, by no fault of the upstream's
                ok = None
            self._way.shadow_breaker.settle(self._permit, ok, self._begun + self.shadow.seconds, random)
        if error is not None:  # a bug of ours
            log_line("error", "shadow-internal-error", error=repr(error), route=self._plan.id)
            self._shadow_failure = FailureKind.INTERNAL.value
        if self._answered:
            self._compare()

    # -- both -----------------------------------------------------------------------------------------------------

    def _spend(self) -> None:
        """One side is too large to be compared: of both only a beginning is kept, for the record."""
        self._let_go()
        for side in (self.mine, self.shadow):
            if side.size > SPENT_BYTES:
                side.pieces = [b"".join(side.pieces)[:SPENT_BYTES]]
                side.size = SPENT_BYTES
                side.truncated = True
            self._hold(side.size)

    def _hold(self, size: int) -> bool:
        self._held += size
        self._worker.shadow_bytes += size
        return self._worker.shadow_bytes <= self._worker.runtime.shadow_memory

    def _let_go(self) -> None:
        self._worker.shadow_bytes -= self._held
        self._held = 0

    def _compare(self) -> None:
        if self._closed:
            return
        self._closed = True
        counters = self._stats.counters
        if not self._failure and not self._shadow_failure and equal(self.mine, self.shadow, self._plan.compare_headers):
            counters.matched += 1
            count(counters.shadow, "compared")
        elif (reason := self._worker.send_pair(self._pair())) == "":
            count(counters.shadow, "sent-to-comparator")
        else:
            self._stats.shadow_dropped(reason)
        self._let_go()

    def _pair(self) -> Pair:
        request, decision, request_id, body = self._facts
        mine, shadow = self.mine.answer(self._failure), self.shadow.answer(self._shadow_failure)
        legacy, candidate = (mine, shadow) if decision.arm == "legacy" else (shadow, mine)
        return Pair(
            generation=decision.generation,
            route=decision.route_id,
            request_id=request_id.decode("latin-1"),
            at=time.time() - (monotonic() - self._begun),
            method=request.method,
            target=request.target,
            fields=[field for field in request.fields if not classify(field[0])[1] & Kind.BANYAN],  # keys, marks
            body=body,
            arm=decision.arm,
            reason=decision.reason,
            cohorts=[decision.cohort] if decision.cohort else [],
            legacy=legacy,
            candidate=candidate,
        )


def equal(one: Side, other: Side, headers: tuple[bytes, ...]) -> bool:
    """Whether both answers are the same in status, chosen headers, content coding and every byte of the body."""
    if one.status != other.status or one.truncated or other.truncated or one.size != other.size:
        return False
    if one.pieces != other.pieces and b"".join(one.pieces) != b"".join(other.pieces):
        return False
    return one.fields == other.fields or _chosen(one.fields, headers) == _chosen(other.fields, headers)


def _chosen(fields: Fields, headers: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    chosen = [
        (low, value.rstrip())
        for name, value in fields
        if (low := name.lower()) in headers or low == b"content-encoding"
    ]
    chosen.sort(key=_name)  # the order of different names means nothing, that of equal ones does
    return chosen


def _name(field: tuple[bytes, bytes]) -> bytes:
    return field[0]
