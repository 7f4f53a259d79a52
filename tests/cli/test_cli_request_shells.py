"""A curl command in the hands of other shells than it was written for: it may ask wrongly, but runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_requests import header_names, many, paths, record, values, words

from proxy.cli.request_text import curl

SHELLS = [name for name in ("sh", "dash", "bash", "zsh", "ash", "ksh") if shutil.which(name)]
ACTIVE = set("`|&<>(){}*[]~!\"'\\#")  # signs of a comment that a shell takes for a command


@pytest.fixture
def ran(tmp_path: Path) -> Any:
    """What a shell ran beside curl, when the text is read line by line as from a clipboard."""
    (tmp_path / "bin").mkdir()
    for name in ("curl", "touch"):
        fake = tmp_path / "bin" / name
        fake.write_text(f'#!/bin/sh\necho {name} >> "$RAN"\n')
        fake.chmod(0o755)
    (tmp_path / "work").mkdir()

    def runs(shell: str, text: str) -> set[str]:
        log = tmp_path / "ran"
        log.unlink(missing_ok=True)
        env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "RAN": str(log)}
        subprocess.run(
            [shell], input=text.encode(), capture_output=True, cwd=tmp_path / "work", env=env, check=False, timeout=30
        )
        assert list((tmp_path / "work").iterdir()) == []
        return set(log.read_text().split()) if log.exists() else set()

    return runs


@pytest.mark.parametrize("shell", SHELLS)
def test_a_quote_beside_other_characters_ends_no_word(ran: Any, shell: str) -> None:
    headers = [["X-A", "\u00e9'; touch pwned; : \""], ["X-B", 'b" #']]
    assert ran(shell, curl(record(headers=headers))) == {"curl"}
    assert ran(shell, curl(record("POST", body="\u00e9'; touch pwned; '"))) <= {"curl"}


@many
@given(
    st.sampled_from(SHELLS), paths, st.dictionaries(header_names, values, max_size=3), words,
    st.sampled_from(["GET", "PUT", "`touch`", "$touch", "|touch", "&touch"]),
)  # fmt: skip
def test_no_shell_runs_what_was_recorded(
    ran: Any, shell: str, target: str, fields: dict[str, str], body: str, method: str
) -> None:
    made = record(method, target, [[name, value] for name, value in fields.items()], body)
    assert ran(shell, curl(made)) <= {"curl"}


def test_notes_run_nothing_where_a_sign_begins_no_comment() -> None:
    # zsh does not know comments at its prompt, so a line that is pasted there is a command.
    made = record("`touch`|touch&touch", headers=[["`touch`", "\ufffd"], ["X&touch", "\ufffd"]])
    notes = [line[2:] for line in curl(made).splitlines() if line.startswith("# ")]
    assert any("touch" in line for line in notes)
    for line in notes:
        assert not set(line) & ACTIVE
