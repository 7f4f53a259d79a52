"""banyan replay, offline: what a build's answers and its failing mean, and how it ends."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from faults import Background
from ports import free_port
from recorded import said
from replays import INCONCLUSIVE, JSON, MATCHED, MISMATCHED, UNREACHABLE, Run, material, outcome, recorded
from scripted import Act, Message, Upstream, ok

from proxy.cli import main, replaying
from proxy.messages import Answer

# -- verdicts and exit codes ------------------------------------------------------------------------------------------


def test_a_build_that_answers_alike_matches(run: Run, build: Upstream) -> None:
    result = run(material(recorded(), recorded(b"/orders/2")), build.url)
    assert result.exit_code == MATCHED, result.output
    assert result.stdout.splitlines()[0] == f"matched: orders-read against {build.url}: 2 asked, 2 matched"
    assert sorted(build.targets()) == ["/orders/1", "/orders/2"]


def test_how_much_was_asked_of_what_is_recorded_and_of_the_traffic_is_said(run: Run, build: Upstream) -> None:
    kinds = [recorded(), recorded(b"/orders/2"), recorded(b"/orders?all", method="POST")]
    for one, shape in zip(kinds, ("{id}", "{id}", "{}"), strict=True):
        one |= {"cell": one["request"]["method"], "shape": shape}
    made = material(*kinds) | {"recorded": {"requests": 10, "kinds": 6, "answered": 1603}}
    said = run(made, build.url, "--safe-only").stdout.splitlines()
    assert said[1] == (
        "asked: 2 of 10 recorded requests, 1 of 6 kinds; legacy answered 1,603 in 24 h, reverse shadows included. "
        "What none of them shows was not compared."
    )
    found = outcome(run(made, build.url, "--safe-only", "--json"))
    assert [found[name] for name in ("recorded", "kinds", "answered", "asked", "kinds_asked")] == [10, 6, 1603, 2, 1]
    unknown = run(material(*kinds) | {"no_room": 1}, build.url).stdout.splitlines()[1]
    assert unknown.startswith("asked: 3 of 4 recorded requests, 2 of 2 kinds. ")


def test_a_build_that_does_not_is_told_where(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"id": "1"}', "Content-Type: application/json")
    result = run(material(recorded(), recorded(b"/orders/2")), build.url)
    assert result.exit_code == MISMATCHED
    lines = result.stdout.splitlines()
    assert lines[0] == f"mismatched: orders-read against {build.url}: 2 asked, 2 mismatched"
    assert lines[4].split()[:6] == ["type", "$.id", "2", "1", '"1"', "GET"]
    found = outcome(run(material(recorded()), build.url, "--json"))
    assert found["verdict"] == "mismatched"
    assert found["differences"] == [
        {"kind": "type", "path": "$.id", "count": 1, "expected": False, "request": "GET /orders/1", "legacy": "1",
         "candidate": '"1"'},
    ]  # fmt: skip


def test_what_was_accepted_or_is_noise_is_expected_and_nothing_else(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"id": "1"}', "Content-Type: application/json")
    result = run(material(recorded(), expected=[["type", "$.id"]]), build.url)
    assert (result.exit_code, "1 ignored" in result.stdout) == (MATCHED, True)
    assert run(material(recorded(), expected=[["value", "$.id"]]), build.url).exit_code == MISMATCHED
    build.reply = ok(b'{"id": "1", "note": 1}', "Content-Type: application/json")
    assert run(material(recorded(), expected=[["type", "$.id"]]), build.url).exit_code == MISMATCHED


def test_the_rules_of_the_route_hold(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"id": 1, "at": 2}', "Content-Type: application/json")
    result = run(material(recorded(legacy=said({"id": 1, "at": 1})), ignore=["$.at"]), build.url)
    assert (result.exit_code, "1 ignored" in result.stdout) == (MATCHED, True)


def test_nothing_recorded_is_inconclusive(run: Run, build: Upstream) -> None:
    result = run(material(), build.url)
    assert result.exit_code == INCONCLUSIVE
    assert "Nothing was compared, so nothing is known." in result.stdout


def test_nothing_that_could_be_compared_is_inconclusive(run: Run, build: Upstream) -> None:
    long = Answer(200, JSON, json.dumps(["x" * 50] * 3000).encode(), truncated=False, seconds=0.01)
    result = run(material(recorded(legacy=long)), build.url)
    assert result.exit_code == INCONCLUSIVE
    assert "incomparable: 1 too-large" in result.stdout


def test_a_build_that_is_not_there_is_unreachable(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(material(*[recorded()] * 10), url)
    assert result.exit_code == UNREACHABLE
    assert result.stderr == f"banyan: no build answers at {url} (Connection refused); is it running?\n"
    assert run(material(recorded()), "http://nowhere.invalid:80").exit_code == UNREACHABLE


def test_a_build_that_hangs_from_the_beginning_is_unreachable(
    run: Run, build: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "TIMEOUT_SECONDS", 0.2)
    build.reply = Act(b"", "hang")
    result = run(material(*[recorded()] * 10), build.url)
    assert result.exit_code == UNREACHABLE
    assert "(no answer within 0.2 s)" in result.stderr


def test_a_build_that_hangs_now_and_then_differs_there(
    run: Run, build: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "TIMEOUT_SECONDS", 2.0)
    good = ok(b'{"id": 1}', "Content-Type: application/json")
    build.reply = lambda message: Act(b"", "hang") if message.target.endswith(b"2") else good
    found = outcome(run(material(recorded(), recorded(b"/orders/2")), build.url, "--json"))
    assert found["verdicts"] == {"matched": 1, "mismatched": 1}
    assert [(one["kind"], one["candidate"]) for one in found["differences"]] == [("timeout", "first-byte-timeout")]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "reset"), (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "reset"),
        (b"nonsense\r\n\r\n", "invalid-response"), (b"HTTP/1.1 2 OK\r\n\r\n", "invalid-response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "invalid-response"),
    ],
)  # fmt: skip
def test_an_answer_that_breaks_off_or_is_none_is_an_error_there(
    run: Run, build: Upstream, data: bytes, word: str
) -> None:
    good = ok(b'{"id": 1}', "Content-Type: application/json")
    build.reply = lambda message: Act(data, "close") if message.target.endswith(b"2") else good
    found = outcome(run(material(recorded(), recorded(b"/orders/2")), build.url, "--json"))
    assert found["verdicts"] == {"matched": 1, "mismatched": 1}
    assert [(one["kind"], one["candidate"]) for one in found["differences"]] == [("error", word)]


def test_a_build_that_goes_away_in_the_middle_differs(run: Run, background: Background) -> None:
    gone = Upstream(ok(b'{"id": 1}', "Content-Type: application/json"))
    background.run(gone.listen())

    async def last(message: Message) -> bytes:
        assert gone._server is not None
        gone._server.close()  # accepts nobody any more
        return ok(b'{"id": 1}', "Content-Type: application/json", "Connection: close")

    gone.reply = last
    result = run(material(*[recorded()] * 3), gone.url, "--rate", "5", "--json")
    background.run(gone.close())
    assert result.exit_code == MISMATCHED, result.output
    assert outcome(result)["differences"][0]["kind"] == "error"


def test_an_endless_answer_is_cut_and_differs(run: Run, build: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MAX_ANSWER_BYTES", 10_000)
    build.reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"[" * 100_000
    found = outcome(run(material(recorded()), build.url, "--json"))
    assert [(one["kind"], one["path"]) for one in found["differences"]] == [("size", "body")]


def test_a_fault_of_ours_is_a_verdict(run: Run, build: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(replaying, "compare_replayed", fails)
    result = run(material(recorded()), build.url)
    assert (result.exit_code, "incomparable: 1 internal-error" in result.stdout) == (INCONCLUSIVE, True)


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_a_certificate_is_checked(
    run: Run, background: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    build = background.enter(Upstream(ok(b'{"id": 1}', "Content-Type: application/json"), tls=context))
    stranger = run(material(*[recorded()] * 5), build.url)
    assert stranger.exit_code == UNREACHABLE
    assert "its certificate is not trusted" in stranger.stderr
    assert "SSL_CERT_FILE" in stranger.stderr
    assert build.requests == []
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert run(material(recorded()), build.url).exit_code == MATCHED
    plain = run(material(recorded()), build.url.replace("https:", "http:"), "--json")
    assert plain.exit_code in (MISMATCHED, UNREACHABLE)


# -- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["ci:8000", "ftp://ci", "http://", "http://ci:99999", "http://ci:x", "http://ci/a?b=1", "http://ci/#x", "http://[::1",
     "127.0.0.1:9002", "http://c i", "http://ci\x1b[2J", "http://é", ""],
)  # fmt: skip
def test_what_is_no_url_of_a_build_is_refused(run: Run, url: str) -> None:
    result = run(material(recorded()), url)
    assert result.exit_code == 2  # 1 would be a regression
    assert "is not a URL; write it like http://127.0.0.1:9003" in result.stderr
    assert "\x1b" not in result.output


@pytest.mark.parametrize("name", ["Content-Length: 1", "Transfer-Encoding: chunked", "X-Banyan-Shadow: 0", ": x", "x"])
def test_fields_that_are_not_for_the_user_to_give_are_refused(run: Run, name: str) -> None:
    assert run(material(recorded()), "http://127.0.0.1:1", "-H", name).exit_code == 2


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds no recorded requests of a route"),
        ("{}", "missing required field `route`"),
        (material() | {"route": "other\x1b"}, "holds requests of the route 'other\\\\x1b', not of 'orders-read'"),
        (material() | {"requests": [{}]}, "missing required field `at` - at `$.requests[0]`"),
        (material(recorded()) | {"expected": ["x"]}, "- at `$.expected[0]`"),
        (material() | {"compare": {"ignore": ["items"]}}, "these rules are not of this release"),
        (material() | {"redaction": {"names": 1}}, "these rules are not of this release"),
    ],
)
def test_a_file_that_holds_no_such_record_is_refused_in_a_line(run: Run, made: Any, why: str) -> None:
    result = run(made, "http://127.0.0.1:1")
    assert result.exit_code == 2  # 1 would be a regression
    assert why in result.stderr
    assert result.stderr.count("\n") == 1 or "these rules" in why
    assert "\x1b" not in result.stderr


def test_a_body_without_its_text_is_no_record(run: Run) -> None:
    one = recorded()
    one["legacy"]["body"]["text"] = None
    assert "a body without its text" in run(material(one), "http://127.0.0.1:1").stderr


def test_a_file_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    command = ["replay", "x", "--against", "http://127.0.0.1:1", "--records", str(tmp_path / "none.json")]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, "cannot be read: No such file" in result.stderr) == (2, True)


def test_either_a_build_is_asked_or_the_requests_are_kept() -> None:
    for words in ([], ["--against", "http://127.0.0.1:1", "--save", "x"]):
        result = CliRunner().invoke(main, ["replay", "x", *words])
        assert result.exit_code == 2
        assert "--save FILE" in result.stderr


def test_the_progress_is_one_line_that_is_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    from proxy.cli.replay import _Line

    line = _Line(on=True)
    for done in range(1, 101):
        line.show(done, 100, 3)
    line.clear()
    said = capsys.readouterr().err
    assert said.endswith("\r100 of 100 asked, 3 with differences\r")
    assert said.count("asked") <= 3
    _Line(on=False).show(1, 1, 0)
    assert capsys.readouterr().err == ""
