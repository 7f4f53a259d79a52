"""Which cell of the coverage a request and legacy's answer to it belong to.

Law: it is found from the two heads alone, once per answer of legacy's, at the cost of a few look-ups; who the user is
is only asked where cohorts are configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.coverage import NO_BODY, cohort_key, media_family
from proxy.core.identity import identify

if TYPE_CHECKING:
    from proxy.core.coverage import CellCount
    from proxy.core.request import Request
    from proxy.dataplane.runtime import RouteRuntime, Runtime
    from proxy.messages import Fields


_EMPTY: Final = b"\n"
"""In the place of a media type, which cannot be this."""

RECORDED_BODY_BYTES: Final = 64 * 1024
"""Bodies up to this are kept for the record of requests, of a few requests."""


def keeps_body(route: RouteRuntime, request: Request) -> bool:
    """Whether a copy of a request's body is kept although nobody but the record of requests needs it."""
    return (
        route.candidate is not None
        and 0 < request.length <= RECORDED_BODY_BYTES
        and route.stats.cells.keeps_body(request.method, route.endpoint, request.path)
    )


def cell_of(
    runtime: Runtime,
    route: RouteRuntime,
    request: Request,
    user: str | None,
    status: int,
    fields: Fields,
    *,
    empty: bool,
) -> CellCount:
    """The cell of an answer of legacy's with these fields; ``empty`` if it has no body.

    ``user`` is who asks, if the decision asked for it.
    """
    named = _EMPTY
    if not empty:
        named = b""
        for name, value in fields:
            if len(name) == 12 and (name == b"Content-Type" or name.lower() == b"content-type"):
                named = value
                break
    cells = route.stats.cells
    plain = not request.query and not runtime.cohorts
    if plain:  # the usual way: less than half the time
        key = (request.method, status, route.endpoint or request.path, named)
        known = cells.quick.get(key)
        if known is not None:
            return known
    media = NO_BODY if empty else media_family(named)
    cohorts = cohort_key(cohorts_of(runtime, request, user)) if runtime.cohorts else ""
    cell = cells.find(request.method, status, route.endpoint, request.path, request.query, cohorts, media)
    if plain:
        cells.remember((request.method, status, route.endpoint or request.path, named), cell)
    return cell


def cohorts_of(runtime: Runtime, request: Request, user: str | None) -> list[str]:
    """The names of all configured cohorts that whoever asks belongs to; ``user`` as above."""
    if not runtime.cohorts:
        return []
    if user is None:
        user = identify(runtime.snapshot.identity, request)
    return [tester.name for tester in runtime.cohorts if tester.holds(request, user)]
