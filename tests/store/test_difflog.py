"""The diff log's file: counts, samples, retention, damage and sudden death."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.config.model import Retention
from proxy.store.batch import Seen, Way
from proxy.store.diff_writer import DiffWriter
from proxy.store.difflog import MAX_VALUES, DiffLog
from proxy.store.evidence import MORE, EvidenceLog
from proxy.store.rates import RateLog, Sighting
from proxy.store.side_by_side import side_by_side
from proxy.store.sqlite import StoreError, open_database, store_path

AT = time.time()
FEW = Retention(samples=5)
WAY = Way("legacy", "200/200", "GET", ())


def seen(fingerprint: str = "f1", at: float = AT, route: str = "orders") -> Seen:
    return Seen(fingerprint, route, "value", f"$.{fingerprint}", at, at, 1, "1", "2")


def offer(writer: DiffWriter, number: int, fingerprint: str = "f1", at: float = AT, text: str = "{}") -> None:
    writer.pair("orders", at, "mismatched", fingerprint)
    if writer.seen(seen(fingerprint, at), WAY):
        body = {"kind": "json", "text": text}
        writer.keep(
            fingerprint,
            at,
            f"r{number}",
            {"request_id": f"r{number}", "legacy": {"body": body}, "candidate": {"body": body}},
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "banyan.db"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def writer(path: Path, told: list[str]) -> Iterator[DiffWriter]:
    dice = random.Random(1)
    writer = DiffWriter(path, FEW, dice.randrange, lambda event, text: told.append(event))
    writer.start()
    yield writer
    assert writer.close(5)


@pytest.fixture
def reopened(path: Path) -> Iterator[DiffLog]:
    with closing(open_database(path)) as connection:
        yield DiffLog(connection)


def test_counts_are_exact_and_samples_are_bounded(writer: DiffWriter, path: Path) -> None:
    for number in range(500):
        offer(writer, number, at=AT + number)
        writer.pair("orders", AT, "matched", "")
    assert writer.close(5)
    with closing(open_database(path)) as connection:
        log = DiffLog(connection)
        (row,) = log.fingerprints()
        assert row["count"] == 500
        assert row["share"] == 0.5
        assert len(row["samples"]) == 5
        assert (row["route"], row["kind"], row["path"]) == ("orders", "value", "$.f1")
        assert row["first_seen"] < row["last_seen"]
        assert row["first_seen"].endswith("Z")
        assert log.verdict_totals() == {"orders": {"matched": 500, "mismatched": 500}}
        assert log.verdict_totals("other") == {}
        assert log.verdict_totals(since=AT + 7200) == {}
        assert log.fingerprints("other") == []
        records = [log.sample(sample) for sample in row["samples"]]
        assert [r["at"] for r in records if r] == sorted((r["at"] for r in records if r), reverse=True)
        assert any(r and int(r["request_id"][1:]) > 20 for r in records)  # a fair choice, not the first five


@pytest.mark.parametrize("odd", ["", "../../etc/passwd", "%2e%2e", "' OR 1=1 --", "\x00", "f1"])
def test_an_unknown_id_is_nothing(writer: DiffWriter, path: Path, odd: str) -> None:
    offer(writer, 1)
    assert writer.close(5)
    with closing(open_database(path)) as connection:
        assert DiffLog(connection).sample(odd) is None


def test_counts_go_on_after_a_restart(path: Path) -> None:
    for _ in range(2):
        writer = DiffWriter(path, FEW, random.Random(1).randrange, lambda event, text: None)
        writer.start()
        for number in range(10):
            offer(writer, number)
        assert writer.close(5)
    with closing(open_database(path)) as connection:
        (row,) = DiffLog(connection).fingerprints()
        assert row["count"] == 20
        assert len(row["samples"]) == 5


def test_matches_of_workers_are_added(writer: DiffWriter, path: Path, reopened: DiffLog) -> None:
    offer(writer, 1)
    assert writer.close(5)
    reopened.add_verdicts({("orders", int(AT) // 3600, "matched"): 9})
    assert reopened.fingerprints()[0]["share"] == 0.1


def test_a_file_that_is_no_database_is_moved_aside(path: Path, told: list[str]) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, it is a text" * 100)
    moved: list[Path] = []
    with closing(open_database(path, moved.append)) as connection:
        assert DiffLog(connection).fingerprints() == []
    assert moved[0].read_bytes().startswith(b"this is not")


def test_an_unusable_path_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        open_database(tmp_path / "file" / "banyan.db")
    assert store_path("sqlite:///var/banyan.db") == Path("var/banyan.db")
    assert store_path("sqlite:////srv/banyan.db") == Path("/srv/banyan.db")


def test_a_file_of_a_newer_release_is_refused(path: Path) -> None:
    with closing(open_database(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer Banyan"):
        open_database(path)


def test_f48_junk_in_a_record_is_no_sample(reopened: DiffLog, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number, blob in enumerate((b"\x80\x04junk", b"", b"x\x9c\x03\x00\x00\x00\x00\x01")):
            other.execute("INSERT INTO samples VALUES (?, 'f', 0, 'r', ?)", (f"s{number}", blob))
    assert [reopened.sample(f"s{number}") for number in range(3)] == [None] * 3


def test_a_locked_store_keeps_counts_and_drops_samples(writer: DiffWriter, path: Path, told: list[str]) -> None:
    offer(writer, 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN EXCLUSIVE")
        for number in range(3):
            offer(writer, number, "f2")
        for _ in range(500):
            if writer.losses():
                break
            time.sleep(0.01)
        other.execute("COMMIT")
    assert set(writer.losses()) == {"locked"}
    assert writer.close(5)
    assert told == ["store-lost", "store-back"]
    with closing(open_database(path)) as connection:
        assert {row["fingerprint"]: row["count"] for row in DiffLog(connection).fingerprints()} == {"f1": 1, "f2": 3}


def test_a_batch_that_cannot_be_written_for_a_fault_of_ours_is_counted_and_the_next_one_is_written(
    path: Path, reopened: DiffLog
) -> None:
    writer = DiffWriter(path, FEW, random.Random(1).randrange, lambda event, text: None)
    writer._try_open()
    offer(writer, 0)
    writer.seen(seen("f1")._replace(legacy="\ud800"), WAY)  # no text that SQLite takes
    with pytest.raises(UnicodeEncodeError):
        writer.step()
    assert writer.losses() == {"store-error": 2}  # the pair and its sample
    assert writer._reservoirs["f1"].ids == []
    offer(writer, 1)
    writer.step()
    assert [(row["count"], len(row["samples"])) for row in reopened.fingerprints()] == [(1, 1)]


def test_f49_a_full_disk_drops_and_counts_and_goes_on_when_there_is_room(
    writer: DiffWriter, path: Path, told: list[str]
) -> None:
    offer(writer, 0)
    while not path.exists() or writer._db is None:
        time.sleep(0.01)
    writer._db.execute("PRAGMA max_page_count = 20")
    for number in range(3):
        offer(writer, number, f"big{number}", text=random.Random(number).randbytes(100_000).hex())
    for _ in range(500):
        if writer.losses():
            break
        time.sleep(0.01)
    assert writer.losses()["disk-full"] >= 1
    writer._db.execute("PRAGMA max_page_count = 1000000")
    assert writer.close(5)
    assert told == ["store-lost", "store-back"]
    with closing(open_database(path)) as connection:
        assert sum(row["count"] for row in DiffLog(connection).fingerprints()) == 4


def test_a_store_that_cannot_be_opened_is_tried_again(path: Path, told: list[str]) -> None:
    path.parent.parent.joinpath("var").write_text("in the way")
    writer = DiffWriter(path, FEW, random.Random(1).randrange, lambda event, text: told.append(event))
    writer.start()
    offer(writer, 1)
    time.sleep(0.4)
    path.parent.unlink()
    assert writer.close(5)
    assert "store-lost" in told
    with closing(open_database(path)) as connection:
        assert [row["count"] for row in DiffLog(connection).fingerprints()] == [1]


def test_samples_over_the_size_go_oldest_first_and_the_file_shrinks(
    writer: DiffWriter, path: Path, reopened: DiffLog
) -> None:
    for number in range(40):
        offer(writer, number, f"f{number}", at=AT + number, text=random.Random(number).randbytes(50_000).hex())
    assert writer.close(5)
    reopened._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = path.stat().st_size
    assert before > 2_000_000
    assert reopened.prune_size(1_000_000) > 0
    assert path.stat().st_size < 1_000_000
    rows = {row["fingerprint"]: row for row in reopened.fingerprints()}
    assert rows["f39"]["samples"]
    assert not rows["f0"]["samples"]
    assert rows["f0"]["count"] == 1


def test_what_is_too_old_goes(writer: DiffWriter, reopened: DiffLog) -> None:
    offer(writer, 1, "old", at=AT - 20 * 86400)
    offer(writer, 2, "new")
    assert writer.close(5)
    reopened.prune_age(AT - 14 * 86400)
    assert [row["fingerprint"] for row in reopened.fingerprints()] == ["new"]
    assert reopened.verdict_totals() == {"orders": {"mismatched": 1}}


def test_too_many_waiting_samples_are_dropped_and_counted(path: Path) -> None:
    writer = DiffWriter(path, Retention(samples=1000), random.Random(1).randrange, lambda event, text: None)
    for number in range(4000):  # not started: nobody writes
        offer(writer, number, f"f{number}")
    assert writer.losses() == {"queue-full": 2000}


ROUNDS = int(os.environ.get("BANYAN_KILLS", "15"))
"""How often the writer is killed."""

KILLED = """
import random, sys, time
from pathlib import Path
from proxy.config.model import Retention
from proxy.store.diff_writer import DiffWriter
from proxy.store.batch import Seen, Way
dice = random.Random()
WAY = Way("legacy", "200/200", "GET", ())
writer = DiffWriter(Path(sys.argv[1]), Retention(samples=20), dice.randrange, lambda event, text: None)
writer.start()
print("up", flush=True)
while True:
    for _ in range(50):
        key = f"f{dice.randrange(50)}"
        writer.pair("r", time.time(), "mismatched", key)
        if writer.seen(Seen(key, "r", "value", "$.x", time.time(), time.time(), 1, "1", "2"), WAY):
            writer.keep(key, time.time(), "id", {"text": dice.randbytes(3000).hex()})
    writer._wake.set()
    time.sleep(0.001)
    writer._wake.clear()
"""


@pytest.mark.timeout(60 + 2 * ROUNDS)
def test_f48_a_killed_writer_never_leaves_a_damaged_file(path: Path) -> None:
    total = 0
    for number in range(ROUNDS):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.03 + number % 20 * 0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with closing(open_database(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            log = DiffLog(connection)
            rows = log.fingerprints()
            assert sum(row["count"] for row in rows) == sum(log.verdict_totals().get("r", {}).values())
            assert sum(row["count"] for row in rows) >= total
            assert sum(count for _, count in EvidenceLog(connection).counts("r", 0).groups) >= total
            assert sum(sum(row["arms"].values()) for row in rows) >= total
            total = sum(row["count"] for row in rows)
            for row in rows[:5]:
                assert all(log.sample(sample) for sample in row["samples"])
    assert total > 0


def test_two_columns_show_what_differs_and_stay_bounded() -> None:
    assert side_by_side("a\nb\nc", "a\nx\nc\nd") == [[" ", "a", "a"], ["~", "b", "x"], [" ", "c", "c"], ["+", "", "d"]]
    assert side_by_side("a\nb", "b") == [["-", "a", ""], [" ", "b", "b"]]
    assert len(side_by_side("x\n" * 100_000, "y\n" * 100_000)) == 2000


def test_a_difference_tells_whom_it_affects_and_how(writer: DiffWriter, reopened: DiffLog) -> None:
    ways = [
        Way("legacy", "200/500", "GET", ("staff", "pilots")),
        Way("legacy", "200/500", "GET", ("staff",), "a kind"),
        Way("candidate", "200/0", "HEAD", ()),
    ]
    for way in ways:
        writer.seen(seen(), way)
    assert writer.close(5)
    (row,) = reopened.fingerprints()
    assert row["arms"] == {"legacy": 2, "candidate": 1}
    assert row["statuses"] == {"200/500": 2, "200/0": 1}
    assert row["methods"] == {"GET": 2, "HEAD": 1}
    assert row["cohorts"] == {"staff": 2, "pilots": 1}
    assert reopened.cells("f1") == {"a kind": 1}
    assert "cells" not in row  # keys are not for people


def test_only_so_many_values_of_a_dimension_are_told_apart(writer: DiffWriter, reopened: DiffLog) -> None:
    for _ in range(2):
        for number in range(MAX_VALUES + 30):
            writer.seen(seen(), Way("legacy", f"200/{number + 100}", "GET", ()))
    assert writer.close(5)
    (row,) = reopened.fingerprints()
    assert len(row["statuses"]) == MAX_VALUES + 1
    assert row["statuses"]["other"] == 60
    assert sum(row["statuses"].values()) == 2 * (MAX_VALUES + 30)


def test_a_locked_store_loses_no_count_of_any_kind(path: Path) -> None:
    writer = DiffWriter(path, FEW, random.Random(1).randrange, lambda event, text: None)
    writer._try_open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert writer._db is not None
        writer._db.execute("PRAGMA busy_timeout = 0")
        for number in range(3):
            offer(writer, number)
            writer.within_legacy("orders", [Sighting("f1", "orders", "value", "$.f1", self_seen=1)])
            writer.step()
        other.execute("COMMIT")
    assert writer.losses() == {"locked": 3}
    writer.step()
    log = DiffLog(writer._db)
    assert log.fingerprints()[0]["count"] == 3
    assert log.fingerprints()[0]["arms"] == {"legacy": 3}
    assert log.verdict_totals() == {"orders": {"mismatched": 3}}
    assert EvidenceLog(writer._db).counts("orders", 0).groups == [(frozenset({"f1"}), 3)]
    (learned,) = RateLog(writer._db).learned(time.time(), {}, 86400.0)
    assert (learned.self_count, round(learned.rates.selfs), round(learned.rates.seen)) == (3, 3, 3)
    writer._db.close()


def test_sets_of_differences_beyond_the_bound_are_mismatches_at_once(
    writer: DiffWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.store.diff_writer.ROUTE_GROUPS", 3)
    for number in range(5):
        writer.pair("orders", AT, "mismatched", f"f{number}")
    assert writer.close(5)
    with closing(open_database(path)) as connection:
        groups = dict(EvidenceLog(connection).counts("orders", 0).groups)
    assert groups == {**{frozenset({f"f{number}"}): 1 for number in range(3)}, frozenset({MORE}): 2}


def test_a_clock_that_is_set_back_does_not_stop_the_pruning(path: Path) -> None:
    now = [AT + 365 * 86400.0]
    writer = DiffWriter(path, FEW, random.Random(1).randrange, lambda event, text: None, lambda: now[0])
    writer._try_open()
    writer.step()
    now[0] = AT
    writer.pair("orders", AT - 30 * 86400, "matched", "")
    writer.step()
    assert writer._db is not None
    assert EvidenceLog(writer._db).counts("orders", 0).compared() == 0
    writer._db.close()
