"""Secrets by their shape, in every place that a pair has.

Law: what has the shape of a secret is shown nowhere: not in a difference, not in a record, not in deepdiff's words.
"""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from proxy.compare.explain import explain
from proxy.compare.record import record
from proxy.compare.result import Budget
from proxy.messages import Fields
from tests.fuzz.codings import wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.oracles import Court, Finding, guarded, pair

LETTERS = "abcdefghkmnpqrstuvwxyzQWRTZ23456789"
AROUND = ("", " ", "see ", "(", '"', "'", "\n", "x: ", "a,b,", "é ", "[", "<b>", "Authorization: ")
AFTER = ("", " ", ".", ", please", ")", '"', "'", "\n", "\nmore", " é", "]", "</b>", ";")


def shaped(dice: Dice) -> tuple[str, str]:
    """A text that tells that it is secret, and the part of it that may not be seen."""
    token = "Zq" + "".join(dice.pick(LETTERS) for _ in range(18 + dice.below(12))) + "qZ"
    way = dice.below(14)
    if way == 0:
        return f"Bearer {token}", token
    if way == 1:
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","n":%d}' % dice.below(1000)).decode().rstrip("=")
        return f"{head}.{base64.urlsafe_b64encode(token.encode()).decode().rstrip('=')}.{token}", token
    if way == 2:
        digits = card(dice)
        sign = dice.pick(("", " ", "-"))
        shown = sign.join(digits[at : at + 4] for at in range(0, 16, 4))
        return shown, shown
    if way == 3:
        key = dice.pick(("ghp_", "sk_live_", "xoxb-", "glpat-")) + token
        return key, token
    if way == 4:
        return f"-----BEGIN PRIVATE KEY-----\n{token}\n{token}\n-----END PRIVATE KEY-----", token
    if way == 5:
        return f"{dice.pick(('postgres', 'https'))}://bob:{token}@db.example/x", token
    name = dice.pick(("password", "apiKey", "client_secret", "session-id", "csrf_token", "X-Api-Key"))
    if way == 6:
        return f"{name}={token}", token
    if way == 7:
        return f'{{"{name}": "{token}"}}', token
    if way == 8:
        return f"--{name} {token}", token
    if way == 9:
        return f"Cookie: a=1; sid={token}", token
    if way == 10:
        return json.dumps([name, token]), token
    if way == 11:
        return f"('{name}', '{token}')", token
    if way == 12:
        return json.dumps({"name": name, "value": token}), token
    return f"{name}: {token}", token


def card(dice: Dice) -> str:
    """Sixteen digits with a check digit that is right (ISO/IEC 7812-1)."""
    digits = [4, *(dice.below(10) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2]) + sum(digits[1::2])
    return "".join(map(str, digits)) + str(-doubled % 10)


def planted(court: Court, dice: Dice) -> None:
    """One secret in one place of both answers, beside something that differs, or differing itself."""
    text, hidden = shaped(dice)
    text = dice.pick(AROUND) + text + dice.pick(AFTER)
    media, body = placed(text, dice)
    other_text = text.replace(hidden, hidden[::-1]) if dice.chance(2) else "other"
    other = placed(other_text, dice, media)[1]
    more: Fields = []
    if dice.chance(3):
        more = [(dice.pick((b"X-Note", b"Location", b"Set-Cookie", b"Link", b"Warning")), _one_line(text))]
    legacy, candidate = wrapped(body, media, dice, more), wrapped(other, media, dice)
    secrets = [hidden]
    result = court.ask(legacy, candidate, secrets=secrets, recorded=True, request=more)
    made = pair(legacy, candidate, [(b"Content-Type", media), *more])
    made.body = body
    made.target = b"/a/" + quote(_one_line(text), safe="").encode() + b"?q=" + quote(_one_line(text), safe="").encode()
    with guarded("record", pair=made):
        stored = record(made, result, Budget(), court.redactor)
        told = explain(stored["legacy"]["body"], stored["candidate"]["body"]) if dice.chance(8) else ""
    for shown in (json.dumps(stored, ensure_ascii=False), told):
        if hidden in shown or quote(hidden, safe="") in shown:
            at = max(shown.find(hidden), shown.find(quote(hidden, safe="")))
            where = f"…{shown[max(0, at - 200) : at + 60]}…\nof {text!r} in {media!r}"
            raise Finding("a secret by its shape is shown", where, pair=(legacy, candidate))


PLACES = (
    b"application/json", b"text/plain", b"application/x-ndjson", b"text/csv", b"text/event-stream", b"application/xml",
    b"text/html", b"application/x-www-form-urlencoded",
)  # fmt: skip


def _one_line(text: str) -> bytes:
    return text.replace("\n", " ").encode()


def placed(text: str, dice: Dice, media: bytes = b"") -> tuple[bytes, bytes]:
    """The text in a body of some media type (of ``media`` if one is given): (media type, body)."""
    media = media or dice.pick(PLACES)
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    body = {
        b"application/json": json.dumps({"a": {"note": [1, text]}}, ensure_ascii=False),
        b"text/plain": f"one\ntwo {text} three\nfour",
        b"application/x-ndjson": json.dumps({"note": text}) + "\n" + json.dumps([text]),
        b"text/csv": 'id,note\r\n1,"' + text.replace('"', '""') + '"\r\n',
        b"text/event-stream": "".join(f"data: {line}\n" for line in text.split("\n")) + "\n",
        b"application/xml": f"<a><note>{escaped}</note></a>",
        b"text/html": f"<!doctype html><p>one</p><p>{escaped}</p>",
        b"application/x-www-form-urlencoded": f"note={quote(text)}&b=1",
    }[media]
    return media, body.encode()
