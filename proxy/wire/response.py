"""The head of an answer, as it is read off the wire."""

from __future__ import annotations


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
