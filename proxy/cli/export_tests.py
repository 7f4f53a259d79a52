"""``banyan export-tests``: a route's recorded requests as a pytest suite."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from proxy.cli.client import Client, admin_option, segment
from proxy.errors import BanyanError

SUITE = Path(__file__).parent / "suite"
FILES = ("conftest.py", "patterns.py", "test_recorded.py")
DEFAULT_LIMIT = 200


@click.command("export-tests")
@click.argument("route")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Write into this folder."
)
@click.option("--limit", type=click.IntRange(1, 500), default=DEFAULT_LIMIT, show_default=True, help="At most so many.")
@click.option("--safe-only", is_flag=True, help="Only GET, HEAD and OPTIONS.")
@admin_option
def export_tests(route: str, output: Path, limit: int, safe_only: bool, admin: str) -> None:
    """Write the recorded requests of ROUTE as a pytest suite that asks any base URL and expects legacy's answers.

    The suite needs nothing but pytest. The route's rules, accepted differences and noise are in it as places where an
    answer may differ. Secrets were masked when they were recorded: whoever runs it sets them in the environment.

    \b
    Example:
      banyan export-tests orders-read -o tests/recorded
      pytest tests/recorded --base-url http://127.0.0.1:9003
    """
    from proxy.cli.exporting import cases

    material = Client(admin).get(f"/api/routes/{segment(route)}/replay", limit=limit)
    suite, left_out = cases(material, safe_only=safe_only)
    if not suite["cases"]:
        why = f" ({_counted(left_out)})" if left_out else ": requests are recorded while it is shadowed"
        raise BanyanError(f"there is no recorded request of {route} to make a test of{why}")
    _write(output, suite)
    click.echo(f"{len(suite['cases'])} tests written to {output}; run: pytest {output} --base-url URL", err=True)
    if left_out:
        click.echo(f"left out: {_counted(left_out)}", err=True)


def _write(output: Path, suite: dict[str, Any]) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        foreign = sorted(p.name for p in output.iterdir() if p.name not in (*FILES, "recorded.json", "__pycache__"))
        if foreign:
            raise BanyanError(f"{output} holds other files ({', '.join(foreign[:3])}); choose a folder of its own")
        for name in FILES:
            shutil.copyfile(SUITE / name, output / name)
        (output / "recorded.json").write_text(json.dumps(suite, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise BanyanError(f"{output} cannot be written: {error.strerror or error}") from None


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
