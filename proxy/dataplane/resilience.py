"""Steps 4 to 6 of a request's life when upstreams fail: tries, retries, breakers, bulkheads, drills, fallback.

Law: every try passes, in this order, the breaker, the bulkhead and the choice of an endpoint, and settles all three
exactly once, whatever happens. What the upstream may have seen decides what may follow (:class:`proxy.errors.Seen`),
and the request's one deadline bounds all of it. Nothing here looks at the configuration: policies, breakers and clocks
stand on the :class:`~proxy.dataplane.upstreams.Way`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import random
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from proxy.core.deadline import try_deadline
from proxy.core.retry import parse_retry_after
from proxy.dataplane.forward import ask, continue_answer, sleep, start_answer, tunnel
from proxy.dataplane.stats import count
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind, Party, Seen
from proxy.telemetry.logs import log_line

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from proxy.config.model import Drill
    from proxy.core.endpoints import EndpointState
    from proxy.core.retry import RetryBudget
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.upstreams import Way
    from proxy.wire.response import ResponseHead

_BAD_STATUS: Final = FailureKind.BAD_STATUS.value
_SILENT: Final = (FailureKind.FIRST_BYTE_TIMEOUT, FailureKind.TOTAL_TIMEOUT)
_NOTHING: Final = 0
_GOOD: Final = 1
_BAD: Final = -1  # verdicts of a try; numbers, because None in a `finally` is not for compilers


def fall_back(exchange: Exchange, failure: ExchangeError) -> bytes:
    """Step 5: legacy is to answer for the candidate; returns the header line that tells it why.

    Raises ``failure`` if legacy may not: what the candidate may have seen forbids it, or the route does.
    """
    # a drill may stand for a 4xx, which is an answer like any other
    reason = CONSEQUENCES[failure.kind].fallback if failure.status >= 500 else ""
    if not may_fall_back(exchange, reason, failure.seen):
        raise failure
    exchange.falls_back(reason, failure)
    return b"X-Banyan-Fallback: %b\r\n" % reason.encode()


def may_fall_back(exchange: Exchange, reason: str, seen: Seen) -> bool:
    """Whether legacy may answer instead."""
    decision = exchange.decision
    plan = decision.plan
    return (
        plan is not None
        and decision.fallback
        and exchange.fallback == ""
        and reason in plan.fallback_reasons
        and (
            (seen is Seen.NOT_SENT and not exchange.shown) or (seen is not Seen.ANSWER_STARTED and decision.replayable)
        )
        and not exchange.answering
        and exchange.body_at_hand
        and not exchange.client.lost
    )


def answer(exchange: Exchange, way: Way, mark: bytes, reserve: float) -> Coroutine[Any, Any, None]:
    """One upstream answers, with as many tries as its policy allows; to be awaited. Raises the last failure.

    ``mark`` are header lines for this upstream alone; ``reserve`` are seconds of the deadline to be left.
    """
    if not exchange.total:
        exchange.total = way.timeouts.total
    if exchange.body is None or exchange.body.arrived:
        exchange.begin_deadline(exchange.now)
    if way.policy is None and (exchange.drill is None or mark):
        return _try(exchange, way, mark, reserve, None)  # nearly always; a coroutine of its own would only cost
    return _answer(exchange, way, mark, reserve)


async def _answer(exchange: Exchange, way: Way, mark: bytes, reserve: float) -> None:
    if exchange.drill is not None and not mark:
        await _rehearse(exchange, way, exchange.drill, reserve)
    tries = Tries(exchange, way, reserve)
    while True:
        try:
            await _try(exchange, way, mark, reserve, tries)
        except ExchangeError as failure:
            if not (tries.granted or tries.wanted(failure.kind, failure.seen)):
                raise
        else:
            return
        finally:
            tries.settle()
        await tries.pause()


class Tries:
    """The tries of one request on one upstream that has a retry policy."""

    __slots__ = ("_budget", "_exchange", "_held", "_pause", "_reserve", "_way", "_why", "avoid", "granted", "number")

    def __init__(self, exchange: Exchange, way: Way, reserve: float) -> None:
        self._exchange = exchange
        self._way = way
        self._reserve = reserve
        self._budget: RetryBudget | None = None  # a place in it is taken for the next try,
        self._held: RetryBudget | None = None  # or for this one
        self._pause = 0.0
        self._why = ""
        self.number = 0  # retries so far
        self.avoid: EndpointState | None = None
        self.granted = False  # the next try has been decided on

    def wanted(self, kind: FailureKind, seen: Seen, status: int = 0, retry_after: float | None = None) -> bool:
        """Whether there is to be another try; takes a place in the budget if so."""
        exchange, way = self._exchange, self._way
        policy, upstream = way.policy, way.upstream
        if policy is None or upstream.budget is None or self.number >= policy.attempts:
            return False
        if exchange.answering or not exchange.body_at_hand or exchange.client.lost:
            return False
        request = exchange.request
        why = policy.reason(
            kind,
            seen,
            status,
            safe=request.safe,
            idempotency_key=b"idempotency-key" in request.lower,
        )
        if not why:
            return False
        pause = policy.pause(self.number, retry_after, random)
        # While the body is still coming the deadline has not begun; no pause is longer than all of it even then.
        if pause >= min(exchange.total_at - monotonic(), exchange.total) - self._reserve:
            return False  # there would be no time left for it
        budget = upstream.budget
        if not budget.take(upstream.bulkhead.in_flight - budget.in_flight):
            return False
        self._budget = budget  # a reload may give the upstream another one
        self.granted = True
        self._why, self._pause = why, pause
        return True

    def too_late(self, retry_after: float | None) -> bool:
        """Whether the upstream asks for a longer pause than a client should wait whom legacy can answer at once."""
        policy = self._way.policy
        return policy is not None and retry_after is not None and retry_after > policy.max_backoff

    def settle(self) -> None:
        """A try is over: a retry gives its place in the budget back."""
        if self._held is not None:
            self._held.give()
        self._held, self._budget = self._budget, None
        self.granted = False

    async def pause(self) -> None:
        """Wait before the next try, and count it. Raises :class:`ExchangeError` if the client leaves meanwhile."""
        exchange = self._exchange
        try:
            await sleep(exchange, self._pause)
        except BaseException:
            self.settle()
            raise
        if exchange.body is not None and exchange.body.arrived:
            exchange.begin_deadline(exchange.now)
        self.number += 1
        exchange.why = "retry"
        count(exchange.stats.counters.retries, self._why)


async def _try(  # noqa: C901 - whatever is taken is settled where it was taken
    exchange: Exchange, way: Way, mark: bytes, reserve: float, tries: Tries | None
) -> None:
    """One try: through breaker and bulkhead to an endpoint, and its answer to the client."""
    begun = asked = exchange.now
    drilled = exchange.drill is not None and not mark
    if drilled:  # after its delay, which is no time of the upstream's
        asked = exchange.now = monotonic()
    breaker, upstream, permit = way.breaker, way.upstream, 0
    if breaker is not None and not (permit := breaker.admit(begun, random)):
        exchange.note(way, "", "breaker-open", 0.0)
        raise ExchangeError(
            FailureKind.BREAKER_OPEN, Seen.NOT_SENT, breaker.state, retry_after=breaker.open_seconds(begun)
        )
    bulkhead = upstream.bulkhead
    verdict, outcome, first_byte = _NOTHING, "", 0.0  # what this try says about the upstream
    endpoint: EndpointState | None = None
    placed = bulkhead.enter()
    try:
        if not placed:
            await _queue(exchange, way, try_deadline(begun, exchange.total_at - reserve, way.timeouts.per_try))
            placed = True
            asked = exchange.now = monotonic()
        endpoint = upstream.endpoints.pick(
            begun,
            random,
            key=exchange.user() if upstream.by_identity else None,
            avoid=None if tries is None else tries.avoid,
        )
        if endpoint is None:
            raise ExchangeError(FailureKind.NO_ENDPOINT, Seen.NOT_SENT, way.name)
        endpoint.in_flight += 1
        connection, head = await ask(exchange, way, upstream.pool(endpoint), mark, reserve, begun)
        first_byte, headed = exchange.now - asked, exchange.now - begun
        status = head.status
        verdict, outcome = _GOOD, "ok"
        if status >= 400:
            if status >= 500:
                verdict, outcome = _BAD, _BAD_STATUS
            if _given_up(exchange, head, tries):
                exchange.stats.answered(way.name, outcome, first_byte)
                with suppress(ExchangeError):  # broken or not, it is not passed on
                    connection.take_body()  # a short one is at hand, and the connection stays usable
                connection.release(exchange.now)
                exchange.note(way, endpoint.url, status, exchange.now - begun)
                raise ExchangeError(FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, str(status))
        if upstream.adaptive is not None and not drilled:
            upstream.adaptive.observe(exchange.now - max(asked, exchange.sent_at), bulkhead.in_flight)
        try:
            # 6. relay
            if status == 101:
                placed = False
                bulkhead.leave()  # a tunnel may stay for days
                exchange.shadow_dropped("upgrade")
                permit = _lasts(exchange, way, tries, permit, verdict)
                await tunnel(exchange, connection, head, way.timeouts.tunnel_idle)
            else:
                bandwidth = exchange.drill.bandwidth if drilled and exchange.drill is not None else 0
                if not start_answer(exchange, connection, head, bandwidth):
                    permit = _lasts(exchange, way, tries, permit, verdict)
                    await continue_answer(exchange, connection, way.timeouts.idle, bandwidth)
        except BaseException:
            connection.discard()
            raise
        exchange.stats.answered(way.name, outcome, first_byte)
        if exchange.tries is not None:
            exchange.note(way, endpoint.url, status if outcome == _BAD_STATUS else outcome, headed)
    except BaseException as error:
        exchange.now = monotonic()
        if isinstance(error, ExchangeError) and error.seen is not Seen.NOT_SENT:
            exchange.shown = True
        if isinstance(error, ExchangeError) and error.kind is not FailureKind.BAD_STATUS:
            if CONSEQUENCES[error.kind].party is Party.UPSTREAM:
                verdict = _NOTHING if drilled else _BAD
                exchange.stats.failed(way.name, error.kind.value)
                if upstream.adaptive is not None and error.kind in _SILENT and not drilled:
                    upstream.adaptive.observe(exchange.now - max(asked, exchange.sent_at), bulkhead.in_flight)
            elif error.kind is FailureKind.OVERFLOW and placed:
                bulkhead.overflows += 1  # it had a place, and there was no descriptor or port left
            elif outcome:
                exchange.stats.answered(way.name, outcome, first_byte)  # and then the client left
            exchange.note(way, "" if endpoint is None else endpoint.url, error.kind.value, exchange.now - begun)
        if tries is not None:
            tries.avoid = endpoint
        _settle(exchange, way, endpoint, verdict, permit, placed)
        raise
    _settle(exchange, way, endpoint, verdict, permit, placed)


def _lasts(exchange: Exchange, way: Way, tries: Tries | None, permit: int, verdict: int) -> int:
    """The answer is passed on, which may take days: give back what others could need meanwhile.

    That is a probe's place, one in the retry budget, and the kept body. Returns the permit that is to be settled yet.
    """
    if tries is not None:
        tries.settle()
    if exchange.body is not None:
        exchange.body.forget()
    if permit and way.breaker is not None and way.breaker.state != "closed":
        way.breaker.settle(permit, verdict == _GOOD, exchange.now, random)
        return 0
    return permit


def _settle(
    exchange: Exchange, way: Way, endpoint: EndpointState | None, verdict: int, permit: int, placed: bool
) -> None:
    """A try is over: give back what it took, and tell what it says about the upstream."""
    upstream = way.upstream
    if placed:
        upstream.bulkhead.leave()
    if endpoint is not None:
        endpoint.in_flight -= 1
        if verdict == _BAD:
            if upstream.endpoints.failed(endpoint, exchange.now):
                log_line(
                    "warning",
                    "endpoint-ejected",
                    upstream=way.name,
                    endpoint=endpoint.url,
                    failures=endpoint.consecutive_failures,
                    seconds=round(endpoint.ejected_until - exchange.now, 1),
                )
        elif verdict == _GOOD and endpoint.consecutive_failures:
            upstream.endpoints.succeeded(endpoint)
    if permit and way.breaker is not None:
        way.breaker.settle(permit, None if verdict == _NOTHING else verdict == _GOOD, exchange.now, random)


def _given_up(exchange: Exchange, head: ResponseHead, tries: Tries | None) -> bool:
    """Whether an answer with this status is not passed on, because another try or legacy follows."""
    falls_back = head.status >= 500 and may_fall_back(exchange, "5xx", Seen.MAYBE_SEEN)
    if tries is not None:
        wait = next((value for name, value in head.fields if name.lower() == b"retry-after"), None)
        after = None if wait is None else parse_retry_after(wait, time())
        if not (falls_back and tries.too_late(after)) and tries.wanted(
            FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, head.status, after
        ):
            return True
    return falls_back


async def _queue(exchange: Exchange, way: Way, ends: float) -> None:
    """Wait for a place in the bulkhead. Raises :class:`ExchangeError` OVERFLOW, not sent."""
    fiber, bulkhead = exchange.client.fiber, way.upstream.bulkhead
    settings = way.upstream.settings.bulkhead
    by = min(monotonic() + settings.queue_timeout, ends)
    loop = asyncio.get_running_loop()
    # not at once: who leaves would run the next one on its own stack, and that one the next
    waiter = bulkhead.wait(lambda: loop.call_soon(fiber.wake))
    if waiter is None:
        raise ExchangeError(FailureKind.OVERFLOW, Seen.NOT_SENT, "the queue is full")
    timer = loop.call_later(max(0.0, by - monotonic()) + 0.001, fiber.wake)
    try:
        while not waiter.granted:
            if exchange.client.lost:
                raise ExchangeError(FailureKind.CLIENT_LEFT)
            if monotonic() >= by:
                bulkhead.overflows += 1
                raise ExchangeError(FailureKind.OVERFLOW, Seen.NOT_SENT, "no place in time")
            await fiber.park(by)
    except BaseException:
        bulkhead.give_up(waiter)
        raise
    finally:
        timer.cancel()


async def _rehearse(exchange: Exchange, way: Way, drill: Drill, reserve: float) -> None:
    """A drill: fail as the candidate would, before it is asked."""
    begun = monotonic()
    if drill.delay:
        clocks = way.timeouts
        by = min(begun + clocks.first_byte, try_deadline(begun, exchange.total_at - reserve, clocks.per_try))
        if begun + drill.delay >= by:
            await sleep(exchange, max(0.0, by - begun))
            exchange.note(way, "", "first-byte-timeout", monotonic() - begun)
            raise ExchangeError(FailureKind.FIRST_BYTE_TIMEOUT, Seen.MAYBE_SEEN, "drill")
        await sleep(exchange, drill.delay)
    if drill.reset:
        exchange.note(way, "", "reset", monotonic() - begun)
        raise ExchangeError(FailureKind.RESET, Seen.MAYBE_SEEN, "drill")
    if drill.abort is not None:
        exchange.note(way, "", drill.abort, monotonic() - begun)
        raise ExchangeError(FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, "drill", status=drill.abort)
