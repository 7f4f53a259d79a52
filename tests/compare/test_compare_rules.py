"""Rules: what they hold for, and which of two holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.paths import Step
from proxy.compare.rules import compile_rules, place_of
from proxy.compare.states import State
from proxy.config.comparing import Compare


def state(path: list[str | int], **rules: Any) -> State:
    here = compile_rules(Compare.model_validate(rules)).start
    for step in path:
        here = here.item(step) if isinstance(step, int) else here.member(step)
    return here


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("$", [], True), ("$.a", ["a"], True), ("$.a", ["a", "b"], False), ("$.a", ["b"], False), ("$.*", ["a"], True),
        ("$[*]", [3], True), ("$[3]", [3], True), ("$[3]", [2], False), ("$..a", ["x", 1, "a"], True),
        ("$..a.b", ["a", "a", "b"], True), ("$..a.b", ["a", "b", "a", "b"], True), ("$..a.b", ["a", "x", "b"], False),
        ("$..a..b", ["a", "x", 0, "b"], True), ("$..*", ["a"], True), ("$..*", [], False), ("$..[0]", ["a", 0], True),
        ("$.@id", ["@id"], True), ("$.#text", ["#text"], True), ("$..#order", ["p", "#order"], True),
    ],
)  # fmt: skip
def test_a_rule_holds_where_its_path_leads(rule: str, path: list[str | int], *, expected: bool) -> None:
    assert state(path, ignore=[rule]).ignore is expected


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_rules_the_more_exact_one_holds(order: int) -> None:
    def held(rules: dict[str, Any]) -> Any:
        matcher = state(["items", 0, "id"], match=dict(list(rules.items())[::order])).matcher
        return matcher.kind if matcher else None

    assert held({"$..id": "uuid", "$.items[*].id": "number"}) == "number"
    assert held({"$.*[*].id": "uuid", "$.items[*].id": "number"}) == "number"
    assert held({"$.items[0].id": "uuid", "$.items[*].id": "number"}) == "uuid"


def test_of_two_equally_exact_rules_the_later_holds() -> None:
    found = state(["a", "b"], match={"$.*.b": "uuid", "$.a.*": "number"}).matcher
    assert found is not None
    assert found.kind == "number"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["$..a.b", "$..b", "$..a..b.a", "$.a.*", "$[0].b", "$..*.b", "$..a[1]"]), max_size=4),
    st.lists(st.sampled_from(["a", "b", 0, 1]), max_size=6),
)
def test_states_agree_with_reading_the_paths_step_by_step(rules: list[str], path: list[str | int]) -> None:
    compiled = compile_rules(Compare(ignore=rules))

    def leads(steps: tuple[Step, ...], rest: list[str | int]) -> bool:
        if not steps:
            return not rest
        if not rest:
            return False
        step = steps[0]
        here = step.wild or rest[0] == (step.name if step.name is not None else step.position)
        return (here and leads(steps[1:], rest[1:])) or (step.deep and leads(steps, rest[1:]))

    expected = any(leads(rule.steps, path) for rule in compiled.rules)
    assert state(path, ignore=rules).ignore is expected


def test_documents_made_for_it_do_not_grow_the_states_without_end() -> None:
    rules = compile_rules(Compare(ignore=[f"$..{name}{'.*' * n}.x" for n in range(12) for name in "ab"]))
    for number in range(20_000):
        here = rules.start
        for bit in range(15):
            here = here.member("a" if number >> bit & 1 else "b")
    assert len(rules.start._machine._states) <= 4096


def test_headers_and_cookies_are_places_of_their_own() -> None:
    rules = compile_rules(
        Compare(ignore=["header:ETag", "cookie:Theme", "cookie:sid;Expires"], match={"header:X-Id": "uuid"})
    )
    assert rules.places["header:etag"].ignore
    assert rules.places["cookie:theme"].ignore
    assert rules.places["cookie:sid;expires"].ignore
    matcher = rules.places["header:x-id"].matcher
    assert matcher is not None
    assert matcher.kind == "uuid"
    assert rules.without_ignore.places.keys() == {"header:x-id"}
    assert rules.start.plain
    assert not rules.ignores


@pytest.mark.parametrize(
    "text", ["header:", "header:a b", "cookie:", "cookie:a;", "cookie:a=b", "header:a;b", "header:a:b"]
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no place"):
        place_of(text)


def test_one_matcher_does_not_stand_in_for_another() -> None:
    rules = compile_rules(Compare(match={"$.a": "uuid", "$.b": "number", "header:c": "opaque"}))
    kinds = [found.matcher.kind for found in (rules.start.member("a"), rules.start.member("b")) if found.matcher]
    assert kinds == ["uuid", "number"]
    assert rules.places["header:c"].matcher is not None
