"""Exported suites: a test passes where the rules call two answers equal, and fails where they do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from exported import asked, found, material
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import any_documents, live, said

from proxy.cli.exporting import cases
from proxy.errors import BanyanError
from proxy.messages import Answer

many = settings(deadline=None, max_examples=300)


# -- the same as live -------------------------------------------------------------------------------------------------

documents = any_documents(
    ["id", "total", "items", "state", "generated_at", "note", "$any", "$type", "a b"],
    [1.5, 1.0, 19.9, 2**70, 0.1, 0.0, "", "a", "b", "1", "1.5", "Decimal('1.5')", "2026-01-02T03:04:05Z"],
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
    verdict = live(a, b, **chosen).verdict
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
