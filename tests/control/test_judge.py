"""Faults inside the comparing machinery: a verdict of their own, and never the end."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.model import Retention
from proxy.control.judge import Judge
from proxy.messages import Answer, Pair
from proxy.store.diff_writer import DiffWriter


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    writer = DiffWriter(tmp_path / "banyan.db", Retention(), random.Random(1).randrange, lambda event, text: None)
    writer.start()
    yield Judge(writer)
    assert writer.close(5)


def unequal() -> Pair:
    sides = [Answer(200, [(b"content-type", b"application/json")], body, False, 0.0) for body in (b"1", b"2")]
    return Pair(1, "r", "id", 0.0, "GET", b"/", [], b"", "legacy", "stage", [], sides[0], sides[1])


def broken(*args: object) -> None:
    raise ZeroDivisionError


def test_a_fault_in_comparing_is_incomparable(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("proxy.control.judge.compare_pair", broken)
    assert judge.judge(unequal(), leisure=True).reason == "internal-error"
    assert judge.routes["r"].incomparable == {"internal-error": 1}
    assert '"event":"compare-fault"' in capsys.readouterr().err


def test_a_fault_in_recording_keeps_the_verdict(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.judge.record", broken)
    assert judge.judge(unequal(), leisure=True).verdict == "mismatched"
    assert judge.lost == {"record-fault": 1}
