"""What breakers did, on its way into the record.

Law: a change of a breaker is one event in the store's record, where it is found after a restart (the worker has logged
it). It is written soon, in one transaction with its neighbours: when an upstream dies, every route of every worker has
something to say at the same moment. Nothing waits for it, and of what waits only as much is kept as the store keeps.
"""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.control.ledger import Ledger, StoreLostError
from proxy.messages import BreakerEvent
from proxy.store.events import MAX_BREAKER_EVENTS

GATHER_SECONDS = 0.3
"""How long neighbours are waited for."""
RETRY_SECONDS = 5.0


class BreakerRecord:
    """The changes on their way into the store."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[BreakerEvent] = deque(maxlen=MAX_BREAKER_EVENTS)
        self._news = asyncio.Event()

    def add(self, event: BreakerEvent) -> None:
        """A worker's breaker changed its state."""
        self._waiting.append(event)
        self._news.set()

    async def keep(self) -> None:
        """Put what comes into the store, for as long as Banyan serves."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            if not await self.save():
                self._news.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def save(self) -> bool:
        """Put what waits into the store; False if that is lost, and then it goes on waiting."""
        events = list(self._waiting)
        if not events:
            return True
        self._waiting.clear()
        try:
            await self._ledger.call(lambda: self._ledger.events.append_breaker_events(events))
        except StoreLostError:
            self._waiting = deque([*events, *self._waiting], MAX_BREAKER_EVENTS)
            return False
        return True
