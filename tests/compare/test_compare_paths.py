"""Paths: read, refused with a column, and read back from what differences are reported at."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.paths import Step, member, parse_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.items[*].price", (Step("items"), Step(), Step("price"))),
        ("$['a b'][\"c'd\"]", (Step("a b"), Step("c'd"))),
        (r"$['it\'s']", (Step("it's"),)),
        ("$.a[3].*", (Step("a"), Step(position=3), Step())),
        ("$..etag", (Step("etag", deep=True),)),
        ("$..*", (Step(deep=True),)),
        ("$..['x y']", (Step("x y", deep=True),)),
        ("$.html.@id.#text", (Step("html"), Step("@id"), Step("#text"))),
        ("$..#order", (Step("#order", deep=True),)),
        ("$._id.@type.$ref.x-y.größe", (Step("_id"), Step("@type"), Step("$ref"), Step("x-y"), Step("größe"))),
    ],
)
def test_a_path_becomes_steps(text: str, steps: tuple[Step, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    ("text", "column"),
    [("", 1), ("$.[1]", 3), ("a.b", 1), ("$.", 3), ("$a", 2),
     ("$.a b", 4), ("$.a[", 5), ("$.a[x]", 5), ("$['a", 3), ("$[1", 4), ("$...a", 4)],
)  # fmt: skip
def test_a_faulty_path_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(ValueError, match=f"column {column}"):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("$.a[-1]", "counts from the beginning"), ("$[1:2]", "slice"), ("$[:2]", "slice"), ("$[::-1]", "slice"),
     ("$[?(@.a == 1)]", "filter"), ("$[0,1]", "one position or name at a time"), ("$['a','b']", "one position or name"),
     ("$['a'", "expected ']'")],
)  # fmt: skip
def test_what_other_dialects_know_is_refused_with_a_cure(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_path(text)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_path("$" + text)


@settings(deadline=None)
@given(st.text(min_size=1))
def test_what_is_reported_can_be_written_as_a_rule(key: str) -> None:
    steps = parse_path(member("$", key))
    assert steps in ((Step(key),), (Step(),))


@pytest.mark.parametrize("key", ["2024-01-01", "17", "", "-x", "k" * 101, "a" * 30 + "1" * 11, "bob@example.com",
    "9f86d081-884c-4d65-9a2f-000000000000", "deadbeef01", "user12345"])  # fmt: skip
def test_keys_that_are_data_collapse(key: str) -> None:
    assert member("$", key) == "$.*"


@pytest.mark.parametrize("key", ["price", "_id", "@type", "$ref", "#text", "camelCase", "x2", "sha256"])
def test_names_stay(key: str) -> None:
    assert member("$.a", key) == f"$.a.{key}"
