"""Walks against a plain model of what rules mean, with documents and changes by chance."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walks import ONE, found, walk

from proxy.compare import multisets
from proxy.compare.document import canonical
from proxy.compare.matchers import compare as matched
from proxy.compare.rules import CompareRules, compile_rules
from proxy.compare.states import State
from proxy.compare.walk import same_scalar
from proxy.config.comparing import Compare


def means_the_same(a: Any, b: Any, state: State) -> bool:
    """What rules mean, written as plainly as can be, to hold the walk against."""
    if state.ignore:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {*a, *(() if state.mode == "subset" else b)}:
            below = state.member(key)
            if not below.ignore and not (key in a and key in b and means_the_same(a[key], b[key], below)):
                return False
        return True
    if isinstance(a, list) and isinstance(b, list):
        if not state.unordered:
            return len(a) == len(b) and all(
                means_the_same(x, y, state.item(n)) for n, (x, y) in enumerate(zip(a, b, strict=True))
            )
        item = state.item(-1)
        enough = len(a) <= len(b) if state.mode == "subset" else len(a) == len(b)
        return item.ignore or (enough and can_be_paired(a, b, state, item))
    if same_scalar(a, b):
        return True
    if state.matcher is not None:
        return matched(state.matcher, a, b) == "equal"
    return state.tolerance is not None and state.tolerance.allows(a, b)


def can_be_paired(a: list[Any], b: list[Any], state: State, item: State) -> bool:
    def identity(x: Any) -> bytes:
        return canonical(x[state.key]) if state.key and isinstance(x, dict) and state.key in x else b""

    if not a:
        return True
    return any(
        identity(a[0]) == identity(y)
        and means_the_same(a[0], y, item)
        and can_be_paired(a[1:], [*b[:n], *b[n + 1 :]], state, item)
        for n, y in enumerate(b)
    )


NAMES = ["id", "name", "a", "tags"]
PATHS = ["$", "$.*", "$..*", "$[*]", "$[*][*]", "$.a", "$.tags", "$..tags", "$.name.tags", "$..a.tags", "$[*].a",
    "$[0]", "$..id", "$[*].id", "$.*.*"]  # fmt: skip
TEXTS = ["a", "b", "1", "", "2024-01-01T00:00:00Z", "2024-01-01T00:00:03Z", ONE, ONE.replace("3", "4"), ONE.upper()]
leaves = st.sampled_from([None, True, False, 0, 1, 2, 10, 1.0, 1.5, 10.0, 10.005, 10.01, *TEXTS])
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
paths = st.sampled_from(PATHS)
matchers = st.sampled_from(["uuid", "number", "timestamp", "opaque", {"timestamp": "2s"}, {"regex": "[a-z]+"}])
rules = st.fixed_dictionaries(
    {
        "ignore": st.lists(paths.filter(lambda path: path != "$"), max_size=1),
        "unordered": st.dictionaries(paths, st.sampled_from([None, None, "id", "name"]), max_size=2),
        "tolerance": st.dictionaries(paths, st.sampled_from([0.01, 1, "1%"]), max_size=2),
        "match": st.dictionaries(paths, matchers, max_size=2),
        "mode": st.sampled_from(["exact", "exact", "subset"]),
    }
).map(lambda written: compile_rules(Compare.model_validate(written)))


def changed(value: Any, dice: random.Random) -> Any:
    """The value with something moved, put in, left out or replaced."""
    if isinstance(value, list) and value and dice.random() < 0.8:
        items = list(value)
        match dice.randrange(5):
            case 0:
                dice.shuffle(items)
            case 1:
                items.pop(dice.randrange(len(items)))
            case 2:
                items.insert(dice.randrange(len(items) + 1), copy.deepcopy(dice.choice(items)))
            case 3:
                items = [*items[1:], dice.choice(TEXTS)]
            case _:
                at = dice.randrange(len(items))
                items[at] = changed(items[at], dice)
        return items
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(sorted(value))
        if dice.random() < 0.2:
            return {**value, dice.choice(NAMES): 1}
        return {**value, key: changed(value[key], dice)}
    return dice.choice([None, 1, 1.005, 10.01, *TEXTS, [], {}])


@settings(deadline=None, max_examples=400)
@given(documents, rules, st.integers(1, 3), st.randoms(use_true_random=False))
def test_something_is_found_exactly_if_the_documents_differ_under_the_rules(
    document: Any, compiled: CompareRules, changes: int, dice: random.Random
) -> None:
    other = document
    for _ in range(changes):
        other = changed(other, dice)
    assert bool(walk(document, other, compiled).found) is not means_the_same(document, other, compiled.start)
    assert walk(document, document, compiled).found == {}


@settings(deadline=None, max_examples=200)
@given(documents, rules, st.randoms(use_true_random=False))
def test_a_document_matches_itself_in_any_order_that_the_rules_allow(
    document: Any, compiled: CompareRules, dice: random.Random
) -> None:
    def shuffled(value: Any, state: State) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(inner, state.member(key))) for key, inner in value.items()]
            dice.shuffle(items)
            return dict(items)
        if isinstance(value, list):
            if not state.unordered:
                return [shuffled(inner, state.item(n)) for n, inner in enumerate(value)]
            made = [shuffled(inner, state.item(-1)) for inner in value]
            dice.shuffle(made)
            return made
        return value

    assert walk(document, shuffled(document, compiled.start), compiled).found == {}


@settings(deadline=None, max_examples=300)
@given(documents, documents, st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_both_sides_see_the_same_differences(
    document: Any, other: Any, near: bool, unordered: bool, dice: random.Random
) -> None:
    compiled = compile_rules(Compare(tolerance={"$..*": 0.01}, unordered={"$..*": None} if unordered else {}))
    if near:
        other = changed(changed(document, dice), dice)
    flip = {"missing": "extra", "extra": "missing"}
    one = {
        (flip.get(kind, kind), path): value[2] for (kind, path), value in walk(document, other, compiled).found.items()
    }
    assert one == {place: value[2] for place, value in walk(other, document, compiled).found.items()}


def test_the_ways_for_many_items_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multisets, "_MAX_TRIALS", 0)
    compiled = compile_rules(Compare(unordered={"$": None}, tolerance={"$[*]": 0.01}))
    dice = random.Random(7)
    for _ in range(300):
        one = [round(dice.uniform(0, 0.1), 3) for _ in range(dice.randrange(6))]
        two = [round(x + dice.choice([-0.01, 0, 0.01, 0.02]), 3) for x in one]
        dice.shuffle(two)
        assert bool(walk(one, two, compiled).found) is not means_the_same(one, two, compiled.start)
    far = walk([0.5, 0.9, 0.1], [0.9, 0.7, 0.3], compiled).found  # the lowest of all have no equal
    assert {place: values[2] for place, values in far.items()} == {("value", "$[*]"): 2}


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of everything in a document, itself left out."""
    inner = (
        list(enumerate(value)) if isinstance(value, list) else list(value.items()) if isinstance(value, dict) else []
    )
    return [place for step, child in inner for place in ((*at, step), *places(child, (*at, step)))]


def template(place: tuple[Any, ...]) -> str:
    return "$" + "".join("[*]" if isinstance(step, int) else f".{step}" for step in place)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES), documents, min_size=1), st.data())
def test_any_single_mutation_is_named_with_its_path(document: dict[str, Any], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(document)))
    what = data.draw(st.sampled_from(["another type", "left out", "put in", "twice"]))
    mutated = copy.deepcopy(document)
    parent: Any = mutated
    for step in place[:-1]:
        parent = parent[step]
    above = template(place[:-1])
    expected = {("type", template(place)): 1}
    if what == "another type":
        parent[place[-1]] = {"a new": "thing"} if not isinstance(parent[place[-1]], dict) else ["another"]
    elif isinstance(parent, list):
        if what == "left out":
            parent.pop(place[-1])
        else:
            parent.insert(place[-1], "put in" if what == "put in" else copy.deepcopy(parent[place[-1]]))
        expected = {("size", above): 1, ("missing" if what == "left out" else "extra", f"{above}[*]"): 1}
    elif what == "left out":
        parent.pop(place[-1])
        expected = {("missing", template(place)): 1}
    else:
        parent["another"] = 1
        expected = {("extra", f"{above}.another"): 1}
    assert found(document, mutated) == expected
    ignored = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    if what == "another type":
        assert found(document, mutated, ignore=[ignored]) == {}
