"""How large a share may really be, of which a sample was seen.

Law: the bounds are those of Clopper and Pearson (1934), one-sided and exact: whatever the real share is, the upper
bound lies below it in at most 1 - ``confidence`` of all samples. Rounding goes to the safe side: an upper bound is
never too low, a lower one never too high, as far as doubles tell.
"""

from __future__ import annotations

import math

_STEPS = 200
"""Steps until a root is found. Halving alone needs some 60; the slope makes it about 8."""
_CLOSE = 1e-12
"""Relative width at which a root is found."""
_TERMS = 2_000_000
"""Terms of the continued fraction; it needs a few times the square root of the smaller parameter."""
_TINY = 1e-300
_EXACT = 15
"""Up to this Stirling's series is not good enough, and the logarithm of the gamma function is."""


def upper(k: int, n: int, confidence: float) -> float:
    """The largest share that still goes with ``k`` hits among ``n``; 1.0 when nothing was seen."""
    _check(k, n, confidence)
    if k >= n:
        return 1.0
    if k == 0:
        return -math.expm1(math.log1p(-confidence) / n)
    return _quantile(k + 1, n - k, confidence)[1]


def lower(k: int, n: int, confidence: float) -> float:
    """The smallest share that still goes with ``k`` hits among ``n``; 0.0 when nothing was seen."""
    _check(k, n, confidence)
    if k == 0:
        return 0.0
    if k >= n:
        return math.exp(math.log1p(-confidence) / n)
    return _quantile(k, n - k + 1, 1 - confidence)[0]


def needed(k: int, threshold: float, confidence: float) -> int:
    """The smallest number of samples in which ``k`` hits leave the upper bound at ``threshold`` or below.

    Raises ValueError for a threshold that is not above 0: no number of samples is enough.
    """
    if not threshold > 0:
        raise ValueError(f"no number of samples shows a share of {threshold}")
    _check(k, k, confidence)
    if threshold >= 1:
        return k
    low, high = k, max(2 * k, math.ceil(1 / threshold))
    while upper(k, high, confidence) > threshold:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper(k, middle, confidence) > threshold:
            low = middle
        else:
            high = middle
    return high


def _check(k: int, n: int, confidence: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    if not 0 < confidence < 1:
        raise ValueError(f"{confidence} is no confidence")


def _quantile(a: int, b: int, share: float) -> tuple[float, float]:
    """Two neighbours between which the beta distribution (a, b) reaches ``share``.

    Newton's steps where they stay between the neighbours, halving elsewhere.
    """
    low, high = 0.0, 1.0
    x = a / (a + b)
    for _ in range(_STEPS):
        reached, density = _beta(x, a, b)
        if reached < share:
            low = x
        else:
            high = x
        if high - low <= _CLOSE * high:
            break
        step = (reached - share) / density if density > 0 else math.inf
        aim = x - step
        # A little beyond the aim: so that the far neighbour comes near, too.
        aim += math.copysign(_CLOSE * x / 4, -step)
        x = aim if low < aim < high else (low + high) / 2
    return low, high


def _beta(x: float, a: int, b: int) -> tuple[float, float]:
    """The regularised incomplete beta function at ``x``, and its slope there."""
    front = math.exp(_log_density(x, a, b))
    if x <= (a + 1) / (a + b + 2):
        reached = front * x * (1 - x) * _fraction(x, a, b) / a
    else:
        reached = 1 - front * x * (1 - x) * _fraction(1 - x, b, a) / b
    return reached, front


def _fraction(x: float, a: int, b: int) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            c = 1 + term / c
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _log_density(x: float, a: int, b: int) -> float:
    """The logarithm of the beta density, without the difference of huge numbers that its definition is.

    It is a binomial probability of a - 1 hits among a + b - 2, in the form of Loader (2000).
    """
    hits, misses = a - 1, b - 1
    n = hits + misses
    log = math.log(n + 1) + _stirling(n) - _stirling(hits) - _stirling(misses)
    log -= _deviance(hits, n * x) + _deviance(misses, n * (1 - x))
    if hits and misses:
        log += 0.5 * (math.log(n / hits) - math.log(2 * math.pi * misses))
    return log


def _deviance(seen: int, mean: float) -> float:
    """seen * log(seen / mean) + mean - seen, precise where both are nearly equal."""
    if seen == 0:
        return mean
    off = (seen - mean) / mean
    if abs(off) > 0.1:
        return seen * math.log(seen / mean) + mean - seen
    # (1 + t) log(1 + t) - t as a series: t^2/2 - t^3/6 + t^4/12 - ...
    total, power = 0.0, off * off
    for i in range(2, 40):
        total += power / (i * (i - 1))
        power *= -off
        if abs(power) < 1e-18 * total:
            break
    return mean * total


def _stirling(n: int) -> float:
    """log(n!) minus Stirling's formula for it; 0 for 0."""
    if n == 0:
        return 0.0
    if n <= _EXACT:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n
