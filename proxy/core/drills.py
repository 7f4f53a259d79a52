"""Which fault made on purpose, if any, a request is to meet on its way to the candidate.

Law: a drill touches only whom it names. All that an entry names must hold; the first entry that fits and whose share
falls to the request is used; where drills are forbidden, or a route has none, nothing is asked per request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.model import Cohort
from proxy.core.identity import CohortTester, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.config.model import Drill, Identity, Route, Settings
    from proxy.core.request import Request


class Drills:
    """The drills of one route. ``cohorts`` are all that the configuration has, ``identity`` says who is asking.

    Raises KeyError for an unknown cohort, which lint would have refused.
    """

    __slots__ = ("_entries", "_identity")

    def __init__(
        self, faults: Sequence[Drill], cohorts: Mapping[str, Cohort], identity: Sequence[Identity] = ()
    ) -> None:
        self._identity = tuple(identity)
        self._entries = tuple(
            (
                drill,
                # A cohort without a name: whoever shows all these headers.
                CohortTester("", Cohort(header=drill.header)) if drill.header else None,
                tuple(CohortTester(name, cohorts[name]) for name in drill.cohorts),
            )
            for drill in faults
            if drill.share > 0
        )

    def choose(self, request: Request, user: str | None, chance: Callable[[], float]) -> Drill | None:
        """The drill for a request that goes to the candidate; None: none.

        ``user`` is the identity if the decision has asked for it; if it is None, it is looked for here when a cohort
        has to be told, because only stage canary asks. ``chance`` yields a number in [0, 1), one for each entry that
        fits with a share below 100 %.
        """
        for drill, shows, cohorts in self._entries:
            if shows is not None and not shows.holds(request, None):
                continue
            if cohorts:
                if user is None:
                    user = identify(self._identity, request)
                if not any(cohort.holds(request, user) for cohort in cohorts):
                    continue
            if drill.share >= 1 or chance() < drill.share:
                return drill
        return None


def describe(drill: Drill) -> str:
    """What a drill does, in a few words for the access log."""
    words = [f"delay {drill.delay:g}s"] if drill.delay else []
    if drill.abort is not None:
        words.append(f"abort {drill.abort}")
    if drill.reset:
        words.append("reset")
    if drill.bandwidth:
        words.append(f"bandwidth {drill.bandwidth}B/s")
    return ", ".join(words)


def drills_of(route: Route, settings: Settings) -> Drills | None:
    """The drills of a route; None if it has none or ``drills`` is ``forbidden``."""
    if not route.faults or settings.drills == "forbidden":
        return None
    return Drills(route.faults, settings.cohorts, settings.identity)
