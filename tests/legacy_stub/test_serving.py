"""Each server of the demo prints its URL first, answers, and ends cleanly on SIGTERM."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from legacy_stub.serving import milliseconds, number


@pytest.mark.parametrize("module", ["monolith", "services.catalog", "services.orders"])
def test_process_prints_url_serves_and_ends_with_0(module: str, tmp_path: Path) -> None:
    options = []
    if module != "services.catalog":
        options = ["--database", str(tmp_path / "shop.db")]
    if module == "services.orders":
        from legacy_stub.database import Database

        database = Database(options[1])
        database.seed()
        database.close()
    command = [sys.executable, "-W", "error", "-m", f"legacy_stub.{module}", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert process.stderr
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_orders_service_without_database_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "legacy_stub.services.orders", "--database", str(tmp_path / "none.db")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 2
    assert "start the monolith" in run.stderr


def test_numbers_from_clients_stay_within_bounds() -> None:
    assert [number(value, 5, 1, 10) for value in ("7", None, "x", "-3", "1e9", "99")] == [7, 5, 5, 1, 5, 10]


def test_latency_is_a_span_of_milliseconds() -> None:
    assert milliseconds("2-6") == (0.002, 0.006)
    assert milliseconds("0") == (0.0, 0.0)
