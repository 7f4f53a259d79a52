"""What the tests of comparing bodies share."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from proxy.compare.result import Result

shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""For properties whose fixtures keep nothing between examples."""


def found(result: Result) -> list[tuple[str, str]]:
    """The kind and the path of each difference."""
    assert result.verdict == "mismatched", result
    return [(difference.kind, difference.path) for difference in result.differences]


def merged(children: list[Any]) -> list[Any]:
    """Children of an element; texts side by side are one text."""
    out: list[Any] = []
    for child in children:
        if isinstance(child, str) and out and isinstance(out[-1], str):
            out[-1] += child
        else:
            out.append(child)
    return out
