"""A recorded answer of legacy's against a fresh one of a new build.

Law: both are compared as they may be stored, redacted under one key, with the rules of the route; where the key of the
record is not at hand, secrets are compared by type and length only, and that is counted. What was recorded in part is
``incomparable``, never a match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proxy.compare.masks import MASK
from proxy.compare.record import answer
from proxy.compare.redact import Redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import CompareRules
from proxy.compare.verdict import compare_pair
from proxy.messages import Answer, Fields, Pair

_UNDONE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Fields that say how a body was sent; a recorded body has been decoded."""


class Replayed(NamedTuple):
    """What came of one request. ``by_length``: secrets that could be compared by type and length only."""

    result: Result
    by_length: int


def compare_replayed(
    recorded: dict[str, Any],
    fresh: Answer,
    method: str,
    rules: CompareRules,
    budget: Budget,
    now: Callable[[], float],
    redactor: Redactor,
) -> Replayed:
    """Compare ``recorded`` (legacy's side of a record) with the fresh answer. ``now`` gives seconds."""
    under = redactor.with_key(_key_of(recorded))
    side = answer(fresh, budget, under or redactor)
    if recorded["body"]["cut"] or side["body"]["cut"]:
        return Replayed(Result("incomparable", "too-large"), 0)
    unknown = 0
    if under is None:
        recorded, unknown = _without_hashes(recorded)
        side, _ = _without_hashes(side)
    pair = Pair(
        generation=0, route="", request_id="", at=0.0, method=method, target=b"", fields=[], body=b"", arm="legacy",
        reason="", cohorts=[], legacy=_as_answer(recorded), candidate=_as_answer(side),
    )  # fmt: skip
    return Replayed(compare_pair(pair, rules, budget, now, under or redactor), unknown)


def _as_answer(side: dict[str, Any]) -> Answer:
    """A recorded side as an answer that can be compared: its redacted text for a body."""
    body = side["body"]
    fields: Fields = [
        (name.encode("latin-1", "replace"), value.encode("utf-8", "replace"))
        for name, value in side["headers"]
        if name.lower() not in _UNDONE
    ]
    text = body["text"] if body["text"] is not None else f"{body['bytes']} bytes, {body.get('sha256', '')}"
    return Answer(side["status"], fields, text.encode("utf-8", "replace"), False, side["seconds"], side["failure"])


def _key_of(side: dict[str, Any]) -> str:
    """The id of the key that a side was redacted under; empty if no mask says it."""
    for text in _texts(side):
        for match in MASK.finditer(text):
            if match[3]:
                return match[3]
    return ""


def _texts(side: dict[str, Any]) -> list[str]:
    return [side["body"]["text"] or "", *(value for _, value in side["headers"])]


def _without_hashes(side: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The side with masks that show no more than type and length, and how many there are."""
    count = 0

    def shorter(text: str) -> str:
        nonlocal count
        text, number = MASK.subn(lambda m: f"«masked {m[1]}, {m[2]}»" if m[1] == "text" else f"«masked {m[1]}»", text)
        count += number
        return text

    headers = [[name, shorter(value)] for name, value in side["headers"]]
    body = side["body"]
    if body["text"] is not None:
        body = {**body, "text": shorter(body["text"])}
    return {**side, "headers": headers, "body": body}, count
