"""One line of JSON on standard error per thing worth telling.

Law: a line is a line. Whatever bytes a field holds, the output is printable ASCII on one line, of bounded length, and
no event can flood it: each kind of event has a bucket of lines, and what went over is told later as one counted line.
Logging never raises and never stops the caller.

Nothing here knows what is secret: callers log names, counts and reasons, not field values of requests.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

Level = Literal["info", "warning", "error"]

BURST_LINES = 10.0
"""Lines per kind of event that pass at once."""
LINES_PER_SECOND: dict[Level, float] = {"info": 1.0, "warning": 10.0, "error": 10.0}
"""Sustained lines per kind of event. Of what is nobody's trouble fewer: anybody on the network may cause it."""
TELL_SECONDS = 1.0
"""How often it is told what was suppressed."""
MAX_EVENTS = 256
"""Kinds of event with a bucket of their own; further kinds share one bucket."""
MAX_FIELDS = 32
"""Fields of one line; further ones are left out and counted in ``fields_dropped``."""
MAX_TEXT = 1000
"""Characters of one text value; a longer one is cut and ends in three dots."""


class _Bucket:
    __slots__ = ("suppressed", "tokens", "updated")

    def __init__(self, now: float) -> None:
        self.tokens = BURST_LINES
        self.updated = now
        self.suppressed = 0


def _write_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


class Log:
    """A writer of lines with its buckets, for any thread. A process has one, the module's; tests make their own.

    ``write`` takes whole lines with their newline, ``clock`` is monotonic and ``wall`` epoch, both in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None] = _write_stderr,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._clock = clock
        self._wall = wall
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.RLock()  # a finaliser may log in the middle of a line
        self._waiting = False  # some bucket has lines to tell of
        self._swept = clock()
        self.process = "banyan"
        self.lost = 0  # lines that standard error did not take

    def line(self, level: Level, event: str, **fields: object) -> None:
        """Write one line, or count it if its kind of event has had its share."""
        with self._lock:
            self._line(level, event, fields)

    def _line(self, level: Level, event: str, fields: dict[str, object]) -> None:
        now = self._clock()
        if self._waiting and now - self._swept >= TELL_SECONDS:
            self._sweep(now)
        bucket = self._buckets.get(event)
        if bucket is None:
            name = event if len(self._buckets) < MAX_EVENTS else "other"
            bucket = self._buckets.setdefault(name, _Bucket(now))
        bucket.tokens = min(BURST_LINES, bucket.tokens + (now - bucket.updated) * LINES_PER_SECOND[level])
        bucket.updated = now
        if bucket.tokens < 1.0:
            bucket.suppressed += 1
            self._waiting = True
            return
        bucket.tokens -= 1.0
        self._emit(level, event, fields)

    def tell(self) -> None:
        """Tell of what was suppressed, if that was not done a moment ago: else it would wait for the next line."""
        with self._lock:
            now = self._clock()
            if self._waiting and now - self._swept >= TELL_SECONDS:
                self._sweep(now)

    def flush(self) -> None:
        """Tell of what was suppressed so far; for the end of a process."""
        with self._lock:
            if self._waiting:
                self._sweep(self._clock())

    def _sweep(self, now: float) -> None:
        self._swept = now
        self._waiting = False
        for event, bucket in self._buckets.items():
            if bucket.suppressed:
                count, bucket.suppressed = bucket.suppressed, 0
                self._emit("warning", "log-suppressed", {"of": event, "suppressed": count})

    def _emit(self, level: Level, event: str, fields: dict[str, object]) -> None:
        stamp = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        record: dict[str, object] = {
            "at": stamp,
            "level": level,
            "event": _text(event),
            "process": self.process,
            "pid": os.getpid(),
        }
        for name, value in list(fields.items())[:MAX_FIELDS]:
            record[name if name not in record else f"{name}_"] = _plain(value)
        if len(fields) > MAX_FIELDS:
            record["fields_dropped"] = len(fields) - MAX_FIELDS
        text = json.dumps(record, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")
        try:
            self._write(text + "\n")
        except (OSError, ValueError):  # a closed or full standard error must not stop traffic
            self.lost += 1


def _text(value: str) -> str:
    return value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 3] + "..."


def _plain(value: object) -> object:
    """``value`` as something JSON knows: bytes keep every byte (surrogate escapes), objects become their text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value[: 4 * MAX_TEXT]).decode("utf-8", "surrogateescape"))
    if isinstance(value, list | tuple | set | frozenset):
        return [_text(str(item)) for item in list(value)[:MAX_FIELDS]]
    return _text(str(value))


_log = Log()


def log_line(level: Level, event: str, **fields: object) -> None:
    """Write one line of ``event`` (a fixed name such as ``worker-died``) with its fields."""
    _log.line(level, event, **fields)


def log(event: str, **fields: object) -> None:
    """:func:`log_line` at level ``info``."""
    _log.line("info", event, **fields)


def configure(process: str) -> None:
    """Name this process (``supervisor``, ``worker-1``, ``comparator``) in each of its lines."""
    _log.process = process


def tell() -> None:
    """Tell of suppressed lines; call it every second or so."""
    _log.tell()


def flush() -> None:
    """Tell of suppressed lines; call it before the process ends."""
    _log.flush()
