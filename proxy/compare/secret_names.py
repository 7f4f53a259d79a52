"""Names under which secrets stand.

Law: spelling makes no difference: case, ``-``, ``_``, camelCase, dots, brackets and compatibility forms of characters
are seen through. When in doubt a name is secret.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
