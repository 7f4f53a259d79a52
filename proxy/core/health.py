"""When the results of active checks change what is thought of an endpoint.

Law: only a run of equal results changes the state. ``unhealthy_after`` bad ones in a row make a healthy endpoint
unhealthy, ``healthy_after`` good ones in a row make it healthy again, and a result that agrees with the state begins
the count anew. A new endpoint is healthy: an address that nobody has checked yet is tried rather than left out.

The same rule as HAProxy's ``fall`` and ``rise``.
"""

from __future__ import annotations


class HealthState:
    """One endpoint as its checks show it."""

    __slots__ = ("contrary", "healthy")

    def __init__(self, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self.contrary = 0
        """Results in a row, the last ones, that speak against ``healthy``."""

    def note(self, *, good: bool, unhealthy_after: int, healthy_after: int) -> bool:
        """Take the result of one check; both thresholds are at least 1. True: ``healthy`` has changed by it."""
        if good is self.healthy:
            self.contrary = 0
            return False
        self.contrary += 1
        if self.contrary < (healthy_after if good else unhealthy_after):
            return False
        self.healthy = good
        self.contrary = 0
        return True
