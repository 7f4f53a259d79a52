"""Two documents, walked side by side.

Law: the walk is linear, its depth is bounded by the parser's, and it ends within its budget or with Incomparable; it
finds at least one difference exactly if the documents differ under the rules. List positions become ``[*]`` and keys
that are data become ``*``, so that one cause has one path.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from proxy.compare import matchers
from proxy.compare.document import Number, canonical
from proxy.compare.lists import compare_lists
from proxy.compare.paths import is_map, member
from proxy.compare.redact import PLAIN, Redactor, is_secret_key
from proxy.compare.result import Budget, Difference, Incomparable, Kind
from proxy.compare.schema_mode import compare_schemas
from proxy.compare.secret_names import Secret
from proxy.compare.states import NUMBERS, State

ABSENT = "absent"
_CHECK_EVERY = 1000
_BYTES_A_STEP = 8  # as a power of two: encoding so many bytes takes less time than one step of the walk


class Walk:
    """One walk. ``found`` maps (kind, path) to the first occurrence's two shown values and the number of occurrences;
    ``more`` counts the occurrences that had no room. ``clock`` gives seconds."""

    def __init__(self, budget: Budget, clock: Callable[[], float], redactor: Redactor = PLAIN) -> None:
        self.redactor = redactor
        self.show = redactor.show
        self._clock = clock
        self._deadline = clock() + budget.seconds
        self._steps_left = budget.nodes
        self._next_check = self._steps_left - _CHECK_EVERY
        self._room = budget.differences
        self.found: dict[tuple[Kind, str], tuple[str, str, int]] = {}
        self.more = 0
        self.trials = 0
        """Trials within trials that are under way."""
        self._waiting: list[tuple[Any, Any, State, str, Secret]] = []

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

    def spend(self, steps: int) -> None:
        """Pay for work. Raises Incomparable ("budget") when the steps or the time are used up."""
        self._steps_left -= steps
        if self._steps_left < self._next_check:
            self._next_check = self._steps_left - _CHECK_EVERY
            if self._steps_left < 0 or self._clock() > self._deadline:
                raise Incomparable("budget")

    def encode(self, value: Any) -> bytes:
        """The canonical bytes of a part of a document. Raises Incomparable ("budget", "too-deep")."""
        try:
            data = canonical(value)
        except TypeError:
            raise Incomparable("too-deep") from None
        self.spend(1 + (len(data) >> _BYTES_A_STEP))
        return data

    def compare(self, a: Any, b: Any, state: State, path: str, *, secret: Secret = False) -> None:
        """Compare legacy's ``a`` with the candidate's ``b``; ``secret``: a name above says that they may not be shown.

        Raises Incomparable ("budget").
        """
        if state.mode == "schema":
            compare_schemas(self, a, b, state, path)
        else:
            self._all(a, b, state, path, secret=secret)

    def _all(self, a: Any, b: Any, state: State, path: str, *, secret: Secret) -> None:
        """Compare two nodes and all that has to wait. So nesting costs no recursion where lists lie in lists."""
        outer, self._waiting = self._waiting, [(a, b, state, path, secret)]
        try:
            while (waiting := self._waiting) and not (self.trials and self.more):
                x, y, below, place, hidden = waiting.pop()
                before = len(waiting)
                self._node(x, y, below, place, secret=hidden)
                if len(waiting) > before + 1:
                    waiting[before:] = waiting[before:][::-1]  # so that they are taken in their order
        finally:
            self._waiting = outer

    def later(self, a: Any, b: Any, state: State, path: str, *, secret: Secret) -> None:
        """Compare two items of lists, before anything that stands behind them."""
        if type(a) is type(b) and type(a) in (dict, list):
            self._waiting.append((a, b, state, path, secret))
        else:
            self._node(a, b, state, path, secret=secret)

    def _node(self, a: Any, b: Any, state: State, path: str, *, secret: Secret) -> None:
        if state.ignore:
            return
        if type(a) is dict and type(b) is dict:
            self._objects(a, b, state, path, secret=secret)
        elif type(a) is list and type(b) is list:
            compare_lists(self, a, b, state, path, secret=secret)
        elif not same_scalar(a, b):
            if state.matcher is not None:
                self._matched(state.matcher, a, b, path, secret=secret)
            elif state.tolerance is None or not state.tolerance.allows(a, b):
                self._values(a, b, path, secret=secret)

    def differs(self, a: Any, b: Any, state: State) -> bool:
        """Whether two nodes differ, without reporting it."""
        kept = self.found, self.more, self._room
        self.found, self.more, self._room = {}, 0, 0
        self.trials += 1
        try:
            self._all(a, b, state, "$", secret=True)
            return self.more > 0
        finally:
            self.found, self.more, self._room = kept
            self.trials -= 1

    def _matched(self, matcher: matchers.Matcher, a: Any, b: Any, path: str, *, secret: Secret) -> None:
        self.spend(_length(a) + _length(b))
        outcome = matchers.compare(matcher, a, b)
        if outcome == "format" and _has_look(a) and _has_look(b):
            self.report("format", path, lambda: self.show(a, secret=secret), lambda: self.show(b, secret=secret))
        elif outcome != "equal":
            self._values(a, b, path, secret=secret)

    def _values(self, a: Any, b: Any, path: str, *, secret: Secret) -> None:
        kind: Kind = "value" if _comparable(a, b) else "type"
        if secret and type(a) in NUMBERS and type(b) in NUMBERS:
            kind = "value"
        self.report(kind, path, lambda: self.show(a, secret=secret), lambda: self.show(b, secret=secret))

    def absent(self, kind: Literal["missing", "extra"], path: str, shown: Callable[[], str]) -> None:
        """Report what only legacy has (``missing``) or only the candidate (``extra``)."""
        if kind == "missing":
            self.report(kind, path, shown, _absent)
        else:
            self.report(kind, path, _absent, shown)

    def below(self, path: str, key: str, *, as_map: bool = False, secret: Secret = False) -> str:
        """The path template of a member: ``*`` for keys that are data or may not be shown; ``secret``: what was said of
        the object."""
        return f"{path}.*" if as_map or self.hides(key, secret=secret) else member(path, key)

    def hides(self, key: str, *, secret: Secret = False) -> bool:
        """Whether a key itself looks like a secret, so that it may not stand in a path."""
        return is_secret_key(key, below_secret=bool(secret))

    def _objects(self, a: dict[str, Any], b: dict[str, Any], state: State, path: str, *, secret: Secret) -> None:
        self.spend(len(a) + len(b) + 1)
        as_map = is_map(a) or is_map(b)
        for key, x in a.items():
            if key in b:
                y = b[key]
                if x is y or (type(x) is type(y) and type(x) in (str, int, bool) and x == y):
                    continue
                below = state.member(key)
                if not below.ignore:
                    hidden = self.redactor.below(key, secret, a, b)
                    self._node(x, y, below, self.below(path, key, as_map=as_map, secret=secret), secret=hidden)
            elif not state.member(key).ignore:
                hidden = "#secret" in b or self.redactor.below(key, secret, a, b)
                shown = partial(self.show, x, secret=hidden)
                self.absent("missing", self.below(path, key, as_map=as_map, secret=secret), shown)
        if state.mode == "subset" or a.keys() == b.keys():
            return
        for key, y in b.items():
            if key not in a and not state.member(key).ignore:
                hidden = "#secret" in a or self.redactor.below(key, secret, a, b)
                shown = partial(self.show, y, secret=hidden)
                self.absent("extra", self.below(path, key, as_map=as_map, secret=secret), shown)


def secret_key(key: str) -> bool:
    """Whether a key itself looks like a secret, so that it may not stand in a path."""
    return is_secret_key(key, below_secret=False)


def _absent() -> str:
    return ABSENT


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 1


def _has_look(value: Any) -> bool:
    """Whether a value is written in a way that may change: texts and numbers are, null is another type."""
    return isinstance(value, str) or type(value) in NUMBERS


def same_scalar(a: Any, b: Any) -> bool:
    """Whether two scalars say the same: 1, 1.0, true and "1" do not."""
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
    return type(a) in NUMBERS and type(b) in NUMBERS and not _equal_numbers(a, b)


def _equal_numbers(a: Any, b: Any) -> bool:
    try:
        return Decimal(str(a)) == Decimal(str(b))
    except ArithmeticError:
        return False
