"""Recorded text does not control what it is shown in."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.visible import code_span, plain_cell, visible


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_nothing_invisible_is_left(text: str) -> None:
    shown = visible(text, 100_000)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    shown.encode()


def test_escape_sequences_and_direction_marks_are_spelled_out() -> None:
    assert visible("\x1b[2J\u202eok\udcff") == "\\x1b[2J\\u202eok\\udcff"
    assert visible("Grüße, 世界") == "Grüße, 世界"


def test_long_text_is_cut() -> None:
    assert visible("x" * 50, 10) == "xxxxxxx..."


def test_markdown_is_neutralised() -> None:
    assert code_span("a`b|c") == "`a'b\\|c`"
    assert code_span("") == "(empty)"
    assert plain_cell("<b>*x*") == "\\<b\\>\\*x\\*"
