"""HTML text as tags and text (the tokenization of HTML, section 13.2.5, without its error names).

Law: linear in the length of the text, and nothing that a reader could see is lost: what is not a tag, a comment or a
doctype is text, also a tag that never ends.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.entities import html5
from typing import NamedTuple

RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes"})
"""Elements whose content is text without character references and tags."""

ESCAPABLE = frozenset({"textarea", "title"})
"""Elements whose content is text with character references."""


class Tag(NamedTuple):
    """A start or end tag; names in lower case, values with their character references read."""

    name: str
    attributes: dict[str, str]
    ends: bool = False
    closed: bool = False  # ``<br/>``


class Doctype(NamedTuple):
    """A document type, in lower case and with single spaces."""

    text: str


_NAME = re.compile(r"[a-zA-Z][^\t\n\f\r />]*")
_BETWEEN = re.compile(r"[\t\n\f\r /]*")
_KEY = re.compile(r"=?[^\t\n\f\r />=]*")
_EQUALS = re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*")
_BARE = re.compile(r"[^\t\n\f\r >]*")
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,10}(?![0-9]);?|#[xX][0-9a-fA-F]{1,8}(?![0-9a-fA-F]);?|[a-zA-Z][a-zA-Z0-9]{0,40};?)"
)
_END_OF = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in RAW | ESCAPABLE}
_SPACES = re.compile(r"[\t\n\f\r ]+")


def tokens(text: str, *, xhtml: bool = False) -> Iterator[Tag | Doctype | str]:
    """Tags, doctypes and texts in order; comments are left out. ``xhtml``: ``<script/>`` has no content."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    at, end = 0, len(text)
    while at < end:
        opens = text.find("<", at)
        if opens < 0:
            yield unescape(text[at:])
            return
        if opens > at:
            yield unescape(text[at:opens])
        token, at = _markup(text, opens)
        if token is None:
            continue
        yield token
        if type(token) is Tag and not token.ends and token.name in _END_OF and not (xhtml and token.closed):
            found = _END_OF[token.name].search(text, at)
            stop = found.start() if found else end
            if stop > at:
                yield text[at:stop] if token.name in RAW else unescape(text[at:stop])
            at = stop
        elif type(token) is Tag and token.name == "plaintext" and not token.ends:
            yield text[at:]
            return


def _markup(text: str, opens: int) -> tuple[Tag | Doctype | str | None, int]:
    """What begins with the ``<`` at ``opens``, and where it ends. None: a comment."""
    after = text[opens + 1 : opens + 2]
    if after.isascii() and after.isalpha():
        return _tag(text, opens, opens + 1, ends=False)
    if after == "/":
        following = text[opens + 2 : opens + 3]
        if following.isascii() and following.isalpha():
            return _tag(text, opens, opens + 2, ends=True)
        if following == "":
            return "</", opens + 2
        return None, _behind(text, ">", opens + 2)
    if text.startswith("<!--", opens):
        if text.startswith(">", opens + 4):
            return None, opens + 5
        if text.startswith("->", opens + 4):
            return None, opens + 6
        ends_at = [_behind(text, mark, opens + 4) for mark in ("-->", "--!>")]
        return None, min(ends_at)
    if after in ("!", "?"):
        stop = _behind(text, ">", opens + 2)
        if text[opens + 2 : opens + 9].lower() == "doctype":
            return Doctype(_SPACES.sub(" ", text[opens + 9 : stop].rstrip(">").strip().lower())), stop
        return None, stop
    return "<", opens + 1


def _behind(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)


def _tag(text: str, opens: int, start: int, *, ends: bool) -> tuple[Tag | str, int]:
    match = _NAME.match(text, start)
    name = match[0].lower() if match else ""
    at = match.end() if match else start
    attributes: dict[str, str] = {}
    length = len(text)
    while True:
        gap = _BETWEEN.match(text, at)
        before, at = at, gap.end() if gap else at
        if at >= length:
            return text[opens:], length  # it never ends: what it holds stays to be seen
        if text[at] == ">":
            closed = at > before and text[at - 1] == "/"
            return Tag(name, attributes, ends, closed), at + 1
        key = _KEY.match(text, at)
        word, at = (key[0].lower(), key.end()) if key else ("", at + 1)
        value = ""
        equals = _EQUALS.match(text, at)
        if equals:
            at = equals.end()
            quote = text[at : at + 1]
            if quote in ('"', "'") and quote:
                stop = text.find(quote, at + 1)
                if stop < 0:
                    return text[opens:], length
                value, at = text[at + 1 : stop], stop + 1
            else:
                bare = _BARE.match(text, at)
                value, at = (bare[0], bare.end()) if bare else ("", at)
        attributes.setdefault(word, unescape(value, attribute=True))  # the first of two counts


def unescape(text: str, *, attribute: bool = False) -> str:
    """Text with its character references read (HTML, section 13.2.5.72 and following)."""
    if "&" not in text:
        return text
    return _REFERENCE.sub(lambda match: _referred(match, text, attribute=attribute), text)


def _referred(match: re.Match[str], text: str, *, attribute: bool) -> str:
    written = match[0]
    if written[1] == "#":
        digits = written[2:].rstrip(";")
        number = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
        if 0x80 <= number <= 0x9F:
            return bytes([number]).decode("cp1252", "ignore") or chr(number)
        if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            return "\ufffd"
        return chr(number)
    if attribute and not written.endswith(";"):
        # "?a=1&copy=2" is an address, not a sign; the run of letters and digits has ended here.
        if written[1:] not in html5 or text[match.end() : match.end() + 1] == "=":
            return written
        return html5[written[1:]]
    return html.unescape(written)
