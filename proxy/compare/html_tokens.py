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
    """A start or end tag: names in lower case; under ``@name`` values with their character references read and without
    what says nothing (nonces in policies, more than one space between classes, the name of an attribute as its value).
    """

    name: str
    attributes: dict[str, str]
    ends: bool = False
    closed: bool = False  # ``<br/>``


class Doctype(NamedTuple):
    """A document type, in lower case and with single spaces."""

    text: str


_BOOLEAN = frozenset(
    {
        "@allowfullscreen", "@async", "@autofocus", "@autoplay", "@checked", "@controls", "@default", "@defer",
        "@disabled", "@formnovalidate", "@hidden", "@inert", "@ismap", "@itemscope", "@loop", "@multiple", "@muted",
        "@nomodule", "@novalidate", "@open", "@playsinline", "@readonly", "@required", "@reversed", "@selected"
    }
)  # fmt: skip
_CSP_NONCE = re.compile(r"'nonce-[A-Za-z0-9+/_=-]+'")
_UNIT = re.compile(
    r"""([^<]*+)(</?+[a-zA-Z][^\t\n\f\r "'/<=>]*+"""
    r"""(?:[\t\n\f\r ]++[^\t\n\f\r "'/<=>]++(?:=(?:"[^"]*+"|'[^']*+'|[^\t\n\f\r "'<=>]++))?+)*+[\t\n\f\r ]*+/?+>)"""
)
"""A text and the tag behind it, as nearly all are written. It gives nothing back: failing costs what reading does."""

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
SPACE = "\t\n\f\r "
"""What HTML calls white space."""

_FOREIGN = frozenset({"svg", "math"})
_AFTER_A_NEWLINE = frozenset({"pre", "listing", "textarea"})
"""Elements that do not hold the newline behind their start tag (HTML, section 13.1.2.5)."""

_SPECIAL = RAW | ESCAPABLE | _FOREIGN | _AFTER_A_NEWLINE | {"plaintext"}
"""Elements whose content is not read like that of others."""


def tokens(text: str, known: dict[str, Tag], *, xhtml: bool = False) -> Iterator[Tag | Doctype | str]:
    """Tags, doctypes and texts in order; comments, and doctypes that come too late, are left out.

    ``known`` are tags as they are written, of this page and of others: what is there is not read again. ``xhtml``:
    ``<script/>`` has no content, a newline counts everywhere, and CDATA sections are text.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    at, end = 0, len(text)
    begun = False
    foreign = 0
    token: Tag | Doctype | str | None
    while at < end:
        unit = _UNIT.match(text, at)
        if unit is not None:
            said, written = unit.groups()
            token, at = known.get(written), unit.end()
            if token is None:
                token = known[written] = _whole_tag(written)
        else:
            opens = text.find("<", at)
            said = text[at:] if opens < 0 else text[at:opens]
            token, at = (None, end) if opens < 0 else _markup(text, opens, cdata=xhtml or foreign > 0)
        if said:
            begun = begun or bool(said.strip(SPACE))
            yield unescape(said) if "&" in said else said
        if token is None or (begun and type(token) is Doctype):
            continue
        yield token
        if type(token) is not Tag:
            continue
        begun = True
        if token.name not in _SPECIAL:
            continue
        if token.name in _FOREIGN:
            foreign = max(0, foreign + (-1 if token.ends else not token.closed))
        elif not token.ends and not (xhtml and token.closed):
            said, at = _content(text, at, token.name, xhtml=xhtml)
            if said:
                yield said


def _content(text: str, at: int, name: str, *, xhtml: bool) -> tuple[str, int]:
    """What an element that begins at ``at`` holds if that is text, whatever it looks like, and where it ends."""
    if name in _AFTER_A_NEWLINE and not xhtml and text.startswith("\n", at):
        at += 1
    if name in _END_OF:
        found = _END_OF[name].search(text, at)
        stop = found.start() if found else len(text)
        return text[at:stop] if name in RAW else unescape(text[at:stop]), stop
    return (text[at:], len(text)) if name == "plaintext" else ("", at)


def _whole_tag(written: str) -> Tag:
    ends = written[1] == "/"
    tag, _ = _tag(written, 0, 1 + ends, ends=ends)
    assert isinstance(tag, Tag)  # noqa: S101 - it has an end
    return tag


def _markup(text: str, opens: int, *, cdata: bool) -> tuple[Tag | Doctype | str | None, int]:
    """What begins with the ``<`` at ``opens``, and where it ends. None: a comment. ``cdata``: those are text."""
    if cdata and text.startswith("<![CDATA[", opens):
        stop = _behind(text, "]]>", opens + 9)
        return text[opens + 9 : stop].removesuffix("]]>"), stop
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
        word = f"@{word}"
        if word not in attributes:  # the first of two counts
            attributes[word] = _normal(word, unescape(value, attribute=True))


def _normal(key: str, value: str) -> str:
    if key == "@class":
        return _SPACES.sub(" ", value).strip(" ")
    if key in _BOOLEAN and value.lower() == key[1:]:
        return ""
    if key == "@content" and "nonce-" in value:
        return _CSP_NONCE.sub("'nonce-⋯'", value)
    return value


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
    return html5.get(written[1:]) or html.unescape(written)
