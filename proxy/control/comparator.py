"""The comparator: the process that compares the pairs which were not equal byte for byte.

Law: each pair that arrives gets exactly one verdict, which is counted. Nobody waits for this process: when it is
behind, a pair is ``incomparable`` (``queue-full``) without being looked at; no pair, however made, ends it. It is the
only writer of the diff log, and what it writes is redacted first.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import uvloop

from proxy.compare.explain import explain
from proxy.compare.fingerprint import fingerprint
from proxy.compare.record import record
from proxy.compare.result import Budget, Result
from proxy.compare.rules import CompareRules, compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.model import Compare, Settings, settings_from_document
from proxy.messages import ComparatorStats, CompareCounters, Drain, Hello, Pair, Ready, Snapshot
from proxy.store.diff_writer import DiffWriter
from proxy.store.difflog import Seen
from proxy.store.sqlite import store_path
from proxy.telemetry import logs
from proxy.wire import ipc
from proxy.wire.tasks import spawn

MAX_QUEUED_PAIRS = 2000
MAX_QUEUED_BYTES = 128 * 1024 * 1024
MAX_RECORDED = 10
"""Fingerprints of one pair that may keep it as a sample."""

LEISURE = 50
"""Explanations cost more than comparing; with more pairs than this waiting there are none."""

TURN_SECONDS = 0.005
"""How long pairs are compared before the sockets get a turn."""

STATS_SECONDS = 1.0
FLUSH_SECONDS = 3.0
"""To finish the pairs that wait when the process is to end, and as much again for the store."""

NICE = 10


class Judge:
    """Verdicts, counts and records; knows nothing of processes and sockets."""

    def __init__(self, writer: DiffWriter) -> None:
        self.routes: dict[str, CompareCounters] = {}
        self.lost: dict[str, int] = {}
        self._writer = writer
        self._rules: dict[str, CompareRules] = {}
        self._default = compile_rules(Compare())
        self._budget = Budget()

    def configure(self, settings: Settings) -> None:
        """Take the rules of a configuration."""
        self._rules = {route.id: compile_rules(route.compare) for route in settings.routes}
        self._writer.retention = settings.retention

    def count(self, pair: Pair, verdict: str, reason: str = "") -> None:
        """Count the verdict of one pair, here and for the store."""
        counters = self.routes.get(pair.route)
        if counters is None:
            counters = self.routes[pair.route] = CompareCounters()
        counters.verdicts[verdict] = counters.verdicts.get(verdict, 0) + 1
        if reason:
            counters.incomparable[reason] = counters.incomparable.get(reason, 0) + 1
        self._writer.verdict(pair.route, pair.at, verdict)

    def judge(self, pair: Pair, *, leisure: bool) -> Result:
        """Compare one pair, count it and record what is new about it. Never raises."""
        try:
            result = compare_pair(pair, self._rules.get(pair.route, self._default), self._budget, monotonic)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a verdict, and no pair may end the process
            logs.log_line("error", "compare-fault", route=pair.route, error=type(error).__name__)
            result = Result("incomparable", "internal-error")
        self.count(pair, result.verdict, result.reason)
        if result.differences:
            try:
                self._record(pair, result, leisure=leisure)
            except Exception as error:  # noqa: BLE001 - the same; the verdict stands
                logs.log_line("error", "record-fault", route=pair.route, error=type(error).__name__)
                self.lost["record-fault"] = self.lost.get("record-fault", 0) + 1
        return result

    def _record(self, pair: Pair, result: Result, *, leisure: bool) -> None:
        chosen = []
        for found in result.differences:
            key = fingerprint(pair.route, found.kind, found.path)
            at = pair.at
            if self._writer.seen(
                Seen(key, pair.route, found.kind, found.path, at, at, 1, found.legacy, found.candidate)
            ):
                chosen.append(key)
        if not chosen:
            return
        made = record(pair, result, self._budget)
        made["deepdiff"] = explain(made["legacy"]["body"], made["candidate"]["body"]) if leisure else ""
        for item in made["differences"]:
            item["fingerprint"] = fingerprint(pair.route, item["kind"], item["path"])
        for key in chosen[:MAX_RECORDED]:
            self._writer.keep(key, pair.at, made["request_id"], made)


class Comparator:
    """The process's two sockets, its queue and its end."""

    def __init__(self, runtime_dir: Path, index: int) -> None:
        self._dir = runtime_dir
        self._index = index
        self._generation = 0
        self._queue: deque[tuple[Pair, int]] = deque()
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._channels: set[ipc.Channel[Pair]] = set()
        self._judge: Judge | None = None
        self._writer: DiffWriter | None = None

    async def run(self) -> int:
        """Compare until told to stop (Drain, or the supervisor is gone). Returns the exit code."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # what reaches the whole group is for the supervisor to act on
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        supervisor = await ipc.connect(str(self._dir / "supervisor.sock"), Snapshot | Drain)
        supervisor.send(Hello("comparator", self._index, os.getpid()))
        if not await self._first_snapshot(supervisor) or self._judge is None or self._writer is None:
            return 0
        path = self._dir / "comparator.sock"
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._connected, str(path))
        finally:
            os.umask(mask)
        supervisor.send(Ready(self._generation))
        tasks = [
            spawn(self._listen(supervisor, stop), "supervisor"),
            spawn(self._report(supervisor), "report"),
            spawn(self._work(self._judge), "compare"),
        ]
        await stop.wait()
        server.close()
        await self._finish(self._judge, self._writer)
        for task in tasks:
            task.cancel()
        supervisor.send(self._figures())
        await supervisor.flush(1.0)
        return 0

    async def _first_snapshot(self, supervisor: ipc.Channel[Snapshot | Drain]) -> bool:
        message = await supervisor.receive()
        if not isinstance(message, Snapshot):
            return False
        settings = settings_from_document(orjson.loads(message.document))
        # Which pairs are kept need not be unpredictable, only fair.
        choose = random.Random().randrange  # noqa: S311
        self._writer = DiffWriter(store_path(settings.store), settings.retention, choose, _tell)
        self._writer.start()
        self._judge = Judge(self._writer)
        self._apply(message)
        return True

    def _apply(self, snapshot: Snapshot) -> None:
        if self._judge is not None:
            self._judge.configure(settings_from_document(orjson.loads(snapshot.document)))
            self._generation = snapshot.generation

    async def _listen(self, supervisor: ipc.Channel[Snapshot | Drain], stop: asyncio.Event) -> None:
        while isinstance(message := await supervisor.receive(), Snapshot):
            try:
                self._apply(message)
            except ValueError as error:  # it was valid for the supervisor: keep the rules that hold
                logs.log_line("error", "snapshot-refused", generation=message.generation, error=str(error))
                continue
            supervisor.send(Ready(message.generation))
        stop.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: ipc.Channel[Pair] = ipc.Channel(reader, writer, Pair)
        self._channels.add(channel)
        try:
            while (pair := await channel.receive()) is not None:
                self._take(pair)
        finally:
            self._channels.discard(channel)
            channel.close()

    def _take(self, pair: Pair) -> None:
        size = len(pair.body) + len(pair.legacy.body) + len(pair.candidate.body) + 4096
        if len(self._queue) >= MAX_QUEUED_PAIRS or self._queued_bytes + size > MAX_QUEUED_BYTES:
            if self._judge is not None:
                self._judge.count(pair, "incomparable", "queue-full")
            return
        self._queue.append((pair, size))
        self._queued_bytes += size
        self._arrived.set()
        self._idle.clear()

    async def _work(self, judge: Judge) -> None:
        while True:
            await self._arrived.wait()
            self._turn(judge, monotonic() + TURN_SECONDS)
            if not self._queue:
                self._arrived.clear()
                self._idle.set()
            await asyncio.sleep(0)

    def _turn(self, judge: Judge, until: float) -> None:
        while self._queue:
            pair, size = self._queue.popleft()
            self._queued_bytes -= size
            judge.judge(pair, leisure=len(self._queue) < LEISURE)
            if monotonic() > until:
                return

    async def _finish(self, judge: Judge, writer: DiffWriter) -> None:
        """Read what workers still send, compare what waits, count what no time is left for, write everything."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.sleep(2 * TURN_SECONDS)  # what stands in the sockets
                await self._idle.wait()
        while self._queue:
            judge.count(self._queue.popleft()[0], "incomparable", "shutdown")
        for channel in list(self._channels):
            channel.close()
        done = await asyncio.get_running_loop().run_in_executor(None, writer.close, FLUSH_SECONDS)
        if not done:
            logs.log_line("warning", "store-not-flushed", path=str(self._dir))

    async def _report(self, supervisor: ipc.Channel[Any]) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            logs.tell()
            supervisor.send(self._figures())

    def _figures(self) -> ComparatorStats:
        lost = dict(self._judge.lost) if self._judge else {}
        return ComparatorStats(
            pid=os.getpid(),
            generation=self._generation,
            routes=self._judge.routes if self._judge else {},
            store_dropped={**lost, **(self._writer.losses() if self._writer else {})},
            queued=len(self._queue),
        )


def _tell(event: str, text: str) -> None:
    logs.log_line("info" if event == "store-back" else "warning", event, text=text)


def main() -> None:
    """The process: ``python -m proxy.control.comparator RUNTIME_DIR INDEX``."""
    os.nice(NICE)
    logs.configure("comparator")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(Path(sys.argv[1]), int(sys.argv[2])))
    logs.flush()
    sys.exit(code)


async def _run(runtime_dir: Path, index: int) -> int:
    return await Comparator(runtime_dir, index).run()


if __name__ == "__main__":
    main()
