"""A stored sample in deepdiff's words.

Law: only what has been redacted is explained, only small documents, so that no explanation takes long, and an
explanation that met a limit is none and says so.
"""

from __future__ import annotations

from typing import Any

import orjson
from deepdiff import DeepDiff

MAX_BYTES = 32 * 1024
"""Of each side's redacted text."""

MAX_VALUES = 500
"""Members, items and containers of each side: what deepdiff takes longest for, lists of few different values, takes 40
ms with so many, and four times as long with twice as many."""

MAX_DEPTH = 20
"""deepdiff spells out the whole path of each value: one value 100 lists deep takes 60 ms, 200 deep 300 ms."""

MAX_PASSES = 20_000
"""Behind the bounds above never reached; deepdiff would leave off and look as if the rest were equal."""

MAX_TEXT = 16 * 1024
TOO_LARGE = f"not explained: more than {MAX_VALUES} values, {MAX_DEPTH} levels or {MAX_BYTES // 1024} KiB"
BUSY = "not explained: the comparator was behind"


def explain(legacy: dict[str, Any], candidate: dict[str, Any]) -> str:
    """What deepdiff says about two recorded bodies (``bodies.body``), or why it is not asked; '' if they are not JSON.

    Never raises: a pair is recorded, explained or not.
    """
    sides = []
    for side in (legacy, candidate):
        if side["kind"] != "json":
            return ""
        if side["cut"] or len(side["text"]) > MAX_BYTES:
            return TOO_LARGE
        try:
            sides.append(orjson.loads(side["text"]))
        except orjson.JSONDecodeError:  # a number that only fits into our own parser
            return "not explained: a number is too large"
    if not all(_is_small(side) for side in sides):
        return TOO_LARGE
    try:
        return _explained(sides[0], sides[1])
    except Exception as error:  # noqa: BLE001 - see above; what a library stumbles over is anybody's guess
        return f"not explained: {type(error).__name__} in deepdiff"


def _explained(legacy: Any, candidate: Any) -> str:
    found = DeepDiff(
        legacy,
        candidate,
        threshold_to_diff_deeper=0,  # otherwise it stops above the field that differs
        ignore_order=False,
        verbose_level=2,
        max_diffs=MAX_PASSES,
    )
    stats = found.get_stats()  # type: ignore[no-untyped-call]  # deepdiff's types are incomplete
    if stats.get("MAX DIFF LIMIT REACHED") or stats.get("MAX PASS LIMIT REACHED"):
        return TOO_LARGE
    return str(found.pretty())[:MAX_TEXT]


def _is_small(document: Any) -> bool:
    """Whether a document has at most ``MAX_VALUES`` values and ``MAX_DEPTH`` levels."""
    values = 0
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        values += len(level)
        if not level or values > MAX_VALUES:
            return not level
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict | list) and len(value) <= MAX_VALUES:
                below += value.values() if isinstance(value, dict) else value
            elif isinstance(value, dict | list):
                return False
        level = below
    return False
