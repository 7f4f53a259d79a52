"""The demo's child processes.

Law: whoever starts a child ends it. :meth:`Children.stop` leaves none behind, whatever state they are in; each child
has a process group of its own, so that a Ctrl-C on the terminal reaches the demo only, and the demo ends the rest.
What a child prints goes to a file; its last lines are shown when it does not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 8.0
LOOK_SECONDS = 0.02
LINES_SHOWN = 8

_URL = re.compile(r"https?://[\w.\[\]:-]+:\d+")


class NotStarted(Exception):  # noqa: N818 - its text is the message for the person at the terminal
    """A child ended, or said nothing, before it served."""


class Child:
    """One process; ``urls`` are those that its first line with any named."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, start: int) -> None:
        self.name = name
        self.process = process
        self.urls: list[str] = []
        self._log = log
        self._start = start  # where this run's output begins in the log

    def output(self) -> str:
        """Everything that it has printed."""
        return self._log.read_bytes()[self._start :].decode("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Signal the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class Children:
    """All children of the demo; their logs lie in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Child] = []

    async def start(
        self, name: str, module: str, *options: str, urls: int = 1, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Run a Python module and wait until it has printed one line with at least ``urls`` URLs.

        Raises NotStarted with the child's last words if it ends before, or takes longer than START_SECONDS.
        """
        child = self._spawn(name, [sys.executable, "-m", module, *options], environment or {})
        for _ in range(int(START_SECONDS / LOOK_SECONDS)):
            ended = child.process.poll() is not None  # asked first, so that the last words are read as well
            for line in child.output().splitlines(keepends=True):
                child.urls = _URL.findall(line) if line.endswith("\n") else []
                if len(child.urls) >= urls:
                    return child
            if ended:
                break
            await asyncio.sleep(LOOK_SECONDS)
        code = child.process.poll()
        what = f"did not serve within {START_SECONDS:.0f} s" if code is None else f"ended with exit code {code}"
        words = child.output().splitlines()[-LINES_SHOWN:] or ["(it printed nothing)"]
        raise NotStarted("\n".join([f"{name} {what}; its last words:", *(f"    {line}" for line in words)]))

    def _spawn(self, name: str, command: list[str], environment: Mapping[str, str]) -> Child:
        log = self._folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own modules, and no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                start_new_session=True,
            )
            child = Child(name, process, log, output.tell())
        self._started.append(child)
        return child

    def dead(self) -> list[str]:
        """Who has ended."""
        return [child.name for child in self._started if child.process.poll() is not None]

    async def kill(self, child: Child) -> None:
        """Let a child die at once, as a crash would."""
        child.signal(signal.SIGKILL)
        await asyncio.to_thread(child.process.wait)
        self._started.remove(child)

    def stop(self) -> None:
        """End all children, the last started first; those that do not go within STOP_SECONDS are killed."""
        for child in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
            try:
                child.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                sys.stderr.write(f"{child.name} did not end within {STOP_SECONDS:.0f} s and was killed\n")
            child.signal(signal.SIGKILL)  # also what it may have left behind
            child.process.wait()
        self._started.clear()
