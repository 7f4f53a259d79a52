"""Walks: differences are found exactly where the rules say, named by what changed, and the same from both sides."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from walks import ONE, found, walk

from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget, Incomparable
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, Redaction


def things(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"thing {n}", "price": n * 1.25} | more for n in numbers]


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ([1, 2], [1, 2, 3], {("size", "$"): 1, ("extra", "$[*]"): 1}),
        ([1, 2, 3], [2, 3], {("size", "$"): 1, ("missing", "$[*]"): 1}),
        ([], [{}], {("size", "$"): 1, ("extra", "$[*]"): 1}),
        (things(1, 2, 3, 4), things(1, 2, 9, 3, 4), {("size", "$"): 1, ("extra", "$[*]"): 1}),
        (things(1, 2, 3, 4), things(2, 3, 4, 5), {("missing", "$[*]"): 1, ("extra", "$[*]"): 1}),
        (things(1, 2, 3), things(2, 3, v=1), {("size", "$"): 1, ("missing", "$[*]"): 1, ("extra", "$[*].v"): 2}),
        (things(1, 2, 3), [*things(3, v=1), *things(1, 2)], {("order", "$"): 1, ("extra", "$[*].v"): 1}),
        ([*things(1), *things(2)], [*things(2, name="thing 1", price=1.25), *things(1, name="thing 2", price=2.5)],
         {("value", "$[*].id"): 2}),
        (["a", "b"], ["b", "c"], {("value", "$[*]"): 2}),
        ([0, 0, 1, 0], [0, 1, 0], {("size", "$"): 1, ("missing", "$[*]"): 1}),
        ([{"v": 1}, {"v": 2}], [{"v": 2}, {"v": 1}], {("order", "$"): 1}),
        ([{"v": 1}, {"v": 2}], [{"v": 2}, {"v": 3}], {("value", "$[*].v"): 2}),
        ([{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 9}], {("value", "$[*].id"): 1}),
        ([[1, 2], [3]], [[1, 2], [3], [4]], {("size", "$"): 1, ("extra", "$[*]"): 1}),
    ],
)  # fmt: skip
def test_items_put_in_left_out_or_moved_are_named(legacy: Any, candidate: Any, expected: Any) -> None:
    assert found(legacy, candidate) == expected


def test_one_item_put_into_a_long_list_is_two_differences() -> None:
    legacy = {"items": things(*range(1000))}
    candidate = {"items": things(*range(500), 5000, *range(500, 1000))}
    assert found(legacy, candidate) == {("size", "$.items"): 1, ("extra", "$.items[*]"): 1}


@pytest.mark.parametrize("rules", [{}, {"unordered": {"$": None}}, {"unordered": {"$": "id"}}])
def test_what_python_calls_equal_is_found_beside_what_it_does_not(rules: Any) -> None:
    legacy = things(*range(200), new=1, size=0.0)
    candidate = things(*range(200), new=1, size=0.0)
    candidate[70] |= {"new": True}
    candidate[71] |= {"name": "another"}
    candidate[72] |= {"size": -0.0}
    places = {("type", "$[*].new"): 1, ("value", "$[*].name"): 1, ("value", "$[*].size"): 1}
    assert found(legacy, candidate, **rules) == places


def test_fields_of_a_wide_record_are_told_apart_and_keys_of_a_map_are_not() -> None:
    record = {f"n{n}": n for n in range(30)} | {f"text{n}": "a" for n in range(30)}
    assert found(record, record | {"n3": 4, "text4": "b"}) == {("value", "$.n3"): 1, ("value", "$.text4"): 1}
    prices: dict[str, Any] = {f"n{n}": n * 0.5 if n % 2 else None for n in range(60)}
    changed = prices | {"n3": "4", "n5": 4, "more": 1}
    assert found(prices, changed) == {("type", "$.*"): 1, ("value", "$.*"): 1, ("extra", "$.*"): 1}
    assert found(changed, prices) == {("type", "$.*"): 1, ("value", "$.*"): 1, ("missing", "$.*"): 1}
    many = {f"n{n}": n if n % 2 else "a" for n in range(1001)}
    assert found(many, many | {"n3": 4}) == {("value", "$.*"): 1}


def test_positions_that_rules_name_keep_their_meaning() -> None:
    rules = {"ignore": ["$[0]", "$[3]"]}
    assert found([1, 2, 3], [9, 1, 2, 3], **rules) == {("size", "$"): 1, ("value", "$[*]"): 2}
    assert found([1, 2, 3], [2, 2, 3], **rules) == {}
    assert found([1, 2], [1, 2, 3], ignore=["$[0]"]) == {("size", "$"): 1, ("extra", "$[*]"): 1}
    assert found([1, 2, 3], [1, 2], ignore=["$[0]"]) == {("size", "$"): 1, ("missing", "$[*]"): 1}


def test_items_that_moved_are_compared_where_rules_let_them_differ() -> None:
    legacy, candidate = [{"k": "a", "p": 1.0}, {"k": "b", "p": 5.0}], [{"k": "b", "p": 9.0}, {"k": "a", "p": 1.0}]
    assert found(legacy, candidate, tolerance={"$[*].p": 0.1}) == {("order", "$"): 1, ("value", "$[*].p"): 1}


def test_a_member_that_is_ignored_identifies_no_item() -> None:
    legacy = [{"id": n, "v": n} for n in (1, 2, 3)]
    expected = {("size", "$"): 1, ("missing", "$[*]"): 1, ("value", "$[*].v"): 1}
    assert found(legacy, [{"id": 2, "v": 1}, {"id": 1, "v": 5}], ignore=["$[*].id"]) == expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "key", "expected"),
    [
        (things(1, 2), things(2, 1, v=1), "id", {("extra", "$[*].v"): 2}),
        (things(1, 2), things(3, 2), "id", {("missing", "$[*]"): 1, ("extra", "$[*]"): 1}),
        ([{"id": 7, "v": 1}], [{"id": "7", "v": 2}], "id", {("type", "$[*].id"): 1, ("value", "$[*].v"): 1}),
        (things(1, 2, 3), [*things(3, price=0), *things(2), *things(1)], None, {("value", "$[*].price"): 1}),
        (["a", "b", "c"], ["c", "x", "a"], None, {("value", "$[*]"): 1}),
        (["a", "b", "c"], ["c", "x", "y"], None, {("missing", "$[*]"): 2, ("extra", "$[*]"): 2}),
        ([1, 2, 3], ["3", "2", "1"], None, {("type", "$[*]"): 3}),
        ([{"id": 1, "a": 1}, {"id": 1, "a": 2}], [{"id": 1, "a": 2}, {"id": 1, "a": 3}], "id",
         {("value", "$[*].a"): 1}),
    ],
)  # fmt: skip
def test_items_of_unordered_lists_are_compared_with_their_likes(
    legacy: Any, candidate: Any, key: str | None, expected: Any
) -> None:
    assert found(legacy, candidate, unordered={"$": key}) == expected


@pytest.mark.parametrize("key", ["id", None])
def test_half_changed_unordered_objects_name_the_field_that_differs(key: str | None) -> None:
    legacy = [{"id": n, "v": {"x": n, "y": [n] * 5}, "name": f"n{n}"} for n in range(200)]
    candidate = [{**item, "v": {"x": -1, "y": item["v"]["y"]}} if item["id"] % 2 else item for item in legacy]
    random.Random(1).shuffle(candidate)
    made = walk(legacy, candidate, compile_rules(Compare(unordered={"$": key})), Budget(nodes=20_000))
    assert {place: values[2] for place, values in made.found.items()} == {("value", "$[*].v.x"): 100}


def test_multisets_of_close_numbers_get_the_best_choice() -> None:
    rules: dict[str, Any] = {"unordered": {"$": None}, "tolerance": {"$..p": 0.01, "$..q": 0.01}}
    legacy = [{"p": 1.0, "q": 5.0}, {"p": 1.005, "q": 1.0}]
    candidate = [{"p": 1.0, "q": 1.0}, {"p": 1.005, "q": 5.0}]
    assert found(legacy, candidate, **rules) == {}
    assert found(legacy, [*candidate[:1], {"p": 1.005, "q": 5.1}], **rules) == {("value", "$[*].q"): 1}
    # In the order of p all but one are near enough; changing partners they all are.
    legacy = [{"p": 1.0, "q": 5.0}, {"p": 1.005, "q": 4.995}, {"p": 9.5, "q": 1.5}]
    candidate = [{"p": 1.0, "q": 4.99}, {"p": 1.001, "q": 5.01}, {"p": 9.5, "q": 1.5}]
    assert found(legacy, candidate, **rules) == {}
    many = [{"p": n / 100, "q": 1.0} for n in range(60)]
    moved = [{"p": (n + 1) / 100, "q": 1.0} for n in range(60)]
    assert found(many, moved[::-1], **rules) == {}


@pytest.mark.parametrize(
    ("legacy", "candidate", "rules", "expected"),
    [
        (100, 101, {"tolerance": {"$": "1%"}}, {}),
        (101, 100, {"tolerance": {"$": "1%"}}, {}),
        (100, 101.0001, {"tolerance": {"$": "1%"}}, {("value", "$"): 1}),
        (-100, -99, {"tolerance": {"$": "1%"}}, {}),
        (0, 0.0001, {"tolerance": {"$": "1%"}}, {("value", "$"): 1}),
        (0.1, 0.3, {"tolerance": {"$": 0.2}}, {}),
        (100, "100", {"tolerance": {"$": "1%"}}, {("type", "$"): 1}),
        ("100", 100, {"tolerance": {"$": 1}}, {("type", "$"): 1}),
        ("100", "101", {"tolerance": {"$": 1}}, {("value", "$"): 1}),
        (1, True, {"tolerance": {"$": 1}}, {("type", "$"): 1}),
        (10**17, 10**17 + 1, {"tolerance": {"$": 1}}, {}),
        (10**17, 10**17 + 2, {"tolerance": {"$": 1}}, {("value", "$"): 1}),
        (ONE, ONE.upper(), {"match": {"$": "uuid"}}, {("format", "$"): 1}),
        (ONE, None, {"match": {"$": "uuid"}}, {("type", "$"): 1}),
        (ONE, {}, {"match": {"$": "uuid"}}, {("type", "$"): 1}),
        ([ONE], [ONE, ONE], {"match": {"$": "uuid"}}, {("size", "$"): 1, ("extra", "$[*]"): 1}),
        ("a", "b", {"match": {"$": "uuid"}}, {("value", "$"): 1}),
        (1, 2, {"match": {"$": "number"}, "tolerance": {"$": 0.1}}, {}),
        ({"a": {"id": 1}}, {"a": {"id": 2}}, {"match": {"$..id": "uuid", "$.a.id": "number"}}, {}),
        ({"a": {"id": 1}}, {"a": {"id": 2}}, {"match": {"$.a.id": "number", "$..id": "uuid"}}, {}),
        ({"a": {"b": [{"a": {"b": 1}}]}}, {"a": {"b": [{"a": {"b": 2}}]}}, {"tolerance": {"$..a.b": 1}}, {}),
    ],
)  # fmt: skip
def test_values_are_let_pass_as_the_rules_say(legacy: Any, candidate: Any, rules: Any, expected: Any) -> None:
    assert found(legacy, candidate, **rules) == expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "rules", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, {}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {}, {("missing", "$.b"): 1}),
        ({"a": 1}, {"a": 2, "b": 2}, {}, {("value", "$.a"): 1}),
        ([{"a": 1}], [{"a": 1, "b": 2}], {}, {}),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], {}, {("size", "$"): 1, ("extra", "$[*]"): 1}),
        ([{}, {"a": 1}], [{"a": 1}, {"a": 1, "b": 2}], {}, {}),
        ([{"a": 1}, {"b": 1}], [{"b": 1}, {"a": 1}], {}, {("order", "$"): 1}),
        (things(1, 2), [*things(2, v=1), *things(1, v=1)], {}, {("order", "$"): 1}),
        (things(1, 2), things(3, 2, 1, v=1), {"unordered": {"$": "id"}}, {}),
        (things(1, 2), things(3, 2, 1, v=1), {"unordered": {"$": None}}, {}),
        (things(1, 2), things(3, 2, v=1), {"unordered": {"$": "id"}}, {("missing", "$[*]"): 1}),
        ([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1, "b": 2, "c": 3}, {"a": 1, "d": 4}], {"unordered": {"$": None}}, {}),
        ([{"p": 1.005}, {"p": 1.01, "z": 1}], [{"p": 1.01, "z": 1}, {"p": 1.02, "z": 1}],
         {"unordered": {"$": None}, "tolerance": {"$[*].p": 0.01}}, {}),
    ],
)  # fmt: skip
def test_mode_subset_lets_the_candidate_say_more(legacy: Any, candidate: Any, rules: Any, expected: Any) -> None:
    assert found(legacy, candidate, mode="subset", **rules) == expected


def test_an_object_of_many_members_on_one_side_is_a_map_on_both() -> None:
    many, few = {f"k{letter}{n}": n for letter in "abcdef" for n in range(10)}, {"ka0": 1}
    assert found(many, few) == {("value", "$.*"): 1, ("missing", "$.*"): 59}
    assert found(few, many) == {("value", "$.*"): 1, ("extra", "$.*"): 59}


@pytest.mark.parametrize("rules", [
    {}, {"unordered": {"$": None, "$..*": None}}, {"unordered": {"$": None, "$..*": None}, "tolerance": {"$..*": 0.1}},
    {"mode": "subset"}, {"mode": "subset", "unordered": {"$": None, "$..*": None}}, {"mode": "schema"},
    {"map": {"$..*": {"x": "y"}}},
])  # fmt: skip
@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: [x, 1], lambda x: [[x], 1], lambda x: [{"id": 1, "a": x}]])
def test_the_deepest_documents_are_walked(rules: Any, wrap: Callable[[Any], Any]) -> None:
    legacy: Any = 1
    candidate: Any = "2"
    for _ in range(240 // (str(wrap("")).count("[") + str(wrap("")).count("{"))):
        legacy, candidate = wrap(legacy), wrap(candidate)
    compiled = compile_rules(Compare(**rules))
    assert walk(compiled.translate(legacy), candidate, compiled).found


def test_trials_within_trials_end_within_the_budget() -> None:
    def nested(depth: int, leaf: float) -> Any:
        return leaf if depth == 0 else [nested(depth - 1, leaf + n * 0.001 * depth) for n in range(6)]

    rules = compile_rules(Compare(unordered={"$": None, "$..*": None}, tolerance={"$..*": 0.001}))
    with pytest.raises(Incomparable, match="budget"):
        walk(nested(6, 1.0), nested(6, 1.002), rules, Budget())


def test_what_lies_below_the_deepest_trial_is_compared_all_the_same() -> None:
    def nested(depth: int, leaf: float) -> Any:
        return leaf if depth == 0 else [nested(depth - 1, leaf), nested(depth - 1, 1.0)]

    rules = {"unordered": {"$": None, "$..*": None}, "tolerance": {"$..*": 0.1}}
    assert found(nested(9, 1.0), nested(9, 5.0), **rules) == {("value", "$" + "[*]" * 9): 1}
    assert found(nested(9, 1.0), nested(9, 1.05), **rules) == {}


def test_a_long_hostile_value_costs_steps() -> None:
    rules = compile_rules(Compare(match={"$[*]": {"regex": "[a-z]*[a-m]?x"}}))
    texts = ["a" * 1023 + "y"] * 300
    with pytest.raises(Incomparable, match="budget"):
        walk(texts, [text[:-1] + "z" for text in texts], rules, Budget())


# -- what is shown of lists in another order --------------------------------------------------------------------------


def moved(a: list[Any], b: list[Any], **rules: Any) -> tuple[str, str]:
    return walk({"kits": a}, {"kits": b}, compile_rules(Compare(**rules))).found["order", "$.kits"][:2]


def test_items_in_another_order_are_shown_by_what_identifies_them_from_where_they_differ() -> None:
    kits = [{"sku": f"KIT-{n}", "price": n, "kind": "kit"} for n in range(1, 9)]
    other = [*kits[:2], kits[3], kits[2], *kits[4:]]
    assert moved(kits, other) == (
        '[…, "KIT-3", "KIT-4", "KIT-5", "KIT-6", …]', '[…, "KIT-4", "KIT-3", "KIT-5", "KIT-6", …]',
    )  # fmt: skip


def test_a_name_that_tells_nothing_apart_or_is_ignored_does_not_identify() -> None:
    kits = [{"id": n, "key": "kit", "code": f"K{n}"} for n in (1, 2)]
    assert moved(kits, kits[::-1]) == ("[1, 2]", "[2, 1]")
    assert moved(kits, kits[::-1], ignore=["$.kits[*].id"]) == ('["K1", "K2"]', '["K2", "K1"]')


def test_scalars_in_another_order_are_shown_from_where_they_differ() -> None:
    assert moved([*range(20), 98, 99], [*range(20), 99, 98]) == ("[…, 98, 99]", "[…, 99, 98]")
    long = [letter * 500 for letter in "abcdefgh"]
    assert all(len(side) < 260 for side in moved(long, long[::-1]))


def test_items_that_nothing_identifies_are_shown_by_their_size() -> None:
    assert moved([{"v": 1}, {"w": 2}], [{"w": 2}, {"v": 1}])[0] == "[object with 1 member, object with 1 member]"


def test_items_that_moved_are_shown_from_one_place_on_whichever_side_they_are_of() -> None:
    a, b = [0, {}, 0], [{}, 0, 0]
    assert moved(a, b) == moved(b, a)[::-1] == ("[0, object with 0 members, 0]", "[object with 0 members, 0, 0]")
    a, b = [{"x": 0, "y": "a"}, {"x": 1, "y": 0}], [{"y": 0, "x": 1}, {"y": "a", "x": 0}]
    assert moved(a, b) == moved(b, a)[::-1] == ("[0, 1]", "[1, 0]")


def test_items_without_a_name_are_shown_by_what_tells_them_apart() -> None:
    lines = [{"@lang": "en", "price": {"@cur": "EUR", "#text": text}} for text in ("19.90", "5.00")]
    assert moved(lines, lines[::-1]) == ('["19.90", "5.00"]', '["5.00", "19.90"]')
    rows = [{"td": ["x", f"KIT-{n}"]} for n in (1, 2)]
    assert moved(rows, rows[::-1]) == ('["KIT-1", "KIT-2"]', '["KIT-2", "KIT-1"]')
    assert "object" in moved(rows, rows[::-1], unordered={"$.kits[*].td": None})[0]


def test_what_identifies_items_is_masked_where_it_is_secret() -> None:
    below = [{"password": {"#text": word}} for word in ("hunter-one", "hunter-two")]
    assert "hunter" not in "".join(moved(below, below[::-1]))
    tokens = [{"name": f"ghp_{letter * 36}"} for letter in "ab"]
    assert "ghp_" not in "".join(moved(tokens, tokens[::-1]))
    inside = [{"id": "hunter-one"}, {"id": "hunter-two"}]
    made = walk({"password": inside}, {"password": inside[::-1]})
    assert {kind for kind, _ in made.found} == {"order"}
    assert "hunter" not in str(made.found)
    codes = [{"code": "hunter-one"}, {"code": "hunter-two"}]
    named = walk({"kits": codes}, {"kits": codes[::-1]}, redactor=make_redactor(Redaction(names=["code"]), b"k" * 32))
    assert {kind for kind, _ in named.found} == {"order"}
    assert "hunter" not in str(named.found)
