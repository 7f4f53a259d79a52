"""The record of requests as operators and programs see it.

Law: read only, and in the store's thread.
"""

from __future__ import annotations

from typing import Any

from proxy.control.coverage import cell_fields
from proxy.control.ledger import StoreLostError
from proxy.control.operations import Operations, RefusedError


async def requests(operations: Operations, route: str, limit: int) -> list[dict[str, Any]]:
    """Recorded requests of a route with legacy's redacted answers, as different ones as there are first; ``cell`` with
    its fields. Raises RefusedError when the store is lost."""
    ledger = operations.ledger
    try:
        found = await ledger.call(lambda: ledger.corpus.requests(route, limit))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    return [{**record, "cell": cell_fields(record["cell"])} for record in found]
