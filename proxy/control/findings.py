"""A kind of difference as operators see it.

Law: data only; field names are a contract, programs read them. What is open stands in one place: :attr:`Finding.open`.
"""

from __future__ import annotations

import msgspec


def settled(state: str, *, noisy: bool) -> str:
    """Why nobody has to look at a difference: ``accepted``, ``fixed`` or ``noise``; empty if somebody has to."""
    return state if state in ("accepted", "fixed") else "noise" if noisy else ""


LAST_COMMENTS = 3
"""Comments on one difference that are read to the end of a report; ``--json`` has all of them."""


class Comment(msgspec.Struct):
    """What somebody wrote about a difference. ``at`` is ISO 8601 in UTC."""

    at: str
    actor: str
    text: str


class Finding(msgspec.Struct):
    """A kind of difference, with its count and its share of the judged pairs over all that the diff log keeps.

    Times are ISO 8601 in UTC, empty where there is none; ``samples`` are ids of recorded pairs, newest first;
    ``legacy`` and ``candidate`` the values seen last, redacted. Rates are 0..1, None where nothing is known.
    """

    fingerprint: str
    route: str
    kind: str
    path: str
    count: int
    share: float
    state: str  # "new" | "accepted" | "fixed" | "regressed"
    first_seen: str
    last_seen: str
    samples: list[str]
    legacy: str
    candidate: str
    configured: bool = True  # its route is in the files; else it is listed until the diff log forgets it
    weight: int = 0  # of the kind: result.WEIGHTS
    owner: str = ""
    actor: str = ""  # who accepted it, or said that it is fixed; "" if Banyan found that out
    reason: str = ""  # why
    until: str = ""  # when the acceptance ends; "" for good
    fixed_at: str = ""  # since when it is taken to be fixed
    expired: bool = False  # it was accepted until a time that is over
    noisy: bool = False  # legacy differs from itself here about as often
    rate: float | None = None  # of compared pairs, decayed
    noise_rate: float | None = None  # of comparisons of legacy with itself, decayed
    cohorts: dict[str, int] = {}
    arms: dict[str, int] = {}
    statuses: dict[str, int] = {}  # "200/500": legacy's and the candidate's; 0 is no answer
    methods: dict[str, int] = {}
    comments: list[Comment] = []
    unchanged: bool | msgspec.UnsetType = msgspec.UNSET  # true where what was said held already and is not recorded

    @property
    def expected(self) -> bool:
        """It does not make a pair a mismatch: it was accepted, or it is noise."""
        return self.state == "accepted" or self.noisy

    @property
    def open(self) -> bool:
        """Somebody has to look at it."""
        return self.state in ("new", "regressed") and not self.noisy
