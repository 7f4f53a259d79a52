"""``make outage`` in small: the frozen candidate, which costs a client the most."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_clients_of_a_frozen_candidate_see_no_error_and_wait_no_longer_than_promised(near: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos.outage", "--rate", "100", "--seconds", "5", "--faults", "frozen"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, env={**os.environ, "TMPDIR": str(near)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^frozen +(canary|live) +\d+ +(\d+) ", done.stdout, re.MULTILINE)
    assert rows == [("canary", "0"), ("live", "0")]
    assert not list(near.glob("banyan-outage-*"))
