"""A short run of every target, and proof that the oracles can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.compare.result import Difference, Result
from tests.fuzz import documents, oracles, run, slow
from tests.fuzz.dice import Dice, smaller
from tests.fuzz.oracles import Court, Finding
from tests.fuzz.selectors import Piece, above, matches, text
from tests.fuzz.targets import TARGETS, WELL_FORMED

SEED = 20261121
FEW = {"hostile": 6, "judge": 40}
"""Cases of the targets that take long."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.tempfile, "gettempdir", lambda: str(tmp_path))
    tally = run.run({name: TARGETS[name]}, SEED, 0, cases=FEW.get(name, 120))
    assert tally.findings == {}
    assert tally.cases[name] == FEW.get(name, 120)
    assert tally.courts[name].asked >= tally.cases[name] / 2  # some documents have no place for a rule
    assert run.sleepy(tally, WELL_FORMED) == []


@pytest.mark.parametrize("verdict", ["matched", "ignored", "incomparable"])
@pytest.mark.parametrize("name", ["json", "csv", "html", "xml", "sse", "ndjson", "form", "multipart", "text", "binary"])
def test_a_comparison_that_says_the_same_of_everything_is_found_out(
    name: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Result(verdict, "budget" if verdict == "incomparable" else "")  # type: ignore[arg-type]  # three of the four
    monkeypatch.setattr(oracles, "compare_pair", lambda *_: said)
    monkeypatch.setattr(run, "SHRINK_SECONDS", 0.1)
    tally = run.run({name: TARGETS[name]}, SEED, 0, cases=200)
    assert tally.findings or run.sleepy(tally, {name})


def test_a_comparison_that_names_another_place_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Result("mismatched", "", (Difference("value", "$.somewhere.else", "1", "2"),))
    honest = oracles.compare_pair

    def elsewhere(*args: object) -> Result:
        result = honest(*args)  # type: ignore[arg-type]  # passed on
        return named if result.verdict == "mismatched" else result

    monkeypatch.setattr(oracles, "compare_pair", elsewhere)
    monkeypatch.setattr(run, "SHRINK_SECONDS", 0.1)
    tally = run.run({"json": TARGETS["json"]}, SEED, 0, cases=50, most_findings=5)
    assert "the place of a change is not named" in tally.findings


def test_a_secret_that_is_shown_is_found_out() -> None:
    shown = Result("mismatched", "", (Difference("value", "$.a", "Zqhidden", "2"),))
    with pytest.raises(Finding, match="secret in the result"):
        oracles._hidden(repr(shown), ["Zqhidden"], "result", {})


def test_an_exception_is_a_finding_that_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(court: Court, dice: Dice) -> None:
        if dice.below(100) + dice.below(100) > 120:
            raise KeyError

    monkeypatch.setattr(run.tempfile, "gettempdir", lambda: str(tmp_path))
    tally = run.run({"fail": fail}, SEED, 0, cases=1000)
    ((text_of_it, path),) = tally.findings.values()
    assert "KeyError" in text_of_it
    assert sum(json.loads(path.read_text())["choices"]) == 121  # as small as it gets
    assert "KeyError" in run.replay({"fail": fail}, path)


def test_equal_seeds_make_equal_cases() -> None:
    one, two = (documents.write(documents.make(Dice("x")), Dice("y")) for _ in range(2))
    assert one == two
    dice = Dice("x")
    made = documents.make(dice)
    assert documents.make(Dice(given=dice.made)) == made


def test_choices_are_made_smaller() -> None:
    assert smaller([9, 8, 7, 50, 6], lambda choices: any(choice > 40 for choice in choices), 5) == [41]


@pytest.mark.parametrize("number", range(100))
def test_what_is_written_is_what_was_made_and_a_change_changes_it(number: int) -> None:
    dice = Dice(number)
    document = documents.make(dice)
    plain = documents.write(document).encode()
    assert slow.opinion(plain, documents.write(document, dice).encode()) == "same"
    assert slow.opinion(plain, documents.write(documents.change(document, dice)[0], dice).encode()) == "other"


@pytest.mark.parametrize(
    ("one", "two", "opinion"),
    [
        (b'{"a":1,"b":[1.10]}', b' {"b":[11e-1],"a":1}', "same"),
        (b"1", b"1.0", "other"),
        (b"1", b"true", "other"),
        (b"0", b"-0", "other"),
        (b"123456789012345678901234567890", b"123456789012345678901234567891", "other"),
        (b'{"a":1,"a":1}', b'{"a":1}', "unreadable"),
        (b'"\\ud800"', b'"\\ud800"', "unreadable"),
        (b"[" * 100_000, b"[]", "unreadable"),
    ],
)  # fmt: skip
def test_the_second_opinion(one: bytes, two: bytes, opinion: str) -> None:
    assert slow.opinion(one, two) == opinion


def test_selectors() -> None:
    deep = (Piece("a"), Piece("b", deep=True))
    assert text(deep) == "$.a..b"
    assert matches(deep, ("a", "b"))
    assert matches(deep, ("a", 3, "x", "b"))
    assert not matches(deep, ("a", 3, "x"))
    assert above(deep, ("a", "b", "c"))
    assert text((Piece("it's"), Piece(None), Piece(2))) == "$['it\\'s'][*][2]"
