"""What the tests of exported suites share: records, and what a test that is made of one says."""

from __future__ import annotations

import http.client
import json
from typing import Any

from recorded import BUDGET, UNDER

from proxy.cli import export_tests
from proxy.cli.exporting import cases
from proxy.cli.suite import test_recorded as suite
from proxy.compare.record import answer as recorded_side
from proxy.config.comparing import Compare, written_compare
from proxy.messages import Answer


def asked(method: str = "GET", target: str = "/x", body: str = "", kind: str = "none", **more: Any) -> dict[str, Any]:
    stored = {"kind": kind, "bytes": len(body), "text": body, "cut": False}
    return {"method": method, "target": target, "headers": [], "body": stored, "cut": False, **more}


def material(
    *answers: Answer, expected: list[list[str]] | None = None, requests: list[Any] | None = None, **rules: Any
) -> dict[str, Any]:
    made = [recorded_side(answer, BUDGET, UNDER) for answer in answers]
    return json.loads(json.dumps({  # type: ignore[no-any-return]
        "route": "orders-read", "compare": written_compare(Compare.model_validate(rules)),
        "redaction": {}, "expected": expected or [],
        "requests": [
            {"at": "2026-01-02T03:04:05Z", "request": request, "legacy": side}
            for side, request in zip(made, requests or [asked()] * len(made), strict=True)
        ],
    }))  # fmt: skip


def found(legacy: Answer, fresh: Answer, **more: Any) -> list[str]:
    """What the exported test of ``legacy`` says of another answer."""
    made, left_out = cases(material(legacy, **more), safe_only=False)
    assert not left_out
    (case,) = suite.read(export_tests._json(made))["cases"]
    headers = http.client.HTTPMessage()
    for name, value in fresh.fields:
        headers[name.decode()] = value.decode("latin-1")
    return list(suite.differences(case["expected"], fresh.status, headers, fresh.body))
