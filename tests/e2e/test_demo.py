"""``make demo`` tells its whole story, finds every planted regression, and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from legacy_stub.services import catalog, orders

COMMAND = [sys.executable, "-m", "legacy_stub.demo"]
ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.timeout(120)
PLANTED = [*catalog.PLANTED, *orders.PLANTED]


def environment(folder: Path, seconds: str) -> dict[str, str]:
    return {**os.environ, "DEMO_SECONDS": seconds, "TMPDIR": str(folder)}


def nobody_listens(output: str) -> bool:
    ports = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", output)}
    assert len(ports) >= 5
    for port in ports:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A temporary folder with a short name: the sockets between Banyan's processes lie in it."""
    with tempfile.TemporaryDirectory(prefix="d-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    """What one whole run prints without a terminal."""
    run = subprocess.run(
        COMMAND, env=environment(folder, "12"), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=100,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert list(folder.iterdir()) == []
    return run.stdout


def section(output: str, route: str) -> str:
    _, found, rest = output.partition(f"\n## {route}\n")
    assert found, f"the report has no section on {route}"
    return rest.partition("\n## ")[0]


def test_the_story_is_told_and_everything_has_ended(output: str) -> None:
    told = (
        "monolith ", "customers shop", "is killed", "is back", "# Migration report", "as fixed", "shop on",
        "at the end", "No customer saw an error", "Operators: http://",
    )  # fmt: skip
    places = [output.index(text) for text in told]
    assert places == sorted(places)
    assert nobody_listens(output)


def test_the_report_names_every_route_and_its_stage(output: str) -> None:
    stages = {"catalog-list": "shadow", "catalog-product": "canary 25 %", "catalog-categories": "live"}
    stages |= {"catalog-reviews": "legacy", "orders-shipping": "retired", "orders-read": "canary 10 %"}
    for route, stage in stages.items():
        assert f"Stage: {stage}" in section(output, route)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.route} {planted.kind} {planted.path}")
def test_the_report_names_the_planted_regression(output: str, planted: catalog.Planted) -> None:
    assert f"{planted.kind} `{planted.path}`" in section(output, planted.route)


def test_the_report_names_nothing_else_but_the_outage(output: str) -> None:
    planted: dict[str, set[str]] = {}
    for one in PLANTED:
        planted.setdefault(one.route, set()).add(f"{one.kind} `{one.path}`")
    outage = {"error `error`"}
    for route in re.findall(r"^## (\S+)$", output, re.MULTILINE):
        named = re.findall(r"^\| `[0-9a-f]{12}` +\| (\S+ `[^`]+`)", section(output, route), re.MULTILINE)
        assert set(named) - outage == planted.get(route, set())


def test_readiness_moves_as_traffic_flows_and_regressions_are_repaired(output: str) -> None:
    rows = {row.split()[0]: row.split()[1:4] for row in output.partition("\nreadiness ")[2].split("\n")[1:14]}
    for route in {one.route for one in PLANTED}:
        assert rows[route][:2] == ["inconclusive", "not-ready"]
    assert rows["orders-list"][2] == rows["catalog-search"][2] == "ready"


def test_the_killed_service_is_seen_as_fallbacks(output: str) -> None:
    found = re.search(r"(\d+) requests fell back to legacy", output)
    assert found
    assert int(found[1]) > 0
    assert "connect-failure" in section(output, "catalog-product") + section(output, "catalog-categories")


def test_a_terminated_demo_takes_its_processes_along(folder: Path) -> None:
    with subprocess.Popen(
        COMMAND, env=environment(folder, "30"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout
            begun = ""
            while "customers shop" not in begun and (line := run.stdout.readline()):
                begun += line
            run.send_signal(signal.SIGTERM)
            rest, errors = run.communicate(timeout=40)
        finally:
            run.kill()
    assert (run.returncode, errors) == (128 + signal.SIGTERM, "")
    assert "everything that was started is stopped" in rest
    assert nobody_listens(begun)
    assert list(folder.iterdir()) == []


def test_a_child_that_does_not_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    blocked = {**environment(tmp_path, "5"), "PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'legacy_stub.services.catalog' in sys.orig_argv: sys.exit('no shelf today')\n"
    )
    run = subprocess.run(COMMAND, env=blocked, cwd=ROOT, capture_output=True, text=True, timeout=40)
    assert run.returncode == 1
    assert "catalog ended with exit code" in run.stderr
    assert "no shelf today" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", ""])
def test_a_wrong_duration_is_a_usage_error(seconds: str) -> None:
    run = subprocess.run(
        COMMAND, env=environment(Path(tempfile.gettempdir()), seconds), cwd=ROOT, capture_output=True, text=True,
        timeout=20,
    )  # fmt: skip
    assert run.returncode == 2
    assert "DEMO_SECONDS" in run.stderr
