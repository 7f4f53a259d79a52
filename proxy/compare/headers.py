"""What the heads of two answers say: status, compared header fields, cookies.

Law: each difference stands at its own place (``status``, ``header:NAME``, ``cookie:NAME;ATTRIBUTE``), where a rule can
name it; what differs only in its spelling does not differ. Nothing is shown that the redactor has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from proxy.compare.charsets import distinct, python_codec
from proxy.compare.cookies import CookieDifference, compare_cookies
from proxy.compare.matchers import Outcome
from proxy.compare.matchers import compare as match
from proxy.compare.media import reader_of
from proxy.compare.paths import is_name
from proxy.compare.redact import Redactor, cut
from proxy.compare.redact_fields import header as redacted
from proxy.compare.result import Kind
from proxy.compare.rules import CompareRules
from proxy.compare.walk import ABSENT, Walk, secret_key
from proxy.messages import Answer, Fields, Pair

_KINDS: dict[str, Kind] = {"location": "redirect", "content-type": "content-type"}
_ALWAYS_UTF8 = frozenset({"json", "lines", "events"})
"""Readers of media that are UTF-8 whatever is said."""


def compare_heads(walk: Walk, pair: Pair, rules: CompareRules) -> bool:
    """Report how the heads differ; True if something differs only in what is ignored.

    When the classes of the statuses differ, the bodies are of another kind, and what describes them is not compared.
    """
    legacy, candidate = pair.legacy, pair.candidate
    same_class = legacy.status // 100 == candidate.status // 100
    if legacy.status != candidate.status:
        kind: Kind = "status" if same_class else "status-class"
        walk.report(kind, "status", lambda: str(legacy.status), lambda: str(candidate.status))
    if not rules.headers or legacy.fields == candidate.fields:
        return False
    one, two = _by_name(legacy.fields), _by_name(candidate.fields)
    ignored = False
    for name in rules.headers:
        if not same_class and name in _KINDS:
            continue
        raw = name.encode("latin-1", "replace")
        a, b = one.get(raw, []), two.get(raw, [])
        if a == b:
            continue
        if name == "set-cookie":
            ignored |= _cookies(walk, a, b, pair.at, rules)
        elif name != "content-type" or not _same_type(a, b):
            ignored |= _header(walk, name, a, b, rules)
    return ignored


def _by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        found.setdefault(name.lower(), []).append(value)
    return found


def _header(walk: Walk, name: str, a: list[bytes], b: list[bytes], rules: CompareRules) -> bool:
    place = f"header:{name}"
    state = rules.places.get(place)
    if state is not None and state.ignore:
        return True
    kind: Kind = _KINDS.get(name, "header")
    if state is not None and state.matcher is not None and len(a) == len(b):
        outcomes = {match(state.matcher, _text(x), _text(y)) for x, y in zip(a, b, strict=True)}
        if outcomes == {"equal"}:
            return False
        if outcomes <= {"equal", "format"}:
            kind = "format"
    walk.report(kind, place, lambda: _shown(name, a, walk.redactor), lambda: _shown(name, b, walk.redactor))
    return False


def _text(value: bytes) -> str:
    return distinct(value.decode("utf-8", "surrogateescape"))


def _shown(name: str, values: list[bytes], redactor: Redactor) -> str:
    if not values:
        return ABSENT
    return cut(", ".join(redacted(name, value.decode("utf-8", "surrogateescape"), redactor) for value in values))


def _same_type(a: list[bytes], b: list[bytes]) -> bool:
    return [_media(value) for value in a] == [_media(value) for value in b]


@lru_cache(maxsize=256)
def _media(value: bytes) -> tuple[str, dict[str, list[str]]]:
    """A Content-Type without what makes no difference: case, spaces, quotes, the order of parameters (RFC 9110 section
    8.3.1; not of two of one name), the boundary between parts, and the charset of media that have only one."""
    media, *rest = value.decode("latin-1").split(";")
    media = media.strip().lower()
    parameters: dict[str, list[str]] = {}
    for part in rest:
        name, _, content = part.partition("=")
        name, content = name.strip().lower(), content.strip().strip('"')
        if name == "charset":
            content = python_codec(content.lower()) or content.lower()
            if content in ("utf-8", "ascii") and reader_of(media) in _ALWAYS_UTF8:
                continue
        if name and name != "boundary":
            parameters.setdefault(name, []).append(content)
    return media, parameters


def _cookies(walk: Walk, a: list[bytes], b: list[bytes], at: float, rules: CompareRules) -> bool:
    def outcome(place: str, x: str, y: str) -> Outcome:
        state = rules.places.get(f"cookie:{place.lower()}")
        return "value" if state is None or state.matcher is None else match(state.matcher, x, y)

    ignored = False
    for found in compare_cookies(a, b, at, walk.redactor, outcome):
        attribute = f";{found.attribute}" if found.attribute else ""
        place = f"cookie:{found.name.lower()}"
        if _ignored(rules, place) or _ignored(rules, place + attribute):
            ignored = True
            continue
        _report(walk, found, f"cookie:{_cookie_name(found.name)}{attribute}")
    return ignored


def _report(walk: Walk, found: CookieDifference, path: str) -> None:
    def shown(text: str | None) -> Callable[[], str]:
        return lambda: ABSENT if text is None else cut(walk.redactor.by_shape(text) or "present")

    walk.report("format" if found.format else "cookie", path, shown(found.legacy), shown(found.candidate))


def _ignored(rules: CompareRules, place: str) -> bool:
    state = rules.places.get(place)
    return state is not None and state.ignore


def _cookie_name(name: str) -> str:
    """A cookie's name in a path: as with members of JSON, names that are data become ``*``."""
    return name if is_name(name) and ";" not in name and not secret_key(name) else "*"


def outcome_of(answer: Answer) -> str:
    """What became of one side, in a word or two."""
    return answer.failure or f"status {answer.status}"
