"""The table at the end of a run.

Law: what is shown is what was counted; nothing is judged here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tests.chaos.plan import PHASES
from tests.chaos.run import Summary

WIDTH = 120
MAX_SHOWN = 20
"""Violations of one rule that are listed."""


def render(summary: Summary) -> str:
    """The whole report, as text."""
    return "\n".join(_lines(summary))


def _lines(summary: Summary) -> Iterator[str]:
    yield f"{'rule':36} {'checked':>10} {'violations':>10}"
    findings = [*summary.findings.values(), summary.life]
    for found in findings:
        yield f"{found.title:36} {found.checked:10,} {len(found.violations):10,}"
    yield ""
    kinds = sorted({kind for _, kind in summary.outcomes})
    yield f"{'phase':10} " + " ".join(f"{kind:>9}" for kind in kinds) + f" {'p50':>9} {'p99':>9} {'max':>9}"
    for phase in PHASES:
        counts = " ".join(f"{summary.outcomes[phase, kind]:9,}" for kind in kinds)
        times = sorted(summary.latencies.get(phase, ()))
        yield f"{phase:10} {counts} {_at(times, 0.5)} {_at(times, 0.99)} {_at(times, 1.0)}"
    yield ""
    yield _list("done", [f"{what} {times:,}" for what, times in sorted(summary.done.items())])
    yield _list("seen", [f"{what} {times:,}" for what, times in summary.witnesses.items()])
    for found in findings:
        if found.violations:
            yield f"\n{found.title}:"
            yield from (f"  {text}" for text in found.violations[:MAX_SHOWN])
            if len(found.violations) > MAX_SHOWN:
                yield f"  … and {len(found.violations) - MAX_SHOWN:,} more"


def _list(name: str, items: list[str]) -> str:
    return textwrap.fill(f"{name}: " + ", ".join(items), WIDTH, subsequent_indent="  ")


def _at(times: list[float], quantile: float) -> str:
    if not times:
        return f"{'-':>9}"
    return f"{times[min(len(times) - 1, int(quantile * len(times)))] * 1000:6.0f} ms"
