"""A pair as it may be stored.

Law: everything in a record has been redacted, and its size is bounded. No pair, whatever its bytes, fails to be
recorded. A request is recorded so that it could be sent again, but for its secrets: its fields stand in their order,
and ``cut`` says that something is missing.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.bodies import body
from proxy.compare.decode import legible
from proxy.compare.redact import PLAIN, Redactor
from proxy.compare.redact_fields import BROKEN_OFF, MAX_STORED_FIELDS, MAX_STORED_VALUE, headers, url
from proxy.compare.result import Budget, Result
from proxy.messages import Answer, Pair


def record(pair: Pair, result: Result, budget: Budget, redactor: Redactor = PLAIN) -> dict[str, Any]:
    """The pair and what was found, as JSON values."""
    return {
        "request_id": redactor.by_shape(pair.request_id[:200]),
        "route": pair.route,
        "at": pair.at,
        "generation": pair.generation,
        "purpose": pair.purpose,
        "cell": redactor.by_shape(pair.cell),
        "arm": pair.arm,
        "reason": pair.reason,
        "cohorts": pair.cohorts[:100],
        "redaction_key": redactor.key_id,
        "request": request(pair, budget, redactor),
        "legacy": answer(pair.legacy, budget, redactor),
        "candidate": answer(pair.candidate, budget, redactor),
        "verdict": result.verdict,
        "differences": [found._asdict() for found in result.differences],
        "more_differences": result.more,
    }


def request(pair: Pair, budget: Budget, redactor: Redactor) -> dict[str, Any]:
    """The request; ``cut``: its target, its fields or its body are not whole."""
    sent = body(pair.body, pair.fields, budget, redactor)
    long = len(pair.target) > MAX_STORED_VALUE or len(pair.fields) > MAX_STORED_FIELDS
    return {
        "method": pair.method[:32],
        "target": target(pair.target, redactor),
        "headers": headers(pair.fields, redactor),
        "body": sent,
        "cut": long or sent["cut"] or any(len(value) > MAX_STORED_VALUE for _, value in pair.fields),
    }


def answer(side: Answer, budget: Budget, redactor: Redactor) -> dict[str, Any]:
    """One side of a pair."""
    return {
        "status": side.status,
        "failure": side.failure,
        "seconds": side.seconds,
        "headers": headers(side.fields, redactor),
        "body": body(side.body, side.fields, budget, redactor, truncated=side.truncated, size=side.size),
    }


def target(raw: bytes, redactor: Redactor) -> str:
    """A request target: secret parameters masked, and what looks like a secret anywhere, percent-encoded or not."""
    shown = legible(url(raw[:MAX_STORED_VALUE].decode("utf-8", "surrogateescape"), redactor))
    return (shown if len(raw) <= MAX_STORED_VALUE else shown[:-BROKEN_OFF])[:MAX_STORED_VALUE]
