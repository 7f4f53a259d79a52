"""The record of requests: a fair, bounded choice that survives a restart and grows old."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.store.corpus import MAX_PER_KIND, MAX_PER_ROUTE, MAX_WAITING, SHARE_OF_STORE, Corpus, Recorder
from proxy.store.sqlite import open_database

KIND = ("cell", "shape")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        yield connection


def recorder(database: sqlite3.Connection, seed: int = 1) -> Recorder:
    made = Recorder(random.Random(seed).randrange)
    made.opened(database)
    return made


def offer(
    made: Recorder, name: str, kind: tuple[str, str] = KIND, *, route: str = "r", at: float = 1.0, partial: bool = False
) -> bool:
    if not made.wanted(route, *kind, partial=partial):
        return False
    record: dict[str, Any] = {"request_id": name, "request": {}, "legacy": {}, "partial": partial, "masked": False}
    assert made.keep(route, kind, at, record)
    return True


def names(database: sqlite3.Connection, route: str = "r", limit: int = 10_000) -> list[str]:
    return [record["request_id"] for record in Corpus(database).requests(route, limit)]


def test_of_each_kind_a_few_are_kept(database: sqlite3.Connection) -> None:
    made = recorder(database)
    for number in range(1000):
        offer(made, f"a{number}")
        offer(made, f"b{number}", ("cell", "other shape"))
        if number % 100 == 0:
            made.write()
    assert made.write() == 0
    assert Counter(name[0] for name in names(database)) == {"a": MAX_PER_KIND, "b": MAX_PER_KIND}


def test_the_choice_is_fair(tmp_path: Path) -> None:
    early = 0
    for seed in range(60):
        with closing(open_database(tmp_path / f"{seed}.db")) as database:
            made = recorder(database, seed)
            for number in range(100):
                offer(made, str(number))
            made.write()
            early += sum(int(name) < 50 for name in names(database))
    assert 110 < early < 190  # 150 of 300 are to be expected


def test_a_record_is_read_back_with_its_kind_and_time(database: sqlite3.Connection) -> None:
    made = recorder(database)
    offer(made, "one", at=1.5)
    made.write()
    (found,) = Corpus(database).requests("r")
    assert (found["cell"], found["shape"], found["at"]) == ("cell", "shape", "1970-01-01T00:00:01.500Z")
    assert found["id"]
    assert Corpus(database).requests("another") == []
    assert (Corpus(database).counted("r"), Corpus(database).counted("another")) == ((1, 1), (0, 0))


def test_a_route_keeps_so_many_and_new_kinds_still_find_room(database: sqlite3.Connection) -> None:
    made = recorder(database)
    for kind in range(120):
        for number in range(10):
            offer(made, f"{kind}.{number}", (str(kind), ""))
        made.write()
    offer(made, "another route", route="s")
    made.write()
    found = names(database)
    assert len(found) == MAX_PER_ROUTE
    assert len({name.partition(".")[0] for name in found}) == 120
    assert len(names(database, "s")) == 1


def test_when_every_kind_has_one_no_further_kind_is_wanted(database: sqlite3.Connection) -> None:
    made = recorder(database)
    for kind in range(MAX_PER_ROUTE + 10):
        offer(made, str(kind), (str(kind), ""))
        if kind % 100 == 0:
            made.write()
    made.write()
    assert len(names(database)) == MAX_PER_ROUTE
    assert not made.wanted("r", "yet another", "", partial=False)


def test_few_are_as_different_as_can_be(database: sqlite3.Connection) -> None:
    made = recorder(database)
    for kind in "abc":
        for number in range(4):
            offer(made, f"{kind}{number}", (kind, ""), at=float(number))
    made.write()
    assert names(database, limit=4) == ["a3", "b3", "c3", "a2"]


def test_a_request_without_its_body_is_kept_until_a_whole_one_comes(database: sqlite3.Connection) -> None:
    made = recorder(database)
    assert offer(made, "partial", partial=True)
    assert not offer(made, "another", partial=True)
    made.write()
    assert names(database) == ["partial"]
    again = recorder(database)  # a restart knows it still
    assert offer(again, "whole")
    again.write()
    assert names(database) == ["whole"]
    assert not offer(again, "late", partial=True)


def test_a_restart_goes_on_with_what_is_kept(database: sqlite3.Connection) -> None:
    for run in range(4):
        made = recorder(database, run)
        for number in range(20):
            offer(made, f"{run}.{number}")
        made.write()
    assert len(names(database)) == MAX_PER_KIND


def test_age_and_size_are_bounded(database: sqlite3.Connection) -> None:
    made = recorder(database)
    dice = random.Random(3)
    for kind in range(20):
        record = {"request_id": str(kind), "partial": False, "noise": dice.randbytes(2000).hex()}
        made.wanted("r", str(kind), "", partial=False)
        made.keep("r", (str(kind), ""), float(kind), record)
    made.write()
    made.prune(5.0, 10**9)
    assert sorted(map(int, names(database))) == list(range(5, 20))
    made.prune(0.0, 10_000 * SHARE_OF_STORE)
    kept = sorted(map(int, names(database)))
    assert kept == list(range(20 - len(kept), 20))
    assert 2 <= len(kept) <= 5
    assert offer(made, "19b", ("19", ""))
    assert made.wanted("r", "0", "", partial=False)  # what is gone may come again


def test_what_cannot_be_written_is_lost_counted_and_its_place_free_again(tmp_path: Path) -> None:
    made = Recorder(random.Random(1).randrange)
    for number in range(3):
        offer(made, str(number))
    assert made.write() == 3
    assert made.write() == 0
    with closing(open_database(tmp_path / "banyan.db")) as database:
        made.opened(database)
        for number in range(20):
            offer(made, f"again {number}")
        assert made.write() == 0
        assert len(names(database)) == MAX_PER_KIND


def test_what_waits_for_the_disk_is_bounded(database: sqlite3.Connection) -> None:
    made = recorder(database)
    record = {"request_id": "x", "partial": False}
    taken = sum(made.keep(f"r{n // 100}", (str(n), ""), 1.0, record) for n in range(MAX_WAITING + 50))
    assert taken == MAX_WAITING
    assert made.write() == 0


def test_a_damaged_record_is_left_out(database: sqlite3.Connection) -> None:
    made = recorder(database)
    offer(made, "one")
    offer(made, "two")
    made.write()
    database.execute("UPDATE requests SET record = x'00' WHERE rowid = (SELECT min(rowid) FROM requests)")
    assert len(names(database)) == 1
