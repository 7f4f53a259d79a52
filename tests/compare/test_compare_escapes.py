"""What is read behind escapes is found again where it is written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.escapes import unescaped, written
from proxy.compare.redact import PLAIN, make_redactor
from proxy.compare.redact_fields import form
from proxy.config.comparing import Redaction

pieces = st.sampled_from(
    ["a", "b", "=", "%", "%2", "%41", "%3D", "%25", "%2541", "%252541", "%c3%a9", "%C3", "%ff%fe", "\u00e9", "+", "%2B",
     "\\u0041", "\\u00e9", "\\u0025", "%5Cu0041", "%e2%82%ac%41", "\U0001f600", "\udcff", "«masked text, 5»"]
)  # fmt: skip
texts = st.lists(pieces, max_size=12).map("".join)


@given(texts, st.booleans(), st.data())
def test_what_is_written_where_a_span_is_read_says_at_least_the_span(text: str, plus: bool, data: Any) -> None:
    plain = unescaped(text, plus=plus)
    assert written(text, [(0, len(plain))], plus=plus) == ([(0, len(text))] if text else []) or not plain
    if not plain:
        return
    start = data.draw(st.integers(0, len(plain) - 1))
    end = data.draw(st.integers(start + 1, len(plain)))
    ((first, last),) = written(text, [(start, end)], plus=plus)
    assert 0 <= first < last <= len(text)
    assert plain[start:end] in unescaped(text[first:last], plus=plus)


@given(texts, st.booleans())
def test_spans_stay_in_order_and_apart(text: str, plus: bool) -> None:
    plain = unescaped(text, plus=plus)
    spans = written(text, [(at, at + 1) for at in range(len(plain))], plus=plus)
    assert all(one[1] <= two[0] for one, two in pairwise(spans))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a%20b Bearer%20abcdefghijkl%26c%3Dd", "a%20b Bearer%20«masked text, 12»%26c%3Dd"),
        ("%2541 %2561pi_key%253Dhunter2", "%2541 %2561pi_key%253D«masked text, 7»"),
        ("x\\u0041 Bearer\\u002dx p\\u0061ssword=hunter2", "x\\u0041 Bearer\\u002dx p\\u0061ssword=«masked text, 7»"),
    ],
)
def test_what_stands_beside_an_encoded_secret_keeps_its_spelling(text: str, shown: str) -> None:
    assert PLAIN.by_shape(text) == shown


def test_a_secret_in_a_form_leaves_the_form_as_it_is() -> None:
    assert form("note=Bearer+abcdefghijkl%26c%3Dd&x=1+1", PLAIN) == "note=Bearer+«masked text, 12»%26c%3Dd&x=1+1"


keyed = make_redactor(Redaction(keys=["a redaction key of 2026"]), b"r" * 32)
around = st.sampled_from(["", "a", "%61", "%2561", "+", "%20", " ", "&", "%26", "\u00e9", "%C3%A9", "\udcff", "\udcfe"])
secrets = st.sampled_from(
    ["Bearer%20abcdefghijkl", "password%3Dabc", "token=abc", "pin%3D1234", "4111%201111%201111%201111", "--pin+12345"]
)


@settings(deadline=None)
@given(around, around, secrets, around, around)
def test_two_texts_never_become_one(one: str, two: str, secret: str, more: str, less: str) -> None:
    a, b = f"{one} {secret} {more}", f"{two} {secret} {less}"
    if a != b:
        assert keyed.by_shape(a) != keyed.by_shape(b)
        assert keyed.by_shape_encoded(a) != keyed.by_shape_encoded(b)
