"""The endpoints of one upstream as one worker sees them: who is fit, who is used, who is next.

Law: what traffic and health checks have shown of an endpoint outlives reloads, as long as its URL stays. Who is used is
worked out when something changes, not per request. An endpoint is *fit* if the active checks find it healthy and it is
not ejected. It is *draining* from when it left the list until its last request is done. One of weight 0 gets nothing,
and counts for no share.

    healthy ──── ``consecutive_failures`` in a row ───▶ ejected ──── ``ejection``, longer each time ──▶ back, slowly

Ejection is Envoy's outlier detection by consecutive failures, the panic rule its panic threshold. Legacy is the last
resort: its set is made with ``ejects=False``.
"""

from __future__ import annotations

from math import ceil, inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import mmh3

from proxy.core.balance import Balance
from proxy.messages import EndpointFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, KeysView

    from proxy.config.upstreams import Upstream
    from proxy.messages import EndpointWord

FULL: Final = 1000
"""An endpoint's share is its weight times this: thousandths, so that shares stay whole numbers."""
SLOW_START_FIRST: Final = 100
"""Of FULL, at the moment an endpoint comes back: Envoy's least share too, enough for a cache to fill."""
_ROUNDING: Final = 1e-9
"""Shares like 7 % are not exact: a hundred times 0.07 is a little more than 7."""


class EndpointState:
    """One endpoint. The caller counts ``in_flight`` up and down; everything else is its set's.

    Times are monotonic seconds. ``share``, ``lead`` and ``seed`` are for ``proxy.core.balance``.
    """

    __slots__ = (
        "back_since",
        "consecutive_failures",
        "draining",
        "ejected_until",
        "ejections",
        "ejections_in_a_row",
        "good_since",
        "healthy",
        "in_flight",
        "lead",
        "requests",
        "seed",
        "share",
        "url",
        "weight",
    )

    def __init__(self, url: str, weight: int, *, healthy: bool) -> None:
        self.url = url
        self.weight = weight
        self.healthy = healthy
        self.draining = False
        self.in_flight = 0
        self.requests = 0  # how often it was picked
        self.consecutive_failures = 0
        self.ejected_until = 0.0  # 0: it is not ejected
        self.ejections_in_a_row = 0
        self.ejections = 0
        self.good_since = 0.0  # the end of its last ejection
        self.back_since = -inf  # its slow start; long ago, if it never was away
        self.share = weight * FULL
        self.lead = 0
        self.seed = int(mmh3.hash(url, signed=False))

    def __repr__(self) -> str:
        return f"<{self.url} {self.state}>"

    @property
    def state(self) -> str:
        """As EndpointFigures name it."""
        if self.draining:
            return "draining"
        if self.ejected_until:
            return "ejected"
        return "fit" if self.healthy else "unhealthy"


class EndpointSet:
    """The endpoints of one upstream. It is empty until the first :meth:`update`.

    ``panic``: the unfit are used too. ``nobody``: no endpoint is used.
    """

    __slots__ = (
        "_allowed",
        "_balance",
        "_due",
        "_ejected",
        "_ejects",
        "_only",
        "_settings",
        "_starting",
        "_states",
        "nobody",
        "panic",
    )

    def __init__(self, settings: Upstream, now: float, *, ejects: bool = True) -> None:
        self._settings = settings
        self._ejects = ejects
        self._states: dict[str, EndpointState] = {}
        self._balance = Balance(settings.balance)
        self._only: EndpointState | None = None  # the one in service, if it is one
        self._due = inf  # when the next ejection ends
        self._starting = False  # somebody in service starts slowly
        self._ejected = 0
        self._allowed = 0
        self.panic = False
        self.nobody = True
        self._work_out(now)

    @property
    def urls(self) -> KeysView[str]:
        """All that are known, the draining ones too."""
        return self._states.keys()

    @property
    def ejects(self) -> bool:
        """Whether endpoints are ejected at all; set to False, it brings the ejected ones back with the next tick."""
        return self._ejects

    @ejects.setter
    def ejects(self, value: bool) -> None:
        if value != self._ejects:
            self._ejects = value
            self._due = -inf

    def configure(self, settings: Upstream, now: float) -> None:
        """A reload. The list of endpoints is :meth:`update`'s matter, whoever made it."""
        self._settings = settings
        self._balance.strategy = settings.balance
        self._work_out(now)

    def update(self, words: Iterable[EndpointWord], now: float) -> None:
        """The list is this now. A URL that stands twice counts with both weights."""
        listed: dict[str, EndpointWord] = {}
        weights: dict[str, int] = {}
        for word in words:
            listed[word.url] = word
            weights[word.url] = weights.get(word.url, 0) + word.weight
        # Where all begin together nobody is slowed down: there is nobody to take the rest.
        begins = all(state.draining for state in self._states.values())
        back_since = -inf if begins else now
        for url, word in listed.items():
            state = self._states.get(url)
            if state is None:
                state = self._states[url] = EndpointState(url, weights[url], healthy=word.healthy)
                state.back_since = back_since
            elif state.draining or (word.healthy and not state.healthy):
                state.consecutive_failures = 0
                state.back_since = back_since
            state.draining = False
            state.healthy = word.healthy
            state.weight = weights[url]
        for url, state in self._states.items():
            state.draining = url not in listed
        self._work_out(now)

    def pick(
        self, now: float, chance: Callable[[], float], *, key: str | None = None, avoid: EndpointState | None = None
    ) -> EndpointState | None:
        """The endpoint for the next request. ``chance`` yields a number in [0, 1).

        ``key`` is the identity for ``balance: hash``; None: in turn. ``avoid`` is the one that just failed; it is
        taken only if no other is in service. None: there is no endpoint (of a weight above 0), or none is fit and the
        configuration forbids panic.
        """
        if now >= self._due:
            self._work_out(now)
        endpoint = self._only or self._balance.pick(chance, key, avoid)
        if endpoint is not None:
            endpoint.requests += 1
        return endpoint

    def succeeded(self, endpoint: EndpointState) -> None:
        """A request to it ended well."""
        endpoint.consecutive_failures = 0

    def failed(self, endpoint: EndpointState, now: float) -> bool:
        """A request to it failed by the upstream's fault. True: this ejected it."""
        endpoint.consecutive_failures += 1
        outliers = self._settings.outliers
        if endpoint.consecutive_failures < outliers.consecutive_failures or self._ejected >= self._allowed:
            return False
        if endpoint.ejected_until or endpoint.draining or not endpoint.weight:
            return False
        row = endpoint.ejections_in_a_row
        if row:
            row = max(0, row - int((now - endpoint.good_since) / outliers.ejection))
        # Not above what makes a difference, or a long outage would take as long to be forgiven.
        row = min(row + 1, ceil(outliers.max_ejection / outliers.ejection))
        endpoint.ejections_in_a_row = row
        endpoint.ejected_until = now + min(row * outliers.ejection, outliers.max_ejection)
        endpoint.ejections += 1
        self._work_out(now)
        return True

    def tick(self, now: float) -> None:
        """Time has passed, about 100 ms: end ejections, forget who is drained, give more to who starts slowly."""
        for url in [url for url, state in self._states.items() if state.draining and not state.in_flight]:
            del self._states[url]
        if self._starting or now >= self._due:
            self._work_out(now)

    def figures(self) -> dict[str, EndpointFigures]:
        """As the supervisor is told, by URL."""
        return {
            url: EndpointFigures(state.in_flight, state.weight, state.state, state.ejections)
            for url, state in self._states.items()
        }

    def _work_out(self, now: float) -> None:
        """Who is in service, and with which share."""
        settings = self._settings
        listed = []
        for state in self._states.values():
            if state.ejected_until and now >= state.ejected_until:
                _bring_back(state, now)
            if state.weight and not state.draining:
                listed.append(state)
        count = len(listed)
        may_eject = self._ejects and count > 1 and settings.outliers.consecutive_failures > 0
        self._allowed = int(settings.outliers.max_ejected * count + _ROUNDING) if may_eject else 0
        ejected = sorted((state for state in listed if state.ejected_until), key=attrgetter("ejected_until"))
        while len(ejected) > self._allowed:  # the list or the share became smaller
            _bring_back(ejected.pop(0), now)
        self._ejected = len(ejected)
        self._due = min((state.ejected_until for state in self._states.values() if state.ejected_until), default=inf)

        fit = [state for state in listed if state.healthy and not state.ejected_until]
        # Legacy has no one behind it, so it is asked even where the configuration forbids panic.
        self.panic = len(fit) < settings.panic * count - _ROUNDING or (not self._ejects and not fit and count > 0)
        used = listed if self.panic else fit
        self.nobody = not used
        self._starting = False
        for state in used:
            fraction = _fraction(now - state.back_since, settings.slow_start)
            state.share = state.weight * fraction
            self._starting |= fraction < FULL
        self._balance.fill(used)
        self._only = used[0] if len(used) == 1 else None


def _bring_back(state: EndpointState, now: float) -> None:
    state.ejected_until = 0.0
    state.consecutive_failures = 0
    state.good_since = now
    state.back_since = now


def _fraction(age: float, slow_start: float) -> int:
    """Of FULL, ``age`` seconds after an endpoint came back."""
    if age >= slow_start:
        return FULL
    return SLOW_START_FIRST + int((FULL - SLOW_START_FIRST) * max(age, 0.0) / slow_start)
