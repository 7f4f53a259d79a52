"""``banyan diffs``: the differences found, and one recorded pair side by side."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.cli.request_text import Form, as_text
from proxy.cli.tables import ago, share, show
from proxy.compare.wording import until
from proxy.control.marked import SIGNS, UNPLACED, WORDS, sign
from proxy.telemetry.visible import visible

_COLUMNS = ("fingerprint", "route", "kind", "path", "count", "share", "state", "last seen", "legacy", "candidate")
_PLAIN: Mapping[str, Any] = {}
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "!": {"fg": "red", "bold": True}, "~": {"fg": "yellow"}, ".": {"dim": True}, "?": {"fg": "magenta"},
}  # fmt: skip
"""Colours by the sign in the margin; they say nothing that the sign does not."""
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
    before anything is recorded. In the pair "!" is the difference asked for; other lines that are not the same have a
    sign and a word of their own.

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
        found["route"] if found["configured"] else f"{found['route']} (not configured any more)",
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
    own = pair.get("fingerprint", "")
    for difference in pair["differences"]:
        times = f" ({difference['times']} times)" if difference.get("times", 1) > 1 else ""
        place = f"{difference['kind']} {difference['path']}{times}"
        head = sign(_said_of(difference, own), {own})
        _line(f"{head} {place}: {difference['legacy']} | {difference['candidate']}")
    if pair.get("more_differences"):
        _line(f"and {pair['more_differences']} more")
    for said in pair.get("history", []):
        end = f" until {until(said['until'])}" if said["until"] else ""
        words = ": ".join(word for word in (said["who"], said["text"]) if word)
        _line(f"{said['at']} {said['actor']} {said['action']}{end}{': ' if words else ''}{words}")
    click.echo()
    rows = [[*row, ""][:4] for row in pair["side_by_side"]]
    for said in _legend(pair, rows, own):
        _line(said)
    margin = max([len(_word(row[3], own)) for row in rows], default=0) + 2
    width = _width(margin)
    _columns("", "legacy", "candidate", width, margin)
    _columns("", _answer(pair["legacy"]), _answer(pair["candidate"]), width, margin)
    _columns("", "-" * width, "-" * width, width, margin)
    for _, left, right, what in rows:
        head = sign(what, {own})
        _columns(f"{head} {_word(what, own)}", left, right, width, margin, _STYLES.get(head, {}))


def _said_of(difference: dict[str, Any], own: str) -> str:
    """As in the fourth field of a row."""
    name = str(difference.get("fingerprint", ""))
    return name if name == own else difference.get("settled") or name


def _word(what: str, own: str) -> str:
    return "" if what in ("", own, UNPLACED) else what


def _legend(pair: dict[str, Any], rows: list[list[str]], own: str) -> list[str]:
    """What the signs mean, as far as they are there."""
    said = {row[3] for row in rows} | {_said_of(each, own) for each in pair["differences"]}
    signs = {sign(what, {own}) for what in said}
    lines = [f"{mark} {SIGNS[mark]}" for mark in "!~" if mark in signs]
    lines += [f". {word}: {meaning}" for word, meaning in WORDS.items() if word in said]
    lines += [f"? {SIGNS[UNPLACED]}: {pair['unplaced']}"] if UNPLACED in signs else []
    return [*lines, *([pair["note"]] if pair.get("note") else []), ""]


def _answer(side: dict[str, Any]) -> str:
    status = f"failed: {side['failure']}" if side["failure"] else f"status {side['status']}"
    return f"{status}, {side['body'].get('bytes', 0)} bytes, {side['seconds'] * 1000:.0f} ms"


def _width(margin: int) -> int:
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    return max(20, (columns - margin - 4) // 2)


def _columns(head: str, left: str, right: str, width: int, margin: int, style: Mapping[str, Any] = _PLAIN) -> None:
    left, right, head = visible(left), visible(right), visible(head)
    rows = max(1, -(-len(left) // width), -(-len(right) // width))
    for row in range(rows):
        start = row * width
        a, b = left[start : start + width], right[start : start + width]
        click.secho(f"{head.ljust(margin)} {a.ljust(width)} | {b}".rstrip(), **style)


def _line(text: str) -> None:
    click.echo(visible(text, 2000))
