"""A run's plan is a function of its seed, and keeps to its own rules."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.chaos import plan
from tests.chaos.routes import CANDIDATES, LEGACY, MOVING

ROOT = Path(__file__).parents[2]
SEEDS = range(20)


def test_the_same_seed_and_length_give_the_same_plan() -> None:
    assert plan.make(7, 60) == plan.make(7, 60)
    assert plan.make(7, 60) != plan.make(8, 60)


def test_the_default_length_has_cycles_with_and_without_kills() -> None:
    cycles = plan.make(1, 120)
    assert [cycle.kills for cycle in cycles] == [False, True, False, True]
    assert sum(cycle.ends["clear"] for cycle in cycles) == pytest.approx(120)
    assert not any(step.what.startswith("kill-") for cycle in cycles[::2] for step in cycle.steps)
    assert any(step.what == "kill-worker" for cycle in cycles for step in cycle.steps)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_place_has_one_fault_at_a_time_and_all_end_with_the_storm(seed: int) -> None:
    for cycle in plan.make(seed, 60):
        busy_until: dict[str, float] = defaultdict(float)
        for step in cycle.steps:
            if step.where in (LEGACY, *CANDIDATES):
                assert step.at + step.seconds <= cycle.ends["storm"] + 0.01
                assert step.at >= busy_until[step.where]
                busy_until[step.where] = step.at + step.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_calm_legacy_is_healthy_and_no_route_is_retired(seed: int) -> None:
    for cycle in plan.make(seed, 60):
        calm = [step for step in cycle.steps if step.at < cycle.ends["calm"]]
        assert not [step for step in calm if step.where == LEGACY]
        assert not [step for step in calm if step.how.get("stage") == "retired"]
        ends = [step for step in cycle.steps if step.at == cycle.ends["storm"]]
        assert {step.where for step in ends} == set(MOVING)


def test_every_fault_comes_up() -> None:
    seen = {step.what for seed in SEEDS for cycle in plan.make(seed, 60) for step in cycle.steps}
    assert seen >= set(plan.FAULTS)


def test_the_plan_of_a_seed_can_be_read() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--plan", "--seed", "3", "--seconds", "10"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0, shown.stderr
    assert all(str(step) in shown.stdout for cycle in plan.make(3, 10) for step in cycle.steps)
