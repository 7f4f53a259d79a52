"""Message bodies: how long they are, and taking them off a buffer piece by piece.

Law: a body of known length is counted, never parsed; a chunked one is parsed strictly, and only decoded bytes leave
this file: chunk extensions end here, chunk borders mean nothing. What does not fit the grammar raises, and nothing that
follows it on the connection is read.

Source: RFC 9112 sections 6 and 7.1.
"""

from __future__ import annotations

import re
from typing import Final

MAX_CHUNK_LINE_BYTES: Final = 4096
"""Size and extensions of one chunk; nobody sends extensions, and some attack with them."""
MAX_TRAILER_BYTES: Final = 8192
MAX_TRAILERS: Final = 32
MAX_CHUNK_BYTES: Final = 2**63 - 1
CHUNKS_AT_ONCE: Final = 256
"""Decoded before others get the event loop, about 0.5 ms. A read of chunks of one byte would hold it for 100 ms."""

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rb"((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*\r\n"
)


class BodyError(Exception):
    """The body's framing is broken."""


class LengthBody:
    """A body of known length: counts the bytes and passes them on."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    @property
    def done(self) -> bool:
        """The whole body has been taken."""
        return self.left == 0

    def take(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Split ``buffer`` into (what belongs to the body, what comes after)."""
        size = len(buffer)
        if size <= self.left:
            self.left -= size
            return buffer, b""
        piece, rest = buffer[: self.left], buffer[self.left :]
        self.left = 0
        return piece, rest


class CloseBody:
    """A body that ends with the connection (answers only)."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def take(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Everything belongs to the body."""
        return buffer, b""


class ChunkedBody:
    """A chunked body, decoded. ``trailers`` is complete when ``done`` is true."""

    __slots__ = ("_left", "_partial", "_state", "_trailer_bytes", "done", "trailers")

    _SIZE: Final = 0
    _DATA: Final = 1
    _DATA_END: Final = 2
    _TRAILERS: Final = 3

    def __init__(self) -> None:
        self._state = self._SIZE
        self._left = 0
        self._partial = b""
        self._trailer_bytes = 0
        self.done = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def take(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Decode what ``buffer`` holds: (decoded bytes, what comes after the body, or is left for the next call).

        Raises :class:`BodyError`. Incomplete lines are kept for the next call; above ``CHUNKS_AT_ONCE`` chunks are
        left.
        """
        if self._partial:
            buffer, self._partial = self._partial + buffer, b""
        pieces: list[bytes] = []
        at, size = 0, len(buffer)
        while not self.done and len(pieces) < CHUNKS_AT_ONCE:
            if self._state == self._DATA:
                end = min(at + self._left, size)
                if end > at:
                    pieces.append(buffer[at:end])
                    self._left -= end - at
                    at = end
                if self._left:
                    break
                self._state = self._DATA_END
            if self._state == self._DATA_END:
                if size - at < 2:
                    if size > at and buffer[at] != 0x0D:
                        raise BodyError("chunk data too long")
                    self._partial = buffer[at:]
                    at = size
                    break
                if buffer[at : at + 2] != b"\r\n":
                    raise BodyError("chunk data too long")
                at += 2
                self._state = self._SIZE
            newline = buffer.find(b"\n", at)
            if newline < 0:
                self._keep(buffer[at:])
                at = size
                break
            line = buffer[at : newline + 1]
            at = newline + 1
            if self._state == self._SIZE:
                self._size(line)
            else:
                self._trailer(line)
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), buffer[at:]

    def _keep(self, partial: bytes) -> None:
        bound = MAX_CHUNK_LINE_BYTES if self._state == self._SIZE else MAX_TRAILER_BYTES
        if len(partial) > bound:
            raise BodyError("line too long")
        self._partial = partial

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line) if len(line) <= MAX_CHUNK_LINE_BYTES else None
        if match is None or (size := int(match[1], 16)) > MAX_CHUNK_BYTES:
            raise BodyError("invalid chunk size")
        self._left = size
        self._state = self._DATA if size else self._TRAILERS

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
            return
        self._trailer_bytes += len(line)
        match = _TRAILER.fullmatch(line)
        if match is None or self._trailer_bytes > MAX_TRAILER_BYTES or len(self.trailers) >= MAX_TRAILERS:
            raise BodyError("invalid trailer section")
        self.trailers.append((match[1], match[2]))


Body = LengthBody | ChunkedBody | CloseBody


def chunk(piece: bytes) -> bytes:
    """One chunk. ``piece`` must not be empty: that would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def last_chunk(trailer_lines: bytes) -> bytes:
    """The end of a chunked body, with trailer lines that each end in CRLF."""
    return b"0\r\n%b\r\n" % trailer_lines
