"""A second opinion about two JSON documents, slow and simple.

Law: shares no line with what it judges: the standard library reads, and every number keeps its digits. It knows no
rules; it only says whether two bodies say the same.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

_FRACTION = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


class _UnreadableError(ValueError):
    pass


def opinion(legacy: bytes, candidate: bytes) -> Literal["same", "other", "unreadable"]:
    """Whether two bodies say the same. ``unreadable``: at least one of them is not plain JSON: an object has a key
    twice, half a surrogate pair, no UTF-8, a number that no one could hold, or depth that no one could walk."""
    try:
        return "same" if _read(legacy) == _read(candidate) else "other"
    except (ValueError, RecursionError):
        return "unreadable"


def _read(body: bytes) -> Any:
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    return _told(json.loads(
        text, parse_int=lambda digits: ("whole", digits), parse_float=_fraction, parse_constant=_refuse,
        object_pairs_hook=_members,
    ))  # fmt: skip


def _refuse(text: str) -> Any:
    raise _UnreadableError(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _UnreadableError("a key twice")
    return dict(pairs)


def _fraction(text: str) -> tuple[str, ...]:
    match = _FRACTION.fullmatch(text)
    if match is None or len(match[4] or "") > 12:
        return ("fraction", text)  # told apart by its spelling: nobody can hold it
    digits = match[2] + (match[3] or "")
    power = int(match[4] or 0) - len(match[3] or "")
    while len(digits) > 1 and digits.endswith("0"):
        digits, power = digits[:-1], power + 1
    digits = digits.lstrip("0")
    return ("fraction", match[1], digits, str(power) if digits else "")


def _told(value: Any) -> Any:
    """The value with types that Python tells apart: True is not 1 here."""
    if isinstance(value, dict):
        return ("object", {_string(key): _told(item) for key, item in value.items()})
    if isinstance(value, list):
        return ("list", [_told(item) for item in value])
    if isinstance(value, str):
        return ("text", _string(value))
    return (type(value).__name__, value)


def _string(text: str) -> str:
    text.encode("utf-8")  # UnicodeEncodeError is a ValueError
    return text
