"""Answers as a record keeps them and as they are compared: live, and against a fresh answer later."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import strategies as st

from proxy.compare.record import answer as recorded_side
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.replayed import Asked, Replayed, compare_replayed
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Fields, Pair

KEY = "a redaction key of 2026"
UNDER = make_redactor(Redaction(keys=[KEY]), b"f" * 32)
STRANGER = make_redactor(Redaction(), b"s" * 32)
BUDGET = Budget()
NOON = 1_700_000_000.0


def said(body: Any, media: str = "application/json", status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
    fields: Fields = [(b"Content-Type", media.encode())] if media else []
    return Answer(status, [*fields, *more], raw, truncated=False, seconds=0.01)


def replayed(
    legacy: Answer, fresh: Answer, redactor: Redactor = UNDER, *, passed: float = 0.0, method: str = "GET", **rules: Any
) -> Replayed:
    recorded = json.loads(json.dumps(recorded_side(legacy, BUDGET, UNDER)))
    asked = Asked(method, NOON, NOON + passed, UNDER.key_id)
    return compare_replayed(recorded, fresh, asked, compile_rules(Compare(**rules)), BUDGET, lambda: 0.0, redactor)


def live(legacy: Answer, fresh: Answer, **rules: Any) -> Result:
    pair = Pair(
        generation=0, route="", request_id="", at=NOON, method="GET", target=b"/", fields=[], body=b"", arm="legacy",
        reason="", cohorts=[], legacy=legacy, candidate=fresh,
    )  # fmt: skip
    return compare_pair(pair, compile_rules(Compare(**rules)), BUDGET, lambda: 0.0, UNDER)


def places(result: Result) -> set[tuple[str, str]]:
    return {(found.kind, found.path) for found in result.differences}


def picture(size: int = 100) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\xff" + b"\x01" * size


def any_documents(names: list[str], scalars: list[Any]) -> st.SearchStrategy[Any]:
    """JSON documents of members with these names, and of these scalars beside small integers, booleans and null."""
    return st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(scalars),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(names), inner, max_size=4),
        max_leaves=12,
    )
