"""What a histogram tells of the durations in it.

Law: nothing is told more exactly than it was measured: inside a bucket durations are taken as spread evenly, and beyond
the last bound only that bound is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proxy.messages import DURATION_BUCKETS_SECONDS, Histogram


class Quantile(NamedTuple):
    """A quantile and the bucket that it lies in. ``value`` is interpolated between ``low`` and ``high``; ``high`` is
    infinite in the last bucket, and ``low`` in the first one of differences: then ``value`` is the other bound."""

    value: float
    low: float
    high: float


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float, least: float) -> Quantile | None:
    """The value below which ``share`` of the observations lie; None without observations.

    ``counts`` has one more entry than ``bounds``, its upper bounds; ``least`` is the lower bound of the first bucket.
    """
    total = sum(counts)
    if not total:
        return None
    rank, below, low = share * total, 0, least
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            value = bound if low == -INFINITE else low + (bound - low) * max(0.0, rank - below) / count
            return Quantile(value, low, bound)
        below += count
        low = bound
    return Quantile(low, low, INFINITE)


INFINITE = float("inf")


def percentile(histogram: Histogram, share: float) -> float:
    """The duration in seconds below which ``share`` of the observations lie; 0.0 without observations."""
    found = quantile(histogram.counts, DURATION_BUCKETS_SECONDS, share, 0.0)
    return found.value if found else 0.0
