"""Faults of compare rules, at all three levels where they stand.

Law: what passes here compiles, and every rule can hold: a rule that another one at its level takes the ground from, or
that speaks of a header which is not compared, would let people believe that something is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from proxy.compare.contract import compile_rename, renamed_path
from proxy.compare.matchers import compile_matcher
from proxy.compare.paths import EVERYTHING, Step, parse_path
from proxy.compare.rules import compile_tolerance, place_of
from proxy.compare.states import Rule, start
from proxy.config.comparing import Compare, TypedMatcher
from proxy.config.model import Route, Settings, compare_of
from proxy.config.positions import Loc, Node, locate
from proxy.core.regex import PathRegex
from proxy.errors import Fault

_Steps = tuple[Step, ...]


def compare_faults(settings: Settings, root: Node, indexes: list[int]) -> Iterator[Fault]:
    """All such faults. ``root`` is the merged document, ``indexes`` the place in it of each of the settings' routes."""
    for level, headers in _levels(settings, root, indexes):
        yield from level.faults(headers)


def compare_warnings(settings: Settings, root: Node) -> Iterator[Fault]:
    """Rules of a valid configuration that say nothing, or leave nothing to be said."""
    for level, headers in _levels(settings, root, list(range(len(settings.routes)))):
        yield from level.warnings(headers)
    for index, route in enumerate(settings.routes):
        if route.compare.model_fields_set:
            level = _Level(route.compare, ("routes", index, "compare"), f"route {route.id!r}", root)
            yield from level.ignored_elsewhere(compare_of(settings, route).ignore)


def _levels(settings: Settings, root: Node, indexes: list[int]) -> Iterator[tuple[_Level, set[str] | None]]:
    """Every level that has rules, with the headers that are compared where it holds; None: it holds nowhere."""
    headers = {route.id: _compared(settings, route) for route in settings.routes}
    every = set().union(*headers.values()) if headers else None
    if settings.defaults.compare.model_fields_set:
        yield _Level(settings.defaults.compare, ("defaults", "compare"), "defaults", root), every
    for name, upstream in settings.upstreams.items():
        if upstream.compare.model_fields_set:
            mine = [headers[route.id] for route in settings.routes if route.candidate == name]
            known = set().union(*mine) if mine else None
            yield _Level(upstream.compare, ("upstreams", name, "compare"), f"upstream {name!r}", root), known
    for index, route in zip(indexes, settings.routes, strict=True):
        if route.compare.model_fields_set:
            level = _Level(route.compare, ("routes", index, "compare"), f"route {route.id!r}", root)
            yield level, headers[route.id]


def _compared(settings: Settings, route: Route) -> set[str]:
    return {name.lower() for name in compare_of(settings, route).headers}


class _Level:
    """The rules of one level."""

    def __init__(self, compare: Compare, loc: Loc, owner: str, root: Node) -> None:
        self.compare = compare
        self.loc = loc
        self.owner = owner
        self.root = root
        self.found: list[Fault] = []
        self.named: dict[str, dict[_Steps | str, Loc]] = {}
        """Of each sort of rule the places it names, where they could be read."""

    def faults(self, headers: set[str] | None) -> list[Fault]:
        """All faults of this level; ``headers``: those that are compared where it holds, None if it holds nowhere."""
        for number, text in enumerate(self.compare.ignore):
            self._path("ignore", text, ("ignore", number))
        for sort in ("match", "unordered", "tolerance", "map"):
            for text in getattr(self.compare, sort):
                self._path(sort, text, (sort, text))
        for text, size in self.compare.tolerance.items():
            self._check("tolerance", partial(compile_tolerance, size), ("tolerance", text), key=False)
        for text, matcher in self.compare.match.items():
            self._expression(text, matcher)
        self._renames()
        self._contradictions()
        for named, at, name in self._headers("match", headers):
            what = f"{named!r}: the header {name} is not compared, so it is never matched"
            self._fault("match", what, at, f"add {name} to compare.headers, or remove the rule")
        return self.found

    def warnings(self, headers: set[str] | None) -> list[Fault]:
        """What is ignored and not compared anyway; and bodies of which nothing is compared."""
        self.faults(headers)
        self.found = []
        for named, at, name in self._headers("ignore", headers):
            what = f"{named!r}: the header {name} is not compared anyway"
            self._fault("ignore", what, at, "remove the rule, or add it to compare.headers if it should be compared")
        for steps, at in self.named.get("ignore", {}).items():
            if steps in EVERYTHING:
                self._fault("ignore", "nothing of a body is compared, so all bodies match", at, "name what may differ")
        return self.found

    def ignored_elsewhere(self, ignored: list[str]) -> list[Fault]:
        """Rules that can never hold because of what all levels together ignore."""
        self.faults(None)
        self.found = []
        wider = {place_of(text) or parse_path(text) for text in ignored}
        for sort in ("match", "unordered", "tolerance"):
            for named, at in self.named.get(sort, {}).items():
                if _covered(named, wider):
                    what = f"{at[1]!r} is ignored by a rule of a wider level, so {sort} never looks at it"
                    self._fault(sort, what, at, "remove the rule, or let the wider one name less")
        return self.found

    def _headers(self, sort: str, compared: set[str] | None) -> Iterator[tuple[str, Loc, str]]:
        """The rules of a sort that name a header which is not compared, with its name."""
        for named, at in self.named.get(sort, {}).items():
            if isinstance(named, str) and compared is not None:
                name = named.partition(":")[2] if named.startswith("header:") else "set-cookie"
                if name not in compared:
                    yield named, at, name

    def _fault(self, sort: str, what: str, at: Loc, hint: str = "", *, key: bool = True) -> None:
        node = locate(self.root, (*self.loc, *at), key=key)
        self.found.append(node.fault(f"compare.{sort} of {self.owner}: {what}", hint))

    def _check(self, sort: str, read: Callable[[], Any], at: Loc, *, key: bool = True) -> Any:
        """What ``read`` gives; None, and a fault, if it raises ValueError."""
        try:
            return read()
        except ValueError as error:
            self._fault(sort, str(error), at, key=key)
            return None

    def _path(self, sort: str, text: str, at: Loc) -> None:
        outside = self._check(sort, lambda: place_of(text) or "", at)
        if outside is None:
            return
        named: _Steps | str | None = outside
        if outside and sort not in ("ignore", "match"):
            what = f"{text!r} is not in the body; headers and cookies are only named by ignore and match"
            self._fault(sort, what, at)
            return
        if not outside:
            named = self._check(sort, partial(parse_path, text), at)
        if named is None:
            return
        known = self.named.setdefault(sort, {})
        if named in known and sort != "ignore":
            first = locate(self.root, (*self.loc, *known[named]), key=True)
            self._fault(sort, f"{text!r} stands here twice; first at line {first.line}", at)
        known.setdefault(named, at)

    def _expression(self, text: str, matcher: object) -> None:
        if not isinstance(matcher, TypedMatcher) or matcher.regex is None:
            return
        at: Loc = ("match", text, "regex")
        if self._check("match", partial(PathRegex, matcher.regex), at, key=False) is not None:
            self._check("match", partial(compile_matcher, matcher), at, key=False)

    def _renames(self) -> None:
        targets: dict[_Steps, str] = {}
        sources = self.named.setdefault("rename", {})
        for source, target in self.compare.rename.items():
            at: Loc = ("rename", source)
            before = self._check("rename", partial(renamed_path, source), at)
            after = self._check("rename", partial(renamed_path, target), at, key=False)
            if before is None or after is None:
                continue
            if before in sources:
                first = locate(self.root, (*self.loc, *sources[before]), key=True)
                self._fault("rename", f"{source!r} stands here twice; first at line {first.line}", at)
            sources.setdefault(before, at)
            self._check("rename", partial(compile_rename, source, target), at, key=False)
            if after in targets:
                what = f"both {targets[after]!r} and {source!r} are renamed to {target!r}"
                self._fault("rename", what, at, "a value needs a place of its own", key=False)
            targets.setdefault(after, source)

    def _contradictions(self) -> None:
        """Rules that can never hold because of another one of this level."""
        ignored = self.named.get("ignore", {})
        for sort in ("match", "unordered", "tolerance"):
            for named, at in self.named.get(sort, {}).items():
                if _covered(named, ignored):
                    what = f"{at[1]!r} is ignored by a rule of this level, so {sort} never looks at it"
                    self._fault(sort, what, at, "remove one of the two")
        for named, at in self.named.get("tolerance", {}).items():
            if named in self.named.get("match", {}):
                self._fault("tolerance", f"{at[1]!r} is matched at this level, so no tolerance is asked for", at,
                            "remove one of the two")  # fmt: skip
        for sort in ("match", "unordered", "tolerance", "map"):
            for named, at in self.named.get(sort, {}).items():
                if named in self.named.get("rename", {}):
                    what = f"{at[1]!r} is renamed at this level, so legacy's answer has nothing there any more"
                    self._fault(sort, what, at, "write the candidate's path, to which it is renamed")


def _covered(named: _Steps | str, ignored: Collection[_Steps | str]) -> bool:
    """Whether all that a rule names is ignored, itself or by something above it."""
    if isinstance(named, str):
        return named in ignored or named.partition(";")[0] in ignored
    if any(named[:length] in ignored for length in range(len(named) + 1)):
        return True
    state = start(tuple(Rule("ignore", steps) for steps in ignored if not isinstance(steps, str)))
    for step in named:
        if state.ignore or step.deep:  # where a '..' leads, nobody knows
            break
        at = -1 if step.position is None else step.position
        state = state.item(at) if step.name is None else state.member(step.name)
    return state.ignore
