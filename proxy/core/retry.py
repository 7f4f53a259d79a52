"""Whether a request is tried again on the same upstream, when, and how many may be at once.

Law: what the upstream may have seen is decided on before anything else: *not sent* may be tried again with any method,
*maybe seen* only with a safe one (or with an Idempotency-Key, if the settings say so), *answer started* never. The
budget bounds retries by the requests that are under way, so that retries cannot become the load that they answer to.
Time and chance are arguments.

Sources: RFC 9110 sections 9.2.2 (what may be repeated), 10.2.3 (Retry-After), 5.6.7 (dates); Google's SRE book, chapter
"Handling Overload" (retry budgets); Envoy's retry budget (20 %, at least 3); Brooker, "Exponential Backoff And Jitter"
(full jitter).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from proxy.core.deadline import longest_pause
from proxy.errors import CONSEQUENCES, FailureKind, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.upstreams import Retries

MAX_RETRY_AFTER_SECONDS: Final = 86_400.0
"""A Retry-After above a day is taken for a day: no deadline is as long, and the number stays small."""

_MAX_DIGITS: Final = 9
"""More digits of seconds are decades; they are not read."""

_MAX_DOUBLINGS: Final = 40
"""Of the back-off, so that the number stays finite; ``attempts`` ends it long before."""

_NEVER_AGAIN: Final = frozenset({FailureKind.NO_ENDPOINT, FailureKind.TOTAL_TIMEOUT})
"""Failures of a class that is tried again, for which it is in vain: nobody is there to ask, or no time is left."""


class RetryBudget:
    """How many retries of one upstream may be under way at once in this worker.

    ``in_flight`` are under way, from :meth:`take` to :meth:`give`; ``refused`` counts those that were not granted.
    """

    __slots__ = ("_least", "_share", "in_flight", "refused")

    def __init__(self, settings: Retries) -> None:
        self.in_flight = 0
        self.refused = 0
        self.configure(settings)

    def configure(self, settings: Retries) -> None:
        """A reload: what is under way stays so, even above a lower bound."""
        self._share = settings.budget
        self._least = settings.budget_min

    def take(self, active: int) -> bool:
        """A place for one retry beside ``active`` original requests; True: give it back once, when the retry is over.

        The bound is the share of ``active``, rounded down, or ``budget_min`` if that is more.
        """
        wanted = self.in_flight + 1
        if wanted <= self._least or (active > 0 and wanted / active <= self._share):
            self.in_flight = wanted
            return True
        self.refused += 1
        return False

    def give(self) -> None:
        """A retry is over. Raises RuntimeError if none was under way."""
        if self.in_flight <= 0:
            raise RuntimeError("a place in the retry budget was given back twice")
        self.in_flight -= 1


class RetryPolicy:
    """The retries of one upstream, by one snapshot. ``attempts`` are the further tries after the first."""

    __slots__ = ("_backoff", "_classes", "_statuses", "_with_key", "attempts", "max_backoff")

    def __init__(self, settings: Retries) -> None:
        self.attempts = settings.attempts
        self._classes = frozenset(reason for reason in settings.on if isinstance(reason, str))
        self._statuses = {reason: str(reason) for reason in settings.on if isinstance(reason, int)}
        self._with_key = settings.unsafe == "idempotency-key"
        self._backoff = settings.backoff
        self.max_backoff = settings.max_backoff

    def reason(self, failure_kind: FailureKind, seen: Seen, status: int, *, safe: bool, idempotency_key: bool) -> str:
        """Why the request is to be tried again: the class or the status as ``on`` names it; '' if it is not to be.

        ``status`` is the answer's and counts with BAD_STATUS only, 4xx included; who answered has seen the request.
        ``safe`` says that the method is, ``idempotency_key`` that the request carries one.
        """
        if seen is Seen.ANSWER_STARTED or failure_kind in _NEVER_AGAIN:
            return ""
        answered = failure_kind is FailureKind.BAD_STATUS
        if (answered or seen is Seen.MAYBE_SEEN) and not (safe or (idempotency_key and self._with_key)):
            return ""
        if answered:
            return self._statuses.get(status, "")
        label = CONSEQUENCES[failure_kind].fallback
        return label if label in self._classes else ""

    def pause(self, attempt: int, retry_after: float | None, chance: Callable[[], float]) -> float:
        """Seconds to wait before retry number ``attempt`` (the first is 0).

        A random time up to ``backoff``, twice as long for each further one, up to ``max_backoff``; but not less than
        ``retry_after`` (seconds, from the answer; None: it said nothing). ``chance`` gives numbers from [0, 1).
        """
        longest = longest_pause(min(attempt, _MAX_DOUBLINGS), self._backoff, self.max_backoff)
        return max(longest * chance(), retry_after or 0.0)


_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_CLOCK: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH: Final = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_DAY: Final = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb"%b, (?P<day>\d\d) %b (?P<year>\d{4}) %b GMT" % (_DAY, _MONTH, _CLOCK),  # IMF-fixdate
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-%b-(?P<year>\d\d) %b GMT" % (_MONTH, _CLOCK),
        rb"%b %b (?P<day>[ \d]\d) %b (?P<year>\d{4})" % (_DAY, _MONTH, _CLOCK),  # asctime
    )
)
"""The three forms that a recipient must accept (RFC 9110 section 5.6.7). The name of the day is not checked."""

_HALF_A_CENTURY_SECONDS: Final = 50 * 365.25 * 86_400


def parse_retry_after(value: bytes, wall_now: float) -> float | None:
    """The seconds that a Retry-After asks for, 0 to MAX_RETRY_AFTER_SECONDS; None if it is neither form.

    ``value`` is a number of seconds or an HTTP date, ``wall_now`` seconds since the epoch; a date that is over is 0.
    """
    value = value.strip(b" \t")
    if value.isdigit():
        return MAX_RETRY_AFTER_SECONDS if len(value) > _MAX_DIGITS else min(float(value), MAX_RETRY_AFTER_SECONDS)
    at = _parse_date(value, wall_now)
    return None if at is None else min(max(0.0, at - wall_now), MAX_RETRY_AFTER_SECONDS)


def _parse_date(value: bytes, wall_now: float) -> float | None:
    """Seconds since the epoch; None if there is no such date."""
    match = next((found for form in _DATES if (found := form.fullmatch(value))), None)
    if match is None:
        return None
    year = int(match["year"])
    two_digits = len(match["year"]) == 2
    try:
        at = datetime(
            2000 + year if two_digits else year,
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            59 if match["second"] == b"60" else int(match["second"]),  # a leap second
            tzinfo=UTC,
        )
        if two_digits and at.timestamp() - wall_now > _HALF_A_CENTURY_SECONDS:
            at = at.replace(year=at.year - 100)  # then the last century is meant
    except ValueError:
        return None
    return at.timestamp()
