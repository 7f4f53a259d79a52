"""The verdict of one pair.

Law: every pair gets exactly one verdict, whatever its bytes are. ``matched`` and ``ignored`` are only said of what was
compared to the end; a limit that was met, or a body that cannot be read, is ``incomparable``. What was found before
such an end is true all the same.

In this order: a side that failed; status; headers; and, if both statuses are of one class, the bodies as their media
type says. The worst difference comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from proxy.compare import charsets, text
from proxy.compare.decode import codings, decode_body
from proxy.compare.document import BOM, canonical
from proxy.compare.headers import compare_heads, outcome_of
from proxy.compare.long import compare_long, report_media
from proxy.compare.media import reader_of
from proxy.compare.readers import Content, Documents, UnreadableError, content, read_pair
from proxy.compare.redact import PLAIN, Redactor, cut
from proxy.compare.result import WEIGHTS, Budget, Difference, Incomparable, Kind, Result
from proxy.compare.rules import CompareRules
from proxy.compare.walk import ABSENT, Walk
from proxy.errors import CONSEQUENCES, Party
from proxy.messages import Answer, Pair

Family = Literal["json", "text", "form", "bytes"]

_TIMEOUTS = frozenset(
    kind.value
    for kind, consequence in CONSEQUENCES.items()
    if consequence.party is Party.UPSTREAM and kind.value.endswith("timeout")
)


_RECORD = b"\x1e"
"""Stands before each document of a JSON text sequence (RFC 7464); in NDJSON it is no JSON."""

_MARKED = frozenset({"json", "lines", "csv", "tsv", "form"})
"""Readers of media in which not everybody passes over a byte order mark (RFC 8259, section 8.1, for one)."""


def compare_pair(
    pair: Pair, rules: CompareRules, budget: Budget, now: Callable[[], float], redactor: Redactor = PLAIN
) -> Result:
    """Compare the two answers of ``pair``. ``now`` gives seconds; it bounds the walk."""
    legacy, candidate = pair.legacy, pair.candidate
    head = Walk(budget, now, redactor)
    if legacy.failure and candidate.failure:
        return Result("incomparable", "both-failed")
    if legacy.failure or candidate.failure:
        kind: Kind = "timeout" if (legacy.failure or candidate.failure) in _TIMEOUTS else "error"
        head.report(kind, "error", lambda: outcome_of(legacy), lambda: outcome_of(candidate))
        return Result("mismatched", "", head.differences())
    ignored = compare_heads(head, pair, rules)
    found, more = head.differences(), head.more
    if legacy.status // 100 == candidate.status // 100:
        try:
            body, ignored_there = _bodies(legacy, candidate, rules, budget, now, redactor)
        except Incomparable as end:
            # What was found in the head is true whatever the body holds; what was found in half a body is not.
            return _mismatched(found, more, budget) if found else Result("incomparable", end.reason)
        except RecursionError:  # within the parser's depth, but rules take more calls for each level
            return _mismatched(found, more, budget) if found else Result("incomparable", "too-deep")
        ignored |= ignored_there
        found += body.differences()
        more += body.more
    if found:
        return _mismatched(found, more, budget)
    return Result("ignored" if ignored else "matched")


def _mismatched(found: tuple[Difference, ...], more: int, budget: Budget) -> Result:
    """The differences by their weight, the worst first; what has no room is counted."""
    if len(found) > 1:
        found = tuple(sorted(found, key=lambda difference: -WEIGHTS[difference.kind]))
        more += sum(difference.times for difference in found[budget.differences :])
    return Result("mismatched", "", found[: budget.differences], more)


def _bodies(
    legacy: Answer,
    candidate: Answer,
    rules: CompareRules,
    budget: Budget,
    now: Callable[[], float],
    redactor: Redactor,
) -> tuple[Walk, bool]:
    """A walk with the bodies' differences, and whether they differ only in what is ignored."""
    walk = Walk(budget, now, redactor)
    # Where the contract changed on purpose, the same bytes are legacy's words from the candidate.
    literal = rules.both_legacy or not rules.translates
    if legacy.truncated or candidate.truncated:
        compare_long(walk, legacy, candidate)
        if not (walk.found or literal):
            raise Incomparable("too-large")
        return walk, False
    if (
        literal
        and legacy.body == candidate.body
        and codings(legacy.fields) == codings(candidate.fields)
        and _read_alike(legacy, candidate)
    ):
        return walk, False
    raw_a, a_known = decode_body(legacy.body, legacy.fields, budget)
    raw_b, b_known = decode_body(candidate.body, candidate.fields, budget)
    if not a_known or not b_known:
        if raw_a != raw_b or a_known != b_known or codings(legacy.fields) != codings(candidate.fields):
            text.compare_bytes(walk, raw_a, raw_b)
        return walk, False
    if max(len(raw_a), len(raw_b)) > budget.decoded_bytes:
        raise Incomparable("too-large")
    if not raw_a or not raw_b:
        if raw_a or raw_b:
            walk.report("extra" if not raw_a else "missing", "body", lambda: _length(raw_a), lambda: _length(raw_b))
        return walk, False
    a, b = content(raw_a, legacy.fields), content(raw_b, candidate.fields)
    if literal and a == b:
        return walk, False
    if a.reader != b.reader:
        report_media(walk, a, b)
        return walk, False
    if a.reader in ("image", "bytes"):
        if a.body != b.body:
            text.compare_bytes(walk, a.body, b.body)
        return walk, False
    if a.reader == "text":
        _lines(walk, a, b)
        return walk, False
    return _structured(walk, a, b, rules, budget, now)


def _read_alike(legacy: Answer, candidate: Answer) -> bool:
    """Whether the same bytes are the same text on both sides."""
    a, b = content(legacy.body, legacy.fields), content(candidate.body, candidate.fields)
    if "multipart" in (a.reader, b.reader) and a.boundary != b.boundary:
        return False
    if a.charset == b.charset and a.reader == b.reader:
        return True
    return a.body.isascii() and charsets.is_ascii_based(a.charset) and charsets.is_ascii_based(b.charset)


def _length(body: bytes) -> str:
    return f"{len(body)} bytes" if body else ABSENT


def _structured(
    walk: Walk, a: Content, b: Content, rules: CompareRules, budget: Budget, now: Callable[[], float]
) -> tuple[Walk, bool]:
    if a.reader == "unknown":
        guessed = _guess(a, b)
        if guessed is None:
            _lines(walk, a, b)
            return walk, False
        a, b = guessed
    try:
        documents = read_pair(a, b, budget, now, walk.redactor.is_secret)
    except UnreadableError as error:
        if error.side != "both":
            shown = (f"not {error.what}", error.what)
            one, two = shown if error.side == "legacy" else shown[::-1]
            walk.report("type", "$", lambda: one, lambda: two)
        elif a == b:
            pass  # there is no contract in what cannot be read
        elif a.media and a.reader in ("json", "lines"):
            raise Incomparable("invalid-json") from None
        else:
            _lines(walk, a, b)
        return walk, False
    redactor = walk.redactor.for_rows_of_two() if documents.of_two else walk.redactor
    walk = Walk(budget, now, redactor)  # its time begins when there is something to walk through
    if a.reader == "html":
        rules = rules.for_pages
    ignored = _documents(walk, documents, rules, budget, now)
    _signs(walk, "a byte order mark", *(side.reader in _MARKED and side.body.startswith(BOM) for side in (a, b)))
    _signs(walk, "record separators", *(side.reader == "lines" and _RECORD in side.body for side in (a, b)))
    return walk, ignored


def _signs(walk: Walk, what: str, legacy: bool, candidate: bool) -> None:
    """Report what one side has between its documents that some readers take and others do not."""
    if legacy != candidate:
        one, two = (f"with {what}" if has else f"without {what}" for has in (legacy, candidate))
        walk.report("format", "body", lambda: one, lambda: two)


def _guess(a: Content, b: Content) -> tuple[Content, Content] | None:
    """Bodies without a media type that are plainly JSON."""
    if a.body.lstrip()[:1] in (b"{", b"[") and b.body.lstrip()[:1] in (b"{", b"["):
        return a._replace(reader="json"), b._replace(reader="json")
    return None


def _lines(walk: Walk, a: Content, b: Content) -> None:
    """Text line by line, if both are text."""
    if a == b:
        return
    labels, medias = (a.charset, b.charset), (a.media, b.media)
    x, y = charsets.texts(a.body, b.body, labels, medias)
    if x is None or y is None or "\x00" in x or "\x00" in y:
        text.compare_bytes(walk, a.body, b.body)
        return
    if x == y:  # the byte order mark, which not everybody passes over
        x, y = ("\ufeff" * side.body.startswith(BOM) + said for side, said in ((a, x), (b, y)))
    if x != y:
        text.compare_lines(walk, x, y)


def _documents(walk: Walk, documents: Documents, rules: CompareRules, budget: Budget, now: Callable[[], float]) -> bool:
    """Walk through both documents; True if they differ only in what is ignored."""
    x, y = documents.legacy, documents.candidate
    if rules.translates:
        x, y = rules.translate(x, y), rules.translate(y, x) if rules.both_legacy else y
    if rules.prepare is not None:
        x, y = rules.prepare(x, rules.start), rules.prepare(y, rules.start)
    try:
        # What is unequal to Python is unequal, and known at little cost; what is equal to it may still be 1 and true.
        same = bool(x == y) and canonical(x) == canonical(y)
    except TypeError:
        raise Incomparable("too-deep") from None
    if documents.columns is not None and not rules.start.ignore:
        one, two = documents.columns
        walk.report("order", "$", lambda: cut(walk.redactor.by_shape(one)), lambda: cut(walk.redactor.by_shape(two)))
    if not same:
        walk.compare(x, y, rules.start, "$")
    if walk.found or walk.more:
        return False
    if documents.doubtful is not None:
        documents.doubtful()
    return not same and rules.ignores and _differs(x, y, rules.without_ignore, budget, now)


def _differs(x: Any, y: Any, rules: CompareRules, budget: Budget, now: Callable[[], float]) -> bool:
    walk = Walk(budget._replace(differences=1), now)
    walk.compare(x, y, rules.start, "$")
    return bool(walk.found)


def family(media: str) -> Family:
    """How bodies of a media type are shown: as JSON, as lines of text, as form fields, or not at all."""
    reader = reader_of(media)
    if reader in ("json", "form"):
        return "json" if reader == "json" else "form"
    return "bytes" if reader in ("bytes", "image", "multipart", "unknown") else "text"
