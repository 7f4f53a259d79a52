"""The endpoints of all upstreams: configuration, discovery and health checks joined into what the workers are told.

Law: the message is the whole state, made anew each time from what is known, so losing one of two in a row loses
nothing. An upstream stands in it if it has discovery or health checks; the endpoints of the others are in the
configuration that the workers have anyway. What discovery said last holds, however long its source is lost. Before the
first answer the configured ``endpoints`` hold; without them, what was used before the reload that changed the source.

A reload touches what it changes: an upstream whose ``discovery`` is as before keeps its watcher with the last good
answer, one whose ``health`` is as before keeps its checks. It has two halves, so that no worker is ever without the
endpoints of the configuration that it applies: :meth:`Roster.prepare` tells the workers of the new upstreams beside the
old ones, then they get the configuration, and :meth:`Roster.prune` forgets what it does not name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from proxy.config.upstreams import Upstream
from proxy.control.discovery.kinds import source_of
from proxy.control.discovery.watcher import Watcher
from proxy.control.health import Checker, Prober
from proxy.control.names import Names
from proxy.messages import Endpoints, EndpointWord

GATHER_SECONDS = 0.05
"""Changes of one moment (a rollout, a zone of several names) become one message."""
FIRST_ANSWER_SECONDS = 3.0
"""How long a start or a reload waits for upstreams that have no endpoint before their source's first answer."""


class UpstreamEndpoints:
    """One upstream: what is configured, and what is known of it."""

    def __init__(self, config: Upstream) -> None:
        self.config = config
        self.watcher: Watcher | None = None
        """None: it is not discovered."""
        self.checker: Checker | None = None
        """None: it is not checked."""
        self.former: dict[str, int] = {}
        """What was used before a reload changed where endpoints are found."""

    @property
    def origin(self) -> str:
        """Where the endpoints that are used now come from: ``discovery``, ``configuration`` or ``former``."""
        if self.watcher is not None and self.watcher.answer is not None:
            return "discovery"
        return "former" if self.former and not self.config.endpoints else "configuration"

    @property
    def weights(self) -> dict[str, int]:
        """Weight by URL of the endpoints that are used now."""
        if self.watcher is not None and self.watcher.answer is not None:
            return self.watcher.answer
        if self.origin == "former":
            return self.former
        weights: dict[str, int] = {}
        for endpoint in self.config.endpoints:
            weights[endpoint.url] = weights.get(endpoint.url, 0) + endpoint.weight
        return weights

    def words(self) -> list[EndpointWord]:
        """The same for the workers."""
        checker = self.checker
        return [
            EndpointWord(url, weight, checker is None or checker.healthy(url)) for url, weight in self.weights.items()
        ]


class Roster:
    """All upstreams of the configuration that serves. ``publish`` is given each message for the workers."""

    def __init__(self, publish: Callable[[Endpoints], None]) -> None:
        self.upstreams: dict[str, UpstreamEndpoints] = {}
        self._publish = publish
        self._published: Endpoints | None = None
        self._names = Names()
        self._prober = Prober(self._names)
        self._waiting: asyncio.TimerHandle | None = None
        self._preparing = False

    async def prepare(self, configured: Mapping[str, Upstream]) -> None:
        """Begin what this configuration adds or changes, and tell the workers; end nothing yet.

        Waits for the first answer of each new source whose upstream has no endpoint without it, at the latest
        FIRST_ANSWER_SECONDS; one that was silent before is not waited for again.
        """
        self._preparing = True
        before = {each.watcher for each in self.upstreams.values()}
        for name, config in configured.items():
            self._follow(name, config)
        unknown = [
            each.watcher
            for each in self.upstreams.values()
            if each.watcher is not None and each.watcher not in before and not each.weights
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                for watcher in unknown:
                    await watcher.first.wait()
        self.publish()

    def prune(self, configured: Mapping[str, Upstream]) -> None:
        """The workers have the configuration: end what it does not name."""
        self._preparing = False
        for name in self.upstreams.keys() - configured.keys():
            self._end(self.upstreams.pop(name))
        self.publish()

    def _follow(self, name: str, config: Upstream) -> None:
        known = self.upstreams.get(name)
        before = known.config if known is not None else None
        if known is None:
            known = self.upstreams[name] = UpstreamEndpoints(config)
        if before is None or before.discovery != config.discovery:
            known.former = known.weights if before is not None else {}
            if known.watcher is not None:
                known.watcher.stop()
                known.watcher = None
            if config.discovery is not None:
                label, source = source_of(config.discovery, self._names)
                known.watcher = Watcher(name, label, source, lambda: self._changed(known))
        known.config = config
        former = known.checker
        if former is not None and former.config != config.health:
            former.stop()
            known.checker = None
        if known.checker is None and config.health is not None:
            known.checker = Checker(name, config.health, self._prober, self._soon)
        if known.checker is not None:
            known.checker.follow(known.weights, former)

    def _changed(self, known: UpstreamEndpoints) -> None:
        if known.checker is not None:
            known.checker.follow(known.weights)
        self._soon()

    def message(self) -> Endpoints:
        """The whole state, for the workers."""
        known = self._published.upstreams if self._preparing and self._published is not None else {}
        return Endpoints(
            {
                name: each.words()
                for name, each in self.upstreams.items()
                if each.watcher is not None or each.checker is not None or name in known
            }
        )

    def publish(self) -> None:
        """Tell the workers how things stand, unless they know; nothing is said while there never was a thing to say."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        message = self.message()
        if message != self._published and (message.upstreams or self._published is not None):
            self._published = message
            self._publish(message)

    def _soon(self) -> None:
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.publish)

    @staticmethod
    def _end(known: UpstreamEndpoints) -> None:
        if known.watcher is not None:
            known.watcher.stop()
        if known.checker is not None:
            known.checker.stop()

    async def close(self) -> None:
        """Watch and check no more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        for known in self.upstreams.values():
            self._end(known)
        self.upstreams.clear()
        await self._prober.close()
