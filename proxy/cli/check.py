"""``banyan check``: is the configuration valid? Exit 0 or 1; every fault is printed at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from proxy.config.load import load
from proxy.errors import ConfigError, Fault


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("routes"))
@click.option("--json", "as_json", is_flag=True, help="Print an object: valid, routes, upstreams, faults, warnings.")
@click.pass_context
def check(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Validate the configuration at PATH (a folder or a file; default: routes) and print every fault.

    \b
    Example:
      banyan check routes
      routes/orders.yaml:7:5: unknown key 'timout' of upstreams.orders; did you mean `timeouts`?
    """
    faults: list[Fault] = []
    warnings: tuple[Fault, ...] = ()
    routes = upstreams = 0
    try:
        loaded = load(path, os.environ)
        settings, warnings = loaded.settings, loaded.warnings
        routes, upstreams = len(settings.routes), len(settings.upstreams)
    except ConfigError as error:
        faults = error.faults
    if as_json:
        listed = [fault._asdict() for fault in faults]
        warned = [warning._asdict() for warning in warnings]
        counts = {"routes": routes, "upstreams": upstreams}
        click.echo(json.dumps({"valid": not faults, **counts, "faults": listed, "warnings": warned}))
    elif faults:
        for fault in faults:
            click.echo(str(fault))
    else:
        for warning in warnings:
            click.echo(f"warning: {warning}")
        click.echo(f"ok: {_count(routes, 'route')}, {_count(upstreams, 'upstream')}")
    ctx.exit(1 if faults else 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
