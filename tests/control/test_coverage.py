"""The view of the coverage, and the looks that feed it."""

from typing import Any

import pytest

from proxy.compare.result import Budget
from proxy.control.coverage import MAX_NEVER, MAX_ROWS, coverage_of
from proxy.control.looks import MAX_SHAPES_PER_CELL, Looks, recorded_request
from proxy.core.coverage import LOOKS_FIRST, OTHER, Cell, cell_key
from proxy.messages import Answer, CompareCounters, Pair, RouteCounters
from proxy.store.tally import Tally

GET = cell_key(Cell("GET", 200, "/orders/{id}", ("page",), ("staff",), "json"))
POST = cell_key(Cell("POST", 201, "/orders", (), (), "none"))


def tally(cells: dict[str, list[int]], shapes: dict[str, list[int]] | None = None) -> Tally:
    return Tally(traffic=RouteCounters(coverage=cells), compare=CompareCounters(shapes=shapes or {}))


def test_without_traffic_there_is_no_share() -> None:
    found = coverage_of(Tally())
    assert (found.share, found.seen, found.cells, found.never) == (None, 0, [], [])


def test_the_share_is_weighted_by_traffic_and_one_pair_covers_a_cell() -> None:
    found = coverage_of(tally({GET: [90, 1], POST: [10, 0]}))
    assert found.share == pytest.approx(0.9)
    assert (found.seen, found.compared) == (100, 1)
    assert [row.seen for row in found.cells] == [90, 10]
    assert [(lack.words, lack.seen, lack.shape) for lack in found.never] == [
        ("POST /orders -> 201 without a body", 10, "")
    ]


def test_a_shape_that_was_never_compared_is_not_covered() -> None:
    found = coverage_of(tally({GET: [100, 50]}, {f"{GET}\x1f{{a: number}}": [30, 30], f"{GET}\x1f[]": [10, 0]}))
    assert found.share == pytest.approx(0.75)
    assert [(shape.shape, shape.seen, shape.compared) for shape in found.cells[0].shapes] == [
        ("{a: number}", 30, 30),
        ("[]", 10, 0),
    ]
    (lack,) = found.never
    assert (lack.shape, lack.seen) == ("[]", 25)
    assert lack.words == "GET /orders/{id} with page by staff -> 200 json of the shape []"


def test_shapes_of_a_cell_that_was_never_compared_are_one_lack() -> None:
    found = coverage_of(tally({GET: [8, 0]}, {f"{GET}\x1f[]": [4, 0]}))
    assert found.share == 0
    assert [lack.shape for lack in found.never] == [""]


def test_one_pair_does_not_cover_all_that_found_no_cell() -> None:
    found = coverage_of(tally({OTHER: [100, 10]}))
    assert found.share == pytest.approx(0.1)
    assert found.cells[0].words == "all further kinds of request"
    assert found.never == []


def test_lists_are_bounded_and_say_what_they_leave_out() -> None:
    cells = {cell_key(Cell("GET", 200, f"/{n}", (), (), "json")): [n + 1, 0] for n in range(MAX_ROWS + 7)}
    found = coverage_of(tally(cells))
    assert (len(found.cells), found.more_cells) == (MAX_ROWS, 7)
    assert (len(found.never), found.more_never) == (MAX_NEVER, MAX_ROWS + 7 - MAX_NEVER)
    assert found.never[0].seen == MAX_ROWS + 7


def test_a_cell_that_cannot_be_read_counts_among_the_others() -> None:
    found = coverage_of(tally({"of another release": [3, 0]}))
    assert found.seen == 3
    assert found.share == 0


# -- looks ----------------------------------------------------------------------------------------------------------


def pair(body: bytes = b"{}", *, purpose: str = "seen", cell: str = GET, failure: str = "", **more: Any) -> Pair:
    fields = more.pop("fields", [])
    answer = Answer(0 if failure else 200, [], body, truncated=False, seconds=0.1, failure=failure)
    return Pair(
        1, "r", "id", 1.0, "GET", b"/a", fields, more.pop("request", b""), "legacy", "", [], answer, answer,
        purpose=purpose, cell=cell, **more,
    )  # fmt: skip


def test_shapes_are_counted_in_two_columns() -> None:
    looks, shapes = Looks(Budget()), dict[str, list[int]]()
    assert looks.count(pair(b"[]"), shapes, compared=True) == "[]"
    looks.count(pair(b"[]"), shapes, compared=False)
    looks.count(pair(b'{"a":1}'), shapes, compared=False)
    assert shapes == {f"{GET}\x1f[]": [2, 1], f"{GET}\x1f{{a: number}}": [1, 0]}


@pytest.mark.parametrize("odd", [pair(cell=""), pair(cell=OTHER), pair(failure="reset")])
def test_what_has_no_cell_or_no_answer_has_no_shape(odd: Pair) -> None:
    shapes: dict[str, list[int]] = {}
    assert Looks(Budget()).count(odd, shapes, compared=True) == ""
    assert shapes == {}


def test_shapes_of_a_cell_are_bounded() -> None:
    looks, shapes = Looks(Budget()), dict[str, list[int]]()
    letters = "abcdefghijklmnopqrstuvwxyz"
    for number in range(500):
        body = b'{"%s%s": 1}' % (letters[number % 26].encode(), letters[number // 26].encode())
        looks.count(pair(body), shapes, compared=True)
    assert len(shapes) == MAX_SHAPES_PER_CELL + 1
    assert sum(seen for seen, _ in shapes.values()) == 500
    assert shapes[f"{GET}\x1fother"][0] == 500 - MAX_SHAPES_PER_CELL


def test_of_unequal_pairs_the_same_share_is_looked_at_as_of_equal_ones() -> None:
    looks, shapes = Looks(Budget()), dict[str, list[int]]()
    for _ in range(LOOKS_FIRST + 50):
        looks.count(pair(purpose="compare"), shapes, compared=True)
    assert shapes == {f"{GET}\x1f{{}}": [LOOKS_FIRST, LOOKS_FIRST]}


@pytest.mark.parametrize(
    ("made", "partial"),
    [
        (pair(), False),
        (pair(fields=[(b"Content-Length", b"3")]), True),
        (pair(fields=[(b"transfer-encoding", b"chunked")]), True),
        (pair(fields=[(b"Content-Length", b"3")], request=b"a=1"), False),
        (pair(fields=[(b"Content-Length", b"0")]), False),
    ],
)
def test_a_request_whose_body_is_not_known_is_partial(made: Pair, partial: bool) -> None:
    body = {"text": made.body.decode(), "cut": False}
    record = {
        "request_id": "",
        "request": {"target": "/a", "body": body},
        "legacy": {},
        "cohorts": [],
        "redaction_key": "",
    }
    assert recorded_request(made, record)["partial"] is partial
