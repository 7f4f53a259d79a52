"""``make fuzz``: bodies and rules by chance, until the time is up or something is found.

Law: the seed is printed first; with the same seed the cases are the same. The exit code is 0 if nothing was found, 1 if
something was, 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import sys
import time
from pathlib import Path

from tests.fuzz.run import replay, report, run, sleepy
from tests.fuzz.targets import SELDOM, TARGETS, WELL_FORMED

MEMORY_BYTES = 4 * 1024**3
"""Of address space: a case that wants more ends in a finding, not in a machine that swaps."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The options; their defaults come from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Look for bodies and rules that are compared wrongly.",
        epilog="FUZZ_SECONDS and FUZZ_SEED in the environment stand for the options.",
    )  # fmt: skip
    env = os.environ.get
    parser.add_argument("--seconds", type=float, default=env("FUZZ_SECONDS") or 60.0, metavar="N")
    parser.add_argument("--seed", type=int, default=env("FUZZ_SEED") or None, metavar="N", help="of an earlier run")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this one; may be repeated")
    parser.add_argument("--findings", type=int, default=1, metavar="N", help="stop after so many different ones")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run a case that was written down")
    options = parser.parse_args(argv)
    if options.seed is None:
        options.seed = secrets.randbelow(1_000_000)
    return options


def main() -> int:
    """Returns the exit code."""
    options = parse()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    if options.replay:
        found = replay(TARGETS, options.replay)
        print(found or "nothing is found any more")
        return 1 if found else 0
    chosen = {name: target for name, target in TARGETS.items() if not options.target or name in options.target}
    print(f"fuzz: seed {options.seed}, {options.seconds:g} s, {', '.join(chosen)}", flush=True)
    began = time.monotonic()
    seldom = SELDOM if len(chosen) > 1 else None
    tally = run(chosen, options.seed, options.seconds, most_findings=options.findings, seldom=seldom, say=_say)
    print(report(tally))
    asleep = sleepy(tally, WELL_FORMED)
    for name in asleep:
        print(f"\nFOUND: too much of {name} is incomparable for the target to prove anything")
    print(f"\n{time.monotonic() - began:.0f} s, seed {options.seed}: {len(tally.findings) + len(asleep)} found")
    return 1 if tally.findings or asleep else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nfuzz: interrupted", file=sys.stderr)
        sys.exit(130)
