"""Header fields, URLs and forms as they may be stored.

Law: what is secret by its name or its shape is masked; what is not keeps its spelling and its place.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from proxy.compare.decode import legible
from proxy.compare.redact import Redactor
from proxy.compare.secret_shapes import AUTHORIZING
from proxy.messages import Fields

NOT_READ = "\ufffd"
"""In a recorded text: here was something else, that is not there any more."""

MAX_STORED_FIELDS = 100
MAX_STORED_VALUE = 8 * 1024
"""Characters of a target or a field value."""

BROKEN_OFF = 1024
"""Characters at the end of a redacted text that was cut before: half a secret has lost its shape."""

_LONGEST_NAME = 400
"""Characters of a value that may be the name of another one, as it is written."""

_VALUE = re.compile(r"(?i)values?\]?\Z")
_COOKIE = re.compile(r"\s*([^=;\s]{1,200})\s*=\s*([^;]*)")
_CREDENTIALS = re.compile(
    r"(?i)(basic|bearer|digest|negotiate|apikey|token|hmac|aws4-hmac-sha256)(\s+)(\S.*)", re.DOTALL
)
_URLS = frozenset({"location", "referer", "content-location"})


def form(text: str, redactor: Redactor) -> str:
    """``name=value&…`` with secret values masked; what is not masked keeps its spelling."""
    pairs = [part.partition("=") for part in text.split("&")]
    names = [unquote_plus(name) for name, _, _ in pairs]
    holder: dict[str, list[str]] = {}
    for name, (_, _, value) in zip(names, pairs, strict=True):
        holder.setdefault(name, []).append(_plain(value) if len(value) <= _LONGEST_NAME else "")
    authorizing = not AUTHORIZING.isdisjoint(names)
    parts = []
    for name, (written, sign, value) in zip(names, pairs, strict=True):
        secret = redactor.below(name, False, holder) if _VALUE.search(name) else redactor.is_secret(name)
        if secret is False and authorizing and name == "code":
            secret = True
        if secret:
            parts.append(f"{written}{sign}{redactor.mask(_plain(value)) if value else ''}")
        else:
            shown = value if secret is None else redactor.by_shape_encoded(value)
            parts.append(f"{redactor.by_shape_encoded(written)}{sign}{shown}")
    return redactor.by_shape("&" + "&".join(parts))[1:]


def _plain(value: str) -> str:
    return unquote_plus(value, errors="surrogateescape")


def url(text: str, redactor: Redactor) -> str:
    """A URL, or the part of one that begins with the path."""
    path, mark, query = text.partition("?")
    return redactor.path(path) + mark + form(query, redactor)


def headers(fields: Fields, redactor: Redactor) -> list[list[str]]:
    """Header fields in order; of a secret one only that it was there, of cookies the names."""
    return [
        [name[:200], header(name, value.decode("utf-8", "surrogateescape"), redactor)]
        for name, value in ((raw.decode("latin-1"), value) for raw, value in fields[:MAX_STORED_FIELDS])
    ]


def header(name: str, value: str, redactor: Redactor) -> str:
    """One field value, redacted; bytes of none that is UTF-8 as PEP 383 has them. One that was not stored to its end
    ends like one that could not be read."""
    shown = legible(_header(name, value[:MAX_STORED_VALUE], redactor))
    if len(value) > MAX_STORED_VALUE:
        shown = shown[:-BROKEN_OFF] + NOT_READ
    return shown if len(shown) <= MAX_STORED_VALUE else shown[: MAX_STORED_VALUE - 1] + NOT_READ


def _header(name: str, value: str, redactor: Redactor) -> str:
    lower = name.lower()
    secret = redactor.is_secret(name)
    if lower == "cookie":
        return "; ".join(_cookie(part, redactor, revealed=secret is None) for part in value.split(";"))
    if lower == "set-cookie":
        first, sign, attributes = value.partition(";")
        return _cookie(first, redactor, revealed=secret is None) + sign + redactor.by_shape(attributes)
    if secret is None:
        return value
    if secret:
        known = _CREDENTIALS.fullmatch(value) if lower.endswith("authorization") else None
        return f"{known[1]}{known[2]}{redactor.mask(known[3])}" if known else redactor.mask(value)
    return url(value, redactor) if lower in _URLS else str(redactor.scalar(value, secret=False))  # it may be JSON


def _cookie(text: str, redactor: Redactor, *, revealed: bool) -> str:
    """``name=value``: all values are secret unless the configuration reveals the cookie; if it reveals the whole field,
    those that are by their name or shape."""
    match = _COOKIE.fullmatch(text)
    if match is None:
        return redactor.mask(text.strip())
    secret = redactor.is_secret(match[1])
    shown = redactor.text(match[2], secret) if revealed or secret is None else redactor.mask(match[2])
    return f" {match[1]}={shown}".lstrip()
