"""``banyan report``: what people read before a cutover."""

from __future__ import annotations

import json
from pathlib import Path

import click

from proxy.cli.client import Client, admin_option
from proxy.errors import BanyanError
from proxy.telemetry.visible import visible

_FORMS = {".html": "html", ".htm": "html", ".json": "json"}
"""The form by how a file's name ends; any other end means Markdown."""


@click.command()
@click.argument("route", required=False)
@click.option(
    "--format", "form", type=click.Choice(["md", "html", "json"]), help="The form; if not given, as FILE ends, else md."
)
@click.option("--hours", type=click.IntRange(1, 2160), default=24, show_default=True, help="How far to look back.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to FILE.")
@admin_option
def report(route: str | None, form: str | None, hours: int, output: Path | None, admin: str) -> None:
    """Write the migration report: for each route (or for ROUTE) the verdict, what differs, what to do next.

    The HTML page is one file that loads nothing; it can be attached to a change request and printed.

    \b
    Example:
      banyan report orders-read -o change-request.md
      banyan report -o report.html
    """
    if form is None:
        form = _FORMS.get(output.suffix.lower(), "md") if output is not None else "md"
    text = Client(admin).text("/api/report", route=route, format=form, hours=hours)
    if form == "json":
        text = json.dumps(json.loads(text), indent=2) + "\n"
    else:
        text = "\n".join(visible(line, len(line)) for line in text.split("\n"))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BanyanError(f"{output} cannot be written: {error.strerror or error}") from None
    click.echo(f"written to {output}", err=True)
