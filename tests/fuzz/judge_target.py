"""The comparator's heart as a whole: compared, counted, redacted, recorded.

Law: no pair, however made, is a fault of ours, and each is counted once.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz import hostile
from tests.fuzz.dice import Dice
from tests.fuzz.hostile_targets import answer_of
from tests.fuzz.oracles import Court, Finding, guarded, pair


@cache
def _judge() -> Any:
    from proxy.config.model import Retention, Settings
    from proxy.control.judge import Judge
    from proxy.store.diff_writer import DiffWriter

    folder = tempfile.TemporaryDirectory(prefix="banyan-fuzz-")  # removed when the process ends
    writer = DiffWriter(Path(folder.name) / "fuzz.db", Retention(), lambda bound: bound - 1, lambda event, text: None)
    writer.start()
    judge = Judge(writer)
    judge.configure(Settings.model_validate(
        {"upstreams": {"m": {"endpoints": ["http://127.0.0.1:1"]}}, "legacy": "m",
         "routes": [{"id": "fuzz", "match": {"path": "/fuzz"}}]}
    ))  # fmt: skip
    judge.__dict__["folder"] = folder
    return judge


def judged(court: Court, dice: Dice) -> None:
    """A whole comparator: every pair gets a verdict that is counted, and is recorded without a fault."""
    first = hostile.honest(dice)
    legacy = answer_of(first.body, first.media, dice)
    candidate = answer_of(hostile.damaged(first.body, dice), first.media, dice)
    made = pair(legacy, candidate, [(b"Cookie", b"a=b"), (b"Content-Type", first.media)])
    made.body = hostile.damaged(first.body, dice)
    made.target = b"/fuzz?" + hostile.damaged(b"a=1&b=2", dice)
    made.purpose = dice.pick(("compare", "compare", "self", "read-back"))
    judge = _judge()
    judge.lost.clear()  # a fault of an earlier case is not one of this
    before = sum(sum(counters.verdicts.values()) for counters in judge.routes.values())
    with guarded("Judge.judge", pair=made):
        result = judge.judge(made, leisure=dice.chance(8))
    court.asked += 1
    court.verdicts[result.verdict] += 1
    if result.reason == "internal-error" or judge.lost:
        raise Finding("judge: a fault of ours", f"{result} {judge.lost}"[:1500], pair=made)
    after = sum(sum(counters.verdicts.values()) for counters in judge.routes.values())
    if after != before + 1 and made.purpose == "compare":
        raise Finding("judge: a pair is not counted once", f"{before} {after}", pair=made)
