"""Two recorded texts as rows of two columns.

Law: bounded work and bounded output: a text of many lines is cut, and where aligning could be slow the lines simply
stand at their own numbers.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import zip_longest

MAX_LINES = 2000
ALIGNED_LINES = 400
"""Texts up to this are aligned; the aligner is quadratic."""

MAX_COLUMNS = 2000


def side_by_side(legacy: str, candidate: str) -> list[list[str]]:
    """Rows ``[mark, left, right]``; the mark is ' ' for equal lines, '~' for changed, '-' and '+' for lines that only
    one side has."""
    left = [line[:MAX_COLUMNS] for line in legacy.split("\n")[:MAX_LINES]]
    right = [line[:MAX_COLUMNS] for line in candidate.split("\n")[:MAX_LINES]]
    if max(len(left), len(right)) > ALIGNED_LINES:
        return _zipped(left, right)
    rows: list[list[str]] = []
    for _, start, end, other_start, other_end in _slid(left, right):
        rows += _zipped(left[start:end], right[other_start:other_end])
    return rows


Block = tuple[str, int, int, int, int]


def _slid(left: list[str], right: list[str]) -> list[Block]:
    """The aligner's blocks. Where the lines of one side alone could as well stand a little higher or lower, they begin
    where they are indented least, and not with a closing bracket: a whole item, not an end of one and a part of the
    next."""
    blocks: list[Block] = list(SequenceMatcher(None, left, right, autojunk=False).get_opcodes())
    for number in range(1, len(blocks) - 1):
        before, (tag, a, b, c, d), after = blocks[number - 1 : number + 2]
        if tag not in ("delete", "insert") or (before[0], after[0]) != ("equal", "equal"):
            continue
        lines, start, end = (left, a, b) if tag == "delete" else (right, c, d)
        up, most = 0, before[2] - before[1]
        while up < most and lines[start - up - 1] == lines[end - up - 1]:
            up += 1
        down, most = 0, after[2] - after[1]
        while down < most and lines[start + down] == lines[end + down]:
            down += 1
        step = min(range(-up, down + 1), key=lambda step: (*_begins(lines[start + step]), abs(step)))
        blocks[number - 1] = ("equal", before[1], before[2] + step, before[3], before[4] + step)
        blocks[number] = (tag, a + step, b + step, c + step, d + step)
        blocks[number + 1] = ("equal", after[1] + step, after[2], after[3] + step, after[4])
    return blocks


def _begins(line: str) -> tuple[int, bool]:
    """How ill a line begins a block."""
    bare = line.lstrip()
    return len(line) - len(bare), bare[:1] in ("}", "]")


def _zipped(left: list[str], right: list[str]) -> list[list[str]]:
    rows = []
    for a, b in zip_longest(left, right):
        mark = "-" if b is None else "+" if a is None else " " if a == b else "~"
        rows.append([mark, a or "", b or ""])
    return rows
