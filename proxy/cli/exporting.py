"""Recorded requests as cases of a test suite.

Law: pure. What cannot be asked again, or whose answer was not recorded whole, is left out and counted by its reason. A
case expects what the rules of the route hold a candidate to, as far as a test without Banyan can see it; ``kind`` says
how far it looks into a body.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from proxy.cli import again
from proxy.cli.request_words import ascii_target
from proxy.compare.document import DuplicateKeyError, NotJsonError, parse_json
from proxy.compare.masks import MASK
from proxy.compare.media import UNSTRUCTURED, reader_of
from proxy.compare.pattern import Expected, pattern
from proxy.compare.result import Budget, Incomparable
from proxy.compare.rules import CompareRules, compile_rules
from proxy.config.comparing import Compare
from proxy.config.model import SAFE_METHODS
from proxy.errors import BanyanError
from proxy.telemetry.visible import visible

Json = dict[str, Any]
_KINDS = {"location": "redirect", "content-type": "content-type"}
PRESENCE = "presence"
"""Of a body is only seen that there is one: pages, XML, tables, events, forms, and text with a masked secret in it."""


def cases(material: Json, *, safe_only: bool) -> tuple[Json, Counter[str]]:
    """The suite of a route's recorded requests (cli.material), and why others were left out, counted."""
    route = material["route"]
    try:
        rules = compile_rules(Compare.model_validate(material["compare"]))
    except ValueError as error:
        raise BanyanError(f"the rules of {route} are not of this release: {visible(str(error), 500)}") from None
    expected = Expected((kind, path) for kind, path in material["expected"])
    found: list[Json] = []
    left_out: Counter[str] = Counter()
    if material.get("no_room"):
        left_out["more than one answer holds; a smaller --limit chooses others"] = material["no_room"]
    for recorded in material["requests"]:
        reason = _unfit(recorded, expected, safe_only=safe_only)
        if reason:
            left_out[reason] += 1
        else:
            found.append(_case(recorded, rules, expected, len(found) + 1))
    return {"route": route, "cases": found}, left_out


def _unfit(recorded: Json, expected: Expected, *, safe_only: bool) -> str:
    legacy = recorded["legacy"]
    if legacy["failure"]:
        return "without an answer of legacy's"
    if legacy["body"]["cut"]:
        return "not recorded whole"
    if expected("status-class", "status"):
        return "whose status may be of another class, which was accepted"
    if safe_only and recorded["request"]["method"] not in SAFE_METHODS:
        return "of a method that is not safe"
    return again.obstacle(recorded)


def _case(recorded: Json, rules: CompareRules, expected: Expected, number: int) -> Json:
    request, legacy = recorded["request"], recorded["legacy"]
    body = request["body"]
    status = legacy["status"]
    return {
        "name": visible(f"{number}: {request['method']} {MASK.sub('*', request['target'])}", 100),
        "request": {
            "method": request["method"],
            "target": again.pieces(ascii_target(request["target"]), "target"),
            "headers": [[name, again.pieces(value, name)] for name, value in again.joined_fields(request)],
            "body": again.pieces(body["text"] or "", "body", is_json=body["kind"] == "json"),
            "charset": again.codec(request),
        },
        "expected": {
            "status": f"{status // 100}xx" if expected("status", "status") else str(status),
            "headers": _headers(legacy, rules, expected),
            "cookies": _cookies(legacy, rules, expected),
            **_body(legacy, rules, expected),
        },
    }


def _headers(legacy: Json, rules: CompareRules, expected: Expected) -> dict[str, list[str] | None]:
    """Compared field -> its values; null: it has to be there."""
    found: dict[str, list[str] | None] = {}
    for name in rules.headers:
        place = f"header:{name}"
        state = rules.places.get(place)
        if name == "set-cookie" or (state is not None and state.ignore) or expected(_KINDS.get(name, "header"), place):
            continue
        values = [value for key, value in legacy["headers"] if key.lower() == name]
        loose = (state is not None and state.matcher is not None) or expected("format", place)
        unknown = any(MASK.search(value) or "\ufffd" in value for value in values)
        found[name] = None if values and (loose or unknown) else values
    return found


def _cookies(legacy: Json, rules: CompareRules, expected: Expected) -> list[str]:
    """Names of cookies that have to be set."""
    if "set-cookie" not in rules.headers:
        return []
    values = [value for key, value in legacy["headers"] if key.lower() == "set-cookie"]
    names = dict.fromkeys(value.partition(";")[0].partition("=")[0].strip() for value in values)
    ignored = {place for place, state in rules.places.items() if state.ignore}
    return [
        name
        for name in names
        if name
        and not MASK.search(name)
        and f"cookie:{name.lower()}" not in ignored
        and not expected("cookie", f"cookie:{name}")
    ]


def _body(legacy: Json, rules: CompareRules, expected: Expected) -> Json:
    """What is known of the body: its ``kind`` and ``body``."""
    body = legacy["body"]
    if body["kind"] == "none":
        return {"kind": "any" if expected("extra", "body") else "none", "body": None}
    if expected("missing", "body") or expected("type", "body") or rules.start.ignore:
        return {"kind": "any", "body": None}
    coded = any(name.lower() == "content-encoding" for name, _ in legacy["headers"])
    reader = reader_of(_media(legacy))
    if body["kind"] == "json" and reader in ("json", "unknown"):
        made = _document(body["text"], rules, expected)
        if made is not None:
            return {"kind": "json", "body": made[0]}
    elif body["kind"] == "bytes" and not coded and reader in UNSTRUCTURED and not expected("digest", "body"):
        return {"kind": "bytes", "body": [body["bytes"], body.get("sha256")]}
    elif body["kind"] == "text" and reader == "text" and not expected("text", "body") and _exact(body["text"]):
        return {"kind": "text", "body": body["text"]}
    return {"kind": PRESENCE, "body": None}


def _exact(text: str) -> bool:
    """Whether a recorded text is what was sent, character by character."""
    return not MASK.search(text) and "\ufffd" not in text


def _media(side: Json) -> str:
    said = next((value for name, value in side["headers"] if name.lower() == "content-type"), "")
    return str(said).partition(";")[0].strip().lower()


def _document(text: str, rules: CompareRules, expected: Expected) -> tuple[Any] | None:
    """The pattern of a document, wrapped because null is one; None if it cannot be read."""
    try:
        return (pattern(parse_json(text.encode(), Budget(), guarded=True), rules, expected),)
    except (NotJsonError, DuplicateKeyError, Incomparable, RecursionError):
        return None
