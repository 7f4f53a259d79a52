"""``banyan coverage``: which kinds of request legacy gets, and which of them were never compared."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.cli.tables import share, show
from proxy.telemetry.visible import visible

_COLUMNS = ("request", "seen", "compared", "shapes of the answer")


@click.command()
@click.argument("route")
@click.option("--hours", type=click.IntRange(1, 2160), default=24, show_default=True, help="How far to look back.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@admin_option
def coverage(route: str, hours: int, as_json: bool, admin: str) -> None:
    """Show which kinds of request legacy answers on ROUTE, how many of them were compared, and which never were.

    A kind is method, endpoint, parameters, cohorts, status and media type. The shapes of answers are known of a sample.

    \b
    Example:
      banyan coverage orders-read
    """
    found = Client(admin).get(f"/api/routes/{segment(route)}/coverage", hours=hours)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["share"] is None:
        click.echo(f"Legacy answered no request on {visible(route, 100)} in the last {hours} h.")
        return
    click.echo(
        f"{share(found['share'])} of legacy's traffic on {visible(route, 100)} is of kinds that were compared"
        f" (last {hours} h; {found['seen']:,} requests, reverse shadows included; {found['compared']:,} compared)."
    )
    show(_COLUMNS, [_row(each) for each in found["cells"]], ("seen", "compared"))
    _more(found["more_cells"])
    if found["never"]:
        click.echo("\nNever compared:")
        show(("seen", "request"), [[f"{each['seen']:,}", each["words"]] for each in found["never"]], ("seen",))
        _more(found["more_never"])


def _row(cell: dict[str, Any]) -> list[str]:
    shapes = [each["shape"] for each in cell["shapes"]]
    more = f" and {len(shapes) - 1} more" if len(shapes) > 1 else ""
    return [cell["words"], f"{cell['seen']:,}", f"{cell['compared']:,}", f"{shapes[0]}{more}" if shapes else "-"]


def _more(number: int) -> None:
    if number:
        click.echo(f"… and {number:,} more.")
