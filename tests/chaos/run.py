"""One chaos run: cycle after cycle, then the verdict.

Law: bounded in time. Every phase has its end in the plan; every wait beside it has a limit of its own, and reaching one
is a violation, not a hang.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from proxy.wire.tasks import spawn
from tests.chaos.accounts import every_sample_accounted_for, one_line_each
from tests.chaos.actions import Actor
from tests.chaos.clients import PATIENCE_SECONDS, Client, Weather
from tests.chaos.equations import RULES
from tests.chaos.evidence import Evidence, Finding
from tests.chaos.figures import NO_FIGURES, AccessLog, DiffLog, Figures, quiet
from tests.chaos.plan import PHASES, SETTLED_SECONDS, Cycle
from tests.chaos.records import Record
from tests.chaos.routes import ACCESS_LOG, PLACES, SAMPLES_KEPT, STORE, configuration
from tests.chaos.scene import Scene

PROGRESS_SECONDS = 10.0
PULSE_SECONDS = 0.05
STALL_SECONDS = 0.3
"""So late a pulse says that the machine has no time for us; services have deadlines of about a second."""
STALL_ENDS_SECONDS = 1.0
"""After it, until what waited has been worked off."""
MAX_LATENCIES = 1_000_000
"""Of each phase; those of later requests are not looked at. A ten-minute run has about a third of it."""

ALL_RULES = {**RULES, "5 every sample accounted for": every_sample_accounted_for, "6 one line each": one_line_each}


@dataclass
class Summary:
    """What the table shows."""

    seconds: float = 0.0
    findings: dict[str, Finding] = field(default_factory=lambda: {title: Finding(title) for title in ALL_RULES})
    life: Finding = field(default_factory=lambda: Finding("banyan stays in order"))
    """What is neither a request's nor an account's: quiet after each cycle, admin answers, exit."""
    done: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(phase, outcome) -> requests; a complete one counts by the class of its status."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Phase -> seconds of complete requests whose client did not dawdle."""
    witnesses: Counter[str] = field(default_factory=Counter)
    """Things that must have happened, or else nothing was tested."""

    @property
    def clean(self) -> bool:
        """Every rule held."""
        return not any(found.violations for found in [*self.findings.values(), self.life])


class Run:
    """Plays a plan on a scene."""

    def __init__(self, scene: Scene, cycles: tuple[Cycle, ...], seed: int, clients: int, say: Callable[[str], None]):
        self._scene = scene
        self._cycles = cycles
        self._say = say
        self._weather = Weather()
        self._records: list[Record] = []
        self._actor = Actor(scene)
        self._clients = [
            Client(number, seed, scene.banyan.address, self._weather, self._records) for number in range(clients)
        ]
        self._difflog = DiffLog(scene.folder / STORE)
        self._access_log = AccessLog(scene.folder / ACCESS_LOG)
        self._figures: Figures = NO_FIGURES
        self._kills = 0
        self._stalls: list[tuple[float, float]] = []
        self._finished = 0
        self._began = monotonic()
        self.summary = Summary()

    async def play(self) -> Summary:
        """All cycles, and the end of Banyan. Violations are in the summary."""
        tasks = [spawn(client.run(), f"client {number}") for number, client in enumerate(self._clients)]
        tasks += [spawn(self._progress(), "progress"), spawn(self._pulse(), "pulse")]
        life = self.summary.life
        try:
            for cycle in self._cycles:
                await self._cycle(cycle)
            self._weather.over = True
            self._weather.open.set()
            code = await self._scene.banyan.leave()
            life.check(code == 0, "banyan's exit code after SIGTERM is", code)
        finally:
            self._weather.over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for complaint in self._actor.complaints:
            life.check(False, complaint)
        life.check(not self._access_log.bad, "lines of the access log that are no JSON:", self._access_log.bad)
        self.summary.seconds = monotonic() - self._began
        self.summary.done = self._actor.done
        return self.summary

    async def _cycle(self, cycle: Cycle) -> None:
        weather, began = self._weather, monotonic()
        weather.cycle, weather.phase = cycle.number, "calm"
        weather.open.set()
        playing = spawn(self._actor.play(cycle, began), f"cycle {cycle.number}")
        for phase in PHASES:
            weather.phase = phase
            if phase == "recovery":
                await playing
                await self._actor.heal()
            await asyncio.sleep(max(SETTLED_SECONDS, began + cycle.ends[phase] - monotonic()))
            if phase == "recovery":
                began = max(began, monotonic() - cycle.ends[phase])  # healing took longer than planned
        weather.open.clear()
        await self._judge(cycle)

    async def _judge(self, cycle: Cycle) -> None:
        """Wait for quiet, gather the evidence of the cycle and look at it."""
        weather, life = self._weather, self.summary.life
        by = monotonic() + PATIENCE_SECONDS + 5.0
        while weather.under_way and monotonic() < by:  # noqa: ASYNC110 - many things end it, and it is not urgent
            await asyncio.sleep(0.05)
        life.check(not weather.under_way, "clients still busy:", weather.under_way, "in cycle", cycle.number)
        figures, rest = await quiet(self._scene.banyan)
        life.check(not rest, "cycle", cycle.number, "still under way:", rest)
        records, self._records[:] = list(self._records), []
        evidence = Evidence(
            cycle=cycle.number,
            records=records,
            entries={name: list(service.entries.new()) for name, service in self._scene.services.items()},
            figures=figures - self._figures,
            recorded=list(self._difflog.new()),
            crowded=self._difflog.crowded(SAMPLES_KEPT),
            lines=list(self._access_log.new()),
            kills=self._actor.kills[self._kills :],
            flips=self._actor.flips,
            stalls=list(self._stalls),
        )
        self._figures, self._kills = figures, len(self._actor.kills)
        deaths, kills = int(evidence.figures.sum("banyan_restarts_total")), len(evidence.kills)
        life.check(deaths == kills, "cycle", cycle.number, "processes that died:", deaths, "that were killed:", kills)
        self._finished += len(records)
        self._stalls.clear()
        await asyncio.to_thread(self._look, evidence)

    def _look(self, evidence: Evidence) -> None:
        for title, rule in ALL_RULES.items():
            rule(self.summary.findings[title], evidence)
        self._count(evidence)

    def _count(self, evidence: Evidence) -> None:
        summary = self.summary
        for record in evidence.records:
            kind = record.outcome if record.outcome != "complete" else f"{record.status // 100}xx"
            summary.outcomes[record.phase, kind] += 1
            latencies = summary.latencies.setdefault(record.phase, [])
            if record.outcome == "complete" and record.hurried and len(latencies) < MAX_LATENCIES:
                latencies.append(record.ended - record.started)
        figures, witnesses = evidence.figures, summary.witnesses
        witnesses["candidate answers"] += sum(record.side == "candidate" for record in evidence.records)
        witnesses["legacy answers"] += sum(record.side == "legacy" for record in evidence.records)
        witnesses["fallbacks"] += int(figures.sum("banyan_fallbacks_total"))
        witnesses["retries"] += int(figures.sum("banyan_retries_total"))
        witnesses["shadows seen by candidates"] += len(evidence.candidate_shadows)
        witnesses["shadows seen by legacy"] += len(evidence.legacy_shadows)
        witnesses["pairs equal"] += int(figures.sum("banyan_shadow_total", outcome="compared"))
        witnesses["pairs in the diff log"] += len({pair.id for pair in evidence.recorded})
        for reason, times in figures.by("banyan_shadow_dropped_total", "reason").items():
            witnesses[f"shadows dropped ({reason})"] += times
        witnesses["keyed writes repeated"] += sum(
            len(places) > 1 and not evidence.by_id[request].safe
            for request, places in evidence.authoritative.items()
            if request in evidence.by_id
        )
        witnesses["processes of banyan killed"] += len(evidence.kills)
        witnesses["stalls of this machine"] += len(evidence.stalls)

    async def _pulse(self) -> None:
        while True:
            due = monotonic() + PULSE_SECONDS
            await asyncio.sleep(PULSE_SECONDS)
            now = monotonic()
            if now - due > STALL_SECONDS:
                self._stalls.append((due - PULSE_SECONDS, now + STALL_ENDS_SECONDS))

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            bad = sum(len(found.violations) for found in self.summary.findings.values())
            self._say(
                f"{monotonic() - self._began:5.0f} s  cycle {self._weather.cycle + 1}/{len(self._cycles)} "
                f"{self._weather.phase:8}  {self._finished + len(self._records):7,} requests  "
                f"{sum(self._actor.done.values()):4} faults and orders  {bad} violations"
            )


async def run(folder: Path, cycles: tuple[Cycle, ...], seed: int, clients: int, say: Callable[[str], None]) -> Summary:
    """One whole run in ``folder``. Raises SceneError if it cannot begin."""
    async with Scene(folder, seed, PLACES, configuration) as scene:
        return await Run(scene, cycles, seed, clients, say).play()
