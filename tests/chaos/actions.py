"""The plan, done.

Law: a step that ends is undone by the one who did it; at the end of a storm everything is undone once more, so a
recovery begins with whole wires, living services and the right configuration. What was done to Banyan's own processes
and routes is written down with its moments: the checks need them.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from proxy.wire.tasks import spawn
from tests.chaos.plan import Cycle, Step
from tests.chaos.routes import LEGACY, PLACES
from tests.chaos.scene import Scene

NEVER = math.inf
HEAL_SECONDS = 15.0
"""For services to begin their next life on a slow machine, and for the last reload."""


@dataclass(frozen=True)
class Kill:
    """A process of Banyan's ("worker" or "comparator") was killed at ``at``, in monotonic seconds."""

    role: str
    at: float


@dataclass(frozen=True)
class Flip:
    """A route was told to be at ``stage`` at ``asked``; from ``settled`` on every worker has it (NEVER: nobody said
    so). Monotonic seconds."""

    route: str
    stage: str
    percent: int
    asked: float
    settled: float


class Actor:
    """Does the steps of the cycles."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.done: Counter[str] = Counter()
        """What was done, how often: "candidate stall" -> n."""
        self.kills: list[Kill] = []
        self.flips: list[Flip] = []
        self.complaints: list[str] = []
        """Orders that Banyan's admin side did not take as documented."""
        self._good = scene.banyan.file.read_text()
        self._steps: set[asyncio.Task[None]] = set()
        self._operator = asyncio.Lock()  # there is one, who waits for an answer before the next order

    async def play(self, cycle: Cycle, began: float) -> None:
        """Begin each step at its time; returns when the last has begun."""
        for step in cycle.steps:
            await asyncio.sleep(max(0.0, began + step.at - monotonic()))
            task = spawn(self._try(step), f"step {step}")
            self._steps.add(task)
            task.add_done_callback(self._steps.discard)

    async def heal(self) -> None:
        """Undo everything. Raises TimeoutError when the services do not come back."""
        if self._steps:
            await asyncio.wait(self._steps, timeout=HEAL_SECONDS)
        async with asyncio.timeout(HEAL_SECONDS):
            for name, service in self.scene.services.items():
                service.send(signal.SIGCONT)
                await service.start()
                await service.misbehave()
                wire = self.scene.wires[name]
                wire.heal()
                await wire.refuse()
                await wire.listen()

    async def _try(self, step: Step) -> None:
        try:
            await self._do(step)
        except Exception as error:  # noqa: BLE001 - a plan that was not done is no proof of anything
            self.complaints.append(f"{step} was not done: {error!r}")

    async def _do(self, step: Step) -> None:
        side = "candidate" if step.where not in (LEGACY, "banyan") else step.where
        self.done[f"{'operator' if step.where not in (*PLACES, 'banyan') else side} {step.what}"] += 1
        if step.where in PLACES:
            await (self._process(step) if step.what in ("kill", "stop") else self._fault(step))
        elif step.what in ("kill-worker", "kill-comparator", "stop-comparator"):
            await self._processes(step)
        else:
            async with self._operator:
                await (self._reload(step) if step.where == "banyan" else self._flip(step))

    # -- services and wires -------------------------------------------------------------------------------------------

    async def _process(self, step: Step) -> None:
        service = self.scene.services[step.where]
        if step.what == "kill":
            service.kill()
            await asyncio.sleep(step.seconds)
            await service.start()
        else:
            service.send(signal.SIGSTOP)
            await asyncio.sleep(step.seconds)
            service.send(signal.SIGCONT)

    async def _fault(self, step: Step) -> None:
        wire, how = self.scene.wires[step.where], dict(step.how)
        way = wire.up if how.pop("way", "down") == "up" else wire.down
        match step.what:
            case "latency" | "bandwidth" | "slice" | "limit" | "slow-close":
                for name, value in how.items():
                    setattr(way, name, value)
                await asyncio.sleep(step.seconds)
                way.heal()
            case "stall":
                way.stalled = True
                await asyncio.sleep(step.seconds)
                way.stalled = False
            case "reset":
                await wire.cut()
            case "refuse":
                await wire.refuse()
                if how["cut"]:
                    await wire.cut()
                await asyncio.sleep(step.seconds)
                await wire.listen()
            case _:
                service = self.scene.services[step.where]
                await service.misbehave(**how)
                await asyncio.sleep(step.seconds)
                await service.misbehave()

    # -- Banyan -------------------------------------------------------------------------------------------------------

    async def _reload(self, step: Step) -> None:
        banyan = self.scene.banyan
        if step.what == "hup":
            banyan.hup()
        elif step.what == "reload":
            await self._expect(200, "POST", "/api/reload")
        else:
            banyan.file.write_text(self._good + "\nnonsense: 1\nroutes: [\n")
            await self._expect(422, "POST", "/api/reload")
            await asyncio.sleep(step.seconds)
            banyan.file.write_text(self._good)
            await self._expect(200, "POST", "/api/reload")

    async def _processes(self, step: Step) -> None:
        role = "worker" if step.what == "kill-worker" else "comparator"
        pids = await self.scene.banyan.pids(f"{role}s")
        if not pids:
            return  # one of them is still coming back; a second death at once is another test's
        pid = pids[int(step.how["which"]) % len(pids)]
        with suppress(ProcessLookupError):
            if step.what == "stop-comparator":
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(step.seconds)
                os.kill(pid, signal.SIGCONT)
            else:
                os.kill(pid, signal.SIGKILL)
                self.kills.append(Kill(role, monotonic()))

    async def _flip(self, step: Step) -> None:
        asked = monotonic()
        stage, percent = str(step.how.get("stage", "legacy")), step.how.get("percent")
        if step.what == "rollback":
            done = await self._expect(200, "POST", f"/api/routes/{step.where}/rollback", {"reason": "chaos"})
        else:
            body = {"stage": stage, "percent": percent, "reason": "chaos"}
            done = await self._expect(200, "POST", f"/api/routes/{step.where}/stage", body)
        settled = monotonic() if done.get("settled") else NEVER
        self.flips.append(Flip(step.where, stage, percent or 0, asked, settled))

    async def _expect(self, wanted: int, method: str, path: str, body: object | None = None) -> dict[str, Any]:
        status, text = await self.scene.banyan.call(method, path, body)
        if status != wanted:
            self.complaints.append(f"{method} {path} {body or ''}: {status} instead of {wanted}: {text[:300]}")
            return {}
        answer: dict[str, Any] = json.loads(text)
        return answer
