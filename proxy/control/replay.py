"""What somebody needs to ask a route's recorded requests of another build and to judge the answers.

Law: read only; everything in it was redacted when it was recorded, and no key is in it.
"""

from __future__ import annotations

from typing import Any

from proxy.config.comparing import written_compare
from proxy.config.model import compare_of
from proxy.control import diffs
from proxy.control.ledger import StoreLostError
from proxy.control.operations import Operations, RefusedError


async def material(operations: Operations, route_id: str, limit: int) -> dict[str, Any]:
    """The route's rules, its expected differences (accepted ones and noise, by fingerprint) and up to ``limit``
    recorded requests with legacy's answers. Raises RefusedError."""
    route = operations.route(route_id)
    settings = operations.serving()
    ledger = operations.ledger
    try:
        requests = await ledger.call(lambda: ledger.corpus.requests(route_id, limit))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    found = await diffs.findings(operations, route_id)
    redaction = settings.redaction
    return {
        "route": route_id,
        "compare": written_compare(compare_of(settings, route)),
        "redaction": {"emails": redaction.emails, "names": redaction.names, "reveal": redaction.reveal},
        "expected": [one.fingerprint for one in found if one.expected],
        "requests": requests,
    }
