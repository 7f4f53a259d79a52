"""Figures in words.

Law: a little is never shown as nothing, and almost all never as all; a bound is never rounded to the better side.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Context

from proxy.messages import DURATION_BUCKETS_SECONDS


def share(value: float | None) -> str:
    """0.0413 -> ``4.1 %``, for tables; what is below 0.1 % is only said to be so. None is a dash."""
    if value is None:
        return "-"
    shown = value * 100
    if 0 < shown < 0.1:
        return "< 0.1 %"
    if 99.9 < shown < 100:
        return "> 99.9 %"
    return f"{shown:.1f} %" if shown % 1 else f"{shown:.0f} %"


def percent(value: float, *, up: bool = False) -> str:
    """0.000123 -> ``0.012 %``: two digits that count, three from 10 % on, four from 99 % on. ``up``: rounded up, for
    what may be at most so much."""
    shown = value * 100
    digits = 2 if abs(shown) < 10 else 3 if abs(shown) <= 99 else 4
    rounding = ROUND_CEILING if up else ROUND_DOWN if shown > 99 else ROUND_HALF_EVEN
    # 12 digits first: 0.1 % is no 0.1000000000000000055 % that would be rounded up
    rounded = Context(prec=digits, rounding=rounding).create_decimal(f"{shown:.12g}")
    return f"{rounded.normalize():f} %"


def number(count: int, what: str) -> str:
    """1, "pair" -> ``1 pair``; 1200 -> ``1,200 pairs``."""
    return f"{count:,} {what}{plural(count, '', 's')}"


def times(ratio: float, limit: float) -> str:
    """1099.2 -> ``1,100 times``: two digits that count, and never an exponent; up to six where it takes them to see
    whether that is above ``limit``."""
    for digits in range(2, 7):
        rounded = Context(prec=digits).create_decimal(ratio)
        if (rounded > limit) == (ratio > limit):
            break
    return f"{rounded.normalize():,f} times"


def plural(count: int, one: str, many: str) -> str:
    """The word that goes with so many."""
    return one if count == 1 else many


def seconds(value: float) -> str:
    """0.0125 -> ``12.5 ms``; -1.5 -> ``-1.5 s``; from the last bound of the histograms on ``≥ 10 s``."""
    if value >= DURATION_BUCKETS_SECONDS[-1]:
        return f"≥ {DURATION_BUCKETS_SECONDS[-1]:g} s"
    return f"{value:.2g} s" if abs(value) >= 0.9995 else f"{value * 1000:.3g} ms"  # from there on it rounds to 1000 ms


def until(text: str) -> str:
    """When something ends, ISO 8601: a day that ends with it is named itself, ``2027-01-01T00:00:00.000Z`` is
    ``2026-12-31``; else ``2026-12-31 18:00 UTC``. What is no time is left as it is."""
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        return text
    end = end.astimezone(UTC) if end.tzinfo else end.replace(tzinfo=UTC)
    if end.timestamp() % 86_400:
        return end.strftime("%Y-%m-%d %H:%M UTC" if not end.second else "%Y-%m-%d %H:%M:%S UTC")
    return (end - timedelta(days=1)).strftime("%Y-%m-%d")
