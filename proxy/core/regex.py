"""The regular expressions of ``path_regex``: a subset that cannot be made slow.

Law: what is accepted here is matched in at most quadratic time of a bounded path, so a client cannot buy more than
about a millisecond with one. What is not surely so is refused at load, with a cure.

The subset is RE2's, narrower: literals, ``.``, classes ``[a-z]`` and ``[^/]``, ``\\d \\w \\s`` and their negations,
groups, ``|``, ``* + ? {m,n}``. The whole path must fit, so ``^`` and ``$`` may stand at the ends and mean nothing.
No back-references, look-around, lazy or possessive quantifiers, flags; at most 256 characters, counts up to 64.

Why it is safe: a *choice* (a quantifier or a ``|``) is open when the next character does not decide it. Python's engine
goes back only to open choices. Under a repetition they multiply without bound, as in ``(a+)+``, ``(a|a)*``,
``(.*)*``: refused. Outside of repetitions at most one unbounded and three bounded ones are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LENGTH = 256
MAX_COUNT = 64
MAX_POSITIONS = 2048
"""Characters of the pattern after its counted repetitions are written out."""
_MAX_BOUNDED_CHOICES = 3

_OTHER = 128
"""One symbol stands for all characters outside ASCII: sets may then seem to overlap that do not, never the reverse."""
_ALL = (1 << (_OTHER + 1)) - 1
_INFINITE = -1


def _set(characters: str) -> int:
    mask = 0
    for character in characters:
        mask |= 1 << min(ord(character), _OTHER)
    return mask


_CLASSES = {
    "d": _set("0123456789"),
    "w": _set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
    "s": _set(" \t\n\r\f\v"),
}
_ANY = _ALL & ~_set("\n")


class _Chars(NamedTuple):
    mask: int
    literal: str = ""  # the character, if it is exactly one


class _Sequence(NamedTuple):
    parts: tuple[_Node, ...]


class _Choice(NamedTuple):
    branches: tuple[_Node, ...]


class _Repeat(NamedTuple):
    body: _Node
    least: int
    most: int  # _INFINITE: no bound


_Node = _Chars | _Sequence | _Choice | _Repeat


class PathRegex:
    """One accepted expression. Raises ValueError with a message for people if it is not of the subset."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are accepted")
        self._tree = _Parser(text).parse()
        if _positions(self._tree) > MAX_POSITIONS:
            raise ValueError(f"{text!r}: the counted repetitions are too large together; use * or +")
        _Choices(text).check(self._tree)
        try:
            self._fullmatch = re.compile(text, re.ASCII).fullmatch
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{text!r} is not a regular expression: {error}") from None
        self._prefix = prefix = _literal_prefix(self._tree)
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


class _Parser:
    """Recursive descent over the subset. ``|`` binds weakest, a quantifier strongest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, what: str) -> ValueError:
        return ValueError(f"{self.text!r}: {what} (at character {self.at + 1})")

    def parse(self) -> _Node:
        self.take("^")
        tree = self.choice(depth=0)
        if self.at < len(self.text):
            raise self.fail("')' without '('")
        return tree

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> bool:
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def choice(self, depth: int) -> _Node:
        if depth > 16:
            raise self.fail("groups are nested too deep")
        branches = [self.sequence(depth)]
        while self.take("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while (character := self.peek()) and character not in "|)":
            if character == "$" and self.at == len(self.text) - 1:
                self.at += 1
                break
            parts.append(self.quantified(self.atom(character, depth)))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def atom(self, character: str, depth: int) -> _Node:
        if character in "*+?{":
            raise self.fail(f"{character!r} has nothing to repeat" if character != "{" else "write a plain '{' as \\{")
        if character in "^$":
            raise self.fail(f"{character!r} may stand only at the ends; the whole path must fit anyway")
        self.at += 1
        if character == "(":
            if self.take("?") and not self.take(":"):
                raise self.fail("of the (?…) forms only (?:…) is accepted: no look-around, names or flags")
            tree = self.choice(depth + 1)
            if not self.take(")"):
                raise self.fail("'(' without ')'")
            return tree
        if character == "[":
            return _Chars(self.character_class())
        if character == "\\":
            return self.escape()
        if character == ".":
            return _Chars(_ANY)
        return _Chars(_set(character), character)

    def escape(self) -> _Chars:
        character = self.peek()
        self.at += 1
        if character.lower() in _CLASSES and character:
            mask = _CLASSES[character.lower()]
            return _Chars(mask if character.islower() else _ALL & ~mask)
        if not character or character.isalnum() or not character.isascii():
            self.at -= 1
            if character.isdigit():
                raise self.fail("back-references are not accepted")
            raise self.fail(f"'\\{character}' is not accepted; of the letters only \\d \\w \\s \\D \\W \\S are")
        return _Chars(_set(character), character)

    def character_class(self) -> int:
        negated = self.take("^")
        mask = 0
        first = True
        while first or self.peek() != "]":
            low = self.member()
            first = False
            if low.literal and self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.member()
                if not high.literal or high.literal < low.literal:
                    raise self.fail("a range in [...] must go upwards, from one character to another")
                for code in range(min(ord(low.literal), _OTHER), min(ord(high.literal), _OTHER) + 1):
                    mask |= 1 << code
            else:
                mask |= low.mask
        self.at += 1
        # A negated set keeps the symbol for all non-ASCII characters: it names a few of them at most.
        return (_ALL & ~mask) | (1 << _OTHER) if negated else mask

    def member(self) -> _Chars:
        character = self.peek()
        if not character:
            raise self.fail("'[' without ']'")
        if character == "[":
            raise self.fail("write a plain '[' in a class as \\[")
        if self.text[self.at : self.at + 2] in ("--", "&&", "||", "~~"):
            raise self.fail("set operations in [...] are not accepted")
        self.at += 1
        return self.escape() if character == "\\" else _Chars(_set(character), character)

    def quantified(self, body: _Node) -> _Node:
        counted = re.compile(r"\{(\d{1,4})(,?)(\d{0,4})\}").match(self.text, self.at)
        if counted:
            self.at = counted.end()
            least = int(counted[1])
            most = (int(counted[3]) if counted[3] else _INFINITE) if counted[2] else least
            if max(least, most) > MAX_COUNT:
                raise self.fail(f"counts go up to {MAX_COUNT}; use * or + for more")
            if most not in (_INFINITE, *range(least, MAX_COUNT + 1)):
                raise self.fail("the counts of {m,n} must not fall")
        elif (character := self.peek()) and character in "*+?":
            self.at += 1
            least, most = {"*": (0, _INFINITE), "+": (1, _INFINITE), "?": (0, 1)}[character]
        else:
            return body
        if self.peek() and self.peek() in "*+?{":
            raise self.fail("a quantifier on a quantifier (lazy, possessive or nested) is not accepted")
        return _Repeat(body, least, most)


def _nullable(node: _Node) -> bool:
    match node:
        case _Chars():
            return False
        case _Sequence(parts):
            return all(_nullable(part) for part in parts)
        case _Choice(branches):
            return any(_nullable(branch) for branch in branches)
        case _Repeat(body, least, most):
            return least == 0 or most == 0 or _nullable(body)


def _first(node: _Node) -> int:
    """The characters that a text of this node can begin with."""
    match node:
        case _Chars(mask):
            return mask
        case _Sequence(parts):
            mask = 0
            for part in parts:
                mask |= _first(part)
                if not _nullable(part):
                    break
            return mask
        case _Choice(branches):
            mask = 0
            for branch in branches:
                mask |= _first(branch)
            return mask
        case _Repeat(body):
            return _first(body)


def _positions(node: _Node) -> int:
    match node:
        case _Chars():
            return 1
        case _Sequence(parts) | _Choice(parts):
            return sum(_positions(part) for part in parts)
        case _Repeat(body, least, most):
            return _positions(body) * max(1, least, most)


class _Choices:
    """Counts the open choices of a tree and refuses what could multiply."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bounded = 0
        self.unbounded = 0

    def check(self, tree: _Node) -> None:
        self.walk(tree, follow=0, repeated=False)
        if self.unbounded > 1:
            raise ValueError(
                f"{self.text!r} could take too long: two repetitions do not know where to end; "
                "let what follows each begin with a character that it cannot take, like [^/]*/"
            )
        if self.bounded > _MAX_BOUNDED_CHOICES:
            raise ValueError(
                f"{self.text!r} could take too long: more than {_MAX_BOUNDED_CHOICES} optional parts or alternatives "
                "begin alike; bring together what they begin with, like a(b|c)"
            )

    def walk(self, node: _Node, follow: int, *, repeated: bool) -> None:
        """``follow``: what the next character after the node can be. ``repeated``: it stands under a repetition."""
        match node:
            case _Sequence(parts):
                for part in reversed(parts):
                    self.walk(part, follow, repeated=repeated)
                    follow = _first(part) | (follow if _nullable(part) else 0)
            case _Choice(branches):
                seen = 0
                for branch in branches:
                    begins = _first(branch) | (follow if _nullable(branch) else 0)
                    if seen & begins or (_nullable(branch) and branch is not branches[-1] and not begins):
                        self.open(repeated=repeated, unbounded=False)
                    seen |= begins
                    self.walk(branch, follow, repeated=repeated)
            case _Repeat(body, least, most):
                if most not in (0, 1) and _nullable(body):
                    raise ValueError(f"{self.text!r} could take for ever: it repeats something that may be empty")
                if least != most and _first(body) & (follow | (_first(body) if _nullable(body) else 0)):
                    self.open(repeated=repeated, unbounded=most == _INFINITE or most > 1)
                again = most not in (0, 1)
                self.walk(body, follow | (_first(body) if again else 0), repeated=repeated or again)
            case _Chars():
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


def _literal_prefix(node: _Node) -> str:
    """The text that everything that fits begins with."""
    if isinstance(node, _Chars):
        return node.literal
    prefix = ""
    if isinstance(node, _Sequence):
        for part in node.parts:
            if not (isinstance(part, _Chars) and part.literal):
                break
            prefix += part.literal
    return prefix


# An expression as a machine: state -> (mask, next state) moves and silent moves. The last state accepts.
_Machine = tuple[list[list[tuple[int, int]]], list[list[int]]]


def _program(tree: _Node) -> _Machine:
    moves: list[list[tuple[int, int]]] = [[]]
    silent: list[list[int]] = [[]]

    def state() -> int:
        moves.append([])
        silent.append([])
        return len(moves) - 1

    def add(node: _Node, start: int) -> int:
        match node:
            case _Chars(mask):
                end = state()
                moves[start].append((mask, end))
            case _Sequence(parts):
                end = start
                for part in parts:
                    end = add(part, end)
            case _Choice(branches):
                ends = [add(branch, start_of(start)) for branch in branches]
                end = state()
                for branch_end in ends:
                    silent[branch_end].append(end)
            case _Repeat(body, least, most):
                end = start
                for _ in range(least):
                    end = add(body, end)
                if most == _INFINITE:
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
