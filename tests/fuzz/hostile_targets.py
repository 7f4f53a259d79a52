"""Damaged and hostile bodies, decoders and heads.

Law: whatever comes, there is a verdict; it is never a match of what differs, and it is the same from both sides.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
import zstandard

from proxy.compare.result import Budget
from proxy.config.comparing import Compare
from proxy.messages import Answer, Fields
from tests.fuzz import hostile, rulebook, slow
from tests.fuzz.codings import CODERS, wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.json_targets import KINDS
from tests.fuzz.oracles import Court, Finding

SMALL = (
    Budget(), Budget(), Budget(depth=5), Budget(nodes=50), Budget(decoded_bytes=2000), Budget(differences=1),
    Budget(seconds=0.0), Budget(ratio=2),
)  # fmt: skip


def damaged(court: Court, dice: Dice) -> None:
    """An honest body and the same damaged, or two damaged ones, under any media type, coding and budget."""
    first = hostile.honest(dice)
    a = first.body if dice.below(3) else hostile.damaged(first.body, dice)
    b = hostile.damaged(first.body, dice)
    media = first.media if dice.below(4) else dice.pick(hostile.TYPES)
    legacy = answer_of(a, media, dice)
    candidate = answer_of(b, media if dice.below(6) else dice.pick(hostile.TYPES), dice)
    _both_ways(court, legacy, candidate, dice)


def whole(court: Court, dice: Dice) -> None:
    """Traps beside each other, beside themselves, damaged or honest, and bombs."""
    name = dice.pick(list(hostile.WHOLE))
    media = dice.pick(hostile.TYPES)
    body = hostile.whole(name)
    legacy = Answer(200, [(b"Content-Type", media)], body, False, 0.01)
    other = dice.below(4)
    if other == 0:
        candidate = Answer(200, legacy.fields, hostile.damaged(body, dice), False, 0.01)
    elif other == 1:
        candidate = Answer(200, legacy.fields, body + dice.pick((b" ", b"x", b"\n", b"]")), False, 0.01)
    elif other == 2:
        candidate = Answer(200, legacy.fields, hostile.whole(dice.pick(list(hostile.WHOLE))), False, 0.01)
    else:
        coding = dice.pick(hostile.BOMBS)
        fields: Fields = [(b"Content-Type", media), (b"Content-Encoding", coding.encode())]
        candidate = Answer(200, fields, hostile.bomb(coding), False, 0.01)
        if dice.chance(2):
            candidate.body = hostile.damaged(candidate.body, dice)
    _both_ways(court, legacy, candidate, dice)


def answer_of(body: bytes, media: bytes, dice: Dice) -> Answer:
    if dice.below(3):
        return wrapped(body, media, dice, codings=0)
    if dice.chance(2):
        made = wrapped(body, media, dice)
        made.body = hostile.damaged(made.body, dice)
        return made
    return Answer(200, [(b"Content-Type", media), (b"Content-Encoding", dice.pick(hostile.CODINGS))], body, False, 0.01)


def _both_ways(court: Court, legacy: Answer, candidate: Answer, dice: Dice) -> None:
    budget = dice.pick(SMALL)
    compare = dice.pick((None, Compare(headers=[])))
    if dice.chance(4):
        compare = rulebook.make(dice, KINDS).compare()
    there = court.ask(legacy, candidate, compare, budget=budget, recorded=dice.chance(4), request=candidate.fields)
    back = court.ask(candidate, legacy, compare, budget=budget)
    evidence: dict[str, Any] = {"pair": (legacy, candidate), "compare": compare, "budget": budget}
    # Which limit is met first may depend on the side that is read first, and time is not the same twice.
    if there.verdict != back.verdict and "incomparable" not in (there.verdict, back.verdict):
        raise Finding("hostile: not symmetric", f"{there}\n{back}"[:2000], **evidence)
    if compare is not None and (compare.rename or compare.map):
        return  # the same bytes are then legacy's words from the candidate, which is a difference
    itself = court.ask(candidate, Answer(200, list(candidate.fields), bytes(candidate.body), False, 0.2), compare)
    if itself.verdict not in ("matched", "ignored", "incomparable"):
        raise Finding("hostile: a body differs from itself", repr(itself)[:1500], **evidence)
    a, b = legacy.body, candidate.body
    judged = there.verdict == "matched" and a != b and _plain_json(legacy) and _plain_json(candidate)
    if judged and compare is None and slow.opinion(a, b) != "same":
        raise Finding("hostile: a false match", f"{a[:300]!r} {b[:300]!r}", **evidence)


def _plain_json(answer: Answer) -> bool:
    return [value for _, value in answer.fields] == [b"application/json"]


def decoders(court: Court, dice: Dice) -> None:
    """A damaged coded body never matches what the coding's own library reads otherwise."""
    plain = hostile.honest(dice).body or b"x"
    name = dice.pick([name for name in CODERS if name != "x-gzip"])
    whole_body = dice.pick(CODERS[name])(plain)
    body = hostile.damaged(whole_body, dice)
    fields: Fields = [(b"Content-Type", b"application/octet-stream"), (b"Content-Encoding", name.encode())]
    legacy = Answer(200, fields[:1], plain, False, 0.01)
    result = court.ask(legacy, Answer(200, fields, body, False, 0.01))
    read = _read(name, body)
    if result.verdict == "matched" and read != plain:
        raise Finding(f"{name}: a match of what is not the same", f"{body!r} {read!r} {plain!r}"[:2500], coding=name)
    if result.verdict == "mismatched" and read == plain:
        raise Finding(f"{name}: what is the same is not", f"{body!r} {result}"[:2500], coding=name)
    result = court.ask(legacy, Answer(200, fields, whole_body, False, 0.01))
    if result.verdict != "matched":
        raise Finding(f"{name}: an honest body is not read", f"{whole_body!r} {result}"[:2500], coding=name)


def _read(name: str, body: bytes) -> bytes | None:
    """What the coding's library makes of a body; None if it refuses. Bounded by the body's size: damaged bodies of a
    few kilobytes hold no bomb."""
    try:
        if name == "gzip":
            return gzip.decompress(body)
        if name == "br":
            return bytes(brotli.decompress(body))
        if name == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
                return bytes(reader.read(20_000_000))
        for bits in (15, -15):
            stream = zlib.decompressobj(bits)
            try:
                return stream.decompress(body) + stream.flush()
            except zlib.error:
                continue
    except (OSError, EOFError, zlib.error, brotli.error, zstandard.ZstdError):
        return None
    return None


VALUES = (
    b"", b"a", b"b", b"a=1", b"a=1; Path=/", b"a=1; path=/; HttpOnly", b"a=2; Path=/", b"sid=x; Secure; SameSite=Lax",
    b"/a", b"/b", b"http://h/a", b"https://h/a?x=1", b"text/html", b"text/html;charset=utf-8",
    b'text/html; charset="UTF-8"', b"text/plain", b"max-age=1, public", b"public, max-age=1", b"\xff\xfe", b"\x00",
    b"=", b";", b"; ;", b"a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT", b"a=1; Max-Age=9", b"=x", b"a", b'W/"1"',
    b"x" * 9000, b"a=" + b"b" * 5000, b"a=1; a=2; a=3", b"__Host-a=1; Secure; Path=/", b"a=1;Domain=.x.example",
    b"a=1; Partitioned", b"0", b"*", b"\xc3\xa9",
)  # fmt: skip
FIELD_NAMES = (
    b"Content-Type",
    b"Location",
    b"Set-Cookie",
    b"Cache-Control",
    b"ETag",
    b"X-A",
    b"Vary",
    b"content-type",
    b"X-\xff",
    b"",
)
STATUSES = (200, 200, 201, 204, 301, 302, 304, 404, 500, 503, 0, 999)


def heads(court: Court, dice: Dice) -> None:
    """Statuses, fields, cookies, failures, truncated bodies."""
    compare = Compare(headers=["content-type", "location", "set-cookie", "cache-control", "etag", "x-a", "vary"])
    legacy, candidate = (_head(dice) for _ in range(2))
    there = court.ask(legacy, candidate, compare, recorded=dice.chance(4), request=legacy.fields)
    back = court.ask(candidate, legacy, compare)
    evidence: dict[str, Any] = {"pair": (legacy, candidate)}
    if there.verdict != back.verdict:
        raise Finding("heads: not symmetric", f"{there}\n{back}"[:2000], **evidence)
    told = [found.kind for found in there.differences]
    both = not legacy.failure and not candidate.failure
    if both and legacy.status != candidate.status and all(found.path != "status" for found in there.differences):
        raise Finding("heads: another status is not named", repr(there)[:1500], **evidence)
    if bool(legacy.failure) != bool(candidate.failure) and not {"error", "timeout"} & set(told):
        raise Finding("heads: a failure of one side is not named", repr(there)[:1500], **evidence)
    if there.verdict == "matched" and legacy.body != candidate.body and not _same_unseen(legacy, candidate):
        raise Finding("heads: a match of bodies that differ", repr(there)[:1500], **evidence)
    itself = court.ask(legacy, legacy, compare)
    if itself.verdict == "mismatched":
        raise Finding("heads: an answer differs from itself", repr(itself)[:1500], **evidence)


def _same_unseen(legacy: Answer, candidate: Answer) -> bool:
    return bool(legacy.digest) and legacy.digest == candidate.digest and legacy.size == candidate.size


def _head(dice: Dice) -> Answer:
    if dice.chance(10):
        return Answer(0, [], b"", False, 0.1, dice.pick(("reset", "timeout", "connect-failure", "nonsense")))
    fields = [(dice.pick(FIELD_NAMES), dice.pick(VALUES)) for _ in range(dice.below(5))]
    truncated = dice.chance(8)
    body = dice.pick((b"", b"x", b"y", b"long" * 10))
    size, digest = (dice.pick(((0, b""), (100, b"d1"), (100, b"d2"), (101, b"d1")))) if truncated else (0, b"")
    return Answer(dice.pick(STATUSES), fields, body, truncated, 0.01, size=size, digest=digest)
