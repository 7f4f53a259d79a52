"""A recorded request as something to run: a curl command, a Hurl file, a pytest case.

Law: what was recorded is data. It is quoted for the language that it is written into, no byte of it is run (by no other
shell either), and no file is read for it. A masked secret becomes a variable that whoever runs it fills in; its name
says where it stood. What could not be written is said in a comment.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from typing import Any, Literal

from proxy.cli import again
from proxy.cli.request_pytest import look, pytest_case
from proxy.cli.request_words import DEFAULT_BASE, ascii_target, notes
from proxy.compare.masks import MASK

Form = Literal["curl", "hurl", "pytest"]

_ADDED_BY_CURL = ("Accept", "User-Agent")
_ACTIVE = re.compile(r"""[`|&<>(){}*\[\]~!"'\\#]""")
"""What a shell does something with, outside quotes."""
_HURL_METHOD = re.compile(r"[A-Z]+")
_HURL_PATH = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_HURL_TEXT = re.compile(r"[^\x00-\x1f\x7f-\U0010ffff\"\\]*")  # masks are not of ASCII
_HURL_KEY = re.compile(r"[A-Za-z0-9_.-]")


def as_text(record: dict[str, Any], form: Form) -> str:
    """The request of a record (compare.record) in one of the forms, with a note on what legacy had answered."""
    return {"curl": curl, "hurl": hurl, "pytest": pytest_case}[form](record)


def curl(record: dict[str, Any]) -> str:
    """A curl command for bash or zsh; the base URL is ``$BASE_URL``."""
    request = record["request"]
    method, target, body = request["method"], request["target"], request["body"]["text"] or ""
    codec, more = again.codec(request), []
    if b"\0" in body.encode(codec, "replace"):
        body, more = "", ["The body holds a NUL, which no command line can; it is missing here."]
    elif method == "HEAD" and body:
        body, more = "", ["curl sends no body with HEAD; it is missing here."]
    words = ["curl --include --globoff --path-as-is"]
    if method == "HEAD":
        words.append("--head")
    elif method != ("POST" if body else "GET"):
        words.append(f"--request {_shell(method)}")
    fields = again.joined_fields(request)
    words += [f"--header {_shell(value, name, before=f'{name}: ' if value else f'{name};')}" for name, value in fields]
    added = (*_ADDED_BY_CURL, "Content-Type") if body else _ADDED_BY_CURL
    known = {name.lower() for name, _ in fields}
    words += [f"--header '{name}:'" for name in added if name.lower() not in known]  # curl is to add none of its own
    if body:
        # Not --data-binary: that one reads a file if the body begins with @.
        words.append(f"--data-raw {_shell(body, 'body', codec, is_json=request['body']['kind'] == 'json')}")
    if target.startswith("/") and "#" not in target:
        words.append(f'"${{BASE_URL%/}}"{_shell(target, "target")}')
    else:  # what curl would read otherwise
        words.append(f'--request-target {_shell(target, "target")} "${{BASE_URL}}"')
    if any("$'" in word for word in words):
        more.append("For bash or zsh; other shells may not know words that begin with a dollar sign and a quote.")
    # At its prompt zsh takes a comment for a command.
    comment = "".join(f"# {_ACTIVE.sub('?', line)}\n" for line in notes(record, "$", more))
    return f"{comment}BASE_URL=${{BASE_URL:-{DEFAULT_BASE}}}\n" + " \\\n  ".join(words) + "\n"


def _shell(text: str, name: str = "", codec: str = "utf-8", *, is_json: bool = False, before: str = "") -> str:
    """One word for the shell, ``before`` and the text; masks in it are variables, without which the command ends."""
    shift = len(before)
    found = [
        again.Variable(start + shift, end + shift, variable)
        for start, end, variable in again.variables(text, name, is_json=is_json)
    ]
    made = again.rendered(
        before + text, found, lambda piece: _quoted(piece, codec), lambda variable: f'"${{{variable}:?}}"'
    )
    return "".join(made) or "''"


def _quoted(text: str, codec: str) -> str:
    """Quoted so that the shell takes it as it is, and a terminal shows it as it is."""
    if text.isprintable() and text.isascii():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(char, codec) for char in text) + "'"


def _escaped(char: str, codec: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable() and char.isascii() and char != "'":  # a quote would end the word in a shell without $'…'
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode(codec, "replace"))


def hurl(record: dict[str, Any]) -> str:
    """A Hurl file; ``base_url`` and what was masked are variables."""
    request, legacy = record["request"], record["legacy"]
    body, target, more = request["body"], request["target"], []
    if not _HURL_METHOD.fullmatch(request["method"]):
        more.append(f"Hurl has no method {request['method']}.")
    if not target.startswith("/"):
        more.append("Hurl asks for paths only.")
    lines = [f"{request['method']} {{{{base_url}}}}{_hurl(ascii_target(target), 'target')}"]
    lines += [f"{_hurl_key(name)}: {_hurl(value, name)}" for name, value in again.joined_fields(request)]
    if body["text"]:
        lines.append(_hurl_body(request))
    lines += ["", f"HTTP {legacy['status']}" if legacy["status"] else "HTTP *"]
    for name, value in legacy["headers"]:
        if name.lower() in ("content-type", "location") and not MASK.search(value):
            lines.append(f"{_hurl_key(name)}: {_hurl(value)}")
    asserted = _hurl_assert(record)
    if asserted:
        lines += ["[Asserts]", asserted]
    else:
        more.append("The answer's body is not looked at.")
    comment = [f"# {line}" for line in notes(record, "--variable ", more)]
    return "\n".join([*comment, *lines]) + "\n"


def _hurl_assert(record: dict[str, Any]) -> str:
    """What legacy had at the place of the difference, where Hurl can say it; or ""."""
    body, path = record["legacy"]["body"], str(record.get("path") or "")
    if body["kind"] != "json" or body["cut"] or not _HURL_PATH.fullmatch(path):
        return ""
    try:
        found = look(json.loads(body["text"]), list(path.split(".")[1:]))
    except (ValueError, RecursionError):
        return ""
    if not found:
        return f'jsonpath "{path}" not exists'
    value, kind = found[0], record.get("kind")
    if isinstance(value, list) and kind == "size":
        return f'jsonpath "{path}" count == {len(value)}'
    if shown := _hurl_value(value):
        return f'jsonpath "{path}" == {shown}'
    if kind == "missing":
        return f'jsonpath "{path}" exists'
    if kind == "type" and isinstance(value, str):
        return f'jsonpath "{path}" isString'
    return ""


def _hurl_value(value: Any) -> str:
    """A value that Hurl can compare with; '' for objects, lists, masks and what it may read otherwise."""
    if isinstance(value, dict | list) or (isinstance(value, int | float) and not abs(value) < 2**53):
        return ""
    if isinstance(value, str) and (not _HURL_TEXT.fullmatch(value) or "{{" in value):
        return ""
    shown = json.dumps(value)
    return "" if isinstance(value, float) and "e" in shown else shown


def _hurl_body(request: dict[str, Any]) -> str:
    body, codec = request["body"], again.codec(request)
    if codec not in ("utf-8", "ascii") and not MASK.search(body["text"]):
        return f"base64,{base64.b64encode(body['text'].encode(codec)).decode()};"
    return f"`{_hurl(body['text'], 'body', is_json=body['kind'] == 'json')}`"


def _hurl(text: str, name: str = "", *, is_json: bool = False) -> str:
    """A text for a line of Hurl or between backticks; masks in it are placeholders."""
    found = again.variables(text, name, is_json=is_json)
    made = "".join(again.rendered(text, found, _hurl_escaped, lambda variable: f"{{{{{variable.lower()}}}}}"))
    inner = made.strip(" ")
    begins = len(made) - len(made.lstrip(" "))
    return inner if inner == made else "\\u{20}" * begins + inner + "\\u{20}" * (len(made) - len(inner) - begins)


def _hurl_escaped(text: str) -> str:
    made = []
    for at, char in enumerate(text):
        if (char == "{" and text[at + 1 : at + 2] in ("{", "")) or not char.isprintable():
            made.append(f"\\u{{{ord(char):x}}}")  # two braces would begin a placeholder
        else:
            made.append(f"\\{char}" if char in "\\#`" else char)
    return "".join(made)


def _hurl_key(name: str) -> str:
    return "".join(char if _HURL_KEY.fullmatch(char) else f"\\u{{{ord(char):x}}}" for char in name)
