"""Rules proposed from noise: valid, and as narrow as they can be."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.check import check
from proxy.compare.noise import Rates
from proxy.compare.suggest import Noisy, Suggestion, as_yaml, id_field, lack_of_samples, suggest
from proxy.config.comparing import Noise

RATES = Rates(990, 1000, 100, 100)


def noisy(path: str, kind: str = "value", *looks: str) -> Noisy:
    return Noisy(f"f-{path}-{kind}", kind, path, RATES, frozenset(looks))


def rules(*found: Noisy, key: str | None = None) -> list[tuple[str, str, str | None]]:
    return [(one.rule, one.path, one.value) for one in suggest(found, lambda path: key)]


@pytest.mark.parametrize("look", ["timestamp", "uuid", "number", "url-without-host", "opaque"])
def test_values_of_one_look_get_its_matcher(look: str) -> None:
    assert rules(noisy("$.a", "value", look)) == [("match", "$.a", look)]


def test_what_no_matcher_fits_is_ignored() -> None:
    assert rules(noisy("$.a", "value", "other")) == [("ignore", "$.a", None)]
    assert rules(noisy("$.a", "value", "uuid", "other")) == [("ignore", "$.a", None)]
    assert rules(noisy("$[*]", "value", "uuid")) == [("match", "$[*]", "uuid")]
    assert rules(noisy("$.a", "value", "uuid", "opaque")) == [("ignore", "$.a", None)]
    assert rules(noisy("$.a", "missing", "other")) == [("ignore", "$.a", None)]
    assert rules(noisy("header:x-served-by", "header", "opaque")) == [("ignore", "header:x-served-by", None)]
    assert rules(noisy("cookie:sid", "cookie", "opaque")) == [("ignore", "cookie:sid", None)]


def test_large_numbers_that_look_like_times_now_and_then_are_numbers() -> None:
    assert rules(noisy("$.n", "value", "number", "timestamp")) == [("match", "$.n", "number")]


def test_one_place_gets_one_rule() -> None:
    found = suggest([noisy("$.a", "value", "uuid"), noisy("$.a", "missing", "other")], lambda path: None)
    assert [(one.rule, one.fingerprints) for one in found] == [("ignore", ("f-$.a-value", "f-$.a-missing"))]


def test_an_order_that_changes_is_unordered_by_what_identifies_the_items() -> None:
    assert rules(noisy("$.items", "order"), key="sku") == [("unordered", "$.items", "sku")]
    assert rules(noisy("$.items", "order")) == [("unordered", "$.items", None)]
    assert rules(noisy("$", "order"), key="id") == [("unordered", "$", "id")]
    assert rules(noisy("$.items", "order"), noisy("$.items", "size", "other")) == [("ignore", "$.items", None)]


@pytest.mark.parametrize("path", ["$", "$.*", "$[*]", "status", "body", "line", "error", "$.a[", "header:a b"])
def test_where_no_rule_helps_none_is_proposed_and_that_is_said(path: str) -> None:
    found = suggest([noisy(path)], lambda path: None)
    assert [one.rule for one in found] == [""]
    text = as_yaml("r", found, 100)
    assert f"no rule helps at {path}" in text
    assert yaml.safe_load(text) is None


def test_too_few_comparisons_say_how_many_are_needed() -> None:
    assert lack_of_samples(30.0, Noise()) == ""
    lack = lack_of_samples(29.0, Noise())
    assert "count as 29 comparisons today" in lack
    assert "compare.noise.min_samples asks for 30" in lack
    text = as_yaml("r", [], 41, lack)
    assert text.splitlines()[0] == "# r: learned from 41 comparisons of legacy with itself"
    assert lack in text
    assert yaml.safe_load(text) is None


def test_the_yaml_is_taken_by_check(tmp_path: Path) -> None:
    found = suggest(
        [noisy("$.at", "value", "timestamp"), noisy("$.items", "order"), noisy("$['odd name'].*", "missing", "other"),
         noisy("header:x-served-by", "header", "other"), noisy("cookie:sid", "cookie", "other"), noisy("status")],
        lambda path: "id",
    )  # fmt: skip
    part = as_yaml("orders", found, 120)
    assert "# orders: learned from 120 comparisons of legacy with itself\n" in part
    assert "# legacy differs from itself here in 100 % of answers, the two sides in 99 % (value)" in part
    document: dict[str, Any] = {
        "legacy": "m",
        "defaults": {"compare": {"headers": ["content-type", "set-cookie", "x-served-by"]}},
        "upstreams": {"m": {"endpoints": ["http://127.0.0.1:1"]}, "n": {"endpoints": ["http://127.0.0.1:2"]}},
        "routes": [{"id": "orders", "match": {"path": "/o"}, "candidate": "n", "stage": "shadow"}],
    }
    # the route is the last thing in the file, so its part goes to the end, two columns in
    lines = yaml.safe_dump(document, sort_keys=False).splitlines()
    file = tmp_path / "banyan.yaml"
    file.write_text("\n".join([*lines, *(f"  {line}" for line in part.splitlines())]) + "\n")
    assert yaml.safe_load(file.read_text())["routes"][0]["compare"]["unordered"] == {"$.items": "id"}
    result = CliRunner().invoke(check, [str(file)])
    assert result.exit_code == 0, result.output


PATHS = st.builds(lambda names: "$" + "".join(f".{name}" for name in names), st.lists(st.from_regex(r"[a-z]{1,5}\Z")))


@given(
    st.lists(st.builds(noisy, st.one_of(PATHS, st.text()), st.sampled_from(["value", "order", "missing"]))),
    st.text(max_size=40),
)
def test_whatever_was_learned_the_yaml_is_one_document_of_known_keys(found: list[Noisy], route: str) -> None:
    loaded = yaml.safe_load(as_yaml(route, suggest(found, lambda path: None), 1))
    assert loaded is None or set(loaded) == {"compare"}
    if loaded:
        assert set(loaded["compare"]) <= {"match", "unordered", "ignore"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "id"),
        ([{"id": 1}, {"id": 1}], None),  # it does not tell them apart
        ([{"name": "a"}, {"name": "b"}], None),  # nothing is called like an id
        ([{"sku": "a", "orderId": 1}, {"sku": "b", "orderId": 2}], "sku"),
        ([{"order_id": "a"}, {"order_id": "b"}], "order_id"),
        ([{"id": 1}, {"key": 2}], None),  # not all have it
        ([{"id": {"a": 1}}, {"id": {"a": 2}}], None),
        ([1, 2], None),
        ([{"id": 1}], None),  # one item has no order
        ([], None),
        ({}, None),
    ],
)
def test_the_field_that_identifies_items_is_one_that_tells_them_apart(document: object, expected: str | None) -> None:
    assert id_field(document, "$") == expected
    assert id_field({"a": [{"b": document}, {"b": document}]}, "$.a[*].b") == expected


def test_suggestions_say_which_fingerprints_they_take_out() -> None:
    (one,) = suggest([noisy("$.a", "value", "uuid")], lambda path: None)
    assert one == Suggestion("match", "$.a", "uuid", one.why, ("f-$.a-value",))
