"""Choosing among endpoints that are all in service."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.balance import Balance, Strategy
from proxy.core.endpoints import FULL, EndpointState

STRATEGIES: tuple[Strategy, ...] = ("round-robin", "least-request", "hash")
WEIGHTS = st.lists(st.integers(1, 12), min_size=1, max_size=8)
KEYS = [f"u-{number}" for number in range(400)]


def endpoints(*weights: int) -> list[EndpointState]:
    return [EndpointState(f"http://e{n}:80", weight, healthy=True) for n, weight in enumerate(weights)]


def balance(strategy: Strategy, members: list[EndpointState]) -> Balance:
    made = Balance(strategy)
    made.fill(members)
    return made


def no_chance() -> float:
    raise AssertionError("chance is for least-request only")


def thrower(*values: float) -> Callable[[], float]:
    throws: Iterator[float] = iter(values)
    return lambda: next(throws)


def picks(made: Balance, count: int, chance: Callable[[], float] = no_chance) -> list[EndpointState]:
    chosen = [made.pick(chance, None, None) for _ in range(count)]
    assert None not in chosen
    return [one for one in chosen if one is not None]


def by_key(members: list[EndpointState]) -> dict[str, str]:
    made = balance("hash", members)
    chosen = {key: made.pick(no_chance, key, None) for key in KEYS}
    return {key: one.url for key, one in chosen.items() if one is not None}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_none_to_choose_from_is_none_and_one_is_that_one(strategy: Strategy) -> None:
    (one,) = endpoints(1)
    assert balance(strategy, []).pick(no_chance, "k", one) is None
    assert balance(strategy, [one]).pick(no_chance, "k", None) is one
    assert balance(strategy, [one]).pick(no_chance, "k", one) is one


@given(st.sampled_from(STRATEGIES), WEIGHTS, st.text("abc"), st.randoms(use_true_random=False))
def test_avoided_one_is_never_taken_if_there_is_another(
    strategy: Strategy, weights: list[int], key: str, chance: random.Random
) -> None:
    members = endpoints(*weights)
    made = balance(strategy, members)
    for avoid in members * 3:
        chosen = made.pick(chance.random, key, avoid)
        assert chosen in members
        assert (chosen is avoid) == (len(members) == 1)
    (stranger,) = endpoints(1)
    assert made.pick(chance.random, key, stranger) in members


# In turn


@given(WEIGHTS, st.integers(1, 3))
def test_in_turn_each_gets_exactly_its_weight_in_every_cycle(weights: list[int], cycles: int) -> None:
    members = endpoints(*weights)
    made = balance("round-robin", members)
    for cycle in range(1, cycles + 1):
        picked = Counter(one.url for one in picks(made, sum(weights)))
        assert [picked[one.url] for one in members] == weights, cycle


@given(WEIGHTS)
def test_in_turn_none_is_more_than_one_pick_too_early_nor_waits_long(weights: list[int]) -> None:
    members = endpoints(*weights)
    total = sum(weights)
    had: Counter[str] = Counter()
    for number, one in enumerate(picks(balance("round-robin", members), 2 * total), 1):
        had[one.url] += 1
        for member in members:
            ahead = had[member.url] - number * member.weight / total
            assert -len(members) < ahead < 1


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((5, 1, 1), "0010200"), ((1, 1, 1), "012012"), ((3, 2), "01010"), ((4, 2), "010010")],
)
def test_in_turn_goes_the_known_way(weights: tuple[int, ...], expected: str) -> None:
    members = endpoints(*weights)
    chosen = picks(balance("round-robin", members), len(expected))
    assert "".join(str(members.index(one)) for one in chosen) == expected


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(0, 7), st.integers(1, 200))
def test_in_turn_avoiding_one_keeps_the_turns_of_the_others(weights: list[int], which: int, count: int) -> None:
    members = endpoints(*weights)
    avoid = members[which % len(members)]
    rest = [one for one in members if one is not avoid]
    made = balance("round-robin", members)
    picked: Counter[str] = Counter()
    for _ in range(count * 10):
        one = made.pick(no_chance, None, avoid)
        assert one is not None
        picked[one.url] += 1
    for one in rest:
        due = count * 10 * one.weight / (sum(weights) - avoid.weight)
        assert abs(picked[one.url] - due) <= len(members)


@given(WEIGHTS, st.integers(0, 20))
def test_in_turn_a_new_list_begins_without_debts(weights: list[int], before: int) -> None:
    members = endpoints(*weights, 3, 1)
    made = balance("round-robin", members)
    picks(made, before)
    made.fill(members[:-1])
    picked = Counter(one.url for one in picks(made, sum(weights) + 3))
    assert [picked[one.url] for one in members] == [*weights, 3, 0]


@pytest.mark.parametrize("weights", [(1, 1), (2, 1), (1, 1, 1), (3, 2, 1)])
def test_avoiding_one_that_is_not_listed_changes_nothing(weights: tuple[int, ...]) -> None:
    members, (stranger,) = endpoints(*weights), endpoints(1)
    made = balance("round-robin", members)
    chosen = [made.pick(no_chance, None, stranger) for _ in range(12)]
    fresh = balance("round-robin", others := endpoints(*weights))
    assert [members.index(one) for one in chosen if one] == [others.index(one) for one in picks(fresh, 12)]


def test_retries_away_from_a_failing_one_starve_nobody() -> None:
    members = endpoints(1, 1, 1)
    made = balance("round-robin", members)
    picked: Counter[str] = Counter()
    for _ in range(300):
        one = made.pick(no_chance, None, None)
        if one is members[0]:
            one = made.pick(no_chance, None, members[0])
        assert one is not None
        picked[one.url] += 1
    assert picked[members[1].url] == picked[members[2].url] == 150


def test_a_share_that_grows_with_each_tick_gets_its_turns_even_if_few_requests_come() -> None:
    members = endpoints(1, 1)
    made = balance("round-robin", members)
    late = members[1]
    had = 0
    for step in range(100):
        late.share = FULL * (10 + step) // 200
        made.fill(list(members))
        had += picks(made, 1)[0] is late
    assert 20 <= had <= 26  # the sum of its shares over the sum of all is 23


# The less busy


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_less_busy_never_takes_the_single_busiest_per_weight(
    members_: list[tuple[int, int]], chance: random.Random
) -> None:
    members = endpoints(*(weight for weight, _ in members_))
    for one, (_, in_flight) in zip(members, members_, strict=True):
        one.in_flight = in_flight
    loads = [one.in_flight / one.weight for one in members]
    assume(loads.count(max(loads)) == 1)
    busiest = members[loads.index(max(loads))]
    assert busiest not in picks(balance("least-request", members), 50, chance.random)


def test_less_busy_prefers_the_idle_one_of_two_whatever_chance_says() -> None:
    members = endpoints(1, 1)
    members[0].in_flight = 1
    made = balance("least-request", members)
    for throw in (0.0, 0.49, 0.51, 0.999999):
        assert made.pick(thrower(throw), None, None) is members[1]


@given(st.integers(2, 9), st.floats(0, 1, exclude_max=True))
def test_less_busy_asks_chance_once_for_equal_ones(count: int, throw: float) -> None:
    members = endpoints(*[1] * count)
    assert balance("least-request", members).pick(thrower(throw), None, None) in members


@given(WEIGHTS, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_less_busy_compares_two_different_ones(weights: list[int], one: float, two: float) -> None:
    assume(len(weights) > 1)
    members = endpoints(*weights)
    made = balance("least-request", members)
    first = made.pick(thrower(one, two), None, None)
    assert first is not None
    first.in_flight = 1  # it was taken as the first of two idle ones; now the second is less busy
    second = made.pick(thrower(one, two), None, None)
    assert second in members
    assert second is not first


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 5), (1, 10)])
def test_less_busy_respects_weights_while_all_are_idle(weights: tuple[int, ...]) -> None:
    members = endpoints(*weights)
    picked = Counter(one.url for one in picks(balance("least-request", members), 20_000, random.Random(7).random))
    for one in members:
        assert picked[one.url] / 20_000 == pytest.approx(one.weight / sum(weights), abs=0.02)


def test_less_busy_keeps_loads_even_where_turns_do_not() -> None:
    """One endpoint is ten times slower: its requests in flight stay near the others', and so does its share fall."""
    members = endpoints(1, 1, 1, 1)
    made = balance("least-request", members)
    chance = random.Random(3)
    ends: list[tuple[int, EndpointState]] = []
    most = 0
    for time in range(4000):
        for done in [entry for entry in ends if entry[0] <= time]:
            ends.remove(done)
            done[1].in_flight -= 1
        one = picks(made, 1, chance.random)[0]
        one.in_flight += 1
        most = max(most, members[0].in_flight)
        ends.append((time + (100 if one is members[0] else 10), one))
    assert most <= 12  # in turn it would be 25


# By key


@given(WEIGHTS)
def test_a_key_always_gets_the_same_endpoint_whatever_the_order_of_the_list(weights: list[int]) -> None:
    members = endpoints(*weights)
    assert by_key(members) == by_key(members[::-1])


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(0, 7))
def test_only_the_keys_of_the_endpoint_that_leaves_move_and_come_back_with_it(weights: list[int], which: int) -> None:
    members = endpoints(*weights)
    gone = members[which % len(members)]
    before = by_key(members)
    after = by_key([one for one in members if one is not gone])
    for key in KEYS:
        assert after[key] == before[key] or before[key] == gone.url
    assert by_key(members) == before


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(0, 7), st.integers(1, 12))
def test_an_endpoint_that_grows_only_takes_keys_from_others(weights: list[int], which: int, more: int) -> None:
    members = endpoints(*weights)
    grown = members[which % len(members)]
    before = by_key(members)
    grown.share += more * FULL
    after = by_key(members)
    for key in KEYS:
        assert after[key] in (before[key], grown.url)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.sampled_from(KEYS))
def test_the_avoided_ones_key_goes_where_it_would_go_without_it(weights: list[int], key: str) -> None:
    members = endpoints(*weights)
    made = balance("hash", members)
    failed = made.pick(no_chance, key, None)
    rest = [one for one in members if one is not failed]
    assert made.pick(no_chance, key, failed) is balance("hash", rest).pick(no_chance, key, None)


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1, 1), (1, 2, 5), (1, 10)])
def test_keys_are_spread_by_weight(weights: tuple[int, ...]) -> None:
    members = endpoints(*weights)
    made = balance("hash", members)
    picked: Counter[str] = Counter()
    for number in range(20_000):
        one = made.pick(no_chance, f"{number}", None)
        assert one is not None
        picked[one.url] += 1
    for one in members:
        assert picked[one.url] / 20_000 == pytest.approx(one.weight / sum(weights), abs=0.015)


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 1)])
def test_who_has_no_key_is_served_in_turn(weights: tuple[int, ...]) -> None:
    members, others = endpoints(*weights), endpoints(*weights)
    turns = [one.url for one in picks(balance("hash", members), 12)]
    assert turns == [one.url for one in picks(balance("round-robin", others), 12)]


def test_strategy_can_be_changed() -> None:
    members = endpoints(1, 1, 1)
    made = balance("round-robin", members)
    made.strategy = "hash"
    assert len({made.pick(no_chance, "same", None) for _ in range(6)}) == 1
