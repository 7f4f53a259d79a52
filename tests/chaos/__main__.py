"""``make chaos``: everything fails, and the ledgers must agree afterwards.

Law: bounded in time, on loopback, nothing is left running, also after Ctrl-C. The exit code is 0 if every rule held, 1
if one did not or the run could not be made, 130 if it was interrupted. With the same seed and length the plan is the
same; ``--plan`` prints it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos import plan
from tests.chaos.report import render
from tests.chaos.run import Summary, run
from tests.chaos.scene import SceneError

DEFAULT_SECONDS = 120.0
DEFAULT_CLIENTS = 32
SPARE_SECONDS = 60.0
"""Above a run's length: start, quiet after each cycle (see CYCLE_SPARE_SECONDS), end."""
CYCLE_SPARE_SECONDS = 75.0
"""The worst that one cycle may take over its plan: healing, patient clients, waiting for quiet."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The options; their defaults come from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Check the ledgers under random faults.",
        epilog="CHAOS_SECONDS, CHAOS_SEED and CHAOS_CLIENTS in the environment stand for the options.",
    )  # fmt: skip
    env = os.environ.get
    parser.add_argument("--seconds", type=float, default=env("CHAOS_SECONDS") or DEFAULT_SECONDS, metavar="N")
    parser.add_argument("--seed", type=int, default=env("CHAOS_SEED") or None, metavar="N", help="of an earlier run")
    parser.add_argument("--clients", type=int, default=env("CHAOS_CLIENTS") or DEFAULT_CLIENTS, metavar="N")
    parser.add_argument("--plan", action="store_true", help="print what would be done, and when, and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep logs and ledgers of a clean run, too")
    options = parser.parse_args(argv)
    if options.seconds <= 0 or options.clients < 1:
        parser.error("--seconds and --clients must be above 0")
    if options.seed is None:
        options.seed = secrets.randbelow(1_000_000)
    return options


def main() -> int:
    """Returns the exit code."""
    options = parse()
    cycles = plan.make(options.seed, options.seconds)
    if options.plan:
        for cycle in cycles:
            ends = ", ".join(f"{phase} until {end:.1f} s" for phase, end in cycle.ends.items())
            print(f"cycle {cycle.number}: {ends}", *cycle.steps, sep="\n")
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    folder = Path(tempfile.mkdtemp(prefix="banyan-chaos-"))
    _say(f"chaos: seed {options.seed}, {options.seconds:g} s in {len(cycles)} cycles, {options.clients} clients")
    keep = options.keep
    try:
        summary = asyncio.run(_bounded(folder, cycles, options))
        keep |= not summary.clean
        print(render(summary))
        if not summary.clean:
            print(f"\nNOT CLEAN: CHAOS_SEED={options.seed} CHAOS_SECONDS={options.seconds:g} make chaos")
        return 0 if summary.clean else 1
    except Exception as error:
        keep = True
        if not isinstance(error, SceneError | TimeoutError):
            raise
        print(f"chaos: {str(error) or 'the run did not end in time'}", file=sys.stderr)
        return 1
    finally:
        if keep:
            _say(f"logs and ledgers are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _bounded(folder: Path, cycles: tuple[plan.Cycle, ...], options: argparse.Namespace) -> Summary:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    longest = SPARE_SECONDS + len(cycles) * (cycles[0].ends["clear"] + CYCLE_SPARE_SECONDS)
    async with asyncio.timeout(longest):
        return await run(folder, cycles, options.seed, options.clients, _say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nchaos: interrupted; everything it started has been stopped", file=sys.stderr)
        sys.exit(130)
