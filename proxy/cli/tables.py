"""Tables: drawn on a terminal that has room for them, else plain columns, as into a pipe.

Law: a cell is text, whatever it holds; nothing recorded becomes markup or a control sequence. Names and figures are
never folded: only cells that are longer than ``LONG`` are, and where that does not make room nothing is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from proxy.telemetry.visible import visible

LONG = 40
"""Characters above which a cell is prose or a value, which can be read in several lines; names are mostly shorter."""
ROOM = 20
"""Characters of a line that prose needs to be readable."""


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows under their columns; those named in ``right`` are flush right."""
    safe = [[visible(cell, 400) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich(columns, safe, right)
    else:
        _plain(columns, safe, right)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    widths = [max(len(row[n]) for row in [columns, *rows]) for n in range(len(columns))]
    for row in [columns, *rows]:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _rich(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(len(row[n]) for row in [columns, *rows]) for n in range(len(columns))]
    least = [width if width <= LONG else ROOM for width in widths]
    if sum(least) + 3 * len(columns) + 1 > console.width:  # a blank on either side of a cell, and a line between two
        _plain(columns, rows, right)
        return
    table = Table()
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=width <= LONG)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets are no markup
    console.print(table)


def share(value: float | None) -> str:
    """0.0413 -> ``4.1 %``; a little is never shown as nothing, almost all never as all; None is a dash."""
    from proxy.compare.wording import share as words

    return words(value)


def ago(stamp: str) -> str:
    """``2026-01-02T03:04:05Z`` -> ``3 min ago``; what is no time stays as it is."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
    except ValueError:
        return stamp
    return f"{duration(max(0.0, seconds))} ago"


def duration(seconds: float) -> str:
    """75.0 -> ``1 min``: the largest unit that fits, rounded down."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
