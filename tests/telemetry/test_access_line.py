"""One request is one short line that a machine can read, whatever the request held."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.telemetry.access_line import (
    FIELDS,
    MAX_LINE_BYTES,
    MAX_TARGET,
    MAX_TRIES,
    TRY_FIELDS,
    AccessRecord,
    Try,
    encode,
    trim,
)

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operations.md"


def record(target: bytes = b"/orders/1", tries: int = 1, **more: Any) -> AccessRecord:
    given: dict[str, Any] = {
        "time": 1_700_000_000.25, "request_id": b"0af7651916cd43dd8448eb211c80319c", "client": "127.0.0.1",
        "method": "GET", "target": target, "status": 200, "route": "orders", "arm": "candidate", "reason": "percent",
        "generation": 3, "seconds": 0.0123456789, "bytes_sent": 512,
        "tries": [Try("orders", "http://127.0.0.1:9002", 0.01, "ok") for _ in range(tries)],
    }  # fmt: skip
    return AccessRecord(**{**given, **more})


def line(made: AccessRecord) -> dict[str, Any]:
    text = encode(made)
    assert len(text) <= MAX_LINE_BYTES
    assert text.endswith(b"\n")
    assert re.fullmatch(rb"[ -~]+\n", text)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_line_has_what_became_of_the_request_and_nothing_empty() -> None:
    assert line(record()) == {
        "time": "2023-11-14T22:13:20.250+00:00", "request_id": "0af7651916cd43dd8448eb211c80319c",
        "client": "127.0.0.1", "method": "GET", "path": "/orders/1", "status": 200, "route": "orders",
        "arm": "candidate", "reason": "percent", "generation": 3, "seconds": 0.012346, "bytes_sent": 512,
        "tries": [
            {"upstream": "orders", "endpoint": "http://127.0.0.1:9002", "seconds": 0.01, "outcome": "ok",
             "why": "first"}
        ],
    }  # fmt: skip


def test_a_try_that_no_endpoint_was_chosen_for_names_none() -> None:
    made = record()
    made.tries = [Try("orders", "", 0.00004, "breaker-open")]
    assert line(made)["tries"] == [
        {"upstream": "orders", "seconds": 0.00004, "outcome": "breaker-open", "why": "first"}
    ]


def test_a_fallback_tells_its_whole_story() -> None:
    tries = [
        Try("orders", "http://a:1", 0.2, 503),
        Try("orders", "http://b:1", 0.1, "reset", "retry"),
        Try("monolith", "http://m:1", 0.05, "ok", "fallback"),
    ]
    found = line(record(tries=0, arm="legacy", fallback="reset", breaker="half-open", drill="delay", cohort="staff"))
    assert {name: found[name] for name in ("fallback", "breaker", "drill", "cohort")} == {
        "fallback": "reset", "breaker": "half-open", "drill": "delay", "cohort": "staff",
    }  # fmt: skip
    made = record()
    made.tries = tries
    assert [(each["outcome"], each["why"]) for each in line(made)["tries"]] == [
        (503, "first"), ("reset", "retry"), ("ok", "fallback"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a?page=2&token=abc&empty=", "/a", "page=*&token=*&empty="),
        (b"/a?0123456789", "/a", "*"),
        (b"/a?", "/a", None),
        (b"/a?x&&y=1", "/a", "*&&y=*"),
        (b"/a?b?c=d?e", "/a", "b?c=*"),
        (b"/a?eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc=1", "/a", "*=*"),
        (b"/a?" + b"n" * 41 + b"=1", "/a", "*=*"),
        (b"/a?AKIA%41BCDEFGHIJKLMNOP=1", "/a", "*=*"),
        (b"/reset/ghp_" + b"a" * 30, "/reset/<masked text, 34>", None),
        (b"/reset/ghp%5F" + b"a" * 30 + b"/x%20y", "/reset/<masked text, 36>/x%20y", None),
        (b"/user/4111111111111111", "/user/<masked text, 16>", None),
        (b"/%E4%B8%96/\xe4\xb8\x96", "/%E4%B8%96/\\xe4\\xb8\\x96", None),
        (b"/a\\b\x1b[2J\x7f\x00\r\n\"'", "/a\\x5cb\\x1b[2J\\x7f\\x00\\x0d\\x0a\"'", None),
        (b"/a?\xff=\xff", "/a", "\\xff=*"),
        (b"*", "*", None),
    ],
)
def test_targets_show_their_path_and_only_the_names_of_their_query(target: bytes, path: str, query: str | None) -> None:
    found = line(record(target))
    assert (found["path"], found.get("query")) == (path, query)


def test_a_long_target_is_cut_and_says_so() -> None:
    path, query = line(record(b"/" + b"a" * 5000)), line(record(b"/a?" + b"&".join(b"n%d=1" % n for n in range(900))))
    assert path["path"].endswith("aaa...")
    assert query["query"].endswith("&...")
    assert line(record(b"/a?" + b"v" * 5000))["query"] == "..."


def test_a_name_that_the_cut_halved_is_not_shown() -> None:
    target = b"/a?x=" + b"1" * (MAX_TARGET - 20) + b"&AKIA0123456789ABCDEF=1"
    assert line(record(target))["query"] == "x=*&..."


def test_trimming_keeps_little_and_shows_the_same() -> None:
    made, whole = record(b"/a?" + b"b=c&" * 100_000), record(b"/a?" + b"b=c&" * 100_000)
    trim(made)
    assert len(made.target) == MAX_TARGET + 1
    assert encode(made) == encode(whole)


def test_many_tries_show_the_first_and_the_last() -> None:
    made = record(tries=30)
    made.tries[-1].why = "fallback"
    found = line(made)
    assert (len(found["tries"]), found["more_tries"]) == (MAX_TRIES, 30 - MAX_TRIES)
    assert found["tries"][-1]["why"] == "fallback"


nasty = st.sampled_from(['"' * 300, "\\" * 300, "\udcff" * 300, "\x00" * 300, "世" * 300, "x" * 300]) | st.text(
    max_size=80
)
raw = st.sampled_from([b'"' * 3000, b"\\" * 3000, b"\xff" * 3000, b"a=" * 3000, b'"&' * 3000]) | st.binary(max_size=300)


@given(
    st.tuples(*[nasty] * 10), raw, raw, st.integers(0, 30), st.floats(0, 1e9), st.one_of(st.integers(100, 599), nasty)
)
@example(('"' * 300,) * 10, b'"' * 3000, b'"' * 40 + b"=&", 30, 1e9, '"' * 300)
@example(("\x00" * 300,) * 10, b"\x00" * 3000, b"\x00", 30, 1e9, "\x00" * 300)
def test_no_request_makes_a_line_long_or_broken(
    words: tuple[str, ...], target: bytes, query: bytes, tries: int, seconds: float, outcome: int | str
) -> None:
    made = record(
        target + b"?" + query, client=words[0], method=words[1], route=words[2], arm=words[3], reason=words[4],
        cohort=words[5], failure=words[6], fallback=words[7], breaker=words[8], drill=words[9], request_id=target,
        seconds=seconds,
    )  # fmt: skip
    made.tries = [Try(words[0], words[1], seconds, outcome, words[2]) for _ in range(tries)]
    found = line(made)
    assert found["status"] == 200
    assert len(found["tries"]) + found.get("more_tries", 0) == tries


def test_the_documentation_lists_exactly_the_fields_that_exist() -> None:
    section = DOCUMENT.read_text().partition("## The access log")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \|$", section, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted([*FIELDS, *TRY_FIELDS])
