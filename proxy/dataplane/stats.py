"""What a worker counts.

Law: on the path of a request counting is adding to plain integers; names and labels are joined only when the figures
are sent, once a second. Label values come from configuration or from fixed lists, so nothing a client sends can make
the tables grow.
"""

from __future__ import annotations

from bisect import bisect_left

from proxy.messages import DURATION_BUCKETS_SECONDS, Histogram, RouteCounters

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Values of the label ``method``; every other one counts as ``other``."""

_BUCKETS = DURATION_BUCKETS_SECONDS


def count(table: dict[str, int], key: str) -> None:
    """Add one."""
    table[key] = table.get(key, 0) + 1


def observe(table: dict[str, Histogram], key: str, seconds: float) -> None:
    """Put one duration into the histogram of ``key``."""
    histogram = table.get(key)
    if histogram is None:
        histogram = table[key] = Histogram()
    histogram.counts[bisect_left(_BUCKETS, seconds)] += 1
    histogram.total += seconds


class RouteStats:
    """The figures of one route in this worker; they outlive reloads."""

    __slots__ = ("_requests", "counters", "shadows_in_flight")

    def __init__(self) -> None:
        self.counters = RouteCounters()
        self._requests: dict[tuple[str, int, str], int] = {}
        self.shadows_in_flight = 0

    def request(self, method: str, status: int, arm: str, seconds: float) -> None:
        """One request is over, as the client saw it."""
        key = (method, status, arm)
        requests = self._requests
        try:
            requests[key] += 1
        except KeyError:
            if method not in KNOWN_METHODS:
                key = ("other", status, arm)
            requests[key] = requests.get(key, 0) + 1
        observe(self.counters.durations, arm, seconds)

    def upstream(self, name: str, outcome: str, seconds: float | None) -> None:
        """One try on an upstream is over; ``seconds`` to the first byte if it answered."""
        counters = self.counters
        count(counters.upstream_requests, f"{name} {outcome}")
        if seconds is not None:
            observe(counters.upstream_durations, name, seconds)

    def snapshot(self) -> RouteCounters:
        """The counters, with the labels of requests joined."""
        self.counters.requests = {f"{m} {s} {a}": n for (m, s, a), n in self._requests.items()}
        return self.counters
