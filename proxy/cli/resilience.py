"""``banyan resilience``: how long each route may take at most, what happens in that time, and what works badly."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from proxy.cli.tables import share
from proxy.config.load import Loaded, load
from proxy.config.model import Settings
from proxy.config.positions import locate
from proxy.config.upstreams import Breaker, Bulkhead, Retries, Upstream
from proxy.control.report_text import table
from proxy.core import profile as arithmetic
from proxy.core.profile import RouteProfile, about, effective_breaker, profile
from proxy.core.profile_warnings import warnings
from proxy.core.snapshot import NO_ROUTE_ID
from proxy.errors import Fault
from proxy.telemetry.visible import code_span, plain_cell, visible

NOTHING = "-"
NAMES_SHOWN = 8
"""Of routes that share one way; the rest is counted."""
TOLERANCE = 1e-6
"""Seconds; sums of times like 0.1 are not exact."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("routes"))
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True, help="The form.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def resilience(path: Path, form: str, as_json: bool) -> None:
    """Say of the configuration at PATH (default: routes) how long a client of each route may wait at most for an
    answer to begin, what happens in that time, and which settings do not go together.

    Nothing is sent, and overrides of a running Banyan are not known here. Warnings do not change the exit code.

    \b
    Example:
      banyan resilience routes
      banyan resilience routes --json | jq '.routes[] | {id, worst_case_seconds}'
    """
    loaded = load(path, os.environ)
    routes = profile(loaded.settings)
    found = _placed(loaded)
    if as_json or form == "json":
        click.echo(json.dumps(_object(routes, found, loaded.settings), indent=2))
    else:
        click.echo("\n".join(_markdown(path, routes, found, loaded.settings)))


def _placed(loaded: Loaded) -> list[Fault]:
    """The warnings at their places, by place."""
    return sorted(locate(loaded.root, warn.loc).fault(warn.what, warn.hint) for warn in warnings(loaded.settings))


# -- for programs -----------------------------------------------------------------------------------------------------


def _object(routes: list[RouteProfile], found: list[Fault], settings: Settings) -> dict[str, Any]:
    return {
        "legacy": settings.legacy,
        "worst_case_seconds": max(_number(route.worst_case) for route in routes),
        "routes": [_route_object(route, settings) for route in routes],
        "upstreams": {
            name: _upstream_object(name, upstream, settings) for name, upstream in settings.upstreams.items()
        },
        "warnings": [fault._asdict() for fault in found],
    }


def _route_object(route: RouteProfile, settings: Settings) -> dict[str, Any]:
    plan = next((known for known in settings.routes if known.id == route.id), None)
    return {
        "id": route.id,
        "stage": route.stage,
        "answers": route.answers,
        "worst_case_seconds": _number(route.worst_case),
        "fallback": {
            "on": list(route.fallback),
            "unsafe": plan.fallback.unsafe if plan else None,
            "max_replay_body": plan.fallback.max_replay_body if plan else None,
        },
        "candidate": _path_object(route.candidate, settings),
        "legacy": _path_object(route.legacy, settings),
    }


def _path_object(path: arithmetic.Path | None, settings: Settings) -> dict[str, Any] | None:
    if path is None:
        return None
    whole = _upstream_object(path.upstream, settings.upstreams[path.upstream], settings)
    return {
        "upstream": path.upstream,
        "deadline_seconds": _number(path.total),
        "fallback_reserve_seconds": _number(path.reserve),
        "tries_end_seconds": _number(path.tries_end),
        "worst_case_seconds": _number(path.seconds),
        "steps": [
            {
                "what": step.what,
                "upstream": step.upstream or None,
                "from_seconds": _number(step.begins),
                "to_seconds": _number(step.ends),
                "cut": step.cut,
            }
            for step in path.steps
        ],
        **{group: whole[group] for group in ("timeouts", "retries", "breaker", "bulkhead")},
    }


def _upstream_object(name: str, upstream: Upstream, settings: Settings) -> dict[str, Any]:
    """The groups as in the files: durations in seconds, shares from 0 to 1, sizes in bytes."""
    shown = upstream.model_dump(exclude={"endpoints", "discovery", "breaker", "max_idle"})
    return {
        "endpoints": len(upstream.endpoints),
        "discovery": _discovery(upstream) or None,
        "breaker": effective_breaker(settings, name).model_dump(),
        **shown,
    }


def _number(seconds: float) -> float:
    return round(seconds, 6)


# -- for people -------------------------------------------------------------------------------------------------------


def _markdown(path: Path, routes: list[RouteProfile], found: list[Fault], settings: Settings) -> list[str]:
    worst = about(max(route.worst_case for route in routes))
    count = f"{len(found)} warning{'' if len(found) == 1 else 's'}" if found else "no warnings"
    lines = [f"# Resilience of {code_span(str(path))}", ""]
    lines += [f"Worst case: {worst} until an answer begins, at the stages in the files; {count}.", ""]
    if found:
        lines += [f"- {code_span(f'{fault.file}:{fault.line}:{fault.column}')} {_sentence(fault)}" for fault in found]
        lines.append("")
    head = ["route", "stage", "who answers", "deadline", "kept for fallback", "fallback on", "tries", "worst case"]
    lines += table(head, [_row(route, settings) for route in routes], 8)
    lines += ["", "## The slowest way, step by step"]
    groups: dict[arithmetic.Path, list[str]] = {}
    for route in routes:
        for way in dict.fromkeys((route.candidate, *route.paths)):  # the candidate's also where it is still to come
            if way is not None:
                groups.setdefault(way, []).append(_user(route, way))
    for way, names in groups.items():
        lines += ["", *_steps(way, names, settings)]
    lines += ["", "## Upstreams", ""]
    head = ["upstream", "endpoints", "connect", "first byte", "per try", "idle", "total", "retries"]
    lines += table(head, [_clocks(name, upstream) for name, upstream in settings.upstreams.items()], 8)
    head = ["upstream", "breaker", "bulkhead", "shadows", "health checks", "ejection"]
    lines += ["", *table(head, [_guards(name, settings) for name in settings.upstreams], 6)]
    lines += [
        "",
        "Times end with the head of the answer; its body may go on as long as something moves (idle). With a request",
        "body they begin at its end. A Retry-After may make a pause longer, but nothing passes the deadline.",
    ]
    return lines


def _sentence(fault: Fault) -> str:
    # Names of settings with their underscores, unescaped: they are no markup inside a word, and people copy them.
    return visible(f"{fault.what}; {fault.hint}" if fault.hint else fault.what, 600)


def _row(route: RouteProfile, settings: Settings) -> list[str]:
    now = route.paths[0]
    legacy, candidate = plain_cell(settings.legacy), plain_cell(route.candidate.upstream) if route.candidate else ""
    who = {"legacy": legacy, "candidate": candidate, "chosen": f"{candidate} or {legacy}"}[route.answers]
    falls_back = route.fallback if now.reserve else ()
    return [
        "(no route)" if route.id == NO_ROUTE_ID else plain_cell(route.id),
        route.stage or NOTHING,
        who,
        about(now.total),
        about(now.reserve) if falls_back else NOTHING,
        _reasons(falls_back),
        str(1 + _attempts(settings.upstreams[now.upstream])),
        about(route.worst_case),
    ]


def _reasons(reasons: tuple[str, ...]) -> str:
    whole = 7  # of them there are
    if len(set(reasons)) == whole:
        return "every failure"
    return ", ".join(reasons) or NOTHING


def _attempts(upstream: Upstream) -> int:
    return upstream.retries.attempts if upstream.retries else 0


def _user(route: RouteProfile, way: arithmetic.Path) -> str:
    """The route in a list of those that use a way, with why no request takes it now."""
    name = "(no route)" if route.id == NO_ROUTE_ID else plain_cell(route.id)
    if way in route.paths:
        return name
    return f"{name} ({'from canary on' if route.stage in ('legacy', 'shadow') else 'not with its kill switch on'})"


def _steps(way: arithmetic.Path, names: list[str], settings: Settings) -> list[str]:
    if len(names) > NAMES_SHOWN:
        names = [*names[:NAMES_SHOWN], f"{len(names) - NAMES_SHOWN} more"]
    rows = [[about(step.begins), about(step.ends), *_step(step, settings)] for step in way.steps]
    deadline = f"The deadline is {about(way.total)}"
    if way.reserve:
        legacy, asked = plain_cell(settings.legacy), plain_cell(way.upstream)
        deadline += (
            f"; {about(way.reserve)} of it are kept for {legacy}, so tries on {asked} end at {about(way.tries_end)}"
        )
    head = [f"**{plain_cell(way.upstream)}** for {', '.join(names)}", ""]
    return [*head, *table(["from", "to", "step", "made of"], rows, 4), "", f"{deadline}."]


def _step(step: arithmetic.Step, settings: Settings) -> list[str]:
    if not step.upstream:
        return [step.what, "the longest that chance allows"]
    upstream = settings.upstreams[step.upstream]
    clocks, queue, seconds = upstream.timeouts, arithmetic.queue_seconds(upstream), step.ends - step.begins
    what = f"{step.what} on {plain_cell(step.upstream)}"
    if step.cut:
        return [what, "the deadline cuts it"]
    if clocks.per_try and seconds > clocks.per_try - TOLERANCE:
        return [what, f"per_try {about(clocks.per_try)}"]
    parts = [("queue", queue), ("connect", clocks.connect), ("first_byte", clocks.first_byte)]
    # A try that fails earlier, as a refused connection does, has the first parts only.
    made = [f"{name} {about(own)}" for n, (name, own) in enumerate(parts) if own and _ends(parts[: n + 1]) < seconds]
    return [what, " + ".join(made) or "the breaker is open"]


def _ends(parts: list[tuple[str, float]]) -> float:
    return sum(seconds for _, seconds in parts) - TOLERANCE


def _clocks(name: str, upstream: Upstream) -> list[str]:
    clocks = upstream.timeouts
    return [
        plain_cell(name),
        _discovery(upstream) or str(len(upstream.endpoints)),
        about(clocks.connect),
        about(clocks.first_byte),
        about(clocks.per_try) if clocks.per_try else NOTHING,
        about(clocks.idle),
        about(clocks.total),
        _retries(upstream.retries),
    ]


def _discovery(upstream: Upstream) -> str:
    found = upstream.discovery.model_dump(exclude_none=True) if upstream.discovery else {}
    return next(iter(found), "")


def _retries(retries: Retries | None) -> str:
    if retries is None or not retries.attempts:
        return "none"
    on = ", ".join(str(reason) for reason in retries.on)
    return f"{retries.attempts} on {on}; budget {share(retries.budget)}, at least {retries.budget_min}"


def _guards(name: str, settings: Settings) -> list[str]:
    upstream = settings.upstreams[name]
    health, outliers = upstream.health, upstream.outliers
    several = upstream.discovery is not None or len({endpoint.url for endpoint in upstream.endpoints}) > 1
    ejects = several and name != settings.legacy and outliers.consecutive_failures and outliers.max_ejected
    return [
        plain_cell(name),
        _breaker(effective_breaker(settings, name)),
        _bulkhead(upstream.bulkhead, adaptive=upstream.adaptive_concurrency is not None),
        str(upstream.bulkhead.shadow),
        f"{plain_cell(health.path)} every {about(health.interval)}" if health else "none",
        f"after {outliers.consecutive_failures}, for {about(outliers.ejection)}" if ejects else "none",
    ]


def _breaker(breaker: Breaker) -> str:
    if breaker.mode == "off":
        return "none"
    triggers = []
    if breaker.consecutive_failures:
        triggers.append(f"{breaker.consecutive_failures} in a row")
    if breaker.error_share:
        triggers.append(f"{share(breaker.error_share)} of {breaker.min_requests} in {about(breaker.window)}")
    words = f"{' or '.join(triggers)}, open {about(breaker.open)}"
    return f"only observes: {words}" if breaker.mode == "observe" else words


def _bulkhead(bulkhead: Bulkhead, *, adaptive: bool) -> str:
    bound = str(bulkhead.max_concurrent) if bulkhead.max_concurrent else "no bound"
    if adaptive:
        bound += ", adaptive"
    if (not bulkhead.max_concurrent and not adaptive) or not bulkhead.queue or not bulkhead.queue_timeout:
        return bound
    return f"{bound}, queue {bulkhead.queue} for {about(bulkhead.queue_timeout)}"
