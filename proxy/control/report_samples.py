"""One recorded pair as the report shows it: the answers beside each other, around what differs.

Law: bounded, whatever was recorded, and taken from records that were redacted before they were stored. What is left
out is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import msgspec

from proxy.control.marked import WORDS, mark_rows, note_on

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
    """One recorded pair. ``rows`` are [mark, legacy's line, candidate's line, what]; marks are `` ``, ``~``, ``-``,
    ``+``, and ``…`` for lines that are left out; ``what`` is as in :func:`proxy.control.marked.mark_rows`. ``note``
    says what the rows cannot show; mostly empty."""

    id: str
    at: str
    method: str
    target: str
    legacy: Answered
    candidate: Answered
    values: list[Value]
    rows: list[list[str]]
    note: str = ""


def side_by_side_of(record: dict[str, Any], settled: Mapping[str, str]) -> SideBySide | None:
    """What the report shows of a stored record; None for one of another release that says something else. ``settled``
    says of fingerprints why nobody has to look at them."""
    try:
        unplaced = mark_rows(record, lambda fingerprint: settled.get(fingerprint, ""))
        failed = record["legacy"]["failure"] or record["candidate"]["failure"]  # one body beside none tells nothing
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
            rows=[] if failed else around(record["side_by_side"], str(record["fingerprint"])),
            note=note_on(record, unplaced),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _answered(side: dict[str, Any]) -> Answered:
    return Answered(
        int(side["status"]), str(side["failure"]), float(side["seconds"]), int(side["body"].get("bytes", 0))
    )


def around(rows: list[list[str]], own: str) -> list[list[str]]:
    """The rows that are to be looked at with some others around them, at most MAX_ROWS; all that differ if none is, and
    those of the difference ``own`` alone if they would have no room."""
    differing = [number for number, row in enumerate(rows) if row[0] != " " or row[3]]
    looked_at = [number for number in differing if rows[number][3] not in WORDS]
    kept = _window(rows, looked_at or differing)
    mine = [number for number in looked_at if rows[number][3] == own]
    return _window(rows, mine) if mine and all(row[3] != own for row in kept) else kept


def _window(rows: list[list[str]], places: list[int]) -> list[list[str]]:
    near = {number + step for number in places for step in range(-AROUND, AROUND + 1)} & {*range(len(rows))}
    # A block around them that is no difference is shown whole or not at all: an end without its beginning misleads.
    for passed, run in groupby(range(len(rows)), lambda number: rows[number][3] in WORDS):
        block = {*run}
        if passed and not block <= near and block.isdisjoint(places):
            if len(block) > 2 * AROUND:
                near -= block
            elif block & near:
                near |= block
    kept: list[list[str]] = []
    for number, (mark, left, right, what) in enumerate(rows):
        if number in near:
            if len(kept) >= MAX_ROWS:
                kept.append([LEFT_OUT, "", "", ""])
                break
            kept.append([mark, _cut(left), _cut(right), what])
        elif not kept or kept[-1][0] != LEFT_OUT:
            kept.append([LEFT_OUT, "", "", ""])
    return kept if any(row[0] != LEFT_OUT for row in kept) else []


def _cut(text: str) -> str:
    return text if len(text) <= MAX_COLUMNS else text[: MAX_COLUMNS - 1] + LEFT_OUT
