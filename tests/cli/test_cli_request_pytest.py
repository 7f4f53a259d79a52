"""Recorded requests as a test of pytest's: it sends what was recorded and passes where the answer is as it was."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_requests import SECRET, header_names, many, paths, record, values, words
from running import Upstream

from proxy.cli import again
from proxy.cli.request_pytest import look
from proxy.cli.request_text import as_text


def evaluated(text: str, environ: dict[str, str]) -> dict[str, Any]:
    """What the test in a text sends, with an http.client that only notes it."""
    tree = ast.parse(text)
    call = next(
        node for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "request"
    )  # fmt: skip
    names = {"os": type("os", (), {"environ": environ}), "BASE": type("Base", (), {"path": "/v2/"})}
    method, target, body, headers = (eval(compile(ast.Expression(each), "x", "eval"), names) for each in call.args)
    return {"method": method, "target": target, "body": body, "headers": headers}


@many
@given(paths, st.dictionaries(header_names, values, max_size=3), words, words)
def test_the_test_that_is_written_sends_what_was_recorded(
    target: str, fields: dict[str, str], body: str, route: str
) -> None:
    made = record("PUT", target, [[name, value] for name, value in fields.items()], body, route=route, kind=body)
    text = as_text({**made, "kind": body, "path": body}, "pytest")
    sent = evaluated(text, {})
    assert sent["method"] == "PUT"
    assert sent["target"] == "/v2" + target
    assert sent["body"] == (body.encode() if body else None)
    assert sent["headers"] == {name: value.encode() for name, value in again.joined_fields(made["request"])}


def test_a_target_that_no_url_has_is_encoded_and_said() -> None:
    text = as_text(record(target="/é x"), "pytest")
    assert unquote(evaluated(text, {})["target"]) == "/v2/é x"
    assert "with characters in the target that no URL has" in text
    assert evaluated(as_text(record("OPTIONS", "*"), "pytest"), {})["target"] == "*"


def outcome(text: str, url: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the test in a text passes."""
    monkeypatch.setenv("BASE_URL", url)
    names: dict[str, Any] = {}
    exec(compile(text, "test_it.py", "exec"), names)
    test = next(value for name, value in names.items() if name.startswith("test_"))
    try:
        test()
    except AssertionError:
        return False
    return True


@pytest.fixture
def service() -> Iterator[Upstream]:
    made = Upstream({"id": 1, "items": [{"price": 1.5}, {"price": 2}]})
    yield made
    made.close()


def test_a_written_test_is_one_that_pytest_runs(service: Upstream, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(as_text(record(answer=service.body), "pytest"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "BASE_URL": service.url}
    )
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("kind", "path", "worse"),
    [
        ("value", "$.id", {"id": 2, "items": [{"price": 1.5}, {"price": 2}]}),
        ("type", "$.id", {"id": True, "items": [{"price": 1.5}, {"price": 2}]}),
        ("type", "$.id", {"id": 1.0, "items": [{"price": 1.5}, {"price": 2}]}),
        ("missing", "$.id", {"items": [{"price": 1.5}, {"price": 2}]}),
        ("value", "$.items[*].price", {"id": 1, "items": [{"price": 1.5}, {"price": 3}]}),
        ("size", "$.items", {"id": 1, "items": [{"price": 1.5}]}),
        ("extra", "$.note", {"id": 1, "items": [{"price": 1.5}, {"price": 2}], "note": ""}),
        ("content-type", "header:content-type", None),
    ],
)
def test_a_written_test_passes_where_it_is_as_it_was_and_fails_where_not(
    service: Upstream, monkeypatch: pytest.MonkeyPatch, kind: str, path: str, worse: Any
) -> None:
    made = record(answer=service.body, kind="text") | {"kind": kind, "path": path}
    text = as_text(made, "pytest")
    assert outcome(text, service.url, monkeypatch)
    if worse is None:
        made["legacy"]["headers"] = [["Content-Type", "text/plain"]]
        text = as_text(made, "pytest")
    else:
        service.body = worse
    assert not outcome(text, service.url, monkeypatch)


def test_a_written_test_says_what_it_does_not_look_at() -> None:
    masked = record(answer={"id": SECRET})
    assert "# What differed, value $.id, is not looked at here." in as_text(masked, "pytest")
    page = record()
    page["legacy"]["body"] = {"kind": "text", "bytes": 9, "text": "<p>1</p>\n", "cut": False}
    page |= {"kind": "value", "path": "$.html.body"}
    assert "is not looked at here" in as_text(page, "pytest")
    page |= {"kind": "text", "path": "body"}
    assert "hashlib.sha256(body).hexdigest()" in as_text(page, "pytest")
    failed = record(status=0)
    assert "assert answer.status < 500, body  # legacy had not answered" in as_text(failed, "pytest")
    huge = record() | {"path": "$.id"}
    huge["legacy"]["body"]["text"] = f'{{"id": {"1" * 5000}}}'
    assert "is not looked at here" in as_text(huge, "pytest")


def test_look_finds_what_a_path_template_names() -> None:
    document = {"a": [{"b": 1}, {"b": 2}, {}], "c": {"x": 3, "y": 4}}
    assert look(document, ["a", None, "b"]) == [1, 2]
    assert look(document, ["c", None]) == [3, 4]
    assert look(document, ["gone", "b"]) == []
    assert look(document, []) == [document]
