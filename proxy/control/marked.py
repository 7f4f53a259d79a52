"""The lines of a recorded pair, each with what the comparison said of it.

Law: a line is called a difference, or none, only where the comparison has placed it (``proxy.compare.places``). Of any
other line that is not the same on both sides it is said that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

UNPLACED = "?"
NO_DIFFERENCE = "equal"
UNCOMPARED = "uncompared"
MAX_LINES = 2000
"""Of one side; more are not shown either."""

WORDS = {
    "accepted": "an accepted difference",
    "noise": "noise: legacy differs from itself here",
    "fixed": "said to be fixed since",
    "ignored": "a rule ignores it",
    "tolerated": "a rule tolerates it",
    "match": "both fit a match rule",
    "subset": "the candidate may say more",
    "unordered": "the order says nothing here",
    UNCOMPARED: "the bodies of answers with such statuses are not compared",
    NO_DIFFERENCE: "the comparison found no difference here",
}
"""Why lines that are not the same are no difference that anybody has to look at."""

_RANK = {UNPLACED: 2, "accepted": 3, "noise": 3, "fixed": 3, NO_DIFFERENCE: 5}
LINES = ("text", "body")
"""Kind and path of what differs between two texts without a structure."""
EARLIER_RELEASE = "an earlier release recorded it"

Row = list[str]


class _Line(NamedTuple):
    """What is said of a line, in a place ``of`` so many lines; ``itself``: the line itself differs or is too many."""

    what: str
    of: int
    itself: bool


class _Elsewhere(NamedTuple):
    """A line of one side that differs, in a row in which both sides are the same."""

    row: int
    side: int
    line: _Line


def mark_rows(record: dict[str, Any], standing: Callable[[str], str]) -> str:
    """Add to each row of the record's ``side_by_side`` what it is: nothing (the same on both sides), the fingerprint of
    a difference, one of WORDS, or UNPLACED. Returns why lines are not placed; empty if all are.

    ``standing`` says of a fingerprint ``accepted``, ``noise`` or ``fixed``, and nothing of an open one. The difference
    that the record was kept for goes by its fingerprint whatever its state.
    """
    own, rows = str(record["fingerprint"]), record["side_by_side"]
    names = [str(each.get("fingerprint", "")) for each in record["differences"]]
    shown = [name if name == own else standing(name) or name for name in names]
    placed = record.get("places") or {"legacy": [], "candidate": [], "whole": False, "why": EARLIER_RELEASE}
    # Bodies compared as lines of text: each line that is not the same belongs to their one difference.
    texts = [number for number, each in enumerate(record["differences"]) if (each["kind"], each["path"]) == LINES]
    default = shown[texts[0]] if texts else NO_DIFFERENCE if placed["whole"] else UNPLACED
    one, two = record["legacy"], record["candidate"]
    if one["failure"] or two["failure"] or one["status"] // 100 != two["status"] // 100:
        default = UNCOMPARED
    sides = [placed["legacy"], placed["candidate"]]
    if not placed["whole"]:  # somewhere in the list, too, a difference may stand whose place is not known
        sides = [[span for span in side if span[2] != "unordered"] for side in sides]
    own_lines = {number for number, each in enumerate(record["differences"]) if each["kind"] not in ("size", "order")}
    tables = [_by_line(side, shown, own_lines) for side in sides]
    at = [0, 0]
    elsewhere: list[_Elsewhere] = []
    for number, row in enumerate(rows):
        said: list[str] = []
        for side, absent in ((0, "+"), (1, "-")):
            if row[0] == absent:
                continue
            line = tables[side].get(at[side], _Line(default, 0, itself=False))
            at[side] += 1
            if row[0] == " " and line.itself:
                elsewhere.append(_Elsewhere(number, side, line))
            elif row[0] != " " or (line.of == 1 and line.what in names):
                said.append(line.what)
        if placed["whole"] and said.count(NO_DIFFERENCE) == 2 and row[1].rstrip(",") == row[2].rstrip(","):
            said, row[0] = [], " "
        row.append(min(said, key=lambda what: (what != own, _RANK.get(what, 4 if what in WORDS else 1)), default=""))
    _take_elsewhere(rows, elsewhere, names)
    if any(row[3] == UNPLACED for row in rows):
        return str(placed["why"]) or "not every difference of this pair has a place that is known"
    return ""


def note_on(record: dict[str, Any], unplaced: str) -> str:
    """What the marked rows of a record do not show of the difference that it was kept for: a sentence, or nothing."""
    path = str(record["path"])
    if any(row[3] == record["fingerprint"] for row in record["side_by_side"]):
        return ""
    if not path.startswith(("$", "body")):
        where = "answers themselves: one side has none" if path == "error" else path.replace(":", " ", 1)
        return f"This difference is not in the bodies. It is in the {where}."
    if unplaced:
        return f"Which of the lines belong to this difference is not known: {unplaced}."
    return "This difference stands behind the lines that are shown."


def _take_elsewhere(rows: list[Row], elsewhere: list[_Elsewhere], names: list[str]) -> None:
    """Of lines that are written alike the rows may have put others beside each other than the comparison: then the
    nearest one that is without a partner in the rows is the difference."""
    alone: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(rows):
        for side in (0, 1) if row[0] == "~" else (0,) if row[0] == "-" else (1,) if row[0] == "+" else ():
            if row[3] in (NO_DIFFERENCE, "unordered"):
                alone.setdefault((side, _bare(row[1 + side])), []).append(number)
    for number, side, line in elsewhere:
        near = alone.get((side, _bare(rows[number][1 + side])), [])
        if near:
            nearest = min(near, key=lambda other: abs(other - number))
            near.remove(nearest)
            rows[nearest][3] = line.what
        elif line.of == 1 and line.what in names:
            rows[number][3] = line.what


def _bare(line: str) -> str:
    return line.strip().rstrip(",")


def _by_line(spans: list[list[Any]], shown: list[str], own_lines: set[int]) -> dict[int, _Line]:
    """Line -> what stands there: the narrowest difference, else the narrowest rule."""
    table: dict[int, _Line] = {}
    for first, lines, what in sorted(spans, key=lambda span: (isinstance(span[2], int), -span[1])):
        word = what if isinstance(what, str) else shown[what]
        for line in range(first, min(first + lines, MAX_LINES)):
            table[line] = _Line(word, lines, itself=what in own_lines)
    return table
