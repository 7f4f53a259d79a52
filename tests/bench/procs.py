"""Processes of the benchmark: started pinned, watched through /proc, ended with everything below them.

Law: whatever is started here is dead when ``Processes`` is left, also after Ctrl-C or an error. CPU time and time spent
waiting for a core are read from ``/proc/PID/task/*/schedstat``, so they cost the measured process nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Usage:
    """CPU time and time spent runnable but waiting for a core, both in seconds since the processes began."""

    cpu: float
    waited: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.cpu - earlier.cpu, self.waited - earlier.waited)


class Processes:
    """A set of child processes. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for child in reversed(self._children):
            self.stop(child)

    def start(self, name: str, argv: list[str], cores: Iterable[int]) -> subprocess.Popen[bytes]:
        """Start a process on these cores. What it prints goes to ``NAME.log`` in the folder."""
        wanted = set(cores)

        def prepare() -> None:
            os.sched_setaffinity(0, wanted)
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # a killed benchmark leaves nothing behind either

        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - the benchmark has no threads
            )
        self._children.append(child)
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """SIGTERM, three seconds, then SIGKILL for it and for all that came from it."""
        if child not in self._children:
            return
        family = [child.pid, *descendants(child.pid)]
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(3)
        for pid in family:
            if pid != child.pid and not alive(pid):
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid == child.pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)
        child.wait()
        self._children.remove(child)

    def log_tail(self, name: str, size: int = 600) -> str:
        """The last bytes of what a process printed, for error messages."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-size:].strip() if path.exists() else ""


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """The process ids below this one, children first."""
    found: list[int] = []
    for task in _tasks(pid):
        try:
            children = [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def command_line(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def pin(pid: int, cores: Iterable[int]) -> None:
    """Move every thread of a running process to these cores."""
    wanted = set(cores)
    for task in _tasks(pid):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), wanted)


def usage(pids: Iterable[int]) -> Usage:
    """CPU time and waiting time of all threads of these processes."""
    cpu = waited = 0
    for pid in pids:
        for task in _tasks(pid):
            try:
                fields = (task / "schedstat").read_text().split()
            except OSError:
                continue
            cpu += int(fields[0])
            waited += int(fields[1])
    return Usage(cpu / 1e9, waited / 1e9)


def resident(pids: Iterable[int]) -> int:
    """Resident bytes of these processes together."""
    total = 0
    for pid in pids:
        for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Poll until true; false when the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ready():
            return True
        time.sleep(0.05)
    return False


def _tasks(pid: int) -> list[Path]:
    try:
        return list((Path("/proc") / str(pid) / "task").iterdir())
    except OSError:
        return []
