"""A ledger keeps what was answered, also over a death in the middle of a line."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.chaos.ledger import Entry, Ledger, Reader


async def test_entries_that_were_appended_together_are_all_read_once(tmp_path: Path) -> None:
    ledger, reader = Ledger(tmp_path / "ledger"), Reader(tmp_path / "ledger")
    entries = [Entry(f"c0w0n{n}", "POST", "-", "r", "ok") for n in range(100)]
    await asyncio.gather(*(ledger.append(entry) for entry in entries))
    assert sorted(reader.new()) == sorted(entries)
    assert list(reader.new()) == []
    await ledger.append(entries[0])
    assert list(reader.new()) == [entries[0]]


async def test_a_torn_line_of_an_earlier_life_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text("c0w0n1 POST - r ok\nc0w0n2 PO")
    reader = Reader(path)
    assert [entry.id for entry in reader.new()] == ["c0w0n1"]
    await Ledger(path).append(Entry("c0w0n3", "POST", "shadow", "r", "ok"))
    (entry,) = reader.new()
    assert (entry.id, entry.shadow) == ("c0w0n3", True)
