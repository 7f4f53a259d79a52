"""The bulkhead: how many requests of one upstream may be under way at once, and who waits for a place.

Law: a place that :meth:`Bulkhead.enter` or a granted :class:`Waiter` holds is given back exactly once. Places go by
order of arrival: while somebody waits there is no free place, for whoever leaves hands it over to the first that waits,
and nobody who comes meanwhile overtakes. Pure: waiting itself is the caller's, who is told by ``wake``.

Sources: Nygard, "Release It!" (the pattern); the queue is short because a long one only makes everybody late (Envoy's
circuit breakers, HAProxy's ``maxqueue``).
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.upstreams import Bulkhead as Settings

_UNBOUNDED: Final = sys.maxsize


class Waiter:
    """One who waits. ``granted``: the place is its own now, and to be left like any other."""

    __slots__ = ("granted", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.granted = False


class Bulkhead:
    """The places of one upstream in this worker.

    ``in_flight`` are taken, ``limit`` is how many there are (0: no bound), ``overflows`` counts who found neither a
    place nor room to wait; who stops waiting because it took too long is counted there by its owner.
    """

    __slots__ = ("_adapted", "_bound", "_most", "_room", "_waiting", "in_flight", "overflows")

    def __init__(self, settings: Settings) -> None:
        self.in_flight = 0
        self.overflows = 0
        self._adapted = 0  # the adaptive limit; 0: there is none
        self._waiting: deque[Waiter] = deque()  # in order of arrival; never more than _room when somebody is added
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """A reload. Who is under way stays so, even above a lower limit, and who waits goes on waiting."""
        self._most = settings.max_concurrent
        self._room = settings.queue if settings.queue_timeout > 0 else 0
        self._set_bound()

    def adapt(self, limit: int) -> None:
        """The adaptive limit is this now; 0: there is none."""
        if limit != self._adapted:
            self._adapted = limit
            self._set_bound()

    def _set_bound(self) -> None:
        self._bound = min(self._most or _UNBOUNDED, self._adapted or _UNBOUNDED)
        while self._waiting and self.in_flight < self._bound:
            self.in_flight += 1
            self._hand_over()

    @property
    def limit(self) -> int:
        """``max_concurrent`` or the adaptive limit, whichever is smaller; 0: no bound."""
        return 0 if self._bound == _UNBOUNDED else self._bound

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a place, to be left exactly once; False if there is none."""
        taken = self.in_flight
        if taken < self._bound:
            self.in_flight = taken + 1
            return True
        return False

    def leave(self) -> None:
        """Give a place back, or hand it over to the first that waits. Raises RuntimeError if none was taken."""
        taken = self.in_flight
        if taken <= 0:
            raise RuntimeError("a place in the bulkhead was left twice")
        if self._waiting and taken <= self._bound:
            self._hand_over()
        else:
            self.in_flight = taken - 1

    def _hand_over(self) -> None:
        """Everything is in order before ``wake``, which may come back here at once."""
        waiter = self._waiting.popleft()
        waiter.granted = True
        waiter.wake()

    def may_queue(self) -> bool:
        """True if there is room for one more to wait."""
        return len(self._waiting) < self._room

    def wait(self, wake: Callable[[], object]) -> Waiter | None:
        """Wait for a place, after :meth:`enter` found none; ``wake`` is called once when it is there.

        None if there is no room to wait: that is an overflow, and counted. A waiter ends in one of two ways: it is
        granted, and leaves; or it gives up.
        """
        if not self.may_queue():
            self.overflows += 1
            return None
        waiter = Waiter(wake)
        self._waiting.append(waiter)
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """A waiter wants no place any more, once. If it was granted one meanwhile, that is left."""
        if waiter.granted:
            self.leave()
        else:
            self._waiting.remove(waiter)  # near the front, for all wait equally long
