"""``banyan export-tests``: a route's recorded requests as a pytest suite."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from proxy.cli.client import admin_option
from proxy.compare.wording import number, plural
from proxy.errors import BanyanError
from proxy.telemetry.visible import visible

SUITE = Path(__file__).parent / "suite"
CONFTEST, RECORDED = "conftest.py", "recorded.json"
DEFAULT_LIMIT = 200

_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


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
    answer may differ. Secrets were masked when they were recorded: whoever runs it sets them in the environment, as
    MASKED_AUTHORIZATION or MASKED_COOKIE_SID. Each request carries X-Banyan-Shadow: 1; --safe-only leaves writes out.

    \b
    Example:
      banyan export-tests orders-read -o tests/recorded
      pytest tests/recorded --base-url http://127.0.0.1:9003
    """
    from proxy.cli import material
    from proxy.cli.exporting import PRESENCE, cases

    suite, left_out = cases(material.of_banyan(route, limit, admin), safe_only=safe_only)
    if not suite["cases"]:
        why = f" ({_counted(left_out)})" if left_out else ": requests are recorded while legacy answers it"
        raise BanyanError(f"there is no recorded request of {route} to make a test of{why}")
    _write(output, suite)
    written = number(len(suite["cases"]), "test")
    click.echo(f"{written} written to {output}; run: pytest {output} --base-url URL", err=True)
    if left_out:
        click.echo(f"left out: {_counted(left_out)}", err=True)
    if shallow := sum(case["expected"]["kind"] == PRESENCE for case in suite["cases"]):
        see = f"{shallow} of them {plural(shallow, 'sees', 'see')}"
        click.echo(f"{see} of the body only that there is one; banyan replay compares it", err=True)


def _write(output: Path, suite: dict[str, Any]) -> None:
    # One name for each route: pytest may refuse two test files of one name.
    test = f"test_{_UNSAFE.sub('_', suite['route'])}.py"
    known = {CONFTEST, test, RECORDED, "__pycache__", ".pytest_cache"}
    try:
        output.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in output.iterdir() if path.name not in known)
        if foreign:
            names = visible(", ".join(foreign[:3]), 200)
            raise BanyanError(f"{output} holds other files ({names}); choose a folder of its own")
        shutil.copyfile(SUITE / CONFTEST, output / CONFTEST)
        shutil.copyfile(SUITE / "test_recorded.py", output / test)
        (output / RECORDED).write_bytes(_json(suite))
    except OSError as error:
        raise BanyanError(f"{output} cannot be written: {error.strerror or error}") from None


def _json(suite: dict[str, Any]) -> bytes:
    """The suite with each number as it was written."""
    import orjson

    from proxy.compare.document import Number

    def number(value: object) -> orjson.Fragment:
        if isinstance(value, Number):
            return orjson.Fragment(value.written.encode())
        raise TypeError(type(value).__name__)

    return orjson.dumps(suite, default=number, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
