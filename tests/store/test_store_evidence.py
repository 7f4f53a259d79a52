"""Evidence: exact by group and time, retroactive, bounded."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.store import evidence
from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE, EvidenceLog, group_of
from proxy.store.sqlite import open_database

AT = 1_700_000_000.0  # begins a bucket of ten seconds, not one of an hour


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EvidenceLog]:
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        yield EvidenceLog(connection)


def rows(log: EvidenceLog) -> int:
    return int(log._db.execute("SELECT count(*) FROM evidence").fetchone()[0])


def test_pairs_are_counted_by_group(log: EvidenceLog) -> None:
    one, both = group_of(["aa"]), group_of(["bb", "aa"])
    log.add(AT, {("r", EQUAL): 5, ("r", one): 2, ("r", both): 1, ("r", INCOMPARABLE): 4, ("other", one): 9})
    log.add(AT, {("r", EQUAL): 1, ("r", group_of(["aa", "bb"])): 1, ("r", MORE): 3})
    found = log.counts("r", AT)
    assert (found.equal, found.incomparable) == (6, 4)
    assert sorted(found.groups, key=str) == sorted(
        [(frozenset({"aa"}), 2), (frozenset({"aa", "bb"}), 2), (frozenset({MORE}), 3)], key=str
    )
    assert found.compared() == 13
    assert log.counts("nobody", 0) == (0, 0, [])


def test_accepting_takes_out_exactly_the_pairs_that_showed_nothing_else(log: EvidenceLog) -> None:
    log.add(AT, {("r", "aa"): 2, ("r", "aa,bb"): 3, ("r", "bb"): 4, ("r", MORE): 5})
    found = log.counts("r", 0)
    assert found.mismatched() == 14
    assert found.mismatched({"aa"}) == 12
    assert found.mismatched({"aa", "bb"}) == 5  # never what had more differences than are kept


def test_only_buckets_that_begin_at_or_after_since_count(log: EvidenceLog) -> None:
    log.add(AT + 4.9, {("r", EQUAL): 1})
    log.add(AT + 5, {("r", EQUAL): 10})
    assert [log.counts("r", AT + late).equal for late in (0, 0.1, 4.9, 5, 5.1)] == [11, 10, 10, 10, 0]


def test_the_first_pair_is_that_of_the_route_within_the_time(log: EvidenceLog) -> None:
    log.add(AT, {("r", EQUAL): 1})
    log.add(AT + 100, {("r", INCOMPARABLE): 1, ("other", EQUAL): 1})
    assert [log.first("r", since) for since in (0, AT, AT + 0.1, AT + 100.1)] == [AT, AT, AT + 100, None]
    assert log.first("nobody", 0) is None


def test_old_buckets_become_hours_and_nothing_gets_younger(log: EvidenceLog) -> None:
    hour = AT // 3600 * 3600
    for second in range(0, 3600, 10):
        log.add(hour + second, {("r", EQUAL): 1, ("r", "aa"): 2})
    log.prune(hour + 7199, 0)  # the hour ended less than an hour ago
    assert rows(log) == 720
    log.prune(hour + 7200, 0)
    assert rows(log) == 2
    assert log.counts("r", hour) == (360, 0, [(frozenset({"aa"}), 720)])
    assert log.counts("r", hour + 1) == (0, 0, [])  # it may have been before: not counted
    log.add(hour + 1800, {("r", EQUAL): 7})  # came late
    log.prune(hour + 7200, 0)
    assert rows(log) == 2
    assert log.counts("r", hour).equal == 367


def test_what_is_too_old_goes_with_its_groups(log: EvidenceLog) -> None:
    log.add(AT, {("r", "aa"): 1})
    log.add(AT + 100, {("r", "bb"): 1})
    assert log.prune(AT + 100, AT + 50) == 1
    assert log.groups() == {"r": {"bb"}}
    assert log.counts("r", 0).groups == [(frozenset({"bb"}), 1)]


def test_groups_beyond_the_bound_are_mismatches_for_good(log: EvidenceLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "ROUTE_GROUPS", 5)
    monkeypatch.setattr(evidence, "MAX_GROUPS", 8)
    for route in ("r", "s"):
        for number in range(10):
            log.add(AT, {(route, f"{number}"): 1})
    mine, theirs = (dict(log.counts(route, 0).groups) for route in ("r", "s"))
    assert mine == {**{frozenset({str(n)}): 1 for n in range(5)}, frozenset({MORE}): 5}
    assert theirs == {**{frozenset({str(n)}): 1 for n in range(3)}, frozenset({MORE}): 7}
    log.add(AT, {("r", "0"): 1})  # a known one still counts as itself
    assert dict(log.counts("r", 0).groups)[frozenset({"0"})] == 2


def test_other_processes_count_equal_pairs_while_groups_are_pruned(log: EvidenceLog, tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        other = EvidenceLog(connection)
        log.add(AT, {("r", "aa"): 1})
        other.add(AT, {("r", EQUAL): 1})
        log.prune(AT, AT + 1)
        other.add(AT + 10, {("r", EQUAL): 2})
        log.add(AT + 10, {("r", "bb"): 3})
        assert other.counts("r", 0) == (2, 0, [(frozenset({"bb"}), 3)])


def test_hours_add_up_to_the_counts(log: EvidenceLog) -> None:
    for at, group, count in ((3600.0, "", 5), (3700.0, "a", 2), (7300.0, "a", 3), (7300.0, "incomparable", 1)):
        log.add(at, {("r", group): count})
    log.add(7300.0, {("other", ""): 9})
    hours = log.hours("r", 0.0)
    assert {hour: (found.compared(), found.mismatched(), found.incomparable) for hour, found in hours.items()} == {
        3600: (7, 2, 0),
        7200: (3, 3, 1),
    }
    assert log.counts("r", 0.0).compared() == 10
    assert list(log.hours("r", 3601.0)) == [3600, 7200]
    assert log.hours("r", 7400.0) == {}
