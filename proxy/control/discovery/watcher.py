"""One upstream's source, watched for as long as the configuration names it.

Law: the last good answer is kept, however long the source is lost, and the loss is never silent: it stands in the
status with its reason and its age, and in the log with a line at most once a minute (and one more when it is over). A
lost source is asked again after a pause that doubles and is shortened by chance, so that all Banyans of a deployment do
not come back to it in one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from random import random
from time import monotonic

from proxy.control.discovery.source import Answer, Source, SourceLostError
from proxy.telemetry.logs import log_line
from proxy.wire.tasks import spawn

RETRY_FIRST_SECONDS = 0.5
RETRY_MAX_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A source that held so long begins with the shortest pause again; one that answers and fails at once does not."""
TELL_SECONDS = 60.0
"""Between two lines about losses of one source, however often it comes and goes."""
MAX_ENDPOINTS = 1000
"""Of one upstream; what goes beyond (in the order of their URLs) is left out, and the status says so."""


class Watcher:
    """What one source said last, and how it is. ``told`` is called when the answer has changed."""

    def __init__(self, upstream: str, name: str, source: Source, told: Callable[[], None]) -> None:
        self.name = name
        """For people: ``dns orders.example``."""
        self.answer: Answer | None = None
        """The last good one; None before the first."""
        self.answered_at = 0.0
        """When it was given or confirmed last, monotonic seconds."""
        self.left_out = 0
        """Endpoints of the last answer above MAX_ENDPOINTS."""
        self.lost_at: float | None = None
        """Since when the source is lost, monotonic seconds; None while it is not."""
        self.error = ""
        """Why it was lost the last time; stays when it is back."""
        self.first = asyncio.Event()
        """There is an answer."""
        self._upstream = upstream
        self._source = source
        self._told = told
        self._loss_told_at = -TELL_SECONDS
        self._loss_told = False  # the present loss stands in the log
        self._task = spawn(self._run(), f"discovery of {upstream}")

    def stop(self) -> None:
        """Watch no more; what it said last stays readable."""
        self._task.cancel()

    async def _run(self) -> None:
        pause = RETRY_FIRST_SECONDS
        while True:
            begun = monotonic()
            try:
                async with aclosing(self._source.watch()) as answers:
                    async for answer in answers:
                        self._answered(answer)
                raise SourceLostError("the source ended")
            except SourceLostError as error:
                self._lost(str(error))
            except Exception as error:  # noqa: BLE001 - a bug in one source must not end its upstream's discovery
                self._lost(f"internal error: {error!r}")
            if monotonic() - begun >= STEADY_SECONDS:
                pause = RETRY_FIRST_SECONDS
            await asyncio.sleep(pause * (0.5 + random() / 2))  # noqa: S311 - spreads load, guards nothing
            pause = min(2 * pause, RETRY_MAX_SECONDS)

    def _answered(self, answer: Answer) -> None:
        now = monotonic()
        if self.lost_at is not None:
            if self._loss_told:
                log_line(
                    "info", "discovery-back", upstream=self._upstream, source=self.name, endpoints=len(answer),
                    lost_seconds=round(now - self.lost_at, 1),
                )  # fmt: skip
            self.lost_at, self._loss_told = None, False
        self.answered_at = now
        self.left_out = max(0, len(answer) - MAX_ENDPOINTS)
        answer = {
            url: answer[url] for url in sorted(answer)[:MAX_ENDPOINTS]
        }  # sources shuffle; balancing must not see it
        if answer == self.answer:
            return
        before, self.answer = self.answer, answer
        self.first.set()
        added = sorted(answer.keys() - (before or {}).keys())
        removed = sorted((before or {}).keys() - answer.keys())
        log_line(
            "info" if answer else "warning", "discovery-changed", upstream=self._upstream, source=self.name,
            endpoints=len(answer), added=added, removed=removed, left_out=self.left_out,
        )  # fmt: skip
        self._told()

    def _lost(self, error: str) -> None:
        now = monotonic()
        self.error = error
        if self.lost_at is None:
            self.lost_at = now
        if now - self._loss_told_at < TELL_SECONDS:
            return
        self._loss_told_at, self._loss_told = now, True
        log_line(
            "error", "discovery-lost", upstream=self._upstream, source=self.name, why=error,
            lost_seconds=round(now - self.lost_at, 1),
            endpoints_kept=None if self.answer is None else len(self.answer),
        )  # fmt: skip
