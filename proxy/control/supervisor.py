"""The life of a running Banyan: start, serve, drain.

Law: the supervisor owns the configuration, the admin side and the other processes, and no byte of traffic passes
through it. It leaves within ``drain_delay + grace + 1 s`` of being asked, and takes its children with it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from proxy.config.lint import is_loopback
from proxy.control.addresses import Reservation
from proxy.control.admin import Admin
from proxy.control.breaker_record import BreakerRecord
from proxy.control.children import Children, worker_count
from proxy.control.configuration import Configuration
from proxy.control.figures import Figures
from proxy.control.ledger import Ledger
from proxy.control.operations import Operations
from proxy.errors import BanyanError
from proxy.telemetry import logs
from proxy.telemetry.logs import log_line
from proxy.wire.tasks import spawn

REAP_SECONDS = 0.3
"""After their grace, until workers that are still there are killed."""
COMPARATOR_SECONDS = 0.6
"""At least this long the comparator may write what it has, within the second after the grace."""
MAX_SOCKET_PATH = 80
"""A Unix socket's path may have 107 bytes; names in the folder need the rest."""


def run(path: Path, workers: int | None = None) -> int:
    """Serve ``path`` until SIGTERM or SIGINT. Returns the exit code; raises BanyanError when the start fails."""
    logs.configure("supervisor")
    _raise_descriptor_limit()
    try:
        return asyncio.run(_Supervisor(path, workers).run())
    finally:
        logs.flush()


class _Supervisor:
    def __init__(self, path: Path, workers: int | None) -> None:
        self._path = path
        self._workers = workers
        self._leave = asyncio.Event()  # the first signal
        self._hurry = asyncio.Event()  # the second

    async def run(self) -> int:
        self._catch_signals()
        async with AsyncExitStack() as stack:
            # 1. what can be wrong without touching anything
            configuration = Configuration(self._path, os.environ)
            settings = configuration.settings
            if not settings.admin.tokens and not is_loopback(settings.admin.listen):
                raise BanyanError(
                    f"admin.listen: {settings.admin.listen} is not loopback; it needs admin.tokens, or everybody may "
                    "change routes"
                )
            # 2. what others may hold: addresses, store
            reservation = Reservation(settings.listen)
            stack.callback(reservation.close)
            configuration.resolve(reservation.resolved)
            ledger = Ledger(settings.store)
            stack.push_async_callback(ledger.close)
            await ledger.open()
            # 3. the parts, and what operators had decided before
            runtime_dir = _runtime_dir()
            stack.callback(shutil.rmtree, runtime_dir, ignore_errors=True)
            figures = Figures()
            breakers = BreakerRecord(ledger)
            children = Children(runtime_dir, figures.update, figures.retire, breakers.add)
            operations = Operations(configuration, ledger, children, figures)
            operations.listen = reservation.resolved
            stack.push_async_callback(operations.roster.close)
            await operations.restore()
            # 4. the admin side, not ready yet; then the processes
            admin = Admin(operations)
            stack.push_async_callback(admin.close)
            await admin.start(settings.admin.listen)
            operations.admin = admin.url
            stack.push_async_callback(children.close)
            if not await self._started(operations):
                return 0
            self._announce(operations)
            # 5. serve
            background = [
                spawn(operations.watch(), "watch files"),
                spawn(operations.keep_figures(), "keep figures"),
                spawn(breakers.keep(), "keep breaker events"),
                spawn(operations.inbox.keep(), "keep the inbox"),
            ]
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, lambda: spawn(operations.reload("SIGHUP"), "reload")
            )
            await self._leave.wait()
            # 6. leave
            for task in background:
                task.cancel()
            await self._drain(operations)
            await breakers.save()
        return 0

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number.name)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is something to reload

    def _signalled(self, name: str) -> None:
        (self._hurry if self._leave.is_set() else self._leave).set()
        log_line("info", "leaving", signal=name, at_once=self._hurry.is_set())

    async def _started(self, operations: Operations) -> bool:
        """Start the children; False if a signal came first. Raises BanyanError when they do not come up."""
        count = self._workers or worker_count(operations.configuration.settings.workers)
        starting = spawn(_outcome(operations.start(count)), "start children")
        leaving = spawn(self._leave.wait(), "leave")
        await asyncio.wait({starting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not starting.done():
            starting.cancel()
            return False
        if error := starting.result():
            raise error
        return True

    @staticmethod
    def _announce(operations: Operations) -> None:
        count = len(operations.children.workers)
        where = ", ".join(f"http://{address}" for address in operations.listen)
        word = "worker" if count == 1 else "workers"
        sys.stderr.write(f"banyan: serving on {where} ({count} {word}), admin on {operations.admin}\n")
        sys.stderr.flush()
        log_line("info", "serving", listen=list(operations.listen), admin=operations.admin, workers=count)

    async def _drain(self, operations: Operations) -> None:
        shutdown = operations.configuration.settings.shutdown
        operations.draining = True  # /readyz fails from now on
        end = monotonic() + shutdown.drain_delay + shutdown.grace + 1.0
        work = spawn(self._finish(operations, shutdown.drain_delay, shutdown.grace, end), "drain")
        hurry = spawn(self._hurry.wait(), "hurry")
        await asyncio.wait({work, hurry}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, hurry):
            task.cancel()
        await asyncio.gather(work, hurry, return_exceptions=True)

    @staticmethod
    async def _finish(operations: Operations, delay: float, grace: float, end: float) -> None:
        children = operations.children
        await children.drain("worker", delay, grace, delay + grace + REAP_SECONDS)
        left = max(COMPARATOR_SECONDS, end - monotonic() - 0.1)
        await children.drain("comparator", 0.0, left - 0.1, left)
        await operations.save_figures()


async def _outcome(work: Coroutine[Any, Any, None]) -> BanyanError | None:
    """An error for people as a value: it is raised where somebody waits for it."""
    try:
        await work
    except BanyanError as error:
        return error
    return None


def _raise_descriptor_limit() -> None:
    """As many descriptors as we may have, for us and our children: the usual soft limit of 1,024 is for select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that gives less than it says; then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _runtime_dir() -> Path:
    """A private folder for the sockets between our processes; mkdtemp makes it with mode 0700."""
    made = Path(tempfile.mkdtemp(prefix="banyan-"))
    if len(os.fsencode(made)) > MAX_SOCKET_PATH:
        made.rmdir()
        raise BanyanError(
            f"the temporary folder {made.parent} has too long a name for sockets; set TMPDIR to a shorter one"
        )
    return made
