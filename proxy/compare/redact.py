"""What is secret, and what is shown in its place.

Law: a masked value shows that it is masked, its type and its length, and nothing else; when in doubt it is masked. A
value is secret by the name it stands under (headers, fields, parameters, cookies) or by its shape (bearer tokens, JWTs,
card numbers, well-known keys), wherever it stands.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import orjson

from proxy.compare.document import Number

_CONTAINS = (
    "accesskey", "apikey", "authorization", "bearer", "cardnumber", "cardno", "connectsid", "cookie", "credential",
    "creditcard", "csrf", "jsessionid", "jwt", "onetimecode", "passcode", "passphrase", "passwd", "password",
    "phpsessid", "privatekey", "pwd", "secret", "securitycode", "session", "signature", "signingkey", "encryptionkey",
    "token", "xsrf", "authkey", "banyankey",
)  # fmt: skip
_WORDS = frozenset({"card", "cvc", "cvv", "iban", "otp", "pan", "pass", "pin", "sid", "ssn", "tan", "auth"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


@lru_cache(maxsize=8192)
def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is secret; ``-``, ``_``, camelCase and case make no difference."""
    joined = "".join(c for c in name if c.isalnum()).lower()
    if any(part in joined for part in _CONTAINS) or joined in _WORDS:
        return True
    return any(word.lower().rstrip("0123456789") in _WORDS for word in _WORD.findall(name))


_NAMES = (
    r"[\w.-]{0,40}(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
    r"|authorization|session[_-]?id|csrf|xsrf|cvv|cvc|ssn|iban|card[_-]?(?:number|no)|jsessionid|phpsessid)[\w.-]{0,40}"
)
_ASSIGNED = re.compile(
    rf"""(?i)(?<![\w.-])({_NAMES})(\\?["']?\s{{0,8}}[=:]\s{{0,8}})"""
    r"""(\\"[^"\\]*(?:\\")?|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|(?:(?:bearer|basic)\s+)?[^\s"'&;,<>(){}\[\]]+)"""
)
_BEARER = re.compile(r"(?i)\b(bearer|negotiate|digest)(\s+)([A-Za-z0-9._~+/=-]{8,})")
_BASIC = re.compile(r"(?i)\b(basic)(\s+)([A-Za-z0-9+/_-]{4,}={0,2})")
_DOTTED = re.compile(r"[A-Za-z0-9_.-]{10,}")  # whole runs, so that nothing in one is looked at twice
_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|xox[abeprs]-[\w-]{10,}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}|AIza[\w-]{35}|glpat-[\w-]{20,})"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL)
_CARD = re.compile(r"(?<![\d.])[2-6]\d{2}(?:[ \u00a0-]?\d){10,16}(?![\d])")
_USERINFO = re.compile(r"(?<=://)[^\s/?#@:]{0,200}:[^\s/?#@]{1,200}(?=@)")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[a-f])(?=[a-f]*[0-9])(?:[0-9a-f]{64,}|[0-9A-F]{64,})(?![A-Za-z0-9])")
_TAG = re.compile(r"(?i)<(?:input|meta)\b[^<>]{0,4000}>?")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*("[^"]*"?|'[^']*'?|[^\s"'>]+)""")
_ELEMENT = re.compile(r"<([\w.-]{1,80}:)?([\w.-]{1,80})((?:\s[^<>]{0,1000})?>)([^<>]{1,10000})(?=</)")
_HINTS = (
    r"pass|pwd|secret|token|key|credential|authorization|sess|csrf|xsrf|cvv|cvc|ssn|iban|card|bearer|basic|negotiate"
    r"|digest|eyj|akia|asia|gh[pousr]_|xox|sk[_-]|rk[_-]|pk[_-]|glpat|github|://|<|2\d\d[ \u00a0-]?\d"
    r"|3\d\d[ \u00a0-]?\d|4\d\d[ \u00a0-]?\d|5\d\d[ \u00a0-]?\d|6\d\d[ \u00a0-]?\d"
)
_HINT = re.compile(f"(?i){_HINTS}")
_LOWER_HINT = re.compile(_HINTS)  # minding case and with a fixed character at each beginning: eight times as fast
_LONG_HINT = re.compile(r"(?i)[0-9a-f]{64}")


def _may_hold_secret(text: str) -> bool:
    found = _LOWER_HINT.search(text.lower()) if text.isascii() else _HINT.search(text)
    return found is not None or (len(text) >= 64 and _LONG_HINT.search(text) is not None)


def is_card(digits: list[int]) -> bool:
    """Whether digits have the length and the check digit of a card number (ISO/IEC 7812-1, Luhn)."""
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


MAX_SHOWN = 120
"""Characters of a value that a difference shows."""


def cut(text: str) -> str:
    """At most ``MAX_SHOWN`` characters, the cut marked."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


class Redactor:
    """How secrets are found and what is shown in their place. One for each configuration."""

    def is_secret(self, name: str) -> bool:
        """Whether what stands under this name is secret."""
        return is_secret_name(name)

    def mask(self, value: Any) -> str:
        """What is shown instead of a secret value."""
        if isinstance(value, bool):
            return "«masked boolean»"
        if value is None:
            return "null"
        if isinstance(value, str):
            return f"«masked text, {len(value)}»"
        if isinstance(value, bytes):
            return f"«masked text, {len(value)}»"
        text = value.written if isinstance(value, Number) else str(value)
        return f"«masked number, {len(text)}»"

    def by_shape(self, text: str) -> str:
        """Free text with everything masked that looks like a secret, or is assigned to a secret name. Linear."""
        if not _may_hold_secret(text):
            return text
        text = _PEM.sub(self._masked, text)
        if "eyJ" in text:
            text = _DOTTED.sub(self._jwt, text)
        text = _KEYS.sub(self._masked, text)
        text = _BEARER.sub(self._scheme, text)
        text = _BASIC.sub(self._basic, text)
        text = _USERINFO.sub(self._masked, text)
        text = _CARD.sub(self._card, text)
        text = _HEX.sub(self._masked, text)
        if "<" in text:
            text = _TAG.sub(self._tag, text)
            text = _ELEMENT.sub(self._element, text)
        return _ASSIGNED.sub(self._assigned, text)

    def by_shape_encoded(self, text: str) -> str:
        """The same for a piece of a URL: percent-encoding hides no shape, and what is not secret keeps its spelling."""
        plain = unquote(text.replace("+", " "))
        redacted = self.by_shape(plain)
        return text if redacted == plain else redacted

    def _masked(self, match: re.Match[str]) -> str:
        return self.mask(match[0])

    def _jwt(self, match: re.Match[str]) -> str:
        run = match[0]
        start = run.find("eyJ")  # the beginning of every JSON object in base64
        return run if start < 0 or "." not in run[start + 6 :] else run[:start] + self.mask(run[start:])

    def _scheme(self, match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{self.mask(match[3])}"

    def _basic(self, match: re.Match[str]) -> str:
        word = match[3]
        try:  # RFC 7617 section 2: name, colon, password; "basic knowledge" is neither
            plain = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_" if {*word} & {*"-_"} else None)
        except (binascii.Error, ValueError):
            return match[0]
        return self._scheme(match) if b":" in plain else match[0]

    def _card(self, match: re.Match[str]) -> str:
        digits = [int(c) for c in match[0] if c.isdigit()]
        return self.mask(match[0]) if is_card(digits) else match[0]

    def _tag(self, match: re.Match[str]) -> str:
        attributes = {m[1].lower(): m[2].strip("\"'") for m in _ATTRIBUTE.finditer(match[0])}
        named = [attributes.get(key, "") for key in ("name", "id", "http-equiv", "autocomplete")]
        if attributes.get("type", "").lower() != "password" and not any(self.is_secret(name) for name in named):
            return match[0]

        def attribute(found: re.Match[str]) -> str:
            if found[1].lower() not in ("value", "content"):
                return found[0]
            return f'{found[1]}="{self.mask(found[2].strip(chr(34) + chr(39)))}"'

        return _ATTRIBUTE.sub(attribute, match[0])

    def _element(self, match: re.Match[str]) -> str:
        if not self.is_secret(match[2]) or not match[4].strip():
            return match[0]
        return f"<{match[1] or ''}{match[2]}{match[3]}{self.mask(match[4])}"

    def _assigned(self, match: re.Match[str]) -> str:
        value = match[3]
        if "«masked" in value:
            return match[0]
        mark = '\\"' if value.startswith('\\"') else value[0] if value[0] in "\"'" else ""
        inner = value[len(mark) :].removesuffix(mark) if mark else value
        return f"{match[1]}{match[2]}{mark}{self.mask(inner)}{mark}"

    def scalar(self, value: Any, *, secret: bool) -> Any:
        """A JSON scalar as it may be stored; ``secret``: it stands under a secret name."""
        if secret:
            return value if value is None else self.mask(value)
        if isinstance(value, str):
            return self.by_shape(value) if len(value) > 7 else value
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, Number):
            text = value.written
        elif isinstance(value, int):
            if -1_000_000_000_000 < value < 1_000_000_000_000:
                return value
            text = str(value)
        else:
            return value
        return self.mask(value) if text.isdigit() and text[0] in "23456" and is_card([int(c) for c in text]) else value

    def key_of(self, key: str, *, secret: bool) -> str:
        """A member's name as it may be stored: names can be data, too."""
        if secret and len(key) > 16:
            return self.mask(key)
        return self.by_shape(key) if len(key) > 12 else key

    def show(self, value: Any, *, secret: bool) -> str:
        """A parsed JSON value for the one line of a difference: redacted, short; containers only by their size."""
        if isinstance(value, dict):
            return f"object with {len(value)} members"
        if isinstance(value, list):
            return f"list of {len(value)}"
        if isinstance(value, str) and len(value) > 4 * MAX_SHOWN and not secret:
            # A secret that is cut here is cut off below as well, or masked by its beginning.
            value = value[: 4 * MAX_SHOWN]
        shown = self.scalar(value, secret=secret)
        if isinstance(shown, str):
            text = shown if shown.startswith("«masked") else orjson.dumps(_whole(shown)).decode()
        elif isinstance(shown, Number):
            text = shown.written
        else:
            text = orjson.dumps(shown).decode()
        return cut(text)


PLAIN = Redactor()
"""Masks without hashes: for logs, where nothing is compared."""
