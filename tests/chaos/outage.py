"""``make outage``: what clients notice while the candidate is out, at 2,000 requests a second.

Law: half of the requests go to a route at `canary` (everybody is chosen), half to one at `live`; all are GETs, sent on
time whether or not earlier ones were answered. The fault begins after a second of health and ends before the last two.
The rule: no client sees an error, and p99 is within what ``banyan resilience`` promises for the route, plus the sweep.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from proxy.config.model import settings_from_document
from proxy.core.profile import profile
from proxy.wire.tasks import spawn
from tests.chaos.routes import LEGACY
from tests.chaos.scene import Scene, SceneError, Service

CANDIDATE = "candidate-0"
ROUTES = ("canary", "live")
RATE = 2000
SECONDS = 8.0
HEALTH_SECONDS = 1.0
RECOVERY_SECONDS = 2.0
WAITING_SECONDS = 1.5
"""The longest that answers take while everybody waits for the candidate: a route's clients have connections for it."""
MIN_CONNECTIONS = 50
BUSY_SECONDS = 0.1
"""A p99 above this without any fault says that the machine had other things to do."""
SWEEP_SECONDS = 0.1
"""Clocks are looked at so often."""
BENCH = Path(__file__).parents[1] / "bench" / "openloop.py"

FAULTS: dict[str, dict[str, float]] = {
    "none": {},
    "killed": {},
    "frozen": {},
    "slow": {"late": 1.0, "late_seconds": 2.0},
    "garbage": {"garbage": 1.0},
    "5xx": {"fail": 1.0},
    "5xx of a third": {"fail": 0.33},
}


class Row(NamedTuple):
    """One route's clients under one fault; times in seconds."""

    fault: str
    route: str
    figures: Mapping[str, float]
    bound: float

    @property
    def holds(self) -> bool:
        return not self.figures["errors"] and not self.figures["unanswered"] and self.figures["p99"] <= self.bound


def configuration(urls: Mapping[str, str]) -> dict[str, Any]:
    """Banyan's: the candidate's deadlines are short, as an operator's would be; the rest are defaults."""
    route = {"candidate": "orders", "shadow": {"sample": "5%"}}
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "workers": 2,
        "store": "sqlite:///banyan.db",
        "identity": [{"query": "user"}],
        "overload": {"refuse_lag": "0s"},  # a slow machine is not what is looked for here
        "shutdown": {"drain_delay": "0s", "grace": "1s"},
        "upstreams": {
            "monolith": {
                "endpoints": [urls[LEGACY]],
                "timeouts": {"connect": "500ms", "first_byte": "1s", "total": "3s"},
            },
            "orders": {
                "endpoints": [urls[CANDIDATE]],
                "timeouts": {"connect": "250ms", "first_byte": "500ms", "idle": "2s", "total": "2500ms"},
                "breaker": {"open": "1s"},
            },
        },
        "legacy": "monolith",
        "routes": [
            {"id": name, "match": {"path_prefix": f"/{name}"}, "stage": name, "canary": {"percent": "100%"}, **route}
            for name in ROUTES
        ],
    }  # fmt: skip


async def measure(scene: Scene, fault: str, rate: int, seconds: float) -> list[Row]:
    """One fault, from health to health."""
    service = scene.services[CANDIDATE]
    bounds = {
        each.id: each.worst_case + SWEEP_SECONDS
        for each in profile(settings_from_document(configuration(dict.fromkeys(scene.services, "http://127.0.0.1:1"))))
    }
    loads = [spawn(_load(scene, route, rate // len(ROUTES), seconds), f"load on {route}") for route in ROUTES]
    try:
        await asyncio.sleep(HEALTH_SECONDS)
        await _break(service, fault)
        await asyncio.sleep(max(0.5, seconds - HEALTH_SECONDS - RECOVERY_SECONDS))
    finally:
        await _mend(service, fault)
        found = await asyncio.gather(*loads, return_exceptions=True)
    rows = []
    for route, figures in zip(ROUTES, found, strict=True):
        if isinstance(figures, BaseException):
            raise SceneError(f"the load on {route} came to nothing: {figures}")
        rows.append(Row(fault, route, figures, bounds[route]))
    return rows


async def _break(service: Service, fault: str) -> None:
    if fault == "killed":
        service.kill()
    elif fault == "frozen":
        service.send(signal.SIGSTOP)
    elif FAULTS[fault]:
        await service.misbehave(**FAULTS[fault])


async def _mend(service: Service, fault: str) -> None:
    if fault == "killed":
        await service.start()
    elif fault == "frozen":
        service.send(signal.SIGCONT)
    else:
        await service.misbehave()


async def _load(scene: Scene, route: str, rate: int, seconds: float) -> dict[str, float]:
    """The figures of ``tests/bench/openloop.py``, which runs as a process of its own."""
    words = [
        str(BENCH), str(scene.banyan.address[1]), f"/{route}/c0w0n0?user=somebody&a=200&s=twin", "--rate", str(rate),
        "--seconds", str(seconds), "--connections", str(max(MIN_CONNECTIONS, int(rate * WAITING_SECONDS))),
        "--warm-up", "0",
    ]  # fmt: skip
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds + 30):
            out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    figures: dict[str, float] = json.loads(out)
    return figures


def render(rows: list[Row]) -> str:
    """The table."""
    lines = [f"{'candidate':18} {'route':7} {'req/s':>7} {'errors':>7} {'p50':>9} {'p99':>9} {'max':>9} {'bound':>9}"]
    for row in rows:
        get = row.figures
        errors = int(get["errors"] + get["unanswered"])
        times = " ".join(f"{value * 1000:6.0f} ms" for value in (get["p50"], get["p99"], get["max"], row.bound))
        verdict = "" if row.holds else "  NOT HELD"
        lines.append(f"{row.fault:18} {row.route:7} {get['rate']:7.0f} {errors:7} {times}{verdict}")
    if any(row.fault == "none" and row.figures["p99"] > BUSY_SECONDS for row in rows):
        lines.append("This machine was busy with other things: even without a fault answers were slow.")
    return "\n".join(lines)


async def run(folder: Path, faults: list[str], rate: int, seconds: float) -> list[Row]:
    """All faults in turn. Raises SceneError."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    rows: list[Row] = []
    async with Scene(folder, 0, (LEGACY, CANDIDATE), configuration, ledgers=False, wired=False) as scene:
        for number, fault in enumerate(faults):
            if number:
                await asyncio.sleep(RECOVERY_SECONDS)  # until every breaker has closed again
            print(f"outage: candidate {fault}", file=sys.stderr, flush=True)
            rows += await measure(scene, fault, rate, seconds)
    return rows


def main() -> int:
    """0 if the rule held under every fault, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outage", description="Latency and errors in outages.")
    parser.add_argument("--rate", type=int, default=RATE, help="requests per second, of both routes together")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of load for each fault")
    parser.add_argument("--faults", metavar="A,B", help=f"of: {'; '.join(FAULTS)}")
    options = parser.parse_args()
    faults = [name.strip() for name in options.faults.split(",")] if options.faults else list(FAULTS)
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"unknown: {', '.join(unknown)}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    folder = Path(tempfile.mkdtemp(prefix="banyan-outage-"))
    try:
        rows = asyncio.run(run(folder, faults, options.rate, options.seconds))
    except SceneError as error:
        print(f"outage: {error}; logs are in {folder}", file=sys.stderr)
        return 1
    lasts = options.seconds - HEALTH_SECONDS - RECOVERY_SECONDS
    print(f"{options.rate} GET/s, half to each route; each fault lasts {lasts:g} s; {os.cpu_count()} cores")
    print(render(rows))
    held = all(row.holds for row in rows)
    if held:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs are in {folder}", file=sys.stderr)
    return 0 if held else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\noutage: interrupted; everything it started has been stopped", file=sys.stderr)
        sys.exit(130)
