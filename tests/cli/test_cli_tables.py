"""Tables on terminals of any width, and into pipes."""

from __future__ import annotations

import re

import pytest

from proxy.cli import tables

COLUMNS = ("route", "upstream", "requests", "why")
ROWS = [("team-0.orders-and-other-things", "service-number-0", "1,340", "5 failures in a row")]


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, *rows: tuple[str, ...]
) -> str:
    """What is printed on a terminal of so many columns."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.show(COLUMNS, rows or ROWS, ("requests",))
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_a_table_is_drawn_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(monkeypatch, capsys, 100)
    assert "│ team-0.orders-and-other-things │ service-number-0 │    1,340 │ 5 failures in a row │" in text


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_names_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    assert shown(monkeypatch, capsys, columns).splitlines() == [
        "route                           upstream          requests  why",
        "team-0.orders-and-other-things  service-number-0     1,340  5 failures in a row",
    ]


def test_a_long_text_is_folded_and_names_beside_it_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(monkeypatch, capsys, 100, ("orders-read", "orders", "7", "because of it " * 20))
    lines = [line for line in text.splitlines() if "because" in line]
    assert len(lines) > 1
    assert "│ orders-read │ orders   │        7 │ because of it" in lines[0]
    assert max(len(line) for line in text.splitlines()) <= 100


def test_nothing_is_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(COLUMNS, ROWS, ("requests",))
    assert "│" not in capsys.readouterr().out
