"""A recorded request as something to run: a curl command, a Hurl file, a pytest case.

Law: what was recorded is data. It is quoted for the language that it is written into, and no byte of it is run. A
masked secret becomes a variable that whoever runs it fills in; its name says where it stood.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any, Literal

from proxy.compare.masks import MASK
from proxy.compare.paths import parse_path

Form = Literal["curl", "hurl", "pytest"]
DEFAULT_BASE = "http://127.0.0.1:8080"

_NOT_SENT = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive", "te", "expect"})
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9]+")


def as_text(record: dict[str, Any], form: Form) -> str:
    """The request of a record (compare.record) in one of the forms, with a note on what legacy had answered."""
    return {"curl": curl, "hurl": hurl, "pytest": pytest_case}[form](record)


def curl(record: dict[str, Any]) -> str:
    """A curl command for a POSIX shell; the base URL is ``$BASE_URL``."""
    request = record["request"]
    words = ["curl --include --globoff --path-as-is"]
    if request["method"] == "HEAD":
        words.append("--head")
    elif request["method"] != "GET":
        words.append(f"--request {_shell(request['method'])}")
    for name, value in headers_sent(record):
        words.append(f"--header {_shell(f'{name}: {value}', name)}")
    if (body := request["body"]["text"]) not in (None, ""):
        words.append(f"--data-binary {_shell(body, 'body')}")
    words.append(f'"${{BASE_URL:-{DEFAULT_BASE}}}"{_shell(request["target"], "target")}')
    note = "".join(f"# {line}\n" for line in _notes(record, "$"))
    return note + " \\\n  ".join(words) + "\n"


def _shell(text: str, name: str = "") -> str:
    """One word for the shell; masks in it are variables."""
    pieces, at = [], 0
    for mask, variable in _variables(text, name):
        pieces += [_quoted(text[at : mask.start()]), f'"${variable}"']
        at = mask.end()
    return "".join([*pieces, _quoted(text[at:])]) or "''"


def _quoted(text: str) -> str:
    """Quoted so that the shell takes it as it is, and a terminal shows it as it is."""
    if not text:
        return ""
    if text.isprintable() and text.isascii():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable() and char.isascii():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace"))


def hurl(record: dict[str, Any]) -> str:
    """A Hurl file; ``base_url`` and what was masked are variables."""
    request, legacy = record["request"], record["legacy"]
    lines = [f"# {line}" for line in _notes(record, "--variable ")]
    lines.append(f"{request['method']} {{{{base_url}}}}{_hurl(request['target'], 'target')}")
    lines += [f"{_hurl(name)}: {_hurl(value, name)}" for name, value in headers_sent(record)]
    if (body := request["body"]["text"]) not in (None, ""):
        fence = "`" * (max((len(run) for run in re.findall(r"`+", body)), default=0) + 3)
        lines += [fence, _templated(body, "body", lambda text: text), fence]
    lines.append(f"HTTP {legacy['status']}" if legacy["status"] else "HTTP *")
    for name, value in legacy["headers"]:
        if name.lower() in ("content-type", "location") and not MASK.search(value):
            lines.append(f"{_hurl(name)}: {_hurl(value)}")
    return "\n".join(lines) + "\n"


def _hurl(text: str, name: str = "") -> str:
    def plain(piece: str) -> str:
        made = piece.replace("\\", "\\\\").replace("#", "\\#").replace("{{", "\\u{7b}\\u{7b}")
        return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in made)

    return _templated(text, name, plain)


def _templated(text: str, name: str, plain: Callable[[str], str]) -> str:
    pieces, at = [], 0
    for mask, variable in _variables(text, name):
        pieces += [plain(text[at : mask.start()]), f"{{{{{variable.lower()}}}}}"]
        at = mask.end()
    return "".join([*pieces, plain(text[at:])])


def pytest_case(record: dict[str, Any]) -> str:
    """A test file that needs nothing but pytest: it asks BASE_URL, and expects what legacy had answered at the place of
    the difference that the record is a sample of."""
    request = record["request"]
    name = _UNSAFE_IN_NAME.sub("_", f"{record['route']}_{record.get('kind') or request['method']}".lower()).strip("_")
    body = request["body"]["text"] or ""
    look, expected = _expectation(record)
    fields = "".join(f"            {_python(n)}: {_python(v, n)},\n" for n, v in headers_sent(record))
    notes = "\n".join(_notes(record, "environment variable "))
    return f'''"""A recorded request: legacy's answer is what is expected.

{notes}
"""

import http.client
{"import json" + chr(10) if look else ""}import os
from urllib.parse import urlsplit

BASE = urlsplit(os.environ.get("BASE_URL", "{DEFAULT_BASE}"))

{look}
def test_{name}() -> None:
    kind = http.client.HTTPSConnection if BASE.scheme == "https" else http.client.HTTPConnection
    connection = kind(BASE.hostname or "", BASE.port, timeout=30)
    connection.request(
        {_python(request["method"])},
        BASE.path.rstrip("/") + {_python(request["target"], "target")},
        {f"{_python(body, 'body')}.encode()" if body else "None"},
        {{
{fields}        }},
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
{expected}'''


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
    """The helper that a test needs, if any, and its assertions."""
    legacy, path, kind = record["legacy"], str(record.get("path") or ""), record.get("kind")
    lines = [f"    assert answer.status == {legacy['status']}, body"]
    if path.startswith("header:"):
        name = path.removeprefix("header:")
        values = [value for key, value in legacy["headers"] if key.lower() == name]
        if not any(MASK.search(value) for value in values):
            lines.append(f"    assert answer.headers.get_all({_python(name)}, []) == {_values(values)}")
    steps = _steps(path)
    if steps is None or legacy["body"]["kind"] != "json" or legacy["body"]["cut"]:
        return "", "\n".join(lines) + "\n"
    found = look(json.loads(legacy["body"]["text"]), steps)
    if MASK.search(json.dumps(found, ensure_ascii=False)):
        return "", "\n".join(lines) + "\n"
    seen = f"look(json.loads(body), {_values(steps)})"
    if kind == "size":
        lines.append(f"    assert [len(each) for each in {seen}] == {[len(each) for each in found]}")
    else:
        # As text, since 1, 1.0 and true are equal to Python.
        lines.append(f"    assert json.dumps({seen}, sort_keys=True) == json.dumps(\n        {_values(found)},")
        lines.append("        sort_keys=True,\n    )")
    return _LOOK, "\n".join(lines) + "\n"


def _steps(path: str) -> list[str | None] | None:
    """The steps of a path template of JSON; None for what is none, and for the whole document."""
    try:
        steps = parse_path(path)
    except ValueError:
        return None
    return [step.name for step in steps] or None


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


def _values(value: Any) -> str:
    """A JSON value in Python's words, in ASCII."""
    return ascii(value)


def _python(text: str, name: str = "") -> str:
    pieces, at = [], 0
    for mask, variable in _variables(text, name):
        pieces += [json.dumps(text[at : mask.start()]), f'os.environ["{variable}"]']
        at = mask.end()
    pieces.append(json.dumps(text[at:]))
    return " + ".join(piece for piece in pieces if piece != '""') or '""'


def headers_sent(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What is sent: not what the connection says, and each name once."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in record["request"]["headers"]:
        if name.lower() in _NOT_SENT or name.lower() == "accept-encoding":
            continue
        known = found.get(name.lower())
        sign = "; " if name.lower() == "cookie" else ", "
        found[name.lower()] = (name, value if known is None else f"{known[1]}{sign}{value}")
    return list(found.values())


def _variables(text: str, name: str) -> list[tuple[re.Match[str], str]]:
    """The masks in a text with the names of the variables that stand for them."""
    masks = list(MASK.finditer(text))
    base = _UNSAFE_IN_NAME.sub("_", name).strip("_").upper() or "SECRET"
    if base[0].isdigit():
        base = f"SECRET_{base}"
    return [(mask, base if len(masks) == 1 else f"{base}_{n}") for n, mask in enumerate(masks, 1)]


def pieces(text: str, name: str) -> list[str | dict[str, str]]:
    """A text as literal pieces and the variables that stand for masks in it, named after ``name``."""
    found: list[str | dict[str, str]] = []
    at = 0
    for mask, variable in _variables(text, name):
        found += [text[at : mask.start()], {"variable": variable}]
        at = mask.end()
    return [piece for piece in [*found, text[at:]] if piece]


def _notes(record: dict[str, Any], sign: str) -> list[str]:
    request, legacy = record["request"], record["legacy"]
    answered = f"legacy had answered {legacy['status']}" if legacy["status"] else "legacy had not answered"
    notes = [f"Route {record['route']}, recorded at {record['at']}; {answered}."]
    texts = [("target", request["target"]), *headers_sent(record), ("body", request["body"]["text"] or "")]
    missing = [variable for name, text in texts for _, variable in _variables(text, name)]
    if missing:
        shown = ", ".join(f"{sign}{name.lower() if sign.startswith('--') else name}" for name in missing)
        notes.append(f"Masked when it was recorded, for you to fill in: {shown}.")
    if request["body"]["text"] is None or request["body"]["cut"]:
        notes.append("The request's body was not recorded whole; it is missing here, or ends early.")
    return notes
