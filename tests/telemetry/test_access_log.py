"""The access log loses lines rather than time, and says how many."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.telemetry import access_log, logs
from proxy.telemetry.access_line import AccessRecord, Try
from proxy.telemetry.access_log import AccessLog

ENOUGH_SECONDS = 20.0


def record(number: int, target: bytes = b"") -> AccessRecord:
    return AccessRecord(
        time.time(), b"%016x" % number, "127.0.0.1", "GET", target or b"/orders/%d" % number, 200, "orders",
        "candidate", "percent", 1, 0.001, 512, [Try("orders", "http://127.0.0.1:9002", 0.001, "ok")],
    )  # fmt: skip


def numbers(text: bytes) -> list[int]:
    """The requests that lines tell of; every line is whole."""
    assert text.endswith(b"\n") or not text
    return [int(json.loads(line)["request_id"], 16) for line in text.splitlines()]


def written(file: Path) -> list[int]:
    """The same of a file that is being written; what has no end yet is no line."""
    text = file.read_bytes() if file.exists() else b""
    return numbers(text[: text.rfind(b"\n") + 1])


def soon(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + ENOUGH_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines of the process log."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(logs, "_log", logs.Log(lambda line: lines.append(json.loads(line))))
    monkeypatch.setattr(access_log, "RETRY_SECONDS", 0.05)
    return lines


@contextmanager
def logging(file: object, queue: int = 10_000) -> Iterator[AccessLog]:
    log = AccessLog(str(file), queue)
    try:
        yield log
    finally:
        log.close(ENOUGH_SECONDS)


@contextmanager
def pipe(path: Path) -> Iterator[int]:
    """A named pipe and its reading end, which is open before anybody writes."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    try:
        yield reader
    finally:
        os.close(reader)


def test_lines_are_written_in_order_while_requests_come(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "access.log"
    with logging(file) as log:
        log.write(record(1))
        soon(lambda: written(file) == [1])
        for number in range(2, 5000):
            log.write(record(number))
        soon(lambda: len(written(file)) == 4999)
    assert numbers(file.read_bytes()) == list(range(1, 5000))
    assert log.dropped == 0
    assert file.stat().st_mode & 0o007 == 0


def test_close_writes_what_waits(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    file = tmp_path / "access.log"
    log = AccessLog(str(file), 10_000)
    for number in range(3000):
        log.write(record(number))
    log.close(ENOUGH_SECONDS)
    assert numbers(file.read_bytes()) == list(range(3000))
    log.write(record(1))
    assert (log.dropped, told) == (1, [])


def test_standard_output_gets_lines_too() -> None:
    code = (
        "import test_access_log as t\nfrom proxy.telemetry.access_log import AccessLog\n"
        "log = AccessLog('-', 1000)\nfor n in range(500): log.write(t.record(n))\nlog.close(20)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, check=True)
    assert numbers(run.stdout) == list(range(500))


def test_a_reader_that_stopped_holds_up_nobody_and_what_was_dropped_is_told(
    tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    with pipe(tmp_path / "pipe") as reader:
        log = AccessLog(str(tmp_path / "pipe"), 100)
        longest = 0.0
        for number in range(20_000):  # far more than the pipe holds
            begun = time.perf_counter()
            log.write(record(number))
            longest = max(longest, time.perf_counter() - begun)
        assert longest < 1.0
        assert log.dropped > 10_000
        got = b""
        soon(lambda: len(log._records) == 100)
        thread = threading.Thread(target=log.close, args=(ENOUGH_SECONDS,))
        thread.start()
        while chunk := os.read(reader, 65536):
            got += chunk
            if len(numbers(got[: got.rfind(b"\n") + 1])) + log.dropped == 20_000:
                break
        thread.join()
    found = numbers(got)
    assert found == sorted(found)
    assert len(found) + log.dropped == 20_000
    assert {line["event"] for line in told} == {"access-log-trouble"}
    assert len(told) <= 2
    assert told[-1]["dropped"] == log.dropped


def test_close_gives_up_in_time_on_a_reader_that_stopped(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    with pipe(tmp_path / "pipe"):
        log = AccessLog(str(tmp_path / "pipe"), 5000)
        for number in range(5000):
            log.write(record(number))
        soon(lambda: len(log._records) < 4900)
        begun = time.monotonic()
        log.close(0.2)
        assert time.monotonic() - begun < 5.0
        assert log.dropped > 4000
        assert [line["event"] for line in told] == ["access-log-cut"]
    log._thread.join(ENOUGH_SECONDS)  # the pipe has no reader any more, so the write fails
    assert not log._thread.is_alive()


def test_a_file_that_cannot_be_opened_is_tried_again_and_little_is_lost(
    tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    (tmp_path / "logs").write_text("not a folder")
    file = tmp_path / "logs" / "access.log"
    with logging(file, 10) as log:
        for number in range(50):
            log.write(record(number))
        soon(lambda: told)
        (tmp_path / "logs").unlink()
        soon(lambda: len(written(file)) == 10)
        log.write(record(50))
    assert numbers(file.read_bytes()) == [*range(10), 50]
    assert log.dropped == 40
    assert [line["event"] for line in told] == ["access-log-trouble", "access-log-back"]
    assert told[0]["why"] == "Not a directory"
    assert told[1]["dropped"] == 40


def test_a_full_device_is_told_once_and_its_lines_are_counted(told: list[dict[str, Any]]) -> None:
    with logging("/dev/full", 10) as log:
        for number in range(50):
            log.write(record(number))
        soon(lambda: told)
        time.sleep(0.3)  # some more attempts
    assert log.dropped == 50
    assert [(line["event"], line["dropped"]) for line in told] == [
        ("access-log-trouble", 40),
        ("access-log-trouble", 50),
    ]
    assert "No space left" in told[0]["why"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_was_full_gets_every_line_that_waited_once_and_whole(
    tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", bytes(tmp_path), b"tmpfs", 0, b"size=64k") != 0:
        pytest.skip("no mounts here")
    try:
        ballast = tmp_path / "ballast"
        ballast.write_bytes(b"x" * 40_960)
        file = tmp_path / "access.log"
        with logging(file) as log:
            for number in range(130):
                log.write(record(number))
            soon(lambda: told)
            assert file.stat().st_size > 10_000
            ballast.unlink()
        found, torn = [], 0
        for line in file.read_bytes().splitlines():
            try:
                found.append(int(json.loads(line)["request_id"], 16))
            except ValueError:
                torn += 1
        assert (found, log.dropped) == (list(range(130)), 0)
        assert torn <= 1
        assert [line["event"] for line in told] == ["access-log-trouble", "access-log-back"]
    finally:
        libc.umount2(bytes(tmp_path), 2)


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    file, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with logging(file) as log:
        for number in range(100):
            log.write(record(number))
        soon(lambda: len(written(file)) == 100)
        file.rename(old)
        for number in range(100, 200):
            log.write(record(number))
        soon(lambda: len(written(old)) == 200)
        assert not file.exists()
        log.reopen()
        soon(file.exists)
        for number in range(200, 300):
            log.write(record(number))
    assert numbers(old.read_bytes()) == list(range(200))
    assert numbers(file.read_bytes()) == list(range(200, 300))
    assert log.dropped == 0


def test_reopening_takes_another_file_and_keeps_the_old_one_if_that_fails(
    tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (tmp_path / "blocked").write_text("not a folder")
    with logging(first) as log:
        log.write(record(1))
        soon(lambda: written(first) == [1])
        log.reopen(str(tmp_path / "blocked" / "access.log"), 2)
        soon(lambda: told)
        log.write(record(2))
        soon(lambda: written(first) == [1, 2])
        log.reopen(str(second), 10)
        soon(second.exists)
        log.write(record(3))
    assert numbers(first.read_bytes()) == [1, 2]
    assert numbers(second.read_bytes()) == [3]
    assert [line["event"] for line in told] == ["access-log-trouble", "access-log-back"]


def test_several_processes_append_whole_lines_to_one_file(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    code = (
        "import sys, test_access_log as t\nfrom proxy.telemetry.access_log import AccessLog\n"
        "log = AccessLog(sys.argv[1], 100_000)\nfirst = int(sys.argv[2])\n"
        "for n in range(first, first + 5000): log.write(t.record(n, b'/' + b'x' * (n % 1500)))\nlog.close(30)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(file), str(n * 5000)], cwd=Path(__file__).parent)
        for n in range(3)
    ]
    assert [process.wait(50) for process in processes] == [0, 0, 0]
    assert sorted(numbers(file.read_bytes())) == list(range(15_000))


def test_a_record_that_cannot_be_a_line_costs_itself_only(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    file = tmp_path / "access.log"
    with logging(file) as log:
        for number in range(3):
            made = record(number)
            if number == 1:
                made.time = float("nan")
            log.write(made)
    assert numbers(file.read_bytes()) == [0, 2]
    assert log.dropped == 1
    assert [line["event"] for line in told if line["event"] != "access-log-trouble"] == ["access-log-internal-error"]


def test_what_waits_is_small_whatever_was_asked(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a folder")
    with logging(tmp_path / "logs" / "x", 10) as log:
        for number in range(10):
            log.write(record(number, b"/" + b"x" * 60_000))
        assert sum(len(waiting.target) for waiting in log._records) < 10 * 4096
