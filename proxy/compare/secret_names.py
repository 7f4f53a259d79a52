"""Names under which secrets stand.

Law: spelling makes no difference: case, ``-``, ``_``, camelCase, dots, brackets and compatibility forms of characters
are seen through. When in doubt a name is secret.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

Secret = bool | None
"""What a name says of what stands under it. True: it is secret. False: nothing, so its shape decides. None: it is
shown, for the configuration says so."""

Span = tuple[int, int]
"""Where something stands in a text: from, up to."""

_CONTAINS = (
    "accesskey", "accountkey", "apikey", "authorization", "backupcode", "bearer", "cardnumber", "cardno", "connectsid",
    "cookie", "credential", "creditcard", "csrf", "jsessionid", "jwt", "masterkey", "mnemonic", "onetimecode",
    "passcode", "passphrase", "passwd", "password", "phpsessid", "privatekey", "pwd", "recoverycode", "samlrequest",
    "samlresponse", "secret", "securitycode", "seedphrase", "session", "sharedkey", "signature", "signingkey",
    "encryptionkey", "token", "verificationcode", "xsrf", "authkey", "banyankey", "clientcert",
    "codeverifier", "devicecode", "clientassertion", "subscriptionkey", "functionskey",
)  # fmt: skip
_WORDS = frozenset(
    {
        "auth", "card", "cvc", "cvv", "hmac", "iban", "otp", "pan", "pass", "pin", "pw", "sid", "sig", "ssn", "tan",
        "totp",
    }
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
IN_TEXT = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|account|private)[ _-]?key"
    r"|credential|authorization|session[ _-]?id|csrf|xsrf|cvv|cvc|ssn|iban|card[ _-]?(?:number|no)|jsessionid|phpsessid"
)
"""What makes a name secret that is found in free text: fewer than above, for prose has words of its own."""

_LONGEST = 256
"""Characters of a name worth remembering; longer ones are data."""

_HELD = re.compile(
    r"(?:(.*)(?i:values?)|((?:.*[\W_])?|.*[a-z](?=[A-Z]))(?i:(vals?|v)|content|default|old|new|before|after))(\]?)"
)
"""Members that hold what another one names: ``value``, ``ParameterValue``, ``old``, ``f[0][value]``."""


def _all_spellings(*words: str) -> tuple[str, ...]:
    return tuple(spelled for word in words for spelled in (word, word.capitalize(), word.upper()))


_NAMES = _all_spellings(
    "name", "key", "field", "header", "param", "parameter", "property", "attribute", "variable", "setting", "option"
)
_CALLED = _NAMES + _all_spellings("label", "path", "id", "type", "k", "n")
"""Members that name what stands beside them: the former whatever holds it, all of them a value."""

_ANY_NAMES = frozenset(_NAMES) | {f"{word}{end}" for word in _NAMES for end in ("_name", "-name", "Name", "_NAME")}
_ANY_CALLED = _ANY_NAMES | set(_CALLED)
_OF_PLISTS = frozenset({"string", "integer", "real", "date", "data", "array", "dict"})
"""What stands behind a ``key`` in Apple's property lists."""

NAMING = frozenset({"name", "key", "property", "field", "param", "variable", "attribute", "setting", "option", "k"})
"""Attributes that name what their element holds: in XML the whole content, too."""

LABELLING = NAMING | {"http-equiv", "itemprop", "id", "data-name", "data-key"}
"""Attributes that name the text and the value of their element."""

HINTING = frozenset({"autocomplete", "aria-label", "placeholder"})
"""Attributes that say what value is wanted; the text is one for people."""

HOLDING = frozenset({"value", "content", "data-value", "v"})
"""The attributes with that value."""

LABEL = re.compile(r"\s*\S{1,60}(?: \S{1,30}){0,2}\s*")
"""What is short enough to be a name where sentences stand, too."""

_FEW = 64
"""Members or items that are looked at one by one for names."""


def spelling(name: str) -> str:
    """What all spellings of a name have in common."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    return "".join(c for c in name if c.isalnum()).lower()


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is secret."""
    return _remembered(name) if len(name) <= _LONGEST else _is_secret(name)


def _is_secret(name: str) -> bool:
    joined = spelling(name)
    if any(part in joined for part in _CONTAINS) or joined in _WORDS:
        return True
    return any(word.lower().rstrip("0123456789") in _WORDS for word in _WORD.findall(name))


_remembered = lru_cache(maxsize=8192)(_is_secret)


class Held(NamedTuple):
    """What stands in a member's name before and behind the word that says that the member holds what another one
    names."""

    before: str
    end: str
    value: bool
    """Whether it is called a value."""


@lru_cache(maxsize=8192)
def held(key: str) -> Held | None:
    """How a member says that it holds what another one names; None of most members."""
    if key in _OF_PLISTS:
        return IN_PLISTS
    found = _HELD.fullmatch(key) if len(key) <= _LONGEST else None
    if found is None:
        return None
    return Held(found[1] or found[2] or "", found[4], found[1] is not None or found[3] is not None)


IN_PLISTS = Held("", "", False)
"""Only a ``key`` names it."""


@lru_cache(maxsize=8192)
def is_caller(name: str) -> bool:
    """Whether an element is one that names what stands beside it: ``key``, ``ParameterKey``, ``param-name``."""
    return name in _ANY_CALLED or name.endswith(("Name", "Key", "-name", "-key", "_name", "_key", ".name", ".key"))


def called(how: Held, holder: Mapping[str, Any]) -> Iterator[str]:
    """What other members of an object say that one is which holds something: "password" of ``value`` beside ``{"name":
    "password"}``. The time does not grow with the object."""
    before, end, _ = how
    apart = before[-1:] in ("[", ".")  # of a form's field f[0][value] nothing but f[0][name] speaks
    if how is IN_PLISTS:
        yield from _texts(holder.get("key"))
    elif len(holder) > _FEW:
        for word in _CALLED if how.value else _NAMES:
            yield from _texts(holder.get(f"{before}{word}{end}"))
            if not apart:
                yield from _texts(holder.get(word))
    else:
        words = _ANY_CALLED if how.value else _ANY_NAMES
        for name, value in holder.items():
            own = name.startswith(before) and name.endswith(end) and name[len(before) : len(name) - len(end)] in words
            if own or (name in words and not apart):
                yield from _texts(value)


def _texts(value: Any) -> Iterable[str]:
    """The texts of a value that may be names: of a list each, of an element its content."""
    if type(value) is str:
        return (value,) if len(value) <= _LONGEST else ()
    if type(value) is dict:
        return _texts(value.get("#text")) if type(value.get("#text")) is str else ()
    if type(value) is list:
        return (text for item in value[:_FEW] if type(item) in (str, dict) for text in _texts(item))
    return ()
