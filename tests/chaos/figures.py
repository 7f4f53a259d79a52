"""What Banyan says of itself: its metrics, its diff log and its access log.

Law: everything is read from outside, as an operator would. Figures are sums over all processes since the start, so two
looks are subtracted.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from proxy.store.difflog import unpack
from tests.chaos.scene import Banyan

QUIET_SECONDS = 30.0
"""Within which nothing may be under way any more: every deadline of the configuration is shorter."""
FRESH_SECONDS = 1.3
"""Figures are told once a second: two looks that far apart see different ones."""

Labels = tuple[tuple[str, str], ...]
"""(name, value) of each label, in the order of names."""


class Figures:
    """One look at ``/metrics``: name -> labels -> value."""

    def __init__(self, values: dict[str, dict[Labels, float]]) -> None:
        self._values = values

    @classmethod
    def parse(cls, text: str) -> Figures:
        """From the exposition format."""
        values: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return cls(values)

    def sum(self, name: str, **wanted: Iterable[str] | str) -> float:
        """The sum over everything whose labels have the wanted values (one, or any of several)."""
        tests = {label: {want} if isinstance(want, str) else set(want) for label, want in wanted.items()}
        return sum(
            value
            for labels, value in self._values.get(name, {}).items()
            if all(text in tests.get(label, (text,)) for label, text in labels)
        )

    def by(self, name: str, label: str) -> Counter[str]:
        """The sums by one label."""
        sums: Counter[str] = Counter()
        for labels, value in self._values.get(name, {}).items():
            sums[dict(labels)[label]] += int(value)
        return sums

    def __sub__(self, before: Figures) -> Figures:
        rises = {}
        for name, values in self._values.items():
            old = before._values.get(name, {})
            rises[name] = {labels: value - old.get(labels, 0.0) for labels, value in values.items()}
        return Figures(rises)


NO_FIGURES = Figures({})


async def look(banyan: Banyan) -> Figures | None:
    """The figures now; None if the admin side does not answer."""
    status, text = await banyan.call("GET", "/metrics")
    return Figures.parse(text) if status == 200 else None


async def quiet(banyan: Banyan) -> tuple[Figures, str]:
    """Wait until nothing is under way and every process has said so; the figures then, and what still is under way
    after QUIET_SECONDS ("" if nothing is)."""
    by = monotonic() + QUIET_SECONDS
    before, figures = "never looked", NO_FIGURES
    while True:
        await asyncio.sleep(FRESH_SECONDS)
        found = await look(banyan)
        if found is None:
            rest = "the admin side does not answer"
        else:
            figures, rest = found, _under_way(found)
        if not rest and not before:
            return figures, ""
        if monotonic() > by:
            return figures, rest or before
        before = rest


def _under_way(figures: Figures) -> str:
    rest = {
        "requests": figures.sum("banyan_in_flight"),
        "shadows": figures.sum("banyan_shadows_in_flight"),
        "pairs": figures.sum("banyan_compare_queue"),
        "workers missing": 2 - figures.sum("banyan_worker_up"),
    }
    return ", ".join(f"{value:g} {name}" for name, value in rest.items() if value)


class Recorded(NamedTuple):
    """One stored pair, under one of its fingerprints."""

    fingerprint: str
    route: str
    id: str


class DiffLog:
    """The recorded pairs of the store; each call of :meth:`new` yields those since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0

    def new(self) -> Iterator[Recorded]:
        """Pairs recorded since the last call. Raises sqlite3.Error."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            query = "SELECT rowid, fingerprint, record FROM samples WHERE rowid > ?"
            rows = db.execute(query, (self._last,)).fetchall()
        for rowid, fingerprint, blob in rows:
            self._last = max(self._last, rowid)
            record: dict[str, Any] = unpack(blob) or {}
            path = str(record.get("request", {}).get("target", "")).partition("?")[0]
            yield Recorded(fingerprint, str(record.get("route", "")), path.rpartition("/")[2])

    def crowded(self, kept: int) -> dict[str, int]:
        """Route -> sightings of fingerprints that have had more than ``kept``: of those, samples were replaced."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT route, sum(count) FROM fingerprints WHERE count > ? GROUP BY route", (kept,))
            return dict(rows.fetchall())


class Line(NamedTuple):
    """One line of the access log, as far as it is checked."""

    id: str
    route: str
    method: str
    status: int
    arm: str
    tries: int
    """Times that an upstream was asked, or would have been."""


class AccessLog:
    """The access log; each call of :meth:`new` yields what came since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.bad = 0
        """Lines that are no JSON object."""

    def new(self) -> Iterator[Line]:
        """Whole lines only."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        for raw in data[:end].splitlines():
            try:
                line = json.loads(raw)
                tries = len(line["tries"]) + line.get("more_tries", 0)
                name = line["path"].rpartition("/")[2]
                yield Line(name, line["route"], line["method"], line["status"], line["arm"], tries)
            except (ValueError, KeyError, TypeError, AttributeError):
                self.bad += 1
