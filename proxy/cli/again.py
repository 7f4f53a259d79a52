"""What of a recorded request is sent when it is asked again.

Law: pure. A request is sent as it was, or not at all and for a reason that is said; only what belongs to a connection
is left to the new one. A masked secret is a variable that whoever asks fills in: its name begins with ``MASKED_``, so
that no recorded name reaches another variable of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from proxy.compare.charsets import python_codec
from proxy.compare.decode import content_type
from proxy.compare.masks import MASK

Json = dict[str, Any]

_NOT_SENT = frozenset(
    {
        "host", "connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection", "te", "trailer",
        "upgrade", "expect",
        "content-encoding",  # a recorded body has been decoded
    }
)  # fmt: skip
_OURS = "x-banyan-"
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_IN_A_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")  # printable, and no #: what follows it is not sent
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_CALLED = re.compile(r"([A-Za-z0-9_.-]{1,40})[\"'\]]{0,2}\s{0,2}[=:]\s{0,2}[\"']?\Z")
_BEFORE = 64
"""Characters before a mask in which its name is looked for."""
_LONGEST = 60


def obstacle(recorded: Json) -> str:
    """Why a recorded request cannot be sent as it was, in words that follow a count; empty if nothing is in the way.
    Masked secrets are not in the way: see :func:`variables`."""
    request = recorded["request"]
    body = request["body"]
    if recorded.get("partial") or request.get("cut") or body["cut"] or body["text"] is None:
        return "not recorded whole"
    if body["kind"] == "multipart":
        return "with a form in parts, which is not recorded as it was sent"
    if not _METHOD.fullmatch(request["method"]):
        return "with a method that is none"
    target = MASK.sub("", request["target"])
    if not target.startswith("/"):
        return "for something else than a path"
    if not _IN_A_TARGET.fullmatch(target):
        return "with characters in the target that no URL has"
    if body["kind"] != "json" and "\ufffd" in body["text"]:
        return "with a body that was not recorded as it was sent"
    return ""


def fields(request: Json) -> list[tuple[str, str]]:
    """The header fields that are sent, in order: none of the connection's, none of Banyan's, and none of which bytes
    were lost."""
    return [
        (name, value)
        for name, value in request["headers"]
        if name.lower() not in _NOT_SENT
        and not name.lower().startswith(_OURS)
        and _NAME.fullmatch(name)
        and "\ufffd" not in value
        and not any(char in value for char in "\r\n\0")
    ]


def joined_fields(request: Json) -> list[tuple[str, str]]:
    """The same with each name once (RFC 9110 section 5.3), without Accept-Encoding, for what cannot decode answers."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in fields(request):
        if name.lower() == "accept-encoding":
            continue
        known = found.get(name.lower())
        sign = "; " if name.lower() == "cookie" else ", "
        found[name.lower()] = (name, value) if known is None else (known[0], f"{known[1]}{sign}{value}")
    return list(found.values())


def codec(request: Json) -> str:
    """Python's name for the charset that the request's body is sent in: what its Content-Type says if all characters
    exist there, else UTF-8."""
    raw = [(name.encode("latin-1", "replace"), value.encode("utf-8", "replace")) for name, value in request["headers"]]
    said = python_codec(content_type(raw)[1]) or "utf-8"
    try:
        (request["body"]["text"] or "").encode(said)
    except UnicodeError:
        return "utf-8"
    return said


class Variable(NamedTuple):
    """A masked secret in a text: where it stands, and the variable that stands for it."""

    start: int
    end: int
    name: str


def variables(text: str, name: str, *, is_json: bool = False) -> list[Variable]:
    """The masks in a text. ``name`` says what the text is: a header's name, ``target`` or ``body``. In JSON a masked
    number stands in quotes, which go with it."""
    found: list[Variable] = []
    taken: dict[str, str] = {}  # variable -> its mask: equal masks are equal secrets
    for mask in MASK.finditer(text):
        start, end = mask.span()
        if is_json and mask[1] != "text" and text[start - 1 : start] == text[end : end + 1] == '"':
            start, end = start - 1, end + 1
        called = _CALLED.search(text[max(0, mask.start() - _BEFORE) : mask.start()])
        base = _UNSAFE.sub("_", f"MASKED_{name}_{called[1]}" if called else f"MASKED_{name}")[:_LONGEST].upper()
        variable, number = base.strip("_"), 1
        while taken.setdefault(variable, mask[0]) != mask[0]:
            number += 1
            variable = f"{base.strip('_')}_{number}"
        found.append(Variable(start, end, variable))
    return found


def texts(request: Json) -> Iterator[tuple[str, str, bool]]:
    """Every text that is sent, as (text, name, is_json) for :func:`variables`."""
    yield request["target"], "target", False
    for name, value in joined_fields(request):
        yield value, name, False
    yield request["body"]["text"] or "", "body", request["body"]["kind"] == "json"


def pieces(text: str, name: str, *, is_json: bool = False) -> list[str | dict[str, str]]:
    """A text as literal pieces and the variables between them."""
    return rendered(text, variables(text, name, is_json=is_json), lambda literal: literal, lambda v: {"variable": v})


def rendered(
    text: str, found: list[Variable], literal: Callable[[str], Any], variable: Callable[[str], Any]
) -> list[Any]:
    """What ``literal`` makes of the pieces of a text and ``variable`` of the names between them, in order; pieces
    without a character are left out."""
    made: list[Any] = []
    at = 0
    for start, end, name in found:
        made += [literal(text[at:start])] if start > at else []
        made.append(variable(name))
        at = end
    return [*made, literal(text[at:])] if at < len(text) else made
