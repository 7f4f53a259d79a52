"""A stored sample in deepdiff's words.

Law: only what has been redacted is explained, only small documents, and an explanation that met a limit is none.
"""

from __future__ import annotations

from typing import Any

import orjson

MAX_BYTES = 32 * 1024
"""Of each side's redacted text; larger documents have no explanation."""

MAX_PASSES = 20_000
MAX_TEXT = 16 * 1024


def explain(legacy: dict[str, Any], candidate: dict[str, Any]) -> str:
    """What deepdiff says about two recorded bodies (``record.body``); '' where it has nothing to say or may not."""
    sides = []
    for side in (legacy, candidate):
        if side["kind"] != "json" or side["cut"] or len(side["text"]) > MAX_BYTES:
            return ""
        sides.append(orjson.loads(side["text"]))
    from deepdiff import DeepDiff  # 76 ms to import; most pairs are never explained

    found = DeepDiff(
        sides[0],
        sides[1],
        threshold_to_diff_deeper=0,  # otherwise it stops above the field that differs
        ignore_order=False,
        verbose_level=2,
        max_diffs=MAX_PASSES,
    )
    stats = found.get_stats()  # type: ignore[no-untyped-call]  # deepdiff's types are incomplete
    if stats.get("MAX DIFF LIMIT REACHED") or stats.get("MAX PASS LIMIT REACHED"):
        return ""  # what is left then looks like equality
    return str(found.pretty())[:MAX_TEXT]
