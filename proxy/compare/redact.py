"""What is secret, and what is shown in its place.

Law: a masked value shows that it is masked, its type, its length and a hash under a key (``masks``), and nothing else;
when in doubt it is masked. A value is secret by the name it stands under (headers, members, fields, parameters,
cookies, elements) or by its shape (``secret_shapes``), wherever it stands. What the configuration reveals is shown, and
nothing else of what stands beside or in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import orjson

from proxy.compare import masks
from proxy.compare.decode import legible
from proxy.compare.document import Number, canonical_number
from proxy.compare.escapes import unescaped, written
from proxy.compare.json_text import json_text
from proxy.compare.masks import Key, configured_key, random_key
from proxy.compare.secret_names import LABEL, Secret, Span, called, held, is_secret_name, spelling
from proxy.compare.secret_shapes import AUTHORIZING, Shapes, is_card, is_made
from proxy.compare.wording import plural
from proxy.config.comparing import Redaction

MAX_SHOWN = 120
"""Characters of a value that a difference shows."""

_MAX_NAMES = 8192
_SHORT = 4
"""Characters of a text in which no secret has room (``cvv=1`` is longer)."""

_LONGEST_CARD = 19
_ENCODED = 200
"""Characters at a cut in which an encoded secret may have been halved."""

_LONGEST_NAME = 16
"""Characters of a member's name below a secret one; what is longer is data."""

_LONG_SEGMENT = re.compile(r"[\w-]{16}")
_WORDS = re.compile(r"[A-Za-z_.-]{1,60}")
_ROOM = 128 * 1024
"""Characters of redacted JSON in a string: more than a record holds, so that what is cut off there is said to be."""

_EXCHANGED = AUTHORIZING - {"state"}
"""What stands beside an authorization code in an object; a country's code stands beside a state."""

_OPEN_JSON = frozenset("{[%")


def cut(text: str) -> str:
    """At most ``MAX_SHOWN`` characters, the cut marked."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


class Redactor:
    """How secrets are found and what is shown in their place. One for each configuration; see :func:`make_redactor`.

    ``keys``: the first one is used, the others are earlier ones; none: masks without hashes. ``names`` and ``reveal``
    as in the configuration.
    """

    def __init__(
        self, keys: Sequence[Key] = (), names: Sequence[str] = (), reveal: Sequence[str] = (), *, emails: bool = False
    ) -> None:
        self._keys = tuple(keys)
        self._key = self._keys[0] if self._keys else None
        self._names = tuple(names)
        self._reveal = tuple(reveal)
        self._emails = emails
        self.rows_of_two = False
        """In a table of two columns, where the first may say what the second is."""
        self._secret = frozenset(spelling(name) for name in names)
        self._shown = frozenset(spelling(name) for name in reveal)
        self._known: dict[str, Secret] = {}
        self._shapes = Shapes(self.is_secret, [*names, *reveal], emails=emails)

    @property
    def key_id(self) -> str:
        """Which key the masks are made under; empty without one."""
        return self._key.id if self._key else ""

    def with_key(self, key_id: str) -> Redactor | None:
        """The same redactor under another of its keys, to compare with what was masked then; None if it has no such
        key."""
        keys = sorted(self._keys, key=lambda key: key.id != key_id)
        if not keys or keys[0].id != key_id:
            return None
        return Redactor(keys, self._names, self._reveal, emails=self._emails)

    def for_rows_of_two(self) -> Redactor:
        """The same redactor for a table of two columns."""
        made = copy(self)
        made.rows_of_two = True
        return made

    def is_secret(self, name: str) -> Secret:
        """Whether what stands under this name is secret; None: it is shown, whatever it looks like."""
        known = self._known.get(name, ...)
        if known is not ...:
            return known
        secret = self._judge(name)
        if len(name) <= MAX_SHOWN:
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[name] = secret
        return secret

    def _judge(self, name: str) -> Secret:
        plain = spelling(name)
        if plain in self._shown:
            return None
        return plain in self._secret or is_secret_name(name)

    def below(self, key: str, secret: Secret, *holders: Mapping[str, Any]) -> Secret:
        """Whether what an object has under ``key`` is secret; ``secret``: what was said of the object. ``holders`` are
        the object on each side: of ``{"name": "password", "value": …}`` the value is."""
        if secret:
            return True
        found = self.is_secret(key)
        if found is not False:
            return found
        if (how := held(key)) is not None:
            for holder in holders:
                for name in called(how, holder):
                    if said := self.is_secret(name):
                        return True
                    found = said if said is None else found
        elif key == "code":
            return any(name in holder for holder in holders for name in _EXCHANGED)
        if self.rows_of_two and found is False:
            return self.behind(False, *(list(holder.values()) for holder in holders if key != next(iter(holder), key)))
        return found

    def behind(self, secret: Secret, *lists: Sequence[Any]) -> Secret:
        """Whether what a list has behind its first item is secret; ``secret``: what was said of the list. ``lists`` are
        the list on each side: of ``["Cookie", "a=b"]`` the second item is, if there are no more."""
        if secret:
            return True
        found = secret
        for items in lists:
            if len(items) == 2 and type(name := items[0]) is str and len(name) <= MAX_SHOWN:
                said = self.is_secret(name)
                if said and LABEL.fullmatch(name):
                    return True
                found = said if said is None else found
        return found

    def mask(self, value: Any) -> str:
        """What is shown instead of a secret value, a JSON scalar or bytes."""
        return masks.mask(value, self._key)

    def digest(self, body: bytes) -> str:
        """What is shown of a body that is not text: a digest under the key (without one: nothing), for an open digest
        of a short body would tell what is in it to whoever tries."""
        return self._key.digest(body) if self._key else ""

    def text(self, value: str, secret: Secret) -> str:
        """A text as it may be stored; ``secret``: what its name says of it."""
        if secret is False:
            return self.by_shape(value) if len(value) > _SHORT else value
        return self.mask(value) if secret else value

    def by_shape(self, text: str, upto: int | None = None) -> str:
        """Free text with everything masked that looks like a secret, or is assigned to a secret name. Linear.

        ``upto``: only what begins in so many characters; what stands behind them only helps to see what it is.
        """
        shown = self._masked(text, self._shapes.find(text), upto)
        return self._seen_through(shown, upto) if "%" in shown or "\\u00" in shown else shown

    def _seen_through(self, text: str, upto: int | None = None, *, plus: bool = False) -> str:
        """The same for what an encoding hides. Masked is what was written, so that two texts never become one."""
        plain = unescaped(text, plus=plus)
        if plain == text or not (spans := self._shapes.find(plain)):
            return text
        return self._masked(text, written(text, spans, plus=plus), None if upto is None else upto - _ENCODED)

    def _masked(self, text: str, spans: list[Span], upto: int | None) -> str:
        if not spans:
            return text[:upto]
        pieces = []
        at = 0
        for start, end in spans:
            if upto is not None and start >= upto:
                break
            pieces += [text[at:start], self.mask(text[start:end])]
            at = end
        return "".join([*pieces, text[at:upto]])

    def by_shape_encoded(self, text: str) -> str:
        """The same for a piece of a URL: percent-encoding hides no shape, and what is not secret keeps its spelling.
        JSON with a secret in it is masked whole."""
        plain = unquote_plus(text) if text[:1] in _OPEN_JSON else ""
        if plain[:1] in ("{", "[") and json_text(plain, self, _ROOM) != plain:
            return self.mask(plain)
        shown = self.by_shape(text)
        return self._seen_through(shown, plus=True) if "+" in shown else shown

    def path(self, text: str) -> str:
        """The path of a URL: secrets by shape, and what was generated below a name like ``sessions`` or ``tokens``."""
        if "%" not in text and "+" not in text and _LONG_SEGMENT.search(text) is None:
            return self.by_shape(text)
        segments = text.split("/")
        below = False
        for number, segment in enumerate(segments):
            if "%" in segment or "+" in segment:
                segments[number] = self.by_shape_encoded(segment)
            if below and is_made(segment):
                segments[number] = self.mask(segment)
            below = below or (_WORDS.fullmatch(segment) is not None and self.is_secret(segment) is True)
        return self.by_shape("/".join(segments))

    def scalar(self, value: Any, *, secret: Secret) -> Any:
        """A JSON scalar as it may be stored; ``secret``: what its name says of it."""
        if secret:
            return value if value is None else self.mask(value)
        if secret is None:
            return value
        if isinstance(value, str):
            if len(value) <= _SHORT:
                return value
            # JSON in a string: what is secret by a name above it has no shape.
            inner = json_text(value, self, _ROOM) if value[0] in "{[" else value
            return self.by_shape(inner)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int) and -1_000_000_000_000 < value < 1_000_000_000_000:
            return value
        digits, _, power = canonical_number(value).partition("e")
        if power.isdigit() and len(power) < 3 and int(power) < _LONGEST_CARD:
            digits += "0" * int(power)
        elif power:
            return value
        return self.mask(value) if digits.isdigit() and is_card(digits) else value

    def key_of(self, key: str, *, secret: Secret) -> str:
        """A member's name as it may be stored: names can be data, too."""
        return self.mask(key) if secret and _is_data(key) else self.by_shape(key) if len(key) > _SHORT else key

    def show(self, value: Any, *, secret: Secret) -> str:
        """A parsed JSON value for the one line of a difference: redacted, short; containers only by their size."""
        if isinstance(value, dict):
            return f"object with {len(value)} {plural(len(value), 'member', 'members')}"
        if isinstance(value, list):
            return f"list of {len(value)}"
        if isinstance(value, str) and len(value) > 4 * MAX_SHOWN and secret is False:
            # A secret that begins where it is shown is seen as one, although it may be cut behind that.
            shown: Any = self.by_shape(value[: 8 * MAX_SHOWN], upto=4 * MAX_SHOWN)
        else:
            shown = self.scalar(value, secret=secret)
        if isinstance(shown, str):
            masked = masks.MASK.fullmatch(shown)
            text = shown if masked else orjson.dumps(legible(shown)).decode()
        elif isinstance(shown, Number):
            text = shown.written
        else:
            text = orjson.dumps(shown).decode()
        return cut(text)


def make_redactor(redaction: Redaction, fresh_key: bytes) -> Redactor:
    """The redactor of a configuration. ``fresh_key``: 32 random bytes, used if no keys are configured."""
    keys = [configured_key(key) for key in redaction.keys] or [random_key(fresh_key)]
    return Redactor(keys, redaction.names, redaction.reveal, emails=redaction.emails)


PLAIN = Redactor()
"""Masks without hashes: for logs, where nothing is compared."""


def _is_data(key: str) -> bool:
    return len(key) > _LONGEST_NAME or any(c.isdigit() for c in key)


@lru_cache(maxsize=8192)
def is_secret_key(key: str, *, below_secret: bool) -> bool:
    """Whether a member's name is itself a secret, so that it may not stand in a path: by its shape, or, where what
    stands around it is secret, because it looks like data."""
    return (below_secret and _is_data(key)) or (len(key) > _SHORT and PLAIN.by_shape(key) != key)
