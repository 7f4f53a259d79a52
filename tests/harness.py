"""One worker without its supervisor and its comparator: the tests play both.

Law: nothing of the worker is replaced. Its configuration is swapped with :meth:`Worker.apply`, so the tests of a file
share one process; counters are told apart by the ids of routes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ports import free_port
from scripted import (
    LIMIT,
    PATIENCE,
    Act,
    Client,
    Fields,
    Message,
    Upstream,
    chunked,
    ok,
    request,
    reset,
    until,
)  # fmt: skip

from proxy.config.model import settings_from_document
from proxy.messages import (
    BreakerEvent,
    Drain,
    Endpoints,
    EndpointWord,
    Hello,
    Override,
    Pair,
    Ready,
    RouteCounters,
    Snapshot,
    WorkerStats,
)
from proxy.wire.ipc import Channel

__all__ = ["NO_BREAKER", "Act", "Client", "Fields", "Message", "Upstream", "Worker", "chunked",
           "migration", "ok", "plain", "request", "reset", "running", "until"]  # fmt: skip

QUICK_FIGURES = "from proxy.dataplane import worker; worker.STATS_SECONDS = 0.1; worker.main()"
"""The worker's own entry; it only tells its figures ten times as often."""


class Worker:
    """A worker process. The harness is its supervisor and its comparator."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bw"))
        self.port = free_port()
        self.pairs: list[Pair] = []
        self.looks: list[Pair] = []  # what is not to be compared, only looked at
        self.events: list[BreakerEvent] = []
        self.generation = 0
        self.instance = "banyan-test"
        self._newest: WorkerStats | None = None
        self._ready = 0
        self._channel: Channel[Any] | None = None
        self._comparators: list[Channel[Any]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._news = asyncio.Condition()
        self.process: asyncio.subprocess.Process

    async def start(
        self, *, comparator: bool = True, environ: dict[str, str] | None = None, before: str = ""
    ) -> Worker:
        """``before``: what the process does before the worker's own entry, as Python."""
        self._server = await asyncio.start_unix_server(self._supervise, str(self.folder / "supervisor.sock"))
        self._comparing: asyncio.Server | None = None
        if comparator:
            await self.comparator_up()
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                f"{before}{QUICK_FIGURES}",
                str(self.folder),
                "0",
                stderr=stderr,
                env={**os.environ, **(environ or {})},
            )
        await self._wait(lambda: self._channel is not None)
        return self

    async def comparator_up(self) -> None:
        """Begin (again) to take pairs."""
        path = self.folder / "comparator.sock"
        path.unlink(missing_ok=True)
        self._comparing = await asyncio.start_unix_server(self._compare, str(path))

    async def comparator_down(self) -> None:
        """The comparator dies."""
        assert self._comparing is not None
        self._comparing.close()
        for channel in self._comparators:
            channel.close()
        self._comparators.clear()
        (self.folder / "comparator.sock").unlink(missing_ok=True)

    async def _supervise(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: Channel[Any] = Channel(reader, writer, Hello | Ready | WorkerStats | BreakerEvent)
        while True:
            message = await channel.receive()
            async with self._news:
                match message:
                    case None:
                        self._news.notify_all()
                        break
                    case Hello():
                        self._channel = channel
                    case Ready():
                        self._ready = message.generation
                    case WorkerStats():
                        self._newest = message
                    case BreakerEvent():
                        self.events.append(message)
                self._news.notify_all()
        writer.close()

    async def _compare(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: Channel[Pair] = Channel(reader, writer, Pair)
        self._comparators.append(channel)
        while (pair := await channel.receive()) is not None:
            (self.looks if pair.purpose == "seen" else self.pairs).append(pair)
        writer.close()

    async def _wait(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            while not holds():
                if getattr(self, "process", None) is not None and self.process.returncode is not None:
                    raise AssertionError(self.log())
                await self._news.wait()

    async def apply(self, document: dict[str, Any], overrides: list[Override] | None = None) -> int:
        """Swap the configuration and wait until it serves; returns its generation."""
        assert self._channel is not None
        self.generation += 1
        whole = {"listen": f"127.0.0.1:{self.port}", **document}
        settings_from_document(whole)  # a mistake of the test's fails here and not in the worker
        self._channel.send(Snapshot(self.generation, json.dumps(whole).encode(), overrides or [], self.instance))
        await self._wait(lambda: self._ready >= self.generation)
        return self.generation

    async def word(self, upstreams: dict[str, list[EndpointWord]]) -> None:
        """Say what discovery and checks have found; replaces what was said before."""
        assert self._channel is not None
        self._channel.send(Endpoints(upstreams))
        await self.stats()

    async def stats(self) -> WorkerStats:
        """Figures made after this call."""
        self._newest = None
        await self._wait(lambda: self._newest is not None)
        assert self._newest is not None
        return self._newest

    async def route(self, route: str) -> RouteCounters:
        """The counters of one route, made after this call."""
        return (await self.stats()).routes.get(route, RouteCounters())

    async def route_when(self, route: str, holds: Callable[[RouteCounters], Any]) -> RouteCounters:
        """The counters of one route as soon as they fulfil a condition."""
        by = time.monotonic() + PATIENCE
        while True:
            counters = await self.route(route)
            if holds(counters):
                return counters
            assert time.monotonic() < by, counters

    def drain(self, delay: float = 0.0, grace: float = 5.0) -> None:
        assert self._channel is not None
        self._channel.send(Drain(delay, grace))

    def log(self) -> str:
        return (self.folder / "stderr").read_text()

    def rss(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the worker is gone")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def connect(self, **more: Any) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=more.pop("limit", LIMIT), **more))

    async def ask(self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> Message:
        """One request on a connection of its own."""
        async with await self.connect() as client:
            client.get(target, *fields, method=method, body=body)
            return await client.answer(method)

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self._server.close()
        if self._comparing is not None:
            self._comparing.close()
        for channel in [*self._comparators, *([self._channel] if self._channel else [])]:
            channel.close()
        await asyncio.sleep(0.01)
        shutil.rmtree(self.folder, ignore_errors=True)


@asynccontextmanager
async def running(
    document: dict[str, Any] | None = None,
    *,
    comparator: bool = True,
    environ: dict[str, str] | None = None,
    before: str = "",
) -> AsyncIterator[Worker]:
    """A worker of one's own; for ``before`` see :meth:`Worker.start`."""
    worker = Worker()
    try:
        await worker.start(comparator=comparator, environ=environ, before=before)
        if document is not None:
            await worker.apply(document)
        yield worker
    finally:
        await worker.stop()


def plain(upstream: Upstream, *, timeouts: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A configuration without routes: everything goes to ``upstream``."""
    legacy: dict[str, Any] = {"endpoints": [upstream.url]}
    if timeouts:
        legacy["timeouts"] = timeouts
    return {"upstreams": {"legacy": legacy}, "legacy": "legacy", **more}


def migration(legacy: Upstream | str, candidate: Upstream | str, route: str, stage: str, **more: Any) -> dict[str, Any]:
    """A configuration with one route for every path.

    What of ``more`` is in OUTER stands beside it, what is in CANDIDATE at the candidate's upstream, the rest goes into
    the route. ``timeouts`` are for both sides.
    """
    outer = {key: more.pop(key) for key in list(more) if key in OUTER}
    settings = {key: more.pop(key) for key in list(more) if key in CANDIDATE}
    timeouts = outer.pop("timeouts", {})

    def side(upstream: Upstream | str) -> dict[str, Any]:
        url = upstream if isinstance(upstream, str) else upstream.url
        return {"endpoints": [url], **({"timeouts": timeouts} if timeouts else {})}

    return {
        "upstreams": {"legacy": side(legacy), "candidate": {**side(candidate), **settings}},
        "legacy": "legacy",
        "defaults": {"compare": {"noise": {"sample": "0%"}}},  # else chance sends a shadow to legacy now and then
        "routes": [{"id": route, "match": {"path_prefix": "/"}, "candidate": "candidate", "stage": stage, **more}],
        **outer,
    }


OUTER = ("timeouts", "cohorts", "identity", "tester_key", "expose", "shadow_memory", "client_timeouts",
         "trusted_proxies", "ambiguous_paths", "drills", "access_log", "overload")  # fmt: skip
CANDIDATE = ("breaker", "retries", "bulkhead", "outliers", "balance", "adaptive_concurrency", "slow_start", "panic")
NO_BREAKER: dict[str, Any] = {"mode": "off"}
"""For tests that let a candidate fail many times and are about something else."""
