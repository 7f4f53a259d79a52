"""One request that nobody waits for: asked beside the clients' requests, only to be compared.

Law: it lives after the clients in every priority. It has connections of its own, a clock, a bound on how many run at
once and on the memory they hold; where a bound is met it is dropped and counted. No byte of its answer leaves towards a
client. Answers are read no faster than the event loop has time for, and not at all once nothing depends on them.
"""

from __future__ import annotations

from random import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.config.model import SAFE_METHODS
from proxy.dataplane.capture import Holder, Side
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.telemetry.logs import log_line
from proxy.wire.fiber import Fiber

if TYPE_CHECKING:
    from proxy.core.snapshot import RoutePlan
    from proxy.dataplane.stats import RouteStats
    from proxy.dataplane.upstreams import Way
    from proxy.dataplane.worker import Worker
    from proxy.wire.upstream import UpstreamConnection

MARK: Final = b"X-Banyan-Shadow: 1\r\n"

FOLLOWED_SECONDS: Final = 0.01
"""Of the event loop's time between two sweeps (100 ms), for the answers of all shadows of a worker that do not come at
once: 10 MB, or far less in tiny chunks. What goes over it is taken off the next sweeps; till then the others wait."""


def owed(followed: float, before: float, used: float) -> float:
    """What shadows have had of the loop too much at a sweep, in seconds: ``followed`` until now, ``before`` at the last
    sweep, and of the CPU the worker has ``used`` since. While the machine keeps the worker waiting, a clock on the wall
    goes on: that time was not theirs."""
    return max(0.0, min(followed, before + used) - FOLLOWED_SECONDS)


def no_place(worker: Worker, stats: RouteStats, plan: RoutePlan, way: Way, now: float) -> str:
    """Why nothing may be asked of an upstream beside the clients' requests; an empty text if it may."""
    upstream, runtime = way.upstream, worker.runtime
    lag = runtime.overload.shadow_lag
    if worker.draining:
        return "draining"
    if lag and worker.late(now) > lag:
        return "loop-lag"
    if stats.shadows_in_flight >= plan.route.shadow.max_in_flight:
        return "concurrency"
    if upstream.shadows_in_flight >= upstream.settings.bulkhead.shadow or upstream.bulkhead.queued:
        return "bulkhead"
    if worker.shadow_bytes >= runtime.shadow_memory:
        return "memory"
    return ""


class Asking(Holder):
    """One request to one upstream, and its answer in ``shadow``.

    ``request`` are the bytes to send, ``begun`` is now (monotonic seconds), ``user`` who asks, if that decides about
    the endpoint, ``permit`` the shadow breaker's.
    """

    # Defaults stand on the class: most requests never touch them.
    shadow_failure = ""
    too_slow = False  # it took longer to its head than the upstream's own clocks allow
    timed = True  # what it took is its upstream's time alone
    closed = False  # nothing depends on it any more
    _first_byte = 0.0  # seconds from sending it to the head of its answer

    def __init__(
        self,
        worker: Worker,
        stats: RouteStats,
        plan: RoutePlan,
        way: Way,
        permit: int,
        request: bytes,
        begun: float,
        user: str | None,
    ) -> None:
        super().__init__(worker)
        self._stats = stats
        self._plan = plan
        self._way = way
        self._permit = permit
        self._request = request
        self._begun = begun
        self._user = user
        self.shadow = Side(plan.route.shadow.max_body)
        self._fiber = Fiber()

    def start(self, method: str) -> None:
        """Send it."""
        self._stats.shadows_in_flight += 1
        self._way.upstream.shadows_in_flight += 1
        self._worker.shadows.add(self._fiber)
        self._fiber.start(self._ask(method), self._ended)

    # -- for who wants to know ------------------------------------------------------------------------------------

    def drop(self, reason: str) -> None:
        """No pair will come of it."""
        if self.closed:
            return
        self._stats.shadow_dropped(reason)
        self.close()

    def close(self) -> None:
        """Forget it."""
        self.closed = True
        self.shadow.pieces.clear()
        self._let_go()
        self._fiber.interrupt(ExchangeError(FailureKind.CLIENT_LEFT))

    def shorten(self) -> None:
        """The other answer is too long to be kept: this one is compared by its digest, too."""
        self._hold(self.shadow.shorten())

    def give_up(self) -> None:
        """The end of the other answer will not be known, so nothing depends on the end of this one."""
        self._hold(self.shadow.give_up())

    def _goes_on(self) -> bool:
        """The answer is too long to be kept; whether its end still matters."""
        raise NotImplementedError

    def _gave_up(self) -> None:
        """The end of the answer will not be known."""
        raise NotImplementedError

    def _finished(self) -> None:
        """It is answered, or has failed."""
        raise NotImplementedError

    # -- its life -------------------------------------------------------------------------------------------------

    async def _ask(self, method: str) -> None:
        way, timeout = self._way, self._plan.route.shadow.timeout
        by = sent = self._begun
        by += timeout
        connection: UpstreamConnection | None = None
        try:
            endpoint = way.upstream.endpoints.pick(sent, random, key=self._user)
            if endpoint is None:
                raise ExchangeError(FailureKind.NO_ENDPOINT)
            pool = way.upstream.shadow_pool(endpoint)
            connection = pool.take(self._fiber, sent)
            reused = connection is not None
            while True:
                if connection is None:
                    connection = await pool.connect(self._fiber, min(way.timeouts.connect, timeout))
                    sent = monotonic()
                try:
                    await self._collect(connection, method, by, sent)
                    break
                except ExchangeError as failure:
                    connection.discard()
                    stale = reused and failure.kind is FailureKind.RESET
                    if not (stale and method in SAFE_METHODS):
                        raise
                connection, reused = None, False
            if not self.shadow.given_up:
                self._stats.shadowed(way.name, self._first_byte)
        except ExchangeError as failure:
            if connection is not None:
                connection.discard()
            self.shadow.seconds = monotonic() - sent
            self.shadow_failure = failure.kind.value
            if failure.kind is FailureKind.OVERFLOW:
                self.drop("descriptors")  # ours, and no word about the upstream

    async def _collect(  # noqa: C901 - one loop that reads from top to bottom; in parts it would only be longer
        self, connection: UpstreamConnection, method: str, by: float, sent: float
    ) -> None:
        fiber, shadow, worker = self._fiber, self.shadow, self._worker
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
        now = moved_at = monotonic()
        self._first_byte = now - sent
        if self._first_byte > self._way.patience:
            self.too_slow = True
        shadow.head(head)
        while True:
            if worker.followed > FOLLOWED_SECONDS and connection.body is not None:  # it is not whole and at hand
                now = moved_at = await self._turn(connection, by)
                if now >= by:  # its turn never came
                    self._leave(connection)
                    break
            piece = connection.take_body()
            if piece:
                if not self._hold(shadow.piece(piece)):
                    self.drop("memory")
                    raise ExchangeError(FailureKind.CLIENT_LEFT)
                moved_at = now
            if connection.body_done:
                connection.release(now)
                break
            if shadow.truncated and not self._goes_on():
                self._leave(connection)
                break
            if connection.ended:
                raise ExchangeError(FailureKind.TRUNCATED, Seen.ANSWER_STARTED)
            if now >= by:
                if now - moved_at > (by - self._begun) / 2:  # else it is our clock that ends it, not its silence
                    raise ExchangeError(FailureKind.IDLE_TIMEOUT, Seen.ANSWER_STARTED)
                self._leave(connection)
                break
            worker.followed += monotonic() - now
            await (fiber.others_first() if connection.pending else fiber.park(by))
            now = monotonic()
        shadow.seconds = now - sent

    async def _turn(self, connection: UpstreamConnection, by: float) -> float:
        """Let others have the event loop until shadows have time on it again; returns what time it is then."""
        self.timed = False
        now = monotonic()
        while self._worker.followed > FOLLOWED_SECONDS and now < by:
            connection.hold()
            await self._fiber.park(now)  # until the next sweep
            now = monotonic()
        connection.proceed()
        return now

    def _leave(self, connection: UpstreamConnection) -> None:
        """Enough is known of the answer, or it has had its time."""
        self._hold(self.shadow.cut())
        self.timed = False
        self._gave_up()
        connection.discard()

    def _ended(self, error: BaseException | None) -> None:
        self._worker.shadows.discard(self._fiber)
        self._stats.shadows_in_flight -= 1
        self._way.upstream.shadows_in_flight -= 1
        if self._permit and self._way.shadow_breaker is not None:
            ok: bool | None = not self.shadow_failure and self.shadow.status < 500
            if self.closed:  # it was dropped, by no fault of the upstream's
                ok = None
            self._way.shadow_breaker.settle(self._permit, ok, self._begun + self.shadow.seconds, random)
        if error is not None:  # a bug of ours
            log_line("error", "shadow-internal-error", error=repr(error), route=self._plan.id)
            self.shadow_failure = FailureKind.INTERNAL.value
        self._finished()
