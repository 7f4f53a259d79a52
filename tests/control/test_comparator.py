"""The comparator as a process: pairs in, verdicts and records out, whatever the pairs are."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any

import orjson
import pytest

from proxy.control.comparator import MAX_QUEUED_BYTES, MAX_QUEUED_PAIRS, Comparator
from proxy.messages import Answer, ComparatorStats, Drain, Fields, FromChild, Hello, Override, Pair, Ready, Snapshot
from proxy.store.difflog import DiffLog
from proxy.store.sqlite import open_database
from proxy.wire import ipc

JSON: Fields = [(b"Content-Type", b"application/json")]


def pair(legacy: Any, candidate: Any, number: int = 1, route: str = "orders", **more: Any) -> Pair:
    values: dict[str, Any] = {
        "generation": 1, "route": route, "request_id": f"id-{number}", "at": time() + number / 1000, "method": "GET",
        "target": b"/orders?token=hunter2", "fields": [(b"Authorization", b"Bearer hunter2hunter2")], "body": b"",
        "arm": "candidate", "reason": "percent", "cohorts": ["staff"],
    }  # fmt: skip
    sides = [
        Answer(200, JSON, b if isinstance(b, bytes) else orjson.dumps(b), False, 0.01) for b in (legacy, candidate)
    ]
    return Pair(**{**values, **more}, legacy=sides[0], candidate=sides[1])


def snapshot(store: Path, generation: int = 1, **compare: Any) -> Snapshot:
    document = {
        "store": f"sqlite:///{store}", "upstreams": {"m": {"endpoints": ["http://127.0.0.1:1"]}}, "legacy": "m",
        "routes": [{"id": "orders", "match": {"path": "/orders"}, "candidate": "m", "compare": compare}],
    }  # fmt: skip
    no_overrides: list[Override] = []
    return Snapshot(generation, orjson.dumps(document), no_overrides, "test")


class Rig:
    """A supervisor of one comparator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "banyan.db"
        self.process: asyncio.subprocess.Process
        self.server: asyncio.Server
        self.channel: ipc.Channel[FromChild]
        self.connected = asyncio.Event()
        self.workers: list[ipc.Channel[Any]] = []

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._accept, str(self.folder / "supervisor.sock"))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy.control.comparator", str(self.folder), "0", stderr=asyncio.subprocess.PIPE
        )
        await asyncio.wait_for(self.connected.wait(), 20)
        hello = await self.channel.receive()
        assert isinstance(hello, Hello)
        assert (hello.role, hello.pid) == ("comparator", self.process.pid)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.channel = ipc.Channel(reader, writer, FromChild)
        self.connected.set()

    async def configure(self, message: Snapshot) -> None:
        self.channel.send(message)
        while not (isinstance(ready := await self.channel.receive(), Ready) and ready.generation == message.generation):
            assert ready is not None

    async def worker(self) -> ipc.Channel[Any]:
        channel = await ipc.connect(str(self.folder / "comparator.sock"), Ready)
        self.workers.append(channel)
        return channel

    async def stats(self, total: int) -> ComparatorStats:
        """The figures once ``total`` pairs have a verdict."""
        while True:
            message = await asyncio.wait_for(self.channel.receive(), 20)
            assert message is not None
            if isinstance(message, ComparatorStats) and verdicts(message) >= total:
                return message

    async def ended(self) -> tuple[int, str]:
        _, errors = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode or 0, errors.decode()


def verdicts(stats: ComparatorStats) -> int:
    return sum(sum(route.verdicts.values()) for route in stats.routes.values())


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    await rig.start()
    yield rig
    if rig.process.returncode is None:
        rig.process.kill()
        await rig.process.communicate()
    for channel in [rig.channel, *rig.workers]:
        channel.close()
    rig.server.close()
    await asyncio.sleep(0.01)  # the transports close with the next turn of the loop


async def test_pairs_are_judged_by_the_rules_and_recorded_without_secrets(rig: Rig) -> None:
    (rig.folder / "comparator.sock").write_text("a stale one")
    await rig.configure(snapshot(rig.store, ignore=["$.at"]))
    assert stat.S_IMODE((rig.folder / "comparator.sock").stat().st_mode) == 0o600
    assert os.getpriority(os.PRIO_PROCESS, rig.process.pid) >= 10
    worker = await rig.worker()
    worker.send(pair({"a": 1}, b'{ "a": 1 }'))
    worker.send(pair({"a": 1, "at": 1}, {"a": 1, "at": 2}))
    worker.send(pair({"a": 1, "password": "hunter2"}, {"a": "1", "password": "hunter3"}))
    worker.send(pair(b"[" * 100_000, b"[]"))
    worker.send(pair({"at": 1}, {"at": 2}, route="unknown-route"))
    stats = await rig.stats(5)
    assert stats.routes["orders"].verdicts == {"matched": 1, "ignored": 1, "mismatched": 1, "incomparable": 1}
    assert stats.routes["orders"].incomparable == {"too-deep": 1}
    assert stats.routes["unknown-route"].verdicts == {"mismatched": 1}
    assert stats.generation == 1
    rig.process.send_signal(signal.SIGTERM)  # for the supervisor, which drains it
    rig.channel.send(Drain(0.0, 1.0))
    assert await rig.ended() == (0, "")
    assert not any(b"hunter" in file.read_bytes() for file in rig.folder.glob("banyan.db*"))
    with closing(open_database(rig.store)) as connection:
        log = DiffLog(connection)
        rows = {row["path"]: row for row in log.fingerprints("orders")}
        assert set(rows) == {"$.a", "$.password"}
        assert rows["$.a"]["share"] == pytest.approx(1 / 3)
        sample = log.sample(rows["$.a"]["samples"][0])
        assert sample is not None
        assert (sample["arm"], sample["reason"], sample["cohorts"]) == ("candidate", "percent", ["staff"])
        assert sample["kind"] == "type"
        assert "changed from int to str" in sample["deepdiff"]
        assert ["~", '  "a": 1,', '  "a": "1",'] in sample["side_by_side"]
        assert "hunter" not in str(sample)


async def test_a_new_snapshot_brings_new_rules(rig: Rig) -> None:
    await rig.configure(snapshot(rig.store))
    worker = await rig.worker()
    worker.send(pair({"at": 1}, {"at": 2}))
    await rig.stats(1)
    await rig.configure(snapshot(rig.store, 2, ignore=["$.at"]))
    worker.send(pair({"at": 1}, {"at": 2}))
    stats = await rig.stats(2)
    assert stats.routes["orders"].verdicts == {"mismatched": 1, "ignored": 1}
    assert stats.generation == 2


async def test_a_flood_is_counted_pair_by_pair_and_drained(rig: Rig) -> None:
    await rig.configure(snapshot(rig.store))
    workers = [await rig.worker() for _ in range(2)]
    for number in range(3000):
        workers[number % 2].send(pair({"items": [{"v": n} for n in range(20)]}, {"items": [{"v": -1}] * 20}, number))
    stats = await rig.stats(3000)
    assert verdicts(stats) == 3000
    assert set(stats.routes["orders"].incomparable) <= {"queue-full"}
    rig.channel.send(Drain(0, 1))
    assert await rig.ended() == (0, "")
    with closing(open_database(rig.store)) as connection:
        log = DiffLog(connection)
        assert log.verdict_totals()["orders"] == stats.routes["orders"].verdicts
        (row,) = log.fingerprints()
        assert row["count"] == stats.routes["orders"].verdicts["mismatched"]
        assert len(row["samples"]) == 20


async def test_junk_from_a_worker_ends_that_connection_only(rig: Rig) -> None:
    await rig.configure(snapshot(rig.store))
    reader, writer = await asyncio.open_unix_connection(str(rig.folder / "comparator.sock"))
    writer.write(b"\x00\x00\x00\x04junk")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await writer.wait_closed()
    worker = await rig.worker()
    worker.send(pair({"a": 1}, {"a": 2}))
    assert verdicts(await rig.stats(1)) == 1


async def test_a_store_that_is_away_costs_records_only(rig: Rig) -> None:
    blocked = rig.folder / "in-the-way"
    blocked.write_text("")
    await rig.configure(snapshot(blocked / "banyan.db"))
    worker = await rig.worker()
    worker.send(pair({"a": 1}, {"a": 2}))
    stats = await rig.stats(1)
    while not stats.store_dropped:
        stats = await rig.stats(1)
    assert stats.store_dropped == {"store-error": 1}
    rig.channel.send(Drain(0.0, 1.0))
    code, errors = await rig.ended()
    assert code == 0
    assert [orjson.loads(line)["event"] for line in errors.splitlines()] == ["store-lost"]


async def test_it_leaves_when_the_supervisor_is_gone(rig: Rig) -> None:
    await rig.configure(snapshot(rig.store))
    rig.channel.close()
    assert (await rig.ended())[0] == 0


async def test_drain_before_any_configuration_ends_it(rig: Rig) -> None:
    rig.channel.send(Drain(0.0, 1.0))
    assert (await rig.ended())[0] == 0


def test_the_queue_is_bounded_by_what_pairs_take_with_their_heads(tmp_path: Path) -> None:
    comparator = Comparator(tmp_path, 0)
    head = [(b"x-%d" % number, b"v" * 300) for number in range(200)]
    for number in range(MAX_QUEUED_PAIRS):
        made = pair({}, {}, number, fields=head)
        made.legacy.fields = made.candidate.fields = head
        comparator._take(made)
    assert len(comparator._queue) < MAX_QUEUED_PAIRS
    held = sum(len(one.fields) * 300 * 3 for one, _ in comparator._queue)
    assert held < comparator._queued_bytes <= MAX_QUEUED_BYTES
