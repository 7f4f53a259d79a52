"""What reading two bodies may cost.

Law: a reader that spends as it goes ends within the budget, however the body is made; nodes are counted for each body,
time for both together.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.compare.result import Budget, Incomparable

_CHECK_EVERY = 500
"""Nodes between two looks at the clock: some milliseconds."""


class Meter:
    """Counts the nodes of a body, and looks at the clock now and then. ``clock`` gives seconds."""

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        self.depth = budget.depth
        self._budget = budget
        self._clock = clock
        self._deadline = clock() + budget.reading
        self._left = self._next = 0
        self.begin()

    def begin(self) -> Meter:
        """Another body begins."""
        self._left = self._budget.nodes
        self._next = self._left - _CHECK_EVERY
        return self

    def spend(self, nodes: int = 1) -> None:
        """Count ``nodes``. Raises Incomparable ("too-many-nodes", "budget")."""
        self._left -= nodes
        if self._left < self._next:
            self._next = self._left - _CHECK_EVERY
            if self._left < 0:
                raise Incomparable("too-many-nodes")
            self.tick()

    def tick(self) -> None:
        """Look at the clock. Raises Incomparable ("budget")."""
        if self._clock() > self._deadline:
            raise Incomparable("budget")
