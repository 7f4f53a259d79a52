"""Everything that is known of one cycle, and the form of what is found in it.

Law: a cycle ends in quiet, so its evidence is whole: no request of it is under way, and none of the next has begun.
Processes that were killed took what they had in memory with them; that is documented loss, and how much it can have
been is worked out here, from the moments of the kills and from what was under way then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from proxy.core.identity import bucket
from tests.chaos.actions import Flip, Kill
from tests.chaos.figures import Figures, Line, Recorded
from tests.chaos.ledger import Entry
from tests.chaos.records import Record
from tests.chaos.routes import BY_ID, CANDIDATES, LEGACY, PERCENT, SALT, SHADOW_TIMEOUT_SECONDS

FIGURES_SECONDS = 1.5
"""A process tells its figures once a second; those of its last second die with it."""
LINES_SECONDS = 0.6
"""The access log's queue is written every 0.1 s; on a slow machine later."""
AFTERMATH_SECONDS = 0.5
"""After a worker's death, until clients have noticed that their connections are gone."""
RECONNECT_SECONDS = 1.0
"""After a comparator's death, until the workers have noticed."""


class Finding:
    """One rule over a whole run: how often it was looked at, and where it did not hold."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.checked = 0
        self.violations: list[str] = []

    def check(self, holds: bool, *what: object) -> None:
        """Look at one case; ``what`` says what it is, and is put into words only if the rule does not hold."""
        self.checked += 1
        if not holds:
            self.violations.append(" ".join(map(str, what)))


@dataclass
class Evidence:
    """One cycle."""

    cycle: int
    records: Sequence[Record]
    entries: Mapping[str, Sequence[Entry]]
    """Service -> its ledger, this cycle's part."""
    figures: Figures = field(default_factory=lambda: Figures({}))
    """What the counters rose by."""
    recorded: Sequence[Recorded] = ()
    """Pairs that came into the diff log."""
    crowded: Mapping[str, int] = field(default_factory=dict)
    """Route -> sightings of fingerprints that have more of them than samples."""
    lines: Sequence[Line] = ()
    kills: Sequence[Kill] = ()
    flips: Sequence[Flip] = ()
    """Of the whole run so far, in order."""
    stalls: Sequence[tuple[float, float]] = ()
    """When the machine had no time for us, from and to: who was slow then need not be at fault."""

    @cached_property
    def by_id(self) -> dict[str, Record]:
        return {record.id: record for record in self.records}

    @cached_property
    def authoritative(self) -> dict[str, list[tuple[str, Entry]]]:
        """Id -> (service, entry) of everything that was asked for a client."""
        return self._entries(LEGACY, *CANDIDATES, shadow=False)

    @cached_property
    def candidate_shadows(self) -> dict[str, list[tuple[str, Entry]]]:
        """Id -> what candidates were asked for comparing only."""
        return self._entries(*CANDIDATES, shadow=True)

    @cached_property
    def legacy_shadows(self) -> dict[str, list[tuple[str, Entry]]]:
        """The same of legacy."""
        return self._entries(LEGACY, shadow=True)

    def _entries(self, *names: str, shadow: bool) -> dict[str, list[tuple[str, Entry]]]:
        found: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
        for name in names:
            for entry in self.entries.get(name, ()):
                if entry.shadow == shadow:
                    found[entry.id].append((name, entry))
        return found

    # -- what kills took away -----------------------------------------------------------------------------------------

    def cut_by_a_kill(self, record: Record) -> bool:
        """Its connection may have been the one of a worker that was killed meanwhile."""
        return any(
            kill.role == "worker" and record.overlaps(kill.at - 0.1, kill.at + AFTERMATH_SECONDS) for kill in self.kills
        )

    def stalled(self, record: Record) -> bool:
        """It was under way while the machine had no time."""
        return any(record.overlaps(begin, end) for begin, end in self.stalls)

    def line_lost(self, record: Record) -> bool:
        """Its line may have died in a worker's queue."""
        return self._near(record, "worker", LINES_SECONDS, AFTERMATH_SECONDS)

    def figures_lost(self, records: Iterable[Record]) -> int:
        """How many of them may be missing in the figures of a killed worker: those that it was answering, and those
        that it had answered and not told yet; a pair counts when its shadow has ended."""
        before = FIGURES_SECONDS + SHADOW_TIMEOUT_SECONDS
        return sum(self._near(record, "worker", before, AFTERMATH_SECONDS) for record in records)

    def pairs_lost(self, records: Iterable[Record]) -> int:
        """How many of them may have been with a comparator that was killed: waiting, or judged and not told yet."""
        before = FIGURES_SECONDS + SHADOW_TIMEOUT_SECONDS
        return sum(self._near(record, "comparator", before, RECONNECT_SECONDS) for record in records)

    def _near(self, record: Record, role: Literal["worker", "comparator"], before: float, after: float) -> bool:
        return any(kill.role == role and record.overlaps(kill.at - before, kill.at + after) for kill in self.kills)

    # -- what was decided ---------------------------------------------------------------------------------------------

    def stage_of(self, record: Record) -> tuple[str, int] | None:
        """(stage, percent) that held during the whole request; None if it changed or nobody knows."""
        route = BY_ID[record.route]
        if route.stage:
            return route.stage, PERCENT
        stage: tuple[str, int] | None = None
        for flip in self.flips:
            if flip.route != route.id:
                continue
            if flip.settled < record.started:
                stage = flip.stage, flip.percent
            elif flip.asked <= record.ended:
                return None
        return stage

    def chosen(self, record: Record, percent: int) -> bool:
        """At stage canary: the candidate is to answer."""
        return record.staff or bucket(SALT, record.user) <= percent


def count_ids(entries: Iterable[Entry]) -> Counter[str]:
    """How often each id stands there."""
    return Counter(entry.id for entry in entries)
