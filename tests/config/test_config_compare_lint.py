"""Faults of compare rules: at every level, each at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.compare.rules import compile_rules
from proxy.config.load import Loaded, load
from proxy.config.model import compare_of
from proxy.errors import ConfigError, Fault

BASE: dict[str, Any] = {
    "upstreams": {"monolith": {"endpoints": ["http://h:1"]}, "orders": {"endpoints": ["http://h:2"]}},
    "legacy": "monolith",
    "routes": [{"id": "r", "match": {"path": "/a"}, "candidate": "orders"}],
}


def document(level: str, rules: dict[str, Any]) -> dict[str, Any]:
    if level == "defaults":
        return {**BASE, "defaults": {"compare": rules}}
    if level == "upstream":
        orders = {"endpoints": ["http://h:2"], "compare": rules}
        return {**BASE, "upstreams": {**BASE["upstreams"], "orders": orders}}
    return {**BASE, "routes": [{**BASE["routes"][0], "compare": rules}]}


def written(folder: Path, level: str, rules: dict[str, Any]) -> Path:
    (folder / "a.yaml").write_text(yaml.safe_dump(document(level, rules), default_flow_style=False))
    return folder


def lint(folder: Path, level: str, rules: dict[str, Any]) -> list[Fault]:
    try:
        load(written(folder, level, rules), {})
    except ConfigError as error:
        return error.faults
    return []


LEVELS = ["defaults", "upstream", "route"]

FAULTY: list[tuple[dict[str, Any], str, str]] = [
    ({"ignore": ["a"]}, "a", "begins with $"),
    ({"ignore": ["$.a[-1]"]}, "$.a[-1]", "counts from the beginning"),
    ({"ignore": ["$.a[1:3]"]}, "$.a[1:3]", "slice"),
    ({"match": {"$.a[": "uuid"}}, "$.a[", "column 5"),
    ({"unordered": {"$.a[?(@.b)]": None}}, "$.a[?(@.b)]", "filter"),
    ({"tolerance": {"$a": 1}}, "$a", "expected '.' or '['"),
    ({"tolerance": {"$.a": -1}}, "-1", "negative"),
    ({"tolerance": {"$.a": -0.5}}, "-0.5", "negative"),
    ({"map": {"$.": {"a": "b"}}}, "$.", "expected a name"),
    ({"match": {"$.a": {"regex": "(a+)+"}}}, "(a+)+", "could take for ever"),
    ({"match": {"$.a": {"regex": "a("}}}, "a(", "without ')'"),
    ({"ignore": ["header:"]}, "header:", "names no place"),
    ({"ignore": ["cookie:a=b"]}, "cookie:a=b", "names no place"),
    ({"unordered": {"header:etag": None}}, "header:etag", "only named by ignore and match"),
    ({"tolerance": {"cookie:a": 1}}, "cookie:a", "only named by ignore and match"),
    ({"map": {"header:etag": {"a": "b"}}}, "header:etag", "only named by ignore and match"),
    ({"rename": {"header:a": "$.b"}}, "header:a", "begins with $"),
    ({"rename": {"$..a": "$.b"}}, "$..a", "may not hold '..'"),
    ({"rename": {"$.a": "$.b[0]"}}, "$.b[0]", "of all items"),
    ({"rename": {"$.a[*].b": "$.c"}}, "$.c", "the same number"),
    ({"rename": {"$.a": "$.c", "$.b": "$.c"}}, "$.c", "a place of its own"),
    ({"rename": {"$.a": "$.a"}}, "$.a", "renamed to itself"),
    ({"rename": {"$.a": "$.b"}, "map": {"$.a": {"x": "y"}}}, "$.a", "is renamed at this level"),
    ({"rename": {"$.a": "$.b"}, "match": {"$.a": "uuid"}}, "$.a", "is renamed at this level"),
    ({"ignore": ["$.a"], "match": {"$.a": "uuid"}}, "$.a", "is ignored by a rule of this level"),
    ({"ignore": ["$.a"], "match": {"$['a']": "uuid"}}, "$['a']", "is ignored by a rule of this level"),
    ({"ignore": ["$.a"], "tolerance": {"$.a.b": 1}}, "$.a.b", "is ignored by a rule of this level"),
    ({"ignore": ["$..a"], "match": {"$.x[*].a": "uuid"}}, "$.x[*].a", "is ignored by a rule of this level"),
    ({"ignore": ["$..a"], "match": {"$..a": "uuid"}}, "$..a", "is ignored by a rule of this level"),
    ({"ignore": ["$.x[*]"], "unordered": {"$.x[2].a": None}}, "$.x[2].a", "is ignored by a rule of this level"),
    (
        {"ignore": ["header:location"], "match": {"header:Location": "url-without-host"}},
        "header:Location",
        "is ignored",
    ),
    ({"ignore": ["cookie:a"], "match": {"cookie:a;path": "opaque"}}, "cookie:a;path", "is ignored"),
    ({"match": {"$.a": "number"}, "tolerance": {"$.a": 1}}, "$.a", "is matched at this level"),
    ({"match": {"$.a": "number", "$['a']": "uuid"}}, "$['a']", "stands here twice"),
    ({"match": {"header:etag": "opaque"}}, "header:etag", "not compared"),
    ({"headers": [], "match": {"cookie:a": "opaque"}}, "cookie:a", "set-cookie is not compared"),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("rules", "at", "words"), FAULTY, ids=[f"{n} {at}" for n, (_, at, _) in enumerate(FAULTY)])
def test_a_faulty_rule_is_one_fault_at_its_place(
    tmp_path: Path, level: str, rules: dict[str, Any], at: str, words: str
) -> None:
    (fault,) = lint(tmp_path, level, rules)
    assert words in str(fault)
    assert {"defaults": "of defaults", "upstream": "upstream 'orders'", "route": "route 'r'"}[level] in fault.what
    line = (tmp_path / "a.yaml").read_text().splitlines()[fault.line - 1]
    assert line[fault.column - 1 :].lstrip("'\"").replace("''", "'").startswith(at)


SOUND: dict[str, Any] = {
    "headers": ["ETag", "set-cookie", "location"],
    "mode": "subset",
    "ignore": ["$.a", "$..etag", "$.x[3]", "header:etag", "cookie:theme", "cookie:sid;expires"],
    "unordered": {"$.items": "id", "$.tags": None},
    "tolerance": {"$.total": 0.01, "$.tax": "1%", "$.x[*].a": 1, "$.*": 1, "$..a": 1},
    "match": {
        "$.at": {"timestamp": "5s"}, "$.ref": {"regex": "ord-[0-9]{4}"}, "$.id": "uuid",
        "header:location": "url-without-host", "cookie:csrf": "opaque", "$.doc.@id": "number", "$.doc.#text": "opaque",
    },
    "rename": {"$.items[*].customerName": "$.items[*].customer.name", "$.b": "$.c", "$.c": "$.b"},
    "map": {"$.status": {"ACTIVE": "active", "1": None}},
}  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
def test_sound_rules_have_no_faults_and_compile(tmp_path: Path, level: str) -> None:
    loaded: Loaded = load(written(tmp_path, level, SOUND), {})
    assert loaded.warnings == ()
    compiled = compile_rules(compare_of(loaded.settings, loaded.settings.routes[0]))
    assert compiled.translate({"b": 1, "status": "ACTIVE"}) == {"c": 1, "status": "active"}


def test_a_header_that_is_ignored_and_not_compared_is_a_warning(tmp_path: Path) -> None:
    (warning,) = load(written(tmp_path, "route", {"ignore": ["header:etag"]}), {}).warnings
    assert "not compared anyway" in warning.what
    assert "compare.headers" in warning.hint


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("path", ["$", "$.*", "$..*", "$[*]"])
def test_ignoring_all_of_a_body_is_a_warning(tmp_path: Path, level: str, path: str) -> None:
    (warning,) = load(written(tmp_path, level, {"ignore": [path, "$.a"]}), {}).warnings
    assert "all bodies match" in warning.what


@pytest.mark.parametrize("level", ["defaults", "upstream"])
@pytest.mark.parametrize(
    ("ignored", "rules"),
    [("$..at", {"match": {"$.items[*].at": "timestamp"}}), ("cookie:a", {"match": {"cookie:a;path": "opaque"}})],
)
def test_a_rule_of_a_route_that_a_wider_level_ignores_is_a_warning(
    tmp_path: Path, level: str, ignored: str, rules: dict[str, Any]
) -> None:
    whole = document(level, {"ignore": [ignored]})
    whole["routes"] = [{**BASE["routes"][0], "compare": rules}]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(whole))
    (warning,) = load(tmp_path, {}).warnings
    assert "route 'r'" in warning.what
    assert "ignored by a rule of a wider level" in warning.what


def test_a_level_is_judged_by_the_headers_of_the_routes_where_it_holds(tmp_path: Path) -> None:
    whole = document("upstream", {"match": {"header:etag": "opaque"}})
    whole["routes"] = [{**BASE["routes"][0], "compare": {"headers": ["etag"]}}]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(whole))
    assert load(tmp_path, {}).settings.routes


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    rules = {"ignore": ["a", "$.b[", "$.c"], "match": {"$.c": "uuid"}, "tolerance": {"$.d": -1}}
    assert len(lint(tmp_path, "route", rules)) == 4


ANY = "timestamp or uuid or number or url-without-host or opaque or {timestamp: 5s} or {regex: '…'}"
MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"match": {"$.id": "uuid4"}}, f"compare.match.$.id must be {ANY}; did you mean `uuid`?"),
    ({"match": {"$.id": None}}, f"compare.match.$.id must be {ANY}"),
    ({"match": {"$.id": {"timestamp": 5}}}, "timestamp: 5 is not a duration; write it like 250ms, 2s, 1m or 1h"),
    ({"match": {"$.id": {"date": "5s"}}}, "unknown key 'date' of …compare.match.$.id; there is regex, timestamp"),
    ({"match": {"$.id": {}}}, "compare.match.$.id: write exactly one of timestamp and regex"),
    ({"unordered": ["$.tags"]}, "compare.unordered must be a mapping, and is a list; write {$.tags: null}"),
    ({"unordered": ["$.a[*]"]}, "compare.unordered must be a mapping, and is a list; write {'$.a[*]': null}"),
    ({"ignore": "$.etag"}, "compare.ignore must be a list, and is text; write [$.etag]"),
    ({"tolerance": {"$.n": "abc"}}, "compare.tolerance.$.n: write a number or a share like 1%"),
    ({"tolerance": {"$.n": True}}, "compare.tolerance.$.n: write a number or a share like 1%"),
]  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("rules", "words"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_rule_of_another_form_is_one_fault_with_the_right_form(
    tmp_path: Path, level: str, rules: dict[str, Any], words: str
) -> None:
    (fault,) = lint(tmp_path, level, rules)
    before, _, after = words.partition("…compare") if words.startswith("unknown") else ("", "", words)
    said = str(fault).partition(": ")[2]
    assert said.startswith(before)
    assert said.endswith(after)


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ({"routes": [{**BASE["routes"][0], "ignore": ["$.a"]}]}, "it belongs under compare:"),
        ({"routes": [{**BASE["routes"][0], "methods": ["GET"]}]}, "it belongs under match: or shadow:"),
        ({"compare": {}}, "it belongs under defaults:"),
        ({"ready_when": {}}, "it belongs under defaults:"),
        ({"ignore": ["$.a"]}, "it belongs under defaults: compare:"),
        ({"defaults": {"compared": 5}}, "it belongs under ready_when:"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_its_place(tmp_path: Path, extra: dict[str, Any], hint: str) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**BASE, **extra}))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert [fault.hint for fault in caught.value.faults] == [hint]
