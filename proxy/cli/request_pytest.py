"""A recorded request as a test file of its own.

Law: it needs nothing but pytest, and it can fail: it expects what legacy had answered at the place of the difference
that the record is a sample of, or says in a comment that this place is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from proxy.cli import again
from proxy.cli.request_words import DEFAULT_BASE, ascii_target, notes
from proxy.compare.masks import MASK
from proxy.compare.paths import parse_path
from proxy.telemetry.visible import visible

_UNSAFE = re.compile(r"[^a-z0-9]+")


def pytest_case(record: dict[str, Any]) -> str:
    """A test file that asks BASE_URL."""
    request = record["request"]
    name = _UNSAFE.sub("_", f"{record['route']}_{record.get('kind') or request['method']}".lower()).strip("_")
    target = _python(ascii_target(request["target"]), "target")
    if request["target"].startswith("/"):
        target = f'BASE.path.rstrip("/") + {target}'
    body = "None"
    if text := request["body"]["text"]:
        is_json = request["body"]["kind"] == "json"
        body = f"({_python(text, 'body', is_json=is_json)}).encode({again.codec(request)!r})"
    fields = "".join(
        f"            {name!a}: ({_python(value, name)}).encode(),\n" for name, value in again.joined_fields(request)
    )
    look, expected = _expectation(record)
    said = "\n".join(
        line.replace("\\", "\\\\").replace('"', "'") for line in notes(record, "environment variable ", [])
    )
    imports = ["http.client", *(["json"] if "json." in expected else []), "os"]
    if "hashlib." in expected:
        imports.insert(0, "hashlib")
    return f'''"""A recorded request: legacy's answer is what is expected.

{said}
"""

{"".join(f"import {each}" + chr(10) for each in imports)}from urllib.parse import urlsplit

BASE = urlsplit(os.environ.get("BASE_URL", "{DEFAULT_BASE}"))

{look}
def test_{name}() -> None:
    kind = http.client.HTTPSConnection if BASE.scheme == "https" else http.client.HTTPConnection
    connection = kind(BASE.hostname or "", BASE.port, timeout=30)
    connection.request(
        {request["method"]!a},
        {target},
        {body},
        {{
{fields}        }},
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
{expected}'''


def _python(text: str, name: str, *, is_json: bool = False) -> str:
    """An expression for a text; masks in it are variables of the environment."""
    found = again.variables(text, name, is_json=is_json)
    return " + ".join(again.rendered(text, found, ascii, lambda variable: f'os.environ["{variable}"]')) or '""'


_LOOK = '''
def look(value: object, steps: list[str | None]) -> list[object]:
    """What stands at a path; None is any member or item."""
    if not steps:
        return [value]
    inner: list[object] = []
    if isinstance(value, dict):
        inner = list(value.values()) if steps[0] is None else [value[steps[0]]] if steps[0] in value else []
    elif isinstance(value, list) and steps[0] is None:
        inner = value
    return [found for each in inner for found in look(each, steps[1:])]

'''


def _expectation(record: dict[str, Any]) -> tuple[str, str]:
    """The helper that the test needs, if any, and its assertions."""
    legacy, path, kind = record["legacy"], str(record.get("path") or ""), str(record.get("kind") or "")
    if not legacy["status"]:
        return "", "    assert answer.status < 500, body  # legacy had not answered\n"
    lines = [f"    assert answer.status == {int(legacy['status'])}, body"]
    made: list[str] | None = None
    if path == "status":
        made = []
    elif path.startswith("header:"):
        made = _of_header(legacy, path.removeprefix("header:"))
    elif path == "body":
        made = _of_body(legacy)
    elif (steps := _steps(path)) is not None and legacy["body"]["kind"] == "json" and not legacy["body"]["cut"]:
        made = _of_place(legacy["body"]["text"], steps, kind)
    if made is None and path:
        lines.append(f"    # What differed, {visible(f'{kind} {path}', 200)}, is not looked at here.")
    text = "\n".join([*lines, *(made or [])]) + "\n"
    return (_LOOK if "look(" in text else ""), text


def _of_header(legacy: dict[str, Any], name: str) -> list[str] | None:
    values = [value for key, value in legacy["headers"] if key.lower() == name]
    if any(MASK.search(value) or "\ufffd" in value for value in values):
        return None
    raw = [value.encode().decode("latin-1") for value in values]  # as http.client shows them
    return [f"    assert answer.headers.get_all({name!a}, []) == {raw!a}"]


def _of_body(legacy: dict[str, Any]) -> list[str] | None:
    body = legacy["body"]
    if body["kind"] == "none":
        return ['    assert body == b""']
    coded = any(name.lower() == "content-encoding" for name, _ in legacy["headers"])
    if body["cut"] or coded:
        return None
    if body["kind"] == "bytes":
        digest = body.get("sha256")
        return [f'    assert hashlib.sha256(body).hexdigest() == "{digest}"'] if digest else None
    raw = body["text"].encode(again.codec(legacy))
    if len(raw) != body["bytes"]:  # written anew, or masked
        return None
    return [f'    assert hashlib.sha256(body).hexdigest() == "{hashlib.sha256(raw).hexdigest()}", body']


def _of_place(text: str, steps: list[str | None], kind: str) -> list[str] | None:
    try:
        found = look(json.loads(text), steps)
    except (ValueError, RecursionError):
        return None
    if MASK.search(json.dumps(found, ensure_ascii=False)):
        return None
    seen = f"look(json.loads(body), {steps!a})"
    if kind == "size" and all(isinstance(each, list) for each in found):
        return [f"    assert [len(each) for each in {seen}] == {[len(each) for each in found]}"]
    # As JSON text, since 1, 1.0 and true are equal to Python.
    return [
        f"    found = json.dumps({seen}, sort_keys=True)",
        f"    assert found == {json.dumps(found, sort_keys=True)!a}",
    ]


def _steps(path: str) -> list[str | None] | None:
    """The steps of a path template of JSON; None for what is none."""
    try:
        steps = parse_path(path)
    except ValueError:
        return None
    return [step.name for step in steps]


def look(value: Any, steps: list[str | None]) -> list[Any]:
    """What stands at a path template; None is any member or item. The tests that are written have the same."""
    if not steps:
        return [value]
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = list(value.values()) if steps[0] is None else [value[steps[0]]] if steps[0] in value else []
    elif isinstance(value, list) and steps[0] is None:
        inner = value
    return [found for each in inner for found in look(each, steps[1:])]
