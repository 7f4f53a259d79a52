"""Two texts as rows: nothing is lost, and lines of one side alone are whole items where they can be."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.store.side_by_side import side_by_side

lines = st.lists(st.sampled_from(["{", "  a", "  b", "},", "]"]), max_size=30)


def test_an_item_alone_is_whole_and_no_end_of_one_with_the_beginning_of_the_next() -> None:
    items = [{"id": name, "tags": ["x", "sale"]} for name in "abc"]
    for one, other, mark, column in ((items, items[:2], "-", 1), (items[::2], items, "+", 2)):
        texts = [json.dumps({"items": [*side, {"id": "z"}]}, indent=2) for side in (one, other)]
        alone = [row[column].strip() for row in side_by_side(*texts) if row[0] != " "]
        assert {row[0] for row in side_by_side(*texts)} == {" ", mark}
        assert (alone[0], alone[-1], len(alone)) == ("{", "},", 7)


@given(lines, lines)
def test_each_side_has_its_lines_in_their_order_and_only_equal_ones_are_called_so(
    legacy: list[str], candidate: list[str]
) -> None:
    rows = side_by_side("\n".join(legacy), "\n".join(candidate))
    assert [row[1] for row in rows if row[0] != "+"] == (legacy or [""])
    assert [row[2] for row in rows if row[0] != "-"] == (candidate or [""])
    assert all((row[0] == " ") == (row[1] == row[2]) for row in rows if row[0] in " ~")
