"""The arithmetic of one request's deadline: what is kept for a fallback, how long one try and one pause may last.

Law: one monotonic deadline holds over queueing, connecting, tries, pauses and fallback, and nothing extends it. The
data plane and ``banyan resilience`` both compute with these functions, so what is promised is what is done.

All times are seconds; points in time are on whatever monotonic clock the caller reads. The deadline ends at the head of
the answer that the client gets; a body that streams is bounded by ``timeouts.idle`` alone.
"""

from __future__ import annotations


def fallback_reserve(total: float, connect: float, first_byte: float) -> float:
    """Seconds of ``total`` that the candidate's tries must leave for a fallback.

    ``connect`` and ``first_byte`` are legacy's. It is what legacy may need, but at most half of ``total``: a slow
    legacy does not take the candidate's time away.
    """
    return min(connect + first_byte, total / 2)


def try_deadline(begins: float, ends: float, per_try: float) -> float:
    """When a try that begins at ``begins`` (with queueing) must have brought the head of its answer.

    ``ends`` is when the last try must have ended: the deadline, less the reserve where legacy may fall in. With
    ``per_try`` 0 only ``ends`` bounds it, and within it ``timeouts.connect`` and ``timeouts.first_byte``.
    """
    return min(ends, begins + per_try) if per_try else ends


def longest_pause(number: int, backoff: float, max_backoff: float) -> float:
    """The longest pause before retry ``number`` (0: the first one); the pause is a random part of it ("full jitter").

    Doubles each time up to ``max_backoff``, which also holds for the first one.
    """
    # At most 10 retries (config): the shift stays small.
    return min(max_backoff, backoff * (1 << number))
