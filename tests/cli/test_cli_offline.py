"""The commands that need no running Banyan, as a person calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy import __version__
from proxy.cli import COMMANDS, main
from proxy.errors import UnreachableError

GOOD = """\
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders: {endpoints: [http://127.0.0.1:9002]}
legacy: monolith
identity: [{header: X-User-Id}]
routes:
  - id: orders-read
    match: {methods: [GET], path: "/api/orders/{order_id}", host: shop.example}
    candidate: orders
    stage: canary
    canary: {percent: 50%}
  - id: search
    match: {path_regex: "/search/[a-z]+", query: {q: "*"}}
"""
OFFLINE = ["check", "explain", "resilience", "routes", "schema"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "banyan.yaml").write_text(GOOD)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_check_of_a_good_folder_says_ok(folder: Path) -> None:
    result = run("check", folder)
    assert (result.exit_code, result.stdout) == (0, "ok: 2 routes, 2 upstreams\n")
    assert data(run("check", folder, "--json")) == {
        "valid": True, "routes": 2, "upstreams": 2, "faults": [], "warnings": [],
    }  # fmt: skip


def test_check_of_a_bad_folder_prints_every_fault_and_exits_1(folder: Path) -> None:
    (folder / "more.yaml").write_text("routs: []\nlegacy: orders\n")
    result = run("check", folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{folder}/more.yaml:1:1: unknown key 'routs' of the configuration; did you mean")
    assert lines[1].startswith(f"{folder}/more.yaml:2:1: ")
    found = json.loads(run("check", folder, "--json").stdout)
    assert found["valid"] is False
    assert [(fault["line"], fault["column"]) for fault in found["faults"]] == [(1, 1), (2, 1)]


def test_default_path_is_routes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("routes"))
    monkeypatch.chdir(folder.parent)
    assert run("check").exit_code == 0
    folder.with_name("routes").rename(folder)
    assert "no such file or folder" in run("check").stdout


def test_routes_is_a_plain_table_or_json(folder: Path) -> None:
    lines = run("routes", folder).stdout.splitlines()
    assert lines[0].split() == ["route", "stage", "match", "legacy", "candidate", "canary", "shadow"]
    assert lines[1].split() == [
        "orders-read", "canary", "GET", "shop.example", "/api/orders/{order_id}", "monolith", "orders", "50%", "100%",
    ]  # fmt: skip
    assert "/search/[a-z]+ (regex) query q=*" in lines[2]
    listed = data(run("routes", folder, "--json"))
    assert [(route["id"], route["stage"], route["percent"]) for route in listed] == [
        ("orders-read", "canary", 50),
        ("search", "legacy", 0),
    ]


def test_routes_of_a_bad_folder_prints_faults_on_stderr(folder: Path) -> None:
    (folder / "more.yaml").write_text("routs: []\n")
    result = run("routes", folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "banyan: the configuration has 1 fault"


def test_explain_says_route_arm_bucket_and_why_not_the_others(folder: Path) -> None:
    asked = ("explain", "get", "http://SHOP.example:8080/api/orders/7?x=1#f", "-H", "X-User-Id: u-17", "--path", folder)
    found = data(run(*asked, "--json"))
    assert (found["route"], found["stage"], found["user"]) == ("orders-read", "canary", "u-17")
    assert (found["arm"] == "candidate") == (found["bucket"] <= 50)
    assert found["others"] == [{"route": "search", "why": "path does not fit path_regex /search/[a-z]+"}]
    text = run(*asked).stdout
    assert f"bucket {found['bucket']} of 100" in text
    assert "GET /api/orders/7?x=1" in text


@pytest.mark.parametrize(
    ("url", "headers", "route"),
    [
        ("/api/orders/7", ["Host: shop.example"], "orders-read"),
        ("/api/orders/7", [], None),
        ("https://shop.example/api/orders/é", [], "orders-read"),
        ("https://shop.example", [], None),
        ("https://shop.example?q=1", [], None),
        ("/search/x?q=http://y", [], "search"),
        ("/search/../x", [], None),
        ("*", [], None),
    ],
)
def test_explain_reads_urls_as_clients_do(folder: Path, url: str, headers: list[str], route: str | None) -> None:
    options = [word for header in headers for word in ("-H", header)]
    assert data(run("explain", "GET", url, *options, "--path", folder, "--json"))["route"] == route


def test_explain_of_a_rejected_path_says_so(folder: Path) -> None:
    (folder / "more.yaml").write_text("ambiguous_paths: reject\n")
    result = run("explain", "GET", "/a//b", "--path", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("banyan: /a//b could be read in two ways")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["explain"], ["explain", "GET", "x"], ["explain", "GET", "/", "-H", "x"], ["check", "--nonsense"]],
)
def test_wrong_use_exits_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_missing_configuration_exits_1(tmp_path: Path) -> None:
    for arguments in (["check", tmp_path], ["routes", tmp_path], ["explain", "GET", "/", "--path", tmp_path]):
        assert run(*arguments).exit_code == 1


def test_schema_is_json() -> None:
    assert data(run("schema"))["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("command", OFFLINE)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert f"banyan {command}" in result.stdout


def test_help_lists_all_commands_and_version_is_the_packages() -> None:
    listed = run("--help").stdout
    assert all(f"  {command} " in listed for command in COMMANDS)
    assert run("--version").stdout == f"banyan {__version__}\n"
    assert "did you mean `check`?" in run("chek").stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [(UnreachableError("nobody answers"), 3, "banyan: nobody answers\n"), (KeyboardInterrupt(), 130, "\n")],
)
def test_errors_become_lines_and_exit_codes(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("proxy.cli.check.load", fail)
    result = run("check")
    assert (result.exit_code, result.stderr) == (code, line)


def test_python_m_proxy_is_banyan_and_help_imports_little() -> None:
    code = "import sys, proxy.cli; print([m for m in ('pydantic', 'yaml', 'aiohttp', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
    result = subprocess.run([sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True)
    assert result.stdout == f"banyan {__version__}\n"


def test_reader_that_goes_away_is_met_in_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run([sys.executable, "-m", "proxy", "schema"], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")
