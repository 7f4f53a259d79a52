"""What a client saw of one request.

Law: data only. The checks in ``equations`` read it together with what the services, the store and the logs say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.chaos.plan import Phase
from tests.chaos.routes import BY_ID, SAFE

Outcome = Literal["complete", "truncated", "reset", "refused", "left", "hung"]
"""``truncated``: the answer began and visibly did not end. ``reset``: no answer. ``refused``: no connection. ``left``:
the client went away on purpose. ``hung``: nothing within the client's patience."""


@dataclass(slots=True)
class Record:
    """One request. Times are monotonic seconds."""

    id: str
    route: str
    method: str
    user: str
    staff: bool
    keyed: bool
    cycle: int
    phase: Phase
    connected: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    outcome: Outcome = "refused"
    status: int = 0
    """Of the answer's head; 0 if none came."""
    side: str = ""
    """Who the answer says it is from; "" for Banyan's own answers."""
    arm: str = ""
    """Who Banyan says it is from."""
    flaw: str = ""
    """What is wrong with the answer, whatever happened to the network; "" if nothing is."""
    phase_at_end: Phase = "calm"
    hurried: bool = True
    """The client itself was as fast as it could be, and what it sent and asked for was small."""

    @property
    def safe(self) -> bool:
        """It may be sent as often as one likes."""
        return self.method in SAFE

    @property
    def once(self) -> bool:
        """It may be seen by an authoritative side once at most."""
        return not self.safe and not (self.keyed and BY_ID[self.route].replays_keyed)

    @property
    def failed(self) -> bool:
        """Its user has seen an error: a status, a reset, or silence. A cut in the middle of an answer is none of
        these."""
        return self.outcome in ("reset", "refused", "hung") or (self.outcome != "left" and self.status >= 500)

    def overlaps(self, begin: float, end: float) -> bool:
        """It was under way at some moment between."""
        return self.started <= end and self.ended >= begin

    def __str__(self) -> str:
        what = f"{self.id} {self.method} {self.route} {self.phase}: {self.outcome} {self.status or '-'}"
        return f"{what} from {self.side or 'banyan'} in {self.ended - self.started:.3f}s {self.flaw}".rstrip()
