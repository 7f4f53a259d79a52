"""Where a difference stands, from what was said of it and when it was seen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.inbox import ACTIONS, Action, Mark, Standing, seems_fixed, standing

DAY = 86400.0
NOW = 100 * DAY


def mark(action: Action, at: float = NOW - DAY, text: str = "why", until: float = 0.0, who: str = "") -> Mark:
    return Mark(action, at, "dana", text, until, who)


def state(*marks: Mark, last_seen: float = NOW - 2 * DAY, now: float = NOW) -> str:
    return standing(marks, last_seen, now).state


def test_nothing_said_is_new() -> None:
    assert standing([], NOW, NOW) == Standing()


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["accept"], "accepted"),
        (["accept", "unaccept"], "new"),
        (["accept", "unaccept", "accept"], "accepted"),
        (["fixed"], "fixed"),
        (["auto-fixed"], "fixed"),
        (["fixed", "regressed"], "regressed"),
        (["fixed", "regressed", "fixed"], "fixed"),
        (["fixed", "regressed", "accept"], "accepted"),
        (["accept", "fixed"], "fixed"),
        (["regressed", "comment", "assign"], "regressed"),
        (["comment", "assign"], "new"),
    ],
)
def test_the_last_word_decides(actions: list[Action], expected: str) -> None:
    assert state(*(mark(action, NOW - DAY + number) for number, action in enumerate(actions))) == expected


@pytest.mark.parametrize("how", ["fixed", "auto-fixed"])
def test_what_was_fixed_and_is_seen_again_has_regressed_before_anybody_says_so(how: Action) -> None:
    at = NOW - DAY
    assert state(mark(how, at), last_seen=at) == "fixed"  # seen when it was said, not after
    assert state(mark(how, at), last_seen=at + 0.001) == "regressed"


def test_an_accepted_difference_may_be_seen_and_stays_accepted() -> None:
    assert state(mark("accept"), last_seen=NOW) == "accepted"


def test_an_acceptance_that_is_over_leaves_the_difference_new_and_says_so() -> None:
    accepted = mark("accept", until=NOW)
    before = standing([accepted], NOW, NOW - 0.001)
    assert (before.state, before.expired, before.until, before.text) == ("accepted", False, NOW, "why")
    after = standing([accepted], NOW, NOW)
    assert (after.state, after.expired, after.until, after.actor) == ("new", True, NOW, "dana")
    assert not standing([accepted, mark("unaccept")], NOW, NOW).expired


def test_owner_and_comments_are_kept_beside_the_state() -> None:
    found = standing(
        [mark("comment", text="one"), mark("assign", who="lee"), mark("accept"), mark("assign", who="kim"),
         mark("comment", text="two")], NOW, NOW,
    )  # fmt: skip
    assert (found.state, found.owner, [each.text for each in found.comments]) == ("accepted", "kim", ["one", "two"])


@given(st.lists(st.builds(mark, st.sampled_from(ACTIONS), st.floats(0, NOW), st.text(), st.floats(0, 2 * NOW))))
def test_what_is_accepted_was_accepted_last_and_is_not_over(marks: list[Mark]) -> None:
    said = [each for each in marks if each.action not in ("assign", "comment")]
    if standing(marks, NOW, NOW).state == "accepted":
        assert said[-1].action == "accept"
        assert said[-1].until == 0 or said[-1].until > NOW
    if standing(marks, NOW + 1, NOW).state == "fixed":
        pytest.fail("it was seen after everything that was said")


def test_a_frequent_difference_is_gone_after_the_least_number() -> None:
    assert not seems_fixed(1000, 1000, 99)
    assert seems_fixed(1000, 1000, 100)
    assert seems_fixed(500, 1000, 100)


def test_a_rare_difference_is_gone_only_when_chance_does_not_explain_the_gap() -> None:
    assert not seems_fixed(1000, 1_000_000, 10_000)  # one in a thousand
    assert seems_fixed(1000, 1_000_000, 12_000)
    assert not seems_fixed(10, 10_000, 10_000)  # the same, but who knows after ten sightings
    assert seems_fixed(10, 10_000, 11_000)
    assert not seems_fixed(1, 5, 900)  # once says next to nothing
    assert not seems_fixed(0, 10_000, 10**9)  # nobody knows how often it comes
    assert not seems_fixed(1, 0, 10**9)


def test_chance_alone_hardly_ever_takes_a_difference_for_gone() -> None:
    """1,000 differences at 2 %, each over 5,000 comparisons, looked at after each one."""
    dice = random.Random(5)
    wrong = 0
    for _ in range(1000):
        seen, last, gone = 0, 0, False
        for number in range(1, 5001):
            if dice.random() < 0.02:
                seen, last = seen + 1, number
            elif not gone and number % 50 == 0:
                gone = seems_fixed(seen, last, number - last)
        wrong += gone
    assert wrong < 100  # without its part for each gap it would be a third of them
