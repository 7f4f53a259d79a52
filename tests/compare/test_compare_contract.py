"""Contracts that changed on purpose: legacy's document in the candidate's words, with nothing lost."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.contract import compile_rename
from proxy.compare.document import Number, canonical
from proxy.compare.paths import parse_path
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.walk import Walk
from proxy.config.comparing import Compare


def translated(document: Any, **rules: Any) -> Any:
    """The document in the candidate's words; the argument is not touched."""
    before = copy.deepcopy(document)
    result = compile_rules(Compare(**rules)).translate(document)
    assert canonical(document) == canonical(before)
    return result


NESTED = {"$.items[*].customerName": "$.items[*].customer.name"}


@pytest.mark.parametrize(
    ("document", "renames", "expected"),
    [
        ({"a": 1, "b": 2}, {"$.a": "$.c"}, {"b": 2, "c": 1}),
        ({"a": 1, "b": 2}, {"$.a": "$.b", "$.b": "$.a"}, {"a": 2, "b": 1}),
        ({"items": [{"customerName": "x"}, {"id": 2}]}, NESTED, {"items": [{"customer": {"name": "x"}}, {"id": 2}]}),
        ({"items": [{"customerName": "x", "customer": {"id": 1}}]}, NESTED,
         {"items": [{"customer": {"id": 1, "name": "x"}}]}),
        ({"customer": {"name": "x"}}, {"$.customer.name": "$.customerName"}, {"customerName": "x"}),
        ({"customer": {"name": "x", "id": 1}}, {"$.customer.name": "$.customerName"},
         {"customer": {"id": 1}, "customerName": "x"}),
        ({"items": [{"a": 1, "id": 1}, {"id": 2}]}, {"$.items[*].a": "$.lines[*].b", "$.items": "$.lines"},
         {"lines": [{"b": 1, "id": 1}, {"id": 2}]}),
        ({"items": [{"id": 1}, {"a": 1, "id": 2}, {}]}, {"$.items[*].a": "$.lines[*].b"},
         {"items": [{"id": 1}, {"id": 2}, {}], "lines": [{}, {"b": 1}, {}]}),
        ({"m": [[{"a": 1}, {}], []]}, {"$.m[*][*].a": "$.n[*][*].b"}, {"m": [[{}, {}], []], "n": [[{"b": 1}, {}], []]}),
        ({"by": {"x": {"a": 1}, "y": {"a": 2}}}, {"$.by.*.a": "$.by.*.b.c"},
         {"by": {"x": {"b": {"c": 1}}, "y": {"b": {"c": 2}}}}),
        ({"a": {"b": 1}}, {"$.a.b": "$.c", "$.a": "$.d"}, {"c": 1}),
        ({"a": None}, {"$.a": "$.b"}, {"b": None}),
        ({"o": {"a": [{"x": 1}, {"x": 2}]}, "id": 1}, {"$.o.a[*].x": "$.a[*].y"}, {"a": [{"y": 1}, {"y": 2}], "id": 1}),
        ({"o": {"a": [{"x": 1}, {"z": 2}]}}, {"$.o.a[*].x": "$.a[*].x", "$.o.a[*].z": "$.a[*].z"},
         {"a": [{"x": 1}, {"z": 2}]}),
        ({"o": {"a": [{"x": 1}, {"id": 2}]}}, {"$.o.a[*].x": "$.a[*].y"},
         {"o": {"a": [{}, {"id": 2}]}, "a": [{"y": 1}, {}]}),
        ({"o": {"a": [{"x": 1}], "b": []}}, {"$.o.a[*].x": "$.a[*].y"}, {"o": {"b": []}, "a": [{"y": 1}]}),
        ({"o": {"a": [{"x": 1}]}}, {"$.o.a[*].x": "$.o[*].x"}, {"o": [{"x": 1}]}),
        ({"o": [{"x": 1}]}, {"$.o[*].x": "$.o[*].y"}, {"o": [{"y": 1}]}),
        ({"by": {"k": {"x": 1}, "l": {"x": 2}}}, {"$.by.*.x": "$.to.*.y"}, {"to": {"k": {"y": 1}, "l": {"y": 2}}}),
        ({"by": {"k": {"x": 1}, "l": {"id": 2}}}, {"$.by.*.x": "$.by.*.y"}, {"by": {"k": {"y": 1}, "l": {"id": 2}}}),
        ({"a": {}, "b": {"x": 1}}, {"$.a": "$.b", "$.b": "$.c"}, {"b": {}, "c": {"x": 1}}),
        ({"a": [{}], "b": [{"x": 1}]}, {"$.a": "$.b", "$.b": "$.c"}, {"b": [{}], "c": [{"x": 1}]}),
    ],
)  # fmt: skip
def test_values_go_where_the_candidate_has_them(document: Any, renames: dict[str, str], expected: Any) -> None:
    assert translated(document, rename=renames) == expected


@pytest.mark.parametrize(
    ("document", "renames"),
    [
        ({"customerName": "x", "customer": {"name": "y"}}, {"$.customerName": "$.customer.name"}),
        ({"customerName": "x", "customer": "text"}, {"$.customerName": "$.customer.name"}),
        ({"items": [{"a": 1}, {"a": 2}], "lines": [{}]}, {"$.items[*].a": "$.lines[*].b"}),
        ({"items": [{"a": 1}], "lines": {"0": {}}}, {"$.items[*].a": "$.lines[*].b"}),
        ({"a": 1, "b": 2}, {"$.a": "$.b"}),
        ({"b": 2}, {"$.a": "$.b", "$.items[*].a": "$.items[*].b"}),
        ([1, 2], {"$.a": "$.b"}),
        ("text", {"$.a": "$.b"}),
    ],
)
def test_where_nothing_can_go_the_document_stays_as_it_is(document: Any, renames: dict[str, str]) -> None:
    assert compile_rules(Compare(rename=renames)).translate(document) is document


def test_one_blocked_rename_does_not_stop_the_others() -> None:
    assert translated({"a": 1, "b": 2, "c": 3}, rename={"$.a": "$.b", "$.c": "$.d"}) == {"a": 1, "b": 2, "d": 3}


@pytest.mark.parametrize(
    ("document", "maps", "expected"),
    [
        ({"s": "ACTIVE"}, {"$.s": {"ACTIVE": "active"}}, {"s": "active"}),
        ({"s": "GONE"}, {"$.s": {"ACTIVE": "active"}}, {"s": "GONE"}),
        ({"s": 1}, {"$.s": {"1": "one"}}, {"s": "one"}),
        ({"s": 1.5}, {"$.s": {"1.5": 2}}, {"s": 2}),
        ({"s": True}, {"$.s": {"true": "yes"}}, {"s": "yes"}),
        ({"s": None}, {"$.s": {"null": ""}}, {"s": ""}),
        ({"s": "1"}, {"$.s": {"1": None}}, {"s": None}),
        ({"a": [{"s": "X"}, {"s": "Y"}]}, {"$..s": {"X": "x"}}, {"a": [{"s": "x"}, {"s": "Y"}]}),
        ({"s": {"X": 1}}, {"$.s": {"X": "x"}}, {"s": {"X": 1}}),
        ({"s": Number("1", whole=True)}, {"$.s": {"1": 2}}, {"s": Number("2", whole=True)}),
        ({"s": Number("15e-1", whole=False, written="1.50")}, {"$.s": {"1.50": 0.25}},
         {"s": Number("25e-2", whole=False)}),
        ({"s": "X", "n": Number("1", whole=True)}, {"$.s": {"X": 7}},
         {"s": Number("7", whole=True), "n": Number("1", whole=True)}),
    ],
)  # fmt: skip
def test_values_are_mapped(document: Any, maps: Any, expected: Any) -> None:
    assert translated(document, map=maps) == expected


def test_maps_name_the_candidates_places() -> None:
    rules = {"rename": {"$.state": "$.status"}, "map": {"$.status": {"ACTIVE": "active"}}}
    assert translated({"state": "ACTIVE"}, **rules) == {"status": "active"}


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("$.a[*].b", "$.b", "once"), ("$..a", "$.b", "may not hold '..'"), ("$.a", "$..b", "may not hold '..'"),
        ("$.a[0].b", "$.c", "of all items"), ("$.a[*]", "$.b[*]", "ends with the name"), ("$", "$.a", "ends with"),
        ("$.a", "$.a", "renamed to itself"), ("a", "$.a", "begins with"),
    ],
)  # fmt: skip
def test_a_rename_that_is_not_sure_is_refused(source: str, target: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compile_rename(source, target)


def test_what_the_candidate_still_calls_by_the_old_name_is_missing_and_extra(compare: Any) -> None:
    result = compare({"old": 1, "a": 1}, {"a": 1, "old": 1}, rename={"$.old": "$.new"})
    assert {(found.kind, found.path) for found in result.differences} == {("missing", "$.new"), ("extra", "$.old")}


def test_a_changed_contract_is_matched_and_its_paths_are_the_candidates(compare: Any) -> None:
    rules: dict[str, Any] = {
        "rename": {"$.items[*].customerName": "$.items[*].customer.name"},
        "map": {"$.items[*].state": {"ACTIVE": "active"}},
        "tolerance": {"$.items[*].customer.age": 1},
    }
    legacy = {"items": [{"customerName": "Ada", "state": "ACTIVE"}]}
    assert compare(legacy, {"items": [{"customer": {"name": "Ada"}, "state": "active"}]}, **rules).verdict == "matched"
    (found,) = compare(legacy, {"items": [{"customer": {"name": "Bob"}, "state": "active"}]}, **rules).differences
    assert (found.kind, found.path) == ("value", "$.items[*].customer.name")


def test_a_mapped_number_is_read_as_the_other_sides_are(compare: Any) -> None:
    rules: dict[str, Any] = {"map": {"$.a": {"ONE": 1, "HALF": 0.5}}}
    for word, number in (("ONE", b"1"), ("HALF", b"0.5")):
        candidate = b'{"a":%b,"b":"x"}' % number
        assert compare({"a": word, "b": "x"}, candidate, **rules).verdict == "matched"
        long = b',"c":12345678901234567890123'
        assert (
            compare(b'{"a":"%b"%b}' % (word.encode(), long), b'{"a":%b%b}' % (number, long), **rules).verdict
            == "matched"
        )
        text = b'"00000000000000000000"'  # looks like such a number, and is none
        assert (
            compare(b'{"a":"%b","b":%b}' % (word.encode(), text), b'{"b":%b,"a":%b}' % (text, number), **rules).verdict
            == "matched"
        )


def test_within_legacy_both_sides_are_legacys_and_nothing_may_be_added() -> None:
    rules = compile_rules(Compare(mode="subset", rename={"$.a": "$.b"}, ignore=["$.t"]))
    assert not rules.both_legacy
    assert rules.within_legacy.both_legacy
    assert rules.within_legacy.mode == "exact"
    assert rules.within_legacy.translate({"a": 1}) == {"b": 1}
    assert rules.within_legacy.start.member("t").ignore


names = st.sampled_from(["a", "b", "c"])
documents = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "x", "ACTIVE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12,
)  # fmt: skip


@st.composite
def sides(draw: st.DrawFn) -> tuple[str, str]:
    stars = draw(st.integers(0, 2))

    def path() -> str:
        steps = [f".{draw(names)}" for _ in range(draw(st.integers(1, 2)))]
        for _ in range(stars):
            steps.insert(draw(st.integers(0, len(steps) - 1)), draw(st.sampled_from(["[*]", ".*"])))
        return "$" + "".join(steps)

    return path(), path()


def scalars(value: Any) -> Counter[str]:
    if isinstance(value, dict):
        return sum((scalars(inner) for inner in value.values()), Counter())
    if isinstance(value, list):
        return sum((scalars(inner) for inner in value), Counter())
    return Counter([repr(value)])


@settings(deadline=None, max_examples=300)
@given(documents, st.lists(sides(), min_size=1, max_size=3))
def test_renames_lose_nothing_and_what_was_translated_matches(document: Any, pairs: list[tuple[str, str]]) -> None:
    renames = {source: target for source, target in pairs if parse_path(source) != parse_path(target)}
    result = translated(document, rename=renames)
    assert scalars(result) == scalars(document)
    rules = compile_rules(Compare(rename=renames))
    walk = Walk(Budget(), lambda: 0.0)
    walk.compare(rules.translate(document), result, rules.start, "$")
    assert walk.found == {}
