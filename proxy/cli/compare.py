"""``banyan compare``: what the rules make of two files. Exit 0 matched or ignored, 1 mismatched, 3 incomparable."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from time import thread_time
from typing import Any, NamedTuple

import click

from proxy.cli.tables import show
from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.compare.wording import number
from proxy.config.comparing import Compare, Redaction
from proxy.config.load import load
from proxy.config.model import compare_of
from proxy.config.wording import did_you_mean
from proxy.messages import Answer, Pair
from proxy.telemetry.visible import visible

EXITS = {"matched": 0, "ignored": 0, "mismatched": 1, "incomparable": 3}
MAX_RULES_TRIED = 200
"""Rules that are left out one by one to see what each does; further ones are counted."""
MAX_COUNTED = 10_000
"""Kinds of difference that are counted for that; the rest counts as one more."""
SECONDS_COUNTED = 1.0
"""For a walk that counts: a comparison that had nearly no time left is not to differ from its own repetition."""

_MEDIA = {
    ".json": "application/json", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson",
    ".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml", ".xml": "application/xml",
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain", ".md": "text/markdown",
    ".sse": "text/event-stream", ".form": "application/x-www-form-urlencoded", ".png": "image/png",
    ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
}  # fmt: skip
_RULES = ("ignore", "unordered", "tolerance", "match", "rename", "map")

Places = tuple[tuple[str, str, int, int], ...]
"""Differences as (kind, path, how many of them, of how many)."""


class _Effect(NamedTuple):
    """What one rule does here: the differences that there would be without it, and those that it makes."""

    rule: str
    path: str
    passed: Places
    made: Places


@click.command()
@click.argument("legacy", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("candidate", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--route", metavar="ID", help="Compare by the rules of this route; default: without rules.")
@click.option("--path", type=click.Path(path_type=Path), default=Path("routes"), help="Configuration; default: routes.")
@click.option("--type", "media", metavar="MEDIA", help="Media type of both files; default: by their suffixes.")
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of text.")
@click.pass_context
def compare(
    ctx: click.Context, legacy: Path, candidate: Path, route: str | None, path: Path, media: str | None, as_json: bool
) -> None:
    """Compare two files as legacy's and the candidate's answer, and say which rule lets what pass.

    Needs no running Banyan. Exits with 0 matched or ignored, 1 mismatched, 2 usage, 3 incomparable.

    \b
    Example:
      banyan compare old.json new.json --route orders-read
    """
    rules, redaction = _rules_of(path, route)
    pair = _pair(_answer(legacy, media), _answer(candidate, media))
    trial = _Trial(pair, redaction)
    result = trial.judge(rules)
    effects = trial.effects(rules) if result.verdict != "incomparable" else []
    if as_json:
        click.echo(json.dumps(_document(pair, route, result, effects), indent=2))
    else:
        _print(result, effects, len(_rules_in(rules)) - len(effects) if effects else 0)
    ctx.exit(EXITS[result.verdict])


def _rules_of(path: Path, route: str | None) -> tuple[Compare, Redaction]:
    if route is None:
        return Compare(), Redaction()
    settings = load(path, os.environ).settings
    for each in settings.routes:
        if each.id == route:
            return compare_of(settings, each), settings.redaction
    hint = did_you_mean(route, [each.id for each in settings.routes])
    raise click.BadParameter(f"there is no route {route!r} in {path}; {hint}".rstrip("; "), param_hint="--route")


def _answer(file: Path, media: str | None) -> Answer:
    """The file as the body of an answer. Raises click.BadParameter if it cannot be read."""
    most = Budget().decoded_bytes + 1  # one more than is compared, so that too large is seen as such
    try:
        with file.open("rb") as stream:
            body = stream.read(most)
    except OSError as error:
        raise click.BadParameter(f"{file} cannot be read: {error.strerror or error}") from None
    kind = media or _MEDIA.get(file.suffix.lower(), "application/octet-stream")
    try:
        return Answer(200, [(b"content-type", kind.encode("latin-1"))], body, False, 0.0)
    except UnicodeEncodeError:
        raise click.BadParameter(f"{kind!r} is not a media type", param_hint="--type") from None


def _pair(legacy: Answer, candidate: Answer) -> Pair:
    return Pair(0, "", "", 0.0, "GET", b"/", [], b"", "legacy", "", [], legacy, candidate)


class _Trial:
    """One pair, judged by several rules."""

    def __init__(self, pair: Pair, redaction: Redaction) -> None:
        self._pair = pair
        self._redactor = make_redactor(redaction, secrets.token_bytes(32))

    def judge(self, rules: Compare, budget: Budget = Budget()) -> Result:  # noqa: B008 - it cannot be changed
        return compare_pair(self._pair, compile_rules(rules), budget, thread_time, self._redactor)

    def effects(self, rules: Compare) -> list[_Effect]:
        """What each rule does to this pair, found by leaving it out. One without effect stays left out: of two that do
        the same the last one does it, and all that do nothing can be deleted together."""
        counted = Budget(differences=MAX_COUNTED, seconds=SECONDS_COUNTED)
        with_all = _counts(self.judge(rules, counted))
        effects = []
        for rule, path in _rules_in(rules)[:MAX_RULES_TRIED]:
            rest = _without(rules, rule, path)
            without = _counts(self.judge(rest, counted))
            effect = _Effect(rule, path, _more(without, with_all), _more(with_all, without))
            effects.append(effect)
            if not (effect.passed or effect.made):
                rules = rest
        return effects


def _counts(result: Result) -> dict[tuple[str, str], int]:
    """How often each kind and path differs; what is incomparable is one difference of that kind."""
    found = {(str(one.kind), one.path): one.times for one in result.differences}
    if result.verdict == "incomparable":
        found["incomparable", result.reason] = 1
    if result.more:
        found["more", ""] = result.more
    return found


def _more(one: dict[tuple[str, str], int], other: dict[tuple[str, str], int]) -> Places:
    """What ``one`` has more of than ``other``."""
    return tuple(
        (kind, path, times - other.get((kind, path), 0), times)
        for (kind, path), times in one.items()
        if times > other.get((kind, path), 0)
    )


def _rules_in(rules: Compare) -> list[tuple[str, str]]:
    """Each rule, as its sort and path; a mode is one as well."""
    mode = [] if rules.mode == "exact" else [("mode", rules.mode)]
    return mode + [(sort, path) for sort in _RULES for path in getattr(rules, sort)]


def _without(rules: Compare, sort: str, path: str) -> Compare:
    """The rules without one of them."""
    if sort == "mode":
        return rules.model_copy(update={"mode": "exact"})
    written = getattr(rules, sort)
    left: Any = (
        [other for other in written if other != path]
        if isinstance(written, list)
        else {other: value for other, value in written.items() if other != path}
    )
    return rules.model_copy(update={sort: left})


def _document(pair: Pair, route: str | None, result: Result, effects: list[_Effect]) -> dict[str, Any]:
    kinds = [side.fields[0][1].decode("latin-1") for side in (pair.legacy, pair.candidate)]
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "route": route,
        "types": {"legacy": kinds[0], "candidate": kinds[1]},
        "differences": [
            {"kind": found.kind, "path": found.path, "count": found.times, "legacy": found.legacy,
             "candidate": found.candidate}
            for found in result.differences
        ],
        "more_differences": result.more,
        "rules": [
            {"rule": effect.rule, "path": effect.path,
             "lets_pass": _listed(effect.passed), "reports": _listed(effect.made)}
            for effect in effects
        ],
    }  # fmt: skip


def _listed(places: Places) -> list[dict[str, Any]]:
    return [{"kind": kind, "path": path, "count": count, "of": of} for kind, path, count, of in places]


def _print(result: Result, effects: list[_Effect], untried: int) -> None:
    click.echo(f"{result.verdict}{f': {result.reason}' if result.reason else ''}")
    if result.differences:
        click.echo()
        rows = [[one.kind, one.path, str(one.times), one.legacy, one.candidate] for one in result.differences]
        show(("kind", "path", "times", "legacy", "candidate"), rows, ("times",))
    if result.more:
        click.echo(f"and {result.more} more")
    working = [effect for effect in effects if effect.passed or effect.made]
    idle = [effect for effect in effects if not (effect.passed or effect.made)]
    if working:
        click.echo()
        rows = [[one.rule, one.path, _said(one.passed), _said(one.made)] for one in working]
        columns = ("rule", "of", "lets pass", "reports instead")
        wide = 4 if any(one.made for one in working) else 3
        show(columns[:wide], [row[:wide] for row in rows])
    if idle:
        names = ", ".join(f"{effect.rule} {effect.path}" for effect in idle)
        click.echo(f"\nwithout effect on these two: {visible(names, 2000)}")
    if untried:
        click.echo(f"\nnot tried, for there are more than {MAX_RULES_TRIED}: {number(untried, 'rule')}")


def _said(places: Places) -> str:
    return ", ".join(
        f"{kind} {path}".rstrip() + (f" ({count} of {of})" if count < of else "") for kind, path, count, of in places
    )
