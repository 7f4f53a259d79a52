"""Collecting the fields of a head, as llhttp finds them.

Law: a head without repeated names, as nearly all are, is collected by a dict without a line of Python per field; what
repeats a name is read again into a list. Both give the same fields: all of them, in order, with their bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Collector:
    """The callbacks for one head. ``found`` holds the fields by name, ``urls`` the pieces of the target."""

    __slots__ = ("found", "on_header", "on_url", "urls")

    # llhttp's other callbacks: named, because looking for what is absent costs more.
    on_message_begin = None
    on_status = None
    on_headers_complete = None
    on_body = None
    on_message_complete = None
    on_chunk_header = None
    on_chunk_complete = None

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self.urls: list[bytes] = []
        self.on_header: Callable[[bytes, bytes], None] = self.found.__setitem__
        self.on_url: Callable[[bytes], None] = self.urls.append

    def whole(self, raw: bytes) -> bool:
        """Whether ``found`` has every field of ``raw``, a complete head that llhttp has accepted.

        Strict llhttp ends each line with CRLF and folds none: a start line, the fields, an empty line.
        """
        return raw.count(b"\n") == len(self.found) + 2


class FieldList:
    """The callbacks for a head that repeats a name: ``fields`` in order."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """The next field."""
        self.fields.append((name, value))
