"""The rules of one route, compiled.

Law: a rule that cannot be compiled is a fault of the configuration and is named there; what is compiled here holds for
every document. After ``translate`` all paths, of rules and of differences, are the candidate's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from proxy.compare.contract import Rename, compile_rename, translate
from proxy.compare.matchers import OPAQUE, compile_matcher
from proxy.compare.paths import Step, parse_path
from proxy.compare.states import Mode, Rule, State, Tolerance, start
from proxy.config.comparing import Compare
from proxy.config.values import parse_share

_PLACE = re.compile(r"(?:header:([^\s;:]+)|cookie:([^\s;=]+)(?:;([A-Za-z-]+))?)")


@dataclass(frozen=True)
class CompareRules:
    """What counts as a difference on one route. ``headers`` are lower-case names."""

    headers: tuple[str, ...]
    rules: tuple[Rule, ...] = field(repr=False)
    mode: Mode = "exact"
    renames: tuple[Rename, ...] = ()
    maps: tuple[Rule, ...] = ()
    outside: tuple[tuple[str, Rule], ...] = field(default=(), repr=False)
    both_legacy: bool = False
    """Legacy is compared with itself: then both documents are to be translated."""
    prepare: Callable[[Any, State], Any] | None = field(default=None, repr=False)
    """Made of both documents, after translating, before they are compared: for records, in which secrets are masked."""

    @cached_property
    def start(self) -> State:
        """The state of a whole document."""
        return start(self.rules, self.mode)

    @cached_property
    def places(self) -> dict[str, State]:
        """What holds for headers and cookies: ``header:etag``, ``cookie:sid``, ``cookie:sid;path`` (lower case) ->
        a state of which ``ignore`` and ``matcher`` mean something."""
        found: dict[str, list[Rule]] = {}
        for place, rule in self.outside:
            found.setdefault(place, []).append(rule)
        return {place: start(tuple(rules)) for place, rules in found.items()}

    @cached_property
    def ignores(self) -> bool:
        """Whether any rule ignores anything of a document."""
        return any(rule.sort == "ignore" for rule in self.rules)

    @cached_property
    def without_ignore(self) -> CompareRules:
        """The same rules, but nothing is ignored: tells an ignored difference from none."""
        return replace(
            self,
            rules=tuple(rule for rule in self.rules if rule.sort != "ignore"),
            outside=tuple((place, rule) for place, rule in self.outside if rule.sort != "ignore"),
        )

    @cached_property
    def within_legacy(self) -> CompareRules:
        """The same rules for comparing legacy with itself: each side is legacy's, and neither may say more."""
        return replace(self, mode="exact", both_legacy=True)

    @cached_property
    def for_pages(self) -> CompareRules:
        """The same rules for HTML: nonces and CSRF tokens are new in each answer."""
        tokens = tuple(Rule("match", parse_path(path), matcher=OPAQUE) for path in ("$..@nonce", "$..#token"))
        return replace(self, rules=(*tokens, *self.rules))

    @cached_property
    def _map_start(self) -> State:
        return start(self.maps)

    @property
    def translates(self) -> bool:
        """Whether there is anything to translate."""
        return bool(self.renames or self.maps)

    def translate(self, document: Any, beside: Any = None) -> Any:
        """Legacy's document in the candidate's words; itself if it says nothing that is said otherwise there.
        ``beside``: what it will be compared with, for numbers are only comparable if they were read the same way."""
        return translate(document, self.renames, self._map_start, beside) if self.translates else document


def compile_rules(compare: Compare) -> CompareRules:
    """Compile a route's ``compare``. Raises ValueError for a faulty rule (the configuration's lint finds it first)."""
    rules: list[Rule] = []
    outside: list[tuple[str, Rule]] = []

    def add(path: str, make: Callable[[tuple[Step, ...]], Rule]) -> None:
        place = place_of(path)
        if place is not None:
            outside.append((place, make(())))
        else:
            rules.append(make(parse_path(path)))

    for path in compare.ignore:
        add(path, lambda steps: Rule("ignore", steps))
    for path, written in compare.match.items():
        matcher = compile_matcher(written)
        add(path, lambda steps, matcher=matcher: Rule("match", steps, matcher=matcher))  # type: ignore[misc]  # mypy cannot type bound loop variables
    rules += [Rule("unordered", parse_path(path), key=key) for path, key in compare.unordered.items()]
    rules += [
        Rule("tolerance", parse_path(path), tolerance=compile_tolerance(size))
        for path, size in compare.tolerance.items()
    ]
    return CompareRules(
        tuple(dict.fromkeys(name.lower() for name in compare.headers)),
        tuple(rules),
        compare.mode,
        tuple(compile_rename(source, target) for source, target in compare.rename.items()),
        tuple(Rule("map", parse_path(path), mapping=dict(words)) for path, words in compare.map.items()),
        tuple(outside),
    )


def place_of(path: str) -> str | None:
    """The place outside the body that a rule names, in lower case (``header:etag``, ``cookie:sid;path``); None for a
    path. Raises ValueError for what is meant as such a place and is none."""
    if not path.startswith(("header:", "cookie:")):
        return None
    if _PLACE.fullmatch(path) is None:
        raise ValueError(f"{path!r} names no place; write header:NAME, cookie:NAME or cookie:NAME;ATTRIBUTE")
    return path.lower()


def compile_tolerance(size: float | str) -> Tolerance:
    """``0.01`` or ``"1%"``. Raises ValueError for what is neither or negative."""
    if isinstance(size, str):
        parse_share(size)
        return Tolerance(Decimal(size.removesuffix("%")).scaleb(-2), relative=True)
    if not 0 <= size < float("inf"):
        raise ValueError("a tolerance may not be negative")
    return Tolerance(Decimal(str(size)))
