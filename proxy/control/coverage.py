"""The coverage of a route: what legacy's traffic is made of, and what of it was ever compared.

Law: pure functions over figures. A kind of request counts as covered only if a pair of it was compared, and within it
each shape of answer for itself; without traffic there is no share. What is cut off is counted.
"""

from __future__ import annotations

import msgspec

from proxy.core.coverage import NO_BODY, OTHER, Cell, parse_cell
from proxy.store.tally import Tally

MAX_ROWS = 500
MAX_NEVER = 100


class ShapeRow(msgspec.Struct):
    """One shape of legacy's answers in a cell; of the answers that were looked at, which are a sample."""

    shape: str
    seen: int
    compared: int


class Kind(msgspec.Struct):
    """A kind of request with a kind of answer: the fields of a cell."""

    method: str
    status: int
    endpoint: str
    parameters: list[str]
    cohorts: list[str]
    media: str


class Row(Kind):
    """One cell."""

    seen: int
    compared: int
    shapes: list[ShapeRow]  # most frequent first
    words: str  # ``GET /orders/{id} with page, sort by staff -> 200 json``


class Never(Kind):
    """What legacy answered and no candidate was compared in: a whole cell, or one ``shape`` of its answers."""

    shape: str  # empty: the whole cell
    seen: int  # requests; of a shape it is reckoned from the sample that was looked at
    words: str


class Coverage(msgspec.Struct):
    """The coverage of one route. ``share`` is of legacy's traffic: None without any."""

    share: float | None
    seen: int
    compared: int
    cells: list[Row]  # most frequent first, at most MAX_ROWS
    never: list[Never]  # the same, at most MAX_NEVER
    more_cells: int = 0
    more_never: int = 0


def coverage_of(tally: Tally) -> Coverage:
    """The coverage that a route's figures show."""
    shapes = _shapes(tally.compare.shapes)
    rows = [
        _row(key, seen, compared, shapes.get(key, [])) for key, (seen, compared) in tally.coverage().items() if seen
    ]
    rows.sort(key=lambda row: (-row.seen, row.words))
    seen = sum(row.seen for row in rows)
    never = [lack for row in rows for lack in _never(row)]
    never.sort(key=lambda lack: (-lack.seen, lack.words))
    return Coverage(
        share=sum(row.seen * _covered(row) for row in rows) / seen if seen else None,
        seen=seen,
        compared=sum(min(row.seen, row.compared) for row in rows),
        cells=rows[:MAX_ROWS],
        never=never[:MAX_NEVER],
        more_cells=max(0, len(rows) - MAX_ROWS),
        more_never=max(0, len(never) - MAX_NEVER),
    )


def _shapes(counted: dict[str, list[int]]) -> dict[str, list[ShapeRow]]:
    found: dict[str, list[ShapeRow]] = {}
    for key, (seen, compared) in counted.items():
        cell, _, shape = key.partition("\x1f")
        found.setdefault(cell, []).append(ShapeRow(shape, seen, compared))
    for rows in found.values():
        rows.sort(key=lambda row: (-row.seen, row.shape))
    return found


def _row(key: str, seen: int, compared: int, shapes: list[ShapeRow]) -> Row:
    cell = _cell(key)
    return Row(
        cell.method,
        cell.status,
        cell.endpoint,
        list(cell.parameters),
        list(cell.cohorts),
        cell.media,
        seen,
        compared,
        shapes,
        words_of(cell),
    )


def cell_fields(key: str) -> dict[str, object]:
    """A cell's key as programs like it."""
    cell = _cell(key)
    return {**cell._asdict(), "words": words_of(cell)}


def _cell(key: str) -> Cell:
    try:
        return parse_cell(key)
    except ValueError:  # of another release
        return parse_cell(OTHER)


def words_of(cell: Cell) -> str:
    """A cell in one line, for people."""
    if not cell.status:
        return "all further kinds of request"
    asked = f"{cell.method} {cell.endpoint}"
    if cell.parameters:
        asked += f" with {', '.join(cell.parameters)}"
    if cell.cohorts:
        asked += f" by {', '.join(cell.cohorts)}"
    return f"{asked} -> {cell.status} {'without a body' if cell.media == NO_BODY else cell.media}"


def _covered(row: Row) -> float:
    """The share of a cell's requests that is covered."""
    if not row.compared:
        return 0.0
    if not row.status:  # many kinds under one name: one pair says nothing of the others
        return min(1.0, row.compared / row.seen)
    looked_at = sum(shape.seen for shape in row.shapes)
    if not looked_at:
        return 1.0
    return sum(shape.seen for shape in row.shapes if shape.compared) / looked_at


def _never(row: Row) -> list[Never]:
    if not row.compared:
        return [_lack(row, "", row.seen)]
    looked_at = sum(shape.seen for shape in row.shapes)
    return [
        _lack(row, shape.shape, max(1, round(row.seen * shape.seen / looked_at)))
        for shape in row.shapes
        if shape.seen and not shape.compared
    ]


def _lack(row: Row, shape: str, seen: int) -> Never:
    words = f"{row.words} of the shape {shape}" if shape else row.words
    return Never(row.method, row.status, row.endpoint, row.parameters, row.cohorts, row.media, shape, seen, words)
