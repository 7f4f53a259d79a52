"""Where in two recorded bodies the differences stand, and what the rules let pass there.

Law: a place is told by the walk that compares, on the documents that were compared, and never guessed from the texts.
What has no such place is not placed, and ``why`` or ``whole`` says so. Only for JSON: of other media the walk sees no
lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from proxy.compare.decode import decode_body
from proxy.compare.document import Number
from proxy.compare.readers import Content, UnreadableError, content, read_pair
from proxy.compare.redact import PLAIN, Redactor
from proxy.compare.result import Budget, Incomparable, Kind, Result
from proxy.compare.rules import CompareRules
from proxy.compare.secret_names import Secret
from proxy.compare.states import State
from proxy.compare.walk import Walk, same_scalar
from proxy.messages import Answer, Pair

BUSY = "the comparator was behind"
MAX_PLACES = 500
"""Stretches of lines of one side that are told; a record is read by people."""
_TRIED = 8
"""Items for which the place that they moved to is looked for: one that is found is enough."""

Span = tuple[int, int]
"""First line (0-based) and number of lines, in a text with each member and item on lines of its own."""
Where = tuple[list[Span], list[Span]]
"""Of legacy and of the candidate; empty where the place is not known, or there is none."""


def places(
    pair: Pair,
    rules: CompareRules,
    budget: Budget,
    now: Callable[[], float],
    result: Result,
    record: dict[str, Any],
    redactor: Redactor = PLAIN,
) -> dict[str, Any]:
    """The places of the ``result`` of a pair in the bodies of its ``record``.

    ``legacy`` and ``candidate``: [first line, lines, what]; what is the number of a difference of the result, or a
    word: ``ignored``, ``tolerated``, ``match``, ``subset`` or ``unordered`` (of the whole list). ``whole``: every
    difference of the bodies is placed. ``why``: why nothing is, else empty. ``moved``, where there are places: of lists
    in another order [number of the difference, place at legacy, at the candidate] of one item, counted from 0.
    """
    if why := _hindered(pair, rules, record):
        return unplaced(why)
    try:
        sides = _content(pair.legacy, budget), _content(pair.candidate, budget)
        documents = read_pair(*sides, budget, now, redactor.is_secret)
        lines = _Lines(documents.legacy), _Lines(documents.candidate)
        for name, counted in zip(("legacy", "candidate"), lines, strict=True):
            if record[name]["body"]["text"].count("\n") + 1 != counted.total:
                return unplaced("the recorded text is not written like the body")
        walk = _Locating(budget, now, redactor, lines)
        x, y = documents.legacy, documents.candidate
        if rules.translates:
            x = rules.translate(x, y)
        walk.compare(x, y, rules.start, "$")
    except (Incomparable, UnreadableError, RecursionError):
        return unplaced("the bodies could not be read once more")
    return _told(walk, result)


def unplaced(why: str) -> dict[str, Any]:
    """No places, for this reason."""
    return {"legacy": [], "candidate": [], "whole": False, "why": why}


def _hindered(pair: Pair, rules: CompareRules, record: dict[str, Any]) -> str:
    bodies = [record[side]["body"] for side in ("legacy", "candidate")]
    if pair.legacy.status // 100 != pair.candidate.status // 100 or pair.legacy.failure or pair.candidate.failure:
        return "bodies of answers with such statuses are not compared"
    if any(body["kind"] != "json" for body in bodies):
        return "places are known in JSON only"
    if any(body["cut"] for body in bodies):
        return "a recorded body is not whole"
    return "mode schema compares shapes, which have no place" if rules.mode == "schema" else ""


def _told(walk: _Locating, result: Result) -> dict[str, Any]:
    """What was found on a walk, by the numbers of the differences."""
    numbers = {(found.kind, found.path): number for number, found in enumerate(result.differences)}
    found: tuple[list[list[Any]], list[list[Any]]] = ([], [])
    whole = not result.more
    for key, told in walk.places.items():
        expected = [side for side, kind in enumerate(("extra", "missing")) if kind != key[0]]
        whole = whole and key in numbers and all(where[side] for where in told for side in expected)
        if key in numbers:
            for where in told:
                _add(found, where, numbers[key])
    for word, where in walk.allowed:
        _add(found, where, word)
    whole = whole and all(len(side) <= MAX_PLACES for side in found)
    of_body = {key: one.times for key, one in zip(numbers, result.differences, strict=True) if key[1].startswith("$")}
    whole = whole and of_body == {key: len(told) for key, told in walk.places.items()}
    moved = [[numbers["order", path], *items] for path, items in walk.moved.items() if ("order", path) in numbers]
    sides_told = {"legacy": found[0][:MAX_PLACES], "candidate": found[1][:MAX_PLACES]}
    return {**sides_told, "whole": whole, "why": "", "moved": moved}


def _add(found: tuple[list[list[Any]], list[list[Any]]], where: Where, what: int | str) -> None:
    for side, spans in zip(found, where, strict=True):
        side += [[*span, what] for span in spans]


def _content(side: Answer, budget: Budget) -> Content:
    return content(decode_body(side.body, side.fields, budget)[0], side.fields)._replace(reader="json")


class _Lines:
    """On which lines each part of a document stands; ``total`` lines. Holds the document, for its parts are known by
    who they are."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._spans: dict[int, Span] = {}
        self._inside: dict[int, dict[Any, Span]] = {}
        self.total = self._read(document, 0)

    def _read(self, node: Any, first: int) -> int:
        """Take note of a node that begins on line ``first``; how many lines it has."""
        if type(node) not in (dict, list):
            return 1
        inside = self._inside[id(node)] = {}
        line = first + 1
        for key, child in node.items() if type(node) is dict else enumerate(node):
            lines = self._read(child, line)
            inside[key] = (line, lines)
            line += lines
        lines = line + 1 - first if node else 1
        self._spans[id(node)] = (first, lines)
        return lines

    def of(self, node: Any) -> list[Span]:
        """The lines of an object or list of the document; none if it is not its."""
        return [span for span in (self._spans.get(id(node)),) if span]

    def below(self, node: Any, key: Any) -> list[Span]:
        """The lines of a member or item; none if there is none of that name."""
        return [span for span in (self._inside.get(id(node), {}).get(key),) if span]


class _Locating(Walk):
    """A walk that takes down where it finds something. ``allowed``: what rules let pass, with a word for the rule."""

    def __init__(
        self, budget: Budget, clock: Callable[[], float], redactor: Redactor, lines: tuple[_Lines, _Lines]
    ) -> None:
        super().__init__(budget, clock, redactor)
        self.places: dict[tuple[Kind, str], list[Where]] = defaultdict(list)
        self.allowed: list[tuple[str, Where]] = []
        self.moved: dict[str, tuple[int, int]] = {}
        """Path of lists in another order -> the places of an item that moved, at legacy and at the candidate."""
        self.show = self._showing  # what a walk shows is what differs
        self._lines = lines
        self._frames: list[tuple[Any, Any, State]] = []
        self._key: str | None = None
        self._told: list[Any] = []
        self._items: dict[int, dict[Any, list[int]]] = {}
        self._taken: set[tuple[int, int]] = set()
        """Lists and places in them that are told already: equal scalars have one each."""
        self._told_times = 0

    def _showing(self, value: Any, *, secret: Secret = False) -> str:  # noqa: ARG002 - nothing is shown here
        self._told.append(value)
        return ""

    def below(self, path: str, key: str, *, as_map: bool = False, secret: Secret = False) -> str:
        """As a walk does; whatever is reported next is of this member."""
        self._key = key
        return super().below(path, key, as_map=as_map, secret=secret)

    def report(self, kind: Kind, path: str, legacy: Callable[[], str], candidate: Callable[[], str]) -> None:
        """As a walk does, with the place."""
        super().report(kind, path, legacy, candidate)
        if self.trials:
            return
        self._told_times += 1
        if self._told_times > MAX_PLACES:
            self.places[kind, path].append(([], []))
            return
        values: list[Any] = []
        for show in (legacy, candidate):
            self._told = []
            show()
            values.append(self._told)
        self.places[kind, path].append(self._where(kind, path, values[0], values[1]))

    def _where(self, kind: Kind, path: str, mine: list[Any], yours: list[Any]) -> Where:
        if kind == "size":
            one, two = (lines.of(frame) for lines, frame in zip(self._lines, self._frames[-1][:2], strict=True))
            return [(first, 1) for first, _ in one], [(first, 1) for first, _ in two]
        if kind == "order":
            return self._moved(path)
        same = self._same_item(mine, yours)
        return self._place(0, mine, same), self._place(1, yours, same)

    def _moved(self, path: str) -> Where:
        """The items of two lists that are not those at the same place of the other list; neighbours together."""
        a, b, state = self._frames[-1]
        places = [at for at, (x, y) in enumerate(zip(a, b, strict=False)) if self.differs(x, y, state.item(-1))]
        if path not in self.moved and len(a) == len(b):  # where one is longer, items are shifted that did not move
            tried = ((i, j) for i in places[:_TRIED] for j in places[:MAX_PLACES] if i != j)
            if moved := next((ij for ij in tried if not self.differs(a[ij[0]], b[ij[1]], state.item(-1))), None):
                self.moved[path] = moved
        found: Where = ([], [])
        for lines, items, spans in zip(self._lines, (a, b), found, strict=True):
            for at in places:
                for first, count in lines.below(items, at):
                    if spans and sum(spans[-1]) == first:
                        spans[-1] = (spans[-1][0], spans[-1][1] + count)
                    else:
                        spans.append((first, count))
        return found

    def _place(self, side: int, values: list[Any], same: int | None) -> list[Span]:
        if not values:
            return []
        lines, value = self._lines[side], values[0]
        if type(value) in (dict, list):
            return lines.of(value)
        if not self._frames:
            return [(0, 1)] if value is lines.document else []
        frame: Any = self._frames[-1][side]
        if type(frame) is dict:
            return lines.below(frame, self._key)
        at = same if same is not None else next(self._free(frame, value), None)
        if at is None:
            return []
        self._taken.add((id(frame), at))
        return lines.below(frame, at)

    def _same_item(self, mine: list[Any], yours: list[Any]) -> int | None:
        """The place of two scalars in two lists, if they stand at one place of both."""
        if not (mine and yours and self._frames and type(self._frames[-1][0]) is list):
            return None
        one, two, _ = self._frames[-1]
        x, y = mine[0], yours[0]
        if dict in (type(x), type(y)) or list in (type(x), type(y)):
            return None
        wanted = _named(y)
        return next((at for at in self._free(one, x) if at < len(two) and _named(two[at]) == wanted), None)

    def _free(self, items: list[Any], value: Any) -> Iterator[int]:
        """Where in a list a scalar stands, but for the places that are told already."""
        known = self._items.get(id(items))
        if known is None:
            known = self._items[id(items)] = defaultdict(list)
            for at, item in enumerate(items):
                if type(item) not in (dict, list):
                    known[_named(item)].append(at)
        return (at for at in known.get(_named(value), []) if (id(items), at) not in self._taken)

    def _node(self, a: Any, b: Any, state: State, path: str, *, secret: Secret) -> None:
        if self.trials:
            super()._node(a, b, state, path, secret=secret)
        elif state.ignore:
            self._allow("ignored", a, b)
        elif type(a) is type(b) and type(a) in (dict, list):
            self._frames.append((a, b, state))
            try:
                self._unseen(a, b, state)
                super()._node(a, b, state, path, secret=secret)
            finally:
                self._frames.pop()
        else:
            before = sum(map(len, self.places.values())) if state.matcher or state.tolerance else -1
            super()._node(a, b, state, path, secret=secret)
            if before == sum(map(len, self.places.values())) and not same_scalar(a, b):
                self._allow("match" if state.matcher is not None else "tolerated", a, b)

    def _unseen(self, a: Any, b: Any, state: State) -> None:
        """Take down what the walk passes over: members and items that are ignored, and those of mode ``subset``."""
        mine, yours = self._lines
        if type(a) is list:
            if state.unordered and a != b:
                self._allowed("unordered", (mine.of(a), yours.of(b)))
            if state.item(-1).ignore:
                for at in range(max(len(a), len(b))):
                    self._allowed("ignored", (mine.below(a, at), yours.below(b, at)))
            return
        if state.plain and state.mode == "exact":
            return
        for key in {**a, **b}:
            if state.member(key).ignore:
                self._allowed("ignored", (mine.below(a, key), yours.below(b, key)))
            elif state.mode == "subset" and key not in a:
                self._allowed("subset", ([], yours.below(b, key)))

    def _allow(self, word: str, a: Any, b: Any) -> None:
        same = self._same_item([a], [b])
        self._allowed(word, (self._place(0, [a], same), self._place(1, [b], same)))

    def _allowed(self, word: str, where: Where) -> None:
        if len(self.allowed) < MAX_PLACES:
            self.allowed.append((word, where))


def _named(value: Any) -> tuple[type, Any]:
    """A scalar with its type: 1, 1.0 and true are not the same."""
    return type(value), str(value.written) if isinstance(value, Number) else repr(value)
