"""The comparator: the process that compares the pairs which were not equal byte for byte.

Law: each pair that arrives gets exactly one verdict, which is counted. Nobody waits for this process: when it is
behind, a pair is ``incomparable`` (``queue-full``) without being looked at; no pair, however made, ends it. It is the
only writer of the diff log, and what it writes is redacted first.
"""

from __future__ import annotations

import asyncio
import gc
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

from proxy.config.model import settings_from_document
from proxy.control.judge import Judge
from proxy.messages import ComparatorStats, Drain, Expected, Hello, Pair, Ready, Snapshot
from proxy.store.diff_writer import DiffWriter
from proxy.store.sqlite import store_path
from proxy.telemetry import logs
from proxy.wire import ipc
from proxy.wire.tasks import spawn

MAX_QUEUED_PAIRS = 2000
MAX_QUEUED_BYTES = 128 * 1024 * 1024
PAIR_BYTES = 4096
FIELD_BYTES = 128
"""What a pair takes besides its bytes, and each of its header fields. A hostile head is hundreds of fields."""
LEISURE = 50
"""Explanations cost more than comparing; with more pairs than this waiting there are none."""

TURN_SECONDS = 0.005
"""How long pairs are compared before the sockets get a turn."""

STATS_SECONDS = 1.0
FLUSH_SECONDS = 3.0
"""To finish the pairs that wait when the process is to end, and as much again for the store."""

NICE = 10

GC_THRESHOLD = (50_000, 20, 50)
"""Parsed bodies are thousands of containers and no cycles: with Python's defaults, looking for cycles in them takes a
third of the time of comparing 100 kB (docs/performance.md)."""


def spare_collector() -> None:
    """Let the garbage collector look less often, and never at what is there already."""
    gc.set_threshold(*GC_THRESHOLD)
    gc.collect()
    gc.freeze()


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
        supervisor = await ipc.connect(str(self._dir / "supervisor.sock"), Snapshot | Expected | Drain)
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

    async def _first_snapshot(self, supervisor: ipc.Channel[Snapshot | Expected | Drain]) -> bool:
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
        spare_collector()
        return True

    def _apply(self, snapshot: Snapshot) -> None:
        if self._judge is not None:
            self._judge.configure(settings_from_document(orjson.loads(snapshot.document)))
            self._generation = snapshot.generation

    async def _listen(self, supervisor: ipc.Channel[Snapshot | Expected | Drain], stop: asyncio.Event) -> None:
        while isinstance(message := await supervisor.receive(), Snapshot | Expected):
            if isinstance(message, Expected):
                if self._judge is not None:
                    self._judge.expect(message)
                continue
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
        size = _size(pair)
        if len(self._queue) >= MAX_QUEUED_PAIRS or self._queued_bytes + size > MAX_QUEUED_BYTES:
            if self._judge is not None:
                self._judge.skip(pair, "queue-full")
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
            judge.skip(self._queue.popleft()[0], "shutdown")
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


def _size(pair: Pair) -> int:
    """About what a pair takes in memory, in bytes."""
    size = PAIR_BYTES + len(pair.target) + len(pair.body) + len(pair.legacy.body) + len(pair.candidate.body)
    for fields in (pair.fields, pair.legacy.fields, pair.candidate.fields):
        for name, value in fields:
            size += FIELD_BYTES + len(name) + len(value)
    return size


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
