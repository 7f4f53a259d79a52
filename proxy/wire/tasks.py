"""The one way to start a task: named, referenced until it ends, and its death is never silent."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run ``work`` beside the caller. An exception that nobody awaits is written to standard error once."""
    task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        lines = "".join(traceback.format_exception(error, limit=-3)).replace("\n", " | ")
        sys.stderr.write(f"banyan: task {task.get_name()} died: {lines}\n")
