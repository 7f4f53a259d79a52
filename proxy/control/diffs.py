"""The diff log as operators see it.

Law: read only, and in the store's thread.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from proxy.control.findings import Finding
from proxy.control.ledger import StoreLostError
from proxy.control.operations import Operations, RefusedError


async def findings(operations: Operations, route: str | None, hours: int | None = None) -> list[Finding]:
    """Kinds of difference, the most frequent first; of one route or of all, seen in the last ``hours``.

    Raises RefusedError when the store is lost.
    """
    ledger = operations.ledger
    try:
        rows = await ledger.call(lambda: ledger.diffs.fingerprints(route))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    found = msgspec.convert(rows, list[Finding])
    if hours is None:
        return found
    since = datetime.fromtimestamp(time.time() - hours * 3600, UTC).isoformat()
    return [finding for finding in found if finding.last_seen >= since]


async def sample(operations: Operations, identity: str) -> dict[str, Any]:
    """One recorded pair, by its id or by a fingerprint (its newest). Raises RefusedError when there is none."""
    ledger = operations.ledger

    def look() -> dict[str, Any] | None:
        pair = ledger.diffs.sample(identity)
        if pair is not None:
            return pair
        newest: list[str] = next(
            (f["samples"][:1] for f in ledger.diffs.fingerprints() if f["fingerprint"] == identity), []
        )
        return ledger.diffs.sample(newest[0]) if newest else None

    try:
        pair = await ledger.call(look)
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    if pair is None:
        raise RefusedError(404, "unknown-diff", "there is no such recorded pair or fingerprint")
    return pair
