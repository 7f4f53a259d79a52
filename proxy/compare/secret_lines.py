"""Secrets in lines: what YAML, INI files and the like have behind a name that begins a line.

Law: linear in the length of the text. A value ends with its line, or with the last line below it that is indented
deeper; what follows on the line is only taken for words of one value if nothing else is assigned there.
"""

from __future__ import annotations

import re

from proxy.compare.secret_names import Span

_BEGINS = re.compile(r"([ \t]*(?:export )?(?:- )*)[\"']?")
"""What stands before a name that begins its line."""

_DEEPEST = 80
"""Characters before it: what is indented deeper is no configuration."""

_PROPERTIES = r"(?:[&!][\w!/.:-]{0,60}[ \t]+){1,2}"
"""Anchors and tags (YAML 1.2, section 6.9)."""

_OPENS = re.compile(rf"[ \t]*(?:(?:{_PROPERTIES})?[|>][-+\d]{{0,2}})?[ \t]*(?:#[^\n]{{0,200}})?\r?\n")
_MARKED = re.compile(rf"[ \t]*{_PROPERTIES}")
_LINE = re.compile(r"([ \t]*)(- )?([^\n]*)(?:\n|\Z)")
_WORDS = re.compile(r"(?:[ \t]+[^\s=:&,;<>{}\[\]\"'|«»#]{1,60}){1,20}(?=[ \t]*\r?(?:\n|\Z))")


def block(text: str, name: int, sign: int) -> list[Span]:
    """The lines below a line with nothing but the name that begins at ``name`` and a colon that ends at ``sign``; none
    if the value stands on the line itself."""
    opened = _OPENS.match(text, sign)
    begins = _begins(text, name) if opened is not None else None
    if opened is None or begins is None:
        return []
    found: list[Span] = []
    at = opened.end()
    while at < len(text) and (line := _LINE.match(text, at)) is not None:
        content = line[0].strip()
        if content:
            depth = len(line[1])
            if depth < len(begins) or (depth == len(begins) and not line[2]):
                break
            start = at + line[0].index(content)
            found.append((start, start + len(content)))
        at = line.end()
    return found


def value_from(text: str, sign: int) -> int:
    """Where a value begins behind a sign and anchors or tags; ``sign`` if there are none."""
    marked = _MARKED.match(text, sign)
    return sign if marked is None else marked.end()


def value_to(text: str, name: int, end: int) -> int:
    """Where a value of several words ends of which the first ends at ``end``."""
    words = _WORDS.match(text, end)
    return end if words is None or _begins(text, name) is None else words.end()


def _begins(text: str, name: int) -> str | None:
    """What stands before a name on its line; None if it does not begin it."""
    before = text[max(0, name - _DEEPEST) : name]
    found = _BEGINS.fullmatch(before.rpartition("\n")[2])
    return None if found is None or ("\n" not in before and name > _DEEPEST) else found[1]
