"""The record of changes: versions, fold, and that refusal leaves nothing behind."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.inbox import Action, Mark
from proxy.messages import BreakerEvent
from proxy.store.events import (
    MAX_BREAKER_EVENTS,
    MAX_MARKS,
    MAX_OWN_MARKS,
    OWN_MARKS,
    EventLog,
    StaleVersionError,
)


@contextmanager
def memory() -> Iterator[EventLog]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield EventLog(connection)


@pytest.fixture
def log() -> Iterator[EventLog]:
    with memory() as log:
        yield log


def change(log: EventLog, route: str, stage: str, expected: int | None = None, action: str = "stage") -> int:
    event = log.append(
        at=1.0, actor="ann", action=action, route=route, before={}, after={"stage": stage, "percent": 5},
        reason="because", expected=expected,
    )  # fmt: skip
    return event.version


def test_last_change_of_a_route_is_the_one_that_holds(log: EventLog) -> None:
    change(log, "a", "shadow")
    change(log, "b", "live")
    change(log, "a", "canary")
    held = {o.route: (o.stage, o.percent, o.version, o.actor, o.reason) for o in log.overrides()}
    assert held == {"a": ("canary", 5, 2, "ann", "because"), "b": ("live", 5, 1, "ann", "because")}
    assert log.versions() == {"a": 2, "b": 1}


def test_stale_version_is_refused_and_leaves_nothing_behind(log: EventLog) -> None:
    change(log, "a", "shadow", expected=0)
    with pytest.raises(StaleVersionError) as caught:
        change(log, "a", "live", expected=0)
    assert caught.value.current == 1
    assert [o.stage for o in log.overrides()] == ["shadow"]
    assert change(log, "a", "live", expected=1) == 2


def test_following_the_file_ends_the_override_and_keeps_counting_versions(log: EventLog) -> None:
    change(log, "a", "shadow")
    change(log, "a", "legacy", action="follow-file")
    assert log.overrides() == []
    assert log.versions() == {"a": 2}
    assert change(log, "a", "live", expected=2) == 3


def test_reloads_are_recorded_and_change_no_route(log: EventLog) -> None:
    log.append(at=1.0, actor="SIGHUP", action="reload", before={"generation": 1}, after={"generation": 2}, reason="")
    change(log, "a", "live")
    assert [(e.action, e.version) for e in log.recent(10)] == [("stage", 1), ("reload", 0)]
    assert [e.action for e in log.recent(10, "a")] == ["stage"]
    assert len(log.recent(1)) == 1


def test_record_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = sqlite3.connect(path, isolation_level=None)
    change(EventLog(first), "a", "live")
    first.close()
    second = sqlite3.connect(path, isolation_level=None)
    assert [o.stage for o in EventLog(second).overrides()] == ["live"]
    second.close()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["shadow", "canary", "live"])), max_size=20))
def test_fold_is_the_last_write_of_each_route(changes: list[tuple[str, str]]) -> None:
    with memory() as log:
        for route, stage in changes:
            change(log, route, stage)
        assert {o.route: o.stage for o in log.overrides()} == dict(changes)


def breaker(number: int, route: str = "a", after: str = "open") -> BreakerEvent:
    return BreakerEvent(3, route, "orders", "traffic", "closed", after, f"why {number}", "enforce", float(number))


def test_breaker_events_are_kept_beside_the_changes_and_change_no_route(log: EventLog) -> None:
    change(log, "a", "live")
    log.append_breaker_events([breaker(1), breaker(2, "b", "half-open")])
    assert [o.stage for o in log.overrides()] == ["live"]
    assert log.versions() == {"a": 1}
    assert change(log, "a", "shadow", expected=1) == 2
    newest, half_open, opened, first = log.recent(10)
    assert [e.action for e in (newest, half_open, opened, first)] == ["stage", "breaker", "breaker", "stage"]
    assert opened[1:] == (
        1.0, "worker 3", "breaker", "a", {"state": "closed"},
        {"state": "open", "upstream": "orders", "purpose": "traffic", "mode": "enforce"}, "why 1", 0,
    )  # fmt: skip


def test_a_kind_of_events_can_be_asked_for_with_and_without_a_route(log: EventLog) -> None:
    change(log, "a", "live")
    log.append_breaker_events([breaker(1, "a"), breaker(2, "b")])
    assert [e.action for e in log.recent(10, kind="change")] == ["stage"]
    assert [e.route for e in log.recent(10, kind="breaker")] == ["b", "a"]
    assert [e.reason for e in log.recent(10, "a", "breaker")] == ["why 1"]


def test_of_breaker_events_only_the_newest_are_kept_and_of_changes_all(log: EventLog) -> None:
    change(log, "a", "live")
    for begin in range(0, 3 * MAX_BREAKER_EVENTS, 700):
        log.append_breaker_events([breaker(n) for n in range(begin, begin + 700)])
        change(log, "b", "shadow")
    kept = log.recent(10_000, kind="breaker")
    assert len(kept) == MAX_BREAKER_EVENTS
    assert kept[0].reason == f"why {begin + 699}"
    assert kept[-1].reason == f"why {begin + 700 - MAX_BREAKER_EVENTS}"
    assert len(log.recent(10_000, kind="change")) == begin // 700 + 2


def said(action: Action, at: float = 1.0, **more: Any) -> Mark:
    return Mark(action, at, "dana", more.pop("text", "why"), **more)


def test_what_is_said_of_differences_is_read_back_in_order(log: EventLog) -> None:
    first = log.append_mark("orders", "f1", said("accept", until=9.0), "new")
    log.append_mark("orders", "f2", said("assign", who="lee", text=""), "new")
    log.append_mark("orders", "f1", said("unaccept", 2.0), "accepted")
    assert [(route, key, mark) for _, route, key, mark in log.marks()] == [
        ("orders", "f1", said("accept", until=9.0)),
        ("orders", "f2", said("assign", who="lee", text="")),
        ("orders", "f1", said("unaccept", 2.0)),
    ]
    assert [key for _, _, key, _ in log.marks(after=first)] == ["f2", "f1"]
    assert log.history("f1") == [said("accept", until=9.0), said("unaccept", 2.0)]
    assert log.history("other") == []


def test_what_is_said_of_differences_changes_no_route(log: EventLog) -> None:
    log.append_mark("orders", "f1", said("accept"), "new")
    assert log.overrides() == []
    assert log.versions() == {}
    (event,) = log.recent(10, kind="change")
    assert (event.action, event.route, event.before, event.after["fingerprint"]) == (
        "accept", "orders", {"state": "new"}, "f1",
    )  # fmt: skip


def test_of_what_is_said_of_one_difference_the_newest_is_kept_of_banyan_and_of_each_action_of_people(
    log: EventLog,
) -> None:
    log.append_mark("r", "f1", said("accept", 0.5), "new")
    log.append_mark("r", "f2", said("regressed"), "fixed")
    for number in range(MAX_MARKS + 50):
        log.append_mark("r", "f1", said("auto-fixed" if number % 2 else "regressed", float(number)), "new")
        for action in ("fixed", "comment"):
            log.append_mark("r", "f1", said(action, float(number)), "new")
    kept: dict[str, list[float]] = {}
    for mark in log.history("f1"):
        kept.setdefault("own" if mark.action in OWN_MARKS else mark.action, []).append(mark.at)
    newest = [float(number) for number in range(MAX_MARKS + 50)]
    assert kept == {
        "accept": [0.5],
        "own": newest[-MAX_OWN_MARKS:],
        "fixed": newest[-MAX_MARKS:],
        "comment": newest[-MAX_MARKS:],
    }
    assert len(log.history("f2")) == 1


def test_of_reloads_only_the_newest_are_kept_and_of_changes_all(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.store.events.MAX_RELOADS", 5)
    change(log, "a", "live")
    log.append_mark("r", "f", said("accept"), "new")
    for number in range(20):
        log.append(
            at=float(number), actor="file watch", action=("reload", "reload-refused")[number % 2], before={}, after={},
            reason="",
        )  # fmt: skip
    assert [event.at for event in log.recent(100) if event.action.startswith("reload")] == [19, 18, 17, 16, 15]
    assert [event.action for event in log.recent(100)][-2:] == ["accept", "stage"]


def test_what_was_said_of_a_difference_can_be_forgotten(log: EventLog) -> None:
    change(log, "a", "live")
    for key in ("f1", "f2", "f3"):
        log.append_mark("r", key, said("accept"), "new")
    log.forget_marks(["f1", "f3", "other"])
    assert [key for _, _, key, _ in log.marks()] == ["f2"]
    assert log.versions() == {"a": 1}


def test_looking_for_what_was_said_of_a_difference_uses_an_index(log: EventLog) -> None:
    for query in (
        "SELECT * FROM events WHERE json_extract(after, '$.fingerprint') = 'f' ORDER BY id",
        "SELECT * FROM events WHERE json_extract(after, '$.fingerprint') IS NOT NULL AND id > 5 ORDER BY id",
    ):
        plan = " ".join(row[3] for row in log._db.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN events" not in plan or "USING INDEX" in plan, plan
