"""Two answers that are not the same are never called that by their records, however they are spelled and whatever of
them is masked."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare.record import answer
from proxy.compare.redact import make_redactor
from proxy.compare.redact_fields import MAX_STORED_VALUE, headers
from proxy.compare.replayed import Asked, compare_replayed
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Fields, Pair

MakePair = Callable[..., Pair]
REDACTOR = make_redactor(Redaction(keys=["a redaction key of 2026"]), b"r" * 32)
RULES = compile_rules(Compare(headers=["x-api-key", "x-note", "set-cookie"]))
MEDIA = ["text/plain", "text/plain; charset=ascii", "text/csv", "text/event-stream", "application/x-ndjson",
         "application/x-www-form-urlencoded", "application/json", "application/xml", ""]  # fmt: skip
SAME = ("matched", "ignored")


def verdicts(make_pair: MakePair, one: Answer, two: Answer) -> tuple[str, str]:
    """Of the pair as it is compared live, and by the record of the first."""
    live = compare_pair(make_pair(one, two), RULES, Budget(), monotonic, REDACTOR)
    recorded = orjson.loads(orjson.dumps(answer(one, Budget(), REDACTOR)))
    asked = Asked("GET", 0.0, 0.0, REDACTOR.key_id)
    return live.verdict, compare_replayed(recorded, two, asked, RULES, Budget(), monotonic, REDACTOR).result.verdict


def of(body: bytes, media: str, fields: Fields | None = None) -> Answer:
    return Answer(200, [(b"content-type", media.encode()), *(fields or [])], body, False, 0.1)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b"token=\xff1", b"token=\xfe1"), (b"a,token\n1,\xff\n", b"a,token\n1,\xfe\n"),
        (b"<token>\xff1</token>", b"<token>\xfe1</token>"), (b'{"pin": "\xff"}', b'{"pin": "\xfe"}'),
        (b'{"a": "\xff Bearer abcdefghijkl"}', b'{"a": "\xfe Bearer abcdefghijkl"}'),
        (b"a,token\n1, x\n", b"a,token\n1,x\n"), (b"%61 Bearer%20abcdefghijkl", b"a Bearer%20abcdefghijkl"),
        (b"a=Bearer+abcdefghijkl%26b=1", b"a=Bearer+abcdefghijkl&b=1"),
        (b'{"a": "%2561 Bearer%20abcdefghijkl"}', b'{"a": "%61 Bearer%20abcdefghijkl"}'),
    ],
)  # fmt: skip
def test_what_differs_live_is_not_the_same_by_the_record(
    make_pair: MakePair, media: str, one: bytes, two: bytes
) -> None:
    live, replayed = verdicts(make_pair, of(one, media), of(two, media))
    assert live in SAME or replayed not in SAME


pieces = st.sampled_from(
    [b"token=", b"password: ", b"Bearer ", b"Bearer%20", b"abcdefghijkl", b"\xff", b"\xfe", b"%61", b"a", b"%2561",
     b"+", b"%20", b" ", b"&", b"%26", b"--pin ", b"1", b"\xc3\xa9", b"e\xcc\x81", b",", b'"', b"\n", b"<token>",
     b"</token>", b"x"]
)  # fmt: skip
texts = st.lists(pieces, min_size=1, max_size=6).map(b"".join)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, texts, texts, texts, st.sampled_from(MEDIA))
def test_no_two_texts_are_the_same_by_the_record_only(
    make_pair: MakePair, before: bytes, one: bytes, two: bytes, after: bytes, media: str
) -> None:
    live, replayed = verdicts(make_pair, of(before + one + after, media), of(before + two + after, media))
    assert live in SAME or replayed not in SAME


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("X-Api-Key", b"\xff1", b"\xfe1"), ("Set-Cookie", b"a=\xff1", b"a=\xfe1"), ("X-Note", b"\xff", b"\xfe"),
        ("X-Api-Key", b"a" * 9000, b""), ("X-Note", b"a" * 9000, b"a" * (MAX_STORED_VALUE - 1024)),
        ("X-Note", b"%61 Bearer%20abcdefghijkl", b"a Bearer%20abcdefghijkl"),
    ],
)  # fmt: skip
def test_a_field_that_differs_live_is_not_the_same_by_the_record(
    make_pair: MakePair, name: str, one: bytes, two: bytes
) -> None:
    first, second = (of(b"{}", "application/json", [(name.encode(), value)]) for value in (one, two))
    live, replayed = verdicts(make_pair, first, second)
    assert live == "mismatched"
    assert replayed not in SAME


def test_a_field_that_is_not_stored_to_its_end_says_so_and_shows_no_half_secret() -> None:
    long = b"x" * (MAX_STORED_VALUE - 10) + b" Bearer abcdefghijklmnop"
    ((_, shown),) = headers([(b"X-Note", long)], REDACTOR)
    assert shown.endswith("x\ufffd")
    ((_, shown),) = headers([(b"X-Api-Key", long)], REDACTOR)
    assert shown == "\ufffd"
