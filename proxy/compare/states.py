"""Where rules hold: paths that advance together while a document is walked.

Law: a rule sees exactly the nodes that its path names, and ``ignore`` everything below them. One ``State`` stands for
what every rule makes of a node, so a step costs one lookup however many rules there are. Of two rules of one sort that
name the same node the more exact one holds: the one with fewer ``..`` and ``*``, then the later.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Literal, NamedTuple

from proxy.compare.document import Number
from proxy.compare.matchers import Matcher
from proxy.compare.paths import Step
from proxy.config.comparing import Scalar

Mode = Literal["exact", "subset", "schema"]
NUMBERS = (int, float, Number)

_MAX_STATES = 4096
"""States that are kept. Rules with ``..`` can need more in documents that are made for it; those are forgotten."""
_EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])
"""Arithmetic without rounding; numbers of more digits than that are not close to anything."""


class Tolerance(NamedTuple):
    """The largest difference of two numbers that is none: absolute, or a share of legacy's number."""

    size: Decimal
    relative: bool = False

    def allows(self, legacy: Any, candidate: Any) -> bool:
        """Whether the numbers are that close, exactly: 10.01 and 10.02 differ by 0.01."""
        if type(legacy) not in NUMBERS or type(candidate) not in NUMBERS:
            return False
        try:
            one, two = Decimal(str(legacy)), Decimal(str(candidate))
            most = _EXACT.multiply(self.size, one.copy_abs()) if self.relative else self.size
            return _EXACT.subtract(one, two).copy_abs() <= most
        except ArithmeticError:
            return False


class Rule(NamedTuple):
    """One rule and the place it is for; only the field of its sort is set."""

    sort: Literal["ignore", "unordered", "tolerance", "match", "map"]
    steps: tuple[Step, ...]
    key: str | None = None
    tolerance: Tolerance | None = None
    matcher: Matcher | None = None
    mapping: Mapping[str, Scalar] | None = None

    @property
    def exactness(self) -> tuple[int, int]:
        """The larger, the fewer places it names."""
        return -sum(step.deep for step in self.steps), -sum(step.wild for step in self.steps)


_Where = frozenset[tuple[int, int]]  # number of a rule, and how many of its steps were taken


class State:
    """What the rules make of one node.

    ``unordered`` says whether the list here is; ``key`` names the field that identifies its items (None: compare as a
    multiset). ``plain``: no rule holds here or anywhere below; ``sharp``: no tolerance or matcher does, so that of
    three values two that equal the third equal each other.
    """

    __slots__ = (
        "_any", "_at", "_machine", "_named", "_where", "ignore", "key", "mapping", "matcher", "mode", "plain",
        "sharp", "tolerance", "unordered",
    )  # fmt: skip

    def __init__(self, machine: _Machine, where: _Where) -> None:
        self._machine = machine
        self._where = where
        self.mode: Mode = machine.mode
        self.ignore = False
        self.unordered = False
        self.key: str | None = None
        self.tolerance: Tolerance | None = None
        self.matcher: Matcher | None = None
        self.mapping: Mapping[str, Scalar] | None = None
        self.plain = not where
        # Only what a rule names can lead anywhere else than all the rest, so these are the whole memory.
        self._named: dict[str, State | None] = {}
        self._at: dict[int, State | None] = {}
        self._any: State | None = self if self.plain else None
        rules = machine.rules
        self.sharp = all(rules[number].sort not in ("tolerance", "match") for number, _ in where)
        here = []
        for number, done in where:
            steps = rules[number].steps
            if done == len(steps):
                here.append(number)
                continue
            if steps[done].name is not None:
                self._named[steps[done].name] = None  # type: ignore[index]  # it is not None, see above
            if steps[done].position is not None:
                self._at[steps[done].position] = None  # type: ignore[index]  # the same
        for number in sorted(here, key=lambda number: (rules[number].exactness, number)):
            self._hold(rules[number])

    def _hold(self, rule: Rule) -> None:
        match rule.sort:
            case "ignore":
                self.ignore = True
            case "unordered":
                self.unordered, self.key = True, rule.key
            case "tolerance":
                self.tolerance = rule.tolerance
            case "match":
                self.matcher = rule.matcher
            case "map":
                self.mapping = rule.mapping

    def member(self, name: str) -> State:
        """The state of a member of the object here."""
        if name in self._named:
            found = self._named[name]
            if found is None:
                found = self._named[name] = self._machine.next(self._where, name, None)
            return found
        return self._any or self._rest()

    def item(self, position: int) -> State:
        """The state of an item of the list here; -1 is an item whose position means nothing."""
        if position in self._at:
            found = self._at[position]
            if found is None:
                found = self._at[position] = self._machine.next(self._where, None, position)
            return found
        return self._any or self._rest()

    @property
    def by_position(self) -> bool:
        """Whether some rule tells this list's items apart by their position."""
        return bool(self._at)

    def _rest(self) -> State:
        self._any = self._machine.next(self._where, None, None)
        return self._any


class _Machine:
    """All states of some rules."""

    def __init__(self, rules: tuple[Rule, ...], mode: Mode) -> None:
        self.rules = rules
        self.mode: Mode = mode
        self._states: dict[_Where, State] = {}

    def at(self, where: _Where) -> State:
        state = self._states.get(where)
        if state is None:
            state = State(self, where)
            if len(self._states) < _MAX_STATES:
                self._states[where] = state
        return state

    def next(self, where: _Where, name: str | None, position: int | None) -> State:
        """Where the rules stand one step down: at a member, at an item, or (neither) at any that no rule names."""
        after: set[tuple[int, int]] = set()
        for number, done in where:
            steps = self.rules[number].steps
            if done == len(steps):
                continue
            step = steps[done]
            if step.deep:
                after.add((number, done))
            if (
                step.wild
                or (step.name is not None and step.name == name)
                or (step.position is not None and step.position == position)
            ):
                after.add((number, done + 1))
        return self.at(frozenset(after))


def start(rules: tuple[Rule, ...], mode: Mode = "exact") -> State:
    """The state of a whole document."""
    return _Machine(rules, mode).at(frozenset((number, 0) for number in range(len(rules))))
