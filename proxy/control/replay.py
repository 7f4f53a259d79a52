"""What somebody needs to ask a route's recorded requests of another build and to judge the answers.

Law: read only; everything in it was redacted when it was recorded, and no key is in it. Its size is bounded; what has
no room is counted.
"""

from __future__ import annotations

from typing import Any

from proxy.config.comparing import written_compare
from proxy.config.model import compare_of
from proxy.control import diffs
from proxy.control.coverage import coverage_of
from proxy.control.ledger import StoreLostError
from proxy.control.operations import Operations, RefusedError
from proxy.store.tally import Tally

MAX_TEXT = 16 * 1024 * 1024
"""Characters of recorded bodies in one answer: half of them again are added by JSON, and commands take 64 MiB."""


async def material(operations: Operations, route_id: str, limit: int) -> dict[str, Any]:
    """The route's rules, its expected differences (kind and path of accepted ones and of noise) and up to ``limit``
    recorded requests with legacy's answers; ``no_room`` says how many more there were within the limit, ``recorded``
    how many there are in all, of how many kinds, and how many legacy answered in the last 24 hours. Raises
    RefusedError."""
    route = operations.route(route_id)
    settings = operations.serving()
    ledger = operations.ledger
    try:
        requests = await ledger.call(lambda: ledger.corpus.requests(route_id, limit))
        count, kinds = await ledger.call(lambda: ledger.corpus.counted(route_id))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    found = await diffs.findings(operations, route_id)
    answered = coverage_of((await operations.tallies()).get(route_id, Tally())).seen
    redaction = settings.redaction
    kept = _within(requests, MAX_TEXT)
    return {
        "route": route_id,
        "compare": written_compare(compare_of(settings, route)),
        "redaction": {"emails": redaction.emails, "names": redaction.names, "reveal": redaction.reveal},
        "expected": [[one.kind, one.path] for one in found if one.expected],
        "requests": kept,
        "no_room": len(requests) - len(kept),
        "recorded": {"requests": count, "kinds": kinds, "answered": answered},
    }


def _within(requests: list[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """As many from the beginning as have room."""
    for number, recorded in enumerate(requests):
        room -= sum(len(recorded[side]["body"]["text"] or "") for side in ("request", "legacy"))
        if room < 0:
            return requests[:number]
    return requests
