"""Answers around bodies: content codings, charsets, fields, the way they are put on the wire.

Law: two answers that ``wrapped`` makes of the same bytes say the same, however they are coded.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import zstandard

from proxy.messages import Answer, Fields
from tests.fuzz.dice import Dice


def _raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def _members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half], 1) + gzip.compress(data[half:], 9)


def _frames(data: bytes) -> bytes:
    half = len(data) // 2
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    return zstandard.compress(data[:half]) + skipped + zstandard.compress(data[half:])


def _streamed(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return stream.compress(data) + stream.flush()


def _brotli(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=1))


CODERS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "gzip": (gzip.compress, _members), "x-gzip": (gzip.compress,), "deflate": (zlib.compress, _raw_deflate),
    "br": (_brotli,), "zstd": (zstandard.compress, _frames, _streamed),
}  # fmt: skip


def coded(body: bytes, dice: Dice, most: int = 3) -> tuple[bytes, Fields]:
    """The body under up to ``most`` content codings, and the fields that say so."""
    names = [dice.pick(list(CODERS)) for _ in range(dice.pick((0, 0, 0, 1, 1, 2, most)))]
    for name in names:
        body = dice.pick(CODERS[name])(body)
    if not names:
        return body, [(b"Content-Encoding", b"identity")] if dice.chance(10) else []
    told = [name.upper() if dice.chance(6) else name for name in names]
    if dice.chance(4):
        return body, [(dice.pick((b"content-encoding", b"Content-Encoding")), name.encode()) for name in told]
    return body, [(b"Content-Encoding", dice.pick((", ", ",", " ,  ")).join(told).encode())]


def wrapped(body: bytes, media: bytes, dice: Dice, more: Fields | None = None, *, codings: int = 3) -> Answer:
    """An answer 200 with this body; an empty body is not coded."""
    fields: Fields = [(dice.pick((b"Content-Type", b"content-type", b"CONTENT-TYPE")), media)] if media else []
    if body and codings:
        body, told = coded(body, dice, codings)
        fields += told
    return Answer(200, [*fields, *(more or [])], body, False, 0.01)
