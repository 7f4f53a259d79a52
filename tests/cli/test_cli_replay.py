"""banyan replay, offline: what is sent, what is not, what a build's failing means, and how it ends."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result
from faults import Background
from scripted import Act, Message, Upstream, free_port, ok

from proxy.cli import main, replaying
from proxy.compare.record import answer as recorded_side
from proxy.compare.record import request as recorded_request
from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget
from proxy.config.comparing import Compare, Redaction, written_compare
from proxy.messages import Answer, Fields, Pair

KEY = "a redaction key of 2026"
EARLIER = "an earlier redaction key"
BUDGET = Budget()
JSON: Fields = [(b"Content-Type", b"application/json")]
MATCHED, MISMATCHED, INCONCLUSIVE, UNREACHABLE = 0, 1, 2, 3


def said(body: Any, status: int = 200, fields: Fields = JSON) -> Answer:
    return Answer(status, fields, json.dumps(body).encode(), truncated=False, seconds=0.01)


def recorded(
    target: bytes = b"/orders/1", legacy: Answer | None = None, method: str = "GET", fields: Fields | None = None,
    body: bytes = b"", key: str = KEY,
) -> dict[str, Any]:  # fmt: skip
    redactor = make_redactor(Redaction(keys=[key]), b"f" * 32)
    legacy = said({"id": 1}) if legacy is None else legacy
    pair = Pair(
        generation=0, route="", request_id="", at=0.0, method=method, target=target, fields=fields or [], body=body,
        arm="legacy", reason="", cohorts=[], legacy=legacy, candidate=legacy,
    )  # fmt: skip
    return {
        "at": datetime.now(UTC).isoformat(), "request": recorded_request(pair, BUDGET, redactor),
        "legacy": recorded_side(legacy, BUDGET, redactor), "redaction_key": redactor.key_id, "partial": False,
    }  # fmt: skip


def material(*requests: dict[str, Any], expected: list[list[str]] | None = None, **rules: Any) -> dict[str, Any]:
    return {
        "route": "orders-read", "compare": written_compare(Compare.model_validate(rules)),
        "redaction": {"emails": False, "names": [], "reveal": []}, "expected": expected or [],
        "requests": list(requests), "no_room": 0,
    }  # fmt: skip


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on some material, without a Banyan."""
    monkeypatch.delenv("BANYAN_REDACTION_KEY", raising=False)
    file = tmp_path / "records.json"

    def runs(made: Any, url: str, *words: str, key: str = "") -> Result:
        file.write_text(made if isinstance(made, str) else json.dumps(made))
        if key:
            monkeypatch.setenv("BANYAN_REDACTION_KEY", key)
        command = ["replay", "orders-read", "--against", url, "--records", str(file), "--rate", "1000", *words]
        result = CliRunner().invoke(main, command)
        assert "Traceback" not in result.output
        return result

    return runs


def outcome(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def build(background: Background) -> Upstream:
    """The new build: answers as legacy did."""
    return background.enter(Upstream(ok(b'{"id": 1}', "Content-Type: application/json")))


# -- verdicts and exit codes ------------------------------------------------------------------------------------------


def test_a_build_that_answers_alike_matches(run: Run, build: Upstream) -> None:
    result = run(material(recorded(), recorded(b"/orders/2")), build.url)
    assert result.exit_code == MATCHED, result.output
    assert result.stdout == f"matched: orders-read against {build.url}: 2 asked, 2 matched\n"
    assert sorted(build.targets()) == ["/orders/1", "/orders/2"]


def test_a_build_that_does_not_is_told_where(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"id": "1"}', "Content-Type: application/json")
    result = run(material(recorded(), recorded(b"/orders/2")), build.url)
    assert result.exit_code == MISMATCHED
    lines = result.stdout.splitlines()
    assert lines[0] == f"mismatched: orders-read against {build.url}: 2 asked, 2 mismatched"
    assert lines[3].split()[:6] == ["type", "$.id", "2", "1", '"1"', "GET"]
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
    "data",
    [
        b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_breaks_off_or_is_none_is_an_error_there(run: Run, build: Upstream, data: bytes) -> None:
    good = ok(b'{"id": 1}', "Content-Type: application/json")
    build.reply = lambda message: Act(data, "close") if message.target.endswith(b"2") else good
    found = outcome(run(material(recorded(), recorded(b"/orders/2")), build.url, "--json"))
    assert found["verdicts"] == {"matched": 1, "mismatched": 1}
    assert found["differences"][0]["kind"] == "error"


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


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_a_request_is_sent_as_it_was(run: Run, build: Upstream) -> None:
    fields: Fields = [
        (b"Host", b"shop.example"), (b"Connection", b"keep-alive"), (b"X-A", b"1"), (b"x-a", b"2"),
        (b"Accept-Encoding", b"gzip"), (b"X-Banyan-Key", b"k"), (b"X-Name", "é".encode()), (b"Content-Length", b"3"),
        (b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"),
    ]  # fmt: skip
    result = run(material(recorded(b"/a/../b//c%2Fd;x?y=1&y=%20", fields=fields)), f"{build.url}/v2/")
    assert result.exit_code == MATCHED, result.output
    (sent,) = build.requests
    assert sent.target == b"/v2/a/../b//c%2Fd;x?y=1&y=%20"
    assert [value for name, value in sent.fields if name.lower() == b"x-a"] == [b"1", b"2"]
    assert sent.get("x-name") == "é".encode()
    assert sent.get("accept-encoding") == b"gzip"
    assert sent.get("x-banyan-shadow") == b"1"
    assert sent.get("host") == build.url.removeprefix("http://").encode()
    names = {name.lower() for name, _ in sent.fields}
    assert names == {b"host", b"x-a", b"accept-encoding", b"x-name", b"x-banyan-shadow"}


def test_a_body_is_sent_as_it_was(run: Run, build: Upstream) -> None:
    latin: Fields = [(b"Content-Type", b"text/plain; charset=iso-8859-1")]
    packed: Fields = [(b"Content-Type", b"text/plain"), (b"Content-Encoding", b"gzip")]
    requests = [
        recorded(b"/1", method="POST", fields=latin, body="café".encode("latin-1")),
        recorded(b"/2", method="POST", fields=packed, body=gzip.compress(b"packed")),
        recorded(b"/3", method="PUT", fields=JSON, body=b'{"a": 19.90}'),
    ]
    result = run(material(*requests), build.url)
    assert result.exit_code == MATCHED, result.output
    bodies = {message.target: message for message in build.requests}
    assert bodies[b"/1"].body == "café".encode("latin-1")
    assert bodies[b"/2"].body == b"packed"
    assert bodies[b"/2"].get("content-encoding") is None
    assert bodies[b"/3"].json() == {"a": 19.9}


def test_head_and_answers_that_are_packed_or_redirect(run: Run, build: Upstream) -> None:
    moved = Answer(302, [(b"Location", b"/elsewhere")], b"", truncated=False, seconds=0.01)
    packed = gzip.compress(b'{"id": 1}')

    def reply(message: Message) -> bytes:
        if message.target == b"/moved":
            return ok(b"", "Location: /elsewhere", status="302 Found")
        return ok(packed, "Content-Type: application/json", "Content-Encoding: gzip")

    build.reply = reply
    head = Answer(200, JSON, b"", truncated=False, seconds=0.01)
    result = run(material(recorded(), recorded(b"/moved", moved), recorded(b"/head", head, "HEAD")), build.url)
    assert result.exit_code == MATCHED, result.output
    assert sorted(build.targets()) == ["/head", "/moved", "/orders/1"]  # no redirect was followed


def test_a_large_head_of_an_answer_is_read(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"id": 1}', "Content-Type: application/json", f"X-Large: {'x' * 20_000}")
    assert run(material(recorded()), build.url).exit_code == MATCHED


def test_credentials_that_were_masked_are_given_in_the_command(run: Run, build: Upstream) -> None:
    fields: Fields = [(b"Cookie", b"sid=abc"), (b"Authorization", b"Bearer abcdefgh12345678"), (b"Accept", b"*/*")]
    one = material(recorded(fields=fields))
    result = run(one, build.url)
    assert "sent without what was masked when it was recorded; -H gives it: " in result.stdout
    assert all(name in result.stdout for name in ("cookie (1)", "authorization (1)"))
    assert build.requests[-1].get("cookie") is None
    given = run(one, build.url, "-H", "Cookie: sid=xyz", "-H", "authorization:Bearer t")
    assert "sent without" not in given.stdout
    assert (build.requests[-1].all("cookie"), build.requests[-1].all("authorization")) == ([b"sid=xyz"], [b"Bearer t"])
    assert run(one, build.url, "-H", "Accept: text/html").exit_code == MATCHED
    assert build.requests[-1].all("accept") == [b"text/html"]


def test_requests_that_cannot_be_sent_as_they_were_are_left_out(run: Run, build: Upstream) -> None:
    failed = Answer(0, [], b"", truncated=False, seconds=1.0, failure="reset")
    form: Fields = [(b"Content-Type", b"multipart/form-data; boundary=b")]
    parts = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'
    requests = [
        recorded(), recorded(legacy=failed), recorded(b"/x?token=abcdef0123"), recorded(b"*", method="OPTIONS"),
        recorded(b"@evil.example/x"), recorded(b"http://evil.example/x"), recorded("/é".encode()),
        recorded(b"/#x"), recorded(method="POST", fields=form, body=parts),
        recorded(method="POST", fields=JSON, body=b'{"password": "x"}'),
        recorded(method="POST", fields=[(b"Content-Type", b"text/plain")], body=b"x" * 100_000),
        recorded(method="POST", fields=[(b"Content-Type", b"text/plain")], body=b"caf\xe9"),
        recorded(b"/" + b"x" * 10_000), {**recorded(), "partial": True},
    ]  # fmt: skip
    found = outcome(run(material(*requests), build.url, "--json"))
    assert found["asked"] == 1
    assert found["skipped"] == {
        "not recorded whole": 3, "for something else than a path": 3, "that legacy had not answered": 1,
        "with a masked secret in the target or the body": 2, "with characters in the target that no URL has": 2,
        "with a form in parts, which is not recorded as it was sent": 1,
        "with a body that was not recorded as it was sent": 1,
    }  # fmt: skip
    assert build.targets() == ["/orders/1"]


def test_safe_only_keeps_writes_from_the_build(run: Run, build: Upstream) -> None:
    requests = [recorded(method=method) for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")]
    for one in requests[1:2]:
        one["legacy"]["body"] = {"kind": "none", "bytes": 0, "text": "", "cut": False}
    found = outcome(run(material(*requests), build.url, "--safe-only", "--json"))
    assert {message.method for message in build.requests} == {b"GET", b"HEAD", b"OPTIONS"}
    assert found["skipped"] == {"of a method that is not safe": 4}


def test_that_writes_are_sent_is_said_before(run: Run, build: Upstream) -> None:
    result = run(material(recorded(), recorded(method="POST"), recorded(method="DELETE")), build.url)
    said = "2 requests may change something (DELETE, POST); --safe-only leaves them out\n"
    assert (result.exit_code, result.stderr) == (MATCHED, said)
    assert run(material(recorded(), recorded(method="POST")), build.url, "--safe-only").stderr == ""


def test_a_fault_of_ours_is_a_verdict(run: Run, build: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(replaying, "compare_replayed", fails)
    result = run(material(recorded()), build.url)
    assert (result.exit_code, "incomparable: 1 internal-error" in result.stdout) == (INCONCLUSIVE, True)


def test_no_more_are_asked_than_the_limit_and_what_had_no_room_is_said(run: Run, build: Upstream) -> None:
    made = material(*[recorded()] * 5) | {"no_room": 7}
    result = run(made, build.url, "--limit", "3")
    assert "3 asked" in result.stdout
    assert "not asked: 7 more than one answer holds" in result.stdout


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_with_its_key_a_secret_that_changed_is_found(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"token": "b"}', "Content-Type: application/json")
    one = material(recorded(legacy=said({"token": "a"})))
    without = run(one, build.url)
    assert without.exit_code == MATCHED
    assert "1 secrets were compared by type and length at most; BANYAN_REDACTION_KEY" in without.stdout
    result = run(one, build.url, key=KEY)
    assert result.exit_code == MISMATCHED
    assert "secrets were compared" not in result.stdout
    assert "«masked text, 1, " in result.stdout


def test_records_of_several_keys_are_compared_each_under_its_own(run: Run, build: Upstream) -> None:
    build.reply = ok(b'{"token": "b"}', "Content-Type: application/json")
    requests = [recorded(legacy=said({"token": "b"}), key=EARLIER), recorded(legacy=said({"token": "a"}))]
    found = outcome(run(material(*requests), build.url, "--json", key=f"{KEY}\n{EARLIER}\n"))
    assert (found["verdicts"], found["secrets_compared_loosely"]) == ({"matched": 1, "mismatched": 1}, 0)


def test_a_key_that_is_none_is_refused_without_being_shown(run: Run, build: Upstream) -> None:
    result = run(material(recorded()), build.url, key="hunter2")
    assert result.exit_code == 1
    assert result.stderr == "banyan: BANYAN_REDACTION_KEY holds no keys: each line is one, of at least 16 characters\n"


def test_no_credential_of_the_command_line_is_shown(run: Run, build: Upstream) -> None:
    url = build.url.replace("http://", "http://user:hunter2@")
    result = run(material(recorded()), url)
    assert result.exit_code == MATCHED, result.output
    assert build.requests[-1].get("authorization") == b"Basic dXNlcjpodW50ZXIy"
    assert "hunter2" not in result.output
    for words in (("-H", "hunter2"), ("-H", "X Y: hunter2"), ("-H", "X: hunter2\x07")):
        bad = run(material(recorded()), build.url, *words)
        assert bad.exit_code == 2
        assert words[1] == "hunter2" or "hunter2" not in bad.output


def test_nothing_that_a_build_says_controls_the_terminal(run: Run, build: Upstream) -> None:
    name = "\x1b[2J\u202e"
    build.reply = ok(json.dumps({name: "\x1b]0;x\x07", "id": "\x9b\u202e"}).encode(), "Content-Type: application/json")
    result = run(material(recorded()), build.url)
    assert result.exit_code == MISMATCHED
    assert all(char.isprintable() or char == "\n" for char in result.output)
    found = outcome(run(material(recorded()), build.url, "--json"))
    assert all(text.isprintable() for one in found["differences"] for text in (one["legacy"], one["candidate"]))


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
     "http://c i", "http://ci\x1b[2J", "http://é", ""],
)  # fmt: skip
def test_what_is_no_url_of_a_build_is_refused(run: Run, url: str) -> None:
    result = run(material(recorded()), url)
    assert result.exit_code == 1
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
    assert result.exit_code == 1
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
    assert (result.exit_code, "cannot be read: No such file" in result.stderr) == (1, True)


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
