"""Verdicts, and what is counted with them; faults inside the machinery are a verdict of their own, never the end."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.compare.fingerprint import fingerprint
from proxy.compare.redact import Redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import CompareRules, compile_rules
from proxy.config.comparing import Compare
from proxy.config.model import Retention
from proxy.control.judge import Judge
from proxy.messages import SIZE_RATIO_BUCKETS, Answer, Expected, Pair
from proxy.store.diff_writer import DiffWriter
from proxy.store.difflog import DiffLog
from proxy.store.evidence import MORE, EvidenceLog
from proxy.store.rates import RateLog
from proxy.store.sqlite import open_database

NOW = 150.0  # of the writer; pairs are from 100 s


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    dice = random.Random(1)
    writer = DiffWriter(
        tmp_path / "banyan.db", Retention(), dice.randrange, lambda event, text: None, clock=lambda: NOW
    )
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


def test_a_budget_is_of_work_and_not_of_waiting_for_a_busy_machine(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []

    def slowly(pair: Pair, rules: CompareRules, budget: Budget, now: Callable[[], float], redactor: Redactor) -> Result:
        began = now()
        time.sleep(2 * budget.seconds)
        passed.append((now() - began) / budget.seconds)
        return Result("matched")

    monkeypatch.setattr("proxy.control.judge.compare_pair", slowly)
    assert judge.judge(unequal(), leisure=True).verdict == "matched"
    assert passed[0] < 1


def test_a_fault_in_recording_keeps_the_verdict(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.judge.record", broken)
    assert judge.judge(unequal(), leisure=True).verdict == "mismatched"
    assert judge.lost == {"record-fault": 1}


def pair(legacy: bytes, candidate: bytes, **more: Any) -> Pair:
    sides = [Answer(200, [(b"content-type", b"application/json")], body, False, 0.0) for body in (legacy, candidate)]
    values: dict[str, Any] = {"at": 100.0, "method": "GET", "cohorts": ["staff"], **more}
    return Pair(
        1, "r", "id", values.pop("at"), values.pop("method"), b"/", [], b"", "legacy", "stage", values.pop("cohorts"),
        sides[0], sides[1], **values,
    )  # fmt: skip


A, B = (fingerprint("r", "value", path) for path in ("$.a", "$.b"))


@pytest.mark.parametrize(
    ("expected", "verdict", "why"),
    [
        (Expected({}, []), "mismatched", {}),
        (Expected({A: 0.0}, []), "mismatched", {}),  # the other one is not
        (Expected({A: 0.0, B: 0.0}, []), "ignored", {"accepted": 1}),
        (Expected({A: 0.0}, [B]), "ignored", {"accepted": 1}),
        (Expected({}, [A, B]), "ignored", {"noise": 1}),
        (Expected({A: 100.5, B: 0.0}, []), "ignored", {"accepted": 1}),
        (Expected({A: 100.0, B: 0.0}, []), "mismatched", {}),  # it was over when the request came
        (Expected({A: 100.0, B: 0.0}, [A]), "ignored", {"accepted": 1}),
    ],
)
def test_a_pair_is_ignored_if_all_that_it_shows_is_expected(
    judge: Judge, expected: Expected, verdict: str, why: dict[str, int]
) -> None:
    judge.expect(expected)
    assert judge.judge(pair(b'{"a":1,"b":1}', b'{"a":2,"b":2}'), leisure=True).verdict == verdict
    counters = judge.routes["r"]
    assert (counters.verdicts, counters.expected) == ({verdict: 1}, why)


def test_what_is_expected_is_counted_and_kept_as_evidence_by_what_it_shows(judge: Judge, tmp_path: Path) -> None:
    judge.expect(Expected({A: 0.0}, []))
    judge.judge(pair(b'{"a":1}', b'{"a":2}', cell="a kind"), leisure=True)
    judge.judge(pair(b'{"a":1,"b":1}', b'{"a":2,"b":2}', method="BREW"), leisure=True)
    judge.judge(pair(b'{"a":1}', b'{ "a":1}'), leisure=True)
    judge.judge(pair(b"[" * 100_000, b"[]"), leisure=True)
    judge._writer.step()
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        counts = EvidenceLog(connection).counts("r", 0)
        rows = {row["path"]: row for row in DiffLog(connection).fingerprints()}
        assert DiffLog(connection).cells(A) == {"a kind": 1}
    assert (counts.equal, counts.incomparable) == (1, 1)
    assert dict(counts.groups) == {frozenset({A}): 1, frozenset({A, B}): 1}
    assert rows["$.a"]["count"] == 2
    assert rows["$.a"]["methods"] == {"GET": 1, "other": 1}
    assert rows["$.a"]["cohorts"] == {"staff": 2}
    assert rows["$.a"]["statuses"] == {"200/200": 2}


def test_more_differences_than_are_kept_are_never_expected(judge: Judge, tmp_path: Path) -> None:
    one, two = (b"{" + b",".join(b'"x%d":%d' % (n % 40, v) for n in range(40)) + b"}" for v in (1, 2))
    judge._budget = judge._budget._replace(differences=10)
    judge.expect(Expected({fingerprint("r", "value", f"$.x{n}"): 0.0 for n in range(40)}, []))
    assert judge.judge(pair(one, two), leisure=True).verdict == "mismatched"
    judge._writer.step()
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        assert EvidenceLog(connection).counts("r", 0).groups == [(frozenset({MORE}), 1)]


def test_what_rules_ignore_counts_as_equal_and_says_so(judge: Judge, tmp_path: Path) -> None:
    judge._rules["r"] = compile_rules(Compare(ignore=["$.a"]))
    assert judge.judge(pair(b'{"a":1}', b'{"a":2}'), leisure=True).verdict == "ignored"
    assert judge.routes["r"].expected == {"rules": 1}
    judge._writer.step()
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        assert EvidenceLog(connection).counts("r", 0).equal == 1


def test_two_answers_of_legacy_get_no_verdict_and_teach_noise(judge: Judge, tmp_path: Path) -> None:
    judge.judge(pair(b'{"a":1,"b":1}', b'{"a":2,"b":1}', purpose="self"), leisure=True)
    judge.judge(pair(b'{"a":1}', b'{ "a":1}', purpose="self"), leisure=True)
    judge.judge(pair(b"[" * 100_000, b"[]", purpose="self"), leisure=True)  # not compared to the end
    counters = judge.routes["r"]
    assert (counters.selfs, counters.verdicts, counters.incomparable) == (2, {}, {})
    assert counters.sizes == [0] * len(counters.sizes)
    judge._writer.step()
    with closing(open_database(tmp_path / "banyan.db")) as connection:
        assert DiffLog(connection).fingerprints() == []
        assert EvidenceLog(connection).counts("r", 0) == (0, 0, [])
        (learned,) = RateLog(connection).learned(NOW, {}, 86400.0)
    assert (learned.fingerprint, learned.self_count, learned.looks) == (A, 1, {"number"})
    assert round(learned.rates.selfs, 3) == 2


def test_legacy_with_itself_is_compared_in_full_where_the_candidate_may_say_more(judge: Judge, tmp_path: Path) -> None:
    judge._rules["r"] = compile_rules(Compare(mode="subset"))
    assert judge.judge(pair(b'{"a":1}', b'{"a":1,"b":1}'), leisure=True).verdict == "matched"
    assert judge.judge(pair(b'{"a":1}', b'{"a":1,"b":1}', purpose="self"), leisure=True).verdict == "mismatched"


@pytest.mark.parametrize("purpose", ["self", "seen"])
def test_pairs_without_a_verdict_are_only_lost_when_nobody_looks(judge: Judge, purpose: str) -> None:
    judge.skip(pair(b"1", b"2", purpose=purpose), "queue-full")
    assert judge.routes == {}
    assert judge.lost == {"not-looked-at": 1}
    judge.skip(pair(b"1", b"2", purpose="read-back"), "queue-full")
    assert judge.routes["r"].incomparable == {"queue-full": 1}


def test_only_pairs_that_are_compared_to_the_end_cover_their_cell(judge: Judge) -> None:
    judge.judge(pair(b'{"a":1}', b'{"a":2}', cell="differs"), leisure=True)
    judge.judge(pair(b'{"a":1}', b'{ "a":1}', cell="same"), leisure=True)
    judge.judge(pair(b"[" * 100_000, b"[]", cell="too deep"), leisure=True)
    judge.judge(pair(b'{"a":1}', b'{"a":2}', cell="itself", purpose="self"), leisure=True)
    judge.judge(pair(b'{"a":1}', b"", cell="looked at", purpose="seen"), leisure=True)
    judge.judge(pair(b'{"a":1}', b'{"a":2}'), leisure=True)
    judge.skip(pair(b'{"a":1}', b'{"a":2}', cell="no room"), "queue-full")
    assert judge.routes["r"].covered == {"differs": 1, "same": 1}


def test_reads_after_a_write_are_compared_like_others(judge: Judge) -> None:
    assert judge.judge(pair(b'{"a":1}', b'{"a":2}', purpose="read-back"), leisure=True).verdict == "mismatched"
    assert judge.routes["r"].verdicts == {"mismatched": 1}


@pytest.mark.parametrize(
    ("legacy", "candidate", "bucket"),
    [(b"1", b"2", 1.01), (b"10", b"5", 0.5), (b"1", b"12345", 10.0), (b"1", b"123456789012", None)],
)
def test_sizes_are_counted_by_their_ratio(judge: Judge, legacy: bytes, candidate: bytes, bucket: float | None) -> None:
    judge.judge(pair(legacy, candidate), leisure=True)
    sizes = judge.routes["r"].sizes
    at = SIZE_RATIO_BUCKETS.index(bucket) if bucket is not None else len(SIZE_RATIO_BUCKETS)
    assert sizes == [int(n == at) for n in range(len(sizes))]


def test_a_size_that_is_not_known_is_not_counted(judge: Judge) -> None:
    cut = pair(b"1", b"2")
    cut.candidate.truncated = True
    failed = pair(b"1", b"")
    failed.candidate.failure = "timeout"
    for each in (cut, failed, pair(b"", b"")):
        judge.judge(each, leisure=True)
    assert sum(judge.routes["r"].sizes) == 0
    cut.candidate.size = 100
    judge.judge(cut, leisure=True)
    assert judge.routes["r"].sizes[-1] == 1
