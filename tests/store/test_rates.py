"""Rates: weights that fade, one row for each fingerprint and route."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.compare.noise import Rates
from proxy.store import rates
from proxy.store.rates import RateLog, Sighting
from proxy.store.sqlite import open_database

AT = 1_700_000_000.0
DAY = 86400.0
HALF = {"r": DAY}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RateLog]:
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        yield RateLog(connection)


def sighting(key: str = "f", seen: int = 0, within: int = 0, *looks: str, route: str = "r") -> Sighting:
    return Sighting(key, route, "value", f"$.{key}", seen, within, frozenset(looks))


def one(log: RateLog, now: float = AT) -> Rates:
    (found,) = log.learned(now, HALF, DAY)
    return found.rates


def test_sightings_of_the_same_moment_are_added(log: RateLog) -> None:
    for _ in range(2):
        log.add_pairs(AT, {"r": (100, 10)}, HALF, DAY)
        log.add_sightings(AT, [sighting(seen=50, within=5)], HALF, DAY)
    assert one(log) == Rates(100, 200, 10, 20)


def test_weights_halve_with_the_half_life_of_their_route(log: RateLog) -> None:
    log.add_pairs(AT, {"r": (100, 10), "s": (100, 10)}, HALF, 2 * DAY)
    log.add_sightings(AT, [sighting(seen=80, within=8), sighting("g", 80, 8, route="s")], HALF, 2 * DAY)
    r, s = (found.rates for found in log.learned(AT + 2 * DAY, HALF, 2 * DAY))
    assert r == pytest.approx(Rates(20, 25, 2, 2.5))
    assert s == pytest.approx(Rates(40, 50, 4, 5))
    assert r.rate == s.rate  # what fades alike keeps its share
    log.add_pairs(AT + DAY, {"r": (100, 10)}, HALF, DAY)
    assert one_route(log, "r", AT + DAY) == pytest.approx(Rates(40, 150, 4, 15))


def one_route(log: RateLog, route: str, now: float) -> Rates:
    (found,) = log.learned(now, HALF, DAY, route)
    return found.rates


def test_what_comes_late_counts_as_old_as_it_is(log: RateLog) -> None:
    log.add_pairs(AT, {"r": (100, 0)}, HALF, DAY)
    log.add_pairs(AT - DAY, {"r": (100, 8)}, HALF, DAY)
    log.add_sightings(AT, [sighting(within=1)], HALF, DAY)
    assert one(log) == pytest.approx(Rates(0, 150, 1, 4))


def test_only_what_was_seen_within_legacy_is_learned(log: RateLog) -> None:
    log.add_sightings(AT, [sighting("a", seen=5), sighting("b", 5, 1, "uuid")], HALF, DAY)
    log.add_sightings(AT, [sighting("b", 0, 1, "other"), sighting("b", 3)], HALF, DAY)
    (found,) = log.learned(AT, HALF, DAY)
    assert (found.fingerprint, found.self_count, found.looks) == ("b", 2, {"uuid", "other"})
    assert log.learned(AT, HALF, DAY, "other-route") == []


def test_there_are_only_so_many_rows(log: RateLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_ROWS", 3)
    log.add_sightings(AT, [sighting(str(n), within=1) for n in range(5)], HALF, DAY)
    log.add_sightings(AT, [sighting("0", within=1), sighting("9", within=1)], HALF, DAY)
    assert {found.fingerprint: found.self_count for found in log.learned(AT, HALF, DAY)} == {"0": 2, "1": 1, "2": 1}


def test_what_is_too_old_goes(log: RateLog) -> None:
    log.add_pairs(AT - DAY, {"old": (1, 1)}, HALF, DAY)
    log.add_sightings(AT - DAY, [sighting("old", within=1)], HALF, DAY)
    log.add_pairs(AT, {"r": (1, 1)}, HALF, DAY)
    log.add_sightings(AT, [sighting(within=1)], HALF, DAY)
    assert log.prune(AT - 1) == 2
    assert [found.fingerprint for found in log.learned(AT, HALF, DAY)] == ["f"]
