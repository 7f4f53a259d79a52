"""Rules proposed from what was learned of a route.

Law: read only, in the store's thread; nothing is applied. Which field identifies a list's items is looked for in
recorded pairs, of which a few are read.
"""

from __future__ import annotations

from typing import Any

import orjson

from proxy.compare.suggest import Noisy, Suggestion, as_yaml, id_field, lack_of_samples, suggest
from proxy.config.model import compare_of
from proxy.control.ledger import StoreLostError
from proxy.control.operations import Operations, RefusedError

MAX_RECORDS = 5
"""Recorded pairs in which a list's identifying field is looked for."""


async def of_route(operations: Operations, route: str) -> dict[str, Any]:
    """Proposals for one route: ``yaml``, the same as ``rules``, the number of ``selfs`` they were learned from, and
    what is missing if these are too few (``lack``). Raises RefusedError when the store is lost."""
    noise = compare_of(operations.serving(), operations.route(route)).noise
    tally = (await operations.tallies(hours=24 * 90)).get(route)
    selfs = tally.traffic.self_matched + tally.compare.selfs if tally else 0

    def look() -> tuple[list[Suggestion], str]:
        noisy = [
            Noisy(one.fingerprint, one.kind, one.path, one.rates, one.looks)
            for one, is_noise in operations.inbox.learned(route)
            if is_noise
        ]
        lack = lack_of_samples(operations.inbox.selfs(route), noise)
        return suggest(noisy, lambda path: _key_of(operations, route, path)), lack

    try:
        found, lack = await operations.ledger.call(look)
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    return {
        "route": route,
        "selfs": selfs,
        "lack": lack,
        "yaml": as_yaml(route, found, selfs, lack),
        "rules": [one._asdict() for one in found],
    }


def _key_of(operations: Operations, route: str, path: str) -> str | None:
    """The field that identifies the items at ``path`` in all recorded answers of legacy's that were looked at."""
    found: set[str | None] = set()
    diffs = operations.ledger.diffs
    for sample in diffs.samples_of(route, MAX_RECORDS):
        record = diffs.sample(sample)
        try:
            document = orjson.loads(record["legacy"]["body"]["text"] or "") if record else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if document is not None and (key := id_field(document, path)) is not None:
            found.add(key)
    return found.pop() if len(found) == 1 else None
