"""Mode schema: names, presence and types, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.document import Number
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.walk import Walk
from proxy.config.comparing import Compare


def found(a: Any, b: Any, **rules: Any) -> list[tuple[str, str]]:
    walk = Walk(Budget(), lambda: 0.0)
    walk.compare(a, b, compile_rules(Compare(mode="schema", **rules)).start, "$")
    return list(walk.found)


MANY = {f"k{n}": n for n in range(60)}
WIDE = {**{f"k{n}": n for n in range(40)}, **{f"text{n}": "x" for n in range(40)}}


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ({"a": 1}, {"a": 2.5}, []),
        ({"a": 1}, {"a": Number("2e0", whole=False)}, []),
        ({"a": "x"}, {"a": "y"}, []),
        ({"a": True}, {"a": False}, []),
        ({"a": 1}, {"a": "1"}, [("type", "$.a")]),
        ({"a": 1}, {"a": True}, [("type", "$.a")]),
        ({"a": 1}, {"a": None}, [("type", "$.a")]),
        ({"a": {}}, {"a": []}, [("type", "$.a")]),
        ({"a": 1}, {}, [("missing", "$.a")]),
        ({}, {"a": 1}, [("extra", "$.a")]),
        ({"x": [1, 2]}, {"x": [3]}, []),
        ({"x": []}, {"x": [{"a": 1}]}, []),
        ({"x": [{"a": 1}, {"b": 1}]}, {"x": [{"a": 1, "b": 2}]}, []),
        ({"x": [{"a": 1}, {"b": 1}]}, {"x": [{"a": 1}]}, [("missing", "$.x[*].b")]),
        ({"x": [{"a": 1}, {"a": None}]}, {"x": [{"a": 1}]}, [("type", "$.x[*].a")]),
        ({"x": [1, "a"]}, {"x": ["a", 1]}, []),
        ({"x": [[{"a": 1}], []]}, {"x": [[{"a": "1"}]]}, [("type", "$.x[*][*].a")]),
        ({"x": [1, {"a": 1}]}, {"x": [{"a": "1"}]}, [("type", "$.x[*]"), ("type", "$.x[*].a")]),
        ({"by": {"2024-01-01": 1}}, {"by": {"2024-01-02": 2, "2024-01-03": 1}}, []),
        ({"by": {"2024-01-01": 1}}, {"by": {"2024-01-02": "2"}}, [("type", "$.by.*")]),
        ({"by": {"2024-01-01": 1}}, {"by": {}}, []),
        ({"2fa": True, "a": 1}, {"a": 1}, [("missing", "$.*")]),
        (MANY, {"k1": 1, "z": 2}, []),
        (MANY, {"k1": "1"}, [("type", "$.*")]),
        (WIDE, {key: value for key, value in WIDE.items() if key != "text3"}, [("missing", "$.text3")]),
        (WIDE, WIDE | {"k3": "3"}, [("type", "$.k3")]),
        (1, 2, []),
        (1, "2", [("type", "$")]),
    ],
)
def test_shapes_are_compared(legacy: Any, candidate: Any, expected: list[tuple[str, str]]) -> None:
    assert found(legacy, candidate) == expected
    flip = {"missing": "extra", "extra": "missing"}
    assert found(candidate, legacy) == [(flip.get(kind, kind), path) for kind, path in expected]


def test_what_is_shown_are_types_and_no_values() -> None:
    walk = Walk(Budget(), lambda: 0.0)
    rules = compile_rules(Compare(mode="schema"))
    walk.compare({"a": ["s3cret", None], "b": "s3cret"}, {"a": [1]}, rules.start, "$")
    shown = [(found.kind, found.path, found.legacy, found.candidate) for found in walk.differences()]
    assert shown == [("type", "$.a[*]", "null or text", "number"), ("missing", "$.b", "text", "absent")]


def test_what_is_ignored_has_no_shape() -> None:
    assert found({"a": 1, "b": [1]}, {"a": "1", "b": [1, "2"]}, ignore=["$.a", "$.b[*]"]) == []


def test_names_are_the_candidates(compare: Any) -> None:
    result = compare({"old": "x"}, {"new": "y"}, mode="schema", rename={"$.old": "$.new"})
    assert result.verdict == "matched"


documents = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def other_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: other_values(inner) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [other_values(inner) for inner in [*reversed(value), *value]]
    return {str: "another", bool: False, int: 2.5, float: 7}.get(type(value))


@settings(deadline=None)
@given(documents)
def test_other_values_of_the_same_shape_are_no_difference(document: Any) -> None:
    assert found(document, other_values(document)) == []
