"""Bodies as text: which charset a body is in, and its characters.

Law: a charset that we do not know, or that the bytes are not in, gives no text; nothing is guessed on one side only, so
two bodies never look alike because both were misread. Names are looked up in a fixed table: what a server invents never
reaches Python's codecs (some of which are slow, and all of which remember every name they were asked for).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LABELS: dict[str, str] = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii", "latin1": "latin-1", "latin-1": "latin-1",
    "iso8859-1": "latin-1", "iso_8859-1": "latin-1", "utf-16": "utf-16", "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be", "utf-32": "utf-32", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be",
    "shift_jis": "shift_jis", "shift-jis": "shift_jis", "sjis": "shift_jis", "windows-31j": "cp932", "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp", "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030", "big5": "big5",
    "euc-kr": "euc_kr", "koi8-r": "koi8_r", "koi8-u": "koi8_u", "macintosh": "mac_roman", "ibm866": "cp866",
    "windows-874": "cp874", "tis-620": "tis_620",
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)},
    **{f"windows-{n}": f"cp{n}" for n in range(1250, 1259)},
    **{f"cp{n}": f"cp{n}" for n in range(1250, 1259)},
}  # fmt: skip

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip
_WIDE = (
    (re.compile(rb"[^\x00]\x00\x00\x00"), "utf-32-le"), (re.compile(rb"\x00\x00\x00[^\x00]"), "utf-32-be"),
    (re.compile(rb"[^\x00]\x00[^\x00]\x00"), "utf-16-le"), (re.compile(rb"\x00[^\x00]\x00[^\x00]"), "utf-16-be"),
)  # fmt: skip
_LOOKED_AT = 1024
"""Bytes in which a declaration has to stand (the same number as in HTML, section 13.2.3.2)."""

_XML = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s{0,20}=\s{0,20}["']([\w.:-]{1,40})["']""")
_META = re.compile(rb"""(?i)<meta\s[^>]{0,300}?charset\s{0,20}=\s{0,20}["']?\s{0,20}([\w.:-]{1,40})""")


class Charset(NamedTuple):
    """What a body says of its charset: ``codec`` is Python's name for it, '' if it is unknown to us; ``said`` whether
    anything was said at all; ``mark`` the length of the byte order mark."""

    codec: str
    said: bool
    mark: int = 0


def charset_of(body: bytes, label: str, media: str = "") -> Charset:
    """The charset of a body: its byte order mark, what its Content-Type says (``label``), what its XML declaration or
    HTML meta element says, in this order (RFC 7303 section 3, HTML section 13.2.3); UTF-8 if none of them is there."""
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return Charset(codec, True, len(mark))
    if label:
        codec = _LABELS.get(label, "")
        return Charset({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(codec, codec), True)
    head = body[:_LOOKED_AT]
    if b"\x00" in head[:4]:  # RFC 8259's predecessor, section 3; XML, appendix F
        for shape, codec in _WIDE:
            if shape.match(head):
                return Charset(codec, True)
    declared = _XML.match(head) if head.startswith(b"<?xml") else _META.search(head) if "html" in media else None
    if declared is not None:
        codec = _LABELS.get(declared[1].decode("ascii", "replace").lower(), "")
        # What could be read as ASCII so far is in no encoding of 16 bits, whatever it says.
        return Charset("utf-8" if codec.startswith(("utf-16", "utf-32")) else codec, True)
    return Charset("utf-8", False)


def decode(body: bytes, charset: Charset) -> str | None:
    """The text without its byte order mark; None if the body is not in this charset, or we do not know it."""
    if not charset.codec:
        return None
    try:
        return body[charset.mark :].decode(charset.codec)
    except UnicodeError:
        return None


def texts(a: bytes, b: bytes, labels: tuple[str, str], medias: tuple[str, str]) -> tuple[str | None, str | None]:
    """Both bodies as text, None for a side of which there is none. Only if neither says anything of its charset and
    one is no UTF-8, both are read byte by byte: then the same bytes are the same characters, whatever they stand for.
    """
    one, two = charset_of(a, labels[0], medias[0]), charset_of(b, labels[1], medias[1])
    x, y = decode(a, one), decode(b, two)
    if (x is None or y is None) and not one.said and not two.said:
        return a.decode("latin-1"), b.decode("latin-1")
    return x, y


def utf8(body: bytes, label: str, media: str = "") -> bytes:
    """The body in UTF-8, for readers that take nothing else (and pass over one byte order mark); as it is where its
    charset is not known to us."""
    charset = charset_of(body, label, media)
    if charset.codec in ("utf-8", "ascii", ""):
        return body
    text = decode(body, charset)
    return body if text is None else text.encode("utf-8", "surrogatepass")


def is_ascii_based(label: str) -> bool:
    """Whether bytes below 128 are ASCII in this charset, as in all that we do not know, too."""
    return not _LABELS.get(label, "").startswith(("utf-16", "utf-32", "iso2022"))


def distinct(text: str) -> str:
    """A text that was decoded with ``surrogateescape``, fit to be written: a byte that is no UTF-8 becomes a sign and
    its number, the sign itself two, so that no two texts become one."""
    if text.isascii():
        return text
    return "".join(
        f"\ufffd{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else "\ufffd\ufffd" if c == "\ufffd" else c
        for c in text
    )


def python_codec(label: str) -> str:
    """Python's name for a charset, '' if it is not known to us."""
    return _LABELS.get(label, "")
