"""Noise from a legacy that never answers twice alike: learned, shown apart, proposed as rules, and rules that help."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from running import Banyan, Setup, Upstream, ask, eventually

NOISE = {"sample": "50%", "min_samples": 10}


class Fluttering(Upstream):
    """Answers something else each time."""

    def __init__(self, make: Callable[[random.Random], object]) -> None:
        self._make = make
        self._dice = random.Random(1)
        super().__init__(None)

    @property
    def body(self) -> object:  # type: ignore[override]  # of the base it is a value that is set
        return self._make(self._dice)

    @body.setter
    def body(self, value: object) -> None:
        pass


def order(dice: random.Random) -> dict[str, Any]:
    items = [{"sku": f"s{number}", "price": number} for number in range(5)]
    dice.shuffle(items)
    return {
        "id": 1,
        "total": 19.9,
        "generated_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "trace": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "mood": dice.choice([True, None, "good", 5]),
        "items": items,
    }


def regressed(dice: random.Random) -> dict[str, Any]:
    """The same with two faults: one in a quiet place, one in a noisy one."""
    return {**order(dice), "total": 20.9, "trace": None}


def banyan(running: Banyan, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "proxy", *words], capture_output=True, text=True, timeout=30,
        env={**os.environ, "BANYAN_ADMIN": running.admin},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def diffs(running: Banyan, state: str = "all") -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads(banyan(running, "diffs", "--state", state, "--json"))
    return {(each["kind"], each["path"]): each for each in found}


@pytest.fixture
def setup(tmp_path: Any) -> Iterator[Setup]:
    made = Setup(tmp_path)
    legacy, candidate = Fluttering(order), Fluttering(regressed)
    made.write(legacy=legacy.url, candidate=candidate.url)
    made.alter("  - id: orders-read\n", f"  - id: orders-read\n    compare: {json.dumps({'noise': NOISE})}\n")
    yield made
    made.close()
    legacy.close()
    candidate.close()


@pytest.mark.timeout(120)
def test_noise_is_learned_and_what_it_leaves_are_the_regressions(setup: Setup) -> None:
    running = setup.start()

    assert "compare.noise.min_samples asks for 10" in banyan(running, "rules", "suggest", "orders-read")

    def learned() -> bool:
        for _ in range(20):
            ask(running.url + "/orders/1")
        return {("value", "$.generated_at"), ("order", "$.items")} <= set(diffs(running, "noise"))

    eventually(learned, 60.0)
    open_ones = diffs(running, "open")
    assert {("value", "$.total"), ("type", "$.trace")} <= set(open_ones)
    assert not any(path in ("$.generated_at", "$.items") for _, path in open_ones)
    noisy = diffs(running)["value", "$.generated_at"]
    assert (noisy["noisy"], noisy["rate"], noisy["noise_rate"]) == (True, 1.0, 1.0)
    text = banyan(running, "rules", "suggest", "orders-read")
    proposed = yaml.safe_load(text)["compare"]
    assert proposed["match"]["$.generated_at"] == "timestamp"
    assert proposed["unordered"] == {"$.items": "sku"}
    assert "$.total" not in text
    assert "min_samples" not in text
    running.stop()
    # What is proposed is put under the route, as it says.
    proposed["noise"] = {"sample": "0%"}
    setup.alter(json.dumps({"noise": NOISE}), json.dumps(proposed))
    assert subprocess.run(
        [sys.executable, "-m", "proxy", "check", str(setup.file)], capture_output=True, timeout=30
    ).returncode == 0  # fmt: skip
    again = setup.start()
    before = diffs(again)
    for _ in range(20):
        ask(again.url + "/orders/1")
    eventually(lambda: diffs(again)["value", "$.total"]["count"] == before["value", "$.total"]["count"] + 20)
    after = diffs(again)
    for key in (("value", "$.generated_at"), ("order", "$.items")):
        assert after[key]["count"] == before[key]["count"]
    assert after["value", "$.total"]["state"] == "new"
