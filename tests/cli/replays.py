"""What the tests of ``banyan replay`` share: records without a Banyan, and what the command says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from click.testing import Result
from recorded import BUDGET, KEY, said

from proxy.compare.record import answer as recorded_side
from proxy.compare.record import request as recorded_request
from proxy.compare.redact import make_redactor
from proxy.config.comparing import Compare, Redaction, written_compare
from proxy.messages import Answer, Fields, Pair

JSON: Fields = [(b"Content-Type", b"application/json")]
MATCHED, MISMATCHED, INCONCLUSIVE, UNREACHABLE = 0, 1, 2, 3


def recorded(
    target: bytes = b"/orders/1", legacy: Answer | None = None, method: str = "GET", fields: Fields | None = None,
    body: bytes = b"", key: str = KEY,
) -> dict[str, Any]:  # fmt: skip
    redactor = make_redactor(Redaction(keys=[key]), b"f" * 32)
    legacy = said({"id": 1}) if legacy is None else legacy
    pair = Pair(
        generation=0, route="", request_id="", at=0.0, method=method, target=target, fields=fields or [], body=body,
        arm="legacy", reason="", cohorts=[], legacy=legacy, candidate=legacy,
    )  # fmt: skip
    return {
        "at": datetime.now(UTC).isoformat(), "request": recorded_request(pair, BUDGET, redactor),
        "legacy": recorded_side(legacy, BUDGET, redactor), "redaction_key": redactor.key_id, "partial": False,
    }  # fmt: skip


def material(*requests: dict[str, Any], expected: list[list[str]] | None = None, **rules: Any) -> dict[str, Any]:
    return {
        "route": "orders-read", "compare": written_compare(Compare.model_validate(rules)),
        "redaction": {"emails": False, "names": [], "reveal": []}, "expected": expected or [],
        "requests": list(requests), "no_room": 0,
    }  # fmt: skip


Run = Callable[..., Result]


def outcome(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found
