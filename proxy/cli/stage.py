"""``banyan stage`` and ``banyan rollback``: move a running route."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli.client import REASON_HELP, Client, admin_option, segment
from proxy.config.model import STAGES
from proxy.telemetry.visible import visible


@click.command()
@click.argument("route")
@click.argument("stage", type=click.Choice([*STAGES, "file"]))
@click.option("--percent", type=click.IntRange(0, 100), help="With canary: this share of users. None: the file's.")
@click.option("--reason", required=True, help=REASON_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the change as an object.")
@admin_option
def stage(route: str, stage: str, percent: int | None, reason: str, as_json: bool, admin: str) -> None:
    """Move ROUTE to STAGE in a running Banyan. It holds until the next change, also over restarts and reloads.

    STAGE "file" ends that: the stage in the file holds again.

    \b
    Example:
      banyan stage orders-read canary --percent 5 --reason "first users, OPS-123"
    """
    body: dict[str, Any] = {"stage": stage, "reason": reason}
    if percent is not None:
        body["percent"] = percent
    _tell(Client(admin).post(f"/api/routes/{segment(route)}/stage", body), as_json=as_json)


@click.command()
@click.argument("route")
@click.option("--reason", default="rollback", show_default=True, help=REASON_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the change as an object.")
@admin_option
def rollback(route: str, reason: str, as_json: bool, admin: str) -> None:
    """Let legacy answer ROUTE again, at once.

    \b
    Example:
      banyan rollback orders-read --reason "totals differ"
    """
    _tell(Client(admin).post(f"/api/routes/{segment(route)}/rollback", {"reason": reason}), as_json=as_json)


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done, indent=2))
        return
    name = f"canary {done['percent']} %" if done["stage"] == "canary" else done["stage"]
    click.echo(f"{done['route']} is at {name} (version {done['version']}, generation {done['generation']})")
    for warning in done["warnings"]:
        click.echo(f"warning: {visible(warning)}", err=True)
