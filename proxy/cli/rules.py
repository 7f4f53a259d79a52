"""``banyan rules suggest``: rules proposed from what was learned."""

from __future__ import annotations

import json

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.telemetry.visible import visible


@click.group()
def rules() -> None:
    """Rules of comparing.

    \b
    Example:
      banyan rules suggest orders-read
    """


@rules.command()
@click.argument("route")
@click.option("--json", "as_json", is_flag=True, help="Print the rules as an object, with the YAML in it.")
@admin_option
def suggest(route: str, as_json: bool, admin: str) -> None:
    """Propose rules for ROUTE from the places in which legacy differs from itself, as YAML to put under the route.

    Nothing is changed. Read each rule before you take it: what is ignored is never reported.

    \b
    Example:
      banyan rules suggest orders-read
    """
    found = Client(admin).get(f"/api/routes/{segment(route)}/suggestions")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n".join(visible(line, 1000) for line in found["yaml"].split("\n")), nl=False)
