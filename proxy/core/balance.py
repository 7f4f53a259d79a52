"""Which of several endpoints takes the next request.

Law: whoever is listed here may be chosen; who is listed is decided in ``proxy.core.endpoints``. An endpoint's ``share``
is its weight in thousandths, smaller while it starts slowly. Endpoints of equal shares, the common case, are chosen
without looking at all of them, unless a key has to be hashed.

In turn (round-robin): equal shares go round; unequal ones by the smooth weighted round robin that nginx uses: each
endpoint gains its share, the one furthest ahead is chosen and pays the sum of all. Over so many picks as the weights
sum up to, each endpoint is chosen exactly as often as its weight says, and never more than one pick too early.

The less busy (least-request): two by chance, in proportion to their shares; of them the one with fewer requests under
way per share (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

By key (hash): each endpoint draws a number u in (0, 1) from the key, and the highest of -share / ln(u) wins (weighted
rendezvous hashing; C. Schindelhauer and G. Schomaker, "Weighted distributed hash tables", 2005). A key moves only if
its endpoint leaves, or if one that joins or grows draws higher.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import log
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal

import mmh3

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.endpoints import EndpointState

Strategy = Literal["round-robin", "least-request", "hash"]

_lead = attrgetter("lead")
_HASHES: Final = 2.0**32


class Balance:
    """The endpoints in service, and whose turn it is. ``strategy`` may be changed at any time."""

    __slots__ = ("_cursor", "_endpoints", "_ends", "_equal", "strategy")

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self._endpoints: list[EndpointState] = []
        self._ends: list[int] = []
        self._equal = True
        self._cursor = -1

    def fill(self, endpoints: list[EndpointState]) -> None:
        """From now on choose among these, by the ``share`` they have now (each above 0)."""
        shares = [endpoint.share for endpoint in endpoints]
        equal = not shares or min(shares) == max(shares)
        # A lead is owed by the others in the list, so it ends with the list; a change of shares alone keeps it, or
        # a small share that grows with every tick would never get its turn.
        if self._equal or equal or endpoints != self._endpoints:
            for endpoint in endpoints:
                endpoint.lead = 0
        self._endpoints = endpoints
        self._ends = list(accumulate(shares))
        self._equal = equal

    def pick(self, chance: Callable[[], float], key: str | None, avoid: EndpointState | None) -> EndpointState | None:
        """The next one; None if there is none. ``avoid`` is taken only if it is the only one."""
        endpoints = self._endpoints
        count = len(endpoints)
        if count < 2:
            return endpoints[0] if endpoints else None
        if avoid is not None:
            if avoid not in endpoints:
                avoid = None
            elif count == 2:
                return endpoints[endpoints[0] is avoid]
        strategy = self.strategy
        if strategy == "least-request":
            return self._less_busy(chance, avoid)
        if strategy == "hash" and key is not None:
            return self._by_key(key, avoid)
        if not self._equal:
            return self._by_share(avoid)
        cursor = self._cursor + 1
        if cursor >= count:
            cursor = 0
        if endpoints[cursor] is avoid:
            cursor = cursor + 1 if cursor + 1 < count else 0
        self._cursor = cursor
        return endpoints[cursor]

    def _by_share(self, avoid: EndpointState | None) -> EndpointState:
        endpoints, total = self._endpoints, self._ends[-1]
        if avoid is not None:
            endpoints = [endpoint for endpoint in endpoints if endpoint is not avoid]
            total -= avoid.share
        for endpoint in endpoints:
            endpoint.lead += endpoint.share
        first = max(endpoints, key=_lead)
        first.lead -= total
        return first

    def _less_busy(self, chance: Callable[[], float], avoid: EndpointState | None) -> EndpointState:
        endpoints, ends = self._endpoints, self._ends
        if avoid is not None:
            endpoints = [endpoint for endpoint in endpoints if endpoint is not avoid]
            ends = list(accumulate(endpoint.share for endpoint in endpoints))
        count = len(endpoints)
        if self._equal:  # one throw for both: count * (count - 1) ordered pairs
            first, second = divmod(int(chance() * (count * (count - 1))), count - 1)
            if second >= first:
                second += 1
        else:
            first = bisect_right(ends, int(chance() * ends[-1]))
            share = endpoints[first].share
            thrown = int(chance() * (ends[-1] - share))  # on a line that leaves the first one out
            if thrown >= ends[first] - share:
                thrown += share
            second = bisect_right(ends, thrown)
        one, two = endpoints[first], endpoints[second]
        return two if two.in_flight * one.share < one.in_flight * two.share else one

    def _by_key(self, key: str, avoid: EndpointState | None) -> EndpointState:
        draw = mmh3.hash
        best, highest = None, -1.0
        equal = self._equal
        for endpoint in self._endpoints:
            if endpoint is avoid:
                continue
            score = float(draw(key, endpoint.seed, False))
            if not equal:  # equal shares do not change which is the highest
                score = -endpoint.share / log((score + 0.5) / _HASHES)
            if score > highest:
                best, highest = endpoint, score
        return best or self._endpoints[0]
