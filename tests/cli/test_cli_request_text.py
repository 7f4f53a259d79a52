"""Recorded requests as text to run: whatever was recorded, it is data; and what runs is what was recorded."""

from __future__ import annotations

import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_requests import KEY, OTHER, SECRET, header_names, many, paths, record, values, words

from proxy.cli import again
from proxy.cli.request_text import as_text, curl, hurl
from proxy.compare.masks import mask

# -- curl -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs a text in bash with a curl that writes its arguments down; they are the answer."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "curl"
    fake.write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done > "$ARGUMENTS"\n')
    fake.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()

    def runs(text: str, **environ: str) -> list[bytes]:
        arguments = tmp_path / "arguments"
        arguments.unlink(missing_ok=True)
        env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "ARGUMENTS": str(arguments), **environ}
        script = tmp_path / "script"
        script.write_text(text, encoding="utf-8")
        done = subprocess.run(["bash", str(script)], capture_output=True, cwd=work, env=env)
        assert list(work.iterdir()) == []  # nothing that was recorded ran
        if not arguments.exists():
            return [b"!", done.stderr]
        assert done.stderr == b""
        return arguments.read_bytes().split(b"\0")[:-1]

    return runs


def after(arguments: list[bytes], option: bytes) -> list[bytes]:
    return [word for before, word in pairwise(arguments) if before == option]


@many
@given(paths, st.dictionaries(header_names, values, max_size=3), words)
def test_curl_gets_exactly_the_words_that_were_recorded(
    run: Any, target: str, fields: dict[str, str], body: str
) -> None:
    text = curl(record("PUT", target, [[name, value] for name, value in fields.items()], body))
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    arguments = run(text)
    assert arguments[-1] == b"http://127.0.0.1:8080" + target.encode()
    assert after(arguments, b"--request") == [b"PUT"]
    assert after(arguments, b"--data-raw") == ([body.encode()] if body else [])
    headers = [word for word in after(arguments, b"--header") if not word.endswith(b":")]
    expected = {}
    for name, value in fields.items():
        known = expected.get(name.lower())
        expected[name.lower()] = (name, value) if known is None else (known[0], f"{known[1]}, {value}")
    assert headers == [
        (f"{name}: {value}" if value else f"{name};").encode()
        for name, value in expected.values()
        if not f"{name}: {value}".endswith(":")
    ]


def test_curl_reads_no_file_for_a_recorded_body() -> None:
    text = curl(record("POST", body="@/etc/passwd"))
    assert "--data-raw @/etc/passwd" in text  # which curl sends as it stands
    assert "--data-binary" not in text


def test_curl_runs_for_each_method(run: Any) -> None:
    assert after(run(curl(record("GET"))), b"--request") == []
    assert after(run(curl(record("GET", body="x"))), b"--request") == [b"GET"]
    assert after(run(curl(record("POST", body="x"))), b"--request") == []
    assert after(run(curl(record("POST"))), b"--request") == [b"POST"]
    assert b"--head" in run(curl(record("HEAD")))
    assert after(run(curl(record("$(id)"))), b"--request") == [b"$(id)"]
    head = curl(record("HEAD", body="x"))
    assert "curl sends no body with HEAD" in head
    assert b"--data-raw" not in run(head)


def test_curl_adds_no_field_of_its_own(run: Any) -> None:
    plain = after(run(curl(record("POST", body="x"))), b"--header")
    assert plain == [b"Accept:", b"User-Agent:", b"Content-Type:"]
    headers = [["accept", "*/*"], ["User-Agent", "x"], ["content-type", "text/plain"]]
    assert after(run(curl(record("POST", body="x", headers=headers))), b"--header") == [
        b"accept: */*", b"User-Agent: x", b"content-type: text/plain",
    ]  # fmt: skip


def test_what_belongs_to_the_connection_and_to_banyan_is_not_sent(run: Any) -> None:
    names = ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Accept-Encoding", "Content-Encoding",
             "Expect", "X-Banyan-Key"]  # fmt: skip
    arguments = run(curl(record(headers=[[name, "x"] for name in names])))
    assert after(arguments, b"--header") == [b"Accept:", b"User-Agent:"]


def test_a_field_that_comes_twice_is_joined(run: Any) -> None:
    headers = [["Accept", "a"], ["accept", "b"], ["Cookie", "a=1"], ["cookie", "b=2"], ["User-Agent", "x"]]
    assert after(run(curl(record(headers=headers))), b"--header") == [
        b"Accept: a, b", b"Cookie: a=1; b=2", b"User-Agent: x",
    ]  # fmt: skip


def test_a_body_keeps_its_charset_and_one_with_a_nul_is_said_to_be_missing(run: Any) -> None:
    latin = [["Content-Type", "text/plain; charset=iso-8859-1"]]
    assert after(run(curl(record("POST", headers=latin, body="café"))), b"--data-raw") == [b"caf\xe9"]
    for body, headers in (("a\0b", []), ("ab", [["Content-Type", "text/plain; charset=utf-16"]])):
        text = curl(record("POST", headers=headers, body=body))
        assert "The body holds a NUL" in text
        assert after(run(text), b"--data-raw") == []


def test_targets_that_are_no_path_are_asked_as_they_were(run: Any) -> None:
    options = run(curl(record("OPTIONS", "*")))
    assert after(options, b"--request-target") == [b"*"]
    assert options[-1] == b"http://127.0.0.1:8080"
    elsewhere = run(curl(record("GET", "@evil.example/x")))
    assert after(elsewhere, b"--request-target") == [b"@evil.example/x"]
    assert elsewhere[-1] == b"http://127.0.0.1:8080"
    assert after(run(curl(record("GET", "/a#b"))), b"--request-target") == [b"/a#b"]


def test_the_base_url_may_have_a_path_and_a_slash(run: Any) -> None:
    assert run(curl(record()), BASE_URL="http://ci:1/v2/")[-1] == b"http://ci:1/v2/orders/1"


# -- masks ------------------------------------------------------------------------------------------------------------


def test_masked_secrets_are_variables_named_after_their_places(run: Any) -> None:
    made = record(
        "POST", f"/login?token={SECRET}",
        [["Authorization", f"Bearer {SECRET}"], ["Cookie", f"sid={SECRET}; theme={OTHER}"], ["X-Key", SECRET]],
        f'{{"password": "{SECRET}", "again": "{SECRET}", "pin": "{mask(1234, KEY)}", "ok": "{mask(True, KEY)}"}}',
        "json",
    )  # fmt: skip
    text = curl(made)
    assert "«" not in text
    names = ["MASKED_TARGET_TOKEN", "MASKED_AUTHORIZATION", "MASKED_COOKIE_SID", "MASKED_COOKIE_THEME", "MASKED_X_KEY",
             "MASKED_BODY_PASSWORD", "MASKED_BODY_AGAIN", "MASKED_BODY_PIN", "MASKED_BODY_OK"]  # fmt: skip
    assert f"for you to fill in: {', '.join(f'${name}' for name in names)}." in text
    given = {name: f"it's $({name})" for name in names} | {"MASKED_BODY_PIN": "17", "MASKED_BODY_OK": "true"}
    arguments = run(text, **given)
    assert arguments[-1].decode() == f"http://127.0.0.1:8080/login?token={given['MASKED_TARGET_TOKEN']}"
    assert b"Authorization: Bearer it's $(MASKED_AUTHORIZATION)" in arguments
    assert b"Cookie: sid=it's $(MASKED_COOKIE_SID); theme=it's $(MASKED_COOKIE_THEME)" in arguments
    assert json.loads(after(arguments, b"--data-raw")[0]) == {
        "password": given["MASKED_BODY_PASSWORD"], "again": given["MASKED_BODY_AGAIN"], "pin": 17, "ok": True,
    }  # fmt: skip


def test_without_its_variables_a_command_ends_before_it_asks(run: Any) -> None:
    said = run(curl(record(headers=[["Authorization", f"Bearer {SECRET}"]])))
    assert said[0] == b"!"
    assert b"MASKED_AUTHORIZATION" in said[1]


def test_no_recorded_name_reaches_a_variable_that_somebody_has() -> None:
    names = ["Path", "Home", "Aws-Secret-Access-Key", "Base-Url", "Banyan-Token", "Ld-Preload", "Ifs", "1st", "_"]
    for name in names:
        (variable,) = again.variables(SECRET, name)
        assert re.fullmatch(r"MASKED[A-Z0-9_]*", variable.name), name
    (long,) = again.variables(f"{'n' * 500}={SECRET}", "x" * 200)
    assert len(long.name) <= 60


def test_equal_secrets_have_one_variable_and_others_another() -> None:
    found = again.variables(f"{SECRET} {SECRET} {OTHER}", "note")
    assert [variable.name for variable in found] == ["MASKED_NOTE", "MASKED_NOTE", "MASKED_NOTE_2"]


# -- Hurl -------------------------------------------------------------------------------------------------------------

_ESCAPED = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")


def read_hurl(text: str) -> str:
    """What Hurl reads in a value or between backticks. Raises AssertionError for what its grammar does not have."""
    assert "\n" not in text
    assert not re.search(r"(?<!\\)(?:\\\\)*#", text), text  # would begin a comment
    bare = _ESCAPED.sub("", text)
    assert "\\" not in bare
    assert "`" not in bare
    assert not re.search(r"\{\{(?!base_url\}\}|masked[a-z0-9_]*\}\})", text), text
    assert all(match[2] is None or match[2] in "\\#`" for match in _ESCAPED.finditer(text))
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)


@many
@given(paths, st.dictionaries(header_names, values, max_size=3), words)
def test_hurl_reads_exactly_what_was_recorded(target: str, fields: dict[str, str], body: str) -> None:
    made = record("PUT", target, [[name, value] for name, value in fields.items()], body)
    text = hurl(made)
    assert text.replace("\n", "").isprintable()
    lines = [line for line in text.split("\n") if not line.startswith("# ")]
    assert read_hurl(lines[0]) == "PUT {{base_url}}" + target
    joined = again.joined_fields(made["request"])
    for line, (name, value) in zip(lines[1:], joined, strict=False):
        key, sign, said = line.partition(": ")
        assert sign
        assert re.fullmatch(r"(?:[A-Za-z0-9_.-]|\\u\{[0-9a-f]+\})+", key)
        assert (read_hurl(key), read_hurl(said)) == (name, value)
    rest = lines[1 + len(joined) :]
    if body:
        assert rest[0][0] == rest[0][-1] == "`"
        assert read_hurl(rest.pop(0)[1:-1]) == body
    assert rest == ["", "HTTP 200", "Content-Type: application/json", "[Asserts]", 'jsonpath "$.id" == 1', ""]


def test_hurl_masks_are_placeholders_that_no_brace_runs_into() -> None:
    text = hurl(record("POST", body=f'{{"a":{{{SECRET}}}}}', headers=[["Authorization", f"Bearer {SECRET}"]]))
    assert "Authorization: Bearer {{masked_authorization}}" in text
    assert '`{"a":\\u{7b}{{masked_body}}}}`' in text
    assert "--variable masked_authorization" in text


def test_hurl_says_what_it_cannot_ask() -> None:
    assert "# Hurl has no method M-SEARCH." in hurl(record("M-SEARCH"))
    assert "# Hurl asks for paths only." in hurl(record("OPTIONS", "*"))
    latin = [["Content-Type", "text/plain; charset=iso-8859-1"]]
    assert "\nbase64,Y2Fm6Q==;\n" in hurl(record("POST", headers=latin, body="café"))
    assert hurl(record(status=0)).splitlines()[3] == "HTTP *"


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        ("value", "$.a.n", 'jsonpath "$.a.n" == 1.5'), ("missing", "$.s", 'jsonpath "$.s" == "x y"'),
        ("type", "$.none", 'jsonpath "$.none" == null'), ("extra", "$.more", 'jsonpath "$.more" not exists'),
        ("size", "$.l", 'jsonpath "$.l" count == 2'), ("order", "$.l", ""), ("value", "$.l[*]", ""),
        ("value", "$.quoted", ""), ("value", "$.masked", ""), ("value", "$.huge", ""), ("text", "body", ""),
        ("missing", "$.a", 'jsonpath "$.a" exists'), ("missing", "$.l", 'jsonpath "$.l" exists'),
        ("missing", "$.masked", 'jsonpath "$.masked" exists'), ("missing", "$.huge", 'jsonpath "$.huge" exists'),
        ("type", "$.masked", 'jsonpath "$.masked" isString'), ("type", "$.a", ""), ("value", "$.a", ""),
    ],
)  # fmt: skip
def test_hurl_looks_at_the_place_of_the_difference_or_says_that_it_does_not(kind: str, path: str, said: str) -> None:
    answer = {"a": {"n": 1.5}, "s": "x y", "none": None, "l": [1, 2], "quoted": 'a"{{b}}', "masked": SECRET,
              "huge": 10**300}  # fmt: skip
    text = hurl(record(answer=answer, status=404) | {"kind": kind, "path": path})
    assert "\nHTTP 404\n" in text
    assert text.endswith(f"\n[Asserts]\n{said}\n") == bool(said)
    assert ("# The answer's body is not looked at." in text) == (not said)


# -- notes -------------------------------------------------------------------------------------------------------------


def test_what_is_not_what_was_asked_is_said() -> None:
    cut = record("POST", body="x")
    cut["request"]["body"]["cut"] = True
    for form in ("curl", "hurl", "pytest"):
        assert "It is not what was asked: a request not recorded whole." in as_text(cut, form)  # type: ignore[arg-type]
        assert "POST may change something where it is asked." in as_text(cut, form)  # type: ignore[arg-type]


def test_a_field_whose_bytes_were_lost_is_left_out_and_said(run: Any) -> None:
    text = curl(record(headers=[["X-Name", "caf\ufffd"], ["X-Other", "x"]]))
    assert "Left out, for it was not recorded as it was sent: X-Name." in text
    assert b"X-Other: x" in run(text)
    assert not any(word.startswith(b"X-Name") for word in run(text))


def test_notes_stay_comments(run: Any) -> None:
    made = record(route="x\ntouch pwned\n#", at='2026"""\nimport os\n')
    assert run(curl(made))[-1] == b"http://127.0.0.1:8080/orders/1"
    compile(as_text(made, "pytest"), "x", "exec")
    assert all(line.startswith("# ") for line in hurl(made).split("GET")[0].splitlines())
