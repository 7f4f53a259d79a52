"""Which differences are gone, judged by the kinds of request that they were seen in.

Law: pairs of other kinds say nothing of a difference: a service that is not asked for what is wrong is not repaired. So
each kind, a cell of the coverage, has to be compared enough for itself, and what is not known is not gone. In the
store's thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.compare.inbox import seems_fixed
from proxy.control.ledger import ON_THE_WAY_SECONDS, Ledger
from proxy.core.coverage import OTHER as NO_KIND
from proxy.store.counters import HOUR_SECONDS
from proxy.store.difflog import OTHER, Kept


def gone_by_kind(ledger: Ledger, route: str, likely: Iterable[tuple[Kept, int]]) -> dict[str, int]:
    """Fingerprint -> pairs of its kinds compared without it, of those that are gone. ``likely`` has differences of the
    route, each with the sightings that evidence still knows.

    Kinds are counted by the hour, so only hours that began after the last sighting are without it. Reads all hours
    since the first sighting. Raises sqlite3.Error.
    """
    known = [(kept, still, cells) for kept, still in likely if (cells := _kinds(ledger, kept))]
    if not known:
        return {}
    hours = [
        (hour, tally.coverage())
        for hour, _, tally in ledger.counters.hours(min(kept.first for kept, _, _ in known), route)
    ]
    gone = {}
    for kept, still, cells in known:
        end, total = hour_after(kept.last), 0
        for cell, times in cells.items():
            before = without = 0
            for hour, coverage in hours:
                compared = coverage.get(cell, (0, 0))[1]
                if hour >= end:
                    without += compared
                elif hour > kept.first - HOUR_SECONDS:
                    before += compared
            # Of old sightings the evidence is deleted; those left are taken to be of the kinds that all were of.
            shown = min(max(1, still * times // kept.times), before)
            if not seems_fixed(shown, before, without):
                break
            total += without
        else:
            gone[kept.fingerprint] = total
    return gone


def _kinds(ledger: Ledger, kept: Kept) -> dict[str, int]:
    """Cell of the coverage -> sightings; empty unless each sighting was in a cell of its own kind."""
    cells = ledger.diffs.cells(kept.fingerprint)
    known = OTHER not in cells and NO_KIND not in cells and sum(cells.values()) >= kept.times
    return cells if known else {}


def hour_after(at: float) -> float:
    """When the first hour begins whose figures hold nothing of ``at`` or before; figures come some seconds late."""
    return (int(at + ON_THE_WAY_SECONDS) // HOUR_SECONDS + 1) * HOUR_SECONDS
