"""Hours add up, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from proxy.messages import CompareCounters, Histogram, RouteCounters
from proxy.store.counters import CounterLog
from proxy.store.tally import Tally, is_empty, since


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def log(db: sqlite3.Connection) -> CounterLog:
    return CounterLog(db)


def tally(requests: int, matched: int = 0) -> Tally:
    histogram = Histogram()
    histogram.counts[3] = requests
    traffic = RouteCounters(requests={"GET 200 legacy": requests}, durations={"legacy": histogram}, matched=matched)
    return Tally(traffic, CompareCounters(verdicts={"matched": 1}))


def test_deltas_of_one_hour_and_of_several_add_up(log: CounterLog) -> None:
    log.add(3600.0, {"a": tally(3, matched=2)})
    log.add(3700.0, {"a": tally(4)})
    log.add(7300.0, {"a": tally(5), "b": tally(1)})
    total = log.totals(0.0)
    assert total["a"].traffic.requests == {"GET 200 legacy": 12}
    assert total["a"].traffic.durations["legacy"].counts[3] == 12
    assert total["a"].verdicts()["matched"] == 2 + 3
    assert log.totals(7200.0)["a"].traffic.requests == {"GET 200 legacy": 5}


def test_prune_deletes_only_hours_that_are_over(log: CounterLog) -> None:
    log.add(10.0, {"a": tally(1)})
    log.add(3610.0, {"a": tally(2)})
    assert log.prune(3600.0) == 1
    assert log.totals(0.0)["a"].traffic.requests == {"GET 200 legacy": 2}


def test_failed_write_adds_nothing_of_the_batch(log: CounterLog, db: sqlite3.Connection) -> None:
    db.execute("CREATE TRIGGER no BEFORE INSERT ON counters WHEN new.route = 'b' BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.Error):
        log.add(1.0, {"a": tally(1), "b": tally(1)})
    assert log.totals(0.0) == {}


def test_damaged_hour_reads_as_no_figures(log: CounterLog, db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO counters VALUES (0, 'a', x'ff00')")
    assert log.totals(0.0)["a"].traffic.requests == {}


def test_what_came_after_a_mark_can_be_told_from_what_was_before(log: CounterLog) -> None:
    log.add(7200.0, {"a": tally(3)})
    log.mark(7300.0, "a")
    log.add(7400.0, {"a": tally(2)})
    after = since(log.totals(7300.0)["a"], log.before(7300.0, "a"))
    assert after.traffic.requests == {"GET 200 legacy": 2}
    assert since(log.totals(7250.0)["a"], log.before(7250.0, "a")).traffic.requests == {"GET 200 legacy": 5}, (
        "too early"
    )
    assert is_empty(log.before(7300.0, "b"))


def test_the_last_mark_of_an_hour_is_kept_until_the_hour_is_pruned(log: CounterLog) -> None:
    log.add(7200.0, {"a": tally(1)})
    log.mark(7300.0, "a")
    log.add(7400.0, {"a": tally(1)})
    log.mark(7500.0, "a")
    assert log.before(8000.0, "a").traffic.requests == {"GET 200 legacy": 2}
    log.prune(10_800.0)
    assert is_empty(log.before(8000.0, "a"))
