"""How many pairs one core compares, counts and chooses samples of, when the samples are full; and what a record costs.

Rates are per second of CPU time of the whole process, the writer's thread included, so that a busy machine changes
little. The garbage collector is set as the comparator sets it.
"""

from __future__ import annotations

import copy
import gc
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from proxy.compare.record import record
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.model import Compare, Retention, Settings
from proxy.control.comparator import spare_collector
from proxy.control.judge import Judge
from proxy.messages import Answer, Fields, Pair
from proxy.store.diff_writer import DiffWriter
from tests.bench.cases import Bar

SECONDS = 1.0
"""Of CPU time, for each figure."""
LARGE = 1024 * 1024
"""Bytes of a body whose comparison must not take much memory: the largest that is captured by default."""

BARS = {
    "pairs/s, 1 kB JSON": Bar(5000), "pairs/s, 1 kB JSON, with rules": Bar(5000), "pairs/s, 100 kB JSON": Bar(300),
    "pairs/s, 100 kB JSON, with rules": Bar(300),
    "ms, 200 half-changed unordered objects of 10 kB, as a multiset": Bar(100, at_least=False),
    "ms, 200 half-changed unordered objects of 10 kB, by key": Bar(100, at_least=False),
}  # fmt: skip


def _items(size: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while len(orjson.dumps({"items": items})) < size - 40:
        number = len(items)
        items.append({"id": number, "name": f"thing {number}", "price": number * 1.25, "tags": ["new", "red"]})
    return items


def _json(size: int) -> tuple[bytes, bytes]:
    """A list of things, of which one in the middle has a price of another type."""
    items = _items(size)
    legacy: dict[str, Any] = {"items": items, "total": len(items)}
    candidate = copy.deepcopy(legacy)
    candidate["items"][len(items) // 2]["price"] = "12.50"
    return orjson.dumps(legacy), orjson.dumps(candidate)


def _reordered(size: int) -> tuple[bytes, bytes]:
    """The same things with their members in another order."""
    items = _items(size)
    return orjson.dumps({"items": items}), orjson.dumps({"items": [dict(reversed(item.items())) for item in items]})


def _half_changed() -> tuple[bytes, bytes]:
    items = [{"id": number, "name": f"thing {number:07}", "price": number * 1.25} for number in range(200)]
    changed = [{**item, "price": -1} if item["id"] % 2 else item for item in items][::-1]
    return orjson.dumps({"items": items}), orjson.dumps({"items": changed})


def _rows(size: int, row: str, head: str = "", end: str = "") -> tuple[bytes, bytes]:
    """Rows of text up to a size; one in the middle has another price."""
    rows = [
        row.format(n=number, price=f"{number * 1.25:.2f}")
        for number in range(size // len(row.format(n=10, price="1.25")))
    ]
    other = list(rows)
    middle = len(rows) // 2
    other[middle] = row.format(n=middle, price="1000000.00")
    return (head + "".join(rows) + end).encode(), (head + "".join(other) + end).encode()


PAGE = (
    '<tr class="row" id="t{n}"><td>thing {n}</td><td><a href="/things/{n}?page=2">more &amp; more</a></td>'
    "<td>{price}</td></tr>\n"
)
DOCUMENT = (
    '<thing id="{n}"><name>thing {n}</name><price currency="EUR">{price}</price><tags><tag>new</tag></tags></thing>\n'
)


def _pair(bodies: tuple[bytes, bytes], media: str = "application/json") -> Pair:
    fields: Fields = [(b"Content-Type", media.encode()), (b"Server", b"bench")]
    sides = [Answer(200, fields, body, False, 0.01) for body in bodies]
    return Pair(1, "orders", "id", time.time(), "GET", b"/orders", [], b"", "legacy", "stage", [], sides[0], sides[1])


@contextmanager
def _judge(compare: Compare) -> Iterator[Judge]:
    with tempfile.TemporaryDirectory() as folder:
        writer = DiffWriter(
            Path(folder) / "bench.db", Retention(), random.Random(1).randrange, lambda event, text: None
        )
        writer.start()
        judge = Judge(writer)
        rules = compare.model_dump(exclude_unset=True)
        judge.configure(
            Settings.model_validate(
                {"upstreams": {"m": {"endpoints": ["http://127.0.0.1:1"]}}, "legacy": "m",
                 "routes": [{"id": "orders", "match": {"path": "/orders"}, "compare": rules}]}
            )
        )  # fmt: skip
        yield judge
        writer.close(5)


def _per_second(once: Callable[[], object], warm: int) -> float:
    for _ in range(warm):
        once()
    count, began = 0, time.process_time()
    while (spent := time.process_time() - began) < SECONDS:
        once()
        count += 1
    return count / spent


def _rate(bodies: tuple[bytes, bytes], verdict: str, media: str = "application/json", **rules: Any) -> float:
    """Pairs per second. Raises RuntimeError if the verdict is not what it has to be: then the figure says nothing."""
    pair = _pair(bodies, media)
    with _judge(Compare(**rules)) as judge:
        result = judge.judge(pair, leisure=False)
        if result.verdict != verdict:
            raise RuntimeError(f"{media} is {result}, and should be {verdict}")
        return _per_second(lambda: judge.judge(pair, leisure=False), 100)


def _milliseconds(bodies: tuple[bytes, bytes], **rules: Any) -> float:
    return 1000 / _rate(bodies, "mismatched", **rules)


def _records(bodies: tuple[bytes, bytes]) -> float:
    """Microseconds that redacting one pair and making its record take."""
    pair = _pair(bodies)
    result = compare_pair(pair, compile_rules(Compare()), Budget(), time.monotonic)
    return 1e6 / _per_second(lambda: record(pair, result, Budget()), 20)


def _growth() -> float:
    """MiB by which the peak of a fresh process grows while it compares pairs of ``LARGE`` bodies."""
    pair = _pair(_json(LARGE))
    spare_collector()
    with _judge(Compare(unordered={"$.items": "id"})) as judge:
        judge.judge(_pair(_json(1000)), leisure=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(10):
            judge.judge(pair, leisure=False)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _memory() -> float:
    command = [sys.executable, "-c", "from tests.bench import bench_compare; print(bench_compare._growth())"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


def measure() -> dict[str, float]:
    """The figures by what they are of."""
    threshold = gc.get_threshold()
    spare_collector()
    try:
        return _figures()
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def _figures() -> dict[str, float]:
    rules: dict[str, Any] = {
        "ignore": ["$.generated_at"], "unordered": {"$.items": "id"}, "tolerance": {"$.total": 0.01},
    }  # fmt: skip
    return {
        "pairs/s, 1 kB JSON": _rate(_json(1_000), "mismatched"),
        "pairs/s, 1 kB JSON, with rules": _rate(_json(1_000), "mismatched", **rules),
        "pairs/s, 1 kB JSON, equal but for the order of members": _rate(_reordered(1_000), "matched"),
        "pairs/s, 100 kB JSON": _rate(_json(100_000), "mismatched"),
        "pairs/s, 100 kB JSON, with rules": _rate(_json(100_000), "mismatched", **rules),
        "pairs/s, 100 kB JSON, equal but for the order of members": _rate(_reordered(100_000), "matched"),
        "pairs/s, 10 kB HTML": _rate(
            _rows(10_000, PAGE, "<!doctype html><title>x</title><table>", "</table>"), "mismatched", "text/html"
        ),
        "pairs/s, 10 kB XML": _rate(_rows(10_000, DOCUMENT, "<things>", "</things>"), "mismatched", "application/xml"),
        "pairs/s, 10 kB CSV": _rate(
            _rows(10_000, '{n},"thing {n}",{price}\r\n', "id,name,price\r\n"), "mismatched", "text/csv"
        ),
        "pairs/s, 10 kB of events": _rate(
            _rows(10_000, 'id: {n}\nevent: added\ndata: {{"id": {n}, "price": {price}}}\n\n'), "mismatched",
            "text/event-stream",
        ),
        "ms, 200 half-changed unordered objects of 10 kB, as a multiset": _milliseconds(
            _half_changed(), unordered={"$.items": None}
        ),
        "ms, 200 half-changed unordered objects of 10 kB, by key": _milliseconds(
            _half_changed(), unordered={"$.items": "id"}
        ),
        "µs, one redacted record of 1 kB JSON": _records(_json(1_000)),
        "µs, one redacted record of 100 kB JSON": _records(_json(100_000)),
        "MiB, growth of the peak while pairs of 1 MiB are compared": _memory(),
    }  # fmt: skip


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name}: {figure:,.1f}")
