"""A recorded answer against a fresh one where the record does not tell all: masked secrets, cut bodies, bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import orjson
import pytest
from recorded import KEY, STRANGER, UNDER, live, picture, places, replayed, said

from proxy.compare.redact import make_redactor
from proxy.compare.replayed import NO_KEY, NOT_RECORDED
from proxy.compare.result import Result
from proxy.config.comparing import Redaction, TypedMatcher
from proxy.messages import Answer

OTHER = "another key of the past"


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_under_the_key_other_secrets_differ_and_no_more_is_shown() -> None:
    result, loosely = replayed(said({"password": "hunter2"}), said({"password": "hunter3"}))
    (found,) = result.differences
    assert (found.kind, found.path) == ("value", "$.password")
    assert found.legacy.startswith("«masked text, 7, ")
    assert found.candidate.startswith("«masked text, 7, ")
    assert found.legacy != found.candidate
    assert loosely == 0


def test_without_the_key_secrets_are_compared_by_type_and_length_and_counted() -> None:
    same = replayed(said({"password": "hunter2", "pin": 1234}), said({"password": "hunter3", "pin": 99}), STRANGER)
    assert (same.result.verdict, same.loosely) == ("matched", 2)
    longer = replayed(said({"password": "hunter2"}), said({"password": "hunter22"}), STRANGER)
    assert places(longer.result) == {("value", "$.password")}
    other = replayed(said({"password": "hunter2"}), said({"password": 1234567}), STRANGER)
    assert places(other.result) == {("type", "$.password")}


def test_records_under_an_earlier_key_are_compared_under_it() -> None:
    rotated = make_redactor(Redaction(keys=[OTHER, KEY]), b"f" * 32)
    assert replayed(said({"token": "a"}), said({"token": "a"}), rotated) == (Result("matched"), 0)
    assert replayed(said({"token": "a"}), said({"token": "b"}), rotated).result.verdict == "mismatched"


def test_a_mask_that_the_answer_itself_made_up_does_not_stand_for_the_key() -> None:
    forged = "«masked text, 1, aaaaaa:bbbbbbbbbbbb»"
    a, b = {"note": forged, "password": "hunter2"}, {"note": forged, "password": "hunter3"}
    assert replayed(said(a), said(b)).result.verdict == "mismatched"


@pytest.mark.parametrize(
    ("rule", "one", "two"),
    [
        ("uuid", "3f2b8a1e-7c4d-4e5f-8a9b-0c1d2e3f4a5b", "00000000-7c4d-4e5f-8a9b-0c1d2e3f4a5b"),
        ("opaque", "kJ8sLq02mZ", "pQ1xRt77wYabc"),
        ("number", 17, 18),
        (TypedMatcher(timestamp="5s"), "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"),
        (TypedMatcher(regex="[a-z]+"), "abc", "abcdef"),
    ],
)
def test_a_secret_under_a_matcher_may_differ_but_not_in_type(rule: Any, one: Any, two: Any) -> None:
    match = {"$.token": rule}
    for redactor in (UNDER, STRANGER):
        made = replayed(said({"token": one}), said({"token": two}), redactor, match=match)
        assert (made.result.verdict, made.loosely) == ("matched", 1)
        other = replayed(said({"token": one}), said({"token": True}), redactor, match=match)
        assert other.result.verdict == "mismatched"


def test_a_secret_number_may_differ_where_there_is_a_tolerance() -> None:
    made = replayed(said({"card": {"limit": 100}}), said({"card": {"limit": 101}}), tolerance={"$.card.limit": 5})
    assert (made.result.verdict, made.loosely) == ("matched", 1)


def test_in_mode_schema_the_type_behind_a_mask_counts() -> None:
    assert replayed(said({"pin": 1234}), said({"pin": 99}), mode="schema").result.verdict == "matched"
    for redactor in (UNDER, STRANGER):
        made = replayed(said({"pin": 1234}), said({"pin": "1234"}), redactor, mode="schema")
        assert places(made.result) == {("type", "$.pin")}


def test_a_matcher_of_a_header_or_cookie_holds_for_masked_values() -> None:
    one, two = (b"Set-Cookie", b"seen=abcdef0123; Path=/"), (b"Set-Cookie", b"seen=0123abcdef; Path=/")
    fields = (said({}, "application/json", 200, one), said({}, "application/json", 200, two))
    assert places(replayed(*fields).result) == {("cookie", "cookie:seen")}
    assert replayed(*fields, match={"cookie:seen": "opaque"}).result.verdict == "matched"
    keys = [said({}, "application/json", 200, (b"X-Api-Key", value)) for value in (b"abcdef0123", b"0123abcdef00")]
    assert replayed(*keys, headers=["x-api-key"]).result.verdict == "mismatched"
    assert replayed(*keys, headers=["x-api-key"], match={"header:x-api-key": "opaque"}).result.verdict == "matched"


def test_members_whose_names_are_secrets_are_told_apart_by_the_key() -> None:
    a, b = {"tokens": {"user-000000000001": 1}}, {"tokens": {"user-000000000002": 1}}
    assert replayed(said(a), said(b)).result.verdict == "mismatched"
    assert replayed(said(a), said(a), STRANGER).result.verdict == "matched"
    two, three = ({"tokens": {"user-000000000001": [None] * n, "user-000000000002": 1}} for n in (2, 3))
    assert replayed(said(two), said(three), STRANGER).result == Result("incomparable", "duplicate-keys")


# -- cut bodies, bytes, and what was not kept -------------------------------------------------------------------------


def test_a_body_recorded_in_part_is_incomparable_but_its_head_is_compared() -> None:
    long = said({"items": ["x" * 100] * 2000})
    other = said({"items": ["x" * 100] * 1999 + ["y" * 100]})
    assert replayed(long, other).result == Result("incomparable", "too-large")
    gone = said({"error": 1}, "application/json", 500)
    assert places(replayed(long, gone).result) == {("status-class", "status")}
    created = said({"items": ["x" * 100] * 2000}, "application/json", 201)
    assert places(replayed(long, created).result) == {("status", "status")}


@pytest.mark.parametrize("items", [1000, 4000])
def test_a_body_recorded_in_part_matches_what_is_the_same_to_its_end(items: int) -> None:
    document = {"items": [{"id": n, "token": f"secret{n}", "text": "x" * 60} for n in range(items)]}
    long, page = said(document), said("<p>é x</p>\n" * 10_000, "text/html")
    coded = Answer(
        200, [*long.fields, (b"Content-Encoding", b"gzip")], gzip.compress(long.body), truncated=False, seconds=0.1
    )
    assert replayed(long, long).result == replayed(page, page).result == Result("matched")
    assert replayed(long, coded).result == Result("matched")
    document["items"][-1]["token"] = "secretX"
    assert replayed(long, said(document)).result == Result("incomparable", "too-large")
    assert replayed(page, said(page.body + b"!", "text/html")).result == Result("incomparable", "too-large")


def test_what_is_the_same_to_its_end_is_no_match_where_that_cannot_be_told_or_is_not_wanted() -> None:
    long = said({"items": ["x" * 100] * 2000})
    assert replayed(long, long, STRANGER).result == Result("incomparable", "too-large")
    renamed = replayed(long, long, rename={"$.items": "$.things"})
    assert renamed.result == Result("incomparable", "too-large")
    typed = said(long.body, "application/json; charset=latin-1")
    assert replayed(long, typed, headers=[]).result == Result("incomparable", "too-large")
    broken_off = Answer(200, long.fields, long.body, truncated=True, seconds=0.1)
    assert replayed(broken_off, broken_off).result == Result("incomparable", "too-large")


def test_a_build_that_fails_differs_whatever_was_recorded() -> None:
    long = said("x" * 200_000, "text/plain")
    dead = Answer(0, [], b"", truncated=False, seconds=1.0, failure="reset")
    late = Answer(0, [], b"", truncated=False, seconds=30.0, failure="first-byte-timeout")
    assert places(replayed(long, dead).result) == {("error", "error")}
    assert places(replayed(said({}), late).result) == {("timeout", "error")}


def test_an_answer_that_does_not_end_differs_from_one_that_did() -> None:
    endless = Answer(200, [(b"Content-Type", b"application/json")], b"[" * 1000, truncated=True, seconds=1.0)
    assert places(replayed(said([]), endless).result) == {("size", "body")}
    broken_off = Answer(200, [(b"Content-Type", b"image/png")], picture(50), truncated=True, seconds=1.0)
    assert replayed(said(picture(90), "image/png"), broken_off).result == Result("incomparable", "too-large")
    assert places(replayed(said("a", "text/plain"), said("a" * 100_000, "text/plain")).result) == {("size", "body")}
    assert replayed(said([1]), said([1] * 50_000)).result == Result("incomparable", "too-large")


def test_bytes_are_compared_by_their_digest_under_the_key() -> None:
    a, b = said(picture(), "image/png"), said(picture()[:-1] + b"\x02", "image/png")
    assert replayed(a, a).result.verdict == "matched"
    assert places(replayed(a, b).result) == places(live(a, b)) == {("digest", "body")}


def test_short_bytes_without_the_key_are_never_a_match() -> None:
    a, b = said(picture(), "image/png"), said(picture()[:-1] + b"\x02", "image/png")
    assert replayed(a, a, STRANGER).result == Result("incomparable", NO_KEY)
    assert replayed(a, b, STRANGER).result == Result("incomparable", NO_KEY)
    longer = said(picture(101), "image/png")
    assert places(replayed(a, longer, STRANGER).result) == {("digest", "body")}


def test_long_bytes_need_no_key() -> None:
    a, b = said(picture(9000), "image/png"), said(picture(9000)[:-1] + b"\x02", "image/png")
    assert replayed(a, a, STRANGER).result.verdict == "matched"
    assert replayed(a, b, STRANGER).result.verdict == "mismatched"


def test_bytes_in_a_coding_may_be_the_same_when_they_are_not() -> None:
    coded = (b"Content-Encoding", b"gzip")
    body = picture(9000)
    a = said(gzip.compress(body, mtime=1), "image/png", 200, coded)
    b = said(gzip.compress(body, mtime=2), "image/png", 200, coded)
    assert live(a, b).verdict == "matched"
    assert replayed(a, a).result.verdict == "matched"
    assert replayed(a, b).result == Result("incomparable", NOT_RECORDED)


def test_codings_of_text_are_looked_through() -> None:
    document = {"id": 1, "password": "hunter2"}
    packed = said(gzip.compress(orjson.dumps(document)), "application/json", 200, (b"Content-Encoding", b"gzip"))
    assert replayed(said(document), packed).result.verdict == "matched"
    assert replayed(packed, said(document)).result.verdict == "matched"


def test_bytes_that_cannot_be_decoded_are_never_a_match() -> None:
    a, b = said(b"caf\xe9", "text/plain"), said(b"caf\xe8", "text/plain")
    assert live(a, b).verdict == "mismatched"
    assert replayed(a, b).result == Result("incomparable", NOT_RECORDED)
    where = [said({}, "application/json", 302, (b"Location", value)) for value in (b"/caf\xe9", b"/caf\xe8")]
    assert live(*where).verdict == "mismatched"
    assert replayed(*where).result == Result("incomparable", NOT_RECORDED)


def test_fields_that_are_too_long_to_be_recorded_are_never_a_match() -> None:
    where = [said({}, "application/json", 302, (b"Location", b"/" + b"a" * 9000 + end)) for end in (b"1", b"2")]
    assert live(*where).verdict == "mismatched"
    assert replayed(*where).result == Result("incomparable", NOT_RECORDED)
    crowd = [(b"X-%d" % n, b"1") for n in range(120)]
    many = [said({}, "application/json", 302, *crowd, (b"Location", end)) for end in (b"/1", b"/2")]
    assert replayed(*many).result == Result("incomparable", NOT_RECORDED)


def test_other_charsets_are_compared_as_text() -> None:
    latin = said("café".encode("latin-1"), "text/plain; charset=iso-8859-1")
    other = said("cafè".encode("latin-1"), "text/plain; charset=iso-8859-1")
    assert replayed(latin, latin).result.verdict == "matched"
    assert places(replayed(latin, other).result) == {("text", "body")}
    wide = said("<a>é</a>".encode("utf-16"), "application/xml; charset=utf-16")
    assert replayed(wide, wide).result.verdict == "matched"


def test_nothing_against_something() -> None:
    empty, full = said(b""), said({"id": 1})
    assert places(replayed(empty, full).result) == places(live(empty, full)) == {("extra", "body")}
    assert places(replayed(full, empty).result) == places(live(full, empty)) == {("missing", "body")}
    assert replayed(empty, empty, method="HEAD").result.verdict == "matched"
    unchanged = said(b"", "", 304)
    assert replayed(unchanged, unchanged).result.verdict == "matched"
    assert replayed(unchanged, full).result.verdict == "mismatched"


def test_another_media_type_is_said_so() -> None:
    a, b = said({"id": 1}), said("<p>1</p>", "text/html")
    assert places(replayed(a, b).result) == places(live(a, b))
    c = said(picture(), "image/png")
    assert places(replayed(a, c).result) == places(live(a, c))


def test_parts_of_a_form_are_not_recorded_as_they_were_sent() -> None:
    form = '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n{0}\r\n--b--\r\n'
    a, b = (said(form.format(value), "multipart/form-data; boundary=b") for value in "xy")
    assert replayed(a, a).result == replayed(a, b).result == Result("incomparable", NOT_RECORDED)
    assert replayed(a, said("{}")).result.verdict == "mismatched"


def test_what_follows_a_masked_secret_in_a_line_or_in_json_in_a_string_is_compared() -> None:
    inner = '{"pin":1,"password":"x","token":"y","total":{0}}'
    for wrapped, media in (
        (json.dumps({"payload": inner}), "application/json"),
        (inner + "\n", "application/x-ndjson"),
    ):
        one, two = (said(wrapped.replace("{0}", n), media) for n in "56")
        assert live(one, two).verdict == "mismatched"
        assert places(replayed(one, two).result) == places(live(one, two))
