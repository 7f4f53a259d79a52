"""What the tests of the sources share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dnsmasq import Dnsmasq
from scripted_api import Api, serving

from proxy.control.discovery import kubernetes
from proxy.control.discovery.source import Answer, Source, SourceLostError


@pytest.fixture
def dnsmasq(needs: Callable[[str], str], tmp_path: Path) -> Iterator[Dnsmasq]:
    made = Dnsmasq(needs("dnsmasq"), tmp_path)
    yield made
    made.stop()


class Answers:
    """The answers of one ``watch()``."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    async def next(self) -> Answer:
        return await anext(self._answers)

    async def until(self, *urls: str) -> Answer:
        """Answers up to the one that has exactly these endpoints."""
        while (answer := await self.next()).keys() != set(urls):
            pass
        return answer

    async def lost(self) -> str:
        """The source raises, after whatever answers: why."""
        try:
            async for _ in self._answers:
                pass
        except SourceLostError as error:
            return str(error)
        raise AssertionError("the source ended without a word")


@pytest.fixture
def watching() -> Any:
    """``async with watching(source) as answers``"""

    @asynccontextmanager
    async def open_(source: Source) -> AsyncIterator[Answers]:
        answers = source.watch()
        try:
            yield Answers(answers)
        finally:
            await answers.aclose()

    return open_


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """An API server; sources ask it anew at once."""
    monkeypatch.setattr(kubernetes, "MIN_PAUSE_SECONDS", 0.01)
    made = Api()
    runner = await serving(made)
    yield made
    for watch in made.watches:
        watch.put_nowait(None)
    await runner.cleanup()
