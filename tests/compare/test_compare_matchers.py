"""Typed matchers: what may change, may; how it is written may not, and chance decides nothing."""

import random
import string
import uuid
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.document import Number
from proxy.compare.matchers import OPAQUE, Matcher, compare, compile_matcher, sketch
from proxy.compare.timestamps import read_instant
from proxy.config.comparing import TypedMatcher

TIME = compile_matcher("timestamp")
FIVE = compile_matcher(TypedMatcher(timestamp="5s"))
UUID = compile_matcher("uuid")
NUMBER = compile_matcher("number")
URL = compile_matcher("url-without-host")
REGEX = compile_matcher(TypedMatcher(regex="ord-[0-9]{4}"))
ALL = [TIME, FIVE, UUID, NUMBER, URL, REGEX, OPAQUE]


def both(matcher: Matcher, a: Any, b: Any) -> str:
    outcome = compare(matcher, a, b)
    assert compare(matcher, b, a) == outcome
    return outcome


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:05Z", "equal"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:05.001Z", "format"),
        ("2024-01-01T00:00:00.000Z", "2024-01-01T00:00:05.001Z", "value"),
        ("2024-01-01T00:00:00.123Z", "2024-01-01T00:00:00.123456Z", "format"),
        ("2024-01-01T00:00:00.123456Z", "2024-01-01T00:00:01.123456789Z", "format"),
        ("2024-01-01T00:00:00.12Z", "2024-01-01T00:00:00.123Z", "equal"),
        ("2024-01-01T00:00:00.120Z", "2024-01-01T00:00:00.12Z", "format"),
        ("2024-01-01T00:00:00.1234Z", "2024-01-01T00:00:00.123456Z", "equal"),
        ("1700000000.123", "1700000000.123456", "format"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00", "format"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00", "format"),
        ("2024-01-01T00:00:00Z", "2024-01-01 00:00:00Z", "format"),
        ("2024-01-01T00:00:00Z", "20240101T000000Z", "format"),
        ("2024-01-01T00:00:00+0000", "2024-01-01T00:00:00+00:00", "format"),
        ("2024-07-01T02:00:00+02:00", "2024-06-30T23:00:00-01:00", "equal"),
        ("2024-01-01T00:00:00", "2024-01-01T00:00:03", "equal"),
        ("2024-01-01", "2024-01-02", "value"),
        ("2024-01-01", "2024-01-01T00:00:00Z", "format"),
        ("2024-01-01T00:00Z", "2024-01-01T00:00:00Z", "format"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:01Z", "equal"),
        ("2024-02-30T00:00:00Z", "2024-02-29T00:00:00Z", "format"),
        ("2024-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "format"),
        ("2024-01-01T00:00:00.5+01:00", "0001-01-01T00:00:00.0+00:00", "format"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "format"),
        ("2024-02-30T00:00:00Z", "2024-02-31T00:00:00Z", "value"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:40 GMT", "equal"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "06 Nov 1994 08:49:37 GMT", "format"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Mon, 06 Nov 1994 08:49:37 GMT", "format"),
        ("Sun, 06 Nov 1994 08:49:37 +0100", "Sun, 06 Nov 1994 07:49:37 -0000", "equal"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z", "format"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0000", "format"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "format"),
        (1_700_000_000, 1_700_000_005, "equal"),
        (1_700_000_000, 1_700_000_006, "value"),
        (1_700_000_000, 1_700_000_000_000, "format"),
        (1_700_000_000_000, 1_700_000_004_999, "equal"),
        (1_700_000_000, "1700000000", "format"),
        (1_700_000_000.25, 1_700_000_001.5, "equal"),
        (1_700_000_000, 1_700_000_000.5, "format"),
        (1_700_000_000, 0, "format"),
        ("202401311200", "202401311201", "value"),
        (None, "2024-01-01", "format"),
        ("soon", "later", "value"),
    ],
)
def test_timestamps(a: Any, b: Any, expected: str) -> None:
    assert both(FIVE, a, b) == expected
    assert both(TIME, a, b) == ("equal" if expected == "value" and read_instant(a) else expected)


NO_TIMES = [
    "", "2024", "20240101", "2024-13-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00+25:00", "2024-1-1",
    "2024-01-01T00:00:00+05:60", "2024-01-01T00:00:00+24:00",
    "2024-01-01T", "2024-01-01T0000Z", "\u0662\u0660\u0662\u0664-01-01", "-1700000000", "0001700000000", "9" * 400,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_read_as_none(text: str) -> None:
    assert read_instant(text) is None


ONE, TWO = "3f2b8c1e-9b1d-4c7a-8f00-0123456789ab", "c0ffee00-1d2b-4c7a-9f00-ba9876543210"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (ONE, TWO, "equal"),
        (ONE, TWO.upper(), "format"),
        (ONE, TWO.replace("-", ""), "format"),
        (ONE, f"{{{TWO}}}", "format"),
        (ONE, f"urn:uuid:{TWO}", "format"),
        (ONE, "11111111-1111-4111-8111-111111111111", "equal"),
        (ONE.upper(), "11111111-1111-4111-8111-111111111111", "equal"),
        (ONE, "00000000-0000-0000-0000-000000000000", "format"),
        (ONE, TWO[:-1], "format"),
        (ONE, f"{TWO}}}", "format"),
        ("a", "b", "value"),
    ],
)
def test_uuids(a: Any, b: Any, expected: str) -> None:
    assert both(UUID, a, b) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 20_000, "equal"), (1.5, 2.25, "equal"), (1, 2.5, "equal"), (10.0, 2.25, "equal"),
        (1, 2.0, "format"), (1, "2", "format"), ("1", "2", "equal"), ("10.50", "3.25", "equal"),
        ("10.50", "3.5", "format"), ("7", "10.50", "format"), ("0.5", "0.25", "equal"), ("1", "2.5", "equal"),
        (1, True, "format"), (1, None, "format"), ("007", "008", "value"), ("1,5", "2,5", "value"),
        (Number("1", whole=True), Number("2e0", whole=False, written="2.0"), "format"),
        (Number("15e-1", whole=False, written="1.50"), Number("3e0", whole=False, written="3.0"), "equal"),
    ],
)  # fmt: skip
def test_numbers(a: Any, b: Any, expected: str) -> None:
    assert both(NUMBER, a, b) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("http://old.example/a?b=1#c", "http://new.example:8080/a?b=1#c", "equal"),
        ("http://old.example", "http://new.example/", "equal"),
        ("http://u:p@old.example/a", "http://new.example/a", "equal"),
        ("//old.example/a", "//new.example/a", "equal"),
        ("//old.example?b=1", "//new.example/?b=1", "equal"),
        ("//old.example?b=1", "//new.example/?b=2", "value"),
        ("http://old.example/a", "https://old.example/a", "format"),
        ("http://old.example/a", "//old.example/a", "format"),
        ("http://old.example/a", "/a", "format"),
        ("http://old.example/a", "http://new.example/b", "value"),
        ("http://old.example/a", "http://new.example/a?x", "value"),
        ("/a", "/b", "value"),
        ("http://old.example/a b", "http://new.example/a b", "value"),
        ("a", "b", "value"),
    ],
)
def test_urls(a: Any, b: Any, expected: str) -> None:
    assert both(URL, a, b) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("deadbeef12345678", "DEADBEEF12345678", "format"),
        ("deadbeefdeadbeef0011223344556677", "qWeRtYuIoPaSdFgHjKlZxCvBnM012345", "format"),
        ("1234567890123456", "AbCdEfGhIjKlMnOp", "format"),
        ("abcdefghijklmnop", "A1b2C3d4E5f6G7h8", "equal"),
        ("ab+/cdEFgh12", "ab-_cdEFgh12", "format"),
        ("YWJjZGVmZw==", "YWJjZGVmZw", "format"),
        ("a" * 32, "a" * 40, "format"),
        ("a1" * 11, "b2" * 10 + "b", "equal"),
        ("a1" * 100, "b2" * 110, "equal"),
        ("999", "1000", "equal"),
        (999, 100_000, "equal"),
        (999, "1000", "format"),
        ("", "abc", "format"),
        (None, "abc", "format"),
        ("f3a9c2e17", "undefined", "format"),
        ("f3a9c2", "NULL", "format"),
        ("null", "None", "value"),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32, "format"),
        ("1234567890", "0000000000", "format"),
        ("4821", "0000", "equal"),
        ("===", "a b", "equal"),
        ("=", "==", "equal"),
        (ONE, ONE.replace("-", ""), "format"),
    ],
)
def test_opaque_tokens(a: Any, b: Any, expected: str) -> None:
    assert both(OPAQUE, a, b) == expected


BASE_62 = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    ("alphabet", "length"),
    [
        (string.digits, 6), (string.hexdigits[:16], 8), (string.hexdigits[:16], 32),
        (string.ascii_lowercase + string.digits, 11),
        (BASE_62, 4), (BASE_62, 16), (BASE_62, 22), (BASE_62 + "-_", 22), (BASE_62 + "+/", 22), (BASE_62 + "-._~", 43),
        (string.printable[:94], 20), (string.printable[:94], 21),
    ],
)  # fmt: skip
def test_random_tokens_of_one_alphabet_never_change_their_format(alphabet: str, length: int) -> None:
    dice = random.Random(length)
    tokens = ["".join(dice.choices(alphabet, k=length)) for _ in range(4000)]
    assert {compare(OPAQUE, a, b) for a, b in pairwise(tokens)} == {"equal"}


def test_a_token_without_digits_is_still_of_its_alphabet() -> None:
    letters = "".join(random.Random(1).choices(string.ascii_letters, k=16))
    assert both(OPAQUE, letters, "A1b2C3d4E5f6G7h8") == "equal"


def test_a_regex_fits_whole_values_of_a_bounded_length() -> None:
    assert both(REGEX, "ord-1234", "ord-9999") == "equal"
    assert both(REGEX, "ord-1234", "ord-12345") == "format"
    assert both(REGEX, "a", "b") == "value"
    digits = compile_matcher(TypedMatcher(regex="[0-9]*"))
    assert both(digits, 1, 22) == "equal"
    assert both(digits, 1, "22") == "format"
    assert both(digits, "1" * 1025, "2" * 1025) == "value"
    assert both(digits, "1" * 1025, "2" * 1024) == "format"


def test_a_faulty_regex_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        compile_matcher(TypedMatcher(regex="("))


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40)
    | st.uuids().map(str) | st.datetimes().map(lambda moment: moment.isoformat() + "Z")
    | st.integers(10**8, 10**13) | st.from_regex(r"https?://[a-z.]{1,9}(/[a-z]{0,5})?", fullmatch=True)
    | st.text("=+-_ aF0", max_size=4)  # what padding and alphabets of tokens are made of, at its smallest
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(ALL), scalars, scalars)
def test_any_two_values_have_an_outcome_that_is_the_same_from_both_sides(matcher: Matcher, a: Any, b: Any) -> None:
    outcome = both(matcher, a, b)
    if type(a) is type(b) and a == b:
        assert outcome == "equal"
    elif outcome == "equal":
        one, two = sketch(matcher, a), sketch(matcher, b)
        assert one is not None
        assert two is not None
        assert one[0] == two[0]


@settings(deadline=None)
@given(st.uuids(version=4), st.uuids(version=4))
def test_two_random_uuids_are_equal(a: uuid.UUID, b: uuid.UUID) -> None:
    assert both(UUID, str(a), str(b)) == "equal"
    assert both(UUID, a.hex.upper(), b.hex.upper()) == "equal"


@settings(deadline=None)
@given(st.datetimes(), st.integers(-10, 10))
def test_instants_are_as_far_apart_as_they_are(moment: datetime, seconds: int) -> None:
    moment = moment.replace(microsecond=0)
    try:
        other = moment + timedelta(seconds=seconds)
    except OverflowError:
        return
    expected = "equal" if abs(seconds) <= 5 else "value"
    assert both(FIVE, f"{moment.isoformat()}Z", f"{other.isoformat()}Z") == expected
