"""``banyan replay``: a new build is asked what legacy was asked, and its answers are judged."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.cli.tables import show
from proxy.errors import BanyanError
from proxy.telemetry.visible import visible

if TYPE_CHECKING:
    from proxy.cli.replaying import Difference, Outcome

MATCHED, MISMATCHED, INCONCLUSIVE = 0, 1, 2
DEFAULT_LIMIT = 200
DEFAULT_RATE = 20.0
PROGRESS_SECONDS = 0.2
KEY_VARIABLE = "BANYAN_REDACTION_KEY"


@click.command()
@click.argument("route")
@click.option(
    "--against", required=True, metavar="URL", help="Where the new build listens, like http://127.0.0.1:9003."
)
@click.option(
    "--rate", type=click.FloatRange(0.1, 1000), default=DEFAULT_RATE, show_default=True, help="Requests a second."
)
@click.option("--limit", type=click.IntRange(1, 500), default=DEFAULT_LIMIT, show_default=True, help="At most so many.")
@click.option("--safe-only", is_flag=True, help="Only GET, HEAD and OPTIONS.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'K: V'",
    help="Sent with each request, in place of the recorded one: credentials were masked when they were recorded.",
)  # fmt: skip
@click.option("--records", type=click.Path(path_type=Path, dir_okay=False), help="Take the requests from this file.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this file and ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one object.")
@admin_option
def replay(
    route: str,
    against: str,
    rate: float,
    limit: int,
    safe_only: bool,
    headers: tuple[str, ...],
    records: Path | None,
    save: Path | None,
    as_json: bool,
    admin: str,
) -> int:
    """Ask the recorded requests of ROUTE of a new build, and compare its answers with legacy's recorded ones.

    The route's rules hold; what was accepted or is noise is expected. Each request carries X-Banyan-Shadow: 1. Secrets
    were masked in the record: they are compared by their hashes if BANYAN_REDACTION_KEY holds the key that they were
    masked under, otherwise by type and length. Exits with 0 if everything matches, 1 if something differs, 2 if nothing
    could be compared, 3 if the build or Banyan cannot be reached.

    \b
    Example:
      banyan replay orders-read --against http://127.0.0.1:9003 -H "Cookie: sid=$SID"
      banyan replay orders-read --against http://ci:8000 --records orders-read.json
    """
    given = _headers(headers)
    material = _material(route, limit, records, admin)
    if save is not None:
        _write(save, json.dumps(material, indent=1) + "\n")
        click.echo(f"{len(material['requests'])} requests written to {save}", err=True)
        return MATCHED
    import msgspec

    from proxy.cli.replaying import Replay

    running = Replay(material, against, given, _keys(), safe_only=safe_only, rate=rate)
    line = _Line(on=sys.stderr.isatty() and not as_json)
    try:
        outcome = asyncio.run(running.run(line.show))
    finally:
        line.clear()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(outcome), indent=2))
    else:
        _show(outcome)
    return {"matched": MATCHED, "mismatched": MISMATCHED}.get(outcome.verdict, INCONCLUSIVE)


def _headers(given: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for text in given:
        name, sign, value = text.partition(":")
        if not sign or not name.strip() or not value.isprintable():
            raise click.UsageError(f"-H {visible(text, 80)!r} is no header; write it like 'X-User-Id: u-17'")
        found.append((name.strip(), value.strip()))
    return found


def _material(route: str, limit: int, records: Path | None, admin: str) -> dict[str, Any]:
    if records is None:
        material = Client(admin).get(f"/api/routes/{segment(route)}/replay", limit=limit)
    else:
        try:
            material = json.loads(records.read_bytes())
        except OSError as error:
            raise BanyanError(f"{records} cannot be read: {error.strerror or error}") from None
        except ValueError:
            raise BanyanError(f"{records} is not JSON; banyan replay --save writes such a file") from None
    if not isinstance(material, dict) or not isinstance(material.get("requests"), list):
        raise BanyanError(f"{records or admin} holds no recorded requests of a route")
    if material.get("route") != route:
        raise BanyanError(f"{records} holds requests of the route {material.get('route')!r}, not of {route!r}")
    material["requests"] = material["requests"][:limit]
    return material


def _keys() -> list[str]:
    key = os.environ.get(KEY_VARIABLE, "")
    return [key] if key else []


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BanyanError(f"{path} cannot be written: {error.strerror or error}") from None


class _Line:
    """How far it is, in one line of a terminal."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._shown_at = 0.0

    def show(self, done: int, of: int, different: int) -> None:
        """So many of so many are done."""
        now = time.monotonic()
        if self._on and (now - self._shown_at > PROGRESS_SECONDS or done == of):
            self._shown_at = now
            click.echo(f"\r\x1b[K{done} of {of} asked, {different} with differences", nl=False, err=True)

    def clear(self) -> None:
        """What comes next begins at the line's beginning."""
        if self._on:
            click.echo("\r\x1b[K", nl=False, err=True)


def _show(outcome: Outcome) -> None:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in outcome.verdicts.items() if count) or "none compared"
    against = visible(outcome.against, 200)
    click.echo(f"{outcome.verdict}: {outcome.route} against {against}: {outcome.asked} asked, {counts}")
    for title, table in (("incomparable", outcome.incomparable), ("not asked", outcome.skipped)):
        if table:
            click.echo(f"{title}: {', '.join(f'{count} {reason}' for reason, count in table.items())}")
    if outcome.secrets_by_length:
        click.echo(
            f"{outcome.secrets_by_length} secrets were compared by type and length only; "
            f"{KEY_VARIABLE} would tell equal ones from others"
        )
    if outcome.differences:
        click.echo()
        columns = ("kind", "path", "count", "expected", "legacy", "this build", "first request")
        show(columns, [_row(one) for one in outcome.differences], ("count",))
    if outcome.verdict == "inconclusive":
        click.echo("Nothing was compared, so nothing is known. Requests are recorded while a route is shadowed.")


def _row(one: Difference) -> list[str]:
    expected = "yes" if one.expected else ""
    return [one.kind, one.path, f"{one.count:,}", expected, one.legacy[:30], one.candidate[:30], one.request[:60]]
