"""What breakers did is kept over a restart, and waits for a store that is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.control import breaker_record
from proxy.control.breaker_record import BreakerRecord
from proxy.control.ledger import Ledger
from proxy.messages import BreakerEvent
from proxy.store.events import MAX_BREAKER_EVENTS
from proxy.wire.tasks import spawn


def event(number: int, after: str = "open") -> BreakerEvent:
    return BreakerEvent(
        0, f"r{number}", "orders", "traffic", "closed", after, f"why {number}", "enforce", float(number)
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for long."""
    monkeypatch.setattr(breaker_record, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(breaker_record, "RETRY_SECONDS", 0.01)


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """An open store."""
    made = Ledger(f"sqlite:///{tmp_path}/x.db")
    await made.open()
    yield made
    await made.close()


async def reasons(ledger: Ledger) -> list[str]:
    return [kept.reason for kept in await ledger.call(lambda: ledger.events.recent(5000, kind="breaker"))]


async def test_a_change_is_one_event_that_survives_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    record = BreakerRecord(ledger)
    record.add(event(1))
    record.add(event(2, "closed"))
    assert await record.save()
    again = Ledger(f"sqlite:///{tmp_path}/x.db")
    await again.open()
    assert await reasons(again) == ["why 2", "why 1"]
    await again.close()


async def test_events_wait_for_a_store_that_is_lost(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record = BreakerRecord(ledger)
    append: Callable[[list[BreakerEvent]], None] = ledger.events.append_breaker_events
    lost = True

    def failing(events: list[BreakerEvent]) -> None:
        if lost:
            raise sqlite3.OperationalError("disk is full")
        append(events)

    monkeypatch.setattr(ledger.events, "append_breaker_events", failing)
    record.add(event(1))
    assert not await record.save()
    record.add(event(2))
    lost = False
    keeping = spawn(record.keep(), "keep")
    while await reasons(ledger) != ["why 2", "why 1"]:
        pass
    keeping.cancel()


async def test_a_flood_is_bounded_in_memory_and_on_disk(ledger: Ledger) -> None:
    record = BreakerRecord(ledger)
    for number in range(5 * MAX_BREAKER_EVENTS):
        record.add(event(number))
    assert len(record._waiting) == MAX_BREAKER_EVENTS
    assert await record.save()
    kept = await reasons(ledger)
    assert (len(kept), kept[0]) == (MAX_BREAKER_EVENTS, f"why {5 * MAX_BREAKER_EVENTS - 1}")
