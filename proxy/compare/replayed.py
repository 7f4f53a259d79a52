"""A recorded answer of legacy's against a fresh one of a new build.

Law: both are compared as they may be stored, redacted under one key, with the rules of the route. What the record does
not tell is ``incomparable``, never a match: a body recorded in part, bytes of which only a digest under another key is
known. Secrets whose key is not at hand are compared by type and length, those under a rule by their type only; both are
counted.

Time has passed between the two answers: what is a time of answering (a cookie's end, what a ``timestamp`` rule names)
may have moved on by as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from proxy.compare import masked_pairs
from proxy.compare.decode import codings, content_type
from proxy.compare.masks import MASK
from proxy.compare.media import UNSTRUCTURED, reader_of
from proxy.compare.record import answer
from proxy.compare.redact import Redactor
from proxy.compare.redact_fields import MAX_STORED_FIELDS, MAX_STORED_VALUE
from proxy.compare.result import WEIGHTS, Budget, Difference, Kind, Result
from proxy.compare.rules import CompareRules
from proxy.compare.states import Rule
from proxy.compare.verdict import compare_pair
from proxy.compare.walk import ABSENT
from proxy.messages import Answer, Fields, Pair

NO_KEY = "no-key"
"""Two bodies that are no text: they are told apart by digests, and the key of the record's is not at hand."""
NOT_RECORDED = "not-recorded"
"""The record holds too little of the answer: a field too long to be stored, characters that could not be decoded, only
the digest of a body that may be written in several ways."""


class Asked(NamedTuple):
    """When and how an answer came about. Times are seconds since the epoch; ``key_id`` names the key that the record
    was redacted under."""

    method: str
    recorded_at: float
    asked_at: float
    key_id: str


class Replayed(NamedTuple):
    """What came of one request. ``loosely``: secrets of legacy's that were compared by type, or type and length."""

    result: Result
    loosely: int


def compare_replayed(
    recorded: dict[str, Any],
    fresh: Answer,
    asked: Asked,
    rules: CompareRules,
    budget: Budget,
    now: Callable[[], float],
    redactor: Redactor,
) -> Replayed:
    """Compare ``recorded`` (legacy's side of a record) with the fresh answer. ``now`` gives seconds, of any clock."""
    under = redactor.with_key(asked.key_id)
    side = answer(fresh, budget, under or redactor)
    loosely = 0
    if under is None:
        recorded, loosely = masked_pairs.without_hashes(recorded, rules)
        side, _ = masked_pairs.without_hashes(side, rules)
    masks = masked_pairs.Masked()
    rules = _for_records(rules, asked, under, masks)
    shown = masked_pairs.AfterRedaction(under or redactor)

    def compare(legacy: Answer, candidate: Answer, rules: CompareRules) -> Result:
        pair = Pair(
            generation=0, route="", request_id="", at=asked.asked_at, method=asked.method, target=b"", fields=[],
            body=b"", arm="legacy", reason="", cohorts=[], legacy=legacy, candidate=candidate,
        )  # fmt: skip
        return compare_pair(pair, rules, budget, now, shown)

    legacy_head = _head(masked_pairs.moved_on(recorded, side, asked.asked_at - asked.recorded_at), rules, masks)
    head = compare(legacy_head, _head(side, rules), rules)
    if recorded["failure"] or side["failure"] or recorded["status"] // 100 != side["status"] // 100:
        return Replayed(head, loosely)
    body = _bodies(recorded, side, fresh, compare, replace(rules, headers=()))
    result = _joined(head, body, exact=_head_is_whole(recorded, fresh, rules), room=budget.differences)
    return Replayed(result, loosely if under is None else masks.loose)


def _for_records(rules: CompareRules, asked: Asked, under: Redactor | None, masks: masked_pairs.Masked) -> CompareRules:
    """The rules, for a legacy answer that is older than the other one and in which secrets are masked."""
    passed = Decimal(str(max(0.0, asked.asked_at - asked.recorded_at)))

    def aged(rule: Rule) -> Rule:
        if rule.matcher is None or rule.matcher.kind != "timestamp":
            return rule
        return rule._replace(matcher=replace(rule.matcher, passed=passed))

    maps = rules.maps if under is None else tuple(masked_pairs.also_masked(rule, under) for rule in rules.maps)
    outside = tuple((place, aged(rule)) for place, rule in rules.outside)
    return replace(
        rules, rules=tuple(map(aged, rules.rules)), maps=maps, outside=outside, prepare=masks.prepare
    )  # fmt: skip


def _head(side: dict[str, Any], rules: CompareRules, masks: masked_pairs.Masked | None = None) -> Answer:
    """The side without its body."""
    fields: Fields = [
        (
            name.encode("latin-1", "replace"),
            masked_pairs.under_rules(name, value, rules, masks).encode("utf-8", "replace"),
        )
        for name, value in side["headers"]
    ]
    return Answer(side["status"], fields, b"", False, side["seconds"], side["failure"])


def _head_is_whole(recorded: dict[str, Any], fresh: Answer, rules: CompareRules) -> bool:
    """Whether equal recorded fields were equal on the wire, too."""
    if len(fresh.fields) > MAX_STORED_FIELDS or len(recorded["headers"]) >= MAX_STORED_FIELDS:
        return not rules.headers
    if any("\ufffd" in value for name, value in recorded["headers"] if name.lower() in rules.headers):
        return False
    return all(
        len(value) <= MAX_STORED_VALUE
        for name, value in fresh.fields
        if name.decode("latin-1").lower() in rules.headers
    )


def _joined(head: Result, body: Result, *, exact: bool, room: int) -> Result:
    """What head and body show together: differences in one are true whatever is known of the other."""
    found = (*head.differences, *body.differences)
    if found:
        found = tuple(sorted(found, key=lambda difference: -WEIGHTS[difference.kind]))
        more = head.more + body.more + sum(difference.times for difference in found[room:])
        return Result("mismatched", "", found[:room], more)
    if body.verdict == "incomparable":
        return body
    if not exact:
        return Result("incomparable", NOT_RECORDED)
    return Result("ignored" if "ignored" in (head.verdict, body.verdict) else "matched")


# -- bodies ---------------------------------------------------------------------------------------------------------

_Compare = Callable[[Answer, Answer, CompareRules], Result]


def _bodies(
    recorded: dict[str, Any], side: dict[str, Any], fresh: Answer, compare: _Compare, rules: CompareRules
) -> Result:
    a, b = recorded["body"], side["body"]
    one, two = _content_type(recorded), _content_type(side)
    if a["cut"] or b["cut"]:
        same = rules.both_legacy or not rules.translates  # what is the same in it, is it in the end
        if same and _is_digest_of_both(a, b) and _said_type(recorded) == _said_type(side):
            return Result("matched")
        return _cut(a, b, fresh, plain=one[0] == two[0] == "text")
    if a["kind"] == "none" or b["kind"] == "none":
        if a["kind"] == b["kind"]:
            return Result("matched")
        legacy, candidate = ((f"{body['bytes']} bytes" if body["bytes"] else ABSENT) for body in (a, b))
        return _mismatch("extra" if a["kind"] == "none" else "missing", legacy, candidate)
    if "bytes" in (a["kind"], b["kind"]):
        return _bytes(recorded, side, one, two)
    if "multipart" in (a["kind"], b["kind"]):  # recorded for people: in lines, part by part
        return Result("incomparable", NOT_RECORDED)
    result = compare(_text(recorded, *one), _text(side, *two), rules)
    lossy = any(body["kind"] != "json" and "\ufffd" in body["text"] for body in (a, b))  # bytes that may differ
    return Result("incomparable", NOT_RECORDED) if lossy and result.verdict in ("matched", "ignored") else result


def _content_type(side: dict[str, Any]) -> tuple[str, str]:
    """The reader and the media type of a side's body."""
    fields: Fields = [(name.encode("latin-1", "replace"), value.encode()) for name, value in side["headers"]]
    media = content_type(fields)[0]
    return reader_of(media), media


def _text(side: dict[str, Any], reader: str, media: str) -> Answer:
    """A recorded body alone, as it would be sent in UTF-8."""
    text = side["body"]["text"]
    if reader in ("csv", "tsv"):
        text = MASK.sub(lambda match: match[0].replace(",", ""), text)  # a comma would make two cells of one
    fields: Fields = [(b"content-type", f"{media}; charset=utf-8".encode())] if media else []
    return Answer(200, fields, text.encode("utf-8", "replace"), False, 0.0)


def _mismatch(kind: Kind, legacy: str, candidate: str) -> Result:
    return Result("mismatched", "", (Difference(kind, "body", legacy, candidate),))


def _cut(a: dict[str, Any], b: dict[str, Any], fresh: Answer, *, plain: bool) -> Result:
    """One of them was not recorded to its end. Only a body that was, and is shorter than any spelling of the other one,
    is known to differ from it."""
    if not a["cut"] and a["bytes"] <= len(fresh.body) and (fresh.truncated or (plain and b["cut"])):
        more = f"more than {len(fresh.body)} bytes" if fresh.truncated else f"{len(fresh.body)} bytes"
        return _mismatch("size", f"{a['bytes']} bytes", more)
    return Result("incomparable", "too-large")


def _is_digest_of_both(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether both were cut off by the record, and are the same document, or the same bytes, to their ends."""
    return a["cut"] and b["cut"] and bool(a.get("digest")) and a["digest"] == b.get("digest")


def _said_type(side: dict[str, Any]) -> list[str]:
    return [value for name, value in side["headers"] if name.lower() == "content-type"]


def _bytes(recorded: dict[str, Any], side: dict[str, Any], one: tuple[str, str], two: tuple[str, str]) -> Result:
    """At least one body is known by its length and digest only."""
    a, b = recorded["body"], side["body"]
    coded = [codings([(n.encode("latin-1", "replace"), v.encode()) for n, v in s["headers"]]) for s in (recorded, side)]
    if one[0] != two[0]:
        return _mismatch("type", one[1] or "no media type", two[1] or "no media type")
    if a["kind"] != b["kind"]:
        return Result("incomparable", NOT_RECORDED)
    same = _same_bytes(a, b)
    if same and coded[0] == coded[1]:
        return Result("matched")
    if same is None:
        return Result("incomparable", NO_KEY)
    if not same and (coded[0] or coded[1] or one[0] not in (*UNSTRUCTURED, "unknown")):
        return Result("incomparable", NOT_RECORDED)  # other bytes may say the same
    legacy, candidate = (", ".join(filter(None, (f"{body['bytes']} bytes", body.get("digest")))) for body in (a, b))
    return _mismatch("digest", legacy, candidate)


def _same_bytes(a: dict[str, Any], b: dict[str, Any]) -> bool | None:
    """Whether two bodies are the same bytes; None: the digests were made under two keys."""
    if a["bytes"] != b["bytes"]:
        return False
    if a.get("sha256") and b.get("sha256"):
        return bool(a["sha256"] == b["sha256"])
    one, two = (str(body.get("digest") or "").partition(":") for body in (a, b))
    return one[2] == two[2] if one[0] and one[0] == two[0] else None
