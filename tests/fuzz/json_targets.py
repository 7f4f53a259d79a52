"""JSON against itself, against one change, and under rules.

Law: a finding is a false match, a false mismatch, or a difference that names another place than the one that changed.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.result import Result
from proxy.config.comparing import Compare
from proxy.messages import Answer, Fields
from tests.fuzz import documents, rulebook, slow
from tests.fuzz.codings import wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.documents import Num
from tests.fuzz.oracles import Court, Finding, mirrored, names_only, names_place, silenced

MEDIA = (
    b"application/json",
    b"application/problem+json",
    b"application/vnd.x.v1+json",
    b"application/json; charset=utf-8",
)

KINDS = [
    "ignore",
    "unordered",
    "tolerance",
    "map",
    "uuid",
    "timestamp",
    "number",
    "opaque",
    "url-without-host",
    "regex",
]
"""Of rules, for ``ruled``."""


def plain(court: Court, dice: Dice) -> None:
    """No rules: written otherwise it is matched, changed in one place it is mismatched, there and nowhere else."""
    secrets: list[str] = []
    document = documents.make(dice, 4, secrets)
    media = dice.pick(MEDIA)
    legacy_text, same_text = documents.write(document).encode(), documents.write(document, dice).encode()
    legacy, same = wrapped(legacy_text, media, dice), wrapped(same_text, media, dice)
    second(legacy_text, same_text, court.ask(legacy, same, secrets=secrets), legacy, same)

    changed, touched = documents.change(document, dice)
    changed_text = documents.write(changed, dice).encode()
    candidate = wrapped(changed_text, media, dice, _secret_fields(dice, secrets))
    result = court.ask(legacy, candidate, secrets=secrets, recorded=dice.chance(6))
    second(legacy_text, changed_text, result, legacy, candidate)
    evidence = {"pair": (legacy, candidate), "touched": touched, "result": result}
    if result.verdict != "mismatched":
        return
    if not names_place(result, touched):
        raise Finding("the place of a change is not named", repr(result.differences)[:1500], **evidence)
    if not names_only(result, touched):
        raise Finding("a place is named that has not changed", repr(result.differences)[:1500], **evidence)
    back = court.ask(candidate, legacy, secrets=secrets)
    if not mirrored(result, back):
        raise Finding("not symmetric", f"{result.differences}\n{back.differences}"[:2500], **evidence)
    silenced(court, legacy, candidate, result, Compare(headers=[]))


def second(a: bytes, b: bytes, result: Result, legacy: Answer, candidate: Answer) -> None:
    """The verdict of a comparison without rules agrees with a second opinion about the decoded bodies."""
    opinion = slow.opinion(a, b)
    if opinion == "other" and result.verdict == "matched":
        raise Finding("a false match", f"{a[:500]!r} {b[:500]!r}", pair=(legacy, candidate))
    if opinion == "same" and result.verdict not in ("matched", "incomparable"):
        raise Finding("a false mismatch", f"{result}"[:1500], pair=(legacy, candidate))
    if opinion == "unreadable" and result.verdict in ("matched", "ignored") and a != b:
        raise Finding("a match of what cannot be read", f"{a[:500]!r} {b[:500]!r}", pair=(legacy, candidate))


def _secret_fields(dice: Dice, secrets: list[str]) -> Fields:
    """Fields whose values, or a part of them, may not be shown."""
    if not dice.chance(6):
        return []
    token = f"Zq{dice.text('abcdefghkmnpqrstuvwxyzQWRT', 24)}zQheadqZ"
    secrets.append(token)
    return [dice.pick((
        (b"Set-Cookie", f"sid={token}; Path=/".encode()), (b"X-API-Key", token.encode()),
        (b"Authorization", f"Bearer {token}".encode()), (b"Location", f"/x?access_token={token}&a=1".encode()),
        (b"WWW-Authenticate", f"Bearer {token}".encode()), (b"Set-Cookie", f"__Host-s={token}".encode()),
    ))]  # fmt: skip


def ruled(court: Court, dice: Dice) -> None:
    """Rules by chance: what they allow is no mismatch; what they do not speak of, or forbid, is one."""
    book = rulebook.make(dice, KINDS)
    compare = book.compare()
    evidence = {"compare": compare}

    def answered(document: Any) -> Answer:
        return wrapped(documents.write(document, dice).encode(), b"application/json", dice, codings=0)

    legacy = answered(book.document)
    same = answered(rulebook.allowed(book, book.document, dice))
    result = court.ask(legacy, same, compare)
    if result.verdict == "mismatched":
        raise Finding("rules: a false mismatch", repr(result.differences)[:1500], pair=(legacy, same), **evidence)
    if not book.one_way():
        back = court.ask(same, legacy, compare)
        if back.verdict != result.verdict:
            raise Finding("rules: not symmetric", f"{result}\n{back}"[:2000], pair=(legacy, same), **evidence)

    free = rulebook.free_places(book)
    if free:
        place = dice.pick(free)
        fresh: Any = Num("777777") if type(documents.at(book.document, place)) is str else "fresh-zq"
        changed = documents.put(book.document, place, fresh)
        if type(place[-1]) is str and dice.chance(3):
            changed = documents.without(book.document, place)
        other = answered(rulebook.allowed(book, changed, dice))
        _must_be_named(court, legacy, other, compare, place, "rules: a change that no rule speaks of")

    ruled_places = rulebook.ruled_places(book)
    if ruled_places:
        rule, place = dice.pick(ruled_places)
        document = rulebook.allowed(
            book._replace(rules=[r for r in book.rules if r.what == "ignore"]), book.document, dice
        )
        broken = documents.put(document, place, rulebook.forbidden(book, rule, place, dice))
        if documents.write(broken) != documents.write(book.document):  # equal answers match under any rules
            what = f"rules: {rule.what} is broken"
            _must_be_named(court, legacy, answered(broken), compare, place, what)


def _must_be_named(
    court: Court, legacy: Answer, other: Answer, compare: Compare, place: documents.Place, what: str
) -> None:
    result = court.ask(legacy, other, compare)
    evidence = {"pair": (legacy, other), "compare": compare, "place": place}
    if result.verdict in ("matched", "ignored"):
        raise Finding(f"{what}, and it is {result.verdict}", repr(place), **evidence)
    if result.verdict == "mismatched" and not names_place(result, [place]):
        raise Finding(f"{what}, and its place is not named", f"{place}: {result.differences}"[:1500], **evidence)
