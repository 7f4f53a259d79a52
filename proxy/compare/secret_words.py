"""Secrets that people and programs write beside a word that says what they are: in logs, messages and command lines.

Law: linear in the length of the text. What follows the word is a secret if it stands where one belongs (an option, a
Cookie line), in quotes after a password, or looks made: letters and digits in one word. "The password reset was sent"
is prose, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from proxy.compare.secret_names import Secret, Span

_OPTION = re.compile(
    r"(?<![\w-])--?([A-Za-z][\w.-]{1,60})[ \t]{1,4}(?![-«])(?:\"([^\"\n]+)|'([^'\n]+)|([^\s\"'<>&;|]+))"
)
_USER = re.compile(r"(?<![\w-])(?:-u|--user|--proxy-user)[ =]{1,2}[\"']?[^\s:\"'@/]{1,100}:([^\s\"'«]{4,})")
"""Name and password as curl takes them."""

_PROSE = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "cannot", "for", "from", "given", "has", "if", "in",
        "instead", "is", "it", "may", "missing", "must", "needs", "not", "of", "on", "option", "or", "requires",
        "should", "the", "to", "was", "were", "when", "will", "with", "without",
    }
)  # fmt: skip
"""What follows an option that is spoken of."""

_WORD = (
    r"(pass(?:word|wd|phrase|code)|pwd)|(secret|token|credential|key|session[ _-]?id)"
    r"|(pass|auth|sid|session|jwt|sig(?:nature)?)|(pin|otp|cv[cv]2?|code)|(cookie2?)"
)
_WORDS, _LOWER_WORDS = re.compile(f"(?i){_WORD}"), re.compile(_WORD)  # in lower case much faster
_APART = re.compile(r"[\s=:]")
"""One of these stands between a word and what it is about."""

_BEFORE = re.compile(r"(?:([A-Za-z-]{1,20}) )?([\w.-]{0,60})\Z")
"""What belongs to the name before its last word ("api key", "reset_token")."""

_IS = r"[\"']?(?:[ \t](?:is|was|are))?[ \t]?"
_INSIDE, _GIVEN_INSIDE = r"[^\s\"'`&;,<>(){}\[\]«]", r"[^\s\"'&;,<>(){}\[\]«]"
_MADE = (
    r"[\"'`]?(?!\d{4}-\d\d-\d\d)(?=[^\s\d]{0,100}\d)(?=[^\sA-Za-z]{0,100}[A-Za-z])([A-Za-z0-9!@#$%^*~+_-]"
    rf"{_INSIDE}{{6}})"
)
"""How one word with letters and digits that is no date begins. The shortest has seven: "SHA256" is a word."""

_SAID = re.compile(rf"(?i)(?:{_IS}:[ \t]{{0,4}}|(?:[ \t](?:is|was|are))?[ \t]{{1,4}}){_MADE}")
_QUOTED = re.compile(rf"(?i){_IS}:?[ \t]{{1,4}}(?:\"([^\"\s«]+)\"|'([^'\s«]+)'|`([^`\s«]+)`)")
_NOTED = re.compile(rf"(?i){_IS}:[ \t]{{0,4}}{_MADE}")
_GIVEN = re.compile(rf"=[\"']?({_GIVEN_INSIDE})")
_DIGITS = re.compile(rf"(?i){_IS}[:=]?[ \t]{{0,4}}([0-9](?:[ -]?[0-9]){{2,9}})(?![\w-])")
_FOLLOWS = ((), (_QUOTED, _SAID, _DIGITS), (_SAID,), (_NOTED, _GIVEN), (_DIGITS, _NOTED, _GIVEN))
"""By the group of the word: those that mean other things, too, want a colon or a sign of equality."""

_RESTS = {
    **dict.fromkeys((_SAID, _NOTED), re.compile(f"{_INSIDE}*+")), _GIVEN: re.compile(f"{_GIVEN_INSIDE}*+")
}  # fmt: skip
"""What follows the beginnings that these find. A value may hold the next word, so it is read apart, and once."""

_COOKIES = re.compile(r"[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"'\[]?(?=[\w!#$%&'*+.^`|~-]{1,200}=)([^\r\n\"<>]+)")
_CRUMB = re.compile(r"(?<![^;\s,:='\"\[])([\w!#$%&*+.^`|~-]{1,200})=(\"[^\"]*+\"?|[^;\s'\"]+)")
_ATTRIBUTES = frozenset({"domain", "expires", "max-age", "path", "samesite"})
"""Of a Set-Cookie line (RFC 6265 section 4.1.1); no secrets."""


def spoken(text: str, judge: Callable[[str], Secret]) -> Iterator[Span]:
    """Spans of what stands beside words. ``judge`` says of a name whether it is secret; what it reveals is shown."""
    if _APART.search(text) is None:
        return
    if "-" in text:
        for match in _OPTION.finditer(text):
            span = match.span(match.lastindex or 0)
            if judge(match[1]) and text[slice(*span)].lower().rstrip(".,:") not in _PROSE:
                yield span
        for match in _USER.finditer(text):
            yield match.span(1)
    seen = 0
    rests: dict[re.Pattern[str], Span] = {}
    for word in _LOWER_WORDS.finditer(text.lower()) if text.isascii() else _WORDS.finditer(text):
        group, end = word.lastindex or 0, word.end()
        if group == 5:
            line = _COOKIES.match(text, end) if end >= seen else None
            if line is not None:
                seen = line.end()
                yield from _crumbs(text, line.span(1), judge)
            continue
        for follows in _FOLLOWS[group]:
            value = follows.match(text, end)
            if value is None:
                continue
            if _is_secret(text, word.span(), judge):
                yield _whole(text, value, rests)
                break


def _whole(text: str, value: re.Match[str], rests: dict[re.Pattern[str], Span]) -> Span:
    """The span of a value; ``rests``: by pattern, what was read last."""
    start, end = value.span(value.lastindex or 0)
    rest = _RESTS.get(value.re)
    if rest is None:
        return start, end
    known = rests.get(rest, (0, 0))
    if not known[0] <= end <= known[1]:
        known = rests[rest] = end, rest.match(text, end).end()  # type: ignore[union-attr] # it takes nothing, too
    return start, known[1]


def _is_secret(text: str, word: Span, judge: Callable[[str], Secret]) -> Secret:
    """What is said of the name that ends in a word."""
    before = _BEFORE.search(text, max(0, word[0] - 80), word[0])
    first, rest = (before[1], before[2]) if before is not None else ("", "")
    name = rest + text[slice(*word)]
    secret = judge(name)
    return judge(f"{first} {name}") if secret is False and first else secret


def _crumbs(text: str, line: Span, judge: Callable[[str], Secret]) -> Iterator[Span]:
    """Values of cookies: all but those of cookies that are revealed."""
    for crumb in _CRUMB.finditer(text, *line):
        if crumb[1].lower() not in _ATTRIBUTES and judge(crumb[1]) is not None:
            yield crumb.span(2)
