"""A recorded answer against a fresh one: a match is what would have been one live, and the other way round."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import BUDGET, NOON, STRANGER, UNDER, any_documents, live, picture, places, replayed, said

from proxy.compare.record import answer as recorded_side
from proxy.compare.replayed import NOT_RECORDED, Asked, compare_replayed
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, TypedMatcher
from proxy.messages import Answer

many = settings(deadline=None, max_examples=300)

# -- the same as live -------------------------------------------------------------------------------------------------

documents = any_documents(
    ["id", "total", "items", "state", "password", "token", "card", "generated_at", "note"],
    [1.5, 1.0, -0.0, 19.9, 4111111111111111, 2**70, "", "a", "b", "Bearer abcdefgh12345678", "2026-01-02T03:04:05Z",
     "«masked text, 1»"],
)  # fmt: skip
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
