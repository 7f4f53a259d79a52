"""The README and the documents say what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import COMMANDS, main
from proxy.config.model import STAGES, FallbackReason
from proxy.core.snapshot import Reason
from proxy.errors import CONSEQUENCES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SEMANTICS = (ROOT / "docs" / "semantics.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shown() -> list[str]:
    """Every ``banyan …`` of the README, in code blocks and in running text."""
    lines = [line.partition(" #")[0].strip() for block in blocks(README, "sh") for line in block.splitlines()]
    return [text for text in lines + re.findall(r"`([^`\n]+)`", README) if re.match(r"(\.venv/bin/)?banyan ", text)]


def test_the_readme_shows_commands() -> None:
    assert {shlex.split(text)[1] for text in shown()} >= {"check", "explain", "run", "stage", "rollback", "report"}


@pytest.mark.parametrize("text", shown())
def test_a_command_of_the_readme_exists_with_its_options(text: str) -> None:
    name, *words = shlex.split(text)[1:]
    answer = CliRunner().invoke(main, [name, "--help"])
    assert answer.exit_code == 0, answer.output
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[ ,]){option}\b", answer.output, re.MULTILINE), f"{name} has no {option}"


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert any(f"banyan {command}" in page.read_text() for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_readme_links_to_every_document(page: Path) -> None:
    assert f"(docs/{page.name})" in README


def test_the_rules_of_the_readme_hold_and_explain_as_it_says(tmp_path: Path) -> None:
    (rules,) = blocks(README, "yaml")
    (tmp_path / "shop.yaml").write_text(rules)
    for command in ("banyan check shop.yaml", "banyan explain GET /api/products/LIT-1068 --path shop.yaml"):
        assert command in README
        words = [sys.executable, "-m", "proxy", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert re.search(r"arm +legacy", done.stdout)
    assert re.search(r"stage +shadow", done.stdout)


def test_the_semantics_name_every_stage_reason_and_status() -> None:
    words = set(re.findall(r"`([^`\n]+)`", SEMANTICS))
    assert {*STAGES, *typing.get_args(Reason), *typing.get_args(FallbackReason)} - words == set()
    numbers = set(re.findall(r"\b[45]\d\d\b", SEMANTICS))
    assert {str(found.status) for found in CONSEQUENCES.values() if found.status} - numbers == set()


def test_the_semantics_name_every_reason_to_drop_a_shadow() -> None:
    names = ("shadow", "exchange", "asking", "read_back")
    source = "".join((ROOT / "proxy" / "dataplane" / f"{name}.py").read_text() for name in names)
    reasons = set(re.findall(r'(?:reason = |return |drop\(|dropped\()"([a-z-]+)"', source))
    reasons |= set(
        re.findall(r'return "(comparator-[a-z]+)"', (ROOT / "proxy" / "dataplane" / "worker.py").read_text())
    )
    reasons |= set(re.findall(r'dropped\("([a-z-]+)" if .*? else "([a-z-]+)"\)', source)[0])
    assert len(reasons) == 18
    table = SEMANTICS.partition("## Shadow")[2].partition("\n## ")[0]
    assert {reason for reason in reasons if f"`{reason}`" not in table} == set()
