"""Ports of tests: nobody takes another's."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import ports
import pytest

FEW = range(31_000, 31_050)
ANOTHER = f"""
import ports
ports.PORTS = range({FEW.start}, {FEW.stop})
print(*(ports.free_port() for _ in range(20)), flush=True)
input()
"""


def take_all() -> set[int]:
    taken = set[int]()
    with suppress(RuntimeError):
        while True:
            taken.add(ports.free_port())
    return taken


def test_a_port_of_another_process_is_not_given_until_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", FEW)
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER], cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        theirs = {int(port) for port in process.stdout.readline().split()}
        ours = take_all()
        process.communicate(b"\n")
    assert len(theirs) == 20
    assert not theirs & ours
    assert theirs & take_all()  # not all, if others test meanwhile
