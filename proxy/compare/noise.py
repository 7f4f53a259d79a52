"""Noise: the places in which legacy differs from itself.

Law: pure; decided on rates with a minimum of samples, never on one pair. What differs between the sides much more often
than within legacy is no noise, so a regression in a noisy place is still reported.

The rule and its defaults are those that Diffy made known: more than 20 % relative and 0.03 % absolute difference.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from proxy.config.comparing import Noise

Look = Literal["timestamp", "uuid", "number", "url-without-host", "opaque", "other"]


class Rates(NamedTuple):
    """How often a difference is seen. All figures are weights that halve with every half-life, so a sighting of today
    counts 1."""

    seen: float  # pairs of both sides that showed it
    compared: float  # pairs of both sides
    self_seen: float  # pairs of legacy with itself that showed it
    selfs: float  # pairs of legacy with itself

    @property
    def rate(self) -> float | None:
        """Share of the compared pairs that showed it; None without any."""
        return min(1.0, self.seen / self.compared) if self.compared > 0 else None

    @property
    def noise_rate(self) -> float | None:
        """The same within legacy."""
        return min(1.0, self.self_seen / self.selfs) if self.selfs > 0 else None


def decayed(weight: float, age: float, half_life: float) -> float:
    """What a weight is worth after ``age`` seconds; ages below 0 change nothing."""
    return weight * 0.5 ** (max(0.0, age) / half_life)


def is_noise(rates: Rates, rule: Noise) -> bool:
    """Whether a difference is noise: seen within legacy, and between the sides not much more often than there."""
    raw, noise = rates.rate or 0.0, rates.noise_rate or 0.0
    if rates.selfs < rule.min_samples or noise <= 0.0:
        return False
    more = raw - noise
    return not (more / (raw + noise) > rule.relative and more > rule.absolute)


_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s?(Z|[+-]\d\d:?\d\d)?"  # RFC 3339, and what is near it
    r"|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"  # RFC 9110 section 5.6.7
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?")
_URL = re.compile(r"https?://[^\s/\"]+[^\s\"]*")
_OPAQUE = re.compile(r"(?=[^\s]*\d)[A-Za-z0-9_+/=.:-]{12,}")


def look(shown: str) -> Look:
    """What a shown value (JSON, or the text of a header) looks like, as a matcher's name; ``other`` has none."""
    if shown.startswith("«masked"):
        return "opaque"
    if _NUMBER.fullmatch(shown):
        return "number"
    text = shown[1:-1] if len(shown) > 1 and shown[0] == shown[-1] == '"' else shown
    for name, pattern in _LOOKS:
        if pattern.fullmatch(text):
            return name
    return "other"


_LOOKS: tuple[tuple[Look, re.Pattern[str]], ...] = (
    ("timestamp", _TIMESTAMP), ("uuid", _UUID), ("url-without-host", _URL), ("opaque", _OPAQUE),
)  # fmt: skip
