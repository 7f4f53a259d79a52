"""How many unequal pairs one core compares, counts and chooses samples of, when the samples are full."""

import copy
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from proxy.config.model import Compare, Retention, Settings
from proxy.control.judge import Judge
from proxy.messages import Answer, Fields, Pair
from proxy.store.diff_writer import DiffWriter

FIELDS: Fields = [(b"Content-Type", b"application/json"), (b"Server", b"bench")]
SECONDS = 2.0


def _pair(size: int) -> Pair:
    items: list[dict[str, Any]] = []
    while len(orjson.dumps({"items": items})) < size - 40:
        number = len(items)
        items.append({"id": number, "name": f"thing {number}", "price": number * 1.25, "tags": ["new", "red"]})
    legacy: dict[str, Any] = {"items": items, "total": len(items)}
    candidate = copy.deepcopy(legacy)
    candidate["items"][len(items) // 2]["price"] = "12.50"
    sides = [Answer(200, FIELDS, orjson.dumps(body), False, 0.01) for body in (legacy, candidate)]
    return Pair(1, "orders", "id", time.time(), "GET", b"/orders", [], b"", "legacy", "stage", [], sides[0], sides[1])


def _rate(size: int, compare: Compare) -> float:
    """Pairs per second of one thread."""
    with tempfile.TemporaryDirectory() as folder:
        writer = DiffWriter(
            Path(folder) / "bench.db", Retention(), random.Random(1).randrange, lambda event, text: None
        )
        writer.start()
        judge = Judge(writer)
        judge.configure(
            Settings.model_validate(
                {"upstreams": {"m": {"endpoints": ["http://127.0.0.1:1"]}}, "legacy": "m",
                 "routes": [{"id": "orders", "match": {"path": "/orders"}, "compare": compare.model_dump(exclude_unset=True)}]}
            )
        )  # fmt: skip
        pair = _pair(size)
        for _ in range(200):
            judge.judge(pair, leisure=False)
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS:
            judge.judge(pair, leisure=False)
            count += 1
        writer.close(5)
    return count / spent


def measure() -> dict[str, float]:
    """Pairs per second, by size of the JSON answers and by rules."""
    rules = Compare(ignore=["$.generated_at"], unordered={"$.items": "id"}, tolerance={"$.total": 0.01})
    return {
        "pairs/s, 1 kB": _rate(1_000, Compare()),
        "pairs/s, 1 kB, with rules": _rate(1_000, rules),
        "pairs/s, 100 kB": _rate(100_000, Compare()),
    }


if __name__ == "__main__":
    print(measure())
