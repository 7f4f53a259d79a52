"""The upstreams of a worker: endpoints with their pools, bulkheads, budgets, breakers.

Law: what is here outlives reloads. A reload changes settings, never what is known about an upstream: a breaker stays
open, an ejected endpoint stays out, a place that is taken is given back to the bulkhead it was taken from. What belongs
to one snapshot alone (clocks, policies) is on the :class:`Way`, which a request keeps.
"""

from __future__ import annotations

from collections import Counter
from time import time
from typing import TYPE_CHECKING, Final

from proxy.config.upstreams import Breaker as BreakerSettings
from proxy.core.adaptive import AdaptiveLimit
from proxy.core.breaker import Breaker
from proxy.core.bulkhead import Bulkhead
from proxy.core.endpoints import EndpointSet, EndpointState
from proxy.core.retry import RetryBudget, RetryPolicy
from proxy.messages import BreakerEvent, BreakerFigures, EndpointWord, UpstreamFigures
from proxy.telemetry.logs import log_line
from proxy.wire.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.model import Settings
    from proxy.config.upstreams import Timeouts, Upstream
    from proxy.messages import Endpoints
    from proxy.wire.outbox import Outbox

TELL_SECONDS: Final = 60.0
"""Between two lines about an upstream of which too few endpoints are fit."""
SETTLE_SECONDS: Final = 1.0
"""After the start, until it is told that there is no endpoint: the first may just be coming."""

BreakerKey = tuple[str, str, str]
"""Route, upstream, purpose (``traffic`` or ``shadow``)."""

_ENFORCED: Final = BreakerSettings()
_OFF: Final = BreakerSettings(mode="off")


class UpstreamState:
    """One upstream in one worker. ``told`` are the endpoints that the supervisor named; until then the file's hold."""

    __slots__ = (
        "_max_idle",
        "_outbox",
        "_pools",
        "_shadow_pools",
        "_tell_at",
        "_told",
        "adaptive",
        "budget",
        "bulkhead",
        "endpoints",
        "name",
        "settings",
        "shadows_in_flight",
    )

    def __init__(self, name: str, settings: Upstream, outbox: Outbox, now: float, *, legacy: bool) -> None:
        self.name = name
        self.settings = settings
        self._max_idle = settings.max_idle
        self._outbox = outbox
        self._told: list[EndpointWord] | None = None
        self._tell_at = now + SETTLE_SECONDS
        self._pools: dict[str, Pool] = {}
        self._shadow_pools: dict[str, Pool] = {}
        self.endpoints = EndpointSet(settings, now, ejects=not legacy)
        self.bulkhead = Bulkhead(settings.bulkhead)
        self.budget = RetryBudget(settings.retries) if settings.retries else None
        self.adaptive: AdaptiveLimit | None = None
        self._adapt(settings)
        self.shadows_in_flight = 0
        self._list(now)

    def configure(self, settings: Upstream, now: float) -> None:
        """A reload."""
        if settings == self.settings:
            return
        before, self.settings = self.settings, settings
        if settings.discovery != before.discovery:
            self._told = None
        self.endpoints.configure(settings, now)
        self.bulkhead.configure(settings.bulkhead)
        if settings.retries != before.retries:
            if settings.retries is None:
                self.budget = None
            elif self.budget is None:
                self.budget = RetryBudget(settings.retries)
            else:
                self.budget.configure(settings.retries)
        self._adapt(settings)
        self._max_idle = settings.max_idle
        for pool in (*self._pools.values(), *self._shadow_pools.values()):
            pool.max_idle = settings.max_idle
        self._list(now)

    def _adapt(self, settings: Upstream) -> None:
        if settings.adaptive_concurrency is None:
            self.adaptive = None
        elif self.adaptive is None:
            self.adaptive = AdaptiveLimit(settings.adaptive_concurrency)
        else:
            self.adaptive.configure(settings.adaptive_concurrency)
        self.bulkhead.adapt(0 if self.adaptive is None else self.adaptive.limit)

    @property
    def by_identity(self) -> bool:
        """Which endpoint depends on who asks."""
        return self.settings.balance == "hash"

    def tell(self, words: list[EndpointWord] | None, now: float) -> None:
        """The supervisor's word on the endpoints; None: it has none, so the file's hold."""
        if words != self._told:
            self._told = words
            self._list(now)

    def _list(self, now: float) -> None:
        words = self._told
        if words is None:
            words = [EndpointWord(endpoint.url, endpoint.weight) for endpoint in self.settings.endpoints]
        self.endpoints.update(words, now)
        self._tidy()

    def pool(self, endpoint: EndpointState) -> Pool:
        """The connections to an endpoint, for traffic."""
        pool = self._pools.get(endpoint.url)
        if pool is None:
            pool = self._pools[endpoint.url] = Pool(endpoint.url, self._max_idle, self._outbox)
        return pool

    def shadow_pool(self, endpoint: EndpointState) -> Pool:
        """The connections to an endpoint, for shadows."""
        pool = self._shadow_pools.get(endpoint.url)
        if pool is None:
            pool = self._shadow_pools[endpoint.url] = Pool(endpoint.url, self._max_idle, self._outbox)
        return pool

    def tick(self, now: float) -> None:
        """Time has passed: about every 100 ms."""
        self.endpoints.tick(now)
        if self.adaptive is not None:
            self.adaptive.tick(now)
            self.bulkhead.adapt(self.adaptive.limit)
        self._tidy()
        for pool in (*self._pools.values(), *self._shadow_pools.values()):
            pool.sweep(now)
        if now >= self._tell_at and (self.endpoints.panic or self.endpoints.nobody):
            self._tell_at = now + TELL_SECONDS
            states = Counter(endpoint.state for endpoint in self.endpoints.figures().values())
            used = "none" if self.endpoints.nobody else "all"
            log_line("error", "too-few-endpoints-fit", upstream=self.name, used=used, **states)

    def _tidy(self) -> None:
        """Close the connections of endpoints that are gone."""
        known = self.endpoints.urls
        for pools in (self._pools, self._shadow_pools):
            if pools.keys() - known:
                for url in [url for url in pools if url not in known]:
                    _retire(pools.pop(url))

    def close(self) -> None:
        """The upstream left the configuration: requests of before may still connect, but nothing is kept."""
        self._max_idle = 0
        for pools in (self._pools, self._shadow_pools):
            for pool in pools.values():
                _retire(pool)
            pools.clear()

    def figures(self) -> UpstreamFigures:
        """As the supervisor is told."""
        bulkhead, budget = self.bulkhead, self.budget
        return UpstreamFigures(
            in_flight=bulkhead.in_flight,
            queued=bulkhead.queued,
            limit=bulkhead.limit,
            shadows_in_flight=self.shadows_in_flight,
            overflows=bulkhead.overflows,
            retries_in_flight=budget.in_flight if budget else 0,
            retries_refused=budget.refused if budget else 0,
            panic=self.endpoints.panic,
            endpoints=self.endpoints.figures(),
        )


def _retire(pool: Pool) -> None:
    pool.max_idle = 0  # what is under way is closed when it is done
    pool.close()


class Way:
    """How one route reaches one upstream, by one snapshot."""

    __slots__ = ("breaker", "name", "patience", "policy", "shadow_breaker", "timeouts", "upstream")

    def __init__(
        self,
        upstream: UpstreamState,
        settings: Upstream,
        policy: RetryPolicy | None,
        breaker: Breaker | None,
        shadow_breaker: Breaker | None,
    ) -> None:
        self.name = upstream.name
        self.upstream = upstream
        self.timeouts: Timeouts = settings.timeouts
        clocks = settings.timeouts
        self.patience = min(clocks.first_byte, clocks.total, clocks.per_try or clocks.total)
        """Seconds that a client's request would wait for the head of its answer."""
        self.policy = policy
        self.breaker = breaker
        self.shadow_breaker = shadow_breaker


class Upstreams:
    """All upstreams and breakers of a worker."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._states: dict[str, UpstreamState] = {}
        self._breakers: dict[BreakerKey, Breaker] = {}
        self._named: set[BreakerKey] = set()
        self._policies: dict[str, RetryPolicy | None] = {}

    def configure(self, settings: Settings, now: float) -> None:
        """A new snapshot begins: call :meth:`way` for all that it needs, then :meth:`settled`."""
        self._named = set()
        self._policies = {n: RetryPolicy(up.retries) if up.retries else None for n, up in settings.upstreams.items()}
        for name, upstream in settings.upstreams.items():
            state = self._states.get(name)
            if state is None:
                legacy = name == settings.legacy
                self._states[name] = UpstreamState(name, upstream, self._outbox, now, legacy=legacy)
            else:
                state.endpoints.ejects = name != settings.legacy
                state.configure(upstream, now)
        for name in self._states.keys() - settings.upstreams.keys():
            self._states.pop(name).close()

    def way(self, route: str, name: str, settings: Settings, *, shadows: bool) -> Way:
        """How ``route`` reaches the upstream ``name``, and its shadows, if it has any there."""
        upstream = settings.upstreams[name]
        ours = upstream.breaker or (_OFF if name == settings.legacy else _ENFORCED)
        return Way(
            self._states[name],
            upstream,
            self._policies[name],
            self._breaker((route, name, "traffic"), ours),
            self._breaker((route, name, "shadow"), upstream.breaker or _ENFORCED) if shadows else None,
        )

    def _breaker(self, key: BreakerKey, settings: BreakerSettings) -> Breaker | None:
        if settings.mode == "off":
            return None
        self._named.add(key)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(settings)
        else:
            breaker.configure(settings)
        return breaker

    def settled(self) -> None:
        """The snapshot has all its ways: breakers that none of them names are forgotten."""
        for key in self._breakers.keys() - self._named:
            del self._breakers[key]

    def tell(self, message: Endpoints, now: float) -> None:
        """The supervisor's word on endpoints."""
        for name, state in self._states.items():
            state.tell(message.upstreams.get(name), now)

    def tick(self, now: float) -> None:
        """Time has passed: about every 100 ms."""
        for state in self._states.values():
            state.tick(now)
        for breaker in self._breakers.values():
            breaker.tick(now)

    def changes(self, worker: int) -> Iterator[BreakerEvent]:
        """What breakers did since the last call."""
        at = time()
        for (route, upstream, purpose), breaker in self._breakers.items():
            if breaker.changes:
                for change in breaker.take_changes():
                    yield BreakerEvent(
                        worker, route, upstream, purpose, change.before, change.after, change.why, breaker.mode, at
                    )

    def breaker_figures(self, now: float) -> list[BreakerFigures]:
        """Breakers that have something to tell: one that never opened nor refused is left out."""
        return [
            BreakerFigures(
                route,
                upstream,
                purpose,
                breaker.state,
                breaker.mode,
                breaker.opened,
                breaker.refused,
                breaker.open_seconds(now),
            )
            for (route, upstream, purpose), breaker in self._breakers.items()
        ]

    def figures(self) -> dict[str, UpstreamFigures]:
        """All upstreams."""
        return {name: state.figures() for name, state in self._states.items()}
