"""The lines of a recorded pair, each with what the comparison said of it.

Law: a line is called a difference, or none, only where the comparison has placed it (``proxy.compare.places``). Of any
other line that is not the same on both sides it is said that nobody knows. No row holds lines of two places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from itertools import groupby
from typing import Any, NamedTuple

UNPLACED = "?"
NO_DIFFERENCE = "equal"
UNCOMPARED = "uncompared"
MAX_LINES = 2000
"""Of one side; more are not shown either."""

WORDS = {
    "accepted": "an accepted difference",
    "noise": "legacy differs from itself here",
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

SIGNS = {
    "!": "this difference",
    "~": "another open difference of this pair, by its name",
    ".": "no difference that anybody has to look at",
    UNPLACED: "not the same; of which difference is not known",
}
"""What stands in the margin of a line, and what it means: readable without colours."""

LINES = ("text", "body")
"""Kind and path of what differs between two texts without a structure."""
EARLIER_RELEASE = "an earlier release recorded it"

Row = list[str]


class _Line(NamedTuple):
    """What is said of a line, in a place ``of`` so many lines; ``itself``: the line itself differs or is too many.
    ``place`` is told apart from the other places of its side, and is the same on both sides."""

    what: str
    of: int
    itself: bool
    place: tuple[int | str, int]
    carried: str = ""  # of an unordered list inside an item that moved: what is said of that item
    first: int = 0  # the number of the first line of such a list


_Told = tuple[str, _Line]


class _Elsewhere(NamedTuple):
    """A line of one side that differs, in a row in which both sides are the same."""

    row: int
    side: int
    line: _Line


def sign(what: str, own: Collection[str]) -> str:
    """The sign of a line of which ``what`` is said, or of a difference; ``own``: the fingerprints that are shown."""
    if not what:
        return " "
    return "!" if what in own else what if what == UNPLACED else "." if what in WORDS else "~"


def mark_rows(record: dict[str, Any], standing: Callable[[str], str]) -> str:
    """Add to each row of the record's ``side_by_side`` what it is: nothing (the same on both sides), the fingerprint of
    a difference, one of WORDS, or UNPLACED; lines of two places get rows of their own. Returns why lines are not
    placed; empty if all are.

    ``standing`` says of a fingerprint ``accepted``, ``noise`` or ``fixed``, and nothing of an open one. The difference
    that the record was kept for goes by its fingerprint whatever its state.
    """
    own = str(record["fingerprint"])
    names = [str(each.get("fingerprint", "")) for each in record["differences"]]
    shown = [name if name == own else standing(name) or name for name in names]
    kinds = [str(each["kind"]) for each in record["differences"]]
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
    numbers = [Counter(span[2] for span in side) for side in sides]
    paired = {what for what, count in numbers[0].items() if numbers[1][what] == count}
    tables = [_by_line(side, shown, kinds, paired) for side in sides]
    nothing = _Line(default, 0, itself=False, place=(default, 0))
    at = [0, 0]
    rows: list[Row] = []
    elsewhere: list[_Elsewhere] = []
    for same, run in groupby(record["side_by_side"], lambda row: row[0] == " "):
        told: tuple[list[_Told], list[_Told]] = ([], [])
        begin = tuple(at)
        for row in run:
            for side, absent in ((0, "+"), (1, "-")):
                if row[0] != absent:
                    line = tables[side].get(at[side], nothing)
                    told[side].append((row[1 + side], _here(line, begin[side])))
                    at[side] += 1
        if not same:
            rows += [_row(left, right, whole=placed["whole"]) for left, right in _beside(*told)]
            continue
        for (text, mine), (_, yours) in zip(*told, strict=True):
            apart = mine.place != yours.place
            both = list(enumerate((mine, yours)))
            elsewhere += [_Elsewhere(len(rows), side, it) for side, it in both if apart and it.itself]
            said = [it.what for _, it in both if not (apart and it.itself) and it.of == 1 and it.what in names]
            rows.append([" ", text, text, own if own in said else "".join(said[:1])])
    record["side_by_side"] = rows = _take_elsewhere(rows, elsewhere, default)
    if any(row[3] == UNPLACED for row in rows):
        return str(placed["why"]) or "not every difference of this pair has a place that is known"
    return ""


def _beside(lefts: list[_Told], rights: list[_Told]) -> list[tuple[_Told | None, _Told | None]]:
    """The lines of a stretch that is not the same, in their order, those of one place beside each other."""
    waiting = Counter(line.place for _, line in lefts), Counter(line.place for _, line in rights)
    found: list[tuple[_Told | None, _Told | None]] = []
    i = j = 0
    while i < len(lefts) or j < len(rights):
        left, right = lefts[i] if i < len(lefts) else None, rights[j] if j < len(rights) else None
        if left and right and (mine := left[1].place) != (yours := right[1].place):
            if waiting[1][mine] and not waiting[0][yours]:
                left = None  # what belongs beside it stands further on
            else:
                right = None
        if left:
            waiting[0][left[1].place] -= 1
            i += 1
        if right:
            waiting[1][right[1].place] -= 1
            j += 1
        found.append((left, right))
    return found


def _row(left: _Told | None, right: _Told | None, *, whole: bool) -> Row:
    if left and right:
        (one, line), (two, _) = left, right
        if whole and line.what == NO_DIFFERENCE and one.rstrip(",") == two.rstrip(","):
            return [" ", one, two, ""]
        return ["~", one, two, line.what]
    if left:  # a list that goes with its item is not the list in another order
        return ["-", left[0], "", left[1].carried or left[1].what]
    return ["+", "", right[0], right[1].carried or right[1].what] if right else []


def note_on(record: dict[str, Any], unplaced: str) -> str:
    """What the marked rows of a record do not show, of the difference that it was kept for and of lists in another
    order: sentences, or nothing."""
    path, said = str(record["path"]), {row[3] for row in record["side_by_side"]}
    moved = _moved(record, {*said, str(record["fingerprint"])})
    if record["fingerprint"] in said:
        return moved
    if not path.startswith(("$", "body")):
        where = "answers themselves: one side has none" if path == "error" else path.replace(":", " ", 1)
        note = f"This difference is not in the bodies. It is in the {where}."
    elif unplaced:
        note = f"Which of the lines belong to this difference is not known: {unplaced}."
    else:
        note = "This difference stands behind the lines that are shown."
    return f"{note} {moved}".strip()


def _moved(record: dict[str, Any], names: set[str]) -> str:
    """That items of a list moved: beside lines of one side alone they read as if they were lost."""
    places = {number: pair for number, *pair in (record.get("places") or {}).get("moved", ())}
    told = []
    for number, each in enumerate(record["differences"]):
        if each["kind"] == "order" and each.get("fingerprint") in names:
            mine, yours = places.get(number, (0, 0))
            what = f": legacy's item {mine + 1} is the candidate's item {yours + 1}" if mine != yours else ""
            told.append(f"Items of {each['path']} moved and are on both sides{what}.")
    return " ".join(told)


def _take_elsewhere(rows: list[Row], elsewhere: list[_Elsewhere], default: str) -> list[Row]:
    """Of lines that are written alike the rows may have put others beside each other than the comparison: then the
    nearest one that is without a partner in the rows is the difference, else the line itself; in a row of its own."""
    alone: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(rows):
        for side in (0, 1) if row[0] == "~" else (0,) if row[0] == "-" else (1,) if row[0] == "+" else ():
            if row[3] in (NO_DIFFERENCE, "unordered"):
                alone.setdefault((side, _bare(row[1 + side])), []).append(number)
    taken: dict[int, dict[int, str]] = {}
    for number, side, line in elsewhere:
        near = alone.get((side, _bare(rows[number][1 + side])), [])
        if near:
            nearest = min(near, key=lambda other: abs(other - number))
            near.remove(nearest)
            taken.setdefault(nearest, {})[side] = line.what
        else:
            taken.setdefault(number, {})[side] = line.what
    told: list[Row] = []
    for number, row in enumerate(rows):
        if number not in taken:
            told.append(row)
            continue
        whats = [taken[number].get(side, row[3] or default) for side in (0, 1)]
        told += [["-", row[1], "", whats[0]]] if row[0] != "+" else []
        told += [["+", "", row[2], whats[1]]] if row[0] != "-" else []
    return told


def _bare(line: str) -> str:
    return line.strip().rstrip(",")


def _by_line(spans: list[list[Any]], shown: list[str], kinds: list[str], paired: set[int | str]) -> dict[int, _Line]:
    """Line -> what stands there: the narrowest difference, else the narrowest rule; inside items that only moved the
    narrowest of all. ``paired``: what has as many places on the other side."""
    number: Counter[int | str] = Counter()
    places = []
    for span in spans:
        places.append((*span, number[span[2]]))
        number[span[2]] += span[2] in paired
    table: dict[int, _Line] = {}
    for first, lines, what, nth in sorted(places, key=lambda place: _weight(place[1], place[2], kinds)):
        word = what if isinstance(what, str) else shown[what]
        itself = isinstance(what, int) and kinds[what] not in ("size", "order")
        for line in range(first, min(first + lines, MAX_LINES)):
            around = table.get(line)
            carried = _carried(around, kinds) if around and what == "unordered" else ""
            table[line] = _Line(word, lines, itself, (what, nth), carried, first)
    return table


def _here(line: _Line, begin: int) -> _Line:
    """A line of a stretch from line ``begin`` on. A list that began before it stands beside itself: it did not move."""
    return line._replace(carried="") if line.carried and line.first < begin else line


def _carried(around: _Line, kinds: list[str]) -> str:
    number = around.place[0]
    return around.what if isinstance(number, int) and kinds[number] == "order" else around.carried


def _weight(lines: int, what: int | str, kinds: list[str]) -> tuple[bool, int, bool]:
    """What weighs more names a line. An item that moved is whole, and what a rule lets pass in it is no difference."""
    return isinstance(what, int) and kinds[what] != "order", -lines, isinstance(what, int)
