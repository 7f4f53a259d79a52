"""The rules of one route, compiled.

Law: a rule sees exactly the nodes that its path names, and ``ignore`` everything below them. All rules advance
together: while a document is walked one ``State`` stands for what every rule makes of the current node, so a step costs
one lookup however many rules there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from proxy.compare.paths import Step, parse_path
from proxy.config.comparing import Compare


class _Rule(NamedTuple):
    what: Literal["ignore", "unordered", "tolerance"]
    steps: tuple[Step, ...]
    key: str | None = None
    tolerance: float = 0.0


class State:
    """What the rules make of one node. ``unordered`` says whether the list here is; ``key`` names the field that
    identifies its items (None: compare as a multiset). ``plain``: no rule holds here or anywhere below."""

    __slots__ = ("_any", "_at", "_named", "_rules", "_where", "ignore", "key", "plain", "tolerance", "unordered")

    def __init__(self, rules: tuple[_Rule, ...], where: frozenset[tuple[int, int]]) -> None:
        self._rules = rules
        self._where = where
        self._named: dict[str, State] = {}
        self._at: dict[int, State] = {}
        self._any: State | None = None
        self.ignore = False
        self.unordered = False
        self.key: str | None = None
        self.tolerance: float | None = None
        self.plain = not where
        for number, done in sorted(where):
            rule = rules[number]
            if done < len(rule.steps):
                continue
            if rule.what == "ignore":
                self.ignore = True
            elif rule.what == "unordered" and not self.unordered:
                self.unordered, self.key = True, rule.key
            elif rule.what == "tolerance" and self.tolerance is None:
                self.tolerance = rule.tolerance
        names: set[str] = set()
        positions: set[int] = set()
        for number, done in where:
            for step in rules[number].steps[done : done + 1]:
                if step.name is not None:
                    names.add(step.name)
                if step.position is not None:
                    positions.add(step.position)
        # Only what a rule names can lead anywhere else than all the rest, so these two maps are the whole memory.
        for name in names:
            self._named[name] = self._next(name, None)
        for position in positions:
            self._at[position] = self._next(None, position)

    def member(self, name: str) -> State:
        """The state of a member of the object here."""
        return self._named.get(name) or self._rest()

    def item(self, position: int) -> State:
        """The state of an item of the list here."""
        return self._at.get(position) or self._rest()

    @property
    def by_position(self) -> bool:
        """Whether some rule tells this list's items apart by their position."""
        return bool(self._at)

    def _rest(self) -> State:
        if self._any is None:
            self._any = self if self.plain else self._next(None, None)
        return self._any

    def _next(self, name: str | None, position: int | None) -> State:
        where: set[tuple[int, int]] = set()
        for number, done in self._where:
            steps = self._rules[number].steps
            if done == len(steps):
                continue
            step = steps[done]
            if step.deep:
                where.add((number, done))
            if (
                (step.name is None and step.position is None)
                or (step.name is not None and step.name == name)
                or (step.position is not None and step.position == position)
            ):
                where.add((number, done + 1))
        if where == self._where:
            return self
        return State(self._rules, frozenset(where))


@dataclass(frozen=True)
class CompareRules:
    """What counts as a difference on one route. ``headers`` are lower-case names; ``start`` is the document's root."""

    headers: tuple[str, ...]
    rules: tuple[_Rule, ...] = field(repr=False)

    @cached_property
    def start(self) -> State:
        """The state of a whole document."""
        return State(self.rules, frozenset((number, 0) for number in range(len(self.rules))))

    @cached_property
    def ignores(self) -> bool:
        """Whether any rule ignores anything."""
        return any(rule.what == "ignore" for rule in self.rules)

    @cached_property
    def without_ignore(self) -> CompareRules:
        """The same rules, but nothing is ignored: tells an ignored difference from none."""
        return CompareRules(self.headers, tuple(rule for rule in self.rules if rule.what != "ignore"))


def compile_rules(compare: Compare) -> CompareRules:
    """Compile a route's ``compare``. Raises ValueError for a faulty path (the configuration's lint finds it first)."""
    rules = [_Rule("ignore", parse_path(path)) for path in compare.ignore]
    rules += [_Rule("unordered", parse_path(path), key=key) for path, key in compare.unordered.items()]
    rules += [_Rule("tolerance", parse_path(path), tolerance=float(size)) for path, size in compare.tolerance.items()]
    return CompareRules(tuple(dict.fromkeys(name.lower() for name in compare.headers)), tuple(rules))
