"""``banyan replay``: a new build is asked what legacy was asked, and its answers are judged."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.client import admin_option
from proxy.cli.tables import show
from proxy.compare.wording import number, plural
from proxy.errors import CommandLineError
from proxy.telemetry.visible import visible

if TYPE_CHECKING:
    from proxy.cli.replaying import Difference, Outcome

MATCHED, MISMATCHED, INCONCLUSIVE = 0, 1, 2
DEFAULT_LIMIT = 200
DEFAULT_RATE = 20.0
PROGRESS_SECONDS = 0.2
KEY_VARIABLE = "BANYAN_REDACTION_KEY"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_GIVEN = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "expect", "x-banyan-shadow"})


@click.command()
@click.argument("route")
@click.option("--against", metavar="URL", help="Where the new build listens, like http://127.0.0.1:9003.")
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
    against: str | None,
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

    The route's rules hold; what was accepted or is noise is expected. Each request carries X-Banyan-Shadow: 1, but a
    build that does not heed it does what it is asked: --safe-only keeps writes from one that has data to lose. Secrets
    were masked in the record: they are compared by their hashes if BANYAN_REDACTION_KEY holds the keys that they were
    masked under, one a line, otherwise by type and length. Exits with 0 if everything that could be compared matches, 1
    if something differs, 2 if nothing could be compared, 3 if the build or Banyan cannot be reached.

    \b
    Example:
      banyan replay orders-read --against http://127.0.0.1:9003 -H "Cookie: sid=$SID"
      banyan replay orders-read --save orders-read.json
      banyan replay orders-read --against http://ci:8000 --records orders-read.json
    """
    if (against is None) == (save is None):
        raise click.UsageError("say which build to ask: --against URL; or where to keep the requests: --save FILE")
    given = _headers(headers)
    from proxy.cli import material

    kept = material.of_banyan(route, limit, admin) if records is None else material.of_file(records, route, limit)
    if save is not None:
        _write(save, json.dumps(kept, indent=1) + "\n")
        click.echo(f"{number(len(kept['requests']), 'request')} written to {save}", err=True)
        return MATCHED
    import msgspec

    from proxy.cli.replaying import Replay

    running = Replay(kept, against or "", given, _keys(), safe_only=safe_only, rate=rate)
    if running.writes:
        methods = visible(", ".join(sorted(set(running.writes))), 200)
        writes, them = number(len(running.writes), "request"), plural(len(running.writes), "it", "them")
        click.echo(f"{writes} may change something ({methods}); --safe-only leaves {them} out", err=True)
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
        if not sign or not _TOKEN.fullmatch(name.strip()) or not value.strip().isprintable():
            # The value is not shown: it may be a secret.
            raise click.UsageError(f"-H {visible(name, 80)!r} is no header; write it like 'X-User-Id: u-17'")
        if name.strip().lower() in _NOT_GIVEN:
            raise click.UsageError(f"-H {name.strip()} is not for you to say; it depends on what is sent")
        found.append((name.strip(), value.strip()))
    return found


def _keys() -> list[str]:
    """The keys that records may have been masked under. Raises CommandLineError for one that is none."""
    from proxy.config.comparing import MIN_KEY

    keys = [line.strip() for line in os.environ.get(KEY_VARIABLE, "").splitlines() if line.strip()]
    if any(len(key) < MIN_KEY for key in keys):
        raise CommandLineError(f"{KEY_VARIABLE} holds no keys: each line is one, of at least {MIN_KEY} characters")
    return keys


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandLineError(f"{path} cannot be written: {error.strerror or error}") from None


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
    asked = f"{outcome.asked} of {number(outcome.recorded, 'recorded request')}, {outcome.kinds_asked} of "
    asked += number(outcome.kinds, "kind")
    asked += f"; legacy answered {outcome.answered:,} in 24 h, reverse shadows included" if outcome.answered else ""
    click.echo(f"asked: {asked}. What none of them shows was not compared.")
    for title, table in (("incomparable", outcome.incomparable), ("not asked", outcome.skipped)):
        if table:
            click.echo(f"{title}: {', '.join(f'{count} {reason}' for reason, count in table.items())}")
    if outcome.withheld:
        names = ", ".join(f"{visible(name, 80)} ({count})" for name, count in outcome.withheld.items())
        click.echo(f"sent without what was masked when it was recorded; -H gives it: {names}")
    if loosely := outcome.secrets_compared_loosely:
        were = f"{number(loosely, 'secret')} {plural(loosely, 'was', 'were')}"
        click.echo(
            f"{were} compared by type and length at most; {KEY_VARIABLE} tells equal ones from others where no rule "
            "lets them differ"
        )
    if outcome.differences:
        click.echo()
        columns = ("kind", "path", "requests", "expected", "legacy", "this build", "first request")
        show(columns, [_row(one) for one in outcome.differences], ("requests",))
    if outcome.verdict == "inconclusive":
        click.echo("Nothing was compared, so nothing is known. Requests are recorded while legacy answers a route.")


def _row(one: Difference) -> list[str]:
    expected = "yes" if one.expected else ""
    return [one.kind, one.path, f"{one.count:,}", expected, one.legacy[:30], one.candidate[:30], one.request[:60]]
