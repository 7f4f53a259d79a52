"""The access log: one line for each request, written beside the traffic.

Law: nothing on the path of a request waits for a disk or for whoever reads the log. A request leaves its record in a
bounded queue; a thread makes lines of records and writes them. What the queue has no place for is dropped and counted.
A file that cannot be written is tried again every second: until then the queue fills, above its bound records are
dropped and counted, and the process log says so once a minute.

Several workers append to one file or write to one pipe. A write holds whole lines, and so few bytes that the kernel
does not mix them with another's. Only a disk that fills up can tear a line; it is written again, whole, on a line of
its own.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic

from proxy.telemetry.access_line import MAX_WRITE_BYTES, AccessRecord, encode, trim
from proxy.telemetry.logs import log_line

FLUSH_SECONDS = 0.1
"""How long a record waits at most until its line is made, while lines are taken. To wake a thread for each request
would cost the request more than its line does."""
RETRY_SECONDS = 1.0
TELL_SECONDS = 60.0
"""Between two lines about the same trouble."""
FILE_WRITE_BYTES = 16 * 1024
"""Lines of one write to a regular file, where an append of any length is one piece. Not more, because the interpreter
belongs to this thread while it makes them (about 0.2 ms)."""
FILE_MODE = 0o640
"""Who asked for what is nobody else's business; collectors of logs read by their group."""
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""O_NONBLOCK is for a named pipe without a reader, which is a trouble to tell of and not one to wait in."""
STANDARD_OUTPUT = "-"
NEVER = float("inf")


class AccessLog:
    """Writes to ``file`` (``-``: standard output), with at most ``queue`` records waiting.

    :meth:`write` is for one thread, the worker's loop; the others may be called from any.
    """

    def __init__(self, file: str, queue: int) -> None:
        self._records: deque[AccessRecord] = deque()
        self._bound = queue
        self._half = queue // 2
        self._refused = 0  # counted by who writes
        self._wake = threading.Event()
        self._file = file
        self._stale = True  # the file is to be opened, or opened again
        self._closing = False
        # what follows is the thread's
        self._lost = 0
        self._fd = -1  # -1: there is none that takes lines
        self._write_bytes = MAX_WRITE_BYTES
        self._open_at = 0.0  # monotonic; when the file is to be opened
        self._lines: deque[bytes] = deque()  # made, and not written yet
        self._torn = False  # the last thing in the file is a part of our first line
        self._trouble = ""
        self._told = 0  # of ``dropped``
        self._told_at = -TELL_SECONDS
        self._told_trouble = False
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that have no line, since the start."""
        return self._refused + self._lost

    def write(self, record: AccessRecord) -> None:
        """Leave a record to be written; never waits, never raises."""
        waiting = len(self._records)
        if waiting >= self._bound:
            self._refused += 1
            return
        trim(record)
        self._records.append(record)
        if waiting == self._half:
            self._wake.set()

    def reopen(self, file: str | None = None, queue: int | None = None) -> None:
        """Open the file anew, because it was renamed; or another one, or with another bound. Returns at once."""
        if queue is not None and not self._closing:
            self._bound, self._half = queue, queue // 2
        if file is not None:
            self._file = file
        self._stale = True
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so long; what is left then is dropped and counted.

        It blocks, so while a loop still serves it belongs into a thread.
        """
        self._closing, self._bound = True, 0
        self._wake.set()
        self._thread.join(seconds)
        left = len(self._records)
        self._records.clear()
        self._refused += left
        if left:
            log_line("warning", "access-log-cut", file=self._file, lines=left)

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing  # looked at first: what came before it is written below
            if self._stale:
                self._stale, self._torn, self._open_at = False, False, 0.0
            if self._open_at <= monotonic() or (closing and self._fd < 0):
                self._open()
            if self._fd >= 0:
                self._write_out()
            if closing:
                self._lost += len(self._lines)
            self._tell(last=closing)
            self._rest()

    def _rest(self) -> None:
        """Wait for work: half a queue of it, or a tenth of a second's; without a file, until the next attempt."""
        until = monotonic() + FLUSH_SECONDS if self._fd >= 0 else self._open_at
        while not self._closing and not self._stale and (left := until - monotonic()) > 0:
            woken = self._wake.wait(left)
            self._wake.clear()
            if woken and self._fd >= 0:
                return

    def _open(self) -> None:
        """Open the file that is wanted and let go of the one before, which goes on if that fails."""
        self._open_at, self._trouble = NEVER, ""
        fd = 1
        if self._file != STANDARD_OUTPUT:
            try:
                with suppress(FileExistsError):  # a file stands there: "Not a directory", says the next line better
                    Path(self._file).parent.mkdir(parents=True, exist_ok=True)
                fd = os.open(self._file, OPEN_FLAGS, FILE_MODE)
                os.set_blocking(fd, True)
            except OSError as error:
                self._failed(error)
                return
        self._let_go()
        self._fd = fd
        regular = fd > 1 and stat.S_ISREG(os.fstat(fd).st_mode)
        self._write_bytes = FILE_WRITE_BYTES if regular else MAX_WRITE_BYTES

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd > 1:
            os.close(fd)

    def _failed(self, error: OSError) -> None:
        self._trouble = error.strerror or str(error)
        self._open_at = monotonic() + RETRY_SECONDS

    def _write_out(self) -> None:
        """Write until nothing waits, or until the file takes no more; what was not written stays."""
        while data := self._batch():
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:  # whoever shares our standard output has made it so
                select.select([], [self._fd], [], RETRY_SECONDS)
                if self._closing or self._stale:
                    return
                continue
            except OSError as error:
                self._failed(error)
                self._let_go()
                return
            self._settle(written)

    def _batch(self) -> bytes:
        """The next lines, as many as one write may hold; made of records as they are needed."""
        data = bytearray(b"\n" if self._torn else b"")
        taken = 0
        while True:
            if taken == len(self._lines) and not self._make_line():
                break
            line = self._lines[taken]
            if taken and len(data) + len(line) > self._write_bytes:
                break
            data += line
            taken += 1
        return bytes(data) if taken else b""

    def _make_line(self) -> bool:
        """Make the next record a line; False if none waits."""
        while True:
            try:
                self._lines.append(encode(self._records.popleft()))
            except IndexError:
                return False
            except Exception as error:  # noqa: BLE001 - a bug in one line must not end the log
                self._lost += 1
                log_line("error", "access-log-internal-error", error=repr(error))
            else:
                return True

    def _settle(self, written: int) -> None:
        """Forget the lines that are in the file; the one that was cut off is written again as a whole."""
        written -= self._torn
        if written < 0:
            return
        self._torn = False
        while self._lines and written >= len(self._lines[0]):
            written -= len(self._lines.popleft())
        self._torn = written > 0

    def _tell(self, *, last: bool) -> None:
        """One line about a trouble when it begins, one a minute while it lasts, one when it has ended; and at the end
        one with the sum, if there is more to it than was told."""
        dropped = self.dropped
        if not self._trouble and self._told_trouble:
            log_line("info", "access-log-back", file=self._file, dropped=dropped)
            self._told_trouble, self._told = False, dropped
        elif dropped > self._told if last else self._trouble_to_tell(dropped):
            why = self._trouble or "more requests than the disk or the reader of the log can take"
            log_line(
                "error", "access-log-trouble", file=self._file, why=why, dropped=dropped, waiting=len(self._records)
            )
            self._told_at, self._told, self._told_trouble = monotonic(), dropped, bool(self._trouble)

    def _trouble_to_tell(self, dropped: int) -> bool:
        return (self._trouble != "" or dropped > self._told) and monotonic() - self._told_at >= TELL_SECONDS
