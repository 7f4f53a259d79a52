"""A bound for the requests under way that follows the upstream's latency.

Law: nobody tells an upstream's capacity; it shows in its latency. While an upstream keeps up, the latency of its
answers is its own; above that, requests wait inside it, and more of them at once only wait longer. So once per window
the recent latency is set against the long-term best:

    gradient = tolerance * best / recent      between 0.5 and 1
    limit    = limit * gradient + headroom    between min and max

The headroom is the square root of the limit: room for a short queue, and for finding out whether more is possible. It
begins at ``min``, where latency is the upstream's own, and until it has fallen for the first time the headroom is the
limit itself, so that a start under load does not shed for long (as in TCP's slow start). A limit of which not half was
used says nothing about the upstream and stays as it is.

The best follows a faster upstream soon. It follows a slower one only while the requests under way cannot be the reason,
else an upstream that is overloaded for long would become the measure of itself: while the limit is not used, while it
cannot fall any more, and else by listening: now and then a pressed upstream is left with a quarter of its limit, and
the latency that it shows then is the new best.

Sources: Netflix concurrency-limits, ``Gradient2Limit`` (tolerance, gradient, square root, no change below half of the
limit); Envoy's adaptive concurrency filter (one decision per window of many samples; measuring the best anew, every 60
seconds, with few requests under way); RFC 5681 section 3.1.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.upstreams import AdaptiveConcurrency

LEAST_GRADIENT = 0.5
"""One window halves the limit at most; Netflix's and Envoy's."""

MIN_SAMPLES = 10
"""A window goes on until it has so many: the mean of fewer is noise."""

FASTER_SHARE = 0.2
"""How far the best goes towards a faster window. Not all the way, for one window of cheap requests proves little."""

SLOWER_SHARE = 0.05
"""How far it goes towards a slower one: half of the way in 14 windows; Netflix's decay."""

LISTEN_AFTER = 60
"""Pressed windows, after which it listens; with windows of a second about as often as Envoy."""

LISTEN_WINDOWS = 2
"""One for the requests of before to end, and one to be measured."""

LISTEN_SHARE = 0.25
"""Of the limit, while it listens. A limit settles below three times the capacity, so a quarter is surely below it."""


class AdaptiveLimit:
    """The adaptive limit of one upstream in this worker. ``limit`` is how many requests may be under way."""

    __slots__ = (
        "_best",
        "_count",
        "_ends",
        "_estimate",
        "_listening",
        "_peak",
        "_pressed",
        "_rising",
        "_seconds",
        "_settings",
        "limit",
    )

    def __init__(self, settings: AdaptiveConcurrency) -> None:
        self._settings = settings
        self._best = 0.0  # seconds; 0: nothing observed so far
        self._rising = True  # it has not fallen yet
        self._pressed = 0  # windows above the tolerance since it listened last
        self._listening = 0  # windows to go, the present one included
        self._seconds, self._count, self._peak = 0.0, 0, 0  # of this window
        self._ends = float("-inf")
        self._estimate = 0.0  # the limit when it does not listen, before it is rounded down
        self.limit = 0
        self._set(settings.min)

    def configure(self, settings: AdaptiveConcurrency) -> None:
        """A reload: what was learnt stays, within the new bounds."""
        self._settings = settings
        self._set(self._estimate)

    def observe(self, seconds: float, in_flight: int) -> None:
        """A request took ``seconds`` to its answer (or to its timeout), and ``in_flight`` were under way at its end.

        A try that failed at once tells no latency and is not to be observed.
        """
        self._seconds += seconds
        self._count += 1
        if in_flight > self._peak:
            self._peak = in_flight

    def tick(self, now: float) -> None:
        """Time has passed, ``now`` in monotonic seconds. Sets ``limit`` anew if a window has ended."""
        if now < self._ends or self._count < MIN_SAMPLES:
            return
        recent, peak = self._seconds / self._count, self._peak
        self._seconds, self._count, self._peak = 0.0, 0, 0
        self._ends = now + self._settings.window
        if self._listening:
            self._listening -= 1
            if not self._listening:
                self._best = recent
            self._set(self._estimate)
            return
        used = 2 * peak >= self.limit
        self._learn(recent, innocent=not used or self.limit <= self._settings.min)
        if used:
            self._decide(recent)

    def _learn(self, recent: float, *, innocent: bool) -> None:
        """Move the best; ``innocent``: a slower window is not due to what is under way."""
        best = self._best
        if not best:
            self._best = recent
        elif recent < best:
            self._best += (recent - best) * FASTER_SHARE
        elif innocent:
            self._best += (recent - best) * SLOWER_SHARE

    def _decide(self, recent: float) -> None:
        wanted = self._settings.tolerance * self._best
        estimate = self._estimate
        if recent <= wanted:
            self._set(estimate + (estimate if self._rising else sqrt(estimate)))
            return
        self._rising = False
        self._pressed += 1
        if self._pressed >= LISTEN_AFTER:
            self._pressed, self._listening = 0, LISTEN_WINDOWS
        self._set(estimate * max(LEAST_GRADIENT, wanted / recent) + sqrt(estimate))

    def _set(self, estimate: float) -> None:
        least = self._settings.min
        self._estimate = max(least, min(self._settings.max, estimate))
        self.limit = max(least, int(self._estimate * LISTEN_SHARE)) if self._listening else int(self._estimate)
