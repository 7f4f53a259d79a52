"""The life of the other processes.

Law: a child that dies is started again, after a wait that doubles while it keeps dying; the others keep serving. A
child ends when the supervisor's socket closes, so none outlives the supervisor, not even one that is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from proxy.errors import BanyanError
from proxy.messages import (
    BreakerEvent,
    ComparatorStats,
    Drain,
    Endpoints,
    Expected,
    FromChild,
    Hello,
    Ready,
    Snapshot,
    WorkerStats,
)
from proxy.telemetry import logs
from proxy.telemetry.logs import log_line
from proxy.wire import ipc
from proxy.wire.tasks import spawn

MODULES = {"worker": "proxy.dataplane.worker", "comparator": "proxy.control.comparator"}
"""What a child of each role runs, as ``python -m MODULE RUNTIME_DIR INDEX``."""

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 10.0
HEALTHY_SECONDS = 30.0
"""A child that lived as long is restarted with the first, shortest wait again."""
HELLO_SECONDS = 10.0
START_SECONDS = 30.0
SILENT_SECONDS = 5.0
"""A child that has said nothing for so long is not ready (it tells its figures every second)."""
HUNG_SECONDS = 15.0
"""After so long it is killed, and started again."""
START_DEATHS = 3
"""Deaths of one child before it was ever ready that make the start fail."""
MAX_BACKLOG_BYTES = 32 * 1024 * 1024
"""Messages that a child has not taken; above it the child hangs, and is killed."""

Stats = WorkerStats | ComparatorStats


class Child:
    """One place for a process, and the process that has it now."""

    def __init__(self, role: str, index: int) -> None:
        self.role = role
        self.index = index
        self.process: asyncio.subprocess.Process | None = None
        self.channel: ipc.Channel[FromChild] | None = None
        self.generation = 0
        """The configuration that it said it applies; 0 while it is not ready."""
        self.restarts = 0
        self.heard_at = 0.0
        """When it last said anything, monotonic seconds; figures come every second."""
        self.stats: Stats | None = None

    @property
    def name(self) -> str:
        """For people: ``worker 0``."""
        return f"{self.role} {self.index}"

    @property
    def pid(self) -> int:
        """Of the living process; 0 without one."""
        return self.process.pid if self.process is not None and self.process.returncode is None else 0

    @property
    def ready(self) -> bool:
        """Alive, not silent, and some configuration is applied."""
        return (
            self.pid != 0
            and self.channel is not None
            and self.generation > 0
            and monotonic() - self.heard_at < SILENT_SECONDS
        )


class Children:
    """All children of one supervisor. ``on_stats`` and ``on_gone`` (with the pid) are told what happens to figures,
    ``on_breaker`` what happens to breakers."""

    def __init__(
        self,
        runtime_dir: Path,
        on_stats: Callable[[Stats], None],
        on_gone: Callable[[int], None],
        on_breaker: Callable[[BreakerEvent], None],
    ) -> None:
        self._dir = runtime_dir
        self._on_stats = on_stats
        self._on_gone = on_gone
        self._on_breaker = on_breaker
        self._snapshot: Snapshot | None = None
        self._endpoints: Endpoints | None = None
        self._expected: Expected | None = None
        self._server: asyncio.Server | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._stopping: set[str] = set()  # roles that are not started again
        self.workers: list[Child] = []
        self.comparators: list[Child] = []

    async def start(self, workers: int, snapshot: Snapshot) -> None:
        """Start everything and wait until it serves. Raises BanyanError if it does not come up."""
        self._snapshot = snapshot
        self._server = await asyncio.start_unix_server(self._connected, str(self._dir / "supervisor.sock"))
        self.comparators = [Child("comparator", 0)]
        self.workers = [Child("worker", index) for index in range(workers)]
        children = [*self.comparators, *self.workers]
        self._keepers = [spawn(self._keep(child), f"keep {child.name}") for child in children]
        self._keepers.append(spawn(self._watch(), "watch"))
        await self._until(lambda: all(c.ready or _hopeless(c) for c in children), START_SECONDS)
        for worker in self.workers:  # without a comparator traffic is served all the same, and pairs are dropped
            if not worker.ready:
                raise BanyanError(f"{worker.name} does not start; its own lines above say why")

    def publish(self, snapshot: Snapshot) -> None:
        """Give every child, living or yet to be started, this configuration."""
        self._snapshot = snapshot
        for child in [*self.comparators, *self.workers]:
            if child.channel is not None:
                self._send(child, snapshot)

    def tell(self, endpoints: Endpoints) -> None:
        """Give every worker, living or yet to be started, this word on endpoints."""
        self._endpoints = endpoints
        for child in self.workers:
            if child.channel is not None:
                self._send(child, endpoints)

    def expect(self, expected: Expected) -> None:
        """Give the comparator, living or yet to be started, this word on what is expected."""
        self._expected = expected
        for child in self.comparators:
            if child.channel is not None:
                self._send(child, expected)

    async def settled(self, generation: int, timeout: float) -> bool:  # noqa: ASYNC109 - False is an answer here
        """Wait until every living worker applies ``generation``; False if ``timeout`` seconds were not enough."""
        return await self._until(
            lambda: all(c.generation >= generation for c in self.workers if c.channel is not None), timeout
        )

    async def drain(self, role: str, delay: float, grace: float, limit: float) -> None:
        """Ask the children of one role to finish and leave; kill who is still there after ``limit`` seconds."""
        self._stopping.add(role)
        children = self.workers if role == "worker" else self.comparators
        for child in children:
            if child.channel is not None:
                self._send(child, Drain(delay, grace))
        for child in children:
            if child.pid and child.channel is None:  # it is just starting and serves nobody
                _kill(child)
        if not await self._until(lambda: not any(c.pid or c.channel for c in children), limit):
            for child in children:
                if child.pid:
                    log_line("warning", "child-killed", child=child.name, pid=child.pid, why="not gone in time")
                    _kill(child)
            await self._until(lambda: not any(c.pid for c in children), 1.0)

    async def close(self) -> None:
        """Kill what is left and stop listening."""
        self._stopping |= set(MODULES)
        for child in [*self.workers, *self.comparators]:
            _kill(child)
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for child in [*self.workers, *self.comparators]:
            if child.process is not None:
                _kill(child)
                await child.process.wait()
            if child.channel is not None:
                child.channel.close()
        if self._server is not None:
            self._server.close()

    # -- one child --------------------------------------------------------------------------------------------------

    async def _keep(self, child: Child) -> None:
        wait = BACKOFF_FIRST_SECONDS
        while child.role not in self._stopping:
            born = monotonic()
            code = await self._live(child)
            self._wake()
            if child.role in self._stopping:
                return
            lived = monotonic() - born
            if lived >= HEALTHY_SECONDS:
                wait = BACKOFF_FIRST_SECONDS
            child.restarts += 1
            log_line("error", "child-died", child=child.name, code=code, lived_seconds=round(lived, 1), restart_in=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, BACKOFF_MAX_SECONDS)

    async def _live(self, child: Child) -> int | None:
        """One process from its start to its end; its exit code, None if it could not be started."""
        command = (sys.executable, "-m", MODULES[child.role], str(self._dir), str(child.index))
        try:
            child.process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            log_line("error", "child-not-started", child=child.name, why=str(error))
            return None
        try:
            return await child.process.wait()
        finally:
            child.generation = 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: ipc.Channel[FromChild] = ipc.Channel(reader, writer, FromChild)
        child = None
        hello: FromChild | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await channel.receive()
        if isinstance(hello, Hello):
            child = next((c for c in [*self.workers, *self.comparators] if c.pid == hello.pid), None)
        if child is None or not isinstance(hello, Hello) or self._snapshot is None:
            channel.close()
            return
        if child.role == "worker":
            # A worker begins to serve with its first snapshot; without a comparator it would have to drop its pairs.
            # One that ever died is not waited for: traffic goes on without it.
            await self._until(lambda: all(c.ready or c.restarts for c in self.comparators), START_SECONDS)
        child.channel = channel
        if child.role == "worker" and self._endpoints is not None:
            channel.send(self._endpoints)  # first: it serves with its first snapshot
        channel.send(self._snapshot)
        if child.role == "comparator" and self._expected is not None:
            channel.send(self._expected)
        try:
            while (message := await channel.receive()) is not None:
                self._heard(child, hello.pid, message)
        finally:
            channel.close()
            if child.channel is channel:
                child.channel = None
                child.generation = 0
                child.stats = None
            self._on_gone(hello.pid)  # only now: what it sent last may arrive after it has ended
            self._wake()

    async def _watch(self) -> None:
        """Kill who hangs: it holds connections that another process would serve."""
        while True:
            await asyncio.sleep(1.0)
            logs.tell()
            for child in [*self.comparators, *self.workers]:
                silent = monotonic() - child.heard_at
                if child.pid and child.generation and silent > HUNG_SECONDS:
                    why = f"silent for {silent:.0f} seconds"
                    log_line("error", "child-killed", child=child.name, pid=child.pid, why=why)
                    _kill(child)

    def _heard(self, child: Child, pid: int, message: FromChild) -> None:
        child.heard_at = monotonic()
        if isinstance(message, Ready):
            child.generation = message.generation
            self._wake()
        elif isinstance(message, WorkerStats | ComparatorStats) and message.pid == pid:
            child.stats = message
            self._on_stats(message)
        elif isinstance(message, BreakerEvent) and child.role == "worker":
            self._on_breaker(message)

    def _send(self, child: Child, message: Snapshot | Endpoints | Expected | Drain) -> None:
        if child.channel is None:
            return
        if child.channel.backlog > MAX_BACKLOG_BYTES:
            log_line("error", "child-killed", child=child.name, pid=child.pid, why="it does not read its messages")
            _kill(child)
            return
        child.channel.send(message)

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _until(self, holds: Callable[[], bool], limit: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, limit)):
                while not holds():
                    await self._changed.wait()
        return holds()


def _hopeless(child: Child) -> bool:
    return child.restarts >= START_DEATHS and not child.ready


def _kill(child: Child) -> None:
    if child.pid:
        with suppress(ProcessLookupError):
            os.kill(child.pid, 9)


def worker_count(configured: int | str) -> int:
    """How many workers ``workers: …`` means on this machine: ``auto`` is one per core that we may use."""
    return configured if isinstance(configured, int) else len(os.sched_getaffinity(0))
