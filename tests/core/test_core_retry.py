"""Retries: what may be repeated, how long to wait, and how many at once."""

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.upstreams import Retries
from proxy.core.retry import MAX_RETRY_AFTER_SECONDS, RetryBudget, RetryPolicy, parse_retry_after
from proxy.errors import CONSEQUENCES, FailureKind, Seen

built = Retries.model_construct
"""Settings with seconds and shares as numbers, as they are after reading."""

EVERYTHING = ["connect-failure", "reset", "timeout", "invalid-response", "overflow", 429, 500, 503]
ANY = {"safe": True, "idempotency_key": True}
POST = {"safe": False, "idempotency_key": False}
POST_WITH_KEY = {"safe": False, "idempotency_key": True}


def policy(on: list[str | int] | None = None, **words: object) -> RetryPolicy:
    return RetryPolicy(built(on=EVERYTHING if on is None else on, **words))


# -- what -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (FailureKind.CONNECT_FAILURE, "connect-failure"),
        (FailureKind.CONNECT_TIMEOUT, "connect-failure"),
        (FailureKind.RESET, "reset"),
        (FailureKind.TRUNCATED, "reset"),
        (FailureKind.FIRST_BYTE_TIMEOUT, "timeout"),
        (FailureKind.IDLE_TIMEOUT, "timeout"),
        (FailureKind.INVALID_RESPONSE, "invalid-response"),
        (FailureKind.OVERFLOW, "overflow"),
        (FailureKind.TOTAL_TIMEOUT, ""),
        (FailureKind.NO_ENDPOINT, ""),
        (FailureKind.BREAKER_OPEN, ""),
        (FailureKind.CLIENT_LEFT, ""),
        (FailureKind.INTERNAL, ""),
    ],
)
def test_the_class_of_a_failure_is_the_reason(kind: FailureKind, label: str) -> None:
    assert policy().reason(kind, Seen.NOT_SENT, 0, **ANY) == label
    assert policy([]).reason(kind, Seen.NOT_SENT, 0, **ANY) == ""


@pytest.mark.parametrize(("status", "label"), [(429, "429"), (500, "500"), (503, "503"), (502, ""), (404, ""), (0, "")])
def test_a_listed_status_is_the_reason(status: int, label: str) -> None:
    assert policy().reason(FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, status, **ANY) == label


def test_what_was_not_sent_may_be_repeated_with_any_method() -> None:
    assert policy().reason(FailureKind.RESET, Seen.NOT_SENT, 0, **POST) == "reset"


@pytest.mark.parametrize("seen", [Seen.NOT_SENT, Seen.MAYBE_SEEN])
def test_who_answered_with_a_status_has_seen_the_request(seen: Seen) -> None:
    assert policy().reason(FailureKind.BAD_STATUS, seen, 503, **POST) == ""


def test_a_key_counts_only_if_the_settings_say_so() -> None:
    failure = FailureKind.RESET, Seen.MAYBE_SEEN, 0
    assert policy().reason(*failure, **POST_WITH_KEY) == ""
    assert policy(unsafe="idempotency-key").reason(*failure, **POST_WITH_KEY) == "reset"
    assert policy(unsafe="idempotency-key").reason(*failure, **POST) == ""


@pytest.mark.parametrize("unsafe", ["not-sent", "idempotency-key"])
def test_the_rules_hold_for_every_failure(unsafe: str) -> None:
    ours = policy(unsafe=unsafe)
    labels = {str(reason) for reason in EVERYTHING}
    for kind, seen, status, safe, key in product(FailureKind, Seen, (0, 429, 502, 503), (True, False), (True, False)):
        label = ours.reason(kind, seen, status, safe=safe, idempotency_key=key)
        if not label:
            continue
        assert label in labels
        assert seen is not Seen.ANSWER_STARTED
        assert label == str(status) if kind is FailureKind.BAD_STATUS else label == CONSEQUENCES[kind].fallback
        if seen is Seen.MAYBE_SEEN or kind is FailureKind.BAD_STATUS:
            assert safe or (key and unsafe == "idempotency-key")


# -- when -------------------------------------------------------------------------------------------------------------


@given(
    attempt=st.integers(0, 10_000),
    backoff=st.floats(0, 10),
    most=st.floats(0, 10),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_jittered_in_full_and_bounded(attempt: int, backoff: float, most: float, chance: float) -> None:
    pause = policy(backoff=backoff, max_backoff=most).pause(attempt, None, lambda: chance)
    assert 0 <= pause <= most
    assert pause <= backoff * 2 ** min(attempt, 40)


def test_a_pause_doubles_up_to_its_bound() -> None:
    ours = policy(backoff=0.025, max_backoff=0.25)
    assert [ours.pause(n, None, lambda: 0.5) for n in range(6)] == pytest.approx(
        [0.0125, 0.025, 0.05, 0.1, 0.125, 0.125]
    )


def test_a_retry_after_is_not_cut_short_nor_does_it_shorten() -> None:
    ours = policy(backoff=0.2, max_backoff=0.2)
    assert ours.pause(0, 7.0, lambda: 0.5) == 7.0
    assert ours.pause(0, 0.0, lambda: 0.5) == pytest.approx(0.1)


NOW = datetime(2024, 5, 5, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b" 7\t", 7.0),
        (b"007", 7.0),
        (b"86401", MAX_RETRY_AFTER_SECONDS),
        (b"9" * 5000, MAX_RETRY_AFTER_SECONDS),
        (b"Sun, 05 May 2024 12:00:30 GMT", 30.0),
        (b"Sun, 05 May 2024 11:00:00 GMT", 0.0),
        (b"Sun, 05 May 2124 11:00:00 GMT", MAX_RETRY_AFTER_SECONDS),
        (b"Sunday, 05-May-24 12:00:30 GMT", 30.0),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        (b"Sun May  5 12:00:30 2024", 30.0),
        (b"Sun May 05 12:00:30 2024", 30.0),
        (b"Sun, 05 May 2024 12:00:60 GMT", 59.0),
    ],
)
def test_a_retry_after_in_seconds_or_as_a_date(value: bytes, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-1",
        b"+1",
        b"1.5",
        b"1,2",
        b"1 2",
        b"soon",
        b"0x10",
        "٣".encode(),
        b"Sun, 31 Feb 2024 12:00:30 GMT",
        b"Sun, 05 May 2024 25:00:30 GMT",
        b"Sun, 05 May 2024 12:00:61 GMT",
        b"Sun, 05 May 0000 12:00:00 GMT",
        b"Sun, 05 May 2024 12:00:30 CET",
        b"Sun, 5 May 2024 12:00:30 GMT",
        b"sun, 05 may 2024 12:00:30 gmt",
        b"2024-05-05T12:00:30Z",
        b"Thursday, 29-Feb-00 12:00:00",
    ],
)
def test_nonsense_in_retry_after_is_nothing(value: bytes) -> None:
    assert parse_retry_after(value, NOW) is None


def test_a_leap_day_of_the_last_century_is_read() -> None:
    assert parse_retry_after(b"Thursday, 29-Feb-96 12:00:00 GMT", NOW) == 0.0


@given(st.one_of(st.binary(max_size=40), st.from_regex(rb"[MTWFS][a-z]+,? [0-9A-Za-z: -]{10,30}", fullmatch=True)))
def test_whatever_comes_a_retry_after_is_bounded_or_nothing(value: bytes) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS


@given(st.integers(-(10**9), 3 * 10**9))
def test_every_date_of_the_preferred_form_is_read_exactly(at: int) -> None:
    text = datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").encode()
    assert parse_retry_after(text, NOW) == min(max(0.0, at - NOW), MAX_RETRY_AFTER_SECONDS)


# -- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "least", "active", "bound"),
    [
        (0.2, 3, 0, 3),
        (0.2, 3, 19, 3),
        (0.2, 3, 20, 4),
        (0.2, 3, 24, 4),
        (0.29, 0, 100, 29),
        (0.2, 0, 4, 0),
        (0.2, 0, -5, 0),
        (0.0, 0, 1000, 0),
        (0.0, 2, 1000, 2),
        (1.0, 0, 7, 7),
    ],
)
def test_the_budget_is_a_share_of_what_is_active_and_a_least(share: float, least: int, active: int, bound: int) -> None:
    budget = RetryBudget(built(budget=share, budget_min=least))
    assert [budget.take(active) for _ in range(bound + 3)] == [True] * bound + [False] * 3
    assert (budget.in_flight, budget.refused) == (bound, 3)


def test_a_place_given_back_can_be_taken_again_and_never_twice() -> None:
    budget = RetryBudget(built(budget=0.0, budget_min=1))
    assert budget.take(0)
    budget.give()
    with pytest.raises(RuntimeError):
        budget.give()
    assert budget.in_flight == 0
    assert budget.take(0)


def test_a_reload_lowers_the_bound_and_keeps_what_is_under_way() -> None:
    budget = RetryBudget(built(budget=0.0, budget_min=5))
    assert all(budget.take(0) for _ in range(5))
    budget.configure(built(budget=0.0, budget_min=1))
    assert budget.in_flight == 5
    assert not budget.take(0)
    for _ in range(5):
        budget.give()
    assert budget.take(0)


@given(
    share=st.integers(0, 100),
    least=st.integers(0, 10),
    steps=st.lists(st.one_of(st.just(-1), st.integers(0, 200)), max_size=200),
)
def test_the_budget_holds_whatever_happens(share: int, least: int, steps: list[int]) -> None:
    budget, under_way, refused = RetryBudget(built(budget=share / 100, budget_min=least)), 0, 0
    for step in steps:
        if step >= 0:
            granted = under_way + 1 <= max(least, share * step // 100)
            assert budget.take(step) is granted
            under_way += granted
            refused += not granted
        elif under_way:
            budget.give()
            under_way -= 1
        assert (budget.in_flight, budget.refused) == (under_way, refused)
