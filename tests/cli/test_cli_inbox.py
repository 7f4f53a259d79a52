"""Saying what differences are, as a user does: commands and API of a running Banyan, from new to accepted to fixed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running import Banyan, Reply, Setup, ask, eventually

Run = subprocess.CompletedProcess[str]


def banyan(running: Banyan, *words: str) -> Run:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *words], capture_output=True, text=True, timeout=30,
        env={**os.environ, "BANYAN_ADMIN": running.admin},
    )  # fmt: skip


def said(running: Banyan, *words: str) -> dict[str, Any]:
    run = banyan(running, *words, "--json")
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def refused(running: Banyan, *words: str) -> str:
    run = banyan(running, *words)
    assert (run.returncode, run.stdout) == (1 if "is not accepted" in run.stderr else 2, "")
    assert "Traceback" not in run.stderr
    return run.stderr


def post(running: Banyan, fingerprint: str, action: str, body: object, **headers: str) -> Reply:
    return ask(f"{running.admin}/api/diffs/{fingerprint}/{action}", "POST", body, headers)


def verdicts(running: Banyan) -> dict[str, int]:
    found: dict[str, int] = running.route("orders-read")["verdicts"]
    return found


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    made = Setup(tmp_path_factory.mktemp("inbox"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(setup: Setup) -> Banyan:
    """A Banyan that has found one difference: the type of $.total."""
    running = setup.start()
    for _ in range(5):
        ask(running.url + "/orders/1")
    eventually(lambda: verdicts(running)["mismatched"] == 5)
    eventually(lambda: ask(running.admin + "/api/diffs").json()["diffs"])
    return running


@pytest.fixture
def key(running: Banyan) -> Iterator[str]:
    """Its fingerprint; what a test says of it is taken back."""
    (found,) = ask(running.admin + "/api/diffs").json()["diffs"]
    yield found["fingerprint"]
    (found,) = ask(running.admin + "/api/diffs").json()["diffs"]
    if found["state"] == "accepted":
        said(running, "unaccept", found["fingerprint"], "--reason", "the test is over")


def test_an_accepted_difference_is_no_mismatch_and_is_counted_all_the_same(running: Banyan, key: str) -> None:
    before = verdicts(running)
    found = said(running, "accept", key, "--reason", "rounded on purpose")
    assert (found["state"], found["reason"], found["until"], found["actor"]) == (
        "accepted", "rounded on purpose", "", "local",
    )  # fmt: skip
    ask(running.url + "/orders/1")
    eventually(lambda: verdicts(running)["ignored"] == before["ignored"] + 1)
    assert verdicts(running)["mismatched"] == before["mismatched"]
    eventually(lambda: said_list(running)[0]["count"] == sum(before.values()) + 1)
    said(running, "unaccept", key, "--reason", "the app reads it")
    ask(running.url + "/orders/1")
    eventually(lambda: verdicts(running)["mismatched"] == before["mismatched"] + 1)


def said_list(running: Banyan, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(banyan(running, "diffs", *words, "--json").stdout)
    return found


def test_the_comparator_knows_what_is_accepted_after_it_died(running: Banyan, key: str) -> None:
    said(running, "accept", key, "--reason", "on purpose")
    before = verdicts(running)
    (comparator,) = ask(running.admin + "/api/status").json()["comparators"]
    os.kill(comparator["pid"], 9)
    eventually(
        lambda: (
            (c := ask(running.admin + "/api/status").json()["comparators"][0])["up"] and c["pid"] != comparator["pid"]
        )
    )

    def ignored() -> bool:
        ask(running.url + "/orders/1")
        return verdicts(running)["ignored"] > before["ignored"]

    eventually(ignored)
    assert verdicts(running)["mismatched"] == before["mismatched"]


def test_lists_are_of_a_state_and_have_what_programs_need(running: Banyan, key: str) -> None:
    (found,) = said_list(running, "orders-read")
    assert {
        "fingerprint", "route", "kind", "path", "count", "share", "state", "first_seen", "last_seen", "samples",
        "weight", "owner", "reason", "until", "noisy", "rate", "noise_rate", "cohorts", "arms", "statuses", "methods",
        "comments",
    } <= set(found)  # fmt: skip
    assert (found["kind"], found["path"], found["state"]) == ("type", "$.total", "new")
    assert (found["arms"], found["statuses"]) == ({"legacy": found["count"]}, {"200/200": found["count"]})
    assert [each["fingerprint"] for each in said_list(running, "--state", "open")] == [key]
    assert said_list(running, "--state", "accepted") == []
    said(running, "accept", key, "--reason", "x")
    assert [each["fingerprint"] for each in said_list(running, "--state", "accepted")] == [key]
    assert "No open differences." in banyan(running, "diffs", "--state", "open").stdout
    assert "accepted" in banyan(running, "diffs").stdout


def test_an_acceptance_may_end_with_a_day(running: Banyan, key: str) -> None:
    day = datetime.now(UTC).date() + timedelta(days=100)
    run = banyan(running, "accept", key, "--reason", "until the release", "--until", str(day))
    assert run.stdout == f"{key} (type $.total of orders-read) is accepted until {day}\n"
    assert f"accepted until {day} " in banyan(running, "diffs").stdout


def test_owner_comments_and_history_are_shown(running: Banyan, key: str) -> None:
    assert said(running, "assign", key, "lee")["owner"] == "lee"
    assert banyan(running, "assign", key, "kim").stdout.endswith("; kim looks after it\n")
    found = said(running, "comment", key, "only orders of before 2019 \x1b[31m")
    assert found["comments"][-1]["text"] == "only orders of before 2019 \x1b[31m"
    shown = banyan(running, "diffs", "show", key).stdout
    assert re.search(r"Z local assign: kim$", shown, re.MULTILINE)
    assert "local comment: only orders of before 2019 " in shown
    assert "\x1b" not in shown
    pair = json.loads(banyan(running, "diffs", "show", key, "--json").stdout)
    assert [each["action"] for each in pair["history"]][-3:] == ["assign", "assign", "comment"]
    events = ask(running.admin + "/api/events?route=orders-read&kind=change").json()["events"]
    assert [(e["action"], e["actor"], e["after"]["fingerprint"]) for e in events[:2]] == [
        ("comment", "local", key), ("assign", "local", key),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("accept", "KEY", "--reason", " "), "it needs a reason"),
        (("accept", "KEY", "--reason", "x" * 501), "longer than 500 characters"),
        (("accept", "KEY", "--reason", "x", "--until", "2020-01-01"), "2020-01-01 is over"),
        (
            ("accept", "KEY", "--reason", "x", "--until", "tomorrow"),
            "'tomorrow' is not a date; write it like 2026-12-31",
        ),
        (("accept", "KEY", "--reason", "x", "--until", "9999-12-31"), "more than 10 years away"),
        (("accept", "KEY", "--reason", "x", "--until", ""), "is not a date"),
        (("unaccept", "KEY", "--reason", "x"), "the difference is not accepted, it is new"),
        (("accept", "nope", "--reason", "x"), "there is no difference 'nope'; `banyan diffs` lists them"),
        (("accept", "SHORT", "--reason", "x"), "did you mean 'KEY', type $.total of orders-read?"),
        (("fixed", "WRONG", "--reason", "x"), "did you mean 'KEY'"),
        (("comment", "KEY", ""), "it needs a comment"),
        (("assign", "KEY", " "), "say who looks after it"),
        (("assign", "KEY", "x" * 101), "at most 100 characters"),
        (("accept", "../status", "--reason", "x"), "there is no difference"),
    ],
)
def test_what_says_nothing_is_refused_in_a_sentence(
    running: Banyan, key: str, words: tuple[str, ...], message: str
) -> None:
    swaps = {"KEY": key, "SHORT": key[:6], "WRONG": key[:-1] + ("0" if key[-1] != "0" else "1")}
    before = len(ask(running.admin + "/api/events?limit=1000").json()["events"])
    assert message.replace("KEY", key) in refused(running, *(swaps.get(word, word) for word in words))
    assert len(ask(running.admin + "/api/events?limit=1000").json()["events"]) == before


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("accept", {"reason": "x", "untill": "2030-01-01"}, 400),
        ("accept", {"reason": 5}, 400),
        ("accept", [], 400),
        ("accept", {"reason": "\ud800"}, 400),
        ("explode", {"reason": "x"}, 404),
    ],
)
def test_a_bad_body_is_refused(running: Banyan, key: str, action: str, body: object, status: int) -> None:
    assert post(running, key, action, body).status == status


def test_another_site_cannot_accept_anything(running: Banyan, key: str) -> None:
    reply = post(running, key, "accept", {"reason": "x"}, Origin="https://evil.example")
    assert reply.status == 403
    assert ask(f"{running.admin}/api/diffs/{key}/accept").status == 405


def test_an_unknown_state_is_refused(running: Banyan) -> None:
    assert ask(running.admin + "/api/diffs?state=odd").status == 400
    assert banyan(running, "diffs", "--state", "odd").returncode == 2
    assert banyan(running, "diffs", "show", "x", "--state", "open").returncode == 2
    assert banyan(running, "accept", "x").returncode == 2  # no reason


def test_nothing_learned_is_said(running: Banyan) -> None:
    run = banyan(running, "rules", "suggest", "orders-read")
    learned, lack, proposed = run.stdout.splitlines()
    assert learned == "# orders-read: learned from 0 comparisons of legacy with itself"
    assert "compare.noise.min_samples asks for 30" in lack
    assert proposed == "# nothing to propose"
    assert json.loads(banyan(running, "rules", "suggest", "orders-read", "--json").stdout)["rules"] == []


def test_what_was_fixed_and_comes_back_has_regressed_and_the_metrics_know(running: Banyan, key: str) -> None:
    def open_ones() -> float:
        text = ask(running.admin + "/metrics").body.decode()
        return float(re.search(r'^banyan_open_differences\{route="orders-read"\} (\S+)$', text, re.MULTILINE)[1])  # type: ignore[index]

    eventually(lambda: open_ones() == 1)
    first = banyan(running, "fixed", key, "--reason", "deployed 1.2")
    assert "is fixed; evidence of orders-read begins anew now" in first.stdout
    events = ask(running.admin + "/api/events").json()["events"]
    found = said(running, "fixed", key, "--reason", "deployed 1.2")
    assert (found["state"], found["unchanged"]) == ("fixed", True)
    again = banyan(running, "fixed", key, "--reason", "deployed 1.2")
    assert again.returncode == 0
    assert f"was already fixed at {found['fixed_at']}; nothing changed" in again.stdout
    assert ask(running.admin + "/api/events").json()["events"] == events  # so evidence began anew once
    listed = banyan(running, "diffs").stdout
    assert listed == "No differences but fixed ones.\n1 fixed one is not shown: --state all\n"
    assert key in banyan(running, "diffs", "--state", "all").stdout
    assert [each["fingerprint"] for each in said_list(running)] == [key]
    eventually(lambda: open_ones() == 0)
    assert said_list(running, "--state", "open") == []
    ask(running.url + "/orders/1")
    eventually(lambda: said_list(running)[0]["state"] == "regressed")
    eventually(lambda: open_ones() == 1)
    eventually(lambda: ask(running.admin + "/api/events").json()["events"][0]["action"] == "regressed")
    said(running, "accept", key, "--reason", "x")
    assert said(running, "unaccept", key, "--reason", "x")["state"] == "new"


def test_states_hold_over_a_restart_and_rules_that_changed_meanwhile_restart_evidence(
    setup: Setup, running: Banyan
) -> None:
    key = said_list(running)[0]["fingerprint"]
    said(running, "accept", key, "--reason", "on purpose")
    running.stop()
    setup.alter("{noise: {sample: 0%}}", "{noise: {sample: 0%}, ignore: [$.nothing]}")
    again = setup.start()
    (found,) = said_list(again)
    assert (found["fingerprint"], found["state"], found["reason"]) == (key, "accepted", "on purpose")
    newest = ask(again.admin + "/api/events").json()["events"][0]
    assert (newest["action"], newest["route"], newest["actor"]) == ("compare-changed", "orders-read", "start")
    ask(again.url + "/orders/1")
    eventually(lambda: verdicts(again)["ignored"] > 0)


def test_differences_of_a_route_that_left_the_files_stay_and_say_so(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    try:
        running = setup.start()
        ask(running.url + "/orders/1")
        key = eventually(lambda: said_list(running))[0]["fingerprint"]
        setup.alter("id: orders-read", "id: orders")
        ask(running.admin + "/api/reload", "POST", {})
        for words in ([], ["orders-read"], ["--state", "open"]):
            listed = banyan(running, "diffs", *words).stdout
            assert f"{key}  orders-read (not configured any more)  type  $.total " in listed
        assert [each["configured"] for each in said_list(running, "orders-read", "--state", "open")] == [False]
        run = banyan(running, "accept", key, "--reason", "x")
        assert run.stdout == (f"{key} (type $.total of orders-read, which is not configured any more) is accepted\n")
        assert banyan(running, "diffs", "orders-read", "--state", "fixed").stdout == "No difference is fixed.\n"
        assert "there is no route 'orders-reading'" in refused(running, "diffs", "orders-reading")
        setup.alter("id: orders\n", "id: orders-read\n")
        ask(running.admin + "/api/reload", "POST", {})
        (found,) = said_list(running)
        assert (found["configured"], found["state"]) == (True, "accepted")
    finally:
        setup.close()
