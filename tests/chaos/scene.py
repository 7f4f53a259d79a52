"""What a chaos run is played with: services, the wires to them, and Banyan, all on loopback and all real.

Law: whatever is started here is gone when the scene is left, whoever was stopped or killed in between. A service keeps
its port and its ledger over all its lives. Banyan speaks to services through wires only; orders to a service go past
them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from tests.bench.procs import Processes, alive, descendants
from tests.chaos.ledger import Reader
from tests.chaos.payload import Side
from tests.chaos.routes import LEGACY

sys.path.insert(0, str(Path(__file__).parents[1]))  # faults finds its neighbours where tests do
from faults import FaultProxy
from ports import free_port

START_SECONDS = 30.0
STOP_SECONDS = 12.0
"""Above the grace of the configuration, and a second."""
CALL_SECONDS = 10.0
"""For one answer of the admin side, which may wait for workers to settle."""
ROOT = str(Path(__file__).parents[2])
SERVICE = f"import sys; sys.path.insert(0, {ROOT!r}); from tests.chaos.service import main; main()"
"""A service's program: its working directory is the scene's folder, from where it would not find itself."""


ANNOUNCED = re.compile(r"^banyan: serving on http://([\d.]+):(\d+).* admin on (\S+)", re.MULTILINE)


class SceneError(Exception):
    """The scene could not be set: nothing was checked."""


class Service:
    """One service process with its ledger."""

    def __init__(self, processes: Processes, folder: Path, name: str, *, ledger: bool = True) -> None:
        self.name = name
        self.side: Side = "legacy" if name == LEGACY else "candidate"
        self.port = free_port()
        self.deaths = 0
        self._processes = processes
        self._ledger = str(folder / f"{name}.ledger") if ledger else "-"
        self.entries = Reader(Path(self._ledger))
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def up(self) -> bool:
        """The process runs; it may be stopped."""
        return self._child is not None and self._child.poll() is None

    async def start(self) -> None:
        """Begin a life; returns when it serves."""
        if not self.up:
            argv = [sys.executable, "-c", SERVICE, self.side, str(self.port), self._ledger]
            self._child = self._processes.start(self.name, argv, os.sched_getaffinity(0))
        by = monotonic() + START_SECONDS
        while monotonic() < by:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.02)
        raise SceneError(f"{self.name} does not serve: {self._processes.log_tail(self.name)}")

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        if self._child is not None and self.up:
            self._child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        if self._child is not None and self.up:
            self._child.kill()
            self._child.wait()
            self.deaths += 1

    async def misbehave(self, **shares: float) -> None:
        """Orders, see :class:`tests.chaos.service.Mode`; none: behave. Nobody there to hear them: the next life
        behaves."""
        body = json.dumps(shares).encode()
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"PUT /-/mode HTTP/1.1\r\nHost: chaos\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await reader.readuntil(b"\r\n\r\n")
                writer.close()


class Banyan:
    """``banyan run`` with two workers."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.file = folder / "banyan.yaml"
        self._folder = folder
        self._processes = processes
        self._child: subprocess.Popen[bytes] | None = None
        self.address = ("127.0.0.1", 0)
        self.admin = ""
        self._session: aiohttp.ClientSession | None = None

    async def start(self, document: dict[str, Any]) -> None:
        """Begin; returns when it serves."""
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))
        argv = [sys.executable, "-m", "proxy", "run", str(self.file)]
        self._child = self._processes.start("banyan", argv, os.sched_getaffinity(0))
        log = self._folder / "banyan.log"
        by = monotonic() + START_SECONDS
        while monotonic() < by and self._child.poll() is None:
            if match := ANNOUNCED.search(log.read_text()):
                self.address, self.admin = (match[1], int(match[2])), match[3]
                self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))
                return
            await asyncio.sleep(0.05)
        raise SceneError(f"banyan does not serve: {self._processes.log_tail('banyan', 2000)}")

    async def call(self, method: str, path: str, body: object | None = None) -> tuple[int, str]:
        """One request to the admin side; 0 and why if there was no answer."""
        assert self._session is not None
        try:
            sent = {} if method == "POST" and body is None else body
            async with self._session.request(method, self.admin + path, json=sent) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error)

    async def pids(self, role: str) -> list[int]:
        """The living processes of a role ("workers", "comparators"), if all of them are ready; else none."""
        status, text = await self.call("GET", "/api/status")
        children = json.loads(text)[role] if status == 200 else []
        return [child["pid"] for child in children] if all(child["up"] for child in children) else []

    def hup(self) -> None:
        """Ask for a reload by signal."""
        if self._child is not None:
            self._child.send_signal(signal.SIGHUP)

    async def leave(self) -> int | None:
        """SIGTERM; the exit code, None if it is still there after its time."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._child is None:
            return None
        self._child.terminate()
        by = monotonic() + STOP_SECONDS
        while monotonic() < by and self._child.poll() is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.05)
        return self._child.poll()

    async def close(self) -> None:
        """For the end of a scene that was not played to its end."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Scene:
    """Everything, started in order. Use it as an asynchronous context manager.

    ``names`` are the services to start; ``document`` makes Banyan's configuration from their addresses. Without
    ``wired`` Banyan speaks to them directly: wires cost more of a core than Banyan.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        names: Iterable[str],
        document: Callable[[Mapping[str, str]], dict[str, Any]],
        *,
        ledgers: bool = True,
        wired: bool = True,
    ) -> None:
        self.folder = folder
        self._document = document
        self._stack = AsyncExitStack()
        self._processes = Processes(folder)
        self.services = {name: Service(self._processes, folder, name, ledger=ledgers) for name in names}
        self.wires = {name: FaultProxy(each.port, seed) for name, each in self.services.items() if wired}
        self.banyan = Banyan(self._processes, folder)

    async def __aenter__(self) -> Self:
        try:
            self._stack.enter_context(self._processes)
            self._stack.callback(self._let_go)
            urls = {}
            for name, service in self.services.items():
                await service.start()
                urls[name] = f"http://127.0.0.1:{service.port}"
                if name in self.wires:
                    await self._stack.enter_async_context(self.wires[name])
                    urls[name] = self.wires[name].url
            self._stack.push_async_callback(self.banyan.close)
            await self.banyan.start(self._document(urls))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _let_go(self) -> None:
        """Who is stopped cannot leave."""
        for service in self.services.values():
            service.send(signal.SIGCONT)
        for pid in descendants(os.getpid()):
            if alive(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
