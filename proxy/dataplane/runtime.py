"""One snapshot made ready to serve: routes with their ways to the upstreams, limits and clocks within reach.

Law: a request keeps the Runtime that it began with; what is known about upstreams (``dataplane.upstreams``) lives on.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from proxy.compare.reads import ReadTemplate
from proxy.core.coverage import fixed_endpoint
from proxy.core.deadline import fallback_reserve
from proxy.core.drills import drills_of
from proxy.core.identity import CohortTester
from proxy.core.snapshot import NO_ROUTE_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.comparing import ReadAfterWrite
    from proxy.config.model import Settings
    from proxy.core.drills import Drills
    from proxy.core.snapshot import RoutePlan, Snapshot
    from proxy.dataplane.stats import RouteStats
    from proxy.dataplane.upstreams import Upstreams, Way


class RouteRuntime:
    """A route (or what no route names) with its figures and its ways to both sides."""

    __slots__ = ("candidate", "drills", "endpoint", "legacy", "may_retry", "reads", "reserve", "stats")

    def __init__(
        self, route_id: str, plan: RoutePlan | None, settings: Settings, upstreams: Upstreams, stats: RouteStats
    ) -> None:
        self.stats = stats
        self.endpoint = "" if plan is None else fixed_endpoint(plan.route.match)
        """The template of its paths, if it has but one."""
        asked = plan is not None and (bool(plan.reverse_methods or plan.self_methods) or plan.reads_back)
        self.legacy: Way = upstreams.way(route_id, settings.legacy, settings, shadows=asked)
        self.candidate: Way | None = None
        self.drills: Drills | None = None
        if plan is not None and plan.candidate is not None:
            compared = bool(plan.shadow_methods) or plan.reads_back
            self.candidate = upstreams.way(route_id, plan.candidate, settings, shadows=compared)
            self.drills = drills_of(plan.route, settings)
        self.reads: list[tuple[float, ReadTemplate]] = []
        """What is read after a write, the soonest first: seconds after legacy's answer, and what."""
        if plan is not None and plan.reads_back:
            reads, path = plan.route.shadow.reads, plan.route.match.path
            self.reads = [(read.delay, ReadTemplate(read.path, path)) for read in sorted(reads, key=_delay)]
        self.reserve = 0.0
        """Seconds of a request's deadline that the candidate must leave for a fallback."""
        if self.candidate is not None:
            clocks = self.legacy.timeouts
            total = self.candidate.timeouts.total
            self.reserve = fallback_reserve(total, clocks.connect, clocks.first_byte)
        ways = (self.legacy, self.candidate)
        self.may_retry = any(way is not None and way.policy is not None for way in ways)


def _delay(read: ReadAfterWrite) -> float:
    return read.delay


class Runtime:
    """Everything that a request reads; immutable."""

    def __init__(
        self, snapshot: Snapshot, upstreams: Upstreams, stats: Callable[[str], RouteStats], instance: str, now: float
    ) -> None:
        settings = snapshot.settings
        self.snapshot = snapshot
        self.generation = snapshot.generation
        upstreams.configure(settings, now)
        self.unrouted = RouteRuntime(NO_ROUTE_ID, None, settings, upstreams, stats(NO_ROUTE_ID))
        self.routes = [RouteRuntime(plan.id, plan, settings, upstreams, stats(plan.id)) for plan in snapshot.plans]
        upstreams.settled()
        self.limits = settings.limits
        self.clocks = settings.client_timeouts
        self.overload = settings.overload
        self.expose = settings.expose
        self.shadow_memory = settings.shadow_memory
        self.cohorts = tuple(CohortTester(name, settings.cohorts[name]) for name in sorted(settings.cohorts))
        """All that are configured, for the coverage."""
        self.instance = instance.encode()
        self.via = b"Via: 1.1 " + self.instance + b"\r\n"
        self._trusted = [ipaddress.ip_network(cidr) for cidr in settings.trusted_proxies]
        self.trusts_any = bool(self._trusted)

    def trusts(self, peer: str) -> bool:
        """True if what ``peer`` says about its client is believed."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)
