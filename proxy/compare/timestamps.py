"""Points in time as answers write them.

Law: a text is read as a time only if it is one, whole and with a day that exists; how it was written is kept apart from
the instant, so that the same moment in another spelling is no longer the same.

Known are ISO 8601 and its profile RFC 3339, dates of mail and HTTP (RFC 1123, RFC 5322 section 3.3, RFC 9110 section
5.6.7), and seconds or milliseconds since 1970, as a number or as its digits.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from proxy.compare.document import Number

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ISO = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)"
    r"(?:([Tt ])(\d\d)(:?)(\d\d)(?:\7(\d\d)(?:([.,])(\d{1,12}))?)?( ?(?:[Zz]|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
_MAIL = re.compile(
    r"(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d)(?::(\d\d))? "
    r"(GMT|UTC|UT|Z|[+-]\d{4})",
    re.ASCII,
)
_EPOCH = re.compile(r"([1-9]\d{8,12})(?:\.(\d{1,12}))?", re.ASCII)
_SECONDS = range(100_000_000, 10_000_000_000)
_MILLISECONDS = range(300_000_000_000, 10_000_000_000_000)
"""From 1973 or 1979 to 2286: beyond, digits mean a date like 202401311200 or no time at all."""
_LONGEST = 64  # characters of any of them
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(NamedTuple):
    """A point in time. ``spelling`` is everything about how it is written that does not depend on the moment;
    ``seconds`` count from 1970 (a time without a zone is taken as UTC); ``fraction`` is the digits after the point."""

    spelling: tuple[object, ...]
    seconds: Decimal
    fraction: str = ""


def read_instant(value: object) -> Instant | None:
    """The instant that a JSON scalar names; None if it names none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not 8 <= len(value) <= _LONGEST:
            return None
        return _iso(value) or _epoch(value, "text") or _mail(value)
    if isinstance(value, int | float | Number):
        return _epoch(str(value), "number")
    return None


def _epoch(text: str, written_as: str) -> Instant | None:
    match = _EPOCH.fullmatch(text)
    if match is None:
        return None
    whole = int(match[1])
    if whole not in _SECONDS and whole not in _MILLISECONDS:
        return None
    unit, scale = ("s", 1) if whole in _SECONDS else ("ms", 1000)
    # A number has lost its zeros at the end to JSON, and how many digits it had with them.
    fraction = (match[2] or "") if written_as == "text" else ""
    return Instant(("epoch", unit, written_as, bool(match[2])), Decimal(text) / scale, fraction)


def _iso(text: str) -> Instant | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, dash, month, day, mark, hour, colon, minute, second, point, fraction, zone = match.groups()
    if mark is None and not dash:
        return None  # eight digits may be anything
    if mark is not None and bool(dash) != bool(colon):
        return None
    seconds = _seconds(year, month, day, hour, minute, second, fraction, zone)
    if seconds is None:
        return None
    # An offset changes with the season; that there is one, and how it is written, does not.
    offset = re.sub(r"\d", "0", zone).replace("-", "+") if zone else ""
    return Instant(("iso", dash, mark, bool(second), point, offset), seconds, fraction or "")


def _mail(text: str) -> Instant | None:
    match = _MAIL.fullmatch(text)
    if match is None or match[3].lower() not in _MONTHS:
        return None
    weekday, day, name, year, hour, minute, second, zone = match.groups()
    month = str(_MONTHS.index(name.lower()) + 1)
    offset = zone if zone[0] in "+-" else "Z"
    seconds = _seconds(year, month, day, hour, minute, second, None, offset)
    if seconds is None:
        return None
    # The day of the week is that of the written zone.
    if weekday is not None and date(int(year), int(month), int(day)).weekday() != _DAYS.index(weekday):
        return None
    return Instant(("mail", weekday is not None, bool(second), zone if offset == "Z" else "+0000"), seconds)


def _seconds(
    year: str, month: str, day: str, hour: str | None, minute: str | None, second: str | None,
    fraction: str | None, zone: str | None,
) -> Decimal | None:  # fmt: skip
    """Since 1970; None for what is no moment, like the 30th of February."""
    whole = int(second or 0)
    leap = whole == 60  # RFC 3339 section 5.7
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            59 if leap else whole,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    passed = (moment - _BEGINNING) // timedelta(seconds=1) + leap
    sign, digits = (zone or "Z").strip()[0], re.sub(r"\D", "", zone or "")
    if digits:
        hours, minutes = int(digits[:2]), int(digits[2:] or 0)
        if hours > 23 or minutes > 59:
            return None
        passed -= (hours * 3600 + minutes * 60) * (-1 if sign == "-" else 1)
    return Decimal(passed) + (Decimal(f"0.{fraction}") if fraction else 0)
