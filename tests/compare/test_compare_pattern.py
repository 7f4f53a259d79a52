"""Patterns for exported tests: as loose as the rules, and nowhere looser. (tests/cli/test_cli_exporting.py holds them
against the verdicts.)"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.compare.document import Number, parse_json
from proxy.compare.masks import configured_key, mask
from proxy.compare.pattern import ANY, Expected, pattern
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare

KEY = configured_key("a redaction key of 2026")
NONE = Expected([])


def made(document: Any, expected: Expected = NONE, **rules: Any) -> Any:
    body = document.encode() if isinstance(document, str) else orjson.dumps(document)
    parsed = parse_json(body, Budget(), guarded=True)
    found = pattern(parsed, compile_rules(Compare.model_validate(rules)), expected)

    def number(value: Any) -> orjson.Fragment:
        assert isinstance(value, Number)
        return orjson.Fragment(value.written.encode())

    return orjson.loads(orjson.dumps(found, default=number))


def test_without_rules_it_is_the_document() -> None:
    document = {"id": 1, "items": [{"price": 1.5, "sold": None}], "ok": True, "name": "«x»"}
    assert made(document) == document


def test_numbers_keep_their_digits() -> None:
    parsed = parse_json(b'{"a": 1.50, "b": 12345678901234567890123}', Budget(), guarded=True)
    found = pattern(parsed, compile_rules(Compare()), NONE)
    assert [value.written for value in found.values()] == ["1.50", "12345678901234567890123"]


def test_ignored_places_may_hold_anything_be_absent_or_come() -> None:
    optional = {"$optional": ANY}
    assert made({"id": 1, "at": 2}, ignore=["$.at"]) == {"id": 1, "at": optional}
    assert made({"id": 1}, ignore=["$.at"]) == {"id": 1, "at": optional}
    assert made({"a": {"id": 1}}, ignore=["$.b.at"]) == {"a": {"id": 1}}  # only where the rule names it
    assert made({"meta": {}}, ignore=["$.meta.*"]) == {"meta": {"$open": {}}}
    assert made([1], ignore=["$"]) == ANY


def test_an_object_that_looks_like_a_pattern_is_marked_as_none() -> None:
    assert made({"$any": 1}) == {"$object": {"$any": 1}}
    assert made({"a": {"$type": "string"}}) == {"a": {"$object": {"$type": "string"}}}
    assert made({"$any": 1, "b": 2}) == {"$any": 1, "b": 2}


def test_lists_without_an_order_are_told_apart_by_their_key_if_they_have_one() -> None:
    items = [{"id": 2}, {"id": 1}]
    assert made(items, unordered={"$": "id"}) == {"$keyed": ["id", items]}
    assert made(items, unordered={"$": None}) == {"$unordered": items}
    for odd in ([{"id": 1}, {"id": 1}], [{"id": 1}, {}], [{"id": 1}, 2], [{"id": None}], [{"id": mask("x", KEY)}]):
        (word,) = made(odd, unordered={"$": "id"})
        assert word == "$unordered"


def test_modes() -> None:
    assert made({"a": {"b": 1}}, mode="subset") == {"$open": {"a": {"$open": {"b": 1}}}}
    assert made({"a": [1], "b": None, "2026-01-02": 1}, mode="schema") == {
        "$open": {"a": {"$type": "list"}, "b": {"$type": "null"}}
    }


def test_a_tolerance_is_written_out_exactly() -> None:
    assert made('{"a": 10.10}', tolerance={"$.a": 0.01}) == {"a": {"$near": [10.1, 0.01]}}
    assert made('{"a": -10.10}', tolerance={"$.a": "1%"}) == {"a": {"$near": [-10.1, 0.101]}}
    assert made('{"a": "x"}', tolerance={"$.a": "1%"}) == {"a": "x"}


def test_contracts_are_translated() -> None:
    rules: dict[str, Any] = {"rename": {"$.name": "$.who.name"}, "map": {"$.state": {"OLD": "new"}}}
    assert made({"name": "x", "state": "OLD"}, **rules) == {"state": "new", "who": {"name": "x"}}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("hunter2", "string"), (17, "number"), (True, "boolean")],
)
def test_a_masked_secret_is_a_value_of_its_type(value: Any, wanted: str) -> None:
    assert made({"a": mask(value, KEY)}) == {"a": {"$type": wanted}}
    assert made({"a": f"Bearer {mask('hunter2', KEY)}"}) == {"a": {"$type": "string"}}
    assert made({mask("user-1", KEY): 1, "a": 2}) == {"$open": {"a": 2}}


def test_expected_members_are_found_by_the_object_that_they_come_to() -> None:
    expected = Expected([("extra", "$.a.b"), ("extra", "$['x y']"), ("extra", "$.m.*"), ("extra", "$.items[*].c"),
                         ("extra", "$.items[*]"), ("missing", "$.gone"), ("extra", "body")])  # fmt: skip
    assert expected.besides("$") == ["x y"]
    assert expected.besides("$.a") == ["b"]
    assert expected.besides("$.m") == ["*"]
    assert expected.besides("$.items[*]") == ["c"]
    assert expected.besides("$.items") == []
    assert expected("missing", "$.gone")
    assert not expected("extra", "$.gone")
