"""Faults of settings that are each right and together nonsense.

Law: a fault is what cannot work as it is written: a first value above its own cap, a rule that can never hold, two
words that contradict each other. Where only a default stands in the way of what is written, that is a fault only if the
default would be obeyed without a word. What works, but badly, is a warning of ``banyan resilience`` (see
``proxy.core.profile``), for the file must still load.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from proxy.config.model import Settings
from proxy.config.positions import Loc, Node, locate
from proxy.config.upstreams import Breaker, Bulkhead, Health, Retries, Upstream
from proxy.config.values import spelled
from proxy.errors import Fault


def contradictions(settings: Settings, root: Node) -> Iterator[Fault]:
    """All such faults. ``root`` is the merged document that the settings were made of."""
    for name, upstream in settings.upstreams.items():
        at = _Group(upstream, ("upstreams", name), root)
        yield from _endpoints(at, upstream, settings)
        if upstream.retries is not None:
            yield from _retries(at.group("retries", upstream.retries), upstream.retries)
        if upstream.breaker is not None:
            yield from _breaker(at.group("breaker", upstream.breaker), upstream.breaker)
        yield from _bulkhead(at.group("bulkhead", upstream.bulkhead), upstream.bulkhead)
        if upstream.adaptive_concurrency is not None:
            yield from at.group("adaptive_concurrency", upstream.adaptive_concurrency).cap("min", "max")
        yield from at.group("outliers", upstream.outliers).cap("ejection", "max_ejection")
        if upstream.health is not None:
            yield from _health(at.group("health", upstream.health), upstream.health)
    overload = _Group(settings.overload, ("overload",), root)
    if settings.overload.refuse_lag and overload.written("shadow_lag") and overload.written("refuse_lag"):
        yield from overload.cap("shadow_lag", "refuse_lag", "shadows are given up before new connections are refused")


class _Group:
    """One mapping of the files and what became of it."""

    def __init__(self, model: BaseModel, loc: Loc, root: Node) -> None:
        self.model = model
        self.loc = loc
        self.root = root

    def group(self, key: str, model: BaseModel) -> _Group:
        return _Group(model, (*self.loc, key), self.root)

    def written(self, *keys: str) -> bool:
        return self.model.model_fields_set.issuperset(keys)

    def sound(self, *keys: str) -> bool:
        """Whether what is in the files at these keys is what the model has: a faulty value was left out of it."""
        node = locate(self.root, self.loc)
        return all(key in self.model.model_fields_set or key not in node.entries for key in keys)

    def fault(self, keys: tuple[str, ...], what: str, hint: str) -> Iterator[Fault]:
        """A fault at the first of the keys that is written, if all of them are sound."""
        if self.sound(*keys):
            key = next((key for key in keys if self.written(key)), keys[0])
            yield locate(self.root, (*self.loc, key)).fault(f"{'.'.join(map(str, self.loc))}: {what}", hint)

    def cap(self, first: str, longest: str, hint: str = "") -> Iterator[Fault]:
        """``first`` may not be above ``longest``."""
        low, high = getattr(self.model, first), getattr(self.model, longest)
        if low > high:
            default = "" if self.written(longest) else ", the default"
            what = f"{first} {self._shown(low)} is more than {longest} {self._shown(high)}{default}"
            yield from self.fault((first, longest), what, hint or f"raise {longest}, or lower {first}")

    @staticmethod
    def _shown(value: float) -> str:
        return spelled(value, "250ms") if isinstance(value, float) else str(value)


def _endpoints(at: _Group, upstream: Upstream, settings: Settings) -> Iterator[Fault]:
    if upstream.endpoints and not any(endpoint.weight for endpoint in upstream.endpoints):
        yield from at.fault(("endpoints",), "every endpoint has the weight 0", "then none is ever asked; raise one")
    if upstream.balance == "hash" and not settings.identity and "identity" not in at.root.entries:
        yield from at.fault(("balance",), "hash needs an identity, and there is no `identity`", "write who is asking")


def _retries(at: _Group, retries: Retries) -> Iterator[Fault]:
    yield from at.cap("backoff", "max_backoff")
    if not retries.attempts:
        return
    cure = "write attempts: 0 for no retries"
    if not retries.on:
        yield from at.fault(("on", "attempts"), "there is nothing in `on`, so nothing is ever tried again", cure)
    if not retries.budget and not retries.budget_min:
        what = "a budget of 0% with a budget_min of 0 allows no retry"
        yield from at.fault(("budget", "budget_min", "attempts"), what, cure)


def _breaker(at: _Group, breaker: Breaker) -> Iterator[Fault]:
    yield from at.cap("open", "max_open")
    if breaker.mode != "off" and not breaker.consecutive_failures and not breaker.error_share:
        what = "with consecutive_failures 0 and error_share 0% it can never open"
        yield from at.fault(("consecutive_failures", "error_share", "mode"), what, "write mode: off for no breaker")


def _bulkhead(at: _Group, bulkhead: Bulkhead) -> Iterator[Fault]:
    if at.written("queue", "queue_timeout") and bulkhead.queue and not bulkhead.queue_timeout:
        what = f"{bulkhead.queue} requests may wait, but with queue_timeout 0s nobody waits"
        yield from at.fault(("queue_timeout", "queue"), what, "set a time to wait, or queue: 0")


def _health(at: _Group, health: Health) -> Iterator[Fault]:
    if at.written("interval", "timeout") and health.timeout > health.interval:
        yield from at.cap("timeout", "interval")
