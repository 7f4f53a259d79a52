"""Exported suites: a test passes where the rules call two answers equal, and fails where they do not."""

from __future__ import annotations

import http.client
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cli import export_tests
from proxy.cli.exporting import cases
from proxy.cli.suite import test_recorded as suite
from proxy.compare.record import answer as recorded_side
from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction, written_compare
from proxy.errors import BanyanError
from proxy.messages import Answer, Fields, Pair

UNDER = make_redactor(Redaction(keys=["a redaction key of 2026"]), b"f" * 32)
BUDGET = Budget()
many = settings(deadline=None, max_examples=300)


def said(body: Any, media: str = "application/json", status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
    fields: Fields = [(b"Content-Type", media.encode())] if media else []
    return Answer(status, [*fields, *more], raw, truncated=False, seconds=0.01)


def asked(method: str = "GET", target: str = "/x", body: str = "", kind: str = "none", **more: Any) -> dict[str, Any]:
    stored = {"kind": kind, "bytes": len(body), "text": body, "cut": False}
    return {"method": method, "target": target, "headers": [], "body": stored, "cut": False, **more}


def material(
    *answers: Answer, expected: list[list[str]] | None = None, requests: list[Any] | None = None, **rules: Any
) -> dict[str, Any]:
    made = [recorded_side(answer, BUDGET, UNDER) for answer in answers]
    return json.loads(json.dumps({  # type: ignore[no-any-return]
        "route": "orders-read", "compare": written_compare(Compare.model_validate(rules)),
        "redaction": {}, "expected": expected or [],
        "requests": [
            {"at": "2026-01-02T03:04:05Z", "request": request, "legacy": side}
            for side, request in zip(made, requests or [asked()] * len(made), strict=True)
        ],
    }))  # fmt: skip


def found(legacy: Answer, fresh: Answer, **more: Any) -> list[str]:
    """What the exported test of ``legacy`` says of another answer."""
    made, left_out = cases(material(legacy, **more), safe_only=False)
    assert not left_out
    (case,) = suite.read(export_tests._json(made))["cases"]
    headers = http.client.HTTPMessage()
    for name, value in fresh.fields:
        headers[name.decode()] = value.decode("latin-1")
    return list(suite.differences(case["expected"], fresh.status, headers, fresh.body))


def live(legacy: Answer, fresh: Answer, **rules: Any) -> str:
    pair = Pair(
        generation=0, route="", request_id="", at=0.0, method="GET", target=b"/", fields=[], body=b"", arm="legacy",
        reason="", cohorts=[], legacy=legacy, candidate=fresh,
    )  # fmt: skip
    return compare_pair(pair, compile_rules(Compare.model_validate(rules)), BUDGET, lambda: 0.0, UNDER).verdict


# -- the same as live -------------------------------------------------------------------------------------------------

names = st.sampled_from(["id", "total", "items", "state", "generated_at", "note", "$any", "$type", "a b"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([1.5, 1.0, 19.9, 2**70, 0.1, 0.0])
    | st.sampled_from(["", "a", "b", "1", "1.5", "Decimal('1.5')", "2026-01-02T03:04:05Z"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["exact", "subset"]),
        "ignore": st.lists(
            st.sampled_from(["$..note", "$.items[*].id", "$.state", "$.state.*", "$.items[0]", "$.total[*]", "$"]),
            max_size=2,
        ),
        "unordered": st.sampled_from([{"$.items": None}, {"$.items": "id"}, {"$..items": None}]),
        "rename": st.just({"$.state": "$.status"}),
        "map": st.just({"$.state": {"a": "b", "1": 2}}),
        "tolerance": st.sampled_from([{"$.total": 1}, {"$.total": 0.5}, {"$.items[*]": "50%"}]),
    },
)


@many
@given(documents, documents, rules)
def test_a_test_passes_exactly_if_the_rules_call_the_answers_equal(one: Any, two: Any, chosen: dict[str, Any]) -> None:
    a, b = said(json.dumps(one)), said(json.dumps(two))
    verdict = live(a, b, **chosen)
    if verdict != "incomparable":
        assert (found(a, b, **chosen) == []) == (verdict in ("matched", "ignored"))


@many
@given(documents, rules)
def test_a_document_passes_its_own_test(document: Any, chosen: dict[str, Any]) -> None:
    chosen = {name: rule for name, rule in chosen.items() if name not in ("rename", "map")}
    assert found(said(json.dumps(document)), said(json.dumps(document)), **chosen) == []


@many
@given(st.permutations([{"id": n, "name": f"n{n}"} for n in range(5)]), st.sampled_from(["id", None]))
def test_lists_without_an_order_pass_in_any(items: list[Any], key: str | None) -> None:
    first = [{"id": n, "name": f"n{n}"} for n in range(5)]
    assert found(said(first), said(items), unordered={"$": key}) == []
    other = [*items[:4], {**items[4], "name": "x"}]
    (message, *_) = found(said(first), said(other), unordered={"$": key})
    assert message.startswith(f"$[id={items[4]['id']}].name: expected" if key else "$: no item like")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1", "1.0"), ("1", "true"), ("1", '"1"'), ("0", "false"), ("0.0", "-0.0"), ("0", "-0"), ("null", "false"),
        ("1e999", "1e998"), ("0.1234567890123456789", "0.1234567890123456788"), ("9" * 30, "9" * 29 + "8"),
        ("1" * 5000, "1" * 4999 + "2"), ("1e99999999999999999999", "1e99999999999999999998"),
        ("1e99999999999999999999", '"1e99999999999999999999"'), ("[1.5]", '["Decimal(\'1.5\')"]'),
    ],
)  # fmt: skip
def test_no_two_values_become_one(one: str, two: str) -> None:
    for wrapped in ("%s", '{"items": [%s]}'):
        rule: dict[str, Any] = {"unordered": {"$.items": None}}
        assert found(said(wrapped % one), said(wrapped % one), **rule) == []
        assert found(said(wrapped % one), said(wrapped % two), **rule) != []
        assert found(said(wrapped % two), said(wrapped % one), **rule) != []


@pytest.mark.parametrize("body", ["{", "NaN", "[1", '{"a": 1, "a": 1}', "[" * 5000, "", "\xff"])
def test_what_is_no_document_is_said_to_be_none(body: str) -> None:
    (message,) = found(said([1]), said(body.encode("latin-1")))
    assert message.startswith("$: expected JSON, got ")


# -- rules ------------------------------------------------------------------------------------------------------------

UUIDS = ("3f2b8a1e-7c4d-4e5f-8a9b-0c1d2e3f4a5b", "1f2b8a1e-7c4d-4e5f-8a9b-0c1d2e3f4a5c")


@pytest.mark.parametrize(
    ("rule", "one", "fits", "other"),
    [
        ("uuid", UUIDS[0], UUIDS[1], UUIDS[1].replace("-", "")),
        ("uuid", UUIDS[0], UUIDS[1], UUIDS[1].upper()),
        ("uuid", f"{{{UUIDS[0]}}}", f"{{{UUIDS[1]}}}", UUIDS[1]),
        ("uuid", "none", "none", UUIDS[0]),
        ("number", 17, 4, "4"),
        ("opaque", "abc", "xyz", 5),
        ("url-without-host", "https://a.example/x?y=1", "https://b.example/x?y=1", "https://b.example/z"),
        ("url-without-host", "https://a.example", "https://b.example/", "http://b.example/"),
        ({"regex": "ord-[0-9]+"}, "ord-1", "ord-22", "ord-x"),
        ({"timestamp": "5s"}, "2026-01-02T03:04:05Z", "2027-01-02T03:04:05Z", 1767323045),
        ({"timestamp": "5s"}, None, None, "2027-01-02T03:04:05Z"),
    ],
)
def test_a_matcher_asks_for_the_look(rule: Any, one: Any, fits: Any, other: Any) -> None:
    match = {"$.at": rule}
    assert found(said({"at": one}), said({"at": fits}), match=match) == []
    assert len(found(said({"at": one}), said({"at": other}), match=match)) == 1


def test_a_tolerance_is_exact() -> None:
    rule = {"tolerance": {"$.total": 0.01}}
    assert found(said({"total": 10.01}), said({"total": 10.02}), **rule) == []
    assert found(said({"total": 10.01}), said('{"total": 10.0200001}'), **rule) != []
    share = {"tolerance": {"$.total": "10%"}}
    assert found(said({"total": 100}), said({"total": 90}), **share) == []
    assert found(said({"total": 100}), said({"total": 89}), **share) != []
    assert found(said({"total": 100}), said({"total": "100"}), **share) != []


def test_mode_schema_asks_for_names_and_types() -> None:
    legacy = said({"id": 1, "items": [{"a": 1}], "by_id": {"2026-01-02": 1}})
    assert found(legacy, said({"id": 2, "items": [], "by_id": {"2027-01-02": 5}}), mode="schema") == []
    assert found(legacy, said({"id": "2", "items": [], "by_id": {}}), mode="schema") != []
    assert found(legacy, said({"items": [], "by_id": {}}), mode="schema") != []


def test_a_masked_secret_asks_for_its_type() -> None:
    legacy = said({"password": "hunter2", "pin": 1234, "cvv": None, "tokens": {"user-000000000001": True}})
    good = {"password": "x", "pin": 1, "cvv": None, "tokens": {"user-000000000009": False}}
    assert found(legacy, said(good)) == []
    assert found(legacy, said({**good, "pin": "1"})) == ['$.pin: expected a number, got "1"']
    assert found(legacy, said({**good, "password": None})) == ["$.password: expected a string, got null"]
    assert found(legacy, said({**good, "tokens": []})) == ["$.tokens: expected an object, got []"]


@pytest.mark.parametrize(
    ("kind", "path", "one", "two"),
    [
        ("value", "$.id", {"id": 1}, {"id": 2}),
        ("type", "$.id", {"id": 1}, {"id": "1"}),
        ("type", "$.items[*].id", {"items": [{"id": 1}]}, {"items": [{"id": "1"}]}),
        ("missing", "$.id", {"id": 1}, {}),
        ("extra", "$.note", {"id": 1}, {"id": 1, "note": 2}),
        ("extra", "$.items[*].note", {"items": [{"id": 1}]}, {"items": [{"id": 1, "note": 2}]}),
        ("extra", "$['a b']", {"id": 1}, {"id": 1, "a b": 2}),
        ("extra", "$.*", {"id": 1}, {"id": 1, "2026-01-02": 2}),
        ("order", "$.items", {"items": [1, 2]}, {"items": [2, 1]}),
        ("size", "$.items", {"items": [1, 2]}, {"items": [1]}),
        ("format", "$.id", {"id": "a"}, {"id": "b"}),
        ("value", "$.*", {f"name{chr(97 + n // 26)}{chr(97 + n % 26)}": 1 for n in range(60)},
         {f"name{chr(97 + n // 26)}{chr(97 + n % 26)}": 2 for n in range(60)}),
    ],
)  # fmt: skip
def test_what_was_accepted_is_let_pass_and_no_more(kind: str, path: str, one: Any, two: Any) -> None:
    assert found(said(one), said(two)) != []
    assert found(said(one), said(two), expected=[[kind, path]]) == []
    assert found(said(one), said(two), expected=[[kind, "$.elsewhere"], ["redirect", path]]) != []


# -- heads ------------------------------------------------------------------------------------------------------------


def test_another_status_is_a_failure_that_shows_the_body() -> None:
    failing = found(said({"id": 1}), said({"error": "no\x1b[2J"}, "application/json", 500))
    assert failing == ["status: expected 200, got 500", 'body: b\'{"error":"no\\\\u001b[2J"}\'']
    assert found(said({}), said({}, "application/json", 201)) == ["status: expected 200, got 201"]
    assert found(said({}), said({}, "application/json", 201), expected=[["status", "status"]]) == []
    assert found(said({}), said({}, "application/json", 400), expected=[["status", "status"]]) != []


def test_compared_fields_are_those_of_the_rules() -> None:
    one = said({}, "application/json", 200, (b"X-Total", b"1"), (b"X-Total", b"2"))
    two = said({}, "application/json", 200, (b"X-Total", b"1, 2"))
    assert found(one, two) == []
    (message,) = found(one, two, headers=["X-Total"])
    assert message == "header x-total: expected ['1', '2'], got ['1, 2']"
    assert found(one, two, headers=["x-total"], ignore=["header:x-total"]) == []
    assert found(one, two, headers=["x-total"], match={"header:x-total": "number"}) == []
    assert found(one, said({}), headers=["x-total"], match={"header:x-total": "number"}) == [
        "header x-total: expected, got none"
    ]
    assert found(one, two, headers=["x-total"], expected=[["header", "header:x-total"]]) == []
    moved = said({}, "application/json", 200, (b"Location", b"/x"))
    assert found(said({}), moved) == ["header location: expected [], got ['/x']"]
    assert found(said({}), moved, expected=[["redirect", "header:location"]]) == []


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("application/json", "Application/JSON; charset=utf-8", True),
        ("text/html;charset=utf-8", 'text/html; charset="UTF-8"', True),
        ("text/html; charset=utf-8", "text/html", False),
        ("text/html", "text/plain", False),
    ],
)
def test_media_types_are_compared_as_they_are_live(one: str, two: str, same: bool) -> None:
    a, b = said("{}", one), said("{}", two)
    assert (found(a, b) == []) == same == (live(a, b) == "matched")


def test_cookies_are_asked_for_by_name() -> None:
    sets = (b"Set-Cookie", b"sid=abc; Path=/"), (b"Set-Cookie", b"theme=dark")
    legacy = said({}, "application/json", 200, *sets)
    assert (
        found(legacy, said({}, "application/json", 200, (b"Set-Cookie", b"theme=x"), (b"Set-Cookie", b"sid=y"))) == []
    )
    half = said({}, "application/json", 200, sets[0])
    assert found(legacy, half) == ["cookie theme: expected, not set"]
    assert found(legacy, half, ignore=["cookie:theme"]) == []
    assert found(legacy, half, expected=[["cookie", "cookie:theme"]]) == []
    assert found(legacy, half, headers=[]) == []


def test_masked_and_undecodable_fields_only_have_to_be_there() -> None:
    one = said({}, "application/json", 302, (b"Location", b"/caf\xe9?token=abcdef012345"))
    two = said({}, "application/json", 302, (b"Location", b"/x?token=b"))
    assert found(one, two) == []
    assert found(one, said({}, "application/json", 302)) == ["header location: expected, got none"]
    accented = said({}, "application/json", 302, (b"Location", "/café".encode()))
    assert found(accented, accented) == []


# -- bodies of other media --------------------------------------------------------------------------------------------


def kind_of(legacy: Answer, **more: Any) -> str:
    return str(cases(material(legacy, **more), safe_only=False)[0]["cases"][0]["expected"]["kind"])


def picture(size: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\xff" + b"\x01" * size


def test_text_is_compared_line_by_line() -> None:
    a = said("one\ntwo\nthree", "text/plain; charset=iso-8859-1")
    assert kind_of(a) == "text"
    assert found(a, a) == []
    (message,) = found(a, said("one\nzwei\nthree", "text/plain; charset=iso-8859-1"))
    assert message == 'body, line 2: expected "two", got "zwei"'
    (longer,) = found(a, said("one\ntwo\nthree\nfour", "text/plain; charset=iso-8859-1"))
    assert longer == 'body, line 4: expected null, got "four"'
    latin = said("café".encode("latin-1"), "text/plain; charset=iso-8859-1")
    assert found(latin, latin) == []
    assert found(said("a", "text/x; charset=none"), said("a", "text/x; charset=none")) == []


def test_bytes_are_compared_by_length_and_open_digest() -> None:
    long, short = said(picture(9000), "image/png"), said(picture(90), "image/png")
    assert found(long, long) == found(short, short) == []
    assert found(long, said(picture(9000)[:-1] + b"\2", "image/png")) == [
        "body: 9010 bytes as expected, but other ones"
    ]
    assert found(short, said(picture(91), "image/png")) == ["body: expected 100 bytes, got 101"]
    assert found(short, said(picture(91), "image/png"), expected=[["digest", "body"]]) == []


@pytest.mark.parametrize(
    "media",
    ["text/html", "application/xml", "text/csv", "text/event-stream", "application/x-ndjson",
     "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)  # fmt: skip
def test_of_other_media_only_is_seen_that_there_is_a_body(media: str) -> None:
    a = said("id=1", media)
    assert kind_of(a) == "presence"
    assert found(a, said("something else", media)) == []
    assert found(a, said("", media)) == ["body: expected one, got none"]


def test_what_is_masked_or_was_not_read_is_not_compared() -> None:
    assert kind_of(said("password=hunter2", "text/plain")) == "presence"
    assert kind_of(said(b"caf\xe9", "text/plain")) == "presence"
    assert kind_of(said('{"a":1,"a":2}')) == "presence"
    coded = (b"Content-Encoding", b"unknown")
    assert kind_of(said(picture(9000), "image/png", 200, coded)) == "presence"


def test_nothing_is_nothing() -> None:
    none = said("", "", 204)
    assert found(none, none) == []
    assert found(none, said("x", "", 204)) == ["body: expected none, got b'x'"]
    assert kind_of(none, expected=[["extra", "body"]]) == "any"
    assert kind_of(said({}), expected=[["missing", "body"]]) == "any"
    assert kind_of(said({}), ignore=["$"]) == "any"


# -- which requests become cases --------------------------------------------------------------------------------------


def test_what_cannot_be_asked_or_judged_is_left_out_and_counted() -> None:
    fine = said({})
    failed = Answer(0, [], b"", truncated=False, seconds=1.0, failure="reset")
    long = said("x" * 100_000, "text/plain")
    cut = asked("POST", body="x", kind="text")
    cut["body"]["cut"] = True
    requests = [
        asked(), asked(), asked(), cut, asked("DELETE"), asked("OPTIONS", "*"), asked(target="/é"),
        asked("POST", body="a\ufffd", kind="text"), asked("POST", body="x", kind="multipart"), asked(cut=True),
    ]  # fmt: skip
    answers = [fine, failed, long, *[fine] * 7]
    made, left_out = cases(material(*answers, requests=requests), safe_only=True)
    assert [case["name"] for case in made["cases"]] == ["1: GET /x"]
    assert left_out == {
        "without an answer of legacy's": 1,
        "of a method that is not safe": 4,
        "not recorded whole": 2,
        "for something else than a path": 1,
        "with characters in the target that no URL has": 1,
    }
    everything, rest = cases(material(*answers, requests=requests), safe_only=False)
    assert [case["request"]["method"] for case in everything["cases"]] == ["GET", "DELETE"]
    assert rest["with a form in parts, which is not recorded as it was sent"] == 1
    assert rest["with a body that was not recorded as it was sent"] == 1
    _, accepted = cases(material(fine, expected=[["status-class", "status"]]), safe_only=False)
    assert accepted == {"whose status may be of another class, which was accepted": 1}


def test_rules_of_another_release_are_refused_in_a_sentence() -> None:
    made = material(said({}))
    for compare in ({"ignore": ["items"]}, {"unknown": 1}, {"match": {"$.a": "nothing"}}):
        with pytest.raises(BanyanError, match="the rules of orders-read are not of this release"):
            cases({**made, "compare": compare}, safe_only=False)


def test_names_of_cases_are_safe_to_show() -> None:
    made, _ = cases(material(said({}), requests=[asked(target="/x?" + "y" * 200)]), safe_only=False)
    name = made["cases"][0]["name"]
    assert len(name) <= 100
    assert name.isprintable()


def test_messages_show_values_as_they_were_written() -> None:
    assert found(said('{"total": 19.90}'), said('{"total": "19.90"}')) == ['$.total: expected 19.9, got "19.90"']
    assert found(said({"a": 1}), said({"a": [{"é\x1b": None}]})) == ['$.a: expected 1, got [{"é\\u001b": null}]']
    (long,) = found(said({"a": 1}), said({"a": "x" * 1000}))
    assert len(long) < 200
