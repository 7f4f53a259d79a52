"""Typed matchers: what two values have to look like instead of being equal.

Law: ``compare`` says ``equal`` only of equal values, or of two that both fit the matcher and are written alike. That a
random value changed is nothing; that its format changed is a difference, and chance does not make one: where only some
values of a format could tell, the others fit both. What programs write where they have no value fits no matcher.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from proxy.compare.document import Number
from proxy.compare.timestamps import read_instant
from proxy.config.comparing import MatcherName, TypedMatcher

Outcome = Literal["equal", "format", "value"]
Kind = Literal["timestamp", "uuid", "number", "url-without-host", "opaque", "regex"]

_CHANGED_DIGITS = 3  # from milliseconds to microseconds, and on to nanoseconds
MAX_REGEX_INPUT = 1024
"""Characters of a value that an expression is tried on; longer ones do not fit. Accepted expressions take quadratic
time at most, so this is what makes them quick."""


@dataclass(frozen=True)
class Matcher:
    """One matcher. ``skew`` and ``passed`` (seconds) are of timestamps, ``pattern`` of ``regex``. ``passed``: legacy's
    answer is so much older than the other one, so that a time of answering has moved on by that much."""

    kind: Kind
    skew: Decimal | None = None
    pattern: re.Pattern[str] | None = None
    passed: Decimal = Decimal(0)


OPAQUE = Matcher("opaque")
"""Tokens that are random on purpose: nonces, CSRF tokens."""


def compile_matcher(written: MatcherName | TypedMatcher) -> Matcher:
    """The matcher that a rule names. Raises ValueError for an expression that is none; that it is of the subset that
    cannot be made slow, is for the configuration's lint to see to."""
    if isinstance(written, str):
        return Matcher(written)
    if written.regex is not None:
        try:
            return Matcher("regex", pattern=re.compile(written.regex, re.ASCII))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{written.regex!r} is not a regular expression: {error}") from None
    return Matcher("timestamp", skew=Decimal(str(written.timestamp)))


class Reading(NamedTuple):
    """What a matcher reads in a value that fits. Values with different ``format`` are never written alike; ``detail``
    is what two of one format are further compared by; ``rank`` puts values in an order."""

    format: tuple[object, ...]
    detail: Any = None
    rank: float = 0.0


def read(matcher: Matcher, value: Any) -> Reading | None:
    """What the matcher sees in a JSON value; None if it does not fit."""
    if value is None or type(value) in (bool, dict, list):
        return None
    if matcher.kind == "regex":
        return _regex(matcher, value)
    return _READERS[matcher.kind](value)


def compare(matcher: Matcher, a: Any, b: Any) -> Outcome:
    """Compare legacy's scalar ``a`` with the candidate's ``b``.

    ``equal``: they are, or both fit and differ as they may. ``format``: only one fits, or they are written in different
    ways. ``value``: written alike, but further apart than allowed; or neither fits, and they are unequal.
    """
    if type(a) is type(b) and a == b:
        return "equal"
    one, two = read(matcher, a), read(matcher, b)
    if one is None and two is None:
        return "value"
    if one is None or two is None or one.format != two.format:
        return "format"
    match matcher.kind:
        case "timestamp":
            if not _alike_fractions(one.detail.fraction, two.detail.fraction):
                return "format"
            return "equal" if _close(matcher, two.detail.seconds - one.detail.seconds) else "value"
        case "uuid":
            return "equal" if "" in (one.detail, two.detail) or one.detail == two.detail else "format"
        case "number":
            return "equal" if _alike_decimals(one.detail, two.detail) else "format"
        case "url-without-host":
            return "equal" if one.detail == two.detail else "value"
        case "opaque":
            return "equal" if _alike_tokens(one.detail, two.detail) else "format"
        case "regex":
            return "equal"


def _close(matcher: Matcher, apart: Decimal) -> bool:
    if matcher.skew is None:
        return True
    return abs(apart) <= matcher.skew or abs(apart - matcher.passed) <= matcher.skew


def sketch(matcher: Matcher, value: Any) -> tuple[list[object], float] | None:
    """What all values share that the matcher calls equal to this one, as JSON, and where it stands among them; None if
    it does not fit. Values that share it may still differ."""
    found = read(matcher, value)
    if found is None:
        return None
    shared = [matcher.kind, *found.format]
    return (shared if matcher.kind != "url-without-host" else [*shared, found.detail]), found.rank


def _regex(matcher: Matcher, value: Any) -> Reading | None:
    text = value if isinstance(value, str) else str(value)
    if matcher.pattern is None or len(text) > MAX_REGEX_INPUT or matcher.pattern.fullmatch(text) is None:
        return None
    return Reading((isinstance(value, str),))


_NO_TIMES = frozenset({Decimal(0), Decimal(-62_135_596_800)})
"""The beginnings of 1970 and of the year 1, in seconds since 1970: what a time is that nobody has set."""


def _timestamp(value: Any) -> Reading | None:
    instant = read_instant(value)
    if instant is None or instant.seconds in _NO_TIMES:
        return None
    return Reading(instant.spelling, instant, float(instant.seconds))


_UUID = re.compile(
    r"(?i)(urn:uuid:|\{)?([0-9a-f]{8})(-?)([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{12})(\})?", re.ASCII
)


def _uuid(value: Any) -> Reading | None:
    """RFC 9562 section 4, also without dashes, in braces and as a URN. ``detail``: the case, "" without letters."""
    match = _UUID.fullmatch(value) if isinstance(value, str) and len(value) <= 45 else None
    if match is None or (match[1] == "{") != (match[8] is not None):
        return None
    digits = "".join(match.group(2, 4, 5, 6, 7))
    spellings = {"lower": digits.lower(), "upper": digits.upper()}
    case = next((name for name, text in spellings.items() if text == digits), "mixed")
    if spellings["lower"] == spellings["upper"]:
        case = ""
    is_nil = not digits.strip("0")  # stands for none (RFC 9562 section 5.9)
    return Reading((match[1], match[3], is_nil), case)


_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.(\d+))?(?:[eE][+-]?\d+)?", re.ASCII)


def _number(value: Any) -> Reading | None:
    """A number, or a text that is one as JSON writes them. ``detail``: the digits of its fraction; of a number only
    whether it has one, and whether that is a mere zero, for 10.50 and 10.5 are one to JSON."""
    is_text = isinstance(value, str)
    text = str(value)
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_REGEX_INPUT else None
    if match is None:
        return None
    fraction = match[1] or ""
    if not is_text:
        whole = value.whole if isinstance(value, Number) else isinstance(value, int)
        fraction = "" if whole else "1" if fraction.strip("0") else "0"
    return Reading((is_text,), fraction, _rank(text))


def _alike_decimals(a: str, b: str) -> bool:
    """Whether one writer may have written both fractions. Who writes a zero at the end writes a fixed number of digits;
    who does not, may have dropped any."""
    return len(a) == len(b) or not (a.endswith("0") or b.endswith("0"))


def _alike_fractions(a: str, b: str) -> bool:
    """The same of times, whose digits are of chance: three zeros at the end are dropped once in a thousand times, so
    that milliseconds and microseconds are two formats."""
    return _alike_decimals(a, b) and abs(len(a) - len(b)) < _CHANGED_DIGITS


def _rank(text: str) -> float:
    try:
        return float(text)
    except (ValueError, OverflowError):
        return 0.0


_URL = re.compile(r"([a-z][a-z0-9+.-]*):(//[^/?#\s]*)([^\s]*)", re.IGNORECASE)


def _url(value: Any) -> Reading | None:
    """An absolute URL, one without a scheme (``//host/path``) or an absolute path (RFC 3986 section 4). ``detail``:
    what follows the host."""
    if not isinstance(value, str):
        return None
    if match := _URL.fullmatch(value):
        rest = match[3]
        return Reading((match[1].lower(),), rest if rest.startswith("/") else f"/{rest}")
    if not value.startswith("/") or any(c.isspace() for c in value):
        return None
    if value.startswith("//"):
        rest = value[2:]
        cut = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
        return Reading(("//",), rest[cut:] if rest[cut:].startswith("/") else f"/{rest[cut:]}")
    return Reading(("/",), value)


class _Token(NamedTuple):
    length: int  # without padding
    symbols: frozenset[str]  # names of the groups below that its characters are of
    padding: Literal["padded", "bare", ""]  # "": its length needs none


_GROUPS = {
    "digit": "0123456789",
    "a-f": "abcdef", "g-z": "ghijklmnopqrstuvwxyz",
    "A-F": "ABCDEF", "G-Z": "GHIJKLMNOPQRSTUVWXYZ",
    "+/": "+/", "-_": "-_", ".~": ".~",
}  # fmt: skip
_GROUP_OF = {ord(character): name for name, characters in _GROUPS.items() for character in characters}
_ALPHABETS = tuple(
    (frozenset(groups), sum(len(_GROUPS[group]) for group in groups))
    for groups in (
        ("digit",), ("digit", "a-f"), ("digit", "A-F"), ("digit", "a-f", "g-z"), ("digit", "A-F", "G-Z"),
        ("digit", "a-f", "g-z", "A-F", "G-Z"), ("digit", "a-f", "g-z", "A-F", "G-Z", "+/"),
        ("digit", "a-f", "g-z", "A-F", "G-Z", "-_"), ("digit", "a-f", "g-z", "A-F", "G-Z", "-_", ".~"),
    )
)  # fmt: skip
"""The alphabets that tokens are written in, the smallest first, with their sizes: base 10, 16, 36, 62, 64 and what RFC
3986 calls unreserved."""
_PRINTABLE = 94
_CHANCE = 1e-9
"""Two tokens of one alphabet look as different as these do by chance so rarely that it was not chance."""
_MAX_TOKEN = 4096  # characters looked at
_MAX_COUNTER = 20  # digits: numbers that count on grow longer, up to 64 bits
_MAX_FIXED = (
    64  # characters: shorter tokens have one length but for zeros that are not written; longer ones hold things
)


_NO_TOKENS = frozenset({"null", "none", "undefined", "false", "[object object]"})
_ZEROS = 10  # from so many on they are no token, but stand for none (W3C Trace Context, section 3.2.2.3, for one)


def _opaque(value: Any) -> Reading | None:
    """Any text but an empty one and those that stand for none, or a number."""
    text = value if isinstance(value, str) else str(value)
    if not text or text.lower() in _NO_TOKENS or (len(text) >= _ZEROS and not text.strip("0-")):
        return None
    bare = text.rstrip("=") or text
    padding: Literal["padded", "bare", ""] = "padded" if len(bare) < len(text) else "bare" if len(bare) % 4 else ""
    symbols = frozenset(_GROUP_OF.get(ord(character), "other") for character in set(bare[:_MAX_TOKEN]))
    return Reading((isinstance(value, str),), _Token(len(bare), symbols, padding), float(len(bare)))


@lru_cache(maxsize=1024)
def _unlikely(a: frozenset[str], b: frozenset[str], length_a: int, length_b: int) -> bool:
    """Whether hardly any alphabet gives a token of the groups ``a`` and one of the groups ``b`` by chance."""
    if a == b:
        return False
    both = a | b
    size = next((size for groups, size in _ALPHABETS if both <= groups), _PRINTABLE)
    chance = 0.0
    for groups, length in ((a, length_a), (b, length_b)):
        seen = _PRINTABLE if "other" in groups else sum(len(_GROUPS[group]) for group in groups)
        chance += length * math.log(seen / size)
    return chance < math.log(_CHANCE)


def _alike_tokens(a: _Token, b: _Token) -> bool:
    """Whether one source may have made both: of about one length, of one alphabet, padded alike."""
    longer = max(a.length, b.length)
    counted = a.symbols == b.symbols == {"digit"} and longer <= _MAX_COUNTER
    if not counted and abs(a.length - b.length) > (max(3, longer // 8) if longer <= _MAX_FIXED else longer // 4):
        return False
    if "other" not in a.symbols | b.symbols:  # base 64, or less
        if {a.padding, b.padding} == {"padded", "bare"}:
            return False
        if ("+/" in a.symbols and "-_" in b.symbols) or ("-_" in a.symbols and "+/" in b.symbols):
            return False
    return not _unlikely(a.symbols, b.symbols, a.length, b.length)


_READERS: dict[Kind, Callable[[Any], Reading | None]] = {
    "timestamp": _timestamp, "uuid": _uuid, "number": _number, "url-without-host": _url, "opaque": _opaque,
}  # fmt: skip
