"""Two answers to one request, as they go to the comparator.

Law: what only Banyan and its testers are to see (keys, marks) is left out. A pair is as old as its request.
"""

from __future__ import annotations

import time
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.fields import Kind, classify
from proxy.dataplane.cells import cohorts_of
from proxy.messages import Answer, Pair

if TYPE_CHECKING:
    from proxy.core.request import Request
    from proxy.core.snapshot import Decision
    from proxy.dataplane.runtime import Runtime

Facts = tuple["Request", "Decision", bytes, bytes]
"""The request, what was decided about it, its id and its body. Not the exchange itself: it holds who holds these, and a
circle would have to wait for the collector."""


def no_answer() -> Answer:
    """In the place of a candidate's answer that nobody asked for, or that was the same."""
    return Answer(0, [], b"", truncated=False, seconds=0.0)


def pair_of(
    runtime: Runtime, facts: Facts, begun: float, legacy: Answer, candidate: Answer, purpose: str, cell: str = ""
) -> Pair:
    """The pair of a request that was sent at ``begun`` (monotonic seconds); ``purpose`` and ``cell`` as it has them."""
    request, decision, request_id, body = facts
    return Pair(
        generation=decision.generation,
        route=decision.route_id,
        request_id=request_id.decode("latin-1"),
        at=time.time() - (monotonic() - begun),
        method=request.method,
        target=request.target,
        fields=[field for field in request.fields if not classify(field[0])[1] & Kind.BANYAN],
        body=body,
        arm=decision.arm,
        reason=decision.reason,
        cohorts=cohorts_of(runtime, request, decision.user),
        legacy=legacy,
        candidate=candidate,
        purpose=purpose,
        cell=cell,
    )
