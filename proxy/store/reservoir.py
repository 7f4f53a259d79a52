"""Which pairs are kept as samples of a difference.

Law: at most so many are kept as there are places; while places are free every pair gets one. After that only the first
few of each minute are candidates, each with the same chance (reservoir sampling, Vitter's algorithm R), so a burst of
thousands in one minute weighs no more than a trickle.
"""

from __future__ import annotations

from collections.abc import Callable

MINUTE_SECONDS = 60
PER_MINUTE = 2
"""Candidates of one minute."""


class Reservoir:
    """The samples of one fingerprint. ``ids`` are those kept."""

    __slots__ = ("_candidates", "_minute", "_of_minute", "ids")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._candidates = 0
        self._minute = -1
        self._of_minute = 0

    @classmethod
    def resumed(cls, count: int, first: float, last: float) -> Reservoir:
        """As it is after ``count`` sightings between ``first`` and ``last`` (seconds since the epoch), as far as that
        can be known: there cannot have been more candidates than fit into the time."""
        made = cls()
        minutes = int(last) // MINUTE_SECONDS - int(first) // MINUTE_SECONDS + 1
        made._candidates = min(count, PER_MINUTE * minutes)
        return made

    def chosen(self, at: float, places: int, below: Callable[[int], int]) -> bool:
        """Count a sighting at ``at`` (seconds since the epoch); True if it is to be kept, see :meth:`take`.

        ``below(n)`` chooses a number from 0 to n - 1.
        """
        minute = int(at) // MINUTE_SECONDS
        if minute != self._minute:
            self._minute, self._of_minute = minute, 0
        self._of_minute += 1
        if len(self.ids) < places:
            self._candidates += 1
            return True
        if self._of_minute > PER_MINUTE:
            return False
        self._candidates += 1
        return below(self._candidates) < places

    def take(self, sample_id: str, places: int, below: Callable[[int], int]) -> list[str]:
        """Keep a sample, in the place of a random one if there are enough; the ids that make room."""
        gone = []
        while len(self.ids) >= places:
            gone.append(self.ids.pop(below(len(self.ids))))
        self.ids.append(sample_id)
        return gone
