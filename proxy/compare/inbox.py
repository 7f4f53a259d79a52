"""Where a difference stands: ``new → accepted → fixed → regressed``, from what people said and when it was seen.

Law: pure; the state follows from the marks in their order, the last sighting and the time, and from nothing else. What
was said to be fixed and is seen again has regressed, whoever said it. An acceptance that is over leaves the difference
new again, and says that it was accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log, log1p
from typing import Literal, NamedTuple, get_args

State = Literal["new", "accepted", "fixed", "regressed"]
Action = Literal["accept", "unaccept", "assign", "comment", "fixed", "auto-fixed", "regressed"]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""What can be said of a difference. ``auto-fixed`` and ``regressed`` are Banyan's own words."""

LEAST_WITHOUT = 100
"""Comparisons without a difference before it can be taken as fixed, however frequent it was."""
CHANCE = 0.01
"""What chance may explain of that, over all gaps between its sightings so far."""


class Mark(NamedTuple):
    """One thing that was said of a difference. Times are seconds since the epoch."""

    action: Action
    at: float
    actor: str
    text: str  # the reason, or the comment
    until: float = 0.0  # of an acceptance; 0: for good
    who: str = ""  # of an assignment


class Standing(NamedTuple):
    """Where a difference stands. ``actor``, ``text`` and ``until`` belong to the mark that made the state."""

    state: State = "new"
    actor: str = ""
    text: str = ""
    until: float = 0.0
    expired: bool = False  # it was accepted, until ``until``
    owner: str = ""
    comments: tuple[Mark, ...] = ()
    at: float = 0.0  # when it was said to be fixed
    by_itself: bool = False  # Banyan found it to be fixed; nobody said so


def standing(marks: Iterable[Mark], last_seen: float, now: float) -> Standing:
    """Fold the marks of one difference, oldest first; ``last_seen`` and ``now`` in seconds since the epoch."""
    decided: Mark | None = None
    owner = ""
    comments = []
    for mark in marks:
        if mark.action == "assign":
            owner = mark.who
        elif mark.action == "comment":
            comments.append(mark)
        else:
            decided = mark
    found = _state(decided, last_seen, now)
    return found._replace(owner=owner, comments=tuple(comments))


def _state(decided: Mark | None, last_seen: float, now: float) -> Standing:
    if decided is None or decided.action == "unaccept":
        return Standing()
    if decided.action == "accept":
        over = decided.until != 0.0 and now >= decided.until
        return Standing("new" if over else "accepted", decided.actor, decided.text, decided.until, expired=over)
    if decided.action == "regressed" or last_seen > decided.at:
        return Standing("regressed", decided.actor, decided.text)
    return Standing("fixed", decided.actor, decided.text, at=decided.at, by_itself=decided.action == "auto-fixed")


def seems_fixed(seen: int, before: int, without: int) -> bool:
    """Whether a difference is gone: seen ``seen`` times in ``before`` comparisons, then not in ``without`` more.

    True if chance explains such a gap with less than ``CHANCE`` at its earlier share. That share is only known as well
    as so few sightings tell it: after n of them in N comparisons the next gap is longer than M with the chance
    (N / (N + M)) ** n. And there are n gaps by now, each of which might be that long, so each has its part of it.
    """
    if without < LEAST_WITHOUT or seen < 1 or before < 1:
        return False
    return seen * log1p(without / before) > log((seen + 1) / CHANCE)
