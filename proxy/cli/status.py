"""``banyan status``: how a running Banyan is doing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from proxy.cli.client import Client, admin_option, fault_line
from proxy.cli.tables import ago, duration, share, show
from proxy.compare.wording import number, until
from proxy.telemetry.visible import visible

_COLUMNS = ("route", "stage", "verdict", "requests", "candidate", "5xx", "fallbacks", "match", "version")
_RIGHT = _COLUMNS[3:]
_BREAKERS = ("route", "upstream", "purpose", "state", "not closed for", "probe in", "workers", "opened", "refused")
_UPSTREAMS = ("upstream", "in flight", "queued", "limit", "overflows", "retries refused", "endpoints")
_EVENTS = ("when", "who", "what", "route", "from", "to", "why")
_BECOMES = {"accept": "accepted", "unaccept": "new", "auto-fixed": "fixed"}
"""The state of a difference after what was said of it, where that is not the same word or no change."""
MAX_LISTED = 20
"""Faults, breakers and endpoints that are listed; ``--json`` has all."""
EVENTS_SHOWN = 30


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as one object.")
@click.option("--events", is_flag=True, help="Show the newest events instead: changes, reloads, breakers, differences.")
@admin_option
def status(as_json: bool, events: bool, admin: str) -> None:
    """Show routes with their stage and traffic, upstreams, workers, and the state of the configuration.

    The verdict says whether a route may be cut over; "banyan readiness ROUTE" has the reasons.
    Figures of routes are of the last 24 hours, those of upstreams since the start; "match" is as judged at the time,
    the verdict counts what was accepted since. A star marks a stage that an operator's override holds against the file.

    \b
    Example:
      banyan status
      banyan status --events
      banyan status --json | jq .configuration.faults
    """
    if events:
        _events(Client(admin), as_json=as_json)
        return
    found = Client(admin).get("/api/status")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _head(found)
    if found["routes"]:
        click.echo()
        show(_COLUMNS, [*(_row(route) for route in found["routes"]), _unrouted(found["unrouted"])], _RIGHT)
    differing = [route for route in found["routes"] if route["overridden"]]
    if differing:
        click.echo()
    for route in differing:
        override = route["override"] or {}
        why = f"{override.get('actor')}: {override.get('reason')}"
        click.echo(f"* {route['route']}: the file says {_stage(route, 'file_')}; {visible(why, 600)}")
    _upstreams(found["upstreams"])
    _breakers([breaker for breaker in found["breakers"] if breaker["state"] != "closed"])
    _problems(found)


def _head(found: dict[str, Any]) -> None:
    up = sum(worker["up"] for worker in found["workers"])
    restarts = sum(child["restarts"] for child in [*found["workers"], *found["comparators"]])
    connections = sum(worker.get("connections", 0) for worker in found["workers"])
    configuration = found["configuration"]
    where = ", ".join(f"http://{address}" for address in found["listen"])
    state, uptime = found["state"].replace("-", " "), duration(found["uptime_seconds"])
    click.echo(f"{state} on {where} for {uptime}, {connections} connections")
    click.echo(f"workers: {up} of {len(found['workers'])} up, {restarts} restarts of processes")
    line, faults = f"{configuration['path']}, generation {configuration['generation']}", configuration["faults"]
    if faults:
        line += f" goes on serving, for the files have {number(len(faults), 'fault')}:"
    click.echo(f"configuration: {visible(line, 1000)}")
    for fault in faults[:MAX_LISTED]:
        click.echo(f"  {visible(fault_line(fault), 1000)}")
    if len(faults) > MAX_LISTED:
        click.echo(f"  and {len(faults) - MAX_LISTED} more")


def _upstreams(upstreams: list[dict[str, Any]]) -> None:
    if not upstreams:
        return
    click.echo()
    show(_UPSTREAMS, [_upstream(one) for one in upstreams], _UPSTREAMS[1:6])
    unfit = [(one, each) for one in upstreams for each in one["endpoints"] if each["state"] != "fit"]
    if unfit:
        click.echo()
    for one, each in unfit[:MAX_LISTED]:
        where = "" if len(each["workers"]) == 1 else f" ({_workers(each)} workers)"
        click.echo(visible(f"{one['upstream']}: {each['endpoint']} is {each['state']}{where}", 300))
    if len(unfit) > MAX_LISTED:
        click.echo(f"and {len(unfit) - MAX_LISTED} more endpoints that are not fit")


def _upstream(one: dict[str, Any]) -> list[str]:
    states = one["endpoint_states"]
    known = sum(states.values())
    endpoints = str(known) if states.get("fit") == known else f"{states.get('fit', 0)} of {known} fit"
    return [
        one["upstream"],
        f"{one['in_flight']:,}",
        f"{one['queued']:,}",
        f"{one['limit']:,}" if one["limit"] else "-",
        f"{one['overflows']:,}",
        f"{one['retries_refused']:,}",
        f"{endpoints}, panic: all are used" if one["panic"] else endpoints,
    ]


def _breakers(breakers: list[dict[str, Any]]) -> None:
    if not breakers:
        return
    click.echo("\nbreakers that are not closed:")
    breakers = sorted(breakers, key=_mildness)
    show(_BREAKERS, [_breaker(one) for one in breakers[:MAX_LISTED]], _BREAKERS[4:])
    if len(breakers) > MAX_LISTED:
        click.echo(f"and {len(breakers) - MAX_LISTED} more")


def _breaker(one: dict[str, Any]) -> list[str]:
    return [
        one["route"],
        one["upstream"],
        one["purpose"],
        f"{one['state']} (observed only)" if one["mode"] == "observe" else one["state"],
        duration(one["not_closed_seconds"]),
        _probe_in(one),
        _workers(one),
        f"{one['opened']:,}",
        f"{one['refused']:,}",
    ]


def _mildness(one: dict[str, Any]) -> tuple[bool, bool, bool]:
    """A sort key: what stops clients comes before what stops shadows, or nobody."""
    return one["mode"] == "observe", one["purpose"] == "shadow", one["state"] != "open"


def _probe_in(one: dict[str, Any]) -> str:
    """An open breaker stays open until somebody asks, however long ago its time was over."""
    if one["state"] != "open":
        return "-"
    return duration(one["open_seconds"]) if one["open_seconds"] else "next request"


def _workers(one: dict[str, Any]) -> str:
    return f"{one['workers'].get(one['state'], 0)} of {sum(one['workers'].values())}"


def _events(client: Client, *, as_json: bool) -> None:
    found = client.get("/api/events", limit=EVENTS_SHOWN)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    show(_EVENTS, [_event(event) for event in found["events"]])


def _event(event: dict[str, Any]) -> list[str]:
    when = ago(_at(event["at"]))
    what, before, after = event["action"], _state(event["before"]), _state(event["after"])
    said = event["after"]
    if what == "breaker":
        what = f"{said.get('purpose')} breaker of {said.get('upstream')}"
        if said.get("mode") == "observe":
            what += " (observed only)"
    elif what == "follow-file":
        after = "as the file says"
    elif "fingerprint" in said:
        after = before if what in ("assign", "comment") else _BECOMES.get(what, what)
        what = f"{what} {said['fingerprint']}"
        what += f" to {said['who']}" if said.get("who") else ""
        after += f" until {until(_at(said['until']))}" if said.get("until") else ""
    return [when, event["actor"], what, event["route"] or "-", before, after, event["reason"]]


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _state(side: dict[str, Any]) -> str:
    if "stage" in side:
        return _stage(side) if side.get("percent") is not None else str(side["stage"])
    if "generation" in side:
        return f"generation {side['generation']}"
    return str(side.get("state", "-"))


def _problems(found: dict[str, Any]) -> None:
    configuration, store = found["configuration"], found["store"]
    lines = [f"warning: {warning}" for warning in configuration["warnings"]]
    if not store["up"]:
        lines.append(f"warning: the store {store['path']} does not work; changes are refused, traffic goes on")
    if store["moved_aside"]:
        lines.append(f"warning: the store was damaged and is now {store['moved_aside']}; its overrides do not hold")
    log = found["access_log"]
    if log and log["dropped"]:
        lines.append(f"warning: {log['dropped']:,} requests have no line in the access log {log['file']}")
    if not any(child["up"] for child in found["comparators"]):
        lines.append("warning: the comparator is down; shadows are dropped")
    lines += [line for one in found["endpoints"] for line in _endpoint_problems(one)]
    if lines:
        click.echo()
    for line in lines:
        click.echo(visible(line, 1000))


def _endpoint_problems(one: dict[str, Any]) -> list[str]:
    """What is wrong with finding and checking the endpoints of an upstream."""
    name, discovery, lines = one["upstream"], one["discovery"], []
    if discovery and discovery["state"] != "good":
        known = len(one["endpoints"]) + one["endpoints_not_listed"]
        used = {
            "discovery": f"the {known} endpoints that it found last are used",
            "configuration": f"the {known} configured endpoints are used" if known else "it has no endpoints",
            "former": f"the {known} endpoints from before the reload are used",
        }[one["from"]]
        lost = f" for {duration(discovery['lost_seconds'])}" if discovery["lost_seconds"] is not None else ""
        what = f"has been lost{lost}" if lost else "has not answered yet"
        why = f": {discovery['last_error']}" if discovery["last_error"] else ""
        lines.append(f"warning: the source of {name} ({discovery['source']}) {what}; {used}{why}")
    if discovery and discovery["left_out"]:
        lines.append(
            f"warning: the source of {name} knows {discovery['left_out']:,} endpoints too many; they are left out"
        )
    if one["health"] and one["health"]["all_unhealthy"]:
        why = next((each["check"]["why"] for each in one["endpoints"] if each["check"]), "")
        lines.append(f"warning: no endpoint of {name} passes its check of {one['health']['path']}: {why}")
    return lines


def _stage(route: dict[str, Any], prefix: str = "") -> str:
    stage = route[f"{prefix}stage"]
    return f"{stage} {route[f'{prefix}percent']} %" if stage == "canary" else str(stage)


def _row(route: dict[str, Any]) -> list[str]:
    requests, answered = route["requests"], route["arms"]["candidate"]
    stage = _stage(route) + (" *" if route["overridden"] else "") + (" killed" if route["kill_switch"] else "")
    return [
        route["route"],
        stage,
        _verdict(route["readiness"]),
        f"{requests:,}",
        share(answered / requests) if requests else "-",
        f"{sum(route['errors'].values()):,}",
        f"{sum(route['fallbacks'].values()):,}",
        share(route["match_share"]),
        str(route["version"]),
    ]


def _verdict(readiness: dict[str, Any] | None) -> str:
    return str(readiness["verdict"]).replace("-", " ") if readiness else "-"


def _unrouted(traffic: dict[str, Any]) -> list[str]:
    errors = sum(traffic["errors"].values())
    return ["(no route)", "legacy", "-", f"{traffic['requests']:,}", "-", f"{errors:,}", "-", "-", "-"]
