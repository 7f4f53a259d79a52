"""A line is a line, whatever it holds; and no event floods."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.logs import BURST_LINES, LINES_PER_SECOND, MAX_EVENTS, MAX_FIELDS, MAX_TEXT, Level, Log


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Log, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    return Log(lines.append, clock, lambda: 1_700_000_000.25), lines, clock


def test_line_has_time_level_event_and_process() -> None:
    log, lines, _ = make()
    log.process = "worker-1"
    log.line("warning", "worker-died", code=-9)
    record = json.loads(lines[0])
    assert record["at"] == "2023-11-14T22:13:20.250+00:00"
    assert (record["level"], record["event"], record["process"], record["code"]) == (
        "warning", "worker-died", "worker-1", -9,
    )  # fmt: skip


@pytest.mark.parametrize("nasty", ["a\r\nb", "\x1b[31mred", "\u2028", "\x7f", "\x00", "\udcff", "\x85"])
def test_control_characters_stay_inside_one_printable_line(nasty: str) -> None:
    log, lines, _ = make()
    log.line("info", nasty, field=nasty)
    assert len(lines) == 1
    assert all(" " <= char <= "~" for char in lines[0][:-1])
    assert json.loads(lines[0])["field"] == nasty


@given(st.binary(max_size=200))
def test_bytes_can_be_recovered_from_the_line(raw: bytes) -> None:
    log, lines, _ = make()
    log.line("info", "bytes", raw=raw)
    assert lines[0].isascii()
    assert json.loads(lines[0])["raw"].encode("utf-8", "surrogateescape") == raw


def test_flood_becomes_ten_lines_and_one_count() -> None:
    log, lines, clock = make()
    for _ in range(1000):
        log.line("warning", "refused")
    assert len(lines) == BURST_LINES
    clock.now += 1.0
    log.line("info", "other-event")
    told = [json.loads(line) for line in lines[10:]]
    assert [(r["event"], r.get("suppressed"), r.get("of")) for r in told] == [
        ("log-suppressed", 990, "refused"), ("other-event", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_lasting_flood_is_as_many_lines_a_second_as_its_level_may_have(level: Level) -> None:
    log, lines, clock = make()
    for _ in range(10_000):
        clock.now += 0.001
        log.line(level, "noise")
    told = [json.loads(line) for line in lines]
    shown = [line for line in told if line["event"] == "noise"]
    assert abs(len(shown) - BURST_LINES - 10 * LINES_PER_SECOND[level]) <= 1
    log.flush()
    suppressed = [json.loads(line) for line in lines if "suppressed" in line]
    assert len(suppressed) <= 11
    assert sum(line["suppressed"] for line in suppressed) == 10_000 - len(shown)


def test_flood_of_one_event_does_not_silence_another() -> None:
    log, lines, _ = make()
    for _ in range(100):
        log.line("info", "noise")
    log.line("error", "important")
    assert json.loads(lines[-1])["event"] == "important"


def test_a_flood_that_ended_is_told_without_another_line_and_only_once() -> None:
    log, lines, clock = make()
    for _ in range(12):
        log.line("info", "noise")
    log.tell()
    assert len(lines) == 10
    clock.now += 1.0
    log.tell()
    log.tell()
    assert [json.loads(line).get("suppressed") for line in lines[10:]] == [2]


def test_flush_tells_the_count_at_the_end() -> None:
    log, lines, _ = make()
    for _ in range(12):
        log.line("info", "noise")
    log.flush()
    assert json.loads(lines[-1])["suppressed"] == 2
    log.flush()
    assert len(lines) == 11


def test_everything_is_bounded() -> None:
    log, lines, _ = make()
    log.line("info", "wide", **{f"f{n}": "x" * 5000 for n in range(100)})
    record = json.loads(lines[0])
    assert record["fields_dropped"] == 100 - MAX_FIELDS
    assert len(record["f0"]) == MAX_TEXT
    for n in range(2 * MAX_EVENTS):
        log.line("info", f"event-{n}")
    assert len(log._buckets) <= MAX_EVENTS + 1


def test_field_cannot_replace_the_event_or_the_level() -> None:
    log, lines, _ = make()
    log.line("info", "true-event", pid="forged", process="forged")
    record = json.loads(lines[0])
    assert record["pid"] != "forged"
    assert record["pid_"] == "forged"


def test_values_that_json_does_not_know_are_text() -> None:
    log, lines, _ = make()
    log.line("info", "odd", nan=float("nan"), items=("a", 1), error=ValueError("no"), nothing=None)
    record = json.loads(lines[0])
    assert (record["nan"], record["items"], record["error"], record["nothing"]) == ("nan", ["a", "1"], "no", None)


def test_threads_do_not_disturb_each_other() -> None:
    log, lines, clock = make()

    def flood(name: str) -> None:
        for n in range(300):
            clock.now += 0.01  # buckets are swept and made all the time
            log.line("info", f"{name}-{n % 50}")

    threads = [threading.Thread(target=flood, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush()
    told = [json.loads(line) for line in lines]
    shown = [line for line in told if line["event"] != "log-suppressed"]
    assert len(shown) + sum(line.get("suppressed", 0) for line in told) == 1200


def test_broken_standard_error_is_counted_and_not_raised() -> None:
    def broken(_: str) -> None:
        raise BrokenPipeError

    log = Log(broken)
    log.line("info", "x")
    assert log.lost == 1
