"""``banyan diffs``: the differences found, and one recorded pair side by side."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.cli.request_text import Form, as_text
from proxy.cli.tables import ago, share, show
from proxy.compare.wording import until
from proxy.telemetry.visible import visible

_COLUMNS = ("fingerprint", "route", "kind", "path", "count", "share", "state", "last seen", "legacy", "candidate")
_STATES = ("open", "accepted", "fixed", "all", "noise")
_NONE = {
    "all": "No differences recorded. That alone is no proof: `banyan readiness` says how many pairs were compared.",
    "open": "No open differences. That alone is no proof: `banyan readiness` says how many pairs were compared.",
}


@click.command()
@click.argument("words", nargs=-1, metavar="[ROUTE | show ID]")
@click.option(
    "--as", "form", type=click.Choice(["curl", "pytest", "hurl"]), help="With show: print the pair's request to run it."
)
@click.option("--state", type=click.Choice(_STATES), help="Only these; open is what is neither expected nor fixed.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, or the pair as one object.")
@admin_option
def diffs(words: tuple[str, ...], form: Form | None, state: str | None, as_json: bool, admin: str) -> None:
    """List the differences between legacy and candidate, of ROUTE or of all: open ones first, the worst of them first;
    fixed ones only with --state (but always with --json).

    "show ID" prints one recorded pair side by side; ID is a fingerprint (its newest pair) or the id of a pair. A share
    is of all compared pairs of the route. Noise is where legacy differs from itself about as often. Secrets are masked
    before anything is recorded.

    \b
    Example:
      banyan diffs orders-read --state open
      banyan diffs show 3f9a6c0d12ab
      banyan diffs show 3f9a6c0d12ab --as pytest > test_price.py
    """
    if words and words[0] == "show":
        if len(words) != 2:
            raise click.UsageError("show takes one ID: banyan diffs show ID")
        if state is not None:
            raise click.UsageError("--state goes with the list: banyan diffs --state open")
        pair = Client(admin).get(f"/api/diffs/{segment(words[1])}")
        if form is not None:
            click.echo(as_text(pair, form), nl=False)
        else:
            _show(pair, as_json=as_json)
        return
    if form is not None:
        raise click.UsageError("--as goes with show: banyan diffs show ID --as curl")
    if len(words) > 1:
        raise click.UsageError("give one ROUTE, or none for all")
    found = Client(admin).get("/api/diffs", route=words[0] if words else None, state=state)["diffs"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _list(found, state)


def _list(found: list[dict[str, Any]], state: str | None) -> None:
    """Print the differences; fixed ones only for who asks for them, others are to be looked at."""
    listed = found if state is not None else [each for each in found if each["state"] != "fixed"]
    gone = len(found) - len(listed)
    if listed:
        show(_COLUMNS, [_row(each) for each in listed], ("count", "share"))
    elif gone:
        click.echo("No differences but fixed ones.")
    else:
        click.echo(_NONE.get(state or "all", f"No difference is {state}."))
    if gone:
        what = "1 fixed one is" if gone == 1 else f"{gone:,} fixed ones are"
        click.echo(f"{what} not shown: --state all")


def _row(found: dict[str, Any]) -> list[str]:
    return [
        found["fingerprint"],
        found["route"],
        found["kind"],
        found["path"],
        f"{found['count']:,}",
        share(found["share"]),
        _state(found),
        ago(found["last_seen"]),
        _short(found["legacy"]),
        _short(found["candidate"]),
    ]


def _state(found: dict[str, Any]) -> str:
    if found["state"] == "accepted" and found["until"]:
        return f"accepted until {until(found['until'])}"
    return f"{found['state']}, noise" if found["noisy"] else str(found["state"])


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."


def _show(pair: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(pair, indent=2))
        return
    request = pair["request"]
    _line(f"{pair['route']}: {request['method']} {request['target']}")
    _line(f"request {pair['request_id']} at {pair['at']}, answered by {pair['arm']} ({pair['reason']})")
    click.echo()
    for difference in pair["differences"]:
        times = f" ({difference['times']} times)" if difference.get("times", 1) > 1 else ""
        _line(f"{difference['kind']} {difference['path']}{times}: {difference['legacy']} | {difference['candidate']}")
    if pair.get("more_differences"):
        _line(f"and {pair['more_differences']} more")
    for said in pair.get("history", []):
        end = f" until {until(said['until'])}" if said["until"] else ""
        words = ": ".join(word for word in (said["who"], said["text"]) if word)
        _line(f"{said['at']} {said['actor']} {said['action']}{end}{': ' if words else ''}{words}")
    click.echo()
    width = _width()
    _columns(" ", "legacy", "candidate", width)
    _columns(" ", _answer(pair["legacy"]), _answer(pair["candidate"]), width)
    _columns(" ", "-" * width, "-" * width, width)
    for mark, left, right in pair["side_by_side"]:
        _columns(mark, left, right, width)


def _answer(side: dict[str, Any]) -> str:
    status = f"failed: {side['failure']}" if side["failure"] else f"status {side['status']}"
    return f"{status}, {side['body'].get('bytes', 0)} bytes, {side['seconds'] * 1000:.0f} ms"


def _width() -> int:
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    return max(20, (columns - 5) // 2)


def _columns(mark: str, left: str, right: str, width: int) -> None:
    left, right = visible(left), visible(right)
    rows = max(1, -(-len(left) // width), -(-len(right) // width))
    for row in range(rows):
        start = row * width
        a, b = left[start : start + width], right[start : start + width]
        click.echo(f"{visible(mark)} {a.ljust(width)} | {b}".rstrip())


def _line(text: str) -> None:
    click.echo(visible(text, 2000))
