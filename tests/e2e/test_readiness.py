"""The verdict moves as traffic flows and differences are accepted or fixed, seen through the commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from running import Banyan, Setup, ask, eventually

CRITERIA = """
defaults:
  ready_when: {compared: 50, mismatch_below: 5%, p99_ratio_below: 1000}
  compare: {noise: {sample: 0%}}
"""
READY, NOT_READY, INCONCLUSIVE, UNREACHABLE = 0, 1, 2, 3


class Operator:
    """The commands, against one Banyan."""

    def __init__(self, banyan: Banyan) -> None:
        self._banyan = banyan

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proxy", *words, "--admin", self._banyan.admin]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def verdict(self) -> int:
        return self.run("readiness", "orders-read").returncode

    def readiness(self) -> Any:
        return json.loads(self.run("readiness", "orders-read", "--json").stdout)

    def traffic(self, number: int = 110) -> bool:
        for order in range(number):
            ask(f"{self._banyan.url}/orders/{order}")
        return True


@pytest.fixture
def operator(setup: Setup) -> Operator:
    setup.write(more=CRITERIA)
    return Operator(setup.start())


@pytest.mark.timeout(120)
def test_inconclusive_then_not_ready_then_accepted_and_ready(operator: Operator, setup: Setup) -> None:
    first = operator.run("readiness", "orders-read")
    assert first.returncode == INCONCLUSIVE
    assert first.stdout.startswith("orders-read: Inconclusive: no request came in this time.")

    operator.traffic()
    eventually(lambda: operator.verdict() == NOT_READY)
    # Two reasons are left when workers have told their figures of all requests, too.
    found = eventually(lambda: len((now := operator.readiness())["reasons"]) == 2 and now["compared"] == 110 and now)
    assert found["summary"] == "Not ready: 1 kind of difference is open: fix or accept it. And 1 more reason."
    (fingerprint,) = found["open"]

    accepted = operator.run("accept", fingerprint, "--reason", "the contract says text")
    assert accepted.returncode == 0, accepted.stderr
    last = eventually(lambda: (now := operator.run("readiness", "orders-read")).returncode == READY and now)
    assert last.stdout.startswith("orders-read: Ready: every criterion is met by 110 comparisons.")
    assert "110 expected, 0 mismatched" in last.stdout

    report = operator.run("report", "orders-read").stdout
    assert "**Ready: every criterion is met" in report
    assert re.search(rf"\| `{fingerprint}` \| type `\$\.total` +\| local \| the contract says text \| for good", report)

    moved = operator.run("stage", "orders-read", "canary", "--percent", "1", "--reason", "as advised")
    assert moved.returncode == 0
    assert "readiness" not in moved.stderr  # what canary itself has yet to show is no warning
    assert operator.run("stage", "orders-read", "shadow", "--reason", "back").returncode == 0

    taken_back = operator.run("unaccept", fingerprint, "--reason", "it does not")
    assert taken_back.returncode == 0, taken_back.stderr
    assert operator.verdict() == NOT_READY


@pytest.mark.timeout(120)
def test_not_ready_then_fixed_and_ready_by_new_evidence_alone(operator: Operator, setup: Setup) -> None:
    operator.traffic()
    (fingerprint,) = eventually(lambda: operator.verdict() == NOT_READY and operator.readiness()["open"])
    setup.candidate.body = setup.legacy.body
    assert operator.run("fixed", fingerprint, "--reason", "deployed").returncode == 0
    anew = operator.readiness()
    assert anew["verdict"] == "inconclusive"  # what was compared before says nothing of the new build
    assert anew["bias"][0]["name"] == "restarted"
    found = eventually(lambda: operator.traffic(20) and (now := operator.readiness())["verdict"] == "ready" and now, 90)
    assert found["mismatched"] == 0
    assert found["compared"] >= 59


def test_the_verdict_is_the_same_everywhere(operator: Operator, setup: Setup) -> None:
    operator.traffic(20)
    eventually(lambda: operator.verdict() == NOT_READY)
    admin = operator._banyan.admin
    told = {
        operator.readiness()["verdict"],
        ask(f"{admin}/api/routes/orders-read/readiness").json()["verdict"],
        ask(f"{admin}/api/routes/orders-read").json()["readiness"]["verdict"],
        next(
            r["readiness"]["verdict"]
            for r in ask(f"{admin}/api/status").json()["routes"]
            if r["route"] == "orders-read"
        ),
        json.loads(operator.run("report", "orders-read", "--format", "json").stdout)["routes"][0]["readiness"][
            "verdict"
        ],
    }
    assert told == {"not-ready"}
    assert 'banyan_route_ready{route="orders-read"} 0.0' in ask(f"{admin}/metrics").body.decode()
    assert 'banyan_route_ready{route="only-legacy"} -1.0' in ask(f"{admin}/metrics").body.decode()
    row = next(line for line in operator.run("status").stdout.splitlines() if line.startswith("orders-read"))
    assert " not ready " in row


def test_an_unknown_route_and_a_banyan_that_is_not_there_have_exit_codes_of_their_own(operator: Operator) -> None:
    unknown = operator.run("readiness", "orders-raed")
    assert unknown.returncode == 2
    assert "did you mean `orders-read`?" in unknown.stderr
    gone = subprocess.run(
        [sys.executable, "-m", "proxy", "readiness", "orders-read", "--admin", "http://127.0.0.1:1"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert gone.returncode == UNREACHABLE


def test_the_page_is_served_with_a_policy_that_allows_its_style_alone(operator: Operator) -> None:
    answer = ask(f"{operator._banyan.admin}/api/report?format=html")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    plain = ask(f"{operator._banyan.admin}/api/report")
    assert plain.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
