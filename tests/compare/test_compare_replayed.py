"""A recorded answer against a fresh one: a match is what would have been one live, and the other way round."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.record import answer as recorded_side
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.replayed import NO_KEY, NOT_RECORDED, Asked, Replayed, compare_replayed
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction, TypedMatcher
from proxy.messages import Answer, Fields, Pair

KEY = "a redaction key of 2026"
OTHER = "another key of the past"
UNDER = make_redactor(Redaction(keys=[KEY]), b"f" * 32)
STRANGER = make_redactor(Redaction(), b"s" * 32)
BUDGET = Budget()
NOON = 1_700_000_000.0
many = settings(deadline=None, max_examples=300)


def said(body: Any, media: str = "application/json", status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
    fields: Fields = [(b"Content-Type", media.encode())] if media else []
    return Answer(status, [*fields, *more], raw, truncated=False, seconds=0.01)


def replayed(
    legacy: Answer, fresh: Answer, redactor: Redactor = UNDER, *, passed: float = 0.0, method: str = "GET", **rules: Any
) -> Replayed:
    recorded = json.loads(json.dumps(recorded_side(legacy, BUDGET, UNDER)))
    asked = Asked(method, NOON, NOON + passed, UNDER.key_id)
    return compare_replayed(
        recorded, fresh, asked, compile_rules(Compare(**rules)), BUDGET, lambda: 0.0, redactor
    )  # fmt: skip


def live(legacy: Answer, fresh: Answer, **rules: Any) -> Result:
    pair = Pair(
        generation=0, route="", request_id="", at=NOON, method="GET", target=b"/", fields=[], body=b"", arm="legacy",
        reason="", cohorts=[], legacy=legacy, candidate=fresh,
    )  # fmt: skip
    return compare_pair(pair, compile_rules(Compare(**rules)), BUDGET, lambda: 0.0, UNDER)


def places(result: Result) -> set[tuple[str, str]]:
    return {(found.kind, found.path) for found in result.differences}


# -- the same as live -------------------------------------------------------------------------------------------------

names = st.sampled_from(["id", "total", "items", "state", "password", "token", "card", "generated_at", "note"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([1.5, 1.0, -0.0, 19.9, 4111111111111111, 2**70])
    | st.sampled_from(["", "a", "b", "Bearer abcdefgh12345678", "2026-01-02T03:04:05Z", "«masked text, 1»"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["exact", "subset", "schema"]),
        "ignore": st.lists(st.sampled_from(["$..note", "$.items[*].id", "$.password", "$.token.*"]), max_size=2),
        "unordered": st.sampled_from([{"$.items": None}, {"$.items": "id"}, {"$..items": None}]),
        "rename": st.just({"$.state": "$.status"}),
        "map": st.sampled_from([{"$.state": {"a": "b"}}, {"$.password": {"a": "b", "1": 2}}]),
    },
)


@many
@given(documents, documents, rules)
def test_two_documents_get_the_verdict_and_the_differences_that_they_get_live(
    one: Any, two: Any, chosen: dict[str, Any]
) -> None:
    a, b = said(json.dumps(one)), said(json.dumps(two))
    result = replayed(a, b, **chosen).result
    expected = live(a, b, **chosen)
    if result.verdict != "incomparable":
        assert (result.verdict, places(result)) == (expected.verdict, places(expected))
    else:
        assert result.reason in (expected.reason, NOT_RECORDED)


@many
@given(documents, rules)
def test_a_document_matches_itself(document: Any, chosen: dict[str, Any]) -> None:
    rules = {name: rule for name, rule in chosen.items() if name not in ("rename", "map")}
    a = said(json.dumps(document))
    assert replayed(a, a, **rules).result.verdict == live(a, a, **rules).verdict
    assert replayed(a, a, STRANGER, **rules).result.verdict != "mismatched"


@many
@given(documents, documents)
def test_without_the_key_nothing_is_mismatched_that_was_not(one: Any, two: Any) -> None:
    a, b = said(json.dumps(one)), said(json.dumps(two))
    made = replayed(a, b, STRANGER)
    expected = live(a, b)
    if expected.verdict in ("matched", "ignored"):
        assert made.result.verdict != "mismatched"
    elif made.result.verdict in ("matched", "ignored"):
        assert made.loosely > 0  # secrets of one type and length


PAGE = (
    "<html><head><title>Orders</title></head><body class='a b' id=x><p>{0}</p><input name=csrf value={1}></body></html>"
)
XML = "<order id='{0}'><total>19.90</total><password>{1}</password></order>"
CSV = "id,password,note\r\n1,{1},{0}\r\n2,,b\r\n"
EVENTS = 'event: price\ndata: {{"total": "{0}", "token": "{1}"}}\n\n'
LINES = '{{"id": "{0}", "password": "{1}"}}\n{{"id": 2}}\n'
FORM = "id={0}&password={1}&x=1"
TEXT = "order {0}\npassword={1}\nend\n"
MEDIA = {
    "text/html": PAGE, "application/xml": XML, "text/csv": CSV, "text/event-stream": EVENTS,
    "application/x-ndjson": LINES, "application/x-www-form-urlencoded": FORM, "text/plain": TEXT,
    "application/problem+json": '{{"title": "{0}", "secret": "{1}"}}', "": '{{"a": "{0}", "token": "{1}"}}',
}  # fmt: skip
values = st.sampled_from(["1", "2", "é", "x y"])
secrets = st.sampled_from(["hunter2", "hunter3", "longer-than-that"])


@many
@given(st.sampled_from(sorted(MEDIA)), values, values, secrets, secrets)
def test_other_media_get_the_verdict_that_they_get_live(media: str, x: str, y: str, one: str, two: str) -> None:
    a, b = said(MEDIA[media].format(x, one), media), said(MEDIA[media].format(y, two), media)
    assert replayed(a, b).result.verdict == live(a, b).verdict
    without = replayed(a, b, STRANGER)
    if live(a, b).verdict == "matched":
        assert without.result.verdict == "matched"
    elif without.result.verdict == "matched":
        assert without.loosely > 0
        assert len(one) == len(two) or media == "text/html"


@pytest.mark.parametrize("media", sorted(MEDIA))
def test_the_place_of_a_difference_is_that_of_live(media: str) -> None:
    a, b = said(MEDIA[media].format("1", "hunter2"), media), said(MEDIA[media].format("2", "hunter2"), media)
    assert places(replayed(a, b).result) == places(live(a, b)) != set()


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


# -- what the record does not tell ------------------------------------------------------------------------------------


def test_a_body_recorded_in_part_is_incomparable_but_its_head_is_compared() -> None:
    long = said({"items": ["x" * 100] * 2000})
    assert replayed(long, long).result == Result("incomparable", "too-large")
    gone = said({"error": 1}, "application/json", 500)
    assert places(replayed(long, gone).result) == {("status-class", "status")}
    created = said({"items": ["x" * 100] * 2000}, "application/json", 201)
    assert places(replayed(long, created).result) == {("status", "status")}


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


def picture(size: int = 100) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\xff" + b"\x01" * size


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


# -- time -------------------------------------------------------------------------------------------------------------

DAY = 86400.0


def stamped(moment: str) -> Answer:
    return said({"id": 1, "at": moment})


def test_a_time_of_answering_may_have_moved_on_as_time_did() -> None:
    rule = {"match": {"$.at": TypedMatcher(timestamp="5s")}}
    then, now = stamped("2026-01-02T03:04:05Z"), stamped("2026-01-03T03:04:07Z")
    assert replayed(then, now, passed=DAY, **rule).result.verdict == "matched"
    assert replayed(then, then, passed=DAY, **rule).result.verdict == "matched"  # a time that stays
    assert places(replayed(then, now, passed=DAY / 2, **rule).result) == {("value", "$.at")}
    later = stamped("2026-01-02T15:00:00Z")
    assert places(replayed(then, later, passed=DAY, **rule).result) == {("value", "$.at")}


def cookie(expires: str) -> Answer:
    return said({}, "application/json", 200, (b"Set-Cookie", f"sid=abc; Path=/; Expires={expires}; HttpOnly".encode()))


def test_a_cookie_ends_as_long_after_its_answer() -> None:
    then, now = cookie("Thu, 01 Jan 2026 01:00:00 GMT"), cookie("Fri, 02 Jan 2026 01:00:03 GMT")
    assert replayed(then, now, passed=DAY).result.verdict == "matched"
    assert places(replayed(then, now, passed=DAY / 2).result) == {("cookie", "cookie:sid;expires")}
    fixed = cookie("Fri, 31 Dec 2027 23:59:59 GMT")
    assert replayed(fixed, fixed, passed=DAY).result.verdict == "matched"
    deleted = cookie("Thu, 01 Jan 1970 00:00:00 GMT")
    assert replayed(deleted, deleted, passed=DAY).result.verdict == "matched"
    assert replayed(deleted, now, passed=DAY).result.verdict == "mismatched"
    assert replayed(now, deleted, passed=DAY).result.verdict == "mismatched"
    far = cookie("Fri, 31 Dec 9999 23:59:59 GMT")
    assert replayed(far, now, passed=DAY).result.verdict == "mismatched"


# -- rules ------------------------------------------------------------------------------------------------------------


def test_a_contract_that_changed_on_purpose_holds_behind_masks() -> None:
    rules: dict[str, Any] = {"rename": {"$.pass": "$.password"}, "map": {"$.password": {"OLD": "new", "1": 2}}}
    assert replayed(said({"pass": "OLD"}), said({"password": "new"}), **rules).result.verdict == "matched"
    assert replayed(said({"pass": 1}), said({"password": 2}), **rules).result.verdict == "matched"
    assert replayed(said({"pass": "OLD"}), said({"password": "old"}), **rules).result.verdict == "mismatched"


def test_ignored_is_said_of_what_differs_in_ignored_places_only() -> None:
    made = replayed(said({"id": 1, "at": 1}), said({"id": 1, "at": 2}), ignore=["$.at"])
    assert made.result.verdict == "ignored"
    both = replayed(said({"id": 1, "at": 1}), said({"id": 2, "at": 2}), ignore=["$.at"])
    assert places(both.result) == {("value", "$.id")}


def test_the_worst_difference_comes_first_and_what_has_no_room_is_counted() -> None:
    one = {f"name{chr(97 + n)}": n for n in range(26)}
    two = {name: value + 1 for name, value in one.items()}
    a = said(one, "application/json", 200, (b"Location", b"/1"))
    b = said(two, "application/json", 200, (b"Location", b"/2"))
    recorded = recorded_side(a, BUDGET, UNDER)
    asked = Asked("GET", NOON, NOON, UNDER.key_id)
    rules = compile_rules(Compare())
    small = Budget(differences=5)
    result = compare_replayed(recorded, b, asked, rules, small, lambda: 0.0, UNDER).result
    assert result.differences[0].kind == "redirect"
    assert len(result.differences) == 5
    assert result.more == 22


def test_equal_digests_of_other_bytes_are_not_made_up() -> None:
    body = picture(9000)
    recorded = recorded_side(said(body, "image/png"), BUDGET, UNDER)
    assert recorded["body"]["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(("one", "two"), [('{"a":1,"a":2}', '{"a":2}'), ('{"a":2}', '{"a":1,"a":2}')])
def test_one_name_twice_is_incomparable_as_it_is_live(one: str, two: str) -> None:
    assert (
        replayed(said(one), said(two)).result == live(said(one), said(two)) == Result("incomparable", "duplicate-keys")
    )


def test_what_follows_a_masked_secret_in_a_line_or_in_json_in_a_string_is_compared() -> None:
    inner = '{"pin":1,"password":"x","token":"y","total":{0}}'
    for wrapped, media in (
        (json.dumps({"payload": inner}), "application/json"),
        (inner + "\n", "application/x-ndjson"),
    ):
        one, two = (said(wrapped.replace("{0}", n), media) for n in "56")
        assert live(one, two).verdict == "mismatched"
        assert places(replayed(one, two).result) == places(live(one, two))


raw = st.binary(max_size=40) | st.sampled_from([
    b"", b"{", b"[1]", b'{"a":1}', b'{"a":1,"a":2}', b"<a>", b"<a/>", b"a,b\n1,2\n", b"a=1&b=2", b"data: x\n\n",
    b"\xff", b"\xef\xbb\xbfa", b"\xe9", "{}".encode("utf-16"), b"1e999", b"-0", b'"\\ud800"', b"[" * 300,
    b"password=hunter2", "\u00abmasked text, 5\u00bb".encode(), b"\x89PNG\r\n\x1a\n", gzip.compress(b"{}", mtime=0),
])  # fmt: skip
kinds = st.sampled_from([
    "", "application/json", "application/json; charset=utf-16", "text/plain", "text/plain; charset=iso-8859-1",
    "text/plain; charset=nonsense", "text/html", "application/xml", "text/csv", "text/event-stream",
    "application/x-ndjson", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/mixed",
    "image/png", "application/octet-stream", "\u00ab", ";;",
])  # fmt: skip
coded = st.sampled_from([(), ((b"Content-Encoding", b"gzip"),), ((b"content-encoding", b"own"),)])


@settings(deadline=None, max_examples=600)
@given(raw, raw, kinds, kinds, coded, coded, st.sampled_from([200, 201, 204, 304, 500]), st.booleans())
def test_whatever_the_bytes_are_no_match_is_made_up(
    one: bytes, two: bytes, x: str, y: str, p: Any, q: Any, status: int, same: bool
) -> None:
    a, b = said(one, x, 200, *p), said(one if same else two, x if same else y, 200 if same else status, *q)
    expected = live(a, b)
    for redactor in (UNDER, STRANGER):
        made = replayed(a, b, redactor)
        if made.result.verdict in ("matched", "ignored") and not made.loosely:
            assert expected.verdict in ("matched", "ignored")
        if made.result.verdict == "mismatched":
            assert expected.verdict in ("mismatched", "incomparable")
