"""What text says behind percent-encoding and the escapes of JSON and JavaScript, and where that is written.

Law: linear; any text is taken. A span of the plain text becomes a span of whole escapes in what was written, so nothing
of the plain span is seen beside it, and everything outside keeps its spelling.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from urllib.parse import unquote

from proxy.compare.secret_names import Span

_ESCAPE = re.compile(r"\\u00(2[bBdDeEfF]|3[0-9aAdD]|4[0-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])")
"""A letter, a digit or a sign of names."""

_ENCODED = re.compile(r"%[0-7][0-9a-fA-F]|(?:%[89a-fA-F][0-9a-fA-F])+")
_MOST_ENCODINGS = 3
"""How often a text may be percent-encoded and still be seen through."""


def unescaped(text: str, *, plus: bool = False) -> str:
    """The text without percent-encoding, and with the letters, digits and signs of names that JSON or JavaScript has
    escaped (\\u0041) as themselves. ``plus``: it is a piece of a form, in which a plus sign is a blank."""
    if plus:
        text = text.replace("+", " ")
    if "\\u00" in text:
        text = _ESCAPE.sub(_escaped, text)
    for _ in range(_MOST_ENCODINGS):
        once = unquote(text) if "%" in text else text
        if once == text:
            break
        text = once
    return text


def written(text: str, spans: list[Span], *, plus: bool = False) -> list[Span]:
    """Where spans of ``unescaped(text)`` are written in the text; in order, without overlaps, as they are given."""
    plain = text.replace("+", " ") if plus else text
    rounds = []
    for pattern, times in ((_ESCAPE, 1), (_ENCODED, _MOST_ENCODINGS)):
        for _ in range(times):
            once, starts = _once(plain, pattern)
            if once == plain:
                break
            rounds.append(starts)
            plain = once
    found: list[Span] = []
    for start, end in spans:
        for starts in reversed(rounds):
            start, end = starts[start], starts[bisect_right(starts, starts[end - 1])]
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _escaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _once(text: str, pattern: re.Pattern[str]) -> tuple[str, list[int]]:
    """The text with what fits read once, and for each of its characters where it is written; last, where all ends."""
    pieces: list[str] = []
    starts: list[int] = []
    at = 0
    for match in pattern.finditer(text):
        read = _escaped(match) if pattern is _ESCAPE else unquote(match[0])
        pieces += [text[at : match.start()], read]
        starts += [*range(at, match.start()), *[match.start()] * len(read)]
        at = match.end()
    return "".join([*pieces, text[at:]]), [*starts, *range(at, len(text) + 1)]
