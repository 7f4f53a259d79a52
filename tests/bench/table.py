"""Turns results into the one table and the lines below it.

Law: nothing is shown that was not measured in this run. An empty cell is ``-`` and a line below says why.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.bench import cases, install, load, runner

BUSY_ENOUGH = 0.9
"""Below it the proxy had time to spare: the load side was the limit."""
NOISY = 0.05
"""Above it somebody else used the proxy's core so much that single figures say little."""


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    versions = {name: install.version(name) for name in ("envoy", "nginx", "haproxy", "wrk")}
    return {
        "cpu": f"{model}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, traffic path {'compiled' if _compiled() else 'interpreted'}",
        **{name: text or "missing" for name, text in versions.items()},
    }


def _compiled() -> bool:
    """Whether the Banyan that is measured has its traffic path compiled (setup.py)."""
    spec = importlib.util.find_spec("proxy.core.gate")
    return spec is not None and not str(spec.origin).endswith(".py")


def render(results: runner.Results, chosen: list[cases.Case], targets: list[str]) -> str:
    """The table in Markdown."""
    peers_of_ratio = [name for name in ("envoy", "nginx") if {name, "banyan"} <= set(targets)]
    head = ["case", "unit", *targets, *(f"banyan / {name}" for name in peers_of_ratio), "bar", "held"]
    lines = [head]
    for case in chosen:
        for row in case.rows:
            cells = [row.title, row.unit]
            cells += [_value(results, case, row, name) for name in targets]
            cells += [_ratio(results, case, row, name) for name in peers_of_ratio]
            cells += [", ".join(map(str, row.bars)) or "-", _verdict(results, case, row)]
            lines.append(cells)
    return _markdown(lines)


def micro(title: str, figures: Mapping[str, Any], bars: cases.Bar | Mapping[str, cases.Bar] | None) -> str:
    """The figures of a small benchmark; one bar is for each of them, a mapping for those that it names."""
    lines = []
    for name, value in figures.items():
        text = str(value)
        if isinstance(value, float):
            text = f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"
        bar = bars.get(name) if isinstance(bars, Mapping) else bars
        if bar is not None:
            text += f" (bar {bar}: {'met' if bar.met(value) else '**not met**'})"
        lines.append(f"- {title}{', ' if name else ''}{name}: {text}")
    return "\n".join(lines)


def remarks(results: runner.Results, own_cores: bool) -> Iterator[str]:
    """What a reader must know to read the table rightly."""
    if results.direct:
        p50, p99 = (statistics.median(run[key] for run in results.direct) * 1e6 for key in ("p50", "p99"))
        rate = min(run["rate"] for run in results.direct)
        yield (
            f"The fixed-rate generator against the origin with no proxy between: {rate:,.0f} req/s, p50 {p50:,.0f} µs, "
            f"p99 {p99:,.0f} µs. This is part of every latency above."
        )
    limited = sorted(
        f"{case} {target} ({statistics.median(run.busy for run in runs):.0%})"
        for (case, target), runs in results.notes.items()
        if _load_limited(runs)
    )
    if limited:
        yield (
            "`*` The proxy used less than 90 % of its core, because origin and load generator were the limit; it can "
            "do more than the figure says: " + ", ".join(limited) + "."
        )
    for (case, target), runs in results.notes.items():
        copied = min(run.copied for run in runs)
        if _is_shadow(case) and copied < cases.COPIED_ENOUGH:
            yield f"{case}: {target} copied only {copied:.1%} of the requests in one round."
    if results.compared is not None:
        yield f"Banyan reports a verdict for {results.compared:.1%} of the requests that were to be shadowed."
    noise = [run.waited for runs in results.notes.values() for run in runs]
    if noise and max(noise) > NOISY:
        yield (
            f"Noise: in {sum(share > NOISY for share in noise)} of {len(noise)} runs the proxy waited more than "
            f"{NOISY:.0%} of the time for its core (at worst {max(noise):.0%}), because something else was running."
        )
    if any(case == "workers" for case, _, _ in results.samples) and not own_cores:
        yield (
            "Two workers had no cores of their own here: proxy, origin and load generator shared one core for one "
            "worker, and two cores for two."
        )
    for (case, target), why in results.failures.items():
        yield f"{target} has no figure for {case}: {why}"


def _is_shadow(case: str) -> bool:
    return next((known.copies for known in cases.CASES if known.key == case), False)


def _value(results: runner.Results, case: cases.Case, row: cases.Row, target: str) -> str:
    value = results.median(case.key, row.metric, target)
    if value is None:
        return "-"
    text = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
    return text + ("*" if _load_limited(results.notes.get((case.key, target), [])) else "")


def _load_limited(runs: list[load.Saturation]) -> bool:
    return bool(runs) and statistics.median(run.busy + run.waited for run in runs) < BUSY_ENOUGH


def _ratio(results: runner.Results, case: cases.Case, row: cases.Row, peer: str) -> str:
    ratio = results.ratio(case.key, row.metric, "banyan", peer)
    return "-" if ratio is None else f"{ratio:.2f}"


def _verdict(results: runner.Results, case: cases.Case, row: cases.Row) -> str:
    verdicts = []
    for bar in row.bars:
        if bar.peer is None:
            figure = results.median(case.key, row.metric, "banyan")
        else:
            figure = results.ratio(case.key, row.metric, "banyan", bar.peer)
        if figure is None or (case.copies and not _all_copied(results, case)):
            verdicts.append("not measured")
        else:
            verdicts.append("met" if bar.met(figure) else "**not met**")
    return ", ".join(dict.fromkeys(verdicts) if len(set(verdicts)) == 1 else verdicts) or "-"


def _all_copied(results: runner.Results, case: cases.Case) -> bool:
    runs = results.notes.get((case.key, "banyan"), [])
    return bool(runs) and min(run.copied for run in runs) >= cases.COPIED_ENOUGH


def _markdown(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    out = []
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("| " + " | ".join(cells) + " |")
        if number == 0:
            rules = ["-" * width if at < 2 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
            out.append("| " + " | ".join(rules) + " |")
    return "\n".join(out)
