"""Two JSON documents, walked side by side.

Law: the walk is linear, its depth is bounded by the parser's, and it ends within its budget or with Incomparable; it
finds at least one difference exactly if the documents differ under the rules. List positions become ``[*]`` and keys
that are data become ``*``, so that one cause has one path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from proxy.compare.document import Number, canonical
from proxy.compare.paths import MAX_MEMBERS, member
from proxy.compare.redact import PLAIN, Redactor
from proxy.compare.result import Budget, Difference, Incomparable, Kind
from proxy.compare.rules import State
from proxy.compare.secret_names import Secret

ABSENT = "absent"
_CHECK_EVERY = 1000
_STRETCH = 64  # items of a list that are looked at together
_NUMBERS = (int, float, Number)


class Walk:
    """One walk. ``found`` maps (kind, path) to the first occurrence's two shown values and the number of occurrences;
    ``more`` counts the occurrences that had no room. ``clock`` gives seconds."""

    def __init__(self, budget: Budget, clock: Callable[[], float], redactor: Redactor = PLAIN) -> None:
        self.redactor = redactor
        self._show = redactor.show
        self._clock = clock
        self._deadline = clock() + budget.seconds
        self._steps_left = budget.nodes
        self._next_check = self._steps_left - _CHECK_EVERY
        self._room = budget.differences
        self.found: dict[tuple[Kind, str], tuple[str, str, int]] = {}
        self.more = 0

    def differences(self) -> tuple[Difference, ...]:
        """What was found, in the order of its first occurrence."""
        return tuple(Difference(kind, path, *shown) for (kind, path), shown in self.found.items())

    def report(self, kind: Kind, path: str, legacy: Callable[[], str], candidate: Callable[[], str]) -> None:
        """Count one difference; its values are only shown (and made) at the first occurrence."""
        known = self.found.get((kind, path))
        if known is not None:
            self.found[kind, path] = (known[0], known[1], known[2] + 1)
        elif len(self.found) < self._room:
            self.found[kind, path] = (legacy(), candidate(), 1)
        else:
            self.more += 1

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < self._next_check:
            self._next_check = self._steps_left - _CHECK_EVERY
            if self._steps_left < 0 or self._clock() > self._deadline:
                raise Incomparable("budget")

    def compare(self, a: Any, b: Any, state: State, path: str, *, secret: Secret = False) -> None:
        """Compare legacy's ``a`` with the candidate's ``b``; ``secret``: a name above says that they may not be shown.

        Raises Incomparable ("budget").
        """
        if state.ignore:
            return
        if type(a) is dict and type(b) is dict:
            self._objects(a, b, state, path, secret=secret)
        elif type(a) is list and type(b) is list:
            self._lists(a, b, state, path, secret=secret)
        elif not _same_scalar(a, b) and not (state.tolerance is not None and _close(a, b, state.tolerance)):
            kind: Kind = "value" if _comparable(a, b) else "type"
            self._values(kind, a, b, path, secret=secret)

    def _values(self, kind: Kind, a: Any, b: Any, path: str, *, secret: Secret) -> None:
        if secret and type(a) in _NUMBERS and type(b) in _NUMBERS:
            kind = "value"
        self.report(kind, path, lambda: self._show(a, secret=secret), lambda: self._show(b, secret=secret))

    def _objects(self, a: dict[str, Any], b: dict[str, Any], state: State, path: str, *, secret: Secret) -> None:
        self._spend(len(a) + len(b) + 1)
        is_map = len(a) > MAX_MEMBERS or len(b) > MAX_MEMBERS
        for key, x in a.items():
            if key in b:
                y = b[key]
                if x is y or (type(x) is type(y) and type(x) in (str, int, bool) and x == y):
                    continue
            elif state.member(key).ignore:
                continue
            below = f"{path}.*" if is_map or secret_key(key) else member(path, key)
            hidden = self.redactor.below(key, secret, a, b)
            if key in b:
                self.compare(x, y, state.member(key), below, secret=hidden)
            else:
                self.report("missing", below, lambda x=x, h=hidden: self._show(x, secret=h), _absent)  # type: ignore[misc]  # mypy cannot type bound loop variables
        if a.keys() == b.keys():
            return
        for key, y in b.items():
            if key not in a and not state.member(key).ignore:
                below = f"{path}.*" if is_map or secret_key(key) else member(path, key)
                hidden = self.redactor.below(key, secret, a, b)
                self.report("extra", below, _absent, lambda y=y, h=hidden: self._show(y, secret=h))  # type: ignore[misc]  # as above

    def _lists(self, a: list[Any], b: list[Any], state: State, path: str, *, secret: Secret) -> None:
        self._spend(len(a) + len(b) + 1)
        if state.unordered:
            self._unordered(a, b, state, path, secret=secret)
            return
        if len(a) != len(b):
            self.report("size", path, lambda: str(len(a)), lambda: str(len(b)))
        places = self._unequal(a, b)
        mine = [self._key(a[i], state.item(i)) for i in places]
        yours = [self._key(b[i], state.item(i)) for i in places]
        if len(a) != len(b):
            rest_a = [self._key(x, state.item(-1)) for x in a[len(b) :]]
            rest_b = [self._key(y, state.item(-1)) for y in b[len(a) :]]
            if _is_part(mine + rest_a, yours + rest_b):
                return
        elif mine != yours and not state.by_position and sorted(mine) == sorted(yours):
            self.report("order", path, lambda: self._sketch(a, secret=secret), lambda: self._sketch(b, secret=secret))
            return
        for i, x, y in zip(places, mine, yours, strict=True):
            if x != y:
                self.compare(a[i], b[i], state.item(i), f"{path}[*]", secret=secret)

    def _unequal(self, a: list[Any], b: list[Any]) -> list[int]:
        """Places at which both lists have an item and the two are not the same; equal stretches cost little."""
        places: list[int] = []
        for start in range(0, min(len(a), len(b)), _STRETCH):
            xs, ys = a[start : start + _STRETCH], b[start : start + _STRETCH]
            if len(xs) == len(ys) and self._bytes(xs) == self._bytes(ys):
                continue
            places += [
                start + i for i, (x, y) in enumerate(zip(xs, ys, strict=False)) if self._bytes(x) != self._bytes(y)
            ]
        return places

    def _unordered(self, a: list[Any], b: list[Any], state: State, path: str, *, secret: Secret) -> None:
        """Items with one identity are paired, equal ones first, then in order; the rest is missing or extra."""
        below = f"{path}[*]"
        item = state.item(-1)  # no position means anything here
        groups: dict[bytes, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        for side, items in enumerate((a, b)):
            for x in items:
                groups[_identity(x, state.key)][side].append(x)
        for xs, ys in groups.values():
            if len(xs) == len(ys) == 1:
                if self._bytes(xs[0]) == self._bytes(ys[0]):
                    continue
            else:
                xs, ys = self._without_equals(xs, ys, item)
            for x, y in zip(xs, ys, strict=False):
                self.compare(x, y, item, below, secret=secret)
            if item.ignore:
                continue
            for x in xs[len(ys) :]:
                self.report("missing", below, lambda x=x: self._show(x, secret=secret), _absent)  # type: ignore[misc]  # as above
            for y in ys[len(xs) :]:
                self.report("extra", below, _absent, lambda y=y: self._show(y, secret=secret))  # type: ignore[misc]  # as above

    def _without_equals(self, xs: list[Any], ys: list[Any], item: State) -> tuple[list[Any], list[Any]]:
        """Both sides without the items that are equal under the rules, each for one; in order. What then differs at
        most in numbers with a tolerance stands at the same place on both sides, if it stands on both."""
        left: list[list[tuple[bytes, tuple[float, ...], Any]]] = []
        for side in (xs, ys):
            keyed = []
            for x in side:
                numbers: list[float] = []
                keyed.append((self._key(x, item, numbers), tuple(numbers), x))
            left.append(keyed)
        shapes: dict[bytes, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        for number, keyed in enumerate(left):
            for entry in keyed:
                shapes[entry[0]][number].append(entry)
        paired: tuple[list[Any], list[Any]] = ([], [])
        rest: tuple[list[Any], list[Any]] = ([], [])
        for mine, yours in shapes.values():
            if mine and yours and mine[0][1]:  # numbers with a tolerance: nearest by rank
                mine.sort(key=lambda entry: entry[1])
                yours.sort(key=lambda entry: entry[1])
                paired[0].extend(entry[2] for entry in mine[: len(yours)])
                paired[1].extend(entry[2] for entry in yours[: len(mine)])
            rest[0].extend(entry[2] for entry in mine[len(yours) :])
            rest[1].extend(entry[2] for entry in yours[len(mine) :])
        return paired[0] + rest[0], paired[1] + rest[1]

    def _key(self, value: Any, state: State, numbers: list[float] | None = None) -> bytes:
        """Bytes that two values share if they are equal under the rules. With ``numbers``, numbers with a tolerance go
        there instead of into the bytes."""
        if not state.plain:
            value = _stripped(value, state, numbers)
        return self._bytes(value)

    def _bytes(self, value: Any) -> bytes:
        try:
            data = canonical(value)
        except TypeError:
            raise Incomparable("too-deep") from None
        self._spend(len(data) >> 5)
        return data

    def _sketch(self, items: list[Any], *, secret: Secret) -> str:
        shown = ", ".join(self._show(item, secret=secret) for item in items[:4])
        return f"[{shown}{', …' if len(items) > 4 else ''}]"[:240]


def secret_key(key: str) -> bool:
    """Whether a key itself looks like a secret, so that it may not stand in a path."""
    return len(key) > 12 and PLAIN.by_shape(key) != key


def _absent() -> str:
    return ABSENT


def _same_scalar(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) is float and a == b == 0.0:
        return str(a) == str(b)  # -0.0 is not 0.0
    return bool(a == b)


def _comparable(a: Any, b: Any) -> bool:
    """Whether two unequal scalars are of one type: then it is the value that differs. 1 and 1.5 are numbers both, but
    1 and 1.0 differ in nothing but their type."""
    if type(a) is type(b):
        return not (isinstance(a, Number) and isinstance(b, Number) and a.whole != b.whole and _equal_numbers(a, b))
    return type(a) in _NUMBERS and type(b) in _NUMBERS and not _equal_numbers(a, b)


def _equal_numbers(a: Any, b: Any) -> bool:
    try:
        return Decimal(str(a)) == Decimal(str(b))
    except ArithmeticError:
        return False


def _close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two numbers differ by at most ``tolerance``, in decimal, so that 10.01 and 10.02 differ by 0.01."""
    if type(a) not in _NUMBERS or type(b) not in _NUMBERS:
        return False
    try:
        return abs(Decimal(str(a)) - Decimal(str(b))) <= Decimal(str(tolerance))
    except ArithmeticError:
        return False


def _stripped(value: Any, state: State, numbers: list[float] | None) -> Any:
    """The value without what is ignored and with unordered lists in the order of their bytes."""
    if state.ignore:
        return None
    if state.plain:
        return value
    if type(value) is dict:
        stripped = {}
        for key in sorted(value) if numbers is not None else value:
            below = state.member(key)
            if not below.ignore:
                stripped[key] = _stripped(value[key], below, numbers)
        return stripped
    if type(value) is list:
        items = [_stripped(x, state.item(i), numbers) for i, x in enumerate(value)]
        return sorted(items, key=canonical) if state.unordered else items
    if numbers is not None and state.tolerance is not None and type(value) in _NUMBERS:
        try:
            numbers.append(float(str(value)))
        except (ValueError, OverflowError):
            return value
        return ["number"]
    return value


def _identity(value: Any, key: str | None) -> bytes:
    if key is None or type(value) is not dict or key not in value:
        return b""
    return canonical(value[key])


def _is_part(a: Iterable[bytes], b: Iterable[bytes]) -> bool:
    """Whether one list is the other with items left out or put in anywhere (order aside)."""
    counts: dict[bytes, int] = defaultdict(int)
    for x in a:
        counts[x] += 1
    for y in b:
        counts[y] -= 1
    return all(n >= 0 for n in counts.values()) or all(n <= 0 for n in counts.values())
