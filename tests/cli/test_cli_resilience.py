"""``banyan resilience`` as a person calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main

RULES = """\
legacy: monolith
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders:
    endpoints: [http://127.0.0.1:9002, http://127.0.0.1:9003]
    timeouts: {first_byte: 2s, per_try: 90s}
    retries: {attempts: 1}
    health: {path: /healthz}
  search:
    discovery: {consul: {service: search, token: s3cret-s3cret}}
    breaker: {mode: observe}
routes:
  - {id: orders_read, match: {path: "/api/orders/{id}"}, candidate: orders, stage: canary}
  - {id: search, match: {path: /search}, candidate: search, stage: retired}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(RULES)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["resilience", *map(str, arguments)])


def data(*arguments: object) -> Any:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_route_and_the_rest_is_in_the_table_with_its_worst_case(rules: Path) -> None:
    result = run(rules)
    assert (result.exit_code, result.stderr) == (0, "")
    table = result.stdout.partition("| route ")[2].partition("\n\n")[0].splitlines()[2:]
    rows = {cells[0]: cells for line in table if (cells := [cell.strip() for cell in line.strip("|").split("|")])}
    assert rows["orders\\_read"][1:] == [
        "canary", "orders or monolith", "60s", "11s", "every failure", "2", "17.78s",
    ]  # fmt: skip
    assert rows["search"][1:] == ["retired", "search", "60s", "-", "-", "1", "11.25s"]
    assert rows["(no route)"][1:] == ["-", "monolith", "60s", "-", "-", "1", "11.25s"]
    assert result.stdout.startswith(
        f"# Resilience of `{rules}`\n\n"
        "Worst case: 17.78s until an answer begins, at the stages in the files; 1 warning."
    )


def test_the_way_is_shown_step_by_step(rules: Path) -> None:
    shown = run(rules).stdout
    for words in (
        "try 1 on orders      | queue 250ms + connect 1s + first_byte 2s",
        "| pause ",
        "| try 2 on orders ",
        "fallback on monolith | queue 250ms + connect 1s + first_byte 10s",
        "The deadline is 60s; 11s of it are kept for monolith, so tries on orders end at 49s.",
        "1 on connect-failure, reset, 502, 503, 504; budget 20 %, at least 3",
        "5 in a row or 50 % of 20 in 10s, open 30s",
        "only observes: 5 in a row",
        "/healthz every 5s",
        "| consul ",
    ):
        assert words in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("stage: shadow", " (from canary on)"),
        ("stage: canary, kill_switch: true", " (not with its kill switch on)"),
        ("stage: canary", ""),
    ],
)
def test_a_way_that_no_request_takes_now_says_so_and_is_in_no_worst_case(rules: Path, state: str, word: str) -> None:
    rules.write_text(RULES.replace("stage: canary", state))
    shown = run(rules).stdout
    assert f"\n**orders** for orders\\_read{word}\n" in shown
    assert shown.count("Worst case: 11.25s until an answer begins, at the stages in the files") == bool(word)


def test_a_warning_has_its_place_and_a_hint(rules: Path) -> None:
    shown = run(rules).stdout
    assert f"- `{rules}:6:41` upstream 'orders': per_try 90s bounds nothing, for total is 60s; one try may" in shown
    (warning,) = data(rules, "--json")["warnings"]
    assert (warning["line"], warning["column"]) == (6, 41)


def test_json_has_the_arithmetic_and_the_settings(rules: Path) -> None:
    found = data(rules, "--json")
    assert found == data(rules, "--format", "json")
    orders, search, rest = found["routes"]
    assert (orders["id"], orders["stage"], orders["answers"]) == ("orders_read", "canary", "chosen")
    assert orders["worst_case_seconds"] == found["worst_case_seconds"] == 17.775
    assert orders["fallback"]["unsafe"] == "not-sent"
    path = orders["candidate"]
    assert (path["deadline_seconds"], path["fallback_reserve_seconds"], path["tries_end_seconds"]) == (60, 11, 49)
    assert [(step["what"], step["to_seconds"]) for step in path["steps"]] == [
        ("try 1", 3.25), ("pause", 3.275), ("try 2", 6.525), ("fallback", 17.775),
    ]  # fmt: skip
    assert path["retries"]["attempts"] == 1
    assert (path["breaker"]["mode"], path["bulkhead"]["queue_timeout"]) == ("enforce", 0.25)
    assert orders["legacy"]["breaker"]["mode"] == "off"
    assert (search["legacy"], search["fallback"]["on"]) == (None, [])
    assert (rest["id"], rest["stage"], rest["candidate"]) == ("-", None, None)
    assert found["upstreams"]["orders"]["endpoints"] == 2
    assert found["upstreams"]["search"]["discovery"] == "consul"
    assert "s3cret" not in json.dumps(found)


def test_a_configuration_without_routes_has_the_rest_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("legacy: m\nupstreams: {m: {endpoints: [http://h]}}\n")
    assert [route["id"] for route in data(tmp_path, "--json")["routes"]] == ["-"]
    assert "no warnings" in run(tmp_path).stdout


def test_many_routes_of_one_way_are_counted(tmp_path: Path) -> None:
    routes = "".join(f"  - {{id: r{n}, match: {{path: /r{n}}}, candidate: c, stage: live}}\n" for n in range(50))
    upstreams = "upstreams: {m: {endpoints: [http://h]}, c: {endpoints: [http://i]}}"
    (tmp_path / "a.yaml").write_text(f"legacy: m\n{upstreams}\nroutes:\n{routes}")
    assert "r7, 42 more" in run(tmp_path).stdout


def test_warnings_do_not_change_the_exit_code_and_faults_do(rules: Path, tmp_path: Path) -> None:
    assert run(rules).exit_code == 0
    rules.write_text(RULES + "routs: []\n")
    result = run(rules)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did you mean `routes`?" in result.stderr
    assert run(tmp_path / "nowhere").exit_code == 1


def test_help_has_an_example() -> None:
    shown = run("--help").stdout
    assert "Example:\n    banyan resilience routes" in shown
    assert run("--format", "html").exit_code == 2
