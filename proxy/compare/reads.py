"""What is read after a write, to see whether it came to the same on both sides.

Law: a read is made of the configuration, the write's own path and legacy's answer to it, and of nothing else. What
cannot be filled in is not asked; whatever an answer says, it fills exactly its place and never becomes another target.
"""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote

from proxy.compare.paths import Step, parse_path

MAX_TARGET_BYTES: Final = 4096
"""Of a read's path and query; an answer may not make it longer."""

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_LITERAL: Final = re.compile(r"[\x21\x22\x24-\x7a\x7c\x7e]*")
"""What may stand in a target (RFC 9112 section 3.2) but for braces; a fragment (#) is never sent."""
_SIGNS_IN_QUERY: Final = ((b"&", b"%26"), (b"+", b"%2B"), (b"=", b"%3D"), (b";", b"%3B"))
"""A segment may hold these as they are, a parameter's value may not."""


class ReadTemplate:
    """A path with placeholders: ``{name}`` is a segment of the route's template, ``{$.id}`` a value in an answer.

    ``template`` is the route's ``match.path``; None if it has none. Raises ValueError with a message for people.
    """

    __slots__ = ("_parts", "wants_answer")

    def __init__(self, text: str, template: str | None) -> None:
        self._parts: list[bytes | int | tuple[Step, ...]] = []
        """Literals, positions of segments, and paths into the answer."""
        names = segments_of(template)
        for number, part in enumerate(_PLACEHOLDER.split(text)):
            if number % 2 == 0:
                if not _LITERAL.fullmatch(part):
                    raise ValueError(f"{text!r} holds what no target may: write braces in pairs, and %20 for a blank")
                self._parts.append(part.encode())
            elif part.startswith("$"):
                self._parts.append(_place(part))
            elif part in names:
                self._parts.append(names[part])
            else:
                known = ", ".join(f"{{{name}}}" for name in names) or "none"
                raise ValueError(
                    f"there is no {{{part}}} in the route's path (it has {known}); a value of the answer is {{$.name}}"
                )
        self.wants_answer = any(isinstance(part, tuple) for part in self._parts)
        """Some of it comes from legacy's answer."""

    @property
    def example(self) -> bytes:
        """A target with an x in every place."""
        return b"".join(part if isinstance(part, bytes) else b"x" for part in self._parts)

    def target(self, path: bytes, document: object) -> bytes | None:
        """What to ask after a write to ``path`` that was answered with ``document`` (see :func:`read_document`).

        None if a value is missing there, or is no single text, number or boolean, or makes the target too long.
        """
        made = b""
        segments = path.split(b"/")[1:]
        for part in self._parts:
            if isinstance(part, bytes):
                made += part
            elif isinstance(part, int):
                if part >= len(segments):  # cannot be: the path fits the route
                    return None
                made += _as_parameter(segments[part]) if b"?" in made else segments[part]
            else:
                value = _scalar(document, part)
                if not value:
                    return None
                made += value
        return made if len(made) <= MAX_TARGET_BYTES else None


def segments_of(template: str | None) -> dict[str, int]:
    """The names in a route's path template and their segments' positions, counted from 0."""
    parts = (template or "").split("/")[1:]
    return {part[1:-1]: at for at, part in enumerate(parts) if part.startswith("{") and part.endswith("}")}


def read_document(body: bytes) -> object:
    """A JSON body with its numbers as they were written; None if it is none (or has no value)."""
    try:
        return json.loads(body, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _place(text: str) -> tuple[Step, ...]:
    steps = parse_path(text)
    if not steps or any(step.deep or (step.name is None and step.position is None) for step in steps):
        raise ValueError(f"{{{text}}} names no single value: write every step, like {{$.order.id}}")
    return steps


def _scalar(document: object, steps: tuple[Step, ...]) -> bytes:
    """The value as it stands in a target, percent-encoded whole; empty if there is none."""
    for step in steps:
        if step.name is not None and isinstance(document, dict):
            document = document.get(step.name)
        elif step.position is not None and isinstance(document, list) and step.position < len(document):
            document = document[step.position]
        else:
            return b""
    if isinstance(document, bool):
        return b"true" if document else b"false"
    if not isinstance(document, str) or len(document) > MAX_TARGET_BYTES:
        return b""
    try:
        return quote(document, safe="").encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return b""


def _as_parameter(segment: bytes) -> bytes:
    for sign, encoded in _SIGNS_IN_QUERY:
        segment = segment.replace(sign, encoded)
    return segment
