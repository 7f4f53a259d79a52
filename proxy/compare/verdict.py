"""The verdict of one pair.

Law: every pair gets exactly one verdict, whatever its bytes are. ``matched`` and ``ignored`` are only said of what was
compared to the end; a limit that was met, or a body that cannot be read, is ``incomparable``.

In this order: a side that failed; status; headers; and, if both statuses are of one class, the bodies as their media
type says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from proxy.compare import text
from proxy.compare.decode import content_type, decode_body, header_values, to_text
from proxy.compare.document import NotJsonError, canonical, has_duplicate_keys, parse_pair
from proxy.compare.redact import PLAIN, Redactor, cut
from proxy.compare.result import Budget, Incomparable, Result
from proxy.compare.rules import CompareRules
from proxy.compare.walk import ABSENT, Walk
from proxy.messages import Answer, Pair

Family = Literal["json", "text", "form", "bytes"]


def compare_pair(
    pair: Pair, rules: CompareRules, budget: Budget, now: Callable[[], float], redactor: Redactor = PLAIN
) -> Result:
    """Compare the two answers of ``pair``. ``now`` gives seconds; it bounds the walk."""
    legacy, candidate = pair.legacy, pair.candidate
    walk = Walk(budget, now, redactor)
    if legacy.failure and candidate.failure:
        return Result("incomparable", "both-failed")
    if legacy.failure or candidate.failure:
        walk.report("error", "error", lambda: _outcome(legacy), lambda: _outcome(candidate))
        return Result("mismatched", "", walk.differences())
    if legacy.status != candidate.status:
        walk.report("status", "status", lambda: str(legacy.status), lambda: str(candidate.status))
    for name in rules.headers:
        _header(walk, name, legacy, candidate)
    ignored = False
    if legacy.status // 100 == candidate.status // 100:
        try:
            ignored = _bodies(walk, legacy, candidate, rules, budget, now)
        except Incomparable as end:
            # What was found before the body is true whatever the body holds; what was found in half a body is not.
            sure = tuple(found for found in walk.differences() if found.kind in ("status", "header"))
            return Result("mismatched", "", sure) if sure else Result("incomparable", end.reason)
    if walk.found:
        return Result("mismatched", "", walk.differences(), walk.more)
    return Result("ignored" if ignored else "matched")


def _outcome(answer: Answer) -> str:
    return answer.failure or f"status {answer.status}"


def _header(walk: Walk, name: str, legacy: Answer, candidate: Answer) -> None:
    raw = name.encode("latin-1", "replace")
    a, b = header_values(legacy.fields, raw), header_values(candidate.fields, raw)
    if a != b and (name != "content-type" or [_spelling(v) for v in a] != [_spelling(v) for v in b]):
        walk.report(
            "header",
            f"header:{name}",
            lambda: _shown_header(name, a, walk.redactor),
            lambda: _shown_header(name, b, walk.redactor),
        )


def _spelling(value: bytes) -> bytes:
    """A media type without what makes no difference: case, spaces and quotes (RFC 9110 section 8.3.1)."""
    return value.lower().replace(b" ", b"").replace(b'"', b"")


def _shown_header(name: str, values: list[bytes], redactor: Redactor) -> str:
    if not values:
        return ABSENT
    texts = [value.decode("utf-8", "replace") for value in values]
    return cut(
        ", ".join(redactor.mask(value) if redactor.is_secret(name) else redactor.by_shape(value) for value in texts)
    )


def _bodies(
    walk: Walk, legacy: Answer, candidate: Answer, rules: CompareRules, budget: Budget, now: Callable[[], float]
) -> bool:
    """Report the bodies' differences; True if they differ only in what is ignored."""
    same_coding = header_values(legacy.fields, b"content-encoding") == header_values(
        candidate.fields, b"content-encoding"
    )
    if legacy.truncated or candidate.truncated:
        raise Incomparable("too-large")
    if legacy.body == candidate.body and same_coding:
        return False
    a, a_known = decode_body(legacy.body, legacy.fields, budget)
    b, b_known = decode_body(candidate.body, candidate.fields, budget)
    if a == b and a_known == b_known:
        return False
    if not a_known or not b_known:
        text.compare_bytes(walk, a, b)
        return False
    if max(len(a), len(b)) > budget.decoded_bytes:
        raise Incomparable("too-large")
    if not a or not b:
        walk.report("extra" if not a else "missing", "body", lambda: _length(a), lambda: _length(b))
        return False
    media_a, charset_a, _ = content_type(legacy.fields)
    media_b, charset_b, _ = content_type(candidate.fields)
    one, two = family(media_a), family(media_b)
    if one != two:
        walk.report("type", "body", lambda: media_a or "no media type", lambda: media_b or "no media type")
    elif one == "json":
        return _json(walk, _utf8(a, charset_a), _utf8(b, charset_b), rules, budget, now)
    elif one == "text":
        lines_a, lines_b = to_text(a, charset_a), to_text(b, charset_b)
        if lines_a != lines_b:
            text.compare_lines(walk, lines_a, lines_b)
        elif charset_a == charset_b or "\ufffd" in lines_a:
            text.compare_bytes(walk, a, b)  # they differ in bytes that are no text
    elif one == "form":
        text.compare_forms(walk, to_text(a, charset_a), to_text(b, charset_b))
    else:
        text.compare_bytes(walk, a, b)
    return False


def family(media: str) -> Family:
    """How bodies of a media type are compared."""
    if media == "application/json" or media.endswith("+json"):
        return "json"
    if text.is_text(media):
        return "text"
    return "form" if media == "application/x-www-form-urlencoded" else "bytes"


def _length(body: bytes) -> str:
    return f"{len(body)} bytes" if body else ABSENT


def _utf8(body: bytes, charset: str) -> bytes:
    if charset in ("", "utf-8", "utf8", "us-ascii"):
        return body
    try:
        return body.decode(charset).encode("utf-8")
    except (LookupError, UnicodeError, ValueError):
        return body


def _json(walk: Walk, a: bytes, b: bytes, rules: CompareRules, budget: Budget, now: Callable[[], float]) -> bool:
    try:
        x, y = parse_pair(a, b, budget)
    except NotJsonError as error:
        side = error.args[1]
        if side == "both":
            raise Incomparable("invalid-json") from None
        shown = ("not JSON", "JSON") if side == "legacy" else ("JSON", "not JSON")
        walk.report("type", "$", lambda: shown[0], lambda: shown[1])
        return False
    try:
        same = canonical(x) == canonical(y)
    except TypeError:
        raise Incomparable("too-deep") from None
    if not same:
        before = len(walk.found)
        walk.compare(x, y, rules.start, "$")
        if len(walk.found) > before or walk.more:
            return False
    if has_duplicate_keys(a, x, budget) or has_duplicate_keys(b, y, budget):
        raise Incomparable("duplicate-keys")
    return not same and rules.ignores and _differs(x, y, rules.without_ignore, budget, now)


def _differs(x: Any, y: Any, rules: CompareRules, budget: Budget, now: Callable[[], float]) -> bool:
    walk = Walk(budget._replace(differences=1), now)
    walk.compare(x, y, rules.start, "$")
    return bool(walk.found)
