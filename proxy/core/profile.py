"""How long a request of each route may take at most, and what happens in that time: arithmetic, without any traffic.

Law: a step lasts as long as its own clocks or the deadline let it, whichever is shorter, computed with the functions
that the data plane uses (``proxy.core.deadline``). A path is the slowest way through the configuration: every try that
can be followed by another fails as late as it may, and so does the last one before a fallback.

Times are seconds from the moment at which the deadline begins: the request's arrival, with a body its end. They end
with the head of the answer; a body may go on as long as something moves (``timeouts.idle``). Left out is what does not
belong to a configuration: drills, answers that ask for a pause (``Retry-After``, never beyond the deadline), the 100 ms
within which clocks are looked at, and the second connection where a kept one died without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from proxy.config.model import Route, Settings, Stage
from proxy.config.upstreams import Breaker, Retries, Upstream
from proxy.core.deadline import fallback_reserve, longest_pause, try_deadline
from proxy.core.snapshot import NO_ROUTE_ID
from proxy.core.stages import STAGE_RULES

_INEXACT = 1e-6
"""Sums of times like 0.1 are a little more or less."""
_NOT_ASKED = ("breaker-open",)
_NOT_CONNECTED = ("connect-failure",)
_NOT_PLACED = ("overflow",)


class Step(NamedTuple):
    """One part of a path. ``cut``: the deadline ends it before its own clocks would."""

    what: str  # "try", "try 2", "pause", "fallback", "fallback try 2"
    upstream: str  # "" for a pause
    begins: float
    ends: float
    cut: bool


class Path(NamedTuple):
    """The slowest way that a request can take if ``upstream`` is asked first.

    ``total`` is the deadline, ``reserve`` what of it is kept for legacy (0: no fallback), ``tries_end`` when the tries
    on ``upstream`` are over in any case, ``fallback_begins`` when legacy is asked at the latest. ``cut``: the deadline
    cuts a retry short, or leaves no time to begin it.
    """

    upstream: str
    total: float
    reserve: float
    tries_end: float
    fallback_begins: float
    steps: tuple[Step, ...]
    cut: bool

    @property
    def seconds(self) -> float:
        """From the first step to the last."""
        return self.steps[-1].ends


class RouteProfile(NamedTuple):
    """One route, or with ``id`` NO_ROUTE_ID and stage None the requests that no route names.

    ``candidate`` is the path of requests that the candidate is asked about: at this stage or, before ``canary``, as it
    will be. ``legacy`` is that of the others; None at ``retired``, which has no legacy.
    """

    id: str
    stage: Stage | None
    answers: str  # "legacy", "candidate" or "chosen": canary
    fallback: tuple[str, ...]  # reasons, as they hold at canary and live
    legacy: Path | None
    candidate: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that a request can take at this stage."""
        taken = {"legacy": (self.legacy,), "candidate": (self.candidate,), "chosen": (self.candidate, self.legacy)}
        return tuple(path for path in taken[self.answers] if path is not None)

    @property
    def worst_case(self) -> float:
        """Seconds."""
        return max(path.seconds for path in self.paths)


def profile(settings: Settings) -> list[RouteProfile]:
    """All routes in the order of the files, then the requests that no route names."""
    alone = _path(settings.legacy, settings.upstreams[settings.legacy])
    routes = [_route(route, settings, alone) for route in settings.routes]
    return [*routes, RouteProfile(NO_ROUTE_ID, None, "legacy", (), alone, None)]


def about(seconds: float) -> str:
    """A time for people, as it could be written in a file, rounded up: 33.775 is ``33.78s``, 0.025 ``25ms``."""
    if seconds >= 1 or not seconds:
        return f"{ceil(seconds * 100 - _INEXACT) / 100:g}s"
    return f"{ceil(seconds * 10_000 - _INEXACT) / 10:g}ms"


def effective_breaker(settings: Settings, upstream: str) -> Breaker:
    """What holds if none is written: the defaults for a candidate, none for legacy, which has nobody behind it."""
    return settings.upstreams[upstream].breaker or Breaker(mode="off" if upstream == settings.legacy else "enforce")


def queue_seconds(upstream: Upstream) -> float:
    """How long a try may wait for a place; 0 where nobody waits."""
    bulkhead = upstream.bulkhead
    bounded = bulkhead.max_concurrent or upstream.adaptive_concurrency is not None
    return bulkhead.queue_timeout if bounded and bulkhead.queue else 0.0


def try_seconds(upstream: Upstream, reasons: Iterable[object] = ("timeout",)) -> float:
    """The longest try that fails for one of the reasons of ``retries.on`` or ``fallback.on``, or lasts to the end.

    Who was refused a place was never connected, who could not connect never waited for a first byte.
    """
    clocks, queue = upstream.timeouts, queue_seconds(upstream)
    longest = 0.0
    for reason in reasons:
        if reason in _NOT_ASKED:
            continue
        if reason in _NOT_PLACED:
            longest = max(longest, queue)
        elif reason in _NOT_CONNECTED:
            longest = max(longest, queue + clocks.connect)
        else:
            longest = queue + clocks.connect + clocks.first_byte
            break
    return min(longest, clocks.per_try) if clocks.per_try else longest


def _route(route: Route, settings: Settings, alone: Path) -> RouteProfile:
    answers = "legacy" if route.kill_switch and route.stage != "retired" else STAGE_RULES[route.stage].answers
    reasons = () if route.stage == "retired" else tuple(route.fallback.on)
    candidate = None
    if route.candidate is not None:
        upstream, legacy = settings.upstreams[route.candidate], settings.upstreams[settings.legacy]
        candidate = _path(route.candidate, upstream)
        if reasons:
            candidate = _path_with_fallback(route.candidate, upstream, settings.legacy, legacy, reasons)
    return RouteProfile(route.id, route.stage, answers, reasons, None if route.stage == "retired" else alone, candidate)


def _path(name: str, upstream: Upstream) -> Path:
    total = upstream.timeouts.total
    steps, cut = _tries("", name, upstream, 0.0, total, ("timeout",))
    return Path(name, total, 0.0, total, total, tuple(steps), cut)


def _path_with_fallback(
    name: str, upstream: Upstream, legacy_name: str, legacy: Upstream, reasons: tuple[str, ...]
) -> Path:
    total = upstream.timeouts.total
    reserve = fallback_reserve(total, legacy.timeouts.connect, legacy.timeouts.first_byte)
    ends = total - reserve
    alone, cut = _tries("", name, upstream, 0.0, ends, ("timeout",))
    before, _ = _tries("", name, upstream, 0.0, ends, reasons)
    begins = before[-1].ends
    after, _ = _tries("fallback", legacy_name, legacy, begins, total, ("timeout",))
    steps = max([*before, *after], alone, key=lambda way: way[-1].ends)
    return Path(name, total, reserve, ends, begins, tuple(steps), cut)


def _tries(
    label: str, name: str, upstream: Upstream, begins: float, ends: float, last: Iterable[object]
) -> tuple[list[Step], bool]:
    """The tries on one upstream, and whether a retry among them is cut. ``last``: why the last of them fails."""
    retries = upstream.retries or Retries(attempts=0)
    repeated, final = try_seconds(upstream, retries.on), try_seconds(upstream, last)
    steps: list[Step] = []
    now = begins
    for number in range(retries.attempts + 1):
        if number:
            pause = longest_pause(number - 1, retries.backoff, retries.max_backoff)
            if now + pause >= ends:  # the longest pause does not fit, but a random one may: up to the very end
                if now < ends:
                    steps.append(Step("pause", "", now, ends, cut=True))
                return steps, True
            if pause:
                steps.append(Step("pause", "", now, now + pause, cut=False))
            now += pause
        own = final if number == retries.attempts else repeated
        stop = min(now + own, try_deadline(now, ends, upstream.timeouts.per_try))
        what = f"{label} try {number + 1}".strip() if retries.attempts else label or "try"
        steps.append(Step(what, name, now, stop, cut=stop < now + own))
        now = stop
    return steps, retries.attempts > 0 and steps[-1].cut
