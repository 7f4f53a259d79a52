"""What a regression is, for the services that have some.

Law: each service lists every difference that it makes on purpose; a difference between monolith and service that is
neither declared as noise in ``routes/`` nor listed there is a bug of the demo.
"""

from __future__ import annotations

from typing import NamedTuple


class Planted(NamedTuple):
    """One regression, as the shadow-diff report ought to name it."""

    route: str  # the id of the route in routes/
    kind: str  # the kind of difference, in the comparator's words
    path: str  # where: a JSON path template, ``status``, or ``header:<name>``
    why: str  # how a good team came to make it
