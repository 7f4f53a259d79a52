"""What the tests of the commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from faults import Background
from replays import Run
from scripted import Upstream, ok

from proxy.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``banyan replay`` on some material, without a Banyan."""
    monkeypatch.delenv("BANYAN_REDACTION_KEY", raising=False)
    file = tmp_path / "records.json"

    def runs(made: Any, url: str, *words: str, key: str = "") -> Result:
        file.write_text(made if isinstance(made, str) else json.dumps(made))
        if key:
            monkeypatch.setenv("BANYAN_REDACTION_KEY", key)
        command = ["replay", "orders-read", "--against", url, "--records", str(file), "--rate", "1000", *words]
        result = CliRunner().invoke(main, command)
        assert "Traceback" not in result.output
        return result

    return runs


@pytest.fixture
def build(background: Background) -> Upstream:
    """The new build: answers as legacy did."""
    return background.enter(Upstream(ok(b'{"id": 1}', "Content-Type: application/json")))
