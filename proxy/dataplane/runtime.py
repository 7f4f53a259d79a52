"""One snapshot made ready to serve: upstreams with their pools, limits and clocks within reach.

Law: a request keeps the Runtime that it began with. Pools belong to the worker and live as long as some snapshot names
their endpoint, so a reload does not cost the warm connections.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from proxy.wire.pool import Pool

if TYPE_CHECKING:
    from proxy.config.upstreams import Timeouts, Upstream
    from proxy.core.snapshot import Snapshot
    from proxy.wire.outbox import Outbox


class Pools:
    """All pools of a worker, by endpoint and purpose."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pools: dict[tuple[str, str], Pool] = {}

    def of(self, url: str, purpose: str, max_idle: int) -> Pool:
        """The pool for ``url``; ``purpose`` is ``traffic`` or ``shadow``."""
        key = (url, purpose)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(url, max_idle, self._outbox)
        pool.max_idle = max_idle
        return pool

    def keep_only(self, urls: set[str]) -> None:
        """Close and forget the pools of endpoints that no upstream names any more."""
        for key in [key for key in self._pools if key[0] not in urls]:
            pool = self._pools.pop(key)
            pool.max_idle = 0
            pool.close()

    def sweep(self, now: float) -> None:
        """Close what has been idle too long."""
        for pool in self._pools.values():
            pool.sweep(now)

    def close(self) -> None:
        """Close everything idle."""
        for pool in self._pools.values():
            pool.close()


class UpstreamRuntime:
    """An upstream as a worker uses it: its endpoints in turn."""

    __slots__ = ("_next", "_pools", "_shadow_pools", "name", "timeouts")

    def __init__(self, name: str, upstream: Upstream, pools: Pools) -> None:
        self.name = name
        self.timeouts: Timeouts = upstream.timeouts
        self._pools = [pools.of(url, "traffic", upstream.max_idle) for url in (e.url for e in upstream.endpoints)]
        self._shadow_pools = [pools.of(url, "shadow", upstream.max_idle) for url in (e.url for e in upstream.endpoints)]
        self._next = 0

    def pick(self) -> Pool:
        """The endpoint whose turn it is, for traffic."""
        pools = self._pools
        return pools[0] if len(pools) == 1 else self._turn(pools)

    def pick_for_shadow(self) -> Pool:
        """The endpoint whose turn it is, for a shadow."""
        pools = self._shadow_pools
        return pools[0] if len(pools) == 1 else self._turn(pools)

    def _turn(self, pools: list[Pool]) -> Pool:
        self._next = (self._next + 1) % len(pools)
        return pools[self._next]


class Runtime:
    """Everything that a request reads; immutable but for the turn of endpoints."""

    def __init__(self, snapshot: Snapshot, pools: Pools, instance: str) -> None:
        settings = snapshot.settings
        self.snapshot = snapshot
        self.generation = snapshot.generation
        self.upstreams = {name: UpstreamRuntime(name, up, pools) for name, up in settings.upstreams.items()}
        self.legacy = self.upstreams[settings.legacy]
        legacy = self.legacy.timeouts
        self.legacy_seconds = legacy.connect + legacy.first_byte
        """What a fallback needs of a request's deadline."""
        self.limits = settings.limits
        self.clocks = settings.client_timeouts
        self.expose = settings.expose
        self.shadow_memory = settings.shadow_memory
        self.instance = instance.encode()
        self.via = b"Via: 1.1 " + self.instance + b"\r\n"
        self._trusted = [ipaddress.ip_network(cidr) for cidr in settings.trusted_proxies]
        self.trusts_any = bool(self._trusted)
        pools.keep_only({url for up in settings.upstreams.values() for url in (e.url for e in up.endpoints)})

    def trusts(self, peer: str) -> bool:
        """True if what ``peer`` says about its client is believed."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)
