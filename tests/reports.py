"""Reports to look at: one route in each state, with everything that can stand in a report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from proxy.compare.evidence import Evidence
from proxy.compare.readiness import assess
from proxy.config.comparing import ReadyWhen
from proxy.config.model import Settings, compare_of
from proxy.control.findings import Comment, Finding
from proxy.control.report import Facts, Report, build, state_of
from proxy.control.report_figures import Hour
from proxy.control.report_samples import Answered, SideBySide
from proxy.core.coverage import Cell, cell_key
from proxy.messages import CompareCounters, Histogram, RouteCounters
from proxy.messages import Paired as PairedCounts
from proxy.store.tally import Tally

AT = 1_700_000_000.0
FINGERPRINT = "0123456789ab"


def settings(stage: str = "shadow", percent: str = "10%", route: str = "orders-read") -> Settings:
    return Settings.model_validate(
        {
            "upstreams": {
                "monolith": {"endpoints": ["http://127.0.0.1:1"]},
                "orders": {"endpoints": ["http://127.0.0.1:2"]},
            },
            "legacy": "monolith",
            "routes": [
                {
                    "id": route,
                    "match": {"path": "/orders"},
                    "candidate": "orders",
                    "stage": stage,
                    "canary": {"percent": percent},
                    "compare": {"ignore": ["$.at"], "tolerance": {"$.total": 0.01}, "unordered": {"$.items": "id"}},
                }
            ],
        }
    )


def finding(path: str = "$.total", legacy: str = "19.90", **more: Any) -> Finding:
    known: dict[str, Any] = {
        "fingerprint": FINGERPRINT, "route": "orders-read", "kind": "type", "path": path, "count": 51,
        "share": 0.041, "state": "new", "first_seen": "2023-11-14T22:00:00.000Z",
        "last_seen": "2023-11-14T22:10:00.000Z", "samples": ["7"], "legacy": legacy, "candidate": '"19.90"',
        "weight": 60,
    }  # fmt: skip
    return Finding(**(known | more))


def pair(left: str = '"total": 19.90', right: str = '"total": "19.90"', identity: str = "7") -> SideBySide:
    legacy, candidate = Answered(200, "", 0.012, 1204), Answered(200, "", 0.0093, 1206)
    rows = [
        ["…", "", "", ""],
        [" ", "{", "{", ""],
        ["~", left, right, FINGERPRINT],
        ["-", '"vat": 3.18', "", "ignored"],
        [" ", "}", "}", ""],
    ]
    return SideBySide(identity, "2023-11-14T22:10:00.000Z", "GET", "/orders?id=1", legacy, candidate, [], rows)


def tally(number: int = 1000, **more: Any) -> Tally:
    """So many requests, all answered by legacy; ``more`` replaces counters of the traffic."""
    histogram = Histogram()
    histogram.counts[4] = number
    traffic = RouteCounters(
        requests={"GET 200 legacy": number} if number else {},
        upstream_durations={"monolith": histogram},
        shadow_durations={"orders": histogram},
    )
    for name, value in more.items():
        setattr(traffic, name, value)
    return Tally(traffic, CompareCounters())


def facts(
    evidence: Evidence, findings: list[Finding] | None = None, stage: str = "shadow", percent: str = "10%", **more: Any
) -> Facts:
    """What is known of one route at a stage; ``more`` replaces fields of Facts."""
    serving = settings(stage, percent, evidence.route)
    found = msgspec.structs.replace(evidence, stage=stage)
    route = serving.routes[0] if evidence.candidate else serving.routes[0].model_copy(update={"candidate": None})
    known: dict[str, Any] = {
        "route": route, "file_stage": route.stage, "override": None, "legacy": "monolith",
        "compare": compare_of(serving, route), "readiness": assess(found, ReadyWhen()), "tally": tally(),
        "trend": [], "findings": findings or [], "pairs": {},
        "kinds": Counter(state_of(each.state, noisy=each.noisy) for each in findings or []),
    }  # fmt: skip
    return Facts(**(known | more))


def good(**more: Any) -> Evidence:
    """A route that meets every criterion, at any stage."""
    histogram = Histogram()
    histogram.counts[4] = 4000
    deltas = PairedCounts()
    deltas.deltas[13] = 4000
    known: dict[str, Any] = {
        "route": "orders-read", "stage": "shadow", "equal": 4000, "requests": 4000, "candidate_requests": 200,
        "pairs": 4000, "paired": deltas, "legacy_seconds": histogram, "candidate_seconds": histogram, "coverage": 1.0,
    }  # fmt: skip
    return Evidence(**(known | more))


NOTHING = Evidence(route="orders-read", stage="shadow")
DIFFERING = good(mismatched=51, open=(FINGERPRINT,))


def report(*known: Facts) -> Report:
    return build(AT, 24, known)


# -- a whole one ----------------------------------------------------------------------------------------------------


def trend(mismatched: int) -> list[Hour]:
    """A day with a quiet night, in which nothing was compared for an hour."""
    hours = []
    for index in range(24):
        requests = 60 + 40 * (index % 12)
        compared = 0 if index == 5 else requests * 9 // 10
        wrong = min(compared, mismatched * (index > 14) * (1 + index % 3))
        hours.append(Hour(int(AT) // 3600 * 3600 - (23 - index) * 3600, requests, compared, wrong, index % 4,
                          errors=index % 5 == 0, fallbacks=(index == 20) * 7))  # fmt: skip
    return hours


def busy() -> Tally:
    """Figures of every kind."""
    slow = Histogram([0, 3, 40, 300, 500, 120, 30, 6, 1, 0, 0, 0, 0, 0], 21.0)
    quick = Histogram([0, 90, 300, 400, 150, 40, 15, 4, 1, 0, 0, 0, 0, 0], 12.0)
    deltas = [0, 0, 0, 0, 0, 0, 2, 9, 30, 90, 140, 180, 160, 90, 80, 70, 60, 40, 25, 12, 6, 3, 2, 1, 0, 0, 0, 0]
    cells = {
        cell_key(Cell("GET", 200, "/orders/{}", ("page", "sort"), ("staff",), "json")): [700, 650],
        cell_key(Cell("GET", 200, "/orders/{}", (), (), "json")): [250, 240],
        cell_key(Cell("GET", 404, "/orders/{}", (), (), "json")): [40, 36],
        cell_key(Cell("POST", 201, "/orders", (), (), "json")): [60, 0],
        cell_key(Cell("GET", 200, "/orders/export", ("format",), (), "text")): [9, 0],
    }
    made = tally(
        1059, requests={"GET 200 legacy": 950, "GET 404 legacy": 40, "POST 201 legacy": 60, "GET 500 legacy": 9},
        upstream_durations={"monolith": slow}, shadow_durations={"orders": quick}, coverage=cells,
        shadow_dropped={"loop-lag": 12, "memory": 3},
        paired=PairedCounts(deltas, -1.2, would_time_out=2, legacy_errors=9, candidate_errors=9),
    )  # fmt: skip
    made.compare.expected = {"rules": 40, "accepted": 12, "noise": 61}
    made.compare.incomparable = {"too-large": 4}
    made.compare.sizes = [0, 0, 0, 2, 5, 9, 80, 3, 1, 0, 1, 0, 0]
    return made


def whole(nasty: str = "") -> Report:
    """One route in each state. ``nasty`` is put wherever something recorded is shown."""
    said = {"actor": f"ann{nasty}", "reason": f"the contract changed, agreed in OPS-7{nasty}"}
    findings = [
        finding(f"$.items[*].price{nasty}", f"19.90{nasty}", cohorts={"staff": 9}, statuses={"200/200": 51},
                methods={"GET": 51}, arms={"legacy": 51}, owner=f"team-orders{nasty}",
                comments=[Comment("2023-11-14T22:12:00.000Z", f"bea{nasty}", f"it is the serialiser{nasty}")]),
        finding("status", "200", fingerprint="ab0000000001", kind="status-class", weight=90, candidate="500", count=3,
                share=0.002, state="regressed"),
        finding("header:cache-control", "max-age=60", fingerprint="ab0000000002", kind="header", weight=35,
                candidate="no-store", count=12, share=0.009, samples=[]),
        finding(f"$.customer.name{nasty}", '"Ann"', fingerprint="ab0000000003", state="accepted",
                candidate='"ANN"', until="2024-06-01T00:00:00.000Z", **said),
        finding("$.generated_at", '"22:10:00"', fingerprint="ab0000000004", kind="value", noisy=True, rate=0.98,
                noise_rate=0.97, candidate='"22:10:01"'),
        finding("$.items", "[1, 2]", fingerprint="ab0000000005", kind="order", state="fixed", candidate="[2, 1]",
                **said),
    ]  # fmt: skip
    pairs = {
        FINGERPRINT: pair(f'"price": 19.90{nasty}', f'"price": "19.90"{nasty}'),
        "ab0000000001": pair("{", "", "8"),
    }
    wrong = good(
        equal=900, expected=73, mismatched=66, open=("ab0000000001", FINGERPRINT, "ab0000000002"), coverage=0.88,
        never=2, requests=1059, writes=60, dropped={"loop-lag": 12, "memory": 3}, incomparable=4,
        incomparable_by={"too-large": 4}, selfs=10, candidate_requests=0,
        restarted=f"the difference ab0000000005 was fixed{nasty}", since=AT - 40_000, pairs=1050,
        paired=busy().traffic.paired,
        legacy_seconds=busy().traffic.upstream_durations["monolith"],
        candidate_seconds=busy().traffic.shadow_durations["orders"],
    )  # fmt: skip
    return report(
        facts(good(route="catalog-list"), tally=busy(), trend=trend(0)),
        facts(good(route="reviews", equal=120, coverage=None), stage="canary"),
        facts(wrong, findings, tally=busy(), trend=trend(4), pairs=pairs),
        facts(msgspec.structs.replace(NOTHING, route="shipping", candidate=False), stage="legacy", tally=tally(0)),
    )
