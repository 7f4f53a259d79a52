"""``banyan accept`` and what else can be said of a difference: ``unaccept``, ``fixed``, ``assign``, ``comment``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from proxy.cli.client import REASON_HELP, Client, admin_option, segment
from proxy.compare.wording import until as until_shown
from proxy.telemetry.visible import visible

F = TypeVar("F", bound=Callable[..., Any])

_fingerprint = click.argument("fingerprint")
_reason = click.option("--reason", required=True, help=REASON_HELP)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the difference as an object.")


@click.command()
@_fingerprint
@_reason
@click.option("--until", metavar="DATE", help="It comes back after this day (2026-12-31, in UTC) or time (ISO 8601).")
@_as_json
@admin_option
def accept(fingerprint: str, reason: str, until: str | None, as_json: bool, admin: str) -> None:
    """Mark a difference as expected: pairs that show nothing else are no mismatches, also those compared before.

    It is counted all the same. With --until it is new again when the time is over.

    \b
    Example:
      banyan accept 3f9a6c0d12ab --reason "rounding was fixed on purpose, SHOP-41" --until 2026-12-31
    """
    body = {"reason": reason} if until is None else {"reason": reason, "until": until}
    _say(admin, fingerprint, "accept", body, as_json=as_json)


@click.command()
@_fingerprint
@_reason
@_as_json
@admin_option
def unaccept(fingerprint: str, reason: str, as_json: bool, admin: str) -> None:
    """Take an acceptance back: the difference is new again.

    \b
    Example:
      banyan unaccept 3f9a6c0d12ab --reason "the app does read it"
    """
    _say(admin, fingerprint, "unaccept", {"reason": reason}, as_json=as_json)


@click.command()
@_fingerprint
@_reason
@_as_json
@admin_option
def fixed(fingerprint: str, reason: str, as_json: bool, admin: str) -> None:
    """Say that a difference is gone. Evidence of its route counts from now on; if it is seen again, it has regressed.

    Said again of what was not seen since, it changes nothing.

    \b
    Example:
      banyan fixed 3f9a6c0d12ab --reason "deployed 1.2"
    """
    _say(admin, fingerprint, "fixed", {"reason": reason}, as_json=as_json)


@click.command()
@_fingerprint
@click.argument("who")
@_as_json
@admin_option
def assign(fingerprint: str, who: str, as_json: bool, admin: str) -> None:
    """Say who looks after a difference.

    \b
    Example:
      banyan assign 3f9a6c0d12ab dana
    """
    _say(admin, fingerprint, "assign", {"who": who}, as_json=as_json)


@click.command()
@_fingerprint
@click.argument("text")
@_as_json
@admin_option
def comment(fingerprint: str, text: str, as_json: bool, admin: str) -> None:
    """Write something about a difference, for colleagues and for the report.

    \b
    Example:
      banyan comment 3f9a6c0d12ab "only orders of before 2019"
    """
    _say(admin, fingerprint, "comment", {"text": text}, as_json=as_json)


def _say(admin: str, fingerprint: str, action: str, body: dict[str, str], *, as_json: bool) -> None:
    found = Client(admin).post(f"/api/diffs/{segment(fingerprint)}/{action}", body)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    gone = "" if found["configured"] else ", which is not configured any more"
    what = f"{found['fingerprint']} ({found['kind']} {found['path']} of {found['route']}{gone})"
    if found.get("unchanged"):
        text = f"{what} was already fixed at {found['fixed_at']}; nothing changed"
    else:
        text = f"{what} is {state_of(found)}"
        text += f"; evidence of {found['route']} begins anew now" if action == "fixed" else ""
    owner = f"; {found['owner']} looks after it" if found["owner"] else ""
    click.echo(visible(text + owner, 1000))


def state_of(found: dict[str, Any]) -> str:
    """Where a difference stands, in words: ``accepted until 2026-12-31``, ``new (noise)``."""
    words = str(found["state"])
    if words == "accepted" and found["until"]:
        words += f" until {until_shown(found['until'])}"
    if found["expired"]:
        words += f" again (was accepted until {until_shown(found['until'])})"
    return f"{words} (noise)" if found["noisy"] else words
