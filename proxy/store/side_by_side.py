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
    for _, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        rows += _zipped(left[start:end], right[other_start:other_end])
    return rows


def _zipped(left: list[str], right: list[str]) -> list[list[str]]:
    rows = []
    for a, b in zip_longest(left, right):
        mark = "-" if b is None else "+" if a is None else " " if a == b else "~"
        rows.append([mark, a or "", b or ""])
    return rows
