"""Rules that would take learned noise out of the comparison, as YAML.

Law: what is proposed is valid configuration and takes out as little as it can: a typed matcher where one fits every
value that was seen, an unordered list where only the order changes, and otherwise ``ignore``, which hides everything.
Nothing is proposed where a rule cannot help, or would take out the whole answer; that is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from proxy.compare.noise import Rates, lacks_samples
from proxy.compare.paths import EVERYTHING, parse_path
from proxy.compare.rules import compile_rules
from proxy.compare.wording import number, percent
from proxy.config.comparing import Compare, Noise

RuleName = Literal["match", "unordered", "ignore", ""]

MAX_ITEMS = 1000
"""Of a list that are looked at for a field that identifies them."""


class Noisy(NamedTuple):
    """Noise at one place: what is known of one fingerprint. ``looks`` as noise.look has them."""

    fingerprint: str
    kind: str
    path: str
    rates: Rates
    looks: frozenset[str]


class Suggestion(NamedTuple):
    """One rule. ``rule`` is empty where none can help; ``value`` is the matcher, or the field that identifies items."""

    rule: RuleName
    path: str
    value: str | None
    why: str
    fingerprints: tuple[str, ...]


def suggest(noisy: Iterable[Noisy], key_of: Callable[[str], str | None]) -> list[Suggestion]:
    """At most one rule for each place. ``key_of(path)`` names the field that identifies the items of a list."""
    by_path: dict[str, list[Noisy]] = {}
    for one in noisy:
        by_path.setdefault(one.path, []).append(one)
    return [_suggestion(path, found, key_of) for path, found in sorted(by_path.items())]


def _suggestion(path: str, found: list[Noisy], key_of: Callable[[str], str | None]) -> Suggestion:
    keys = tuple(one.fingerprint for one in found)
    worst = max(found, key=lambda one: one.rates.noise_rate or 0.0).rates
    why = (
        f"legacy differs from itself here in {percent(worst.noise_rate or 0.0)} of answers, the two sides in "
        f"{percent(worst.rate or 0.0)} ({', '.join(sorted({one.kind for one in found}))})"
    )
    rule, value = _rule(path, found, key_of)
    return Suggestion(rule, path, value, why, keys)


def _rule(path: str, found: list[Noisy], key_of: Callable[[str], str | None]) -> tuple[RuleName, str | None]:
    if not _is_place(path):
        return "", None
    kinds = {one.kind for one in found}
    if kinds == {"order"}:
        return "unordered", key_of(path)
    looks = frozenset[str]().union(*(one.looks for one in found))
    if path.startswith("$") and kinds <= {"value", "format"}:
        if looks == {"number", "timestamp"}:  # numbers that were sometimes large enough to be times
            return "match", "number"
        if len(looks) == 1 and "other" not in looks:
            return "match", next(iter(looks))
    return ("", None) if path.startswith("$") and parse_path(path) in EVERYTHING else ("ignore", None)


def _is_place(path: str) -> bool:
    """Whether a rule may name it."""
    try:
        compile_rules(Compare(ignore=[path]))
    except ValueError:
        return False
    return path.startswith(("$", "header:", "cookie:"))


def as_yaml(route: str, suggestions: Iterable[Suggestion], selfs: int, lack: str = "") -> str:
    """The part ``compare`` of a route, with the reason for each rule above it. ``lack``: why nothing can be learned."""
    found = list(suggestions)
    lines = [f"# {_comment(route)}: learned from {number(selfs, 'comparison')} of legacy with itself"]
    lines += [f"# {_comment(lack)}"] if lack else []
    helpless = [one for one in found if not one.rule]
    if len(found) == len(helpless):
        lines += ["# nothing to propose"]
    else:
        lines += ["compare:"]
    for rule in ("match", "unordered", "ignore"):
        of = [one for one in found if one.rule == rule]
        if of:
            lines += [f"  {rule}:"]
        for one in of:
            lines += [f"    # {_comment(one.why)}", f"    {_entry(one)}"]
    for one in helpless:
        lines += [f"# no rule helps at {_comment(one.path)}: {_comment(one.why)}"]
    return "\n".join([*lines, ""])


def lack_of_samples(weight: float, rule: Noise) -> str:
    """What is missing before anything can be learned; empty if nothing is. ``weight``: of the comparisons, faded."""
    if not lacks_samples(weight, rule):
        return ""
    return (
        f"too few to tell noise: they count as {number(round(weight), 'comparison')} today (each counts half after "
        f"compare.noise.half_life), and compare.noise.min_samples asks for {rule.min_samples:,}; "
        "a larger compare.noise.sample makes more"
    )


def _entry(one: Suggestion) -> str:
    path = json.dumps(one.path)
    if one.rule == "ignore":
        return f"- {path}"
    return f"{path}: {json.dumps(one.value)}" if one.rule == "unordered" else f"{path}: {one.value}"


def _comment(text: str) -> str:
    """Text that stays within its line."""
    return "".join(c if c.isprintable() else " " for c in text)


def id_field(document: Any, path: str) -> str | None:
    """The field that tells the items of the lists at ``path`` apart in this document; None if there is none.

    It is one that all items have, with another text or whole number in each, and that is called like an id.
    """
    lists = [node for node in _at(document, path) if type(node) is list and len(node) > 1]
    items = [item for node in lists for item in node[:MAX_ITEMS]]
    if not items or any(type(item) is not dict for item in items):
        return None
    shared = [name for name in items[0] if all(name in item for item in items)]
    for name in sorted(shared, key=_likeness):
        if _likeness(name) < _NO_ID and all(_tells_apart(node[:MAX_ITEMS], name) for node in lists):
            return str(name)
    return None


def _tells_apart(items: list[Any], name: str) -> bool:
    values = [item[name] for item in items]
    return all(type(value) in (str, int) for value in values) and len(set(values)) == len(values)


_NO_ID = 3


def _likeness(name: str) -> int:
    """0 for a field that is most likely an id; ``_NO_ID`` for one that is not."""
    lower = name.lower()
    if lower in ("id", "uuid", "_id", "guid", "@id"):
        return 0
    if lower in ("key", "code", "sku", "slug", "number", "isbn", "ean"):
        return 1
    return 2 if lower.endswith(("_id", "-id", "uuid")) or name.endswith(("Id", "ID")) else _NO_ID


def _at(document: Any, path: str) -> list[Any]:
    nodes = [document]
    for step in parse_path(path):
        below: list[Any] = []
        for node in nodes:
            if type(node) is dict:
                below += [value for key, value in node.items() if step.name in (None, key)]
            elif type(node) is list:
                below += node[:MAX_ITEMS] if step.position is None else node[step.position : step.position + 1]
        nodes = below[:MAX_ITEMS]
    return nodes
