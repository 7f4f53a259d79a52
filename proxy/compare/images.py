"""Pictures: their format and their size in pixels.

Law: only a head of fixed length is looked at, nothing is decompressed; what cannot be read has no size.
"""

from __future__ import annotations

from collections.abc import Callable

_MAX_SEGMENTS = 500
"""Segments of a JPEG before its size; a file with more has none that we tell."""


def dimensions(body: bytes) -> tuple[str, int, int] | None:
    """(format, width, height) in pixels of a PNG, GIF, JPEG or WebP file; None of anything else."""
    for magic, read in _FORMATS:
        if body.startswith(magic):
            return read(body)
    return None


def _number(data: bytes, order: str = "big") -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")


def _png(body: bytes) -> tuple[str, int, int] | None:
    if len(body) < 24 or body[12:16] != b"IHDR":
        return None
    return "PNG", _number(body[16:20]), _number(body[20:24])


def _gif(body: bytes) -> tuple[str, int, int] | None:
    if len(body) < 10:
        return None
    return "GIF", _number(body[6:8], "little"), _number(body[8:10], "little")


def _jpeg(body: bytes) -> tuple[str, int, int] | None:
    at = 2
    for _ in range(_MAX_SEGMENTS):
        while body[at : at + 1] == b"\xff" and body[at + 1 : at + 2] == b"\xff":
            at += 1  # fill bytes
        if at + 9 > len(body) or body[at] != 0xFF:
            return None
        marker = body[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame begins
            return "JPEG", _number(body[at + 7 : at + 9]), _number(body[at + 5 : at + 7])
        at += 2 if marker == 0x01 or 0xD0 <= marker <= 0xD8 else 2 + _number(body[at + 2 : at + 4])
    return None


def _webp(body: bytes) -> tuple[str, int, int] | None:
    if len(body) < 30 or body[8:12] != b"WEBP":
        return None
    chunk = body[12:16]
    if chunk == b"VP8X":
        return "WebP", _number(body[24:27], "little") + 1, _number(body[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = _number(body[21:25], "little")
        return "WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return "WebP", _number(body[26:28], "little") & 0x3FFF, _number(body[28:30], "little") & 0x3FFF
    return None


_FORMATS: tuple[tuple[bytes, Callable[[bytes], tuple[str, int, int] | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"\xff\xd8", _jpeg),
    (b"RIFF", _webp),
)
