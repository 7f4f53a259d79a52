"""Noise: the places in which legacy differs from itself.

Law: pure; decided on rates with a minimum of samples, never on one pair. What differs between the sides much more often
than within legacy is no noise, so a regression in a noisy place is still reported.

The rule and its defaults are those that Diffy made known: more than 20 % relative and 0.03 % absolute difference.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import orjson

from proxy.compare.matchers import Matcher, compare
from proxy.config.comparing import MatcherName, Noise

Look = MatcherName | Literal["other"]


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
    return float(weight * 0.5 ** (max(0.0, age) / half_life))


def lacks_samples(selfs: float, rule: Noise) -> bool:
    """Whether legacy was compared with itself too rarely to say what is noise. To the whole comparison: a weight fades
    from its first second on, so that ``min_samples`` of them would never be enough."""
    return round(selfs) < rule.min_samples


def is_noise(rates: Rates, rule: Noise) -> bool:
    """Whether a difference is noise: seen within legacy, and between the sides not much more often than there."""
    raw, noise = rates.rate or 0.0, rates.noise_rate or 0.0
    if lacks_samples(rates.selfs, rule) or noise <= 0.0:
        return False
    more = raw - noise
    return not (more / (raw + noise) > rule.relative and more > rule.absolute)


def look(legacy: str, again: str) -> Look:
    """The matcher that would have called two values of legacy's equal, as shown; ``other``: none would, or they are not
    shown whole as JSON."""
    if legacy.startswith(MASKED) or again.startswith(MASKED):
        return "opaque" if legacy.startswith(MASKED) and again.startswith(MASKED) else "other"
    try:
        one, two = orjson.loads(legacy), orjson.loads(again)
    except orjson.JSONDecodeError:
        return "other"
    for name in _LOOKS:
        if compare(Matcher(name), one, two) == "equal":
            return name
    return "other"


MASKED = "«masked"
_LOOKS: tuple[MatcherName, ...] = ("timestamp", "uuid", "number", "url-without-host", "opaque")
