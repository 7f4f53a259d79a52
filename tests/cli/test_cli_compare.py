"""``banyan compare``, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main

RULES = """\
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders: {endpoints: [http://127.0.0.1:9002]}
legacy: monolith
defaults: {compare: {ignore: ["$.generated_at"]}}
redaction: {names: [nickname]}
routes:
  - id: orders-read
    match: {path: "/api/orders/{order_id}"}
    candidate: orders
    compare:
      tolerance: {"$.total": 0.01}
      unordered: {"$.items": id}
"""
LEGACY = {"id": 1, "generated_at": 1, "total": 10.01, "apiKey": "topsecret1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "banyan.yaml").write_text(RULES)
    return tmp_path


def run(folder: Path, legacy: Any, candidate: Any, *more: str, route: str | None = "orders-read") -> Result:
    names = []
    for name, body in (("old", legacy), ("new", candidate)):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        (folder / f"{name}.json").write_bytes(raw)
        names.append(str(folder / f"{name}.json"))
    chosen = [] if route is None else ["--route", route]
    return CliRunner().invoke(main, ["compare", *names, "--path", str(folder / "rules"), *chosen, *more])


def test_what_the_rules_let_pass_exits_0_and_says_which_rule(folder: Path) -> None:
    result = run(folder, LEGACY, {**LEGACY, "generated_at": 2, "total": 10.02})
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "ignored"
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["ignore", "$.generated_at", "value", "$.generated_at"] in lines
    assert ["tolerance", "$.total", "value", "$.total"] in lines
    assert "without effect on these two: unordered $.items" in result.stdout


@pytest.mark.parametrize("mode", ["subset", "schema"])
def test_a_mode_says_what_it_lets_pass(folder: Path, mode: str) -> None:
    (folder / "rules" / "banyan.yaml").write_text(
        RULES.replace("    compare:\n", f"    compare:\n      mode: {mode}\n")
    )
    more = {"name": "x"} if mode == "subset" else {"id": 2}
    result = run(folder, LEGACY, {**LEGACY, **more})
    assert result.exit_code == 0, result.output
    passed = ["extra", "$.name"] if mode == "subset" else ["value", "$.id"]
    assert ["mode", mode, *passed] in [line.split() for line in result.stdout.splitlines()]
    assert f"mode {mode}" in run(folder, LEGACY, LEGACY).stdout.partition("without effect on these two:")[2]


def test_a_difference_exits_1_and_shows_both_values(folder: Path) -> None:
    result = run(folder, LEGACY, {**LEGACY, "id": 2})
    assert result.exit_code == 1
    assert ["value", "$.id", "1", "1", "2"] in [line.split() for line in result.stdout.splitlines()]


def test_without_a_route_there_are_no_rules_and_no_configuration_is_read(folder: Path) -> None:
    (folder / "rules" / "banyan.yaml").write_text("nonsense")
    result = run(folder, LEGACY, {**LEGACY, "generated_at": 2}, "--json", route=None)
    assert result.exit_code == 1
    assert [found["path"] for found in json.loads(result.stdout)["differences"]] == ["$.generated_at"]


def test_json_has_all_of_it(folder: Path) -> None:
    result = run(folder, LEGACY, {**LEGACY, "id": 2, "generated_at": 2}, "--json")
    assert json.loads(result.stdout) == {
        "verdict": "mismatched",
        "reason": "",
        "route": "orders-read",
        "types": {"legacy": "application/json", "candidate": "application/json"},
        "differences": [{"kind": "value", "path": "$.id", "count": 1, "legacy": "1", "candidate": "2"}],
        "more_differences": 0,
        "rules": [
            {"rule": "ignore", "path": "$.generated_at", "reports": [],
             "lets_pass": [{"kind": "value", "path": "$.generated_at", "count": 1, "of": 1}]},
            {"rule": "unordered", "path": "$.items", "lets_pass": [], "reports": []},
            {"rule": "tolerance", "path": "$.total", "lets_pass": [], "reports": []},
        ],
    }  # fmt: skip


def tried(folder: Path, rules: str, legacy: Any, candidate: Any) -> tuple[list[list[str]], str]:
    """The words of each line of what is printed under these rules, and the rules that had no effect."""
    kept = RULES.partition("    compare:\n")[0]
    (folder / "rules" / "banyan.yaml").write_text(f"{kept}    compare: {rules}\n")
    printed = run(folder, legacy, candidate).stdout
    return [line.split() for line in printed.splitlines()], printed.partition("without effect on these two:")[2]


PRICES = {"items": [{"price": 1.0}, {"price": 2.0}]}


@pytest.mark.parametrize(
    ("rules", "legacy", "candidate", "said"),
    [
        ('{ignore: ["$.items[0].price"]}', PRICES, {"items": [{"price": 3.5}, {"price": 4.5}]},
         "ignore $.items[0].price value $.items[*].price (1 of 2)"),
        ('{tolerance: {"$.items[*].price": 0.01}}', PRICES, {"items": [{"price": 1.01}, {"price": 4.5}]},
         "tolerance $.items[*].price value $.items[*].price (1 of 2)"),
        ('{map: {"$.all[*].is": {A: a}}}', {"all": [{"is": "A"}, {"is": "B"}]}, {"all": [{"is": "a"}, {"is": "b"}]},
         "map $.all[*].is value $.all[*].is (1 of 2)"),
        ('{unordered: {"$.tags": null}}', {"tags": ["a", "b", "c", "d"]}, {"tags": ["d", "a", "b", "x"]},
         "unordered $.tags value $.tags[*] (3 of 4)"),
    ],
)  # fmt: skip
def test_a_rule_that_lets_some_of_one_kind_pass_has_an_effect(
    folder: Path, rules: str, legacy: Any, candidate: Any, said: str
) -> None:
    lines, idle = tried(folder, rules, legacy, candidate)
    assert said.split() in lines
    assert said.split()[1] not in idle


def test_a_rule_that_only_makes_a_difference_has_an_effect(folder: Path) -> None:
    lines, idle = tried(folder, '{map: {"$.is": {A: a}}}', {"is": "A"}, {"is": "A"})
    assert ["map", "$.is", "value", "$.is"] in lines
    assert "map" not in idle


def test_a_rule_without_which_nothing_can_be_compared_has_an_effect(folder: Path) -> None:
    many = {f"k{number}": 1 for number in range(110_000)}  # more steps for two sides than one walk may take
    lines, idle = tried(folder, "{ignore: [$.a]}", {"a": many, "b": 1}, {"a": {**many, "k1": 2}, "b": 2})
    assert lines[0] == ["mismatched"]
    assert ["ignore", "$.a", "incomparable", "budget"] in [line[:4] for line in lines]
    assert "ignore $.a" not in idle


def test_rules_without_effect_can_all_be_deleted(folder: Path) -> None:
    lines, idle = tried(folder, "{ignore: [$.a, $..a]}", {"a": 1}, {"a": 2})
    assert "ignore $.a" in idle
    assert ["ignore", "$..a", "value", "$.a"] in lines


def test_of_very_many_rules_those_that_were_not_tried_are_counted(folder: Path) -> None:
    for count, left in ((200, "1 rule"), (201, "2 rules")):  # one more stands in the defaults
        names = ", ".join(f"$.a{number}" for number in range(count))
        lines, _ = tried(folder, f"{{ignore: [{names}]}}", {"a": 1}, {"a": 1})
        assert f"not tried, for there are more than 200: {left}" in [" ".join(line) for line in lines]


def test_secrets_are_masked_also_those_that_the_configuration_names(folder: Path) -> None:
    one, two = {"apiKey": "topsecret1", "nickname": "ada"}, {"apiKey": "topsecret2", "nickname": "bob"}
    result = run(folder, one, two)
    assert result.exit_code == 1
    for secret in ("topsecret", "ada", "bob"):
        assert secret not in result.stdout


def test_what_cannot_be_compared_exits_3_with_its_reason(folder: Path) -> None:
    result = run(folder, b"[" * 300 + b"]" * 300, b"[]")
    assert (result.exit_code, result.stdout) == (3, "incomparable: too-deep\n")
    large = run(folder, b'"' + b"x" * 9_000_000 + b'"', b'"y"')
    assert (large.exit_code, large.stdout) == (3, "incomparable: too-large\n")


def test_the_type_is_that_of_the_suffix_unless_it_is_given(folder: Path) -> None:
    assert run(folder, b"a=1&b=2", b"b=2&a=1").exit_code == 3  # neither is JSON
    given = run(folder, b"a=1&b=2", b"b=2&a=1", "--type", "application/x-www-form-urlencoded")
    assert (given.exit_code, given.stdout.splitlines()[0]) == (0, "matched")


def test_usage_errors_exit_2(folder: Path) -> None:
    unknown = run(folder, {}, {}, route="orders-reed")
    assert unknown.exit_code == 2
    assert "did you mean" in unknown.output
    absent = CliRunner().invoke(main, ["compare", str(folder / "no.json"), str(folder / "no.json")])
    assert absent.exit_code == 2
    assert "cannot be read" in absent.output
    assert run(folder, {}, {}, "--type", "\u2603").exit_code == 2


def test_a_faulty_configuration_exits_1_with_its_faults(folder: Path) -> None:
    (folder / "rules" / "banyan.yaml").write_text(RULES.replace("$.total", "$.total["))
    result = run(folder, {}, {})
    assert result.exit_code == 1
    assert "banyan.yaml:12:" in result.output
