"""A worker process: serves clients, and does nothing else.

Law: no disk, no admin, no comparing beyond byte equality. It is told its configuration by the supervisor, tells its
figures once a second, and ends when the supervisor ends. The comparator may come and go; pairs for it are dropped while
it is away.

Run as ``python -m proxy.dataplane.worker RUNTIME_DIR INDEX``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import signal
import socket
import sys
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any, cast

import uvloop

from proxy.config.model import AccessLog as AccessLogSettings
from proxy.config.model import settings_from_document
from proxy.core.snapshot import build_snapshot
from proxy.dataplane.asking import owed
from proxy.dataplane.connection import refuse, serve
from proxy.dataplane.request_body import ReplayMemory
from proxy.dataplane.runtime import Runtime
from proxy.dataplane.stats import RouteStats, count
from proxy.dataplane.upstreams import Upstreams
from proxy.errors import ExchangeError, FailureKind
from proxy.messages import Drain, Endpoints, Hello, Pair, Ready, Snapshot, WorkerStats
from proxy.telemetry import logs
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.logs import log_line
from proxy.wire import ipc
from proxy.wire.downstream import ClientConnection
from proxy.wire.fiber import NEVER, Fiber
from proxy.wire.outbox import Outbox
from proxy.wire.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_SECONDS = 0.1
"""How late a deadline may be noticed."""
STATS_SECONDS = 1.0
COMPARATOR_RETRY_SECONDS = 0.5
COMPARATOR_BACKLOG_BYTES = 32 * 1024 * 1024
"""Pairs that the comparator has not taken; above it they are dropped."""
MAX_PAIR_BYTES = ipc.MAX_MESSAGE_BYTES - 2 * 1024 * 1024
"""The bodies of one pair; the comparator refuses a larger message. A request's head may be 1 MiB."""
ACCESS_LOG_SECONDS = 2.0
"""For what still waits in the access log's queue when it is closed."""
ROOM_LOOKS = 64
"""Connections that are looked at for an idle one when the cap is reached: looking at all would cost too much."""
TURNED_AWAY = 64
"""Refused clients that may take their time to read why; further ones are closed at once, which resets those that have
sent something already."""
RESERVE = 4
"""New clients leave a quarter of the descriptors free: those that are served need connections to upstreams."""
OWN_DESCRIPTORS = 32
"""For the event loop, listeners, logs and the sockets to our other processes."""
EXHAUSTED_TELL_SECONDS = 60.0
"""Between two lines about descriptors that are all in use."""
LISTEN_BACKLOG = 4096
GC_THRESHOLD = (50_000, 20, 50)
"""Requests make almost no cycles: collecting less often keeps pauses out of p99 (docs/performance.md)."""


class Worker:
    """The state of one worker process."""

    def __init__(self, runtime_dir: Path, index: int) -> None:
        self._dir = runtime_dir
        self._index = index
        self._outbox = Outbox(asyncio.get_running_loop())
        self._upstreams = Upstreams(self._outbox)
        self._endpoints: Endpoints | None = None
        self._stats: dict[str, RouteStats] = {}
        self._servers: list[asyncio.Server] = []
        self._clients: dict[ClientConnection, None] = {}  # in the order of their last look
        self._turned_away: set[ClientConnection] = set()
        self._descriptors = 0  # connections that there may be before new clients are too much
        self._exhausted_told = -EXHAUSTED_TELL_SECONDS
        self._look_at_descriptors()
        self._comparator: ipc.Channel[None] | None = None
        self._supervisor: ipc.Channel[Any] | None = None
        self._access_log_dropped = 0  # of logs that are closed
        self._over = asyncio.Event()
        self.runtime: Runtime
        self.access_log: AccessLog | None = None
        self.replay_memory = ReplayMemory()
        self.id_prefix = b"%016x" % random.getrandbits(64)
        self.shadows: set[Fiber] = set()
        self.shadow_bytes = 0
        self.waiting = 0  # writes that wait for the time of their reads
        self.followed = 0.0  # seconds that shadows took of the event loop, beyond their share of the sweeps until now
        self._owed, self._used = 0.0, thread_time()  # of them, and of the CPU until then, at the last sweep
        self.lag = 0.0  # seconds, of the last sweep
        self.due = NEVER  # the next one; sockets are heard before clocks, so it may be late already
        self.in_flight = 0
        self.ambiguous = 0
        self.refused: dict[str, int] = {}
        self.draining = False
        self.closing = False
        self.date = formatdate(usegmt=True).encode()

    # -- for the exchange -----------------------------------------------------------------------------------------

    def route_stats(self, route_id: str) -> RouteStats:
        """The figures of a route; they outlive reloads."""
        stats = self._stats.get(route_id)
        if stats is None:
            stats = self._stats[route_id] = RouteStats()
        return stats

    def late(self, now: float) -> float:
        """How late the event loop is, in seconds: at its last sweep, or with the one that should have been by now."""
        return max(self.lag, now - self.due)

    def send_pair(self, pair: Pair) -> str:
        """Hand a pair to the comparator; returns why it was dropped instead, or an empty text."""
        channel = self._comparator
        if channel is None:
            return "comparator-down"
        if channel.backlog > COMPARATOR_BACKLOG_BYTES:
            return "comparator-behind"
        if len(pair.legacy.body) + len(pair.candidate.body) + len(pair.body) > MAX_PAIR_BYTES:
            return "memory"
        channel.send(pair)
        return ""

    # -- clients --------------------------------------------------------------------------------------------------

    def _opened(self, client: ClientConnection) -> None:
        why = self._too_much()
        if not why:
            self._clients[client] = None
            client.fiber.start(serve(client, self))
            return
        linger = len(self._turned_away) < min(TURNED_AWAY, self._descriptors // 8)
        self._turned_away.add(client)
        client.fiber.start(refuse(client, self, ExchangeError(FailureKind.OVERLOADED, detail=why), linger=linger))

    def _too_much(self) -> str:
        """Why there is no place for a new client, in words; an empty text if there is."""
        bound, late = self.runtime.overload.refuse_lag, self.late(monotonic())
        if 0 < bound < late:
            return f"the event loop is {late:.1f} seconds late"
        most = self.runtime.limits.connections
        if len(self._clients) >= most and not self._make_room():
            return f"{most} connections"
        if self._outbox.open > self._descriptors and not self._make_room():
            return "few descriptors are left"
        return ""

    def _make_room(self) -> bool:
        """Close a connection that waits for its next request, so that who has one now is served.

        It stays among ours until it is gone: one that does not take its last bytes is cut by the sweep, and counts.
        """
        for client in list(islice(self._clients, ROOM_LOOKS)):
            self._clients[client] = self._clients.pop(client)  # to the end: another call looks at others
            if not client.serving and not client.pending and client.abort_at == NEVER:
                client.close()
                count(self.refused, "idle-closed")
                return True
        return False

    def _closed(self, client: ClientConnection) -> None:
        self._clients.pop(client, None)
        self._turned_away.discard(client)
        if self.closing and not self._clients:
            self._over.set()

    def _make_client(self) -> ClientConnection:
        return ClientConnection(self._outbox, self._opened, self._closed)

    # -- configuration --------------------------------------------------------------------------------------------

    async def _apply(self, message: Snapshot) -> None:
        first = not self._servers
        settings = settings_from_document(json.loads(message.document))
        snapshot = build_snapshot(settings, message.generation, message.overrides)
        now = monotonic()
        self.runtime = Runtime(snapshot, self._upstreams, self.route_stats, message.instance, now)
        if self._endpoints is not None:
            self._upstreams.tell(self._endpoints, now)
        self._open_access_log(settings.access_log)
        if first:
            for address in settings.listen:
                await self._listen(address)
            gc.collect()
            gc.freeze()

    def _open_access_log(self, settings: AccessLogSettings | None) -> None:
        log = self.access_log
        if settings is None:
            if log is not None:
                self.access_log = None
                counted = log.dropped
                self._access_log_dropped += counted
                spawn(self._close_access_log(log, counted), "close the access log")
        elif log is None:
            self.access_log = AccessLog(settings.file, settings.queue)
        else:
            log.reopen(settings.file, settings.queue)

    async def _close_access_log(self, log: AccessLog, counted: int) -> None:
        await asyncio.to_thread(log.close, ACCESS_LOG_SECONDS)
        self._access_log_dropped += log.dropped - counted  # what closing had no time for

    async def _listen(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host or "0.0.0.0", int(port)))  # noqa: S104 - an empty host is the operator's word for all addresses
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        # A protocol by its methods: compiled classes do not inherit from asyncio's.
        make = cast("Callable[[], asyncio.BaseProtocol]", self._make_client)
        self._servers.append(await loop.create_server(make, sock=sock, backlog=LISTEN_BACKLOG))

    # -- time -----------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        self.due = monotonic() + SWEEP_SECONDS
        while True:
            await asyncio.sleep(max(0.0, self.due - monotonic()))
            now = monotonic()
            self.lag = max(0.0, now - self.due)
            self.due = now + SWEEP_SECONDS
            self.date = formatdate(usegmt=True).encode()
            try:
                self._keep_time(now)
            except Exception as error:  # noqa: BLE001 - a bug in one connection must not stop everybody's clocks
                log_line("error", "sweep-internal-error", error=repr(error))

    def _keep_time(self, now: float) -> None:
        """Resume whoever waits too long, cut who does not take its last bytes, close what is idle too long."""
        before, self._used = self._used, thread_time()
        self.followed = self._owed = owed(self.followed, self._owed, self._used - before)
        for clients in (self._clients, self._turned_away):
            for client in [c for c in clients if c.fiber.deadline <= now]:
                client.fiber.sweep(now)
            for client in [c for c in clients if c.abort_at <= now]:
                client.abort()
        for fiber in [f for f in self.shadows if f.deadline <= now]:
            fiber.sweep(now)
        self._upstreams.tick(now)
        for event in self._upstreams.changes(self._index):
            log_line(
                "warning" if event.after == "open" else "info",
                "breaker",
                route=event.route,
                upstream=event.upstream,
                purpose=event.purpose,
                before=event.before,
                after=event.after,
                why=event.why,
                mode=event.mode,
            )
            if self._supervisor is not None:
                self._supervisor.send(event)

    async def _report(self, supervisor: ipc.Channel[Any]) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            logs.tell()
            self._look_at_descriptors()
            supervisor.send(self._figures())

    def _look_at_descriptors(self) -> None:
        """How many may be in use, which an operator may change, and whether all are."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = limit if limit > 0 else sys.maxsize
        self._descriptors = limit - limit // RESERVE - OWN_DESCRIPTORS
        try:
            os.close(os.dup(2))
        except OSError as error:  # who connects now is closed unanswered and uncounted: libuv does that
            now = monotonic()
            if now - self._exhausted_told >= EXHAUSTED_TELL_SECONDS:
                self._exhausted_told = now
                log_line("error", "descriptors-exhausted", limit=limit, why=str(error))

    def _figures(self) -> WorkerStats:
        return WorkerStats(
            worker=self._index,
            pid=os.getpid(),
            generation=self.runtime.generation,
            draining=self.draining,
            connections=len(self._clients),
            in_flight=self.in_flight,
            lag_seconds=self.lag,
            shadows_in_flight=len(self.shadows),
            routes={name: stats.snapshot() for name, stats in self._stats.items()},
            refused=self.refused,
            ambiguous=self.ambiguous,
            breakers=self._upstreams.breaker_figures(monotonic()),
            upstreams=self._upstreams.figures(),
            access_log_dropped=self._access_log_dropped + (self.access_log.dropped if self.access_log else 0),
            replay_refused=self.replay_memory.refused,
        )

    async def _keep_comparator(self) -> None:
        while True:
            try:
                channel = await ipc.connect(str(self._dir / "comparator.sock"), Ready)
            except OSError:
                await asyncio.sleep(COMPARATOR_RETRY_SECONDS)
                continue
            self._comparator = channel
            await channel.receive()  # it says nothing: this ends when it does
            self._comparator = None
            channel.close()

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until the supervisor says drain or goes away. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):  # a terminal's Ctrl-C is for the supervisor, which drains us
            loop.add_signal_handler(number, lambda: None)
        supervisor = await ipc.connect(str(self._dir / "supervisor.sock"), Snapshot | Endpoints | Drain)
        self._supervisor = supervisor
        supervisor.send(Hello("worker", self._index, os.getpid()))
        tasks: list[asyncio.Task[None]] = []
        while True:
            message = await supervisor.receive()
            if message is None:
                return 1
            if isinstance(message, Drain):
                break
            if isinstance(message, Endpoints):
                self._endpoints = message
                self._upstreams.tell(message, monotonic())
                continue
            await self._apply(message)
            supervisor.send(Ready(message.generation))
            if not tasks:
                tasks = [
                    spawn(self._sweep(), "sweep"),
                    spawn(self._report(supervisor), "report"),
                    spawn(self._keep_comparator(), "comparator"),
                ]
        await self._drain(message)
        if tasks:
            supervisor.send(self._figures())
        await supervisor.flush(1.0)
        return 0

    async def _drain(self, drain: Drain) -> None:
        self.draining = True
        await asyncio.sleep(drain.delay)
        for server in self._servers:
            server.close()
        self.closing = True
        for client in list(self._clients):
            client.fiber.wake()  # idle ones close, the others finish first
        if self._clients:
            try:
                async with asyncio.timeout(drain.grace):
                    await self._over.wait()
            except TimeoutError:
                log_line("warning", "drain-cut", connections=len(self._clients))
                for client in list(self._clients):
                    client.abort()
        if self._comparator is not None:
            await self._comparator.flush(1.0)
        if self.access_log is not None:
            await asyncio.to_thread(self.access_log.close, ACCESS_LOG_SECONDS)


def main() -> None:
    """The process: ``python -m proxy.dataplane.worker RUNTIME_DIR INDEX``."""
    gc.set_threshold(*GC_THRESHOLD)
    logs.configure(f"worker-{sys.argv[2]}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(Path(sys.argv[1]), int(sys.argv[2])))
    logs.flush()
    os._exit(code)  # what is left are idle connections of the pools; nothing needs finalising


async def _run(runtime_dir: Path, index: int) -> int:
    return await Worker(runtime_dir, index).run()


if __name__ == "__main__":
    main()
