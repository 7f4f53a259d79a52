"""The regular expressions of ``path_regex``: a subset that cannot be made slow.

Law: what is accepted here is matched in at most quadratic time of a bounded path, so a client cannot buy more than a
few milliseconds with one. What is not surely so is refused at load, with a cure.

The subset is RE2's, narrower: literals, ``.``, classes ``[a-z]`` and ``[^/]``, ``\\d \\w \\s`` and their negations,
groups, ``|``, ``* + ? {m,n}``. The whole path must fit, so ``^`` and ``$`` may stand at the ends and mean nothing.
No back-references, look-around, lazy or possessive quantifiers, flags; at most 256 characters, counts up to 64.

Why it is safe: a *choice* (a quantifier or a ``|``) is open when the next character does not decide it. Python's engine
goes back only to open choices. Under a repetition they multiply without bound, as in ``(a+)+``, ``(a|a)*``,
``(.*)*``: refused. Outside of repetitions one unbounded and one bounded choice, or three bounded ones, are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.core.regex_syntax import (
    END,
    INFINITE,
    Chars,
    Choice,
    Node,
    Parser,
    Repeat,
    Sequence,
    first,
    literal_prefix,
    nullable,
    positions,
)

MAX_LENGTH = 256
MAX_POSITIONS = 2048
"""Characters of the pattern after its counted repetitions are written out."""
_MAX_BOUNDED_CHOICES = 3  # each may double the work


class PathRegex:
    """One accepted expression. Raises ValueError with a message for people if it is not of the subset."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are accepted")
        self._tree = Parser(text).parse()
        if positions(self._tree) > MAX_POSITIONS:
            raise ValueError(f"{text!r}: the counted repetitions are too large together; use * or +")
        _Choices(text).check(self._tree)
        try:
            self._fullmatch = re.compile(text, re.ASCII).fullmatch
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{text!r} is not a regular expression: {error}") from None
        self._prefix = prefix = literal_prefix(self._tree)
        self._machine: _Machine | None = None
        self.literal_segments: tuple[bytes, ...] = tuple(
            segment.encode() for segment in prefix[: prefix.rfind("/")].split("/")[1:] if prefix.startswith("/")
        )
        """The whole segments that every path that fits begins with, with more to follow."""

    def fits(self, path: bytes) -> bool:
        """Whether the whole (decoded) path fits. Only ``.`` and negated classes take bytes that are not UTF-8."""
        return self._fullmatch(path.decode("utf-8", "surrogateescape")) is not None

    def overlaps(self, other: PathRegex) -> bool:
        """Whether some path fits both: a search through the product of the two machines."""
        shorter = min(len(self._prefix), len(other._prefix))
        return self._prefix[:shorter] == other._prefix[:shorter] and _meet(self._program(), other._program())

    def _program(self) -> _Machine:
        if self._machine is None:
            self._machine = _program(self._tree)
        return self._machine


class _Choices:
    """Counts the open choices of a tree and refuses what could multiply."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bounded = 0
        self.unbounded = 0

    def check(self, tree: Node) -> None:
        self.walk(tree, follow=END, repeated=False)
        if self.unbounded > 1:
            raise ValueError(
                f"{self.text!r} could take too long: two repetitions do not know where to end; "
                "let what follows each begin with a character that it cannot take, like [^/]*/"
            )
        most = 1 if self.unbounded else _MAX_BOUNDED_CHOICES
        if self.bounded > most:
            raise ValueError(
                f"{self.text!r} could take too long: more than {most} of its optional parts or alternatives begin "
                "alike; bring together what they begin with, like a(b|c)"
            )

    def walk(self, node: Node, follow: int, *, repeated: bool) -> None:
        """``follow``: what the next character after the node can be. ``repeated``: it stands under a repetition."""
        match node:
            case Sequence(parts):
                for part in reversed(parts):
                    self.walk(part, follow, repeated=repeated)
                    follow = first(part) | (follow if nullable(part) else 0)
            case Choice(branches):
                seen = 0
                for branch in branches:
                    begins = first(branch) | (follow if nullable(branch) else 0)
                    if seen & begins:
                        self.open(repeated=repeated, unbounded=False)
                    seen |= begins
                    self.walk(branch, follow, repeated=repeated)
            case Repeat(body, least, most):
                if most not in (0, 1) and nullable(body):
                    raise ValueError(f"{self.text!r} could take for ever: it repeats something that may be empty")
                if least != most and (first(body) & follow or nullable(body)):
                    self.open(repeated=repeated, unbounded=most == INFINITE or most > 1)
                again = most not in (0, 1)
                self.walk(body, follow | (first(body) if again else 0), repeated=repeated or again)
            case Chars():
                pass

    def open(self, *, repeated: bool, unbounded: bool) -> None:
        if repeated:
            raise ValueError(
                f"{self.text!r} could take for ever: inside a repetition the next character does not decide how to "
                "go on; write it without nested repetitions or alternatives that begin alike"
            )
        if unbounded:
            self.unbounded += 1
        else:
            self.bounded += 1


# An expression as a machine: state -> (mask, next state) moves and silent moves. The last state accepts.
_Machine = tuple[list[list[tuple[int, int]]], list[list[int]]]


def _program(tree: Node) -> _Machine:
    moves: list[list[tuple[int, int]]] = [[]]
    silent: list[list[int]] = [[]]

    def state() -> int:
        moves.append([])
        silent.append([])
        return len(moves) - 1

    def add(node: Node, start: int) -> int:
        match node:
            case Chars(mask):
                end = state()
                moves[start].append((mask, end))
            case Sequence(parts):
                end = start
                for part in parts:
                    end = add(part, end)
            case Choice(branches):
                ends = [add(branch, start_of(start)) for branch in branches]
                end = state()
                for branch_end in ends:
                    silent[branch_end].append(end)
            case Repeat(body, least, most):
                end = start
                for _ in range(least):
                    end = add(body, end)
                if most == INFINITE:
                    loop = start_of(end)
                    silent[add(body, loop)].append(loop)
                    end = start_of(loop)
                else:
                    stops = [end]
                    for _ in range(most - least):
                        end = add(body, start_of(end))
                        stops.append(end)
                    end = state()
                    for stop in stops:
                        silent[stop].append(end)
        return end

    def start_of(before: int) -> int:
        after = state()
        silent[before].append(after)
        return after

    last = add(tree, 0)
    silent[last].append(state())
    return moves, silent


_MAX_PAIRS = 200_000
"""Pairs of states looked at before two expressions are taken to overlap; only absurd ones get there."""


def _meet(left: _Machine, right: _Machine) -> bool:
    goal = (len(left[0]) - 1, len(right[0]) - 1)
    seen = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        here = waiting.pop()
        if here == goal or len(seen) > _MAX_PAIRS:
            return True
        fresh = set(_steps(left, right, here)) - seen
        seen |= fresh
        waiting.extend(fresh)
    return False


def _steps(left: _Machine, right: _Machine, here: tuple[int, int]) -> Iterator[tuple[int, int]]:
    one, two = here
    for end in left[1][one]:
        yield end, two
    for end in right[1][two]:
        yield one, end
    for mask, end in left[0][one]:
        for other, other_end in right[0][two]:
            if mask & other:
                yield end, other_end
