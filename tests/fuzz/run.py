"""Runs targets in turn, counts, makes what it finds small and writes it down.

Law: the same seed gives the same cases in the same order; a finding is written to a file that replays it.
"""

from __future__ import annotations

import base64
import collections
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.messages import Answer, Pair
from tests.fuzz.dice import Dice, smaller
from tests.fuzz.oracles import REDACTORS, Court, Finding, told

Target = Callable[[Court, Dice], None]
SHRINK_SECONDS = 20.0
INCOMPARABLE_SHARE = 0.05
"""Of the comparisons of a target that is about well-formed bodies; above it the oracles are asleep."""


class Tally:
    """What a run found and counted, by target."""

    def __init__(self) -> None:
        self.cases: collections.Counter[str] = collections.Counter()
        self.seconds: collections.Counter[str] = collections.Counter()
        self.courts: dict[str, Court] = {}
        self.findings: dict[str, tuple[str, Path]] = {}


def one(target: Target, court: Court, dice: Dice) -> None:
    """One case. Raises Finding, whatever went wrong."""
    try:
        target(court, dice)
    except Finding:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of the fuzzer is a finding, too
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise Finding(f"the fuzzer itself: {type(error).__name__} at {where.name}", told(error)) from None


def run(
    targets: Mapping[str, Target],
    seed: int,
    seconds: float,
    *,
    cases: int = 0,
    most_findings: int = 1,
    seldom: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Run the targets in turn for ``seconds`` (or ``cases`` of each), until there are ``most_findings``. Of those in
    ``seldom`` only every so manieth case is run."""
    tally = Tally()
    deadline = time.monotonic() + seconds
    number = 0
    while (number < cases if cases else time.monotonic() < deadline) and len(tally.findings) < most_findings:
        for name, target in targets.items():
            if seldom is not None and number % seldom.get(name, 1):
                continue
            court = tally.courts.setdefault(name, Court())
            court.redactor = REDACTORS[number % len(REDACTORS)]
            dice = Dice(f"{seed}:{name}:{number}")
            began = time.process_time()
            try:
                one(target, court, dice)
            except Finding as finding:
                if finding.oracle not in tally.findings:
                    tally.findings[finding.oracle] = written(name, target, seed, number, dice, finding)
                    text, path = tally.findings[finding.oracle]
                    say(f"FOUND: {text}\nagain: python -m tests.fuzz --replay {path}\n")
            tally.cases[name] += 1
            tally.seconds[name] += time.process_time() - began  # type: ignore[assignment]  # a Counter of floats
        number += 1
    return tally


def written(name: str, target: Target, seed: int, number: int, dice: Dice, finding: Finding) -> tuple[str, Path]:
    """The finding made small, as text, and the file that replays it."""
    last = finding
    redactor = REDACTORS[number % len(REDACTORS)]

    def still(choices: list[int]) -> bool:
        nonlocal last
        try:
            one(target, Court(redactor), Dice(given=choices))
        except Finding as again:
            if again.oracle == finding.oracle:
                last = again
                return True
        return False

    choices = smaller(dice.made, still, SHRINK_SECONDS)
    still(choices)
    path = Path(tempfile.gettempdir()) / f"banyan-fuzz-{name}-{seed}-{number}.json"
    path.write_text(json.dumps({
        "target": name, "seed": seed, "number": number, "oracle": finding.oracle, "text": str(last),
        "choices": choices, "evidence": _plain(last.evidence),
    }, indent=1))  # fmt: skip
    return str(last), path


def replay(targets: Mapping[str, Target], path: Path) -> str:
    """Run a written case again: what it finds, '' if nothing."""
    case = json.loads(path.read_text())
    try:
        court = Court(REDACTORS[case["number"] % len(REDACTORS)])
        one(targets[case["target"]], court, Dice(given=case["choices"]))
    except Finding as finding:
        return str(finding)
    return ""


def _plain(value: Any) -> Any:
    """Evidence as JSON values that a person can read and a program can take back."""
    if isinstance(value, Pair):
        return {"legacy": _plain(value.legacy), "candidate": _plain(value.candidate)}
    if isinstance(value, Answer):
        return {
            **{name: getattr(value, name) for name in ("status", "truncated", "failure", "size")},
            "fields": [f"{key.decode('latin-1')}: {text.decode('latin-1')}" for key, text in value.fields],
            "body": repr(value.body[:4000]), "body_base64": base64.b64encode(value.body[:1_000_000]).decode(),
        }  # fmt: skip
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return repr(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def report(tally: Tally) -> str:
    """The figures of a run as text."""
    lines = [f"{'target':<12} {'cases':>10} {'cases/s':>9} {'asked':>10}  verdicts"]
    for name, count in tally.cases.items():
        court = tally.courts[name]
        rate = count / max(tally.seconds[name], 1e-9)
        said = ", ".join(f"{word} {times:,}" for word, times in court.verdicts.most_common())
        why = ", ".join(f"{word} {times:,}" for word, times in court.reasons.most_common())
        lines.append(f"{name:<12} {count:>10,} {rate:>9,.0f} {court.asked:>10,}  {said}{f' ({why})' if why else ''}")
    slow = sorted((item for court in tally.courts.values() for item in court.outliers), reverse=True)[:5]
    lines += [f"slow: {spent:.2f} s of CPU time for {what}" for spent, what in slow]
    return "\n".join(lines)


def sleepy(tally: Tally, names: set[str]) -> list[str]:
    """The targets among ``names`` of which so much was incomparable that they prove little."""
    return [
        name
        for name, court in tally.courts.items()
        if name in names and court.verdicts["incomparable"] > INCOMPARABLE_SHARE * max(court.asked, 200)
    ]
