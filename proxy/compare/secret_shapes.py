"""Secrets in free text: where they stand.

Law: linear in the length of the text, whatever the text is. A secret is found by its shape (bearer tokens, JWTs, card
numbers, well-known keys), or because it is assigned to a secret name; what is assigned to a revealed name is not
searched for shapes.

What is found are spans of the text as it was given, so that no rule sees what another rule made.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from proxy.compare import secret_lines
from proxy.compare.html_tokens import unescape
from proxy.compare.markup import Markup
from proxy.compare.masks import MASK
from proxy.compare.secret_names import IN_TEXT, Secret, Span, spelling
from proxy.compare.secret_pairs import beside
from proxy.compare.secret_words import spoken

_BEARER = re.compile(r"(?i)\b(?:bearer|negotiate|digest)\s+([A-Za-z0-9._~+/=-]{8,})")
_AUTHORIZATION = re.compile(r"(?i)\bauthorization[\"']?\s{0,8}[:=]\s{0,8}[\"']?([\w-]{1,40}\s+[^\s\"'<>«]{8,})")
"""With a scheme that we do not know."""
_BASIC = re.compile(r"(?i)\bbasic\s+([A-Za-z0-9+/_-]{4,}={0,2})")
_BETWEEN_TAGS = re.compile(r"[^<>]++")
_ENCODED_JSON = re.compile(r"(?<![\w+/-])eyJ[A-Za-z0-9+/_-]{12,}+={0,2}(?![.\w])")
_DOTTED = re.compile(r"[A-Za-z0-9_.-]{10,}")  # whole runs, so that nothing in one is looked at twice
_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|(?:xox[abeprs]|xapp)-[\w-]{10,}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}|whsec_[A-Za-z0-9]{20,}|AIza[\w-]{35}"
    r"|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}|glpat-[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|hvs\.[\w-]{20,}"
    r"|dop_v1_[0-9a-f]{40,}|npm_[A-Za-z0-9]{10,}|shp(?:at|ca|pa|ss)_[0-9a-f]{32}|pypi-[\w-]{40,}"
    r"|\$(?:2[abxy]|apr1|[56]|argon2(?:id?|d))\$[\w./$,=+-]{16,})"
    r"|(?<=hooks\.slack\.com/services/)[\w/]{10,}"
)
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.*?-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.*\Z)",
    re.DOTALL,
)
_DIGITS = re.compile(r"(?<![0-9.])[0-9](?:[ \u00a0\n-]?[0-9]){12,}+")
_DOTTED_CARD = re.compile(r"(?<![0-9.])[0-9]{4}(?:\.[0-9]{4}){3}(?![0-9.])")
_MOST_GROUPS = 6
"""Of four digits and more that have room in a card number, and one more."""

_GROUP = re.compile(r"[0-9]+")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_USERINFO = re.compile(r"(?<=://)(?:[^\s/?#@:]{0,200}:[^\s/?#@]{1,200}|[^\s/?#@:]{16,200})(?=@)")
_HEX = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{64,}+(?![A-Za-z0-9])")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}")
_PARAMETER = re.compile(r"[?&#;]([^\s=&#?;\"'<>]{1,100})=([^\s&#\"'<>]+)")
_BELOW = re.compile(r"/([A-Za-z_.-]{1,60})(?=/([\w-]{16,}))")
"""What may have been generated, below a name, in a path."""

_PART = re.compile(
    r"(?is)form-data\s{0,8};([^\n]{0,800})\n(?:[^\r\n]{1,400}\r?\n){0,4}\r?\n(.*?)(?=\r?\n--|\Z)"
)  # the end of Content-Disposition, further fields, the content
_PART_NAME = re.compile(r"(?i)\bname\*?\s{0,8}=\s{0,8}\"?([^\";\r]{0,200})")

_HINTS = (
    r"pass|pwd|secret|token|key|credential|authorization|sess|csrf|xsrf|cvv|cvc|ssn|iban|card|bearer|basic|negotiate"
    r"|digest|eyj|akia|asia|gh[pousr]_|xox|sk[_-]|rk[_-]|pk[_-]|glpat|github|whsec|aiza|ya29|gocspx|sg\.|hvs\.|dop_v1"
    r"|npm_|shp|pypi-|xapp-|://|<[a-z]|form-data|cookie|\$2[abxy]\$|\$apr1\$|\$[56]\$|\$argon2"
)
_CARD_HINT = re.compile(r"[0-9](?:[ \u00a0\n.-]?[0-9]){12}")
_IBAN_HINT = re.compile(r"[A-Z][A-Z]\d\d ?[A-Z0-9]")
_HEX_HINT = re.compile(r"[0-9A-Fa-f]{64}")


def is_card(digits: str) -> bool:
    """Whether digits have the length and the check digit of a card number (ISO/IEC 7812-1, Luhn)."""
    if not 13 <= len(digits) <= 19 or digits[0] not in "23456":
        return False
    doubled = sum(_DOUBLED[digit] for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + doubled) % 10 == 0


_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}


def is_iban(text: str) -> bool:
    """Whether a text without spaces has the check digits of an IBAN (ISO 13616-1)."""
    return 15 <= len(text) <= 34 and int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


class Shapes:
    """What to look for. ``judge`` says of a name whether it is secret; ``names`` are those that the configuration adds
    or reveals, in any spelling; ``emails``: e-mail addresses are secret."""

    def __init__(self, judge: Callable[[str], Secret], names: Iterable[str], *, emails: bool) -> None:
        self._judge = judge
        self._emails = emails
        more = ["[_.-]?".join(map(re.escape, spelled)) for name in names if (spelled := spelling(name))]
        self._named = re.compile(f"(?i){'|'.join(more)}") if more else None
        self._assigned = re.compile(_ASSIGNED.replace("NAMES", "|".join([IN_TEXT, *more])))

    def find(self, text: str) -> list[Span]:
        """Spans of secrets, in order, without overlaps."""
        found: list[Span] = []  # by shape: a revealed name makes an exception of it
        named: list[Span] = []
        revealed: list[Span] = [match.span() for match in MASK.finditer(text)] if "«" in text else []
        if "=" in text:
            self._parameters(text, named, revealed)
        hinted = _hinted(text)
        if hinted or (self._named is not None and self._named.search(text)):
            self._assignments(text, named, revealed)
            if "," in text or "val" in text.lower():
                beside(text, self._judge, lambda at: _value_at(text, at), named, revealed)
        if _CARD_HINT.search(text):
            found += _cards(text)
        named += spoken(text, self._is_secret)
        if hinted:
            found += _shapes(text)
            self._parts(text, named)
            found += (match.span(2) for match in _BELOW.finditer(text) if is_made(match[2]) and self._judge(match[1]))
            if "eyJ" in text:
                named += (match.span() for match in _ENCODED_JSON.finditer(text) if self.find(_decoded(match[0])))
            if "&lt;" in text:
                runs = (run for run in _BETWEEN_TAGS.finditer(text) if "&lt;" in run[0])
                named += (run.span() for run in runs if self.find(_unescaped(run[0])))
            if "<" in text:
                markup = Markup(text, self._judge, self._holds_secret)
                named += markup.named
                revealed += markup.revealed
        if _IBAN_HINT.search(text):
            found += _ibans(text)
        if len(text) >= 64 and _HEX_HINT.search(text):
            found += (match.span() for match in _HEX.finditer(text) if not (match[0].isdigit() or match[0].isalpha()))
        if self._emails and "@" in text:
            found += (match.span() for match in _EMAIL.finditer(text))
        if not found and not named:
            return []
        masks = [match.span() for match in MASK.finditer(text)] if "«" in text else []
        return _joined([*_outside(found, revealed), *_outside(named, masks)])

    def _holds_secret(self, text: str) -> bool:
        return "<" not in text and bool(self.find(text))

    def _assignments(self, text: str, named: list[Span], revealed: list[Span]) -> None:
        """``name: value`` and the like. A value may hold a name again; no value is read twice, so that it is linear."""
        hidden_to = shown_to = 0
        for match in self._assigned.finditer(text):
            at = match.end()
            secret = self._is_secret(match[1])
            if secret is False or at < (hidden_to if secret else shown_to):
                continue
            if secret and match[2] == ":" and (lines := secret_lines.block(text, match.start(1), match.end(2))):
                named += lines
                hidden_to = lines[-1][1]
                continue
            if match[2] == ":":
                at = max(at, secret_lines.value_from(text, match.end(2)))
            if secret and text[at : at + 1] in ("{", "["):
                hidden_to = closing(text, at)
                named.append((at, hidden_to))
            elif (value := _VALUE.match(text, at)) is not None:
                start, end = value.span(value.lastindex or 0)
                if secret:
                    between = text[match.end(2) : start]
                    if value.lastindex == _BARE and "\n" not in between and (between or match[2] == "="):
                        end = secret_lines.value_to(text, match.start(1), end)
                    named.append((start, end))
                    hidden_to = end
                elif _closed(text, end, value.lastindex or 0):
                    revealed.append((start, end))
                    shown_to = end

    def _is_secret(self, name: str) -> Secret:
        secret = self._judge(name)
        return secret if secret is not False else self._judge(name.rpartition(".")[2])

    def _parts(self, text: str, named: list[Span]) -> None:
        """Parts of a form (RFC 7578) in text that was not read as one."""
        if "form-data" in text.lower():
            for match in _PART.finditer(text):
                called = _PART_NAME.search(match[1])
                if called is not None and self._judge(called[1]):
                    named.append(match.span(2))

    def _parameters(self, text: str, named: list[Span], revealed: list[Span]) -> None:
        """``?name=value`` and ``&name=value``; ``code`` is secret in an authorization."""
        code: Span | None = None
        names = set()
        for match in _PARAMETER.finditer(text):
            name = unquote(match[1])
            names.add(name)
            secret = self._judge(name)
            if secret:
                named.append(match.span(2))
            elif secret is None:
                revealed.append(match.span(2))
            elif name == "code":
                code = match.span(2)
        if code is not None and not AUTHORIZING.isdisjoint(names):
            named.append(code)


AUTHORIZING = frozenset({"state", "grant_type", "redirect_uri", "code_verifier"})
"""Beside one of these parameters ``code`` is an authorization code (RFC 6749 sections 4.1.2 and 4.1.3)."""

_MADE = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{16,}")


def is_made(segment: str) -> bool:
    """Whether a segment of a path was generated."""
    return _MADE.fullmatch(segment) is not None


_QUOTE = r"&(?:quot|apos|#3[49]|#x2[27]);"
_ASSIGNED = (
    r"(?is)(?<![\w.-])([\w.-]{0,100}(?:NAMES)[\w.-]{0,100})"
    rf"(?:\\?[\"']{{1,2}}|{_QUOTE})?\]?(?:\s{{0,8}}(=>|:=|={{1,3}}|:)\s{{0,8}}(?:string\(\d{{1,9}}\) )?|;s:\d{{1,9}}:)"
)
_VALUE = re.compile(
    r"""(?is)(?:\"{3}(.*?)(?:\"{3}|\Z)|\\"([^"\\]*)(?:\\")?|""(?=\w)([^"\\]*+)(?:"")?|"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|'([^'\\]*+(?:\\.[^'\\]*+)*+)'?"""
    rf"|{_QUOTE}([^&<>]*)"
    r"""|((?:(?:bearer|basic)\s+)?(?:«masked [^»]{0,60}»|[^\s"'&;,<>(){}\[\]]+)))"""
)


def _value_at(text: str, at: int) -> Span | None:
    """The value that begins at a place: an object or list, a text in quotes, a word."""
    if text[at : at + 1] in ("{", "["):
        return at, closing(text, at)
    found = _VALUE.match(text, at)
    return None if found is None or found.end() == at else found.span(found.lastindex or 0)


_PIECE = re.compile(r""""[^"\\]*+(?:\\.[^"\\]*+)*+"?|'[^'\\]*+(?:\\.[^'\\]*+)*+'?|[\[{]|[\]}]""", re.DOTALL)


def closing(text: str, at: int) -> int:
    """Where the object or list that opens at ``at`` ends: if nothing closes it, at the end."""
    depth = 0
    for piece in _PIECE.finditer(text, at):
        if piece[0] in "[{":
            depth += 1
        elif piece[0] in "]}":
            depth -= 1
            if depth == 0:
                return piece.end()
    return len(text)


_HINT = re.compile(f"(?i){_HINTS}")
_LOWER_HINT = re.compile(_HINTS)  # minding case and with a fixed character at each beginning: eight times as fast


def _hinted(text: str) -> bool:
    return (_LOWER_HINT.search(text.lower()) if text.isascii() else _HINT.search(text)) is not None


def _closed(text: str, end: int, value: int) -> bool:
    """Whether a value ends where it says: what a broken quote runs over was not meant by the one who reveals."""
    return value == _BARE or text[end : end + 1] in ('"', "'") or text.startswith('\\"', end)


_BARE = 7


def _shapes(text: str) -> Iterator[Span]:
    for match in _PEM.finditer(text):
        yield match.span()
    if "eyJ" in text:
        for match in _DOTTED.finditer(text):
            start = match[0].find("eyJ")  # the beginning of every JSON object in base64
            if start >= 0 and "." in match[0][start + 6 :]:
                yield match.start() + start, match.end()
    for pattern in (_KEYS, _USERINFO):
        for match in pattern.finditer(text):
            yield match.span()
    for pattern in (_BEARER, _AUTHORIZATION):
        for match in pattern.finditer(text):
            yield match.span(1)
    for match in _BASIC.finditer(text):
        if _is_basic(match[1]):
            yield match.span(1)


def _unescaped(text: str) -> str:
    """Markup that was escaped once; what was escaped twice is read as if once."""
    return unescape(text).replace("&lt;", "<")


def _is_basic(word: str) -> bool:
    """Whether a word is name, colon, password (RFC 7617 section 2); "basic knowledge" is not."""
    return ":" in _decoded(word)


def _decoded(word: str) -> str:
    """What a word says in base64 (RFC 4648, sections 4 and 5); nothing if it is none."""
    word = word.rstrip("=")
    try:
        data = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_" if {*word} & {*"-_"} else None)
    except (binascii.Error, ValueError):
        return ""
    return data.decode("utf-8", "replace")


def _cards(text: str) -> Iterator[Span]:
    """Groups of digits that are a card number together, also among other groups (an expiry date, a check number)."""
    for run in _DIGITS.finditer(text):
        groups = [(m.start() + run.start(), m[0]) for m in _GROUP.finditer(run[0])]
        for first, (start, _) in enumerate(groups):
            taken = ""
            for at, more in groups[first : first + _MOST_GROUPS]:
                if (len(more) < 4 and len(taken) < 12) or len(taken) + len(more) > 19:
                    break
                taken += more
                if is_card(taken):
                    yield start, at + len(more)
    for match in _DOTTED_CARD.finditer(text):
        if is_card(match[0].replace(".", "")):
            yield match.span()


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        words = match[0].split(" ")
        for count in range(len(words), 0, -1):
            if is_iban("".join(words[:count])):
                yield match.start(), match.start() + len(" ".join(words[:count]))
                break


def _outside(spans: Iterable[Span], exceptions: list[Span]) -> list[Span]:
    """The spans that do not lie within an exception; linear after sorting."""
    if not exceptions:
        return list(spans)
    exceptions = _joined(exceptions)
    starts = [start for start, _ in exceptions]
    kept = []
    for span in spans:
        at = bisect_right(starts, span[0]) - 1
        if at < 0 or span[1] > exceptions[at][1]:
            kept.append(span)
    return kept


def _joined(spans: list[Span]) -> list[Span]:
    """Spans in order, those that overlap made one."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
