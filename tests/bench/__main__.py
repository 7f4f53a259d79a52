"""``make bench``: Banyan beside Envoy, nginx and HAProxy, in one run, in one table.

Law: bounded in time, all on loopback, and nothing is left running. The exit code is 0 when the run went through,
whether or not the bars are met: a benchmark reports, it does not judge on a machine that it does not know.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import bench_compare, cases, install, peers, runner, table

MICRO = {
    "bench_routing": ("one match among 1,000 mixed routes, in µs", cases.Bar(5.0, at_least=False)),
    "bench_compare": ("comparing", bench_compare.BARS),
    "bench_resilience": ("breaker, bulkhead and retry budget of one request, in µs", cases.Bar(1.0, at_least=False)),
}
"""Modules beside this one with ``measure()``: it returns one figure, or a mapping from what was measured to figures."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    keys = [case.key for case in cases.CASES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmark Banyan beside its peers.")
    parser.add_argument("--only", metavar="A,B", help=f"of {','.join(peers.NAMES)}; all of them without it")
    parser.add_argument("--cases", metavar="A,B", help=f"of {','.join(keys)},micro; all of them without it")
    parser.add_argument("--seconds", type=int, metavar="N", help="per run (4; 1 with --quick)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is run, in turn (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="one round of one second: for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    options = parser.parse_args(argv)
    options.seconds = options.seconds or (1 if options.quick else 4)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.only = _choice(parser, "--only", options.only, list(peers.NAMES))
    options.cases = _choice(parser, "--cases", options.cases, [*keys, "micro"])
    if min(options.seconds, options.rounds) < 1:
        parser.error("--seconds and --rounds must be at least 1")
    return options


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, _interrupt)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    chosen = [case for case in cases.CASES if case.key in options.cases]
    cores = runner.divide(sorted(os.sched_getaffinity(0)))
    missing: list[str] = []
    results = None
    began = time.monotonic()
    if chosen:
        missing = install.install_missing(["wrk", *dict.fromkeys(["nginx", *options.only])])
        memory = Path("/dev/shm")  # answers are served from memory, so that no disk is measured
        with tempfile.TemporaryDirectory(
            prefix="banyan-bench-", dir=memory if os.access(memory, os.W_OK) else None
        ) as folder:
            targets = [name for name in options.only if install.find(name)]
            run = runner.Runner(
                Path(folder), cores, targets, seconds=options.seconds, rounds=options.rounds, say=_progress
            )
            try:
                results = run.run(chosen)
            except RuntimeError as error:
                print(f"\nbench: {error}", file=sys.stderr)
                return 1
            finally:
                _progress("")
    machine = table.machine()
    _print_head(machine, cores, options)
    if results is not None:
        print(table.render(results, chosen, options.only))
        print()
        for remark in [*missing, *table.remarks(results, cores.enough)]:
            print(f"- {remark}")
        if options.json:
            runner.save(options.json, results, machine)
    if "micro" in options.cases:
        os.sched_setaffinity(0, cores.proxy)
        for text in _micro():
            print(f"\n{text}")
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


def _print_head(machine: dict[str, str], cores: runner.Cores, options: argparse.Namespace) -> None:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "envoy", "nginx", "haproxy", "wrk"))
    print(f"{machine['cpu']}; {machine['kernel']}; {versions}")
    print(
        f"proxy on core {_list(cores.proxy)}, origin and load on {_list(cores.load)}; medians of {options.rounds} "
        f"rounds of {options.seconds} s; ratios are medians of the ratios within a round\n"
    )


def _list(cores: list[int]) -> str:
    return ", ".join(map(str, cores))


def _micro() -> Iterator[str]:
    for module, (title, bar) in MICRO.items():
        name = f"tests.bench.{module}"
        if importlib.util.find_spec(name) is None:
            continue
        figures: Any = importlib.import_module(name).measure()
        yield table.micro(title, figures if isinstance(figures, Mapping) else {"": figures}, bar)


def _choice(parser: argparse.ArgumentParser, flag: str, given: str | None, known: list[str]) -> list[str]:
    if given is None:
        return known
    wanted = [word.strip() for word in given.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in known]
    if unknown or not wanted:
        parser.error(f"{flag}: {', '.join(unknown) or 'nothing'} is not one of {', '.join(known)}")
    return [word for word in known if word in wanted]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nbench: interrupted; everything it started has been stopped", file=sys.stderr)
        sys.exit(130)
