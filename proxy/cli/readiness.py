"""``banyan readiness``: whether a route may be cut over."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.cli.tables import duration
from proxy.compare.wording import number, percent, plural
from proxy.telemetry.visible import visible

EXIT_CODES = {"ready": 0, "not-ready": 1, "inconclusive": 2}
_WORDS = {"met": "met", "not-met": "NOT MET", "unknown": "unknown", "not-asked": "-"}
_ORDER = ("not-met", "unknown", "met", "not-asked")


@click.command()
@click.argument("route")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as one object.")
@admin_option
@click.pass_context
def readiness(context: click.Context, route: str, as_json: bool, admin: str) -> None:
    """Say whether ROUTE may be cut over, by the criteria in its ready_when, with the reasons.

    Exits 0 when it is ready, 1 when it is not, 2 when that cannot be said yet (or there is
    no such route): without evidence no route is ready.

    \b
    Example:
      banyan readiness orders-read
      banyan readiness orders-read --json | jq .more
    """
    found = Client(admin).get(f"/api/routes/{segment(route)}/readiness")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    context.exit(EXIT_CODES.get(found["verdict"], 2))


def _print(found: dict[str, Any]) -> None:
    _line(f"{found['route']}: {found['summary']}")
    click.echo()
    for each in sorted(found["criteria"], key=lambda each: _ORDER.index(each["state"])):
        # What is unknown only because nothing was compared is no reason of its own.
        if each["state"] != "unknown" or each["sentence"] in found["reasons"]:
            _line(f"{_WORDS[each['state']]:8} {each['sentence']}")
    if found["open"]:
        click.echo()
        _line(f"Open: {', '.join(found['open'][:10])}{', …' if len(found['open']) > 10 else ''}.")
    click.echo()
    first, window = found["first"], duration(found["window"])
    if first is None:
        since = f"Evidence: no pair since {_minute(found['since'])}"
    else:
        since = f"Evidence since {_minute(first)}, the first pair"
    counted = ", ".join(f"{found[name]:,} {name}" for name in ("equal", "expected", "mismatched", "incomparable"))
    bound = f"; at most {percent(found['bound'], up=True)} of all may differ" if found["bound"] is not None else ""
    _line(f"{since} (at most {window} count): {counted}{bound}.")
    if found["more"]:
        needed = f"{number(found['more'], 'more comparison')} {plural(found['more'], 'is', 'are')} needed"
        _line(f"{needed}, if none differs.")
    if found["bias"]:
        click.echo("\nWhat this does not see:")
    for bias in found["bias"]:
        _line(f"- {bias['sentence']}")


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _line(text: str) -> None:
    click.echo(visible(text, 1000))
