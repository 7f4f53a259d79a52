"""Secrets in free text whose name stands beside them as a value: ``["Cookie", "a=b"]``, ``name: TOKEN`` above ``value:
x``.

Law: linear in the length of the text; no value is read twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.compare.secret_names import LABEL, Secret, Span

_QUOTE = r"(?:\\?[\"']{1,2}|&quot;|&#3[49];)"
_FIRST = re.compile(rf"[\[(]\s{{0,8}}b?{_QUOTE}([^\"'\\&\n]{{1,90}}){_QUOTE}\s{{0,8}},\s{{0,8}}b?")
"""The first of two in a list or tuple, up to the second."""

_CLOSED = re.compile(rf"{_QUOTE}?\s{{0,8}}(?:[\])]|\Z)")
_NAME = re.compile(
    rf"(?i)(?<![\w.])(?:[a-z]{{1,20}}[_-]?)?(?:name|key|field|header|param|parameter|property|attribute|variable|setting"
    rf"|option|path){_QUOTE}?\s{{0,8}}(?:=>|[:=])\s{{0,8}}(?:{_QUOTE}([^\"'\\&\n]{{1,90}}){_QUOTE}|([\w.:/-]{{1,90}}))"
)
_HELD = re.compile(rf"(?i)(?<![\w.])(?:[a-z]{{1,20}}[_-]?)?values?{_QUOTE}?\s{{0,8}}(?:=>|[:=])\s{{0,8}}")
_APART = 100
"""Characters between a name and its value, in which other members may stand."""

_BLOCKS = re.compile(r"[{}<>]")


def beside(
    text: str,
    judge: Callable[[str], Secret],
    value: Callable[[int], Span | None],
    named: list[Span],
    revealed: list[Span],
) -> None:
    """Add the spans of secrets to ``named``, of what the configuration shows to ``revealed``. ``judge`` says of a name
    whether it is secret, ``value`` where the value is that begins somewhere."""
    read_to = 0
    for match in _FIRST.finditer(text):
        secret = judge(match[1]) if match.end() >= read_to and LABEL.fullmatch(match[1]) else False
        span = value(match.end()) if secret is not False else None
        if span is not None:
            read_to = span[1]
            if text[span[0] : span[0] + 1] in ("[", "{") or _CLOSED.match(text, span[1]):
                (named if secret else revealed).append(span)
    if _HELD.search(text) is None:
        return
    read_to = 0
    for match in _NAME.finditer(text):
        secret = judge(match[1] or match[2]) if match.end() >= read_to else False
        held = _HELD.search(text, match.end(), match.end() + _APART) if secret is not False else None
        if (
            held is None
            or _BLOCKS.search(text, match.end(), held.start())
            or _NAME.search(text, match.end(), held.start())
        ):
            continue
        span = value(held.end())
        if span is not None:
            read_to = span[1]
            (named if secret else revealed).append(span)
