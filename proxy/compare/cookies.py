"""Cookies that answers set (RFC 6265 section 4.1, and its successor's SameSite and Partitioned).

Law: a cookie is compared by its name, its value and each of its attributes; the order of cookies and attributes, the
case of their names and how a date is written do not matter. Of a cookie with a secret name only whether it has a value
is compared, for such values are new each time. No value is shown but those that the configuration reveals: a session
may have any name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from proxy.compare.charsets import distinct
from proxy.compare.matchers import Outcome
from proxy.compare.redact import Redactor

MAX_COOKIES = 200
"""Cookies of one answer that are read; browsers keep fewer of one site."""

SAME_MOMENT_SECONDS = 60
"""Two expiry dates this close are the same: the answers were made one after the other."""

_FLAGS = frozenset({"secure", "httponly", "partitioned"})
_KNOWN = ("path", "domain", "secure", "httponly", "samesite", "max-age", "expires", "partitioned")
_LONGEST_DATE = 64  # characters
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Cookie(NamedTuple):
    """One Set-Cookie. ``attributes`` are in lower case and normalised; ``expires`` there is seconds since the epoch, as
    text, if it could be read. ``deletes``: it tells the client to forget the cookie."""

    name: str
    value: str
    attributes: dict[str, str]
    deletes: bool

    @property
    def place(self) -> tuple[str, str, str]:
        """What a browser tells cookies apart by."""
        return self.name, self.attributes.get("domain", ""), self.attributes.get("path", "")


def parse_cookie(raw: bytes, at: float) -> Cookie:
    """Read the value of one Set-Cookie field; ``at`` is when it was sent, in seconds since the epoch."""
    pair, *rest = distinct(raw.decode("utf-8", "surrogateescape")).split(";")
    name, sign, value = pair.partition("=")
    if not sign:
        name, value = "", pair  # as browsers read it
    attributes: dict[str, str] = {}
    for part in rest:
        key, _, content = part.partition("=")
        key, content = key.strip().lower(), content.strip()
        if key:
            attributes[key] = _normal(key, content)  # the last of two counts
    return Cookie(name.strip(), value.strip(), attributes, _deletes(attributes, at))


def _normal(key: str, content: str) -> str:
    if key in _FLAGS:
        return ""
    if key == "domain":
        return content.removeprefix(".").lower()
    if key == "samesite":
        return content.lower()
    if key == "max-age" and re.fullmatch(r"-?[0-9]{1,12}", content):
        return str(int(content))
    if key == "expires":
        moment = _seconds(content)
        # A number is no date: browsers pass over such an attribute.
        return f"{content} (no date)" if moment is None else str(moment)
    return content


def _seconds(date: str) -> int | None:
    """A date in one of the spellings that browsers read, in seconds since the epoch."""
    try:
        moment = parsedate_to_datetime(date[:_LONGEST_DATE])
        return int((moment.replace(tzinfo=moment.tzinfo or UTC) - _BEGINNING).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _deletes(attributes: dict[str, str], at: float) -> bool:
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?[0-9]{1,12}", age):
        return int(age) <= 0  # it outranks expires
    moment = attributes.get("expires", "")
    return re.fullmatch(r"-?[0-9]{1,15}", moment) is not None and int(moment) <= at


class CookieDifference(NamedTuple):
    """``attribute`` is '' for presence and value. The two texts are what either side says, None if nothing. ``format``:
    the values only differ in how they are written, under a matcher."""

    name: str
    attribute: str
    legacy: str | None
    candidate: str | None
    format: bool = False


Compare = Callable[[str, str, str], Outcome]
"""(place, legacy's value, the candidate's) -> what the rules say of them. A place is ``NAME`` or ``NAME;path``."""


def compare_cookies(
    legacy: list[bytes], candidate: list[bytes], at: float, redactor: Redactor, compare: Compare
) -> list[CookieDifference]:
    """What differs between the Set-Cookie values of two answers. ``at``: when they were made."""
    sides = [[parse_cookie(raw, at) for raw in values[:MAX_COOKIES]] for values in (legacy, candidate)]
    names = dict.fromkeys(cookie.name for side in sides for cookie in side)
    found: list[CookieDifference] = []
    for name in names:
        ones, twos = ([cookie for cookie in side if cookie.name == name] for side in sides)
        if len(ones) > 1 or len(twos) > 1:
            ones, twos = sorted(ones, key=lambda c: c.place), sorted(twos, key=lambda c: c.place)
        secret = redactor.is_secret(name)
        show = str if secret is None else redactor.mask
        for one, two in zip(ones, twos, strict=False):
            found += _compare(one, two, compare, show, secret=bool(secret))
        found += [CookieDifference(name, "", _said(one, show, secret=bool(secret)), None) for one in ones[len(twos) :]]
        found += [CookieDifference(name, "", None, _said(two, show, secret=bool(secret))) for two in twos[len(ones) :]]
    if max(len(legacy), len(candidate)) > MAX_COOKIES and legacy[MAX_COOKIES:] != candidate[MAX_COOKIES:]:
        found.append(CookieDifference("*", "", f"{len(legacy)} cookies", f"{len(candidate)} cookies"))
    return found


def _said(cookie: Cookie, show: Callable[[str], str], *, secret: bool) -> str:
    if cookie.deletes:
        return "deleted"
    return "set" if secret else f"set to {show(cookie.value)}"


def _compare(
    one: Cookie, two: Cookie, compare: Compare, show: Callable[[str], str], *, secret: bool
) -> list[CookieDifference]:
    name = one.name
    found: list[CookieDifference] = []
    if one.deletes != two.deletes:
        return [CookieDifference(name, "", _said(one, show, secret=secret), _said(two, show, secret=secret))]
    if not one.deletes:
        if secret:
            has = [bool(cookie.value.strip('"')) for cookie in (one, two)]
            if has[0] != has[1]:
                a, b = ("with a value" if value else "empty" for value in has)
                found.append(CookieDifference(name, "", a, b))
        elif one.value != two.value and (outcome := compare(name, one.value, two.value)) != "equal":
            found.append(CookieDifference(name, "", show(one.value), show(two.value), format=outcome == "format"))
    for key in dict.fromkeys((*_KNOWN, *one.attributes, *two.attributes)):
        x, y = one.attributes.get(key), two.attributes.get(key)
        if x == y or (one.deletes and key in ("expires", "max-age")):
            continue
        if x is not None and y is not None:
            if key == "expires" and _same_moment(x, y):
                continue
            if compare(f"{name};{key}", x, y) == "equal":
                continue
        found.append(CookieDifference(name, key, x, y))
    return found


def _same_moment(a: str, b: str) -> bool:
    try:
        return abs(int(a) - int(b)) <= SAME_MOMENT_SECONDS
    except ValueError:
        return False
