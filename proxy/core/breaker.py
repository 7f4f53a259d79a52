"""The breaker: when to stop asking an upstream for a route, and when to try it again.

Law: whoever passes holds a permit and settles it exactly once; a permit that the present state did not give out says
nothing about it. Time and chance are arguments, and the only way from one state to another is a row of TRANSITIONS.

========= ============ ========= =================================================================
in        on           goes to   that is
========= ============ ========= =================================================================
closed    TRIPPED      open      too many failures in a row, or too large a share of them
open      WAITED       half-open its time is over, and somebody asks
half-open PROBE_FAILED open      one probe failed; the next time is twice as long
half-open PROVEN       closed    as many probes as asked for have succeeded
open      TURNED_OFF   closed    a reload said ``mode: off``
half-open TURNED_OFF   closed    the same
========= ============ ========= =================================================================

Sources: Nygard, "Release It!" (the pattern); Envoy and resilience4j (share over a window with a minimum of requests,
a bounded wait in half-open, growing open times); "observe" is Skipper's log-only mode.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.upstreams import Breaker as Settings

State = Literal["closed", "open", "half-open"]

REFUSED: Final = 0
"""What :meth:`Breaker.admit` gives instead of a permit. Settling it does nothing."""

_UNJUDGED: Final = 1
"""The permit of a request that passes although it was not asked for (``observe``) or is not counted (``off``)."""

SLICES: Final = 10
"""A window is forgotten in so many pieces, so it covers between 90 % and 100 % of ``window``; to be exact would mean to
keep every request."""

JITTER: Final = 0.2
"""The open time varies by this share, up or down, so that the breakers of many workers do not probe at one moment."""

MAX_DOUBLINGS: Final = 30
"""Above it an open time grows no more, whatever ``max_open`` is: 1 ms has become 12 days by then."""

MAX_CHANGES: Final = 16
"""Changes kept until somebody takes them. The oldest are forgotten first; ``opened`` counts them all the same."""

_NEVER: Final = float("inf")


class Event(enum.Enum):
    """What can move a breaker."""

    TRIPPED = "tripped"
    WAITED = "waited"
    PROBE_FAILED = "probe-failed"
    PROVEN = "proven"
    TURNED_OFF = "turned-off"


TRANSITIONS: dict[tuple[State, Event], State] = {
    ("closed", Event.TRIPPED): "open",
    ("open", Event.WAITED): "half-open",
    ("half-open", Event.PROBE_FAILED): "open",
    ("half-open", Event.PROVEN): "closed",
    ("open", Event.TURNED_OFF): "closed",
    ("half-open", Event.TURNED_OFF): "closed",
}


class Change(NamedTuple):
    """One change of state, for people: events and log lines are made of it."""

    before: State
    after: State
    why: str  # in words


class Breaker:
    """One for each route, upstream and purpose.

    ``state`` is the present state; an open breaker whose time is over is still ``open`` until somebody asks. ``mode``
    is the settings'. ``opened`` counts how often it opened, ``refused`` the requests that it did not let pass or, in
    mode ``observe``, would not have let pass. ``changes`` are the last changes of state, at most MAX_CHANGES.
    """

    __slots__ = (
        "_consecutive",
        "_doublings",
        "_failed",
        "_in_a_row",
        "_pass",
        "_past",
        "_past_failed",
        "_past_total",
        "_probes",
        "_proven",
        "_serial",
        "_settings",
        "_share",
        "_slice_ends",
        "_slice_seconds",
        "_total",
        "_until",
        "changes",
        "mode",
        "opened",
        "refused",
        "state",
    )

    def __init__(self, settings: Settings) -> None:
        self.state: State = "closed"
        self.opened = 0
        self.refused = 0
        self.changes: list[Change] = []
        self._serial = _UNJUDGED  # the last permit that was given a number of its own
        self._pass = 0  # the permit that everybody gets now; 0: each is looked at
        self._probes: set[int] = set()  # permits of probes under way
        self._proven = 0  # probes that have succeeded
        self._doublings = 0  # openings in a row without having closed in between, but the first
        self._until = 0.0  # open: when it may be tried again; half-open: when its probes are given up
        self._past: deque[tuple[int, int]] = deque(maxlen=SLICES - 1)  # (total, failed) of the whole slices
        self._slice_ends = -_NEVER  # and of the slice that goes on until then:
        self._total = self._failed = 0
        self._past_total = self._past_failed = 0  # the sums of the whole slices
        self._consecutive = 0  # failures in a row
        self._take(settings)
        self._admit_everybody()

    def configure(self, settings: Settings) -> None:
        """A reload: the state stays and so does an open time that has begun; what comes next follows ``settings``.

        A new ``window`` begins empty. ``mode: off`` closes it.
        """
        before, was_off = self._settings, self.mode == "off"
        if settings == before:
            return
        self._take(settings)
        if self.mode == "off" and self.state != "closed":
            self._change(Event.TURNED_OFF, "it was turned off")
        elif self.state == "half-open" and self._proven >= settings.probes:
            self._change(Event.PROVEN, f"{self._proven} probes succeeded, and no more are asked for now")
        elif self.state == "closed":
            if was_off or settings.window != before.window:
                self._forget()
            self._admit_everybody()

    def _take(self, settings: Settings) -> None:
        self._settings = settings
        self.mode = settings.mode
        off = settings.mode == "off"
        self._in_a_row: float = _NEVER if off else settings.consecutive_failures or _NEVER
        self._share = _NEVER if off else settings.error_share or _NEVER
        self._slice_seconds = settings.window / SLICES

    # -- asking -------------------------------------------------------------------------------------------------------

    def admit(self, now: float, chance: Callable[[], float]) -> int:  # noqa: ARG002 - the same shape as settle
        """A permit for one request, to be settled exactly once; REFUSED if it may not pass.

        ``now`` is monotonic seconds, ``chance`` gives numbers from [0, 1). A probe that gives no sign for ``max_open``
        is given up: it may be a stream of hours, and would keep everybody else out.
        """
        return self._pass or self._ask(now)

    def _ask(self, now: float) -> int:
        if now >= self._until:
            if self.state == "open":
                self._change(Event.WAITED, "its time is over")
            else:
                self._probes.clear()
        if self.state == "half-open" and self._proven + len(self._probes) < self._settings.probes:
            self._serial += 1
            self._probes.add(self._serial)
            self._until = now + self._settings.max_open
            return self._serial
        self.refused += 1
        return _UNJUDGED if self.mode == "observe" else REFUSED

    # -- settling -----------------------------------------------------------------------------------------------------

    def settle(self, permit: int, ok: bool | None, now: float, chance: Callable[[], float]) -> None:
        """The request with this permit succeeded (True), failed (False), or says nothing of the upstream (None).

        A permit of a state that is over changes nothing, nor does a probe's that was settled before or given up.
        """
        if ok and permit == self._pass and now < self._slice_ends:
            self._consecutive = 0
            self._total += 1
        elif permit in self._probes:
            self._probes.remove(permit)
            if ok is not None:
                self._judge_probe(ok, now, chance)
        elif permit and permit == self._pass and ok is not None:
            self._count(ok, now, chance)

    def _judge_probe(self, ok: bool, now: float, chance: Callable[[], float]) -> None:
        if not ok:
            self._doublings = min(self._doublings + 1, MAX_DOUBLINGS)
            self._open(Event.PROBE_FAILED, "a probe failed", now, chance)
            return
        self._proven += 1
        if self._proven >= self._settings.probes:
            self._change(Event.PROVEN, f"{self._proven} probes succeeded")

    def _count(self, ok: bool, now: float, chance: Callable[[], float]) -> None:
        self.tick(now)
        self._total += 1
        if ok:
            self._consecutive = 0
            return
        self._failed += 1
        self._consecutive += 1
        total, failed = self._past_total + self._total, self._past_failed + self._failed
        if self._consecutive >= self._in_a_row:
            self._open(Event.TRIPPED, f"{self._consecutive} failures in a row", now, chance)
        elif total >= self._settings.min_requests and failed / total >= self._share:
            window = f"{self._settings.window:g} s"
            self._open(Event.TRIPPED, f"{failed} of {total} requests failed within {window}", now, chance)

    def tick(self, now: float) -> None:
        """Forget what is older than the window. Settling does it when it is due; a sweep may do it besides."""
        if now < self._slice_ends:
            return
        over = (now - self._slice_ends) / self._slice_seconds
        if over >= SLICES - 1:  # the last one that was counted in has left the window too
            self._past.clear()
            self._past_total = self._past_failed = 0
            self._slice_ends = now + self._slice_seconds
        else:
            ended = int(over) + 1
            self._past.append((self._total, self._failed))
            self._past.extend([(0, 0)] * (ended - 1))
            self._past_total = sum(total for total, _ in self._past)
            self._past_failed = sum(failed for _, failed in self._past)
            self._slice_ends += ended * self._slice_seconds
        self._total = self._failed = 0

    # -- the states ---------------------------------------------------------------------------------------------------

    def _open(self, event: Event, why: str, now: float, chance: Callable[[], float]) -> None:
        settings = self._settings
        seconds = min(settings.open * 2**self._doublings, settings.max_open) * (1 + JITTER * (2 * chance() - 1))
        seconds = min(seconds, settings.max_open)
        self._change(event, why)
        self.opened += 1
        self._until = now + seconds

    def _change(self, event: Event, why: str) -> None:
        """The one place where the state changes. Raises KeyError, and changes nothing, if there is no such row."""
        before = self.state
        after = TRANSITIONS[before, event]
        self.state = after
        self._probes.clear()
        self._proven = 0
        self._pass = 0
        if after == "closed":
            self._doublings = 0
            self._forget()
            self._admit_everybody()
        if len(self.changes) >= MAX_CHANGES:
            del self.changes[0]
        self.changes.append(Change(before, after, why))

    def _admit_everybody(self) -> None:
        """Closed: one permit for all, so that asking costs nothing; a new one, so that older ones are known as such."""
        if self.mode == "off":
            self._pass = _UNJUDGED
        elif self._pass <= _UNJUDGED:
            self._serial += 1
            self._pass = self._serial

    def _forget(self) -> None:
        """Begin counting anew; the first result begins the first slice."""
        self._consecutive = 0
        self._total = self._failed = self._past_total = self._past_failed = 0
        self._past.clear()
        self._slice_ends = -_NEVER

    # -- telling ------------------------------------------------------------------------------------------------------

    def open_seconds(self, now: float) -> float:
        """How long it will stay open still; 0 unless it is open."""
        return max(0.0, self._until - now) if self.state == "open" else 0.0

    def take_changes(self) -> list[Change]:
        """The changes since the last call, oldest first."""
        taken, self.changes = self.changes, []
        return taken
