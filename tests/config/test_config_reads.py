"""Reads after writes: their faults are found when the files are loaded, where they stand."""

from pathlib import Path

import pytest
from test_config_lint import lint

ROUTE = {"match": {"path": "/orders/{order_id}"}, "candidate": "orders", "stage": "shadow"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/orders/{id}", "there is no {id} in the route's path (it has {order_id})"),
        ("/orders/{$..id}", "names no single value"),
        ("/orders/{$.a[}", "column"),
        ("/orders/{order_id", "braces in pairs"),
        ("/a b", "%20 for a blank"),
        ("/a//b", "could be read in two ways"),
        ("/a/../{order_id}", "could be read in two ways"),
    ],
)
def test_a_read_that_cannot_be_asked_is_a_fault_at_its_place(tmp_path: Path, path: str, says: str) -> None:
    shadow = {"unsafe": "read-after-write", "reads": [{"path": "/state"}, {"path": path}]}
    (fault,) = lint(tmp_path, {**ROUTE, "shadow": shadow})
    assert says in fault.what
    assert "shadow.reads of route 'r0'" in fault.what
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    assert path in lines[fault.line - 1]


def test_reads_that_can_be_asked_are_none(tmp_path: Path) -> None:
    reads = [{"path": "/orders/{order_id}?x={$.a.b[0]}"}, {"path": "/{$['odd name']}", "delay": "2s"}]
    assert lint(tmp_path, {**ROUTE, "shadow": {"unsafe": "read-after-write", "reads": reads}}) == []
