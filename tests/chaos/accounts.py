"""The equations of the ledger check that are accounts: every sampled id (5), every request a line (6).

Law: what can be counted by id is counted by id. What Banyan keeps as sums only (pairs that were equal, shadows that
were dropped) is compared as sums, over one cycle. Where nothing of Banyan's was killed in the cycle, sums must agree to
the last one; else they may differ by what was under way around the kill, which ``evidence`` works out, and no more.

Checked of each route with shadows, with S the requests that were to be sampled (every eligible one; the route's sample
is 100 %):

- clients' answered requests <= S, as Banyan counts it, <= clients' requests
- S = pairs equal in the worker + pairs sent to the comparator + dropped, by whatever reason
- pairs sent = the comparator's verdicts
- verdicts `mismatched` = ids in the diff log, each with one record under a fingerprint
- ids of which both sides have answered differently, as the ledgers show, without a record <= dropped + not compared
- ids that candidates have seen as shadows <= S
"""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.chaos.evidence import Evidence, Finding
from tests.chaos.records import Record
from tests.chaos.routes import MOVING, ROUTES, Route

UNSAMPLED = ("stage-legacy", "stage-retired")
"""Reasons of decisions after which nothing is sampled; a moving route has them at times."""


def every_sample_accounted_for(found: Finding, evidence: Evidence) -> None:
    """(5) Each sampled id has exactly one diff record, was equal, or is in the drop counter."""
    recorded: dict[str, dict[str, int]] = defaultdict(Counter)
    for pair in evidence.recorded:
        record = evidence.by_id.get(pair.id)
        found.check(record is not None and record.route == pair.route, "nobody asked for", pair)
        recorded[pair.route][pair.id] += 1
    seen = Counter((pair.fingerprint, pair.id) for pair in evidence.recorded)
    for (key, request), times in seen.items():
        found.check(times == 1, request, "has", times, "records under", key)
    for route in ROUTES:
        if route.sampled:
            _account(found, evidence, route, set(recorded[route.id]))


def _account(found: Finding, evidence: Evidence, route: Route, recorded: set[str]) -> None:
    figures, name = evidence.figures, route.id
    asked = [record for record in evidence.records if record.route == name and record.method in route.sampled]
    workers, comparators = evidence.figures_lost(asked), evidence.pairs_lost(asked)

    where = f"cycle {evidence.cycle}, {name}:"

    def say(what: str, left: float, right: float, bound: int) -> None:
        found.check(abs(left - right) <= bound, where, what, left, right, "bound", bound)

    if name in MOVING:
        sampled = figures.sum("banyan_decisions_total", route=name) - figures.sum(
            "banyan_decisions_total", route=name, reason=UNSAMPLED
        )
    else:
        sampled = figures.sum("http_requests_total", method=route.sampled, route=name)
        answered = sum(record.status > 0 for record in asked)
        holds = answered - workers <= sampled <= len(asked)
        found.check(holds, where, "answered, counted, asked:", answered, sampled, len(asked), "bound", workers)
    found.checked += int(sampled)
    equal = figures.sum("banyan_shadow_total", route=name, outcome="compared")
    sent = figures.sum("banyan_shadow_total", route=name, outcome="sent-to-comparator")
    dropped = figures.sum("banyan_shadow_dropped_total", route=name)
    say("sampled, and equal + sent + dropped", sampled, equal + sent + dropped, workers)
    verdicts = figures.sum("banyan_compare_total", route=name) - equal  # the workers' own are among them
    say("pairs sent, and verdicts", sent, verdicts, workers + comparators)
    mismatched = figures.sum("banyan_compare_total", route=name, verdict="mismatched")
    unkept = int(figures.sum("banyan_store_dropped_total")) + evidence.crowded.get(name, 0)
    say("mismatched, and ids in the diff log", mismatched, len(recorded), comparators + unkept)
    incomparable = figures.sum("banyan_compare_total", route=name, verdict="incomparable")
    without = [record for record in asked if _differs(evidence, route, record) and record.id not in recorded]
    bound = int(dropped + incomparable) + workers + comparators + unkept
    found.check(len(without) <= bound, where, "without a record:", len(without), "bound", bound, _some(without))
    shadows = sum(record.id in evidence.candidate_shadows for record in asked)
    found.check(shadows <= sampled + workers, where, "shadows seen, sampled:", shadows, sampled, "bound", workers)


def _differs(evidence: Evidence, route: Route, record: Record) -> bool:
    """Both sides have seen it and the client got a whole good answer, so the pair is one with a difference: at this
    style also an error of the shadow is one."""
    if route.style != "diff" or record.method != "GET" or record.outcome != "complete" or record.status != 200:
        return False
    shadows = evidence.candidate_shadows if record.side == "legacy" else evidence.legacy_shadows
    return record.id in shadows


def _some(records: list[Record]) -> str:
    return ", ".join(record.id for record in records[:5])


def one_line_each(found: Finding, evidence: Evidence) -> None:
    """(6) One line of the access log for each request, which says what the client and the services saw."""
    lines: dict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(evidence.lines):
        lines[line.id].append(index)
        found.check(line.id in evidence.by_id, "nobody asked for", line)
    missing: list[Record] = []
    unexplained = 0  # times that a service has seen a request above the tries in its line
    for record in evidence.records:
        mine = [evidence.lines[index] for index in lines.get(record.id, ())]
        found.check(len(mine) <= 1, record, "has lines:", len(mine))
        if not mine:
            if record.status and not evidence.line_lost(record):
                missing.append(record)
            continue
        line = mine[0]
        same = (line.route, line.method) == (record.route, record.method)
        found.check(same, record, "the line says", line)
        if record.status:
            found.check(line.status == record.status, record, "the line says", line)
        unexplained += max(0, len(evidence.authoritative.get(record.id, ())) - line.tries)
    dropped = int(evidence.figures.sum("banyan_access_log_dropped_total"))
    found.checked += len(evidence.records)
    where = f"cycle {evidence.cycle}:"
    found.check(len(missing) <= dropped, where, "without a line:", len(missing), "dropped:", dropped, _some(missing))
    # A kept connection that dies without a word is replaced within a try; that is told by its counter only.
    replaced = evidence.figures.sum("banyan_retries_total", reason="stale-connection")
    bound = replaced + evidence.figures_lost(evidence.records)
    found.check(unexplained <= bound, where, "seen more often than the log says:", unexplained, "counted:", replaced)
