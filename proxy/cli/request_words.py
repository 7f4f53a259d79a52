"""What is said beside a recorded request, whatever the form.

Law: one line each; nothing recorded reaches a comment but through ``visible``, which leaves no end of line in it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from proxy.cli import again
from proxy.config.model import SAFE_METHODS
from proxy.telemetry.visible import visible

DEFAULT_BASE = "http://127.0.0.1:8080"

_KEPT = "".join(map(chr, range(0x21, 0x7F)))


def ascii_target(target: str) -> str:
    """The target with what no URL has percent-encoded; masks stay masks."""
    found = again.variables(target, "target")
    at, made = 0, []
    for start, end, _ in found:
        made += [quote(target[at:start], safe=_KEPT), target[start:end]]
        at = end
    return "".join([*made, quote(target[at:], safe=_KEPT)])


def notes(record: dict[str, Any], sign: str, more: list[str]) -> list[str]:
    """Sentences on where the request comes from and what is missing. ``sign`` stands before the name of a variable;
    ``more`` is what the form has to say."""
    request, legacy = record["request"], record["legacy"]
    answered = f"legacy had answered {legacy['status']}" if legacy["status"] else "legacy had not answered"
    made = [f"Route {record['route']}, recorded at {record['at']}; {answered}."]
    names = [variable.name for text, name, is_json in again.texts(request)
             for variable in again.variables(text, name, is_json=is_json)]  # fmt: skip
    if names:
        shown = [name.lower() if sign.startswith("--") else name for name in dict.fromkeys(names)]
        made.append(f"Masked when it was recorded, for you to fill in: {', '.join(sign + name for name in shown)}.")
    if lost := {name for name, value in request["headers"] if "\ufffd" in value}:
        made.append(f"Left out, for it was not recorded as it was sent: {', '.join(sorted(lost))}.")
    if request["method"] not in SAFE_METHODS:
        made.append(f"{request['method']} may change something where it is asked.")
    if why := again.obstacle(record):
        made.append(f"It is not what was asked: a request {why}.")
    return [visible(line, 2000) for line in [*made, *more]]
