"""``banyan status``: how a running Banyan is doing."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli.client import Client, admin_option
from proxy.cli.tables import duration, share, show
from proxy.telemetry.visible import visible

_COLUMNS = ("route", "stage", "requests", "candidate", "5xx", "fallbacks", "match", "version")
_RIGHT = _COLUMNS[2:]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as one object.")
@admin_option
def status(as_json: bool, admin: str) -> None:
    """Show routes with their stage and traffic, workers, and the state of the configuration.

    Figures are of the last 24 hours. A star marks a stage that an operator's override holds against the file.

    \b
    Example:
      banyan status
      banyan status --json | jq .configuration.faults
    """
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
    _problems(found)


def _head(found: dict[str, Any]) -> None:
    up = sum(worker["up"] for worker in found["workers"])
    restarts = sum(child["restarts"] for child in [*found["workers"], *found["comparators"]])
    connections = sum(worker.get("connections", 0) for worker in found["workers"])
    configuration = found["configuration"]
    where = ", ".join(f"http://{address}" for address in found["listen"])
    click.echo(f"{found['state']} on {where} for {duration(found['uptime_seconds'])}, {connections} connections")
    click.echo(f"workers: {up} of {len(found['workers'])} up, {restarts} restarts of processes")
    click.echo(f"configuration: {visible(configuration['path'])}, generation {configuration['generation']}")


def _problems(found: dict[str, Any]) -> None:
    configuration, store = found["configuration"], found["store"]
    lines = [f"warning: {warning}" for warning in configuration["warnings"]]
    if not store["up"]:
        lines.append(f"warning: the store {store['path']} does not work; changes are refused, traffic goes on")
    if store["moved_aside"]:
        lines.append(f"warning: the store was damaged and is now {store['moved_aside']}; its overrides do not hold")
    if not any(child["up"] for child in found["comparators"]):
        lines.append("warning: the comparator is down; shadows are dropped")
    if configuration["faults"]:
        lines.append("the files are faulty; an older configuration goes on serving:")
        lines += [f"  {f['file']}:{f['line']}:{f['column']}: {f['what']}" for f in configuration["faults"]]
    if lines:
        click.echo()
    for line in lines:
        click.echo(visible(line, 1000))


def _stage(route: dict[str, Any], prefix: str = "") -> str:
    stage = route[f"{prefix}stage"]
    return f"{stage} {route[f'{prefix}percent']} %" if stage == "canary" else str(stage)


def _row(route: dict[str, Any]) -> list[str]:
    requests, answered = route["requests"], route["arms"]["candidate"]
    stage = _stage(route) + (" *" if route["overridden"] else "") + (" killed" if route["kill_switch"] else "")
    return [
        route["route"],
        stage,
        f"{requests:,}",
        share(answered / requests) if requests else "-",
        f"{sum(route['errors'].values()):,}",
        f"{sum(route['fallbacks'].values()):,}",
        share(route["match_share"]),
        str(route["version"]),
    ]


def _unrouted(traffic: dict[str, Any]) -> list[str]:
    errors = sum(traffic["errors"].values())
    return ["(no route)", "legacy", f"{traffic['requests']:,}", "-", f"{errors:,}", "-", "-", "-"]
