"""The checks see what they are there to see: each violation, made by hand, is found, and sound evidence passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.accounts import every_sample_accounted_for, one_line_each
from tests.chaos.actions import NEVER, Flip, Kill
from tests.chaos.equations import RULES
from tests.chaos.evidence import Evidence, Finding
from tests.chaos.figures import Figures, Line, Recorded
from tests.chaos.ledger import Entry
from tests.chaos.records import Record

ALL = {**RULES, "5 accounts": every_sample_accounted_for, "6 lines": one_line_each}


def record(number: int, **more: Any) -> Record:
    """A GET that legacy answered; everything about it can be said otherwise."""
    made = Record(
        f"c0w0n{number}", "old", "GET", "user-1", staff=False, keyed=False, cycle=0, phase="calm", started=10.0,
        ended=10.1, outcome="complete", status=200, side="legacy", arm="legacy",
    )  # fmt: skip
    return replace(made, **more)


def entry(number: int, method: str = "GET", mark: str = "-", flaw: str = "ok") -> Entry:
    return Entry(f"c0w0n{number}", method, mark, "r", flaw)


def broken(evidence: Evidence) -> set[str]:
    """The rules that do not hold; only their first words."""
    found = {title: Finding(title) for title in ALL}
    for title, rule in ALL.items():
        rule(found[title], evidence)
    return {title.split()[0] for title, each in found.items() if each.violations}


def case(records: list[Record], legacy: list[Entry] = [], candidate: list[Entry] = [], **more: Any) -> Evidence:  # noqa: B006 - nobody changes them
    """Evidence of a cycle; who was answered has a line in the log, unless lines are given."""
    lines = [Line(r.id, r.route, r.method, r.status, r.arm, 9) for r in records if r.status]
    return Evidence(0, records, {"legacy": legacy, "candidate-0": candidate}, **{"lines": lines, **more})


def figures(**values: float) -> Figures:
    """Counters of the route `diff`; names of values are outcomes and verdicts."""
    route = ("route", "diff")
    names = {
        "requests": ("http_requests_total", ("arm", "legacy"), ("method", "GET"), route, ("status", "200")),
        "compared": ("banyan_shadow_total", ("outcome", "compared"), route),
        "sent": ("banyan_shadow_total", ("outcome", "sent-to-comparator"), route),
        "dropped": ("banyan_shadow_dropped_total", ("reason", "memory"), route),
        "matched": ("banyan_compare_total", route, ("verdict", "matched")),
        "mismatched": ("banyan_compare_total", route, ("verdict", "mismatched")),
    }
    made: dict[str, dict[Any, float]] = {}
    for name, value in values.items():
        metric, *labels = names[name]
        made.setdefault(metric, {})[tuple(labels)] = value
    return Figures(made)


CANDIDATES = {"side": "candidate", "arm": "candidate"}
WRITE = {"method": "POST", "status": 201}
SOUND = case(
    [
        record(1),
        record(2, **WRITE),
        record(3, route="sales", side="candidate", arm="candidate", **WRITE),
        record(4, route="keyed", keyed=True, **WRITE),
        record(5, route="sales", method="PUT", status=502, side="", arm="candidate"),
        record(6, outcome="left", status=0, side=""),
        record(7, route="gone", outcome="complete", status=502, side="", arm="candidate"),
    ],
    [entry(1), entry(2, "POST"), entry(4, "POST", "timeout")],
    [entry(3, "POST"), entry(4, "POST"), entry(5, "PUT"), entry(7)],
)


def test_sound_evidence_passes() -> None:
    assert broken(SOUND) == set()


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        ("1", case([record(1, **WRITE)])),
        ("1", case([record(1, route="sales", outcome="truncated", **WRITE)], candidate=[entry(1, "POST")])),
        ("1", case([record(1, route="notes", **WRITE)], candidate=[entry(1, "POST", "shadow")])),
        ("2", case([record(1, route="sales", **WRITE)], [entry(1, "POST")], [entry(1, "POST")])),
        ("2", case([record(1, route="sales", keyed=True, **WRITE)], [entry(1, "POST")] * 2)),
        ("2", case([record(1, route="keyed", method="PUT", status=502, side="")], [], [entry(1, "PUT")] * 2)),
        ("3", case([record(1, route="sales", **CANDIDATES)], [], [entry(1), entry(1, mark="shadow")])),
        ("3", case([record(1, route="twin", **WRITE)], [entry(1, "POST")], [entry(1, "POST", "shadow")])),
        ("3", case([record(1, route="notes", **WRITE)], [entry(1, "POST")], [entry(1, "POST", "shadow")] * 2)),
        ("3", case([record(1, route="sales", **CANDIDATES, **WRITE)], [entry(1, "POST", "shadow")],
                   [entry(1, "POST")])),
        ("4", case([record(1, flaw="short body")], [entry(1)])),
        ("requests", case([record(1)], [entry(1, flaw="HttpParserError")])),
        ("requests", case([record(1)], [entry(1), entry(99)])),
        ("requests", case([record(1)], [entry(1), Entry("c7w0n1", "GET", "-", "r", "ok")])),
        ("stages", case([record(1)], [entry(1)], [entry(1)])),
        ("stages", case([record(1, route="moving")], [entry(1)], [entry(1, mark="shadow")],
                        flips=[Flip("moving", "legacy", 0, 5.0, 5.1)])),
        ("stages", case([record(1, route="gone", **CANDIDATES)], [entry(1)], [entry(1)])),
        ("stages", case([record(1, route="pilot", user="user-1")], [entry(1)], [entry(1)])),
        ("safe", case([record(1, status=502, side="")], [entry(1)])),
        ("safe", case([record(1, outcome="reset", status=0, side="")], [entry(1)])),
        ("safe", case([record(1, outcome="truncated")], [entry(1)])),
        ("nobody", case([record(1, outcome="hung", phase="storm", status=0)])),
        ("nobody", case([record(1, ended=40.0)], [entry(1)])),
        ("all", case([record(1, phase="clear", status=502, side="")], [entry(1)])),
        ("all", case([record(1, phase="clear", route="sales")], [entry(1)])),
        ("6", case([record(1)], [entry(1)], lines=[])),
        ("6", case([record(1)], [entry(1)], lines=[Line("c0w0n1", "old", "GET", 200, "legacy", 1)] * 2)),
        ("6", case([record(1)], [entry(1)], lines=[Line("c0w0n1", "old", "GET", 503, "legacy", 1)])),
        ("6", case([record(1)], [entry(1)], lines=[Line("c0w0n1", "sales", "GET", 200, "legacy", 1)])),
        ("6", case([record(1)], [entry(1)] * 2, lines=[Line("c0w0n1", "old", "GET", 200, "legacy", 1)])),
        ("6", case([], lines=[Line("c0w0n1", "old", "GET", 200, "legacy", 1)])),
    ],
)  # fmt: skip
def test_each_violation_is_found_and_no_other(rule: str, evidence: Evidence) -> None:
    assert broken(evidence) - {"5"} == {rule}  # there are no figures here; accounts have tests of their own


DIFF = [record(n, route="diff") for n in (1, 2, 3)]
BOTH = {"legacy": [entry(n) for n in (1, 2, 3)], "candidate": [entry(n, mark="shadow") for n in (1, 2, 3)]}
RECORDED = [Recorded("f", "diff", f"c0w0n{n}") for n in (1, 2)]
COUNTED = figures(requests=3, sent=2, dropped=1, mismatched=2)


def test_accounts_of_recorded_and_dropped_pairs_add_up() -> None:
    assert broken(case(DIFF, **BOTH, recorded=RECORDED, figures=COUNTED)) == set()


@pytest.mark.parametrize(
    "more",
    [
        {"recorded": RECORDED[:1]},
        {"recorded": [*RECORDED, RECORDED[0]]},
        {"recorded": [RECORDED[0], Recorded("f", "diff", "c0w0n9")]},
        {"recorded": [RECORDED[0], Recorded("f", "twin", "c0w0n2")]},
        {"figures": figures(requests=3, sent=2, dropped=0, mismatched=2)},
        {"figures": figures(requests=3, sent=3, dropped=0, mismatched=2)},
        {"figures": figures(requests=2, sent=2, dropped=0, mismatched=2)},
        {"figures": figures(requests=4, sent=2, dropped=2, mismatched=2)},
        {"figures": figures(requests=3, sent=2, compared=1, matched=1, mismatched=2)},
        {"figures": figures(requests=3, sent=2, dropped=1, matched=1, mismatched=2)},
    ],
)
def test_accounts_that_do_not_add_up_are_found(more: dict[str, Any]) -> None:
    assert broken(case(DIFF, **BOTH, **{"recorded": RECORDED, "figures": COUNTED, **more})) == {"5"}


def test_what_a_killed_comparator_had_in_memory_may_be_missing_and_no_more() -> None:
    near, far = Kill("comparator", 10.3), Kill("comparator", 60.0)
    lost = {"figures": figures(requests=3, sent=2, dropped=1, mismatched=1), "recorded": RECORDED[:1]}
    assert broken(case(DIFF, **BOTH, **lost, kills=[near])) == set()
    assert broken(case(DIFF, **BOTH, **lost, kills=[far])) == {"5"}


def test_what_a_killed_worker_had_in_memory_may_be_missing_and_no_more() -> None:
    near, far = Kill("worker", 10.3), Kill("worker", 60.0)
    lost = {"figures": figures(requests=1, sent=1, mismatched=2), "recorded": RECORDED, "lines": []}
    assert broken(case(DIFF, **BOTH, **lost, kills=[near])) == set()
    assert broken(case(DIFF, **BOTH, **lost, kills=[far])) == {"5", "6"}


@pytest.mark.parametrize("outcome", ["reset", "truncated"])
def test_a_worker_that_is_killed_excuses_its_own_clients_only(outcome: str) -> None:
    cut = record(1, outcome=outcome, status=200 if outcome == "truncated" else 0)
    assert broken(case([cut], [entry(1)], kills=[Kill("worker", 10.05)])) == set()
    assert broken(case([cut], [entry(1)], kills=[Kill("worker", 5.0)])) == {"safe"}
    assert broken(case([cut], [entry(1)], kills=[Kill("comparator", 10.05)])) == {"safe"}


def test_a_moving_route_is_held_to_the_stage_that_was_settled() -> None:
    moved = record(1, route="moving", side="candidate", arm="candidate")
    asked = {"candidate": [entry(1)], "figures": figures()}
    back = Flip("moving", "legacy", 0, 5.0, 5.1)
    assert broken(case([moved], **asked, flips=[back])) == {"stages"}
    assert broken(case([moved], **asked, flips=[replace(back, stage="live")])) == set()
    assert broken(case([moved], **asked, flips=[replace(back, settled=NEVER)])) == set()
    assert broken(case([moved], **asked, flips=[back, Flip("moving", "live", 0, 10.05, 10.08)])) == set()


def test_a_machine_without_time_excuses_deadlines_and_no_other_error() -> None:
    for status, rules in ((504, set()), (502, {"safe"})):
        late = case([record(1, status=status, side="")], [entry(1)], stalls=[(9.9, 10.05)])
        assert broken(late) == rules
    assert broken(case([record(1, status=504, side="")], [entry(1)], stalls=[(20.0, 21.0)])) == {"safe"}
