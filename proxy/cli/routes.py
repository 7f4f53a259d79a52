"""``banyan routes``: the table of routes as the files have them, highest precedence first."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from proxy.config.load import load
from proxy.config.model import Match, Route, Settings
from proxy.core.routing import Router

_COLUMNS = ("route", "stage", "match", "legacy", "candidate", "canary", "shadow")


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("routes"))
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def routes(path: Path, as_json: bool) -> None:
    """Print the routes of the configuration at PATH (default: routes), highest precedence first.

    \b
    Example:
      banyan routes routes
    """
    settings = load(path, os.environ).settings
    rules = sorted(Router(settings.routes).rules, key=lambda rule: rule.order)
    if as_json:
        click.echo(json.dumps([_object(rule.route, settings) for rule in rules], indent=2))
        return
    rows = [_row(rule.route, settings) for rule in rules]
    if sys.stdout.isatty():
        _rich(rows)
    else:
        _plain([_COLUMNS, *rows])


def _object(route: Route, settings: Settings) -> dict[str, Any]:
    return {
        "id": route.id,
        "stage": route.stage,
        "kill_switch": route.kill_switch,
        "match": route.match.model_dump(exclude_defaults=True),
        "legacy": settings.legacy,
        "candidate": route.candidate,
        "percent": route.canary.percent,
        "cohorts": route.canary.cohorts,
        "sample": route.shadow.sample,
        "priority": route.priority,
    }


def _row(route: Route, settings: Settings) -> tuple[str, ...]:
    chosen = [f"{route.canary.percent}%", *route.canary.cohorts]
    return (
        route.id,
        f"{route.stage} (killed)" if route.kill_switch else route.stage,
        describe(route.match),
        "-" if route.stage == "retired" else settings.legacy,
        route.candidate or "-",
        " ".join(chosen) if route.stage == "canary" else "-",
        f"{route.shadow.sample * 100:g}%" if route.stage in ("shadow", "canary", "live") else "-",
    )


def describe(match: Match) -> str:
    """A match in one line: ``GET|HEAD shop.example /api/orders/{id} header X-Beta=1``."""
    words = ["|".join(match.methods) or "any"]
    if match.host:
        words.append(match.host)
    if match.path_prefix:
        words.append(f"{match.path_prefix} (prefix)")
    elif match.path_regex:
        words.append(f"{match.path_regex} (regex)")
    elif match.path:
        words.append(match.path)
    for kind, conditions in (("header", match.headers), ("query", match.query), ("cookie", match.cookies)):
        words += [f"{kind} {name}={value}" for name, value in conditions.items()]
    return " ".join(words)


def _plain(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in an expression are no markup
    Console().print(table)
