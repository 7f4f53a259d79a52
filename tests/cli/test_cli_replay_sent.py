"""banyan replay, offline: what is sent to a build and what is not, and where secrets go."""

from __future__ import annotations

import gzip
import json

from recorded import KEY, said
from replays import JSON, MATCHED, MISMATCHED, Run, material, outcome, recorded
from scripted import Message, Upstream, ok

from proxy.messages import Answer, Fields

EARLIER = "an earlier redaction key"


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
    assert "1 secret was compared by type and length at most; BANYAN_REDACTION_KEY" in without.stdout
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
    assert result.exit_code == 2
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
