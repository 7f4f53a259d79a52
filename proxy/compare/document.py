"""JSON documents with every digit, and their canonical bytes.

Law: two documents have the same canonical bytes if and only if they say the same. 1, 1.0, true and "1" say different
things, 1.10 and 1.1 the same; the order of an object's members says nothing; no number loses a digit; an object that
says two things about one key says nothing that could be compared.

orjson is quick, but turns long numbers into doubles and keeps the last of two equal keys. A body in which that could
matter goes the guarded way.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from proxy.compare.result import Budget, Incomparable

BOM = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8."""

# Searching bytes for bytes is many times quicker than an expression, and every body of every pair is looked at.
_FOLDED = bytes.maketrans(b"123456789.E+", b"0000000000e-")
_MANY_DIGITS = b"0" * 17
"""A double or 64 bits may not keep so many."""
_EXPONENTS = (b"0e000", b"0e-000", b"0" * 16 + b"e")
"""May over- or underflow; or there is no point among 16 digits, of which a double does not keep all."""

_MINUS_ZERO = re.compile(rb"-0(?![.0-9eE])")

_KEY = re.compile(rb'"\s*:')
_GAPS = (b'" ', b'"\n', b'"\t', b'"\r')
"""Without one of them a key has its colon at once."""
_HIDDEN_KEY = re.compile(rb"\\u00(?:2[02]|3[aA])")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
# (a string that never ends is one up to the end: otherwise each quote in it would be tried as a beginning)
_BRACKETS = re.compile(rb"[\[\]{}]")
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


class Number:
    """A number of the guarded way.

    ``text`` is canonical, ``whole`` says that it was written as an integer, ``written`` is how it stood in the body.
    """

    __slots__ = ("text", "whole", "written")

    def __init__(self, text: str, *, whole: bool, written: str = "") -> None:
        self.text = text
        self.whole = whole
        self.written = written or text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.text == other.text and self.whole == other.whole

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.written


class NotJsonError(ValueError):
    """The body is not JSON (RFC 8259), or holds half a surrogate pair, which no two readers treat alike."""


class DuplicateKeyError(Exception):
    """An object has a key twice."""


def is_risky(body: bytes) -> bool:
    """Whether the body needs the guarded way."""
    folded = body.translate(_FOLDED)
    # Two bytes are found from the end in a third of the time that ``in`` takes, and one byte in next to none.
    if _MANY_DIGITS in folded or (folded.rfind(b"0e") >= 0 and any(risk in folded for risk in _EXPONENTS)):
        return True
    return b"-" in body and body.rfind(b"-0") >= 0 and _MINUS_ZERO.search(body) is not None  # minus zero as an integer


def parse_json(body: bytes, budget: Budget, *, guarded: bool) -> Any:
    """Parse a body (UTF-8). Guarded documents hold ``Number`` wherever a number stands.

    Raises NotJsonError, DuplicateKeyError (guarded only) and Incomparable ("too-deep", "too-many-nodes").
    """
    body = body.removeprefix(BOM)
    # A node takes a byte at least, so that most bodies need not be counted.
    if len(body) > budget.nodes and body.count(b",") + body.count(b"[") + body.count(b"{") > budget.nodes:
        bare = _STRING.sub(b"", body)
        if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > budget.nodes:
            raise Incomparable("too-many-nodes")
    if not guarded:
        try:
            return orjson.loads(body)  # has a depth limit of its own
        except orjson.JSONDecodeError:
            pass  # it also refuses numbers that are only too large for it, and does not say so
    if body.count(b"[") + body.count(b"{") > budget.depth and _deeper(body, budget.depth):
        raise Incomparable("too-deep")
    return _parse_guarded(body)


def _deeper(body: bytes, limit: int) -> bool:
    """Whether the brackets outside strings nest deeper than ``limit``; also of what is not JSON. Linear."""
    depth = 0
    for bracket in _BRACKETS.finditer(_STRING.sub(b"", body)):
        if bracket[0] in b"[{":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False


def _parse_guarded(body: bytes) -> Any:
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_constant,
            object_pairs_hook=_members,
        )
        canonical(value)  # refuses half surrogate pairs
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJsonError(str(error)) from None
    return value


def _whole(text: str) -> Number:
    return Number(text, whole=True)


def _fraction(text: str) -> Number:
    """The canonical text of a number with a fraction or exponent: sign, digits without outer zeros, exponent."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(match[4] or "") > 18:
        return Number(text, whole=False)
    sign, before, after, exponent = match.groups(default="")
    digits = before + after
    power = int(exponent or 0) - len(after)
    stripped = digits.rstrip("0")
    power += len(digits) - len(stripped)
    stripped = stripped.lstrip("0")
    return Number(f"{sign}{stripped}e{power}" if stripped else f"{sign}0e0", whole=False, written=text)


def canonical_number(value: object) -> str:
    """The canonical text of a parsed number, whichever way it was parsed."""
    if isinstance(value, float):
        value = _fraction(repr(value))
    return value.text if isinstance(value, Number) else str(value)


def _constant(text: str) -> NoReturn:
    raise NotJsonError(f"{text} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise DuplicateKeyError
    return members


def _raw_number(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text.encode())
    raise TypeError(type(value).__name__)


def canonical(value: Any) -> bytes:
    """The canonical bytes of a parsed document. Two documents are only comparable if both were parsed the same way."""
    try:
        return orjson.dumps(value, default=_raw_number, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise TypeError(str(error)) from None


def _keys(body: bytes) -> int:
    """How many keys a body has, at most; also what only looks like one, within a string, which two spellings of one
    document share."""
    if any(gap in body for gap in _GAPS):
        return len(_KEY.findall(body))
    return body.count(b'":')


def has_duplicate_keys(body: bytes, value: Any, budget: Budget) -> bool:
    """Whether an object in ``body``, of which ``value`` was parsed, has a key twice. Raises Incomparable
    ("too-deep")."""
    try:
        if _HIDDEN_KEY.search(body) is None and _keys(body) == _keys(canonical(value)):
            return False
    except TypeError:
        raise Incomparable("too-deep") from None
    try:
        parse_json(body, budget, guarded=True)
    except DuplicateKeyError:
        return True
    return False


def parse_pair(legacy: bytes, candidate: bytes, budget: Budget) -> tuple[Any, Any]:
    """Parse both bodies the same way. NotJsonError carries in ``args[1]`` which side is not JSON ("legacy",
    "candidate" or "both"); Incomparable as from ``parse_json``, also for duplicate keys."""
    guarded = is_risky(legacy) or is_risky(candidate)
    sides: list[Any] = []
    faulty: list[str] = []
    for name, body in (("legacy", legacy), ("candidate", candidate)):
        try:
            sides.append(parse_json(body, budget, guarded=guarded))
        except NotJsonError:
            faulty.append(name)
        except DuplicateKeyError:
            raise Incomparable("duplicate-keys") from None
    if faulty:
        raise NotJsonError("not JSON", "both" if len(faulty) == 2 else faulty[0])
    return sides[0], sides[1]
