"""Commands that speak to a running Banyan, as a user calls them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from running import Banyan, Setup, ask, eventually

Shared = tuple[Setup, Banyan]
Run = subprocess.CompletedProcess[str]


def banyan(*words: str, **environ: str) -> Run:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        capture_output=True, text=True, timeout=30, env={**os.environ, **environ},
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(shared: Shared) -> Banyan:
    """The shared Banyan once it has found a difference."""
    _, running = shared
    for _ in range(5):
        ask(running.url + "/orders/1?token=hidden-secret-value")
    eventually(lambda: (r := running.route("orders-read"))["verdicts"]["mismatched"] == 5 == r["requests"])
    eventually(lambda: ask(running.admin + "/api/diffs").json()["diffs"])
    return running


def test_status_shows_routes_workers_and_configuration(compared: Banyan) -> None:
    run = banyan("status", "--admin", compared.admin)
    assert run.returncode == 0
    assert "workers: 1 of 1 up" in run.stdout
    assert re.search(r"^orders-read +shadow +not ready +5 +0 % +0 +0 +0 % +\d+$", run.stdout, re.MULTILINE)
    found = json.loads(banyan("status", "--json", BANYAN_ADMIN=compared.admin).stdout)
    assert {"routes", "workers", "configuration", "store", "state", "listen"} <= set(found)


def test_stage_moves_a_route_and_rollback_brings_it_back(compared: Banyan) -> None:
    done = banyan("stage", "orders-read", "canary", "--percent", "5", "--reason", "first", "--admin", compared.admin)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: its readiness: Not ready: 1 kind of difference is open")
    assert done.stderr.count("\n") == 1
    assert done.stdout.startswith("orders-read is at canary 5 % (version ")
    changed = [event for event in compared.events() if event["event"] == "route-changed"][-1]
    assert [changed[name] for name in ("action", "stage", "percent", "reason")] == ["stage", "canary", 5, "first"]
    shown = banyan("status", "--admin", compared.admin).stdout
    assert "canary 5 % *" in shown
    assert "* orders-read: the file says shadow; local: first" in shown
    back = banyan("rollback", "orders-read", "--json", "--admin", compared.admin)
    assert json.loads(back.stdout)["stage"] == "legacy"
    nobody = banyan("stage", "orders-read", "canary", "--reason", "x", "--admin", compared.admin)
    assert "warning: canary 0 %: no user gets the candidate by percent; say --percent\n" in nobody.stderr
    back = banyan("stage", "orders-read", "shadow", "--reason", "x", "--admin", compared.admin)
    assert (back.returncode, back.stderr) == (0, "")
    ended = banyan("stage", "orders-read", "file", "--reason", "over", "--admin", compared.admin)
    assert ended.stdout.startswith("orders-read is at shadow")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("stage", "only-legacy", "live", "--reason", "x"), "names no candidate", 1),
        (("stage", "orders-read", "live", "--reason", " "), "a change needs a reason", 2),
    ],
)
def test_a_refusal_is_one_line_and_exit_1_unless_the_command_line_is_wrong(
    compared: Banyan, words: tuple[str, ...], said: str, code: int
) -> None:
    run = banyan(*words, "--admin", compared.admin)
    assert (run.returncode, run.stdout) == (code, "")
    assert said in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("stage", "order-read", "live", "--reason", "x"), ("rollback", "order-read"), ("readiness", "order-read"),
        ("coverage", "order-read"), ("report", "order-read"), ("diffs", "order-read"),
        ("rules", "suggest", "order-read"), ("export-tests", "order-read", "-o", "nowhere"),
        ("replay", "order-read", "--against", "http://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_an_unknown_route_is_a_usage_error_and_never_a_verdict(compared: Banyan, words: tuple[str, ...]) -> None:
    run = banyan(*words, "--admin", compared.admin)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "banyan: there is no route 'order-read'; did you mean `orders-read`?\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("readiness", "nope"), "there is no route 'nope'; there is "),
        (("rollback", "../../x"), "there is no route '../../x'"),
        (("diffs", "show", "nope"), "there is no difference 'nope'; `banyan diffs` lists them"),
        (("diffs", "show", "nope", "--as", "curl"), "there is no difference 'nope'"),
        (("accept", "nope", "--reason", "x"), "there is no difference 'nope'"),
    ],
)
def test_a_name_like_no_other_says_where_names_are(compared: Banyan, words: tuple[str, ...], said: str) -> None:
    run = banyan(*words, "--admin", compared.admin)
    assert (run.returncode, run.stdout, said in run.stderr) == (2, "", True), run.stderr
    assert run.stderr.count("\n") == 1


def test_show_of_a_mistyped_fingerprint_names_the_near_one(compared: Banyan) -> None:
    (found,) = json.loads(banyan("diffs", "orders-read", "--json", "--admin", compared.admin).stdout)
    run = banyan("diffs", "show", found["fingerprint"][:6], "--admin", compared.admin)
    assert run.returncode == 2
    assert f"did you mean '{found['fingerprint']}'" in run.stderr


@pytest.mark.parametrize(
    "words",
    [("stage", "orders-read", "live"), ("stage", "orders-read", "nope", "--reason", "x"), ("diffs", "a", "b"),
     ("diffs", "show"), ("report", "--format", "pdf"), ("stage", "r", "canary", "--percent", "101", "--reason", "x")],
)  # fmt: skip
def test_usage_errors_exit_2(words: tuple[str, ...]) -> None:
    assert banyan(*words).returncode == 2


def test_diffs_lists_and_shows_a_pair_side_by_side(compared: Banyan) -> None:
    listed = json.loads(banyan("diffs", "orders-read", "--json", "--admin", compared.admin).stdout)
    (found,) = listed
    assert {
        "fingerprint", "route", "kind", "path", "count", "share", "state", "first_seen", "last_seen", "samples",
    } <= set(found)  # fmt: skip
    table = banyan("diffs", "--admin", compared.admin).stdout
    assert "$.total" in table
    shown = banyan("diffs", "show", found["fingerprint"], "--admin", compared.admin).stdout
    assert re.search(r'^!    "total": 19\.9 +\|   "total": "19\.90"$', shown, re.MULTILINE)
    assert "hidden-secret-value" not in shown
    pair = json.loads(banyan("diffs", "show", found["samples"][0], "--json", "--admin", compared.admin).stdout)
    assert pair["request"]["method"] == "GET"


@pytest.mark.parametrize("command", ["stage", "rollback", "accept", "unaccept", "fixed"])
def test_help_says_under_which_name_a_reason_is_kept(command: str) -> None:
    assert 'with the name of your token, or with "local" if there are no tokens' in " ".join(
        banyan(command, "--help").stdout.split()
    )


def test_report_is_markdown_json_or_a_file_in_the_form_that_its_name_ends_with(
    compared: Banyan, tmp_path: Path
) -> None:
    text = banyan("report", "--admin", compared.admin).stdout
    assert "**Not ready: 1 kind of difference is open: fix or accept it." in text
    assert "Next: Look at the differences (`banyan diffs orders-read`)" in text
    target = tmp_path / "report.md"
    written = banyan("report", "orders-read", "-o", str(target), "--admin", compared.admin)
    assert (written.returncode, written.stdout) == (0, "")
    assert "## orders-read" in target.read_text()
    found = json.loads(banyan("report", "--format", "json", "--admin", compared.admin).stdout)
    assert found["routes"][0]["advice"]["word"] == "hold"
    page = tmp_path / "report.html"
    assert banyan("report", "--format", "html", "-o", str(page), "--admin", compared.admin).returncode == 0
    assert page.read_text().count('<section class="route') == len(found["routes"])
    other = tmp_path / "report.HTM"
    assert banyan("report", "-o", str(other), "--admin", compared.admin).returncode == 0
    assert "<!doctype html>" in other.read_text()
    other = tmp_path / "report.json"
    assert banyan("report", "-o", str(other), "--admin", compared.admin).returncode == 0
    assert json.loads(other.read_text())["routes"][0]["route"] == "orders-read"
    assert banyan("report", "--format", "md", "-o", str(other), "--admin", compared.admin).returncode == 0
    assert "## orders-read" in other.read_text()
    unwritable = banyan("report", "-o", str(tmp_path / "no" / "x.md"), "--admin", compared.admin)
    assert unwritable.returncode == 1
    assert "cannot be written" in unwritable.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("stage", "r", "live", "--reason", "x"),
        ("rollback", "r"),
        ("diffs",),
        ("diffs", "show", "x"),
        ("report",),
        ("readiness", "r"),
    ],
)
def test_nobody_there_is_exit_3_in_one_line(words: tuple[str, ...]) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else gets the port, and nobody answers
        held.bind(("127.0.0.1", 0))
        run = banyan(*words, "--admin", f"http://127.0.0.1:{held.getsockname()[1]}")
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.startswith("banyan: no Banyan answers at http://127.0.0.1:")
    assert run.stderr.count("\n") == 1


def test_something_else_there_is_exit_3(shared: Shared) -> None:
    setup, _ = shared
    setup.legacy.status = 404
    run = banyan("status", "--admin", setup.legacy.url)
    setup.legacy.status = 200
    assert run.returncode == 3
    assert "is not a Banyan's admin side" in run.stderr


def test_admin_that_is_no_url_is_exit_2() -> None:
    run = banyan("status", "--admin", "nonsense\x1b[31m")
    assert run.returncode == 2
    assert "is not a URL" in run.stderr
    assert "\x1b" not in run.stderr


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_recorded_escape_sequences_do_not_reach_the_terminal() -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\u202e\udcff"
    side = {"status": 200, "failure": "", "seconds": 0.1, "body": {"bytes": 1}}
    pair = {
        "route": "r", "request": {"method": "GET", "target": nasty}, "request_id": nasty, "at": nasty, "arm": "legacy",
        "reason": nasty, "differences": [{"kind": nasty, "path": nasty, "legacy": nasty, "candidate": nasty}],
        "legacy": side, "candidate": side, "side_by_side": [["~", nasty, nasty]],
    }  # fmt: skip
    with answering(json.dumps(pair).encode()) as url:
        run = banyan("diffs", "show", "x", "--admin", url)
    assert run.returncode == 0
    assert "\\x1b]0;owned" in run.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", run.stdout)


def test_show_marks_the_difference_and_says_of_other_lines_why_they_are_not_the_same() -> None:
    side = {"status": 200, "failure": "", "seconds": 0.1, "body": {"bytes": 1}}
    own, other, noisy = "a" * 12, "b" * 12, "c" * 12
    pair = {
        "route": "r", "request": {"method": "GET", "target": "/"}, "request_id": "1", "at": "x", "arm": "legacy",
        "reason": "stage", "fingerprint": own, "unplaced": "a recorded body is not whole", "legacy": side,
        "candidate": side,
        "differences": [
            {"kind": "value", "path": f"$.{name[0]}", "legacy": "1", "candidate": "2", "fingerprint": name,
             "settled": {noisy: "noise", own: "accepted"}.get(name, "")} for name in (own, other, noisy)
        ],
        "side_by_side": [[" ", "{", "{", ""], ["~", "1", "2", own], ["~", "3", "4", other], ["~", "5", "6", "noise"],
                         ["-", "7", "", "ignored"], ["~", "8", "9", "?"]],
    }  # fmt: skip
    with answering(json.dumps(pair).encode()) as url:
        lines = banyan("diffs", "show", own, "--admin", url).stdout.splitlines()
    assert [line[0] for line in lines if " $." in line] == ["!", "~", "."]
    assert [line[:14].rstrip() for line in lines[-6:]] == ["", "!", f"~ {other}", ". noise", ". ignored", "?"]
    assert re.search(r"^\. noise +5 +\| 6$", lines[-3])
    assert "! this difference" in lines
    assert "~ another open difference of this pair, by its name" in lines
    assert [line for line in lines if line.startswith(". ") and ": " in line and " $." not in line] == [
        ". noise: legacy differs from itself here", ". ignored: a rule ignores it",
    ]  # fmt: skip
    assert "? not the same; of which difference is not known: a recorded body is not whole" in lines
    assert not [line for line in lines if "tolerated" in line]


@pytest.mark.parametrize("command", ["run", "status", "stage", "rollback", "diffs", "report"])
def test_help_has_an_example(command: str) -> None:
    run = banyan(command, "--help")
    assert run.returncode == 0
    assert f"banyan {command}" in run.stdout.split("Example:")[1]


def test_commands_are_in_the_documentation() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text()
    for command in ("run", "status", "stage", "rollback", "diffs", "diffs show", "report"):
        assert f"banyan {command} " in text or f"banyan {command}\n" in text or f"`banyan {command}`" in text


def test_client_commands_do_not_import_the_server() -> None:
    code = (
        "import sys; import proxy.cli.status, proxy.cli.stage, proxy.cli.diffs, proxy.cli.report;"
        "heavy = ('aiohttp', 'sqlite3', 'prometheus_client', 'rich', 'asyncio');"
        "sys.exit(' '.join(name for name in heavy if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.strip() == ""
