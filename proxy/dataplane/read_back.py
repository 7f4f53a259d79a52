"""Read after write: what legacy wrote is read on both sides, and the two answers are compared.

Law: no write is ever copied. Only after legacy has answered one with 2xx, and that answer has left, each named read is
asked of both sides, as a GET with the client's own fields and without anything that could make a write of it. The reads
have the bounds of shadows, and each ends in one place: compared, or dropped for a reason.
"""

from __future__ import annotations

from random import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.compare.reads import ReadTemplate, read_document
from proxy.compare.result import Budget, Incomparable
from proxy.core.heads import marked, of_write, read_head
from proxy.core.template import ambiguous
from proxy.dataplane.asking import MARK, Asking, no_place
from proxy.dataplane.capture import Holder, equal
from proxy.dataplane.pairs import pair_of
from proxy.dataplane.stats import count
from proxy.errors import FailureKind
from proxy.telemetry.logs import log_line
from proxy.wire.fiber import Fiber

if TYPE_CHECKING:
    from proxy.core.snapshot import RoutePlan
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.upstreams import Way
    from proxy.dataplane.worker import Worker
    from proxy.messages import Fields, Pair
    from proxy.wire.response import ResponseHead

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Of legacy's answer to a write, kept (and decoded) to find ids in; parsing that much takes less than a millisecond."""

MAX_WAITING: Final = 1024
"""Writes of a worker whose reads have yet to be asked. One costs its head and about two kilobytes."""


_GONE: Final = (404, 410)
"""Statuses that tell something of what was written. With another one below 500 both sides refuse to tell: a token that
is good for one request, a redirection to a login. That is no evidence that they agree."""


class ReadBack(Holder):
    """A write on its way through legacy, and the reads that follow it. The exchange tells it as it tells a pairing."""

    def __init__(self, exchange: Exchange, worker: Worker, plan: RoutePlan, candidate: Way) -> None:
        super().__init__(worker)
        self._plan = plan
        self._stats = exchange.stats
        self._legacy = exchange.route.legacy
        self._candidate = candidate
        self._reads = exchange.route.reads
        self._head = exchange.head
        self._facts = (exchange.request, exchange.decision, exchange.request_id, b"")
        self._runtime = exchange.runtime
        by_identity = self._legacy.upstream.by_identity or candidate.upstream.by_identity
        self._user = exchange.user() if by_identity else None
        self._wants_answer = any(template.wants_answer for _, template in self._reads)
        self._status = 0
        self._fields: Fields = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._closed = False
        # Of the read that is under way:
        self._target = b""
        self._begun = 0.0
        self._dropped = ""  # why it comes to no pair
        self._sides: tuple[_Side, ...] = ()
        self._fiber = Fiber()

    @classmethod
    def begin(cls, exchange: Exchange, worker: Worker) -> ReadBack | None:
        """Watch a write that has been sent whole; None (and counted) if a bound forbids it."""
        plan, candidate, stats = exchange.decision.plan, exchange.route.candidate, exchange.stats
        if plan is None or candidate is None:
            return None
        reason = ""
        if worker.draining:
            reason = "draining"
        elif worker.waiting >= MAX_WAITING:
            reason = "concurrency"
        elif worker.shadow_bytes >= worker.runtime.shadow_memory:
            reason = "memory"
        if reason:
            stats.shadow_dropped(reason)
            return None
        made = cls(exchange, worker, plan, candidate)
        made._hold(len(exchange.head))
        return made

    # -- the client's side ----------------------------------------------------------------------------------------

    def capture_head(self, head: ResponseHead) -> None:
        """Legacy's answer to the write began."""
        self._status = head.status
        self._fields = head.fields

    def capture(self, piece: bytes) -> None:
        """A piece of it."""
        if self._closed or not self._wants_answer:
            return
        self._size += len(piece)
        if self._size <= MAX_ANSWER_BYTES:
            self._pieces.append(piece)
            if not self._hold(len(piece)):
                self.drop("memory")

    def answered(self, failure: FailureKind | None, now: float) -> None:
        """The write is over since ``now`` (monotonic seconds)."""
        if self._closed:
            return
        if failure in (FailureKind.CLIENT_LEFT, FailureKind.WRITE_TIMEOUT, FailureKind.BODY_TIMEOUT):
            self.drop("client-left")
        elif failure is not None or not 200 <= self._status < 300:
            self.drop("read-back-not-written")
        elif self._worker.waiting >= MAX_WAITING:
            self.drop("concurrency")
        else:
            self._worker.waiting += 1
            self._worker.shadows.add(self._fiber)
            self._fiber.start(self._read(now), self._ended)

    def drop(self, reason: str) -> None:
        """Nothing will be read."""
        if not self._closed:
            self._stats.shadow_dropped(reason)
            self._close()

    # -- the reads ------------------------------------------------------------------------------------------------

    async def _read(self, answered_at: float) -> None:
        fiber, waiting = self._fiber, True
        document: object = None
        try:
            for number, (delay, template) in enumerate(self._reads):
                at = answered_at + delay
                await fiber.park(at)  # also without a delay: by the next sweep the client's answer has left
                while monotonic() < at:
                    await fiber.park(at)
                if not number:
                    waiting = False
                    self._worker.waiting -= 1
                    if self._wants_answer:
                        document = self._document()
                if reason := self._ask(template, document):
                    self._stats.shadow_dropped(reason)
                    continue
                while not all(side.done for side in self._sides):
                    await fiber.park()
                if self._dropped:
                    self._stats.shadow_dropped(self._dropped)
                else:
                    self._compare()
                self._close_sides()
        finally:
            self._close_sides()
            if waiting:
                self._worker.waiting -= 1

    def _close_sides(self) -> None:
        for side in self._sides:
            side.close()
        self._sides = ()

    def _document(self) -> object:
        """Legacy's answer to the write, if it is a JSON document that is not too long."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._size > MAX_ANSWER_BYTES:
            return None
        if any(name.lower() == b"content-encoding" for name, _ in self._fields):
            from proxy.compare.decode import decode_body  # its codecs take memory that most workers need not spend

            try:
                body, known = decode_body(body, self._fields, Budget(decoded_bytes=MAX_ANSWER_BYTES))
            except Incomparable:
                return None
            if not known:
                return None
        return read_document(body)

    def _ask(self, template: ReadTemplate, document: object) -> str:
        """Ask both sides; returns why that may not be, or an empty text."""
        worker, plan, stats = self._worker, self._plan, self._stats
        legacy, candidate, now = self._legacy, self._candidate, monotonic()
        target = template.target(self._facts[0].path, document)
        if target is None or ambiguous(target.partition(b"?")[0]):
            return "read-back-unknown"
        reason = no_place(worker, stats, plan, legacy, now) or no_place(worker, stats, plan, candidate, now)
        if reason:
            return reason
        if stats.shadows_in_flight + 2 > plan.route.shadow.max_in_flight:
            return "concurrency"
        permits: list[int] = []
        for way in (legacy, candidate):
            permit = 0 if way.shadow_breaker is None else way.shadow_breaker.admit(now, random)
            if way.shadow_breaker is not None and not permit:
                if permits and permits[0] and legacy.shadow_breaker is not None:
                    legacy.shadow_breaker.settle(permits[0], None, now, random)
                return "breaker-open"
            permits.append(permit)
        request = marked(read_head(self._head, target), MARK)
        self._dropped, self._target, self._begun = "", target, now
        one = _Side(worker, stats, plan, legacy, permits[0], request, now, self._user)
        two = _Side(worker, stats, plan, candidate, permits[1], request, now, self._user)
        one.read = two.read = self
        one.other, two.other = two, one
        self._sides = (one, two)
        one.start("GET")
        two.start("GET")
        return ""

    def give_up_read(self, reason: str) -> None:
        """One side of a read cannot go on, by no fault of its upstream's; so there is no pair."""
        if not self._dropped:
            self._dropped = reason
            for side in self._sides:
                side.close()

    def wake(self) -> None:
        """A side is done."""
        self._fiber.wake()

    def _compare(self) -> None:
        legacy, candidate = self._sides
        plan, counters = self._plan, self._stats.counters
        whole, status = not legacy.shadow_failure and not candidate.shadow_failure, legacy.shadow.status
        if whole and status == candidate.shadow.status and 300 <= status < 500 and status not in _GONE:
            self._stats.shadow_dropped("read-back-refused")
        elif whole and plan.equal_bytes_match and equal(legacy.shadow, candidate.shadow, plan.compare_headers):
            counters.matched += 1
            count(counters.shadow, "read-back")
        elif (reason := self._worker.send_pair(self._pair(legacy, candidate))) == "":
            count(counters.shadow, "read-back")
        else:
            self._stats.shadow_dropped(reason)

    def _pair(self, legacy: _Side, candidate: _Side) -> Pair:
        one, two = (side.shadow.answer(side.shadow_failure) for side in (legacy, candidate))
        pair = pair_of(self._runtime, self._facts, self._begun, one, two, "read-back")
        pair.method, pair.target = "GET", self._target
        pair.fields = [field for field in pair.fields if not of_write(field[0].lower())]
        return pair

    # -- its end --------------------------------------------------------------------------------------------------

    def _ended(self, error: BaseException | None) -> None:
        self._worker.shadows.discard(self._fiber)
        self._close()
        if error is not None:  # a bug of ours
            log_line("error", "shadow-internal-error", error=repr(error), route=self._plan.id)
            self._stats.shadow_dropped("internal-error")

    def _close(self) -> None:
        self._closed = True
        self._pieces.clear()
        self._let_go()


class _Side(Asking):
    """One side of a read."""

    other: _Side | None = None
    done = False
    read: ReadBack

    def drop(self, reason: str) -> None:
        """There will be no pair; the read is counted as a whole."""
        self.read.give_up_read(reason)

    def close(self) -> None:
        """Forget it, and the other one, which knows it."""
        self.other = None
        super().close()

    def _goes_on(self) -> bool:
        other = self.other
        if other is None:
            return False
        other.shorten()
        if other.shadow.given_up or self.shadow.size > self._plan.route.shadow.max_stream:
            return False
        return not other.done or (not other.shadow_failure and other.shadow.size >= self.shadow.size)

    def _gave_up(self) -> None:
        if self.other is not None and not self.other.done:
            self.other.give_up()

    def _finished(self) -> None:
        self.done = True
        self.read.wake()
