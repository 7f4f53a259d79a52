"""What is done to whom and when, in one run: worked out from the seed before anything starts.

Law: the same seed and length give the same plan, to the millisecond. A place has one fault at a time, and every fault
ends with its storm. Nothing here touches a process or a socket.

A cycle has a **calm**, in which only candidates are faulty, a **storm**, in which both sides are, a **recovery** in
which everything heals and nothing is expected yet, and a **clear** in which everything must work. Cycles with an odd
number also kill Banyan's own processes; the others do not, so their figures must be exact.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.routes import CANDIDATES, LEGACY, MOVING

Phase = Literal["calm", "storm", "recovery", "clear"]
PHASES: tuple[Phase, ...] = ("calm", "storm", "recovery", "clear")

CYCLE_SECONDS = 30.0
RECOVERY_SECONDS = 2.0
"""Above the longest time that a breaker stays open and that an endpoint stays ejected, with their jitter."""
CLEAR_SECONDS = 1.0
MIN_CLEAR_SECONDS = 0.5
"""Of a short run."""
MIN_TROUBLE_SECONDS = 1.2
"""A calm or a storm that is shorter would show nothing."""
SETTLED_SECONDS = 0.2
"""At the beginning of each phase nothing happens, so that requests begin in it."""

STAGES = ("legacy", "shadow", "canary", "live")
STAGES_OF_STORMS = (*STAGES, "retired")
"""`retired` has no fallback, so it is not for a calm, where nobody may see an error."""


@dataclass(frozen=True)
class Step:
    """Do ``what`` at ``where`` from ``at`` (seconds after the cycle's beginning) for ``seconds``."""

    at: float
    where: str
    what: str
    seconds: float
    how: Mapping[str, Any]

    def __str__(self) -> str:
        how = " ".join(f"{name}={value}" for name, value in self.how.items())
        return f"{self.at:7.3f} {self.where:12} {self.what:10} {self.seconds:5.2f}s {how}".rstrip()


@dataclass(frozen=True)
class Cycle:
    """One cycle; the phases' ends are seconds after its beginning."""

    number: int
    ends: Mapping[Phase, float]
    steps: tuple[Step, ...]
    kills: bool
    """Banyan's own processes are killed in it."""


def make(seed: int, seconds: float) -> tuple[Cycle, ...]:
    """The plan of a run of about ``seconds``."""
    number = max(2, round(seconds / CYCLE_SECONDS))
    clear = max(MIN_CLEAR_SECONDS, min(CLEAR_SECONDS, seconds / number / 10))
    trouble = max(MIN_TROUBLE_SECONDS, (seconds / number - RECOVERY_SECONDS - clear) / 2)
    return tuple(_cycle(random.Random(f"{seed}/{index}"), index, trouble, clear) for index in range(number))


def _cycle(dice: random.Random, number: int, trouble: float, clear: float) -> Cycle:
    calm, storm = trouble, 2 * trouble
    ends: dict[Phase, float] = {
        "calm": calm, "storm": storm, "recovery": storm + RECOVERY_SECONDS,
        "clear": storm + RECOVERY_SECONDS + clear,
    }  # fmt: skip
    kills = number % 2 == 1
    steps = [*_retire(calm, "legacy"), *_operators(dice, 0.0, calm, STAGES)]
    steps += [*_retire(storm, "legacy"), *_operators(dice, calm, storm, STAGES_OF_STORMS)]
    for place in CANDIDATES:
        steps += _faults(dice, place, SETTLED_SECONDS, storm)
    steps += _faults(dice, LEGACY, calm + SETTLED_SECONDS, storm)
    if kills:
        steps += _kills(dice, storm)
    return Cycle(number, ends, tuple(sorted(steps, key=lambda step: step.at)), kills)


def _span(dice: random.Random, least: float, most: float) -> float:
    return round(dice.uniform(least, most), 3)


def _faults(dice: random.Random, place: str, begin: float, end: float) -> list[Step]:
    """One fault after the other, with pauses."""
    steps, at = [], begin + _span(dice, 0.0, 0.6)
    names, weights = list(FAULTS), [weight for weight, _, _ in FAULTS.values()]
    while at < end - 0.1:
        what = dice.choices(names, weights)[0]
        _, longest, how = FAULTS[what]
        seconds = round(min(_span(dice, 0.2, longest), end - at), 3)
        steps.append(Step(round(at, 3), place, what, seconds, how(dice)))
        at += seconds + _span(dice, 0.05, 1.0)
    return steps


def _retire(at: float, stage: str) -> list[Step]:
    """Before a calm begins, and when a storm is over, no route may be at a stage without a fallback."""
    return [Step(round(at, 3), route, "flip", 0.0, {"stage": stage}) for route in MOVING]


def _operators(dice: random.Random, begin: float, end: float, stages: tuple[str, ...]) -> list[Step]:
    """Flips, roll-backs and reloads."""
    steps, at = [], begin + SETTLED_SECONDS
    while at < end - SETTLED_SECONDS:
        what = dice.choices(("flip", "rollback", "hup", "reload", "broken"), (6, 1, 2, 2, 1))[0]
        if what in ("flip", "rollback"):
            how: dict[str, Any] = {}
            if what == "flip":
                how["stage"] = dice.choice(stages)
                if how["stage"] == "canary":
                    how["percent"] = dice.choice((0, 10, 50, 100))
            steps.append(Step(round(at, 3), dice.choice(MOVING), what, 0.0, how))
        else:
            seconds = min(_span(dice, 0.3, 1.5), max(0.1, end - at)) if what == "broken" else 0.0
            steps.append(Step(round(at, 3), "banyan", what, round(seconds, 3), {}))
            at += seconds
        at += _span(dice, 0.2, 1.6)
    return steps


def _kills(dice: random.Random, end: float) -> list[Step]:
    """Few enough that a worker's restarts, which wait longer each time, come in time."""
    steps, at = [], 0.8
    while at < end - 0.8:
        what = dice.choices(("kill-worker", "kill-comparator", "stop-comparator"), (3, 2, 1))[0]
        seconds = min(_span(dice, 0.3, 2.0), round(end - at, 3)) if what == "stop-comparator" else 0.0
        steps.append(Step(round(at, 3), "banyan", what, seconds, {"which": dice.randrange(2)}))
        at += seconds + _span(dice, 1.5, 5.0)
    return steps


def _way(dice: random.Random) -> str:
    return dice.choice(("up", "down"))


def _latency(dice: random.Random) -> dict[str, Any]:
    return {"way": _way(dice), "latency": _span(dice, 0.0, 0.2), "jitter": _span(dice, 0.0, 0.4)}


def _bandwidth(dice: random.Random) -> dict[str, Any]:
    return {"way": _way(dice), "bandwidth": dice.choice((5_000, 50_000, 500_000))}


def _slice(dice: random.Random) -> dict[str, Any]:
    return {"way": _way(dice), "slice": dice.choice((1, 7, 100, 1000))}


def _limit(dice: random.Random) -> dict[str, Any]:
    return {
        "way": _way(dice),
        "limit": dice.choice((0, 1, 50, 300, 3000, 60_000)),
        "then": dice.choice(("close", "reset", "stall")),
    }


def _share(name: str) -> Callable[[random.Random], dict[str, Any]]:
    return lambda dice: {name: dice.choice((0.1, 0.5, 1.0))}


def _nothing(dice: random.Random) -> dict[str, Any]:
    return {}


FAULTS: dict[str, tuple[int, float, Callable[[random.Random], dict[str, Any]]]] = {
    # on the wire: how often, for how long at most, how
    "latency": (3, 2.0, _latency),
    "bandwidth": (2, 1.5, _bandwidth),
    "slice": (2, 1.0, _slice),
    "stall": (3, 2.0, lambda dice: {"way": _way(dice)}),
    "limit": (4, 1.5, _limit),
    "reset": (3, 0.2, _nothing),
    "refuse": (3, 1.5, lambda dice: {"cut": dice.random() < 0.5}),
    "slow-close": (1, 1.0, lambda dice: {"way": _way(dice), "slow_close": _span(dice, 0.2, 1.0)}),
    # the service's process
    "kill": (3, 1.5, _nothing),
    "stop": (3, 2.5, _nothing),
    # what the service answers
    "fail": (3, 2.0, _share("fail")),
    "garbage": (3, 1.5, _share("garbage")),
    "late": (3, 2.0, lambda dice: {"late": dice.choice((0.2, 1.0)), "late_seconds": _span(dice, 0.1, 1.5)}),
    "close": (2, 1.5, _share("close")),
    "cut": (2, 1.5, _share("cut")),
    "drop": (2, 1.5, _share("drop")),
    "interim": (1, 1.0, _share("interim")),
}
