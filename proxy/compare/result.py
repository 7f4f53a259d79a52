"""What a comparison says.

Law: a pair has exactly one verdict. ``incomparable`` always has a reason from ``REASONS``; it is never a match, and
never a mismatch. A difference shows values only after redaction.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["matched", "ignored", "mismatched", "incomparable"]
Kind = Literal[
    "error", "timeout", "status-class", "status", "redirect", "content-type", "cookie", "missing", "extra", "type",
    "size", "order", "format", "header", "value", "text", "digest",
]  # fmt: skip
WEIGHTS: dict[Kind, int] = {
    "error": 100, "timeout": 95, "status-class": 90, "status": 80, "redirect": 70, "content-type": 65, "cookie": 65,
    "missing": 60, "type": 60, "extra": 45, "size": 45, "order": 40, "format": 35, "header": 35, "value": 30,
    "text": 30, "digest": 30,
}  # fmt: skip
"""How much a kind of difference weighs for whoever calls the endpoint: status and shape outrank values. The worst first
is the order in which differences are read."""


REASONS = (
    "both-failed",  # neither side has an answer
    "too-large",  # an answer went over the capture cap, or over the byte cap when decoded
    "ratio",  # a compressed body that swells like a bomb
    "decode-error",  # a content coding that is broken
    "invalid-json",  # both sides say JSON and neither is
    "entity-declarations",  # an XML document that declares entities or has a DTD of its own
    "duplicate-keys",  # one object, one key, two values: which one counts is anybody's guess
    "too-deep",
    "too-many-nodes",
    "budget",  # out of time or steps
    "queue-full",  # the comparator was behind; the pair was never looked at
    "shutdown",  # the same, at the end of the process
    "internal-error",  # a fault of ours
)


class Difference(NamedTuple):
    """One kind of difference at one path template. ``legacy`` and ``candidate`` show its first occurrence, short and
    redacted; ``times`` is how often it occurs in this pair."""

    kind: Kind
    path: str
    legacy: str
    candidate: str
    times: int = 1


class Result(NamedTuple):
    """The outcome for one pair. ``more`` counts the differences that did not fit into ``differences``."""

    verdict: Verdict
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    more: int = 0


class Budget(NamedTuple):
    """What one comparison may cost."""

    decoded_bytes: int = 8 * 1024 * 1024  # of one body
    ratio: int = 200  # decoded to encoded, looked at above 1 MiB decoded
    depth: int = 200  # of a document
    nodes: int = 200_000  # of a document, and steps of the walk
    seconds: float = 0.1  # for the walk
    reading: float = 1.0  # seconds, for making documents of two bodies that are not JSON
    differences: int = 100  # kept per pair


class Incomparable(Exception):  # noqa: N818 - it is an outcome, not an error
    """Ends a comparison with a reason from ``REASONS``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
