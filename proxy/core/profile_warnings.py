"""What of a configuration works badly: arithmetic that does not go together, settings that do nothing.

Law: a warning never refuses anything; it names what is written and what follows, and says what to write instead. What
nobody wrote is not warned about, unless something written makes it wrong. One warning stands for all routes that it
is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.model import Route, Settings
from proxy.config.upstreams import Upstream
from proxy.config.values import spelled
from proxy.core.deadline import longest_pause
from proxy.core.profile import Path, about, effective_breaker, profile, queue_seconds
from proxy.core.stages import STAGE_RULES

SWEEP_SECONDS = 0.1
"""The data plane looks at its clocks so often: what is shorter may be over before anybody looks."""
ROUTES_NAMED = 3
"""Of those that one warning is about; the rest is counted."""

Loc = tuple[str | int, ...]


class Warn(NamedTuple):
    """One thing that works badly. ``loc`` is the way to it from the root of the configuration."""

    loc: Loc
    what: str
    hint: str


def warnings(settings: Settings) -> list[Warn]:
    """All of them: those of upstreams first, then those of routes, then those of the whole."""
    found: list[Warn] = []
    for name, upstream in settings.upstreams.items():
        subject = f"upstream {name!r}"
        for loc, what, hint in _upstream(name, upstream, settings):
            found.append(Warn(("upstreams", name, *loc), f"{subject}: {what}", hint))
    *routes, unrouted = profile(settings)
    routes_of: dict[Warn, list[str]] = {}
    if unrouted.legacy is not None:
        for warn in _tries(unrouted.legacy, settings):
            routes_of.setdefault(warn, [])
    for index, (route, facts) in enumerate(zip(settings.routes, routes, strict=True)):
        if facts.candidate is None:
            continue
        warns = [*_tries(facts.candidate, settings), *_shadow(route, index, settings)]
        if facts.fallback:
            warns += _fallback(facts.candidate, facts.fallback, index, settings)
        for warn in warns:
            routes_of.setdefault(warn, []).append(repr(route.id))
    found += [Warn(loc, f"{_named(ids)}: {what}", hint) for (loc, what, hint), ids in routes_of.items()]
    overload = settings.overload
    if overload.refuse_lag and overload.shadow_lag > overload.refuse_lag:
        what = f"overload: at {about(overload.refuse_lag)} of lag connections are refused, and shadows are still sent"
        found.append(Warn(("overload", "refuse_lag"), what, f"shadow_lag is {about(overload.shadow_lag)}; lower it"))
    return found


def _named(ids: list[str]) -> str:
    if not ids:
        return "what no route names"
    more = f" and {len(ids) - ROUTES_NAMED} more" if len(ids) > ROUTES_NAMED else ""
    return f"route{'s' if len(ids) > 1 else ''} {', '.join(ids[:ROUTES_NAMED])}{more}"


# -- upstreams: what is so whoever asks -------------------------------------------------------------------------------


def _upstream(name: str, upstream: Upstream, settings: Settings) -> Iterator[Warn]:
    yield from _clocks(upstream)
    yield from _bulkhead(upstream)
    yield from _endpoints(upstream, legacy=name == settings.legacy)
    health = upstream.health
    if health is not None and health.timeout > health.interval:
        what = f"a health check may take {about(health.timeout)}, longer than the interval of {about(health.interval)}"
        yield Warn(("health", "interval"), what, "set health.timeout below it")
    breaker, bound = effective_breaker(settings, name), upstream.bulkhead.max_concurrent
    if breaker.mode != "enforce":
        return
    if name == settings.legacy:
        what = "it is legacy, so nobody answers instead while its breaker is open: clients get 503"
        yield Warn(("breaker",), what, "write mode: observe, or leave it out; the bulkhead sheds load")
    if 0 < bound < breaker.probes:
        what = f"the breaker lets {breaker.probes} probes pass at once, but the bulkhead only {bound}"
        yield Warn(("breaker",) if upstream.breaker else ("bulkhead",), what, f"write breaker: {{probes: {bound}}}")


def _clocks(upstream: Upstream) -> Iterator[Warn]:
    clocks, total = upstream.timeouts, about(upstream.timeouts.total)
    for key in ("connect", "first_byte"):
        value = getattr(clocks, key)
        if key in clocks.model_fields_set and value >= clocks.total:
            what = f"{key} {about(value)} never runs out, for total is {total}"
            yield Warn(("timeouts", key), what, f"lower {key}, or raise total")
    if clocks.per_try >= clocks.total:
        what = f"per_try {about(clocks.per_try)} bounds nothing, for total is {total}"
        yield Warn(("timeouts", "per_try"), what, "one try may take all the time; lower per_try")
    queue = queue_seconds(upstream)
    if 0 < clocks.per_try <= queue:
        what = f"per_try {about(clocks.per_try)} may pass in the queue alone, where one waits up to {about(queue)}"
        yield Warn(("timeouts", "per_try"), what, "raise per_try, or lower bulkhead.queue_timeout")


def _bulkhead(upstream: Upstream) -> Iterator[Warn]:
    bulkhead, adaptive = upstream.bulkhead, upstream.adaptive_concurrency
    wait, written = bulkhead.queue_timeout, bulkhead.model_fields_set
    if queue_seconds(upstream) >= upstream.timeouts.total:
        what = f"queue_timeout {about(wait)} is not below the deadline, total {about(upstream.timeouts.total)}"
        yield Warn(("bulkhead", "queue_timeout"), what, "who waits so long is not answered any more; lower it")
    if "queue" in written and bulkhead.queue and not _bounded(upstream):
        what = "nobody ever waits in the queue, for max_concurrent 0 is no bound"
        yield Warn(("bulkhead", "queue"), what, "set max_concurrent")
    if {"queue", "queue_timeout"} <= written and wait and not bulkhead.queue:
        yield Warn(
            ("bulkhead", "queue_timeout"), "queue_timeout says nothing with queue 0", "leave it out, or set queue"
        )
    if adaptive is not None and 0 < bulkhead.max_concurrent < adaptive.min:
        what = f"nothing adapts, for the least is {adaptive.min} and max_concurrent is {bulkhead.max_concurrent}"
        yield Warn(("adaptive_concurrency", "min"), what, "raise max_concurrent, or lower min")


def _endpoints(upstream: Upstream, *, legacy: bool) -> Iterator[Warn]:
    seen: set[str] = set()
    for number, endpoint in enumerate(upstream.endpoints):
        if endpoint.url in seen:
            what = f"{endpoint.url} stands twice, and counts with both weights"
            yield Warn(("endpoints", number), what, "write it once, with a weight")
        seen.add(endpoint.url)
    count = len({endpoint.url for endpoint in upstream.endpoints if endpoint.weight})
    single = upstream.discovery is None and count < 2
    outliers = upstream.outliers
    if outliers.model_fields_set and outliers.consecutive_failures and outliers.max_ejected:
        what = ""
        if legacy:
            what = "it is legacy, whose endpoints are never ejected"
        elif single:
            what = "with one endpoint nothing is ever ejected"
        elif upstream.discovery is None and outliers.max_ejected * count < 1:
            what = (
                f"{spelled(outliers.max_ejected, '5%')} of {count} endpoints is less than one: nothing is ever ejected"
            )
        if what:
            yield Warn(("outliers",), what, "raise max_ejected" if "less" in what else "leave outliers out")
    if upstream.slow_start and single:
        what = "slow_start does nothing with one endpoint: nobody is there to take the rest"
        yield Warn(("slow_start",), what, "leave it out")


def _bounded(upstream: Upstream) -> bool:
    return upstream.bulkhead.max_concurrent > 0 or upstream.adaptive_concurrency is not None


# -- routes: what follows from candidate and legacy together. ``what`` lacks its subject here -------------------------


def _tries(path: Path, settings: Settings) -> Iterator[Warn]:
    upstream = settings.upstreams[path.upstream]
    clocks, retries, queue = upstream.timeouts, upstream.retries, queue_seconds(upstream)
    at: Loc = ("upstreams", path.upstream)
    kept = f" ({about(path.reserve)} of {about(path.total)} are kept for the fallback)" if path.reserve else ""
    left = f"{path.upstream!r} has {about(path.tries_end)} in all{kept}"
    if path.tries_end <= clocks.per_try < path.total:
        what = f"per_try {about(clocks.per_try)} bounds nothing, for {left}"
        yield Warn((*at, "timeouts", "per_try"), what, "lower per_try, or raise total")
    if path.tries_end <= queue < path.total:
        what = f"one may wait {about(queue)} in the queue, but {left}"
        yield Warn((*at, "bulkhead", "queue_timeout"), what, "lower queue_timeout, or raise total")
    if retries is not None and path.cut:
        tries = retries.attempts + 1
        pauses = sum(longest_pause(n, retries.backoff, retries.max_backoff) for n in range(retries.attempts))
        each = _rounded((path.tries_end - pauses) / tries)
        what = f"if tries are slow the deadline cuts the retries: there are {tries} tries, and {left}"
        cure = (
            f"write per_try: {about(each)}, or fewer attempts"
            if each > queue
            else "raise total, or write fewer attempts"
        )
        yield Warn((*at, "retries"), what, cure)


def _fallback(path: Path, reasons: tuple[str, ...], index: int, settings: Settings) -> Iterator[Warn]:
    candidate, legacy = settings.upstreams[path.upstream], settings.upstreams[settings.legacy].timeouts
    needs = legacy.connect + legacy.first_byte
    needs = min(needs, legacy.per_try) if legacy.per_try else needs
    left = path.total - path.fallback_begins
    at: Loc = ("upstreams", path.upstream, "timeouts")
    at = (*at, "total") if "total" in candidate.timeouts.model_fields_set else at
    if path.reserve <= SWEEP_SECONDS:
        what = f"the fallback may not be reached: only {about(path.reserve)} of {about(path.total)} are kept for it"
        yield Warn(at, what, f"clocks are looked at every {about(SWEEP_SECONDS)}; raise total")
    elif left < needs:
        what = f"after a slow candidate the fallback has {about(left)}, and legacy may need {about(needs)}"
        yield Warn(at, what, f"raise total of {path.upstream!r}, or lower its first_byte or per_try")
    on: Loc = ("routes", index, "fallback", "on")
    enforced, bounded = effective_breaker(settings, path.upstream).mode == "enforce", _bounded(candidate)
    possible = {"breaker-open": enforced, "overflow": bounded}
    if not any(possible.get(reason, True) for reason in reasons):
        yield Warn(on, "the fallback can never run: nothing in fallback.on can happen", "name more reasons")
    if enforced and "breaker-open" not in reasons:
        what = "while the breaker is open clients get 503, though legacy could answer"
        yield Warn(on, what, "add breaker-open to fallback.on, or write breaker: {mode: off}")
    if bounded and "overflow" not in reasons:
        what = "while the bulkhead is full clients get 503, though legacy could answer"
        yield Warn(on, what, "add overflow to fallback.on, or write bulkhead: {max_concurrent: 0}")


def _shadow(route: Route, index: int, settings: Settings) -> Iterator[Warn]:
    rule, shadow = STAGE_RULES[route.stage], route.shadow
    if not shadow.sample or not shadow.max_in_flight or route.kill_switch:
        return
    reverse = rule.shadow_of_candidate == "legacy" or (rule.shadow_of_candidate and shadow.reverse)
    asked = [route.candidate] if rule.shadow_of_legacy and route.candidate else []
    for name in [*asked, settings.legacy] if reverse else asked:
        most = settings.upstreams[name].bulkhead.shadow
        if not most:
            what = f"no shadow is ever sent, for bulkhead.shadow of {name!r} is 0"
            yield Warn(("upstreams", name, "bulkhead", "shadow"), what, "raise it, or write shadow: {sample: 0%}")
        elif "max_in_flight" in shadow.model_fields_set and shadow.max_in_flight > most:
            what = f"{name!r} takes {most} shadows at once, over all routes"
            yield Warn(("routes", index, "shadow", "max_in_flight"), what, "lower it, or raise bulkhead.shadow")


def _rounded(seconds: float) -> float:
    """Down to what a person would write."""
    return next((int(seconds / unit) * unit for unit in (1.0, 0.1, 0.01) if seconds >= unit), 0.0)
