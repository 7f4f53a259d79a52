"""Where in the recorded bodies a difference stands, told by the walk that found it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare.places import MAX_PLACES, places
from proxy.compare.record import record
from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Pair

REDACTOR = make_redactor(Redaction(), b"r" * 32)
DEFAULT = Budget()
Marks = tuple[dict[str, Any], list[tuple[str, str]], list[tuple[str, str]]]
Placing = Callable[..., Marks]


@pytest.fixture
def placing(make_pair: Callable[..., Pair], make_answer: Callable[..., Answer]) -> Placing:
    """The places of two bodies, and for each side its marked lines with ``kind path`` or the word."""

    def place(legacy: Any, candidate: Any, budget: Budget = DEFAULT, **rules: Any) -> Marks:
        one, two = (side if isinstance(side, Answer) else make_answer(side) for side in (legacy, candidate))
        pair, compiled = make_pair(one, two), compile_rules(Compare(**rules))
        result = compare_pair(pair, compiled, Budget(), lambda: 0.0, REDACTOR)
        made = record(pair, result, Budget(), REDACTOR)
        found = places(pair, compiled, budget, lambda: 0.0, result, made, REDACTOR)
        return found, _marked(made, found, result, "legacy"), _marked(made, found, result, "candidate")

    return place


def _marked(made: dict[str, Any], found: dict[str, Any], result: Result, side: str) -> list[tuple[str, str]]:
    text = (made[side]["body"]["text"] or "").split("\n")
    marked = []
    for first, lines, what in found[side]:
        word = what if isinstance(what, str) else " ".join(result.differences[what][:2])
        marked += [(line.strip().rstrip(","), word) for line in text[first : first + lines]]
    return sorted(marked)


def test_a_value_is_placed_on_its_line_of_both_sides(placing: Placing) -> None:
    found, legacy, candidate = placing({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5, "d": 3}})
    assert found["whole"]
    assert legacy == [('"c": 2', "value $.b.c")]
    assert candidate == [('"c": 5', "value $.b.c")]


def test_of_two_places_with_one_path_only_that_which_is_not_tolerated_is_the_difference(placing: Placing) -> None:
    rules = {"tolerance": {"$.items[*].price": 0.1}}
    mine = {"items": [{"price": 1.0, "n": 1}, {"price": 2.0, "n": 2}]}
    yours = {"items": [{"price": 1.05, "n": 1}, {"price": 3.0, "n": 2}]}
    found, legacy, candidate = placing(mine, yours, **rules)
    assert found["whole"]
    assert legacy == [('"price": 1.0', "tolerated"), ('"price": 2.0', "value $.items[*].price")]
    assert candidate == [('"price": 1.05', "tolerated"), ('"price": 3.0', "value $.items[*].price")]


def test_what_rules_let_pass_is_named_by_its_rule(placing: Placing) -> None:
    rules = {"ignore": ["$.at"], "match": {"$.id": "uuid"}, "mode": "subset"}
    mine = {"at": 1, "id": "3f2b1c9e-8a4d-4e6f-9b1a-2c3d4e5f6a7b", "n": 1}
    yours = {"at": 2, "id": "9d2b1c9e-8a4d-4e6f-9b1a-2c3d4e5f6a7b", "n": 2, "new": [1]}
    found, legacy, candidate = placing(mine, yours, **rules)
    assert found["whole"]
    assert {word for _, word in legacy} == {"ignored", "match", "value $.n"}
    assert ('"new": [', "subset") in candidate


def test_items_in_another_order_are_placed_where_they_stand(placing: Placing) -> None:
    mine = {"items": [{"id": 1, "price": 10}, {"id": 2, "price": 20}]}
    yours = {"items": [{"id": 2, "price": 21}, {"id": 1, "price": 10}]}
    found, legacy, candidate = placing(mine, yours, unordered={"$.items": "id"})
    assert found["whole"]
    price = "value $.items[*].price"
    assert [line for line in legacy if line[1] != "unordered"] == [('"price": 20', price)]
    assert [line for line in candidate if line[1] != "unordered"] == [('"price": 21', price)]


def test_what_one_side_lacks_is_placed_with_all_its_lines(placing: Placing) -> None:
    found, legacy, candidate = placing({"a": {"b": 1, "c": []}, "z": 0}, {"z": 0, "n": {}})
    assert found["whole"]
    assert legacy == [
        ('"a": {', "missing $.a"),
        ('"b": 1', "missing $.a"),
        ('"c": []', "missing $.a"),
        ("}", "missing $.a"),
    ]
    assert candidate == [('"n": {}', "extra $.n")]


def test_equal_scalars_of_a_list_are_told_apart_by_their_place(placing: Placing) -> None:
    found, _, _ = placing([1, 1, 2], [1, 3, 2])
    assert found["legacy"] == found["candidate"] == [[2, 1, 0]]


def test_equal_scalars_that_all_differ_have_a_place_each(placing: Placing) -> None:
    found, _, _ = placing([0, 0, 5, 0], [1, 1, 5, 1])
    assert found["legacy"] == found["candidate"] == [[1, 1, 0], [2, 1, 0], [4, 1, 0]]
    loose, _, _ = placing([1.0, 1.0], [1.05, 1.05], tolerance={"$[*]": 0.1})
    assert [span[:2] for span in loose["legacy"]] == [[1, 1], [2, 1]]


def test_a_list_of_another_length_is_placed_where_it_begins(placing: Placing) -> None:
    _, legacy, candidate = placing({"l": ["a", "b"]}, {"l": ["a", "b", "c"]})
    assert legacy == [('"l": [', "size $.l")]
    assert candidate == [('"c"', "extra $.l[*]"), ('"l": [', "size $.l")]


def test_of_another_order_only_the_moved_items_are_placed(placing: Placing) -> None:
    found, legacy, candidate = placing({"l": ["a", "b", "c", "d"]}, {"l": ["b", "a", "c", "d"]})
    assert found["whole"]
    assert (legacy, candidate) == ([('"a"', "order $.l"), ('"b"', "order $.l")],) * 2
    tags = [{"n": 1, "tags": ["x", "y"]}, {"n": 2}, {"n": 3}]
    mine, yours = {"l": tags}, {"l": [{"n": 1, "tags": ["y", "x"]}, {"n": 3}, {"n": 2}]}
    _, legacy, _ = placing(mine, yours, unordered={"$.l[*].tags": None})
    assert ('"n": 2', "order $.l") in legacy
    assert ('"x"', "unordered") in legacy


def test_of_another_order_one_item_says_where_it_went(placing: Placing) -> None:
    items = [{"n": n, "tags": ["x", "y"]} for n in range(6)]
    other = [items[0], *items[2:5], {"n": 1, "tags": ["y", "x"]}, items[5]]
    found, _, _ = placing({"l": items}, {"l": other}, unordered={"$.l[*].tags": None})
    assert found["moved"] == [[0, 1, 4]]
    assert placing({"l": [1, 2, 3]}, {"l": [3, 2]})[0]["moved"] == []
    assert placing([1, 2], [1, 3])[0]["moved"] == []


def test_a_root_that_is_no_object_is_placed(placing: Placing) -> None:
    assert placing(1, 2)[0]["legacy"] == [[0, 1, 0]]
    assert placing({"a": 1}, [1])[0]["legacy"] == [[0, 3, 0]]


def test_renamed_members_are_not_guessed(placing: Placing) -> None:
    found, legacy, candidate = placing(
        {"name": "A", "n": 1}, {"customer": {"name": "B"}, "n": 1}, rename={"$.name": "$.customer.name"}
    )
    assert not found["whole"]
    assert legacy == []
    assert candidate == [('"name": "B"', "value $.customer.name")]


@pytest.mark.parametrize(
    ("media", "body", "why"),
    [
        (b"text/html", b"<p>a</p>", "places are known in JSON only"),
        (b"application/json", orjson.dumps("x" * 70_000), "a recorded body is not whole"),
    ],
)
def test_what_cannot_be_placed_says_why(
    placing: Placing, make_answer: Callable[..., Answer], media: bytes, body: bytes, why: str
) -> None:
    fields = [(b"Content-Type", media)]
    found, _, _ = placing(make_answer(body, fields), make_answer(body.replace(b"a", b"b"), fields))
    assert found == {"legacy": [], "candidate": [], "whole": False, "why": why}


def test_statuses_of_two_classes_and_shapes_have_no_places(
    placing: Placing, make_answer: Callable[..., Answer]
) -> None:
    found, _, _ = placing(make_answer({"a": 1}), make_answer({"a": 2}, status=500))
    assert found["why"] == "bodies of answers with such statuses are not compared"
    assert "shapes" in placing({"a": 1}, {"a": "1"}, mode="schema")[0]["why"]


def test_a_walk_out_of_budget_places_nothing(placing: Placing) -> None:
    found, _, _ = placing(list(range(3000)), list(range(1, 3001)), budget=Budget(nodes=100))
    assert found["why"] == "the bodies could not be read once more"


def test_places_are_bounded(placing: Placing) -> None:
    found, _, _ = placing([{"n": i} for i in range(1000)], [{"n": -i - 1} for i in range(1000)])
    assert len(found["legacy"]) == MAX_PLACES
    assert not found["whole"]


scalars = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"]), st.booleans(), st.none(), st.floats(0, 1))
documents = st.recursive(
    scalars, lambda d: st.lists(d, max_size=4) | st.dictionaries(st.sampled_from("abcd"), d, max_size=4), max_leaves=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(documents, documents, st.booleans())
def test_every_difference_is_placed_where_its_value_stands(
    make_pair: Callable[..., Pair], make_answer: Callable[..., Answer], legacy: Any, candidate: Any, unordered: bool
) -> None:
    rules = compile_rules(Compare(unordered={"$..*": None} if unordered else {}))
    pair = make_pair(make_answer(legacy), make_answer(candidate))
    result = compare_pair(pair, rules, DEFAULT, lambda: 0.0)
    made = record(pair, result, DEFAULT)
    found = places(pair, rules, DEFAULT, lambda: 0.0, result, made)
    assert (found["whole"], found["why"]) == (True, "")
    for side in ("legacy", "candidate"):
        text = made[side]["body"]["text"].split("\n")
        for first, lines, what in found[side]:
            if what == "unordered":
                continue
            difference = result.differences[what]
            assert first + lines <= len(text)
            value = text[first].rstrip(",")
            if difference.times == 1 and difference.kind in ("value", "type", "missing", "extra"):
                assert value.endswith((getattr(difference, side), "{", "[", "{}", "[]"))
                assert (lines == 1) == (not value.endswith(("{", "[")))
    for number, difference in enumerate(result.differences):
        if difference.kind in ("value", "type", "missing", "extra"):
            for side, absent in (("legacy", "extra"), ("candidate", "missing")):
                spans = {first for first, _, what in found[side] if what == number}
                assert len(spans) == (0 if difference.kind == absent else difference.times)
