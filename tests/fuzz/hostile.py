"""Bodies that nobody should send, and honest ones damaged.

Law: everything here is data; nothing is larger than a few hundred kilobytes as it comes, however large it claims to be.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import cache

import brotli
import zstandard

from tests.fuzz.dice import Dice
from tests.fuzz.media import MEDIA_TYPES, Written

DEEP = 100_000
ZEROS = bytes(20_000_000)
"""What a bomb holds: above every cap on decoded bytes."""

PIECES: tuple[bytes, ...] = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\r", b"\n\n",
    b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"1e999", b"-1e-999", b"-0", b"-0.0", b"1E+9999999999999999999",
    b"NaN", b"-Infinity", b"123456789012345678901234567890", b"9" * 5000, b"0." + b"3" * 400, b'"a":1,"a":2,',
    b'{"__proto__":1}', b"[" * 300, b"{" * 300, b'{"a":' * 300, b"]" * 50, b'"', b"'", b"\\", b"<![CDATA[", b"]]>",
    b"<!--", b"-->", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&#xD800;", b"&#99999999999;", b"<a " + b"x=1 " * 50,
    b"</" * 50, b"<" * 200, b"<script>", b"</script", b"<p" * 100, b"%", b"%zz", b"%00", b"&" * 100, b"=" * 50,
    b"\xe2\x80\xa8", b"\xef\xbf\xbe", b"data:", b"\r\ndata", b"id:\x00", b'""""', b'",\r\n"', b"--b0undary",
    b"--b0undary--", b"Content-Disposition: form-data; name=", b"\x1f\x8b\x08", b"(\xb5/\xfd",
    b"P*M\x18\xff\xff\xff\xff", b"x\x9c", b"\t" * 100, b" " * 3000, b"a" * 5000, "é".encode("latin-1"),
    "\U0001f333".encode("utf-16"), b"+AGE-", b"\x1b$B", b"\x0e", b"\x85", b"1" * 400,
)  # fmt: skip


def _many(item: bytes, count: int) -> Callable[[], bytes]:
    return lambda: item * count


WHOLE: dict[str, Callable[[], bytes]] = {
    "depth": lambda: b"[" * DEEP + b"]" * DEEP,
    "depth of objects": lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "open for ever": _many(b"[", DEEP),
    "open objects": _many(b'{"a":[', DEEP // 2),
    "elements": _many(b"<a>", DEEP),
    "elements closed": lambda: b"<a>" * DEEP + b"</a>" * DEEP,
    "one element, many attributes": lambda: b"<a " + b"".join(b"a%d=1 " % n for n in range(20_000)) + b">",
    "end tags": _many(b"</a>", DEEP),
    "comments": _many(b"<!--", DEEP),
    "half tags": _many(b"<a ", DEEP),
    "half attributes": lambda: b"<a " + b'b="' * DEEP,
    "entities": _many(b"&amp", DEEP),
    "laughs": lambda: b'<!DOCTYPE l [<!ENTITY l "l">' + b"".join(
        b'<!ENTITY l%d "%s">' % (n, (b"&l%d;" % (n - 1) if n else b"&l;") * 10) for n in range(10)
    ) + b"]><l>&l9;</l>",
    "quotes": _many(b'"', DEEP),
    "quotes and commas": _many(b'",', DEEP),
    "escapes": lambda: b'"' + b"\\" * DEEP,
    "lines": _many(b"\n", 2 * DEEP),
    "returns": _many(b"\r", 2 * DEEP),
    "commas": _many(b",", 2 * DEEP),
    "data lines": _many(b"data:a\n", DEEP // 2),
    "events": _many(b"data:a\n\n", DEEP // 2),
    "fields": _many(b"a&", DEEP),
    "fields of one name": _many(b"a=1&", DEEP // 2),
    "many names": lambda: b"&".join(b"a%d=1" % n for n in range(50_000)),
    "percents": _many(b"%", DEEP),
    "parts": _many(b"--b0undary\r\n\r\n\r\n", 10_000),
    "dashes": _many(b"--b0undary", DEEP // 5),
    "digits": _many(b"9", 2 * DEEP),
    "digits in a list": lambda: b"[" + b"123456789012345678901234567890," * 5000 + b"1]",
    "an exponent": lambda: b"[1e" + b"9" * 5000 + b"]",
    "nodes": lambda: b"[" + b"0," * 150_000 + b"0]",
    "empty objects": lambda: b"[" + b"{}," * 60_000 + b"{}]",
    "one key many times": lambda: b"{" + b'"a":1,' * 50_000 + b'"a":1}',
    "keys": lambda: b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(20_000)) + b"}",
    "bytes that are no text": lambda: bytes(range(256)) * 400,
    "a long line": _many(b"x", 3 * DEEP),
    "cards nearly": _many(b"4 ", DEEP),
    "dots": _many(b"eyJ.", DEEP // 2),
    "names of secrets": _many(b"password", DEEP // 5),
}  # fmt: skip
"""Traps by name: each is quick to make, and slow or deep for a reader that is careless."""


@cache
def whole(name: str) -> bytes:
    """One of ``WHOLE``."""
    return WHOLE[name]()


@cache
def bomb(coding: str) -> bytes:
    """A small body that is huge when decoded, under one coding or two (``gzip, gzip``)."""
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda data: gzip.compress(data, 6), "deflate": lambda data: zlib.compress(data, 6),
        "br": lambda data: bytes(brotli.compress(data, quality=3)), "zstd": zstandard.compress,
    }  # fmt: skip
    data = ZEROS
    for name in coding.split(", "):
        data = pack[name](data)
    return data


BOMBS = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "zstd, br", "deflate, gzip", "br, br", "zstd, zstd")
CODINGS = (
    b"", b"gzip", b"br", b"zstd", b"deflate", b"gzip, gzip", b"gzip, gzip, gzip, gzip", b"magic", b"identity",
    b"gzip,", b", ,", b"GZIP", b"x-gzip", b"gzip;q=1", b"br, identity", b"\xff", b"compress", b"aws-chunked",
    b"zstd, deflate, br",
)  # fmt: skip
TYPES = (
    b"application/json", b"application/x-ndjson", b"text/html; charset=utf-8", b"application/xml", b"text/csv",
    b"text/event-stream", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b0undary",
    b"text/plain", b"application/octet-stream", b"image/png", b"image/svg+xml",
    b"application/soap+xml; charset=utf-16", b"application/problem+json", b"", b"text/html; charset=utf-7",
    b'text/plain; charset="latin-1"', b"text/csv; charset=shift_jis; header=present",
    b"application/json; charset=utf-16", b"a/b; charset=idna", b"text/html; charset=punycode",
    b"text/html; charset=hex", b"text/html; charset=unicode_escape", b"text/xml; charset=utf-32",
    b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/mixed; boundary=b0undary", b";;;",
    b"application/json" * 300, b"text/plain; charset=undefined", b"text/plain; charset=rot13",
    b"text/plain; charset=\x00", b"application/geo+json-seq", b"application/json-seq", b"application/jsonl",
    b"application/yaml", b"text/tab-separated-values", b"application/xhtml+xml", b"application/vnd.api+json",
)  # fmt: skip


def damaged(body: bytes, dice: Dice) -> bytes:
    """The body with one to six things done to it."""
    for _ in range(1 + dice.below(6)):
        body = _once(body, dice)
    return body[:400_000]


def _once(body: bytes, dice: Dice) -> bytes:
    at = dice.below(len(body) + 1)
    end = min(len(body), at + dice.pick((1, 2, 4, 16, 64)))
    way = dice.below(9)
    if way == 0:
        return body[:at] + dice.pick(PIECES) + body[at:]
    if way == 1:
        return body[:at]
    if way == 2:
        return body[:at] + body[end:]
    if way == 3 and body:
        at = min(at, len(body) - 1)
        return body[:at] + bytes([body[at] ^ (1 << dice.below(8))]) + body[at + 1 :]
    if way == 4:
        return body[:at] + body[at:end] * dice.pick((2, 3, 100)) + body[end:]
    if way == 5:
        other = dice.below(len(body) + 1)
        return body[:at] + body[other : other + 64] + body[at:]
    if way == 6:
        return body[:at] + bytes(dice.below(256) for _ in range(end - at)) + body[end:]
    if way == 7:
        return body[at:] + body[:at]
    return body[:at] + dice.pick(PIECES) + body[end:]


def honest(dice: Dice) -> Written:
    """A body as it should be, of any kind."""
    from tests.fuzz import documents

    name = dice.pick(("json", *MEDIA_TYPES))
    if name == "json":
        return Written(documents.write(documents.make(dice), dice).encode(), b"application/json")
    medium = MEDIA_TYPES[name]
    return Written(*medium.write(medium.make(dice, []), dice))
