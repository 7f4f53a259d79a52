"""The example that docs/comparing.md teaches by is what the command prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs" / "comparing.md"
FILES = ("legacy.json", "candidate.json", "routes/banyan.yaml")


def blocks() -> dict[str, str]:
    """The fenced blocks that have a name, by their name."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", ["without", "with"])
def test_the_command_prints_what_the_page_shows(name: str, tmp_path: Path) -> None:
    found = blocks()
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(found[file])
    command, _, shown = found[name].partition("\n")
    words = command.removeprefix("$ banyan ").split()
    run = subprocess.run(
        [sys.executable, "-m", "proxy", *words], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (run.returncode, run.stderr) == (1, "")
    assert [line.rstrip() for line in run.stdout.splitlines()] == [line.rstrip() for line in shown.splitlines()]
