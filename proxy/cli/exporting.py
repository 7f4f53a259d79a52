"""Recorded requests as cases of a test suite.

Law: pure. What cannot be asked again, or whose answer was not recorded whole, is left out and counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from proxy.cli.request_text import headers_sent, pieces
from proxy.compare.document import NotJsonError, parse_json
from proxy.compare.fingerprint import fingerprint
from proxy.compare.masks import MASK
from proxy.compare.pattern import extra_names, pattern
from proxy.compare.result import Budget
from proxy.compare.rules import CompareRules, compile_rules
from proxy.config.comparing import Compare
from proxy.config.model import SAFE_METHODS
from proxy.errors import BanyanError

Json = dict[str, Any]
_COMPARED_BY_THE_SUITE = ("content-type", "location", "cache-control")


def cases(material: Json, *, safe_only: bool) -> tuple[Json, Counter[str]]:
    """The suite of a route's recorded requests (control.replay), and why others were left out, counted."""
    route = material["route"]
    try:
        rules = compile_rules(Compare.model_validate(material["compare"]))
    except ValueError as error:
        raise BanyanError(f"the rules of {route} cannot be read: {error}") from None
    expected = frozenset(material["expected"])
    found: list[Json] = []
    left_out: Counter[str] = Counter()
    for recorded in material["requests"]:
        reason = _unfit(recorded, safe_only=safe_only)
        if reason:
            left_out[reason] += 1
            continue
        found.append(_case(recorded, rules, lambda kind, path: fingerprint(route, kind, path) in expected, len(found)))
    return {"route": route, "extra": extra_names(rules), "cases": found}, left_out


def _unfit(recorded: Json, *, safe_only: bool) -> str:
    legacy = recorded["legacy"]
    if legacy["failure"]:
        return "without an answer of legacy's"
    if recorded.get("partial") or legacy["body"]["cut"]:
        return "not recorded whole"
    if safe_only and recorded["request"]["method"] not in SAFE_METHODS:
        return "not of a safe method"
    return ""


def _case(recorded: Json, rules: CompareRules, expected: Any, number: int) -> Json:
    request = recorded["request"]
    return {
        "name": f"{number + 1}: {request['method']} {request['target']}"[:100],
        "request": {
            "method": request["method"],
            "target": pieces(request["target"], "target"),
            "headers": [[name, pieces(value, name)] for name, value in headers_sent(recorded)],
            "body": pieces(request["body"]["text"] or "", "body"),
        },
        "expected": _expected(recorded["legacy"], rules, expected),
    }


def _expected(legacy: Json, rules: CompareRules, expected: Any) -> Json:
    headers = {
        name.lower(): value
        for name, value in legacy["headers"]
        if name.lower() in _COMPARED_BY_THE_SUITE
        and name.lower() in rules.headers
        and f"header:{name.lower()}" not in rules.places
        and not MASK.search(value)
    }
    kind, body = legacy["body"]["kind"], legacy["body"]["text"]
    made: Any = None
    if kind == "json":
        try:
            document = parse_json(body.encode(), Budget(), guarded=False)
            made = pattern(document, rules, expected)
            orjson.dumps(made)
        except (NotJsonError, TypeError):
            kind = "bytes"
    elif kind == "text" and not MASK.search(body):
        made = body
    elif kind != "none":
        kind = "bytes"
    return {"status": legacy["status"], "headers": headers, "kind": kind, "body": made}
