"""Looking at legacy's answers: their shapes, for the coverage, and what of a pair goes into the record of requests.

Law: looking decides nothing: no verdict depends on it. Shapes are bounded per cell and in sum; what goes beyond counts
as ``other`` of its cell.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.result import Budget
from proxy.compare.shape import answer_shape
from proxy.core.coverage import OTHER, due, parse_cell
from proxy.messages import Pair

MAX_SHAPES_PER_CELL = 20
MAX_SHAPES = 4000
"""Of all routes: they are sent to the supervisor every second."""
OTHER_SHAPE = "other"
MAX_CELLS = 20_000
"""Cells of all routes of which is known how many unequal pairs they had."""


class Looks:
    """Counts shapes. Its size is bounded."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._shapes: dict[tuple[str, str], set[str]] = {}
        self._number = 0
        self._unequal: dict[tuple[str, str], int] = {}

    def count(self, pair: Pair, shapes: dict[str, list[int]], *, compared: bool) -> str:
        """Count the shape of legacy's answer in ``shapes``; which it is, or an empty text if it was not looked at.

        Workers choose which of the equal pairs are sent to be looked at; of the unequal ones, which all come, the same
        share is looked at here.
        """
        if not pair.cell or pair.cell == OTHER or pair.legacy.failure:
            return ""
        key = (pair.route, pair.cell)
        if pair.purpose != "seen":
            number = self._unequal.get(key, 0)
            if number or len(self._unequal) < MAX_CELLS:
                self._unequal[key] = number + 1
            if not due(number):
                return ""
        shape = self._bounded(key, answer_shape(pair.legacy, parse_cell(pair.cell).media, self._budget))
        columns = shapes.setdefault(f"{pair.cell}\x1f{shape}", [0, 0])
        columns[0] += 1
        columns[1] += compared
        return shape

    def _bounded(self, key: tuple[str, str], shape: str) -> str:
        known = self._shapes.get(key)
        if known is None:
            if len(self._shapes) >= MAX_CELLS:
                return OTHER_SHAPE
            known = self._shapes[key] = set()
        if shape in known:
            return shape
        if len(known) >= MAX_SHAPES_PER_CELL or self._number >= MAX_SHAPES:
            return OTHER_SHAPE
        known.add(shape)
        self._number += 1
        return shape


def lacks_body(pair: Pair) -> bool:
    """The request had a body of which there is no copy."""
    return not pair.body and any(
        name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value.strip() != b"0")
        for name, value in pair.fields
    )


def recorded_request(pair: Pair, made: dict[str, Any]) -> dict[str, Any]:
    """What the record of requests keeps of a redacted pair: the request and legacy's answer, and whether the request
    could be sent again as it was."""
    request = made["request"]
    return {
        "request_id": made["request_id"],
        "request": request,
        "legacy": made["legacy"],
        "cohorts": made["cohorts"],
        "redaction_key": made["redaction_key"],
        "masked": "«masked" in request["target"] or "«masked" in (request["body"]["text"] or ""),
        "partial": request["body"]["cut"] or request["body"]["text"] is None or lacks_body(pair),
    }
