"""The ledger of a service: who asked it for what, on disk before it answers.

Law: :meth:`Ledger.append` returns when its line is on the disk, so whatever was answered is in the ledger, also after
SIGKILL. Lines of requests that came together share one fsync. A torn last line was never answered.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proxy.wire.tasks import spawn

AUTHORITATIVE = "-"
SHADOW = "shadow"


class Entry(NamedTuple):
    """One request that a service has seen whole. No field holds a space."""

    id: str
    method: str
    mark: str
    """``-``: the answer is for the client; ``shadow``; or the reason of a fallback."""
    request_id: str
    """Banyan's X-Request-ID."""
    flaw: str
    """What was wrong with the request as it arrived; ``ok`` if nothing was."""

    @property
    def shadow(self) -> bool:
        """Its answer is not for the client."""
        return self.mark == SHADOW


class Ledger:
    """The writing end, in the service's process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b" torn\n")  # an earlier life of this service ended in the middle of a line
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._busy = False

    async def append(self, entry: Entry) -> None:
        """Write the entry; returns when the disk has it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.append((" ".join(entry) + "\n").encode())
        self._waiting.append(future)
        if not self._busy:
            self._busy = True
            spawn(self._flush(), "ledger")
        await future

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._lines:
            lines, self._lines = b"".join(self._lines), []
            waiting, self._waiting = self._waiting, []
            await loop.run_in_executor(None, self._write, lines)
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        self._busy = False

    def _write(self, lines: bytes) -> None:
        os.write(self._file, lines)
        os.fdatasync(self._file)


class Reader:
    """The reading end: each call of :meth:`new` yields what came since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[Entry]:
        """Whole entries only; torn ones are passed over."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].decode().splitlines():
            fields = line.split(" ")
            if len(fields) == len(Entry._fields):
                yield Entry(*fields)
