"""Recorded text made safe to look at.

Law: what an upstream or a client sent never controls the terminal or the document it is shown in: control characters,
direction marks and lone surrogates are spelled out, everything else stays as it is.
"""

from __future__ import annotations

import unicodedata

_SPELLED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, limit: int = 10_000) -> str:
    """``text`` on one line without anything invisible; longer text is cut and ends in three dots."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spell(char) if unicodedata.category(char) in _SPELLED else char for char in text)


def code_span(text: str, limit: int = 120) -> str:
    """``text`` as a Markdown code span that also fits into a table cell."""
    shown = visible(text, limit).replace("`", "'").replace("|", "\\|").strip()
    return f"`{shown}`" if shown else "(empty)"


def plain_cell(text: str, limit: int = 300) -> str:
    """``text`` as Markdown text: nothing in it is markup."""
    shown = visible(text, limit)
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in shown)


def _spell(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
