"""The figures of all processes, added up.

Law: a total never goes back. Processes send what they counted since they started; when one is gone, what it sent last
is kept in the base, so a restarted worker begins at zero and the sum does not.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from proxy.control.protection import Protection
from proxy.messages import ComparatorStats, WorkerStats
from proxy.store.tally import Tally, add, add_counts, copy, is_empty, since

Stats = WorkerStats | ComparatorStats


class Figures:
    """Totals over the living and the dead. Its size is bounded by routes and by processes that live.

    ``protection`` has what workers say of upstreams. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.protection = Protection()
        self._live: dict[int, Stats] = {}  # by pid
        self._base: dict[str, Tally] = {}
        self._refused: dict[str, int] = {}
        self._replay_refused: dict[str, int] = {}
        self._ambiguous = 0
        self._store_dropped: dict[str, int] = {}
        self._taken: dict[str, Tally] = {}

    def update(self, stats: Stats) -> None:
        """Take the newest figures of one process."""
        self._live[stats.pid] = stats
        if isinstance(stats, WorkerStats):
            self.protection.update(stats, self._clock())

    def retire(self, pid: int) -> None:
        """The process is gone; keep what it had counted."""
        stats = self._live.pop(pid, None)
        if stats is None:
            return
        _add_routes(self._base, stats)
        self.protection.retire(pid)
        if isinstance(stats, WorkerStats):
            add_counts(self._refused, stats.refused)
            add_counts(self._replay_refused, stats.replay_refused)
            self._ambiguous += stats.ambiguous
        else:
            add_counts(self._store_dropped, stats.store_dropped)

    def totals(self) -> dict[str, Tally]:
        """Per route, everything counted since this Banyan started."""
        total = {route: copy(tally) for route, tally in self._base.items()}
        for stats in self._live.values():
            _add_routes(total, stats)
        return total

    def refused(self) -> dict[str, int]:
        """Requests refused before routing, by reason."""
        total = dict(self._refused)
        for stats in self._live.values():
            if isinstance(stats, WorkerStats):
                add_counts(total, stats.refused)
        return total

    def replay_refused(self) -> dict[str, int]:
        """Request bodies of which no copy was kept, by reason."""
        total = dict(self._replay_refused)
        for stats in self._live.values():
            if isinstance(stats, WorkerStats):
                add_counts(total, stats.replay_refused)
        return total

    def ambiguous(self) -> int:
        """Requests with a path that two parsers could read differently."""
        live = (stats.ambiguous for stats in self._live.values() if isinstance(stats, WorkerStats))
        return self._ambiguous + sum(live)

    def store_dropped(self) -> dict[str, int]:
        """Records that the comparator could not keep, by reason."""
        total = dict(self._store_dropped)
        for stats in self._live.values():
            if isinstance(stats, ComparatorStats):
                add_counts(total, stats.store_dropped)
        return total

    def unsaved(self) -> tuple[dict[str, Tally], dict[str, Tally]]:
        """What came in since the last :meth:`saved`, per route, and the mark to give to it once that is stored."""
        now = self.totals()
        deltas = {route: since(tally, self._taken.get(route, Tally())) for route, tally in now.items()}
        return {route: delta for route, delta in deltas.items() if not is_empty(delta)}, now

    def saved(self, mark: dict[str, Tally]) -> None:
        """The figures up to ``mark`` are in the store."""
        self._taken = mark


def _add_routes(into: dict[str, Tally], stats: Stats) -> None:
    if isinstance(stats, WorkerStats):
        for route, traffic in stats.routes.items():
            add(into.setdefault(route, Tally()), Tally(traffic=traffic))
    else:
        for route, compare in stats.routes.items():
            add(into.setdefault(route, Tally()), Tally(compare=compare))
