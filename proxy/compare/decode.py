"""Bodies as their readers see them: content codings undone, text decoded.

Law: output is counted while it is made, so no body costs more than its cap, whatever it claims to be. A coding that we
do not know is never guessed at; the body stays as it is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import lru_cache

import brotli  # type: ignore[import-untyped]  # it ships no types
import zstandard

from proxy.compare.charsets import python_codec
from proxy.compare.result import Budget, Incomparable
from proxy.messages import Fields

MAX_CODINGS = 3
_PIECE = 64 * 1024
_READ = 4 * 1024  # bytes of a stream at a time: what stands behind its end is copied
_RATIO_FROM = 1024 * 1024  # small bodies may be as repetitive as they like
_ZSTD_WINDOW = 8 * 1024 * 1024  # RFC 9659 section 3


class _BrokenError(Exception):
    pass


def header_values(fields: Fields, name: bytes) -> list[bytes]:
    """All values of a field, in order. ``name`` in lower case."""
    return [value for key, value in fields if key.lower() == name]


def codings(fields: Fields) -> list[str]:
    """Content codings in the order they were applied (RFC 9110 section 8.4); ``identity`` left out."""
    names = [name.strip().lower() for value in header_values(fields, b"content-encoding") for name in value.split(b",")]
    return [name.decode("latin-1") for name in names if name not in (b"", b"identity")]


def decode_body(body: bytes, fields: Fields, budget: Budget) -> tuple[bytes, bool]:
    """The body with its content codings undone, and whether that could be done: an unknown coding, or more than
    ``MAX_CODINGS``, leaves the body as it is and gives False.

    Raises Incomparable: ``too-large``, ``ratio`` or ``decode-error``.
    """
    names = codings(fields)
    if not names or not body:
        return body, True
    if len(names) > MAX_CODINGS or any(name not in _DECODERS for name in names):
        return body, False
    encoded = len(body)
    for name in reversed(names):
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in _DECODERS[name](body):
                pieces.append(piece)
                size += len(piece)
                if size > budget.decoded_bytes:
                    raise Incomparable("too-large")
                if size > _RATIO_FROM and size > encoded * budget.ratio:
                    raise Incomparable("ratio")
        except (_BrokenError, zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Incomparable("decode-error") from error
        body = b"".join(pieces)
    return body, True


def _gzip(data: bytes) -> Iterator[bytes]:
    end = 0
    while end < len(data):  # RFC 1952 section 2.2: members follow one another
        end = yield from _inflate(zlib.decompressobj(wbits=31), data, end)


def _deflate(data: bytes) -> Iterator[bytes]:
    # RFC 9110 section 8.4.1.2 means zlib; some servers send bare deflate. A zlib head is told by its check bits.
    zlib_head = len(data) >= 2 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    end = yield from _inflate(zlib.decompressobj(wbits=15 if zlib_head else -15), data, 0)
    if end < len(data):
        raise _BrokenError


def _inflate(stream: zlib._Decompress, data: bytes, start: int) -> Generator[bytes, None, int]:
    """Inflate what begins at ``start``; returns where it ends."""
    while not stream.eof:
        waiting = stream.unconsumed_tail
        if not waiting:
            waiting = data[start : start + _READ]
            start += len(waiting)
        piece = stream.decompress(waiting, _PIECE)
        if not (piece or waiting or stream.eof):
            raise _BrokenError
        yield piece
    return start - len(stream.unused_data)


def _brotli(data: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    piece = stream.process(data, output_buffer_limit=_PIECE)
    while piece:
        yield piece
        piece = b"" if stream.is_finished() else stream.process(b"", output_buffer_limit=_PIECE)
    if not stream.is_finished():
        raise _BrokenError


def _zstd(data: bytes) -> Iterator[bytes]:
    # The reader does not tell a frame that broke off from one that ended, so each frame is cut out first.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    start = 0
    while start < len(data):
        end = _zstd_frame_end(data, start)
        if end is None:
            raise _BrokenError
        with decompressor.stream_reader(data[start:end]) as reader:
            while piece := reader.read(_PIECE):
                yield piece
        start = end


def _zstd_frame_end(data: bytes, start: int) -> int | None:
    """Where the frame ends that begins at ``start``, None if it breaks off (RFC 8878 section 3.1)."""
    if len(data) < start + 8:
        return None
    magic = int.from_bytes(data[start : start + 4], "little")
    if magic & 0xFFFFFFF0 == 0x184D2A50:
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        return end if end <= len(data) else None
    descriptor = data[start + 4]
    at = start + (5 if descriptor & 0x20 else 6)  # single segment: no window byte
    at += (0, 1, 2, 4)[descriptor & 3]
    at += (1 if descriptor & 0x20 else 0, 2, 4, 8)[descriptor >> 6]
    while at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        if block & 1:
            at += 4 if descriptor & 4 else 0
            return at if at <= len(data) else None
    return None


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}


@lru_cache(maxsize=512)
def media_type(value: bytes) -> tuple[str, str, str]:
    """(type, charset, boundary) of a Content-Type, the first two in lower case; '' where there is none."""
    text = value.decode("latin-1")
    kind, _, rest = text.partition(";")
    parameters: dict[str, str] = {}
    for part in rest.split(";"):
        name, _, content = part.partition("=")
        parameters.setdefault(name.strip().lower(), content.strip().strip('"'))
    return kind.strip().lower(), parameters.get("charset", "").lower(), parameters.get("boundary", "")


def content_type(fields: Fields) -> tuple[str, str, str]:
    """``media_type`` of the first Content-Type of a message; empty texts if it has none."""
    for key, value in fields:
        if len(key) == 12 and key.lower() == b"content-type":
            return media_type(value[:1024])
    return "", "", ""


def to_text(body: bytes, charset: str) -> str:
    """Text in its charset (UTF-8 unless it says one that we know); never raises. A byte that cannot be decoded is
    half a surrogate pair of its own (PEP 383), so that two secrets are never one; see :func:`legible`."""
    codec = python_codec(charset) or "utf-8"
    for errors in ("surrogateescape", "replace"):  # the first does not know what to do with ASCII in two-byte charsets
        with suppress(UnicodeError):
            return body.decode(codec, errors)
    return body.decode("utf-8", "surrogateescape")


def legible(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which cannot be written."""
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


_HALVES = re.compile("[\ud800-\udfff]")
