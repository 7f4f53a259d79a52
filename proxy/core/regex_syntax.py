"""What a ``path_regex`` is made of, and how its text becomes a tree.

Law: the parser accepts the subset that ``proxy.core.regex`` describes and nothing else; a message says what is not
accepted and at which character.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_COUNT = 64
_MAX_DEPTH = 16

_OTHER = 128
"""One symbol stands for all characters outside ASCII: sets may then seem to overlap that do not, never the reverse."""
_ALL = (1 << (_OTHER + 1)) - 1
END = 1 << (_OTHER + 1)
"""The end of the path, as one more symbol."""
INFINITE = -1


def _mask(characters: str) -> int:
    mask = 0
    for character in characters:
        mask |= 1 << min(ord(character), _OTHER)
    return mask


_CLASSES = {
    "d": _mask("0123456789"),
    "w": _mask("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
    "s": _mask(" \t\n\r\f\v"),
}
_ANY = _ALL & ~_mask("\n")


class Chars(NamedTuple):
    mask: int
    literal: str = ""  # the character, if it is exactly one


class Sequence(NamedTuple):
    parts: tuple[Node, ...]


class Choice(NamedTuple):
    branches: tuple[Node, ...]


class Repeat(NamedTuple):
    body: Node
    least: int
    most: int  # INFINITE: no bound


Node = Chars | Sequence | Choice | Repeat


class Parser:
    """Recursive descent over the subset. ``|`` binds weakest, a quantifier strongest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, what: str) -> ValueError:
        return ValueError(f"{self.text!r}: {what} (at character {self.at + 1})")

    def parse(self) -> Node:
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

    def choice(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self.fail("groups are nested too deep")
        branches = [self.sequence(depth)]
        while self.take("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while (character := self.peek()) and character not in "|)":
            if character == "$" and self.at == len(self.text) - 1:
                self.at += 1
                break
            parts.append(self.quantified(self.atom(character, depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def atom(self, character: str, depth: int) -> Node:
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
            return Chars(self.character_class())
        if character == "\\":
            return self.escape()
        if character == ".":
            return Chars(_ANY)
        return Chars(_mask(character), character)

    def escape(self) -> Chars:
        character = self.peek()
        self.at += 1
        if character.lower() in _CLASSES and character:
            mask = _CLASSES[character.lower()]
            return Chars(mask if character.islower() else _ALL & ~mask)
        if not character or character.isalnum() or not character.isascii():
            self.at -= 1
            if character.isdigit():
                raise self.fail("back-references are not accepted")
            raise self.fail(f"'\\{character}' is not accepted; of the letters only \\d \\w \\s \\D \\W \\S are")
        return Chars(_mask(character), character)

    def character_class(self) -> int:
        negated = self.take("^")
        mask = 0
        empty = True
        while empty or self.peek() != "]":
            low = self.member()
            empty = False
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

    def member(self) -> Chars:
        character = self.peek()
        if not character:
            raise self.fail("'[' without ']'")
        if character == "[":
            raise self.fail("write a plain '[' in a class as \\[")
        if self.text[self.at : self.at + 2] in ("--", "&&", "||", "~~"):
            raise self.fail("set operations in [...] are not accepted")
        self.at += 1
        return self.escape() if character == "\\" else Chars(_mask(character), character)

    def quantified(self, body: Node) -> Node:
        counted = re.compile(r"\{(\d{1,4})(,?)(\d{0,4})\}").match(self.text, self.at)
        if counted:
            self.at = counted.end()
            least = int(counted[1])
            most = (int(counted[3]) if counted[3] else INFINITE) if counted[2] else least
            if max(least, most) > MAX_COUNT:
                raise self.fail(f"counts go up to {MAX_COUNT}; use * or + for more")
            if most not in (INFINITE, *range(least, MAX_COUNT + 1)):
                raise self.fail("the counts of {m,n} must not fall")
        elif (character := self.peek()) and character in "*+?":
            self.at += 1
            least, most = {"*": (0, INFINITE), "+": (1, INFINITE), "?": (0, 1)}[character]
        else:
            return body
        if self.peek() and self.peek() in "*+?{":
            raise self.fail("a quantifier on a quantifier (lazy, possessive or nested) is not accepted")
        return Repeat(body, least, most)


def nullable(node: Node) -> bool:
    match node:
        case Chars():
            return False
        case Sequence(parts):
            return all(nullable(part) for part in parts)
        case Choice(branches):
            return any(nullable(branch) for branch in branches)
        case Repeat(body, least, most):
            return least == 0 or most == 0 or nullable(body)


def first(node: Node) -> int:
    """The characters that a text of this node can begin with."""
    match node:
        case Chars(mask):
            return mask
        case Sequence(parts):
            mask = 0
            for part in parts:
                mask |= first(part)
                if not nullable(part):
                    break
            return mask
        case Choice(branches):
            mask = 0
            for branch in branches:
                mask |= first(branch)
            return mask
        case Repeat(body):
            return first(body)


def positions(node: Node) -> int:
    match node:
        case Chars():
            return 1
        case Sequence(parts) | Choice(parts):
            return sum(positions(part) for part in parts)
        case Repeat(body, least, most):
            return positions(body) * max(1, least, most)


def literal_prefix(node: Node) -> str:
    """The text that everything that fits begins with."""
    if isinstance(node, Chars):
        return node.literal
    prefix = ""
    if isinstance(node, Sequence):
        for part in node.parts:
            if not (isinstance(part, Chars) and part.literal):
                break
            prefix += part.literal
    return prefix
