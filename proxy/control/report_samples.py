"""One recorded pair as the report shows it: the answers beside each other, around what differs.

Law: bounded, whatever was recorded, and taken from records that were redacted before they were stored. What is left
out is marked.
"""

from __future__ import annotations

from typing import Any

import msgspec

MAX_ROWS = 30
"""Lines of two answers beside each other; the report is read by people, ``banyan diffs show`` has the rest."""
AROUND = 3
"""Equal lines that are kept before and after one that differs."""
MAX_COLUMNS = 200
MAX_VALUES = 12
LEFT_OUT = "…"


class Answered(msgspec.Struct):
    """One side: ``status`` 0 and a ``failure`` if there was no answer; ``size`` in bytes."""

    status: int
    failure: str
    seconds: float
    size: int


class Value(msgspec.Struct):
    """One difference of the pair."""

    kind: str
    path: str
    legacy: str
    candidate: str


class SideBySide(msgspec.Struct):
    """One recorded pair. ``rows`` are [mark, legacy's line, candidate's line]; marks are `` ``, ``~``, ``-``, ``+``,
    and ``…`` for lines that are left out."""

    id: str
    at: str
    method: str
    target: str
    legacy: Answered
    candidate: Answered
    values: list[Value]
    rows: list[list[str]]


def side_by_side_of(record: dict[str, Any]) -> SideBySide | None:
    """What the report shows of a stored record; None for one of another release that says something else."""
    try:
        return SideBySide(
            id=str(record["id"]),
            at=str(record["at"]),
            method=str(record["request"]["method"]),
            target=_cut(str(record["request"]["target"])),
            legacy=_answered(record["legacy"]),
            candidate=_answered(record["candidate"]),
            values=[
                Value(str(one["kind"]), str(one["path"]), _cut(str(one["legacy"])), _cut(str(one["candidate"])))
                for one in record["differences"][:MAX_VALUES]
            ],
            rows=around(record["side_by_side"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _answered(side: dict[str, Any]) -> Answered:
    return Answered(
        int(side["status"]), str(side["failure"]), float(side["seconds"]), int(side["body"].get("bytes", 0))
    )


def around(rows: list[list[str]]) -> list[list[str]]:
    """The rows that differ with some equal ones around them, at most MAX_ROWS."""
    near = {number + step for number, row in enumerate(rows) if row[0] != " " for step in range(-AROUND, AROUND + 1)}
    kept: list[list[str]] = []
    for number, (mark, left, right) in enumerate(rows):
        if number in near:
            if len(kept) >= MAX_ROWS:
                kept.append([LEFT_OUT, "", ""])
                break
            kept.append([mark, _cut(left), _cut(right)])
        elif not kept or kept[-1][0] != LEFT_OUT:
            kept.append([LEFT_OUT, "", ""])
    return kept if any(mark != LEFT_OUT for mark, _, _ in kept) else []


def _cut(text: str) -> str:
    return text if len(text) <= MAX_COLUMNS else text[: MAX_COLUMNS - 1] + LEFT_OUT
