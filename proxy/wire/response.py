"""The head of an answer, as it is read off the wire.

Law: what llhttp (strict) accepts is kept as it came; fields that mean something to an intermediary are set apart while
they are read, so that nobody has to look through all of them again.
"""

from __future__ import annotations

from proxy.core.fields import classify, known


class HeadParser:
    """Collects what llhttp finds in one answer's head."""

    __slots__ = ("fields", "special")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.special: list[tuple[int, tuple[bytes, bytes]]] = []  # the fields of any Kind, with it

    def on_header(self, name: bytes, value: bytes) -> None:
        field = (name, value)
        self.fields.append(field)
        kind = (known.get(name) or classify(name))[1]
        if kind:
            self.special.append((kind, field))


class ResponseHead:
    """The head of one answer.

    ``length`` is bytes, CHUNKED, or None if the body ends with the connection; ``hidden`` are the fields that the
    client is not to see.
    """

    __slots__ = ("fields", "hidden", "kinds", "length", "raw", "status")

    def __init__(
        self,
        status: int,
        fields: list[tuple[bytes, bytes]],
        raw: bytes,
        kinds: int,
        length: int | None,
        hidden: list[tuple[bytes, bytes]],
    ) -> None:
        self.status = status
        self.fields = fields
        self.raw = raw
        self.kinds = kinds
        self.length = length
        self.hidden = hidden
