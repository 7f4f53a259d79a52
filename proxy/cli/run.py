"""``banyan run``: serve until SIGTERM."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("routes"))
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; stands above the configuration.")
@click.pass_context
def run(ctx: click.Context, path: Path, workers: int | None) -> None:
    """Serve the rules at PATH (a folder or a file; default: routes).

    SIGTERM or Ctrl-C drains and exits 0, a second one leaves at once; SIGHUP reads the rules again. Exits 1 when the
    configuration is faulty or an address is in use.

    \b
    Example:
      banyan run routes --workers 2
    """
    from proxy.control.supervisor import run as supervise

    ctx.exit(supervise(path, workers))
