"""Every kind of line of the process log stands in docs/operations.md, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def events() -> Iterator[str]:
    """What the code says, where it says it in so many words."""
    for file in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log_line":
                given = node.args[1]
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value


def documented() -> set[str]:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("\n## The process log\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_event_of_the_process_log_is_documented() -> None:
    found = {event for event in events() if not event.endswith("internal-error")}
    assert len(found) > 20
    assert found - documented() == set()


def test_every_documented_event_is_in_the_code() -> None:
    code = "".join(file.read_text() for file in (ROOT / "proxy").rglob("*.py"))
    for name in documented():
        assert f'"{name}"' in code
