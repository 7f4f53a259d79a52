"""Runs the cases in alternating rounds and keeps every sample.

Law: within a round each case is done to all targets, one right after the other, so that a slow minute of the machine
hits all of them. A target that fails in a case loses that sample and the reason is kept; the rest goes on.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.bench import cases, load, peers, procs


@dataclass(frozen=True)
class Cores:
    """Who runs where: the proxy, and origin and load generator. ``enough`` says whether two workers have cores of
    their own. Where not, the case of two workers gives everything one core, and then two, so both are equally crowded.
    """

    proxy: list[int]
    load: list[int]
    two: list[int]
    enough: bool


def divide(available: list[int]) -> Cores:
    """The first core is the proxy's alone; a machine of one core shares everything."""
    first, two = available[:1], available[:2]
    if len(available) < 4:
        return Cores(first, available[1:] or first, two, enough=False)
    return Cores(first, available[2:6], two, enough=True)


@dataclass
class Results:
    """Samples by (case, metric, target), one per round."""

    samples: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[load.Saturation]] = field(default_factory=dict)
    direct: list[dict[str, float]] = field(default_factory=list)
    """The load generator against the origin without a proxy."""
    compared: float | None = None
    """Share of Banyan's shadowed requests that it says it has compared."""

    def add(self, case: str, metric: str, target: str, value: float) -> None:
        self.samples.setdefault((case, metric, target), []).append(value)

    def median(self, case: str, metric: str, target: str) -> float | None:
        values = self.samples.get((case, metric, target))
        return statistics.median(values) if values else None

    def ratio(self, case: str, metric: str, target: str, peer: str) -> float | None:
        """Median over the rounds of target / peer in the same round."""
        ours, theirs = self.samples.get((case, metric, target), []), self.samples.get((case, metric, peer), [])
        pairs = [a / b for a, b in zip(ours, theirs, strict=False) if b]
        return statistics.median(pairs) if pairs and len(ours) == len(theirs) else None


class Runner:
    """One run of the benchmark. ``say`` reports progress."""

    def __init__(
        self, folder: Path, cores: Cores, targets: list[str], *, seconds: int, rounds: int, say: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.cores = cores
        self.targets = targets
        self.seconds = seconds
        self.rounds = rounds
        self.say = say
        self.results = Results()

    def run(self, chosen: list[cases.Case]) -> Results:
        os.sched_setaffinity(0, self.cores.load)
        with procs.Processes(self.folder) as processes:
            origin = peers.start_origin(processes, self.cores.load)
            running: dict[str, peers.Proxy] = {}
            if any(case.kind in ("saturate", "rate") for case in chosen):
                for name in self.targets:
                    self._guard("start", name, partial(self._start, name, processes, origin, running))
            for number in range(1, self.rounds + 1):
                for case in chosen:
                    for name in self._targets_of(case):
                        self.say(f"round {number}/{self.rounds}: {case.key} {name}")
                        self._guard(case.key, name, self._job(case, name, processes, origin, running))
                    if case.kind == "rate":
                        self.say(f"round {number}/{self.rounds}: {case.key} direct")
                        self.results.direct.append(self._fixed_rate(origin.candidate))
            if "banyan" in running and any(case.copies for case in chosen):
                time.sleep(2)  # workers hand in their counters about once a second
                self.results.compared = _compared(running["banyan"].admin)
        return self.results

    def _targets_of(self, case: cases.Case) -> list[str]:
        failed = self.results.failures
        return [
            name
            for name in self.targets
            if name in case.targets and not {(case.key, name), ("start", name)} & failed.keys()
        ]

    def _start(
        self, name: str, processes: procs.Processes, origin: peers.Origin, running: dict[str, peers.Proxy]
    ) -> None:
        self.say(f"starting {name}")
        proxy = peers.start_proxy(name, processes, origin, self.cores.proxy)
        self._warm_up(proxy, origin, self.cores.load)
        running[name] = proxy

    def _job(
        self,
        case: cases.Case,
        name: str,
        processes: procs.Processes,
        origin: peers.Origin,
        running: dict[str, peers.Proxy],
    ) -> Callable[[], None]:
        if case.kind == "memory":
            return lambda: self._memory(case, name, processes, origin)
        if case.kind == "workers":
            return lambda: self._workers(case, name, processes, origin)
        if name not in running:
            return lambda: None
        if case.kind == "rate":
            return lambda: self._rate(case, running[name])
        return lambda: self._saturate(case, running[name], origin)

    def _guard(self, case: str, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except (RuntimeError, OSError) as error:
            self.results.failures[case, name] = " ".join(str(error).split())
            print(f"{case} {name}: {error}", file=sys.stderr)

    def _place_load(self, origin: peers.Origin, cores: list[int]) -> None:
        os.sched_setaffinity(0, cores)  # wrk inherits it
        origin.pin(cores)

    def _warm_up(self, proxy: peers.Proxy, origin: peers.Origin, cores: list[int]) -> None:
        """A second that is not counted: connections to the origin, caches and allocators are to be warm."""
        load.saturate(proxy, origin, self.folder, "/plain/112", seconds=1, connections=32, cores=cores)

    def _load(self, case: cases.Case, proxy: peers.Proxy, origin: peers.Origin, cores: list[int]) -> load.Saturation:
        return load.saturate(
            proxy,
            origin,
            self.folder,
            case.path,
            seconds=self.seconds,
            connections=case.connections,
            cores=cores,
            headers=case.headers,
        )

    def _saturate(self, case: cases.Case, proxy: peers.Proxy, origin: peers.Origin) -> None:
        if set(peers.workers_of(proxy)) != set(proxy.workers):
            raise RuntimeError("its worker died and was replaced")
        figures = self._load(case, proxy, origin, self.cores.load)
        self.results.add(case.key, "requests", proxy.name, figures.requests_per_second)
        self.results.add(case.key, "bytes", proxy.name, figures.bytes_per_second / 1e6)
        self.results.notes.setdefault((case.key, proxy.name), []).append(figures)

    def _fixed_rate(self, port: int) -> dict[str, float]:
        return load.fixed_rate(port, "/plain/112", rate=cases.RATE, seconds=self.seconds)

    def _rate(self, case: cases.Case, proxy: peers.Proxy) -> None:
        figures = self._fixed_rate(proxy.port)
        for metric in ("p50", "p99"):
            self.results.add(case.key, metric, proxy.name, figures[metric] * 1e6)

    def _memory(self, case: cases.Case, name: str, processes: procs.Processes, origin: peers.Origin) -> None:
        proxy = peers.start_proxy(name, processes, origin, self.cores.proxy)
        try:
            self.results.add(case.key, "kib", name, load.idle_memory(proxy, cases.IDLE_CONNECTIONS) / 1024)
        finally:
            processes.stop(proxy.child)

    def _workers(self, case: cases.Case, name: str, processes: procs.Processes, origin: peers.Origin) -> None:
        figures: list[load.Saturation] = []
        for workers, own in ((1, self.cores.proxy), (2, self.cores.two)):
            others = self.cores.load if self.cores.enough else own
            with ExitStack() as stack:
                stack.callback(self._place_load, origin, self.cores.load)
                self._place_load(origin, others)
                proxy = peers.start_proxy(name, processes, origin, own, workers)
                stack.callback(processes.stop, proxy.child)
                self._warm_up(proxy, origin, others)
                figures.append(self._load(case, proxy, origin, others))
        one, two = figures
        self.results.add(case.key, "two", name, two.requests_per_second)
        self.results.add(case.key, "ratio", name, two.requests_per_second / one.requests_per_second)
        # What two workers could do with cores of their own: twice, if a request costs each as much as it cost the one.
        self.results.add(case.key, "capacity", name, 2 * one.cpu_per_request / two.cpu_per_request)


def _compared(admin: int) -> float | None:
    """Verdicts per shadow from Banyan's metrics; None when they cannot be read."""
    text = (peers.fetch(admin, "/metrics") or b"").decode(errors="replace")
    sums = {"banyan_compare_total": 0.0, "http_requests_total": 0.0}
    for line in text.splitlines():
        name = line.split("{", 1)[0]
        if name in sums and 'route="shadow"' in line:
            sums[name] += float(line.rsplit(" ", 1)[1])
    if not sums["http_requests_total"]:
        return None
    return sums["banyan_compare_total"] / sums["http_requests_total"]


def save(path: Path, results: Results, machine: dict[str, str]) -> None:
    """Every sample as JSON."""
    document = {
        "machine": machine,
        "samples": [
            {"case": case, "metric": metric, "target": target, "values": values}
            for (case, metric, target), values in results.samples.items()
        ],
        "failures": [{"case": case, "target": target, "why": why} for (case, target), why in results.failures.items()],
        "direct": results.direct,
        "compared": results.compared,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
