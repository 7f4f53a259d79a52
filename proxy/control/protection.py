"""How upstreams stand: what all workers say of their breakers, bulkheads and endpoints, put together.

Law: every worker decides alone, so a state is told as the worst over the workers that live, with how many of them are
in which; what is under way is added up. Counters never go back: what a worker had counted when it ended is kept, of
endpoints as long as anybody knows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from proxy.messages import EndpointFigures, UpstreamFigures, WorkerStats

BREAKER_STATES = ("closed", "half-open", "open")
"""From good to bad; the place of a state is its number in the metrics."""
ENDPOINT_STATES = ("fit", "draining", "ejected", "unhealthy")
"""From good to bad."""
MAX_FORMER_ENDPOINTS = 1000
"""Endpoints whose ejections in workers that have ended are remembered; above it, those that no worker knows go."""

Key = tuple[str, str, str]
"""A breaker: route, upstream, purpose."""


class Breaker(NamedTuple):
    """One breaker over all workers."""

    route: str
    upstream: str
    purpose: str  # "traffic" | "shadow"
    mode: str  # "enforce" | "observe"; empty when no living worker has it
    state: str  # the worst; empty when no living worker has it
    workers: dict[str, int]  # state -> workers that are in it
    seconds: float  # how long some worker's has not been closed
    open_seconds: float  # until the last of them lets a request try
    opened: int
    refused: int


class Endpoint(NamedTuple):
    """One endpoint over all workers."""

    url: str
    state: str  # the worst
    workers: dict[str, int]  # state -> workers that see it so
    in_flight: int
    weight: int
    ejections: int


class Upstream(NamedTuple):
    """One upstream over all workers."""

    upstream: str
    in_flight: int
    queued: int
    limit: int  # of all workers together; 0: no bound
    shadows_in_flight: int
    overflows: int
    retries_in_flight: int
    retries_refused: int
    panic: bool  # in some worker
    endpoints: list[Endpoint]  # by URL; empty when no living worker knows the upstream

    def endpoint_states(self) -> dict[str, int]:
        """How many endpoints are in each state."""
        found = dict.fromkeys(ENDPOINT_STATES, 0)
        for endpoint in self.endpoints:
            found[endpoint.state] = found.get(endpoint.state, 0) + 1
        return found


class Protection:
    """The newest figures of each living worker, and the counters of the others."""

    def __init__(self) -> None:
        self._live: dict[int, WorkerStats] = {}  # by pid
        self._since: dict[int, dict[Key, float]] = {}  # by pid: when a breaker that is not closed was seen so first
        self._breakers: dict[Key, tuple[int, int]] = {}  # opened, refused; of the dead
        self._upstreams: dict[str, tuple[int, int]] = {}  # overflows, retries refused; of the dead
        self._ejections: dict[tuple[str, str], int] = {}  # by upstream and URL; of the dead
        self._log_dropped = 0

    def update(self, stats: WorkerStats, now: float) -> None:
        """Take the newest figures of one worker; ``now`` in monotonic seconds."""
        known = self._since.get(stats.pid, {})
        open_ones = ((b.route, b.upstream, b.purpose) for b in stats.breakers if b.state != "closed")
        self._since[stats.pid] = {key: known.get(key, now) for key in open_ones}
        self._live[stats.pid] = stats

    def retire(self, pid: int) -> None:
        """The worker is gone; keep what it had counted."""
        stats = self._live.pop(pid, None)
        self._since.pop(pid, None)
        if stats is None:
            return
        self._log_dropped += stats.access_log_dropped
        for one in stats.breakers:
            key = (one.route, one.upstream, one.purpose)
            opened, refused = self._breakers.get(key, (0, 0))
            self._breakers[key] = (opened + one.opened, refused + one.refused)
        for name, figures in stats.upstreams.items():
            overflows, retries = self._upstreams.get(name, (0, 0))
            self._upstreams[name] = (overflows + figures.overflows, retries + figures.retries_refused)
            for url, endpoint in figures.endpoints.items():
                if endpoint.ejections:
                    self._ejections[name, url] = self._ejections.get((name, url), 0) + endpoint.ejections
        if len(self._ejections) > MAX_FORMER_ENDPOINTS:
            known = {(name, url) for s in self._live.values() for name, f in s.upstreams.items() for url in f.endpoints}
            self._ejections = {key: count for key, count in self._ejections.items() if key in known}

    def access_log_dropped(self) -> int:
        """Records of requests that did not get into the access log."""
        return self._log_dropped + sum(stats.access_log_dropped for stats in self._live.values())

    def breakers(self, now: float) -> list[Breaker]:
        """All breakers, by route, upstream and purpose."""
        found: dict[Key, Breaker] = {
            key: Breaker(*key, "", "", {}, 0.0, 0.0, opened, refused)
            for key, (opened, refused) in self._breakers.items()
        }
        for pid, stats in self._live.items():
            for one in stats.breakers:
                key = (one.route, one.upstream, one.purpose)
                sum_ = found.get(key) or Breaker(*key, "", "", {}, 0.0, 0.0, 0, 0)
                since = self._since[pid].get(key)
                found[key] = sum_._replace(
                    mode=one.mode,
                    state=_worse(sum_.state, one.state, BREAKER_STATES),
                    workers=_one_more(sum_.workers, one.state),
                    seconds=sum_.seconds if since is None else max(sum_.seconds, now - since),
                    open_seconds=max(sum_.open_seconds, one.open_seconds),
                    opened=sum_.opened + one.opened,
                    refused=sum_.refused + one.refused,
                )
        return [found[key] for key in sorted(found)]

    def upstreams(self) -> list[Upstream]:
        """All upstreams, by name."""
        names = {*self._upstreams, *(name for stats in self._live.values() for name in stats.upstreams)}
        return [self._upstream(name) for name in sorted(names)]

    def _upstream(self, name: str) -> Upstream:
        live = [stats.upstreams[name] for stats in self._live.values() if name in stats.upstreams]
        overflows, retries = self._upstreams.get(name, (0, 0))
        return Upstream(
            upstream=name,
            in_flight=sum(one.in_flight for one in live),
            queued=sum(one.queued for one in live),
            limit=sum(one.limit for one in live) if all(one.limit for one in live) else 0,
            shadows_in_flight=sum(one.shadows_in_flight for one in live),
            overflows=overflows + sum(one.overflows for one in live),
            retries_in_flight=sum(one.retries_in_flight for one in live),
            retries_refused=retries + sum(one.retries_refused for one in live),
            panic=any(one.panic for one in live),
            endpoints=self._endpoints(name, live),
        )

    def _endpoints(self, upstream: str, live: Iterable[UpstreamFigures]) -> list[Endpoint]:
        seen: dict[str, list[EndpointFigures]] = {}
        for figures in live:
            for url, one in figures.endpoints.items():
                seen.setdefault(url, []).append(one)
        return [_endpoint(url, ones, self._ejections.get((upstream, url), 0)) for url, ones in sorted(seen.items())]


def _endpoint(url: str, ones: list[EndpointFigures], former: int) -> Endpoint:
    state, workers = "", dict[str, int]()
    for one in ones:
        state = _worse(state, one.state, ENDPOINT_STATES)
        workers = _one_more(workers, one.state)
    return Endpoint(
        url=url,
        state=state,
        workers=workers,
        in_flight=sum(one.in_flight for one in ones),
        weight=max(one.weight for one in ones),
        ejections=former + sum(one.ejections for one in ones),
    )


def _worse(one: str, other: str, order: tuple[str, ...]) -> str:
    return max(one, other, key=lambda state: order.index(state) if state in order else -1)


def _one_more(counts: dict[str, int], key: str) -> dict[str, int]:
    return {**counts, key: counts.get(key, 0) + 1}
