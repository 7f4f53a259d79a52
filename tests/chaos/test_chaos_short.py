"""A short run of the whole of it: ``make chaos`` is the long one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)  # the run bounds itself; on a machine with other work to do its quiet times are longer
def test_a_short_run_is_clean_and_has_tested_something(near: Path) -> None:
    """With few clients, so that a slow machine has time for them; every rule has to hold all the same."""
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "10", "--clients", "12", "--seed", "20"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=230, env={**os.environ, "TMPDIR": str(near)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = re.findall(r"^(\d) .*?  +([\d,]+) +0$", done.stdout, re.MULTILINE)
    checked = {name: int(times.replace(",", "")) for name, times in rules}
    assert sorted(checked) == ["1", "2", "3", "4", "5", "6"]
    assert all(checked.values()), done.stdout
    assert not list(near.glob("banyan-chaos-*"))
