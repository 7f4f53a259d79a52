"""The shadow: the copy of a request that only gets compared.

Law: nothing waits for it, and no byte of its answer leaves towards a client (see ``dataplane.asking``). Each sampled
request ends in exactly one place: matched here, sent to the comparator, or dropped for a reason. A copy that went to
legacy, to learn where legacy differs from itself, says nothing about the candidate and is counted apart.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

from proxy.core.heads import marked, trailer_lines
from proxy.dataplane.asking import MARK, Asking, no_place
from proxy.dataplane.capture import Side, equal
from proxy.dataplane.cells import cell_of
from proxy.dataplane.pairs import no_answer, pair_of
from proxy.dataplane.stats import count
from proxy.errors import FailureKind
from proxy.wire.body import ChunkedBody, chunk, last_chunk

if TYPE_CHECKING:
    from proxy.core.coverage import CellCount
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.pairs import Facts
    from proxy.dataplane.runtime import RouteRuntime, Runtime
    from proxy.dataplane.worker import Worker
    from proxy.messages import Pair, Paired
    from proxy.wire.response import ResponseHead

_TIMEOUTS: Final = frozenset(
    kind.value
    for kind in (
        FailureKind.CONNECT_TIMEOUT,
        FailureKind.FIRST_BYTE_TIMEOUT,
        FailureKind.IDLE_TIMEOUT,
        FailureKind.TOTAL_TIMEOUT,
    )
)


class Pairing(Asking):
    """Two answers to one request on their way to be compared: the client's and the shadow's."""

    cell: CellCount | None = None  # of the coverage, of the client's answer if that is legacy's
    _failure = ""
    _answered = False

    _facts: Facts
    _runtime: Runtime
    _route: RouteRuntime
    mine: Side

    @classmethod
    def begin(cls, exchange: Exchange, worker: Worker) -> Pairing | None:
        """Start the shadow of a request that has been sent whole; None (and counted) if a bound forbids it."""
        plan, decision, stats = exchange.decision.plan, exchange.decision, exchange.stats
        if plan is None:
            return None
        route, permit = exchange.route, 0
        way = route.candidate if decision.arm == "legacy" and decision.purpose != "self" else route.legacy
        if way is None:
            return None
        reason = no_place(worker, stats, plan, way, exchange.now)
        if reason:
            pass
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
        user = exchange.user() if way.upstream.by_identity else None
        pairing = cls(worker, stats, plan, way, permit, marked(exchange.head, MARK) + sent, exchange.now, user)
        pairing._facts = (exchange.request, decision, exchange.request_id, body)
        pairing._runtime, pairing._route = exchange.runtime, route
        pairing.mine = Side(plan.route.shadow.max_body)
        if sent:
            pairing._hold(len(sent))
        pairing.start(exchange.request.method)
        return pairing

    # -- the client's side ----------------------------------------------------------------------------------------

    def capture_head(self, head: ResponseHead) -> None:
        """The client's answer began."""
        self.mine.head(head)

    def capture(self, piece: bytes) -> None:
        """A piece of the client's answer; too much for the memory that all shadows share ends this one."""
        if self.closed:
            return
        mine = self.mine
        if not self._hold(mine.piece(piece)):
            self.drop("memory")
        elif mine.truncated and not mine.given_up:
            self.shorten()
            if self.shadow_failure or mine.size > self._plan.route.shadow.max_stream:
                self._hold(mine.give_up())
                self.give_up()

    def answered(self, failure: FailureKind | None, now: float) -> None:
        """The client's answer is over since ``now`` (monotonic seconds)."""
        if self.closed:
            return
        if failure in (FailureKind.CLIENT_LEFT, FailureKind.WRITE_TIMEOUT, FailureKind.BODY_TIMEOUT):
            self.drop("client-left")
            return
        self._failure = "" if failure is None else failure.value
        self.mine.seconds = now - self._begun
        self._answered = True
        if self._fiber.done:
            self._compare()

    def close(self) -> None:
        """Forget both sides."""
        self.mine.pieces.clear()
        super().close()

    # -- the shadow's side ----------------------------------------------------------------------------------------

    def _goes_on(self) -> bool:
        mine, shadow = self.mine, self.shadow
        self._hold(mine.shorten())
        if mine.given_up or shadow.size > self._plan.route.shadow.max_stream:
            return False
        # An endless answer must not be followed: the client's is over and shorter, so they differ whatever comes.
        return not self._answered or (not self._failure and mine.size >= shadow.size)

    def _gave_up(self) -> None:
        if not self._answered:
            self._hold(self.mine.give_up())

    def _finished(self) -> None:
        if self._answered:
            self._compare()

    # -- both -----------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._let_go()  # first, so that no fault of ours can keep it
        plan, counters, itself = self._plan, self._stats.counters, self._facts[1].purpose == "self"
        cell = None
        if not itself:
            self._measure()
            cell = self._cell()
        if (
            not self._failure
            and not self.shadow_failure
            and (itself or plan.equal_bytes_match)
            and equal(self.mine, self.shadow, plan.compare_headers)
        ):
            if itself:
                counters.self_matched += 1
                count(counters.shadow, "self")
            else:
                counters.matched += 1
                count(counters.shadow, "compared")
                if cell is not None:
                    self._look(cell)
                    cell.equal += 1
        elif (reason := self._worker.send_pair(self._pair())) == "":
            count(counters.shadow, "self" if itself else "sent-to-comparator")
            if cell is not None:
                cell.sent += 1
        else:
            self._stats.shadow_dropped(reason)

    def _cell(self) -> CellCount | None:
        """The cell of legacy's answer; None if there is none. The exchange counts the answers that clients got."""
        request, decision, _, _ = self._facts
        if decision.arm == "legacy":
            return None if self._failure else self.cell
        if self.shadow_failure:
            return None
        shadow = self.shadow
        found = cell_of(
            self._runtime, self._route, request, decision.user, shadow.status, shadow.fields, empty=not shadow.size
        )
        self.cell = found
        found.seen += 1
        return found

    def _look(self, cell: CellCount) -> None:
        """Of equal pairs the comparator sees legacy's answer of a few, for its shape and the record of requests."""
        if cell.look_at_paired:
            pair = self._pair()
            pair.purpose, pair.candidate = "seen", no_answer()
            self._worker.send_pair(pair)  # if it is not taken, another one will be

    def _measure(self) -> None:
        """Count how the two sides compare in time and in failures.

        Seconds run on both sides from the request being sent on a connection that stands, to the moment when the last
        byte of the answer came here: neither the time of connecting is in them nor, on the client's side, the time that
        its answer takes to leave. Where we held an answer back ourselves, because the client read slowly or the event
        loop had no time for a long shadow, or tried the client's request twice, its upstream's time is not known, and
        the pair is left out of the differences.
        """
        mine, shadow = self.mine, self.shadow
        by_legacy = self._facts[1].arm == "legacy"
        if self._failure or self.shadow_failure or self.too_slow or mine.status >= 500 or shadow.status >= 500:
            self._blame(self._stats.counters.paired, by_legacy)
            if self._failure or self.shadow_failure:
                return
        if self.timed:
            later = shadow.seconds - mine.seconds
            self._stats.deltas.add(later if by_legacy else -later)

    def _blame(self, paired: Paired, by_legacy: bool) -> None:
        bad = (
            bool(self._failure) or self.mine.status >= 500,
            bool(self.shadow_failure) or self.shadow.status >= 500,
        )
        paired.legacy_errors += bad[not by_legacy]
        paired.candidate_errors += bad[by_legacy]
        failure = self.shadow_failure if by_legacy else self._failure
        paired.would_time_out += failure in _TIMEOUTS or (by_legacy and self.too_slow)

    def _pair(self) -> Pair:
        decision = self._facts[1]
        mine, shadow = self.mine.answer(self._failure), self.shadow.answer(self.shadow_failure)
        legacy, candidate = (mine, shadow) if decision.arm == "legacy" else (shadow, mine)
        cell = "" if self.cell is None else self.cell.key
        return pair_of(self._runtime, self._facts, self._begun, legacy, candidate, decision.purpose, cell)
