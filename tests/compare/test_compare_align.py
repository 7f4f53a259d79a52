"""Alignment: pairs of equals in order, the same from both sides, at little cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.align import Pairs, align, increasing, pair_alike
from proxy.compare.sketch import traits

keys = st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12)


def longest(a: Sequence[bytes], b: Sequence[bytes]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        above, row = row, [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
    return row[-1]


@settings(deadline=None)
@given(keys, keys)
def test_pairs_are_equal_in_order_and_the_same_from_both_sides(a: list[bytes], b: list[bytes]) -> None:
    pairs = align(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(pairs))
    assert align(b, a) == [(j, i) for i, j in pairs]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), unique=True, max_size=40), st.data())
def test_what_was_only_put_in_or_left_out_is_found_whole(numbers: list[int], data: st.DataObject) -> None:
    a = [str(n).encode() for n in numbers]
    kept = data.draw(st.lists(st.booleans(), min_size=len(a), max_size=len(a)))
    b = [x for x, keep in zip(a, kept, strict=True) if keep]
    assert len(align(a, b)) == len(b)


@settings(deadline=None)
@given(st.permutations(range(9)))
def test_increasing_keeps_the_longest_chain(order: list[int]) -> None:
    pairs: Pairs = list(enumerate(order))
    kept = increasing(pairs)
    assert kept == sorted(kept)
    assert [j for _, j in kept] == sorted(j for _, j in kept)
    in_order = [str(n).encode() for n in order]
    assert len(kept) == longest(in_order, [str(n).encode() for n in range(9)])


def test_long_lists_of_few_keys_are_aligned_without_a_table() -> None:
    dice = random.Random(1)
    a = [dice.choice([b"0", b"1"]) for _ in range(50_000)]
    b = [dice.choice([b"0", b"1"]) for _ in range(49_999)]
    assert all(a[i] == b[j] for i, j in align(a, b))  # a table would have 2.5 thousand million cells


def test_the_most_alike_are_paired() -> None:
    one = [{"id": n, "a": n * 2, "b": "same", "c": n % 3} for n in range(100)]
    two = [{**item, "a": -1} for item in one]
    random.Random(2).shuffle(two)
    pairs = pair_alike([traits(x) for x in one], [traits(y) for y in two])
    assert len(pairs) == 100
    assert all(one[i]["id"] == two[j]["id"] for i, j in pairs)


def test_what_shares_nothing_is_not_paired() -> None:
    assert pair_alike([traits({"a": 1}), traits("x")], [traits({"a": 2}), traits("y"), traits([])]) == []
