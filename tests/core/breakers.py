"""Breakers in the state that a test wants."""

from typing import Any

from proxy.config.upstreams import Breaker as Settings
from proxy.core.breaker import REFUSED, Breaker

WINDOW, OPEN, MAX_OPEN, PROBES = 10.0, 30.0, 100.0, 3

built = Settings.model_construct
"""Settings with seconds and shares as numbers, as they are after reading."""


def middle() -> float:
    """Chance without jitter."""
    return 0.5


def breaker(**words: Any) -> Breaker:
    given = {"consecutive_failures": 5, "error_share": 0.0, "probes": PROBES, "max_open": MAX_OPEN, **words}
    return Breaker(built(**given))


def ask(machine: Breaker, results: list[bool | None], now: float = 0.0) -> list[int]:
    """One request after the other, each settled before the next."""
    permits = []
    for ok in results:
        permits.append(machine.admit(now, middle))
        machine.settle(permits[-1], ok, now, middle)
    return permits


def opened(now: float = 0.0, **words: Any) -> Breaker:
    machine = breaker(consecutive_failures=1, **words)
    ask(machine, [False], now)
    assert machine.state == "open"
    return machine


def half_opened(now: float = OPEN, **words: Any) -> tuple[Breaker, list[int]]:
    """Open since ``now - OPEN``, with all its probes under way."""
    machine = opened(now - OPEN, **words)
    probes = [machine.admit(now, middle) for _ in range(PROBES)]
    assert machine.state == "half-open"
    assert REFUSED not in probes
    return machine, probes


def settled(machine: Breaker, permits: list[int], ok: bool | None, now: float = OPEN) -> str:
    """The state after all these were settled alike."""
    for permit in permits:
        machine.settle(permit, ok, now, middle)
    return machine.state
