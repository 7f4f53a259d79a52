"""Weeks of comparisons on a clock of their own: the store stays small."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.config.model import Retention
from proxy.store.batch import Seen, Way
from proxy.store.diff_writer import DiffWriter
from proxy.store.rates import Sighting

WAY = Way("legacy", "200/200", "GET", ("staff",))


def seen(fingerprint: str, at: float) -> Seen:
    return Seen(fingerprint, "orders", "value", f"$.{fingerprint}", at, at, 1, "1", "2")


class Weeks:
    """Weeks of comparisons on a clock of their own, written as the comparator writes them."""

    def __init__(self, path: Path, retention: Retention) -> None:
        self.now = 1_700_000_000.0
        self.writer = DiffWriter(
            path, retention, random.Random(7).randrange, lambda event, text: None, clock=lambda: self.now
        )
        self.writer._try_open()

    def close(self) -> None:
        if self.writer._db is not None:
            self.writer._db.close()

    def hour(self, fingerprints: list[str], pairs: int) -> None:
        """So many pairs in six moments of an hour: a third equal, the others with some of these differences."""
        writer = self.writer
        for _ in range(6):
            for number in range(pairs // 6):
                shown = [] if number % 3 == 0 else fingerprints[number % 40 : number % 40 + 1 + number % 3]
                writer.pair("orders", self.now, "mismatched" if shown else "matched", ",".join(sorted(shown)))
                for key in shown:
                    if writer.seen(seen(key, self.now), WAY):
                        writer.keep(key, self.now, "id", {"text": "x" * 200})
                writer.within_legacy("orders", [Sighting(key, "orders", "value", "$.x", self_seen=1) for key in shown])
            writer.step()
            self.now += 600

    def rows(self) -> dict[str, int]:
        assert self.writer._db is not None
        tables = ("fingerprints", "samples", "ways", "verdicts", "evidence", "evidence_groups", "rates", "route_rates")
        return {name: self.writer._db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Retention], Weeks]]:
    begun: list[Weeks] = []

    def begin(retention: Retention) -> Weeks:
        begun.append(Weeks(tmp_path / f"{len(begun)}.db", retention))
        return begun[-1]

    yield begin
    for weeks in begun:
        weeks.close()


def test_weeks_of_comparisons_do_not_grow_the_store_without_end(begin: Callable[[Retention], Weeks]) -> None:
    """Each day brings new differences. After the retention the store is as large as it will ever be."""
    weeks = begin(Retention(age="2d", samples=3))
    after: list[dict[str, int]] = []
    for day in range(8):
        for _ in range(24):
            weeks.hour([f"d{day}-{number}" for number in range(50)], pairs=120)
        after.append(weeks.rows())
    full = after[3]
    for later in after[4:]:
        assert all(later[name] <= full[name] * 1.05 + 10 for name in full), (full, later)
    assert full["fingerprints"] <= 200  # of the days that are kept
    assert full["samples"] <= 3 * full["fingerprints"]
    assert full["ways"] <= 4 * full["fingerprints"]
    assert full["route_rates"] == 1
    # Hours, and 10 s buckets of the last two: times the sets of differences that one of them showed.
    assert full["evidence"] <= (48 + 24 + 2 * 6 + 6) * 120


def test_a_hundred_times_the_pairs_take_no_more_room(begin: Callable[[Retention], Weeks]) -> None:
    sizes = []
    for pairs in (60, 6000):
        weeks = begin(Retention(samples=3))
        for _ in range(6):
            weeks.hour([f"f{number}" for number in range(50)], pairs)
        sizes.append(weeks.rows())
    assert sizes[1]["fingerprints"] < 60
    # more pairs only show more of what there is to see: fingerprints, and sets of them
    assert sizes[1]["evidence"] <= 36 * (sizes[1]["evidence_groups"] + 1)
    assert sizes[1]["evidence_groups"] <= 130
    assert sizes[1]["samples"] <= 3 * sizes[1]["fingerprints"]
