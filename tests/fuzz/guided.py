"""Bodies led by coverage: what reaches a new line of the comparing is changed further.

    python -m tests.fuzz.guided --seconds 600 [--corpus FOLDER]

Needs atheris (``pip install -e .[fuzz]``), which exists for Linux and CPython 3.11 and newer.

Law: the same oracles as everywhere; a finding ends the run, and libFuzzer leaves the input in the working folder, from
where it can be given again as the only argument.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["proxy.compare"]):
    import proxy.compare.record
    import proxy.compare.rules
    import proxy.compare.verdict  # noqa: F401 - imported here so that it is instrumented

from proxy.config.comparing import Compare
from proxy.messages import Answer, Fields
from tests.fuzz import hostile, slow
from tests.fuzz.dice import Dice
from tests.fuzz.oracles import Court, Finding
from tests.fuzz.targets import TARGETS

LIMIT_BYTES = 4096
SPLIT = b"\xff\xff|"
"""Stands between the two bodies of an input; it cannot stand in UTF-8."""
COURT = Court()
RULES = (
    None, Compare(headers=[]), Compare(ignore=["$.a", "$..id"], headers=[]),
    Compare(unordered={"$": None, "$.items": "id"}), Compare(tolerance={"$..price": 0.01}),
)  # fmt: skip


def bodies(data: bytes) -> None:
    """Two bytes choose media type, coding and rules; the rest is one body, or two around ``SPLIT``."""
    if len(data) < 3:
        return
    media = hostile.TYPES[data[0] % len(hostile.TYPES)]
    coding = hostile.CODINGS[data[1] % len(hostile.CODINGS)] if data[1] > 127 else b""
    rules = RULES[data[2] % len(RULES)]
    one, found, two = data[3:].partition(SPLIT)
    fields: Fields = [(b"Content-Type", media), (b"Content-Encoding", coding)]
    legacy = Answer(200, fields, one, False, 0.01)
    candidate = Answer(200, fields, two if found else one + b" ", False, 0.01)
    result = COURT.ask(legacy, candidate, rules, recorded=data[2] > 200, request=fields)
    back = COURT.ask(candidate, legacy, rules)
    if result.verdict != back.verdict and "incomparable" not in (result.verdict, back.verdict):
        raise Finding("guided: not symmetric", f"{result}\n{back}")
    plain = rules is None and media == b"application/json" and not coding and legacy.body != candidate.body
    if result.verdict == "matched" and plain and slow.opinion(legacy.body, candidate.body) != "same":
        raise Finding("guided: a false match", f"{legacy.body!r} {candidate.body!r}")


def choices(data: bytes) -> None:
    """The input as the choices of one of the other targets: structure led by coverage."""
    names = [name for name in TARGETS if name not in ("hostile", "judge")]
    if data:
        given = [data[at] << 8 | data[at + 1] for at in range(1, len(data) - 1, 2)]
        TARGETS[names[data[0] % len(names)]](COURT, Dice(given=given))


def one(data: bytes) -> None:
    """One input; its first byte says which way it is read."""
    if data:
        (choices if data[0] & 1 else bodies)(data[1:])


def seeds(folder: Path) -> None:
    """Honest bodies to begin with."""
    for number in range(300):
        dice = Dice(f"corpus {number}")
        made = hostile.honest(dice)
        media = next((at for at, media in enumerate(hostile.TYPES) if media == made.media), 0)
        head = bytes([0, media, 0, dice.below(256)])
        (folder / f"seed-{number}").write_bytes(
            head + made.body[:2000] + SPLIT + hostile.damaged(made.body, dice)[:1500]
        )


def main() -> None:
    """Runs until the time is up or something is found; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="kept between runs; a temporary one without it")
    options = parser.parse_args()
    folder = options.corpus or Path(tempfile.mkdtemp(prefix="banyan-fuzz-corpus-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        seeds(folder)
    flags = [f"-max_total_time={options.seconds}", f"-max_len={LIMIT_BYTES}", "-timeout=20", "-rss_limit_mb=3000"]
    artifacts = f"-artifact_prefix={tempfile.gettempdir()}/banyan-guided-"
    atheris.Setup([sys.argv[0], *flags, artifacts, str(folder)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
