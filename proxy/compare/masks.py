"""What stands in the place of a secret.

Law: a mask shows the type and the length of what it hides and, under a key, a hash: equal secrets of one type have
equal masks. Nobody without the key learns more.

A mask is ``«masked text, 16, 3f9a2c:0b1c2d3e4f5a»``: type, length, id of the key, hash. The hash is keyed BLAKE2b (RFC
7693 section 2.9), so it cannot be tried out without the key, however few secrets there are to try; its 48 bits are few
enough to read and make two different secrets look equal once in 2**48 comparisons (of 10,000 secrets in one record any
two: 2 in 10 million). A key that people chose is stretched with scrypt (RFC 7914), since whoever can read records and
send requests knows secrets to try keys on. What a hash cannot hide: whoever reads records and may send requests can
send all four-digit PINs and look which one has the same hash.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from proxy.compare.document import Number, canonical_number

Type = Literal["text", "number", "boolean"]
_HASH_BYTES = 6
_ID_BYTES = 3
MASK = re.compile(
    r"«masked (text|number|boolean)(?:, (\d{1,10}))?(?:, ([0-9a-f]{6}):([0-9a-f]{12}))?»"  # see Key.hash_of
)
"""Exactly what :func:`mask` makes: its groups are type, length, id of the key and hash."""


class Key(NamedTuple):
    """A key for hashes. ``id`` names it without telling anything about it."""

    secret: bytes
    id: str

    def hash_of(self, type_of: Type, value: bytes) -> str:
        """The hash that a mask shows; the same bytes of two types have two hashes."""
        data = type_of.encode() + b"\0" + value
        return hashlib.blake2b(data, digest_size=_HASH_BYTES, key=self.secret, person=b"banyan-mask").hexdigest()

    def digest(self, body: bytes) -> str:
        """``id:digest`` of a whole body, 128 bits: what is not shown at all may still be equal."""
        made = hashlib.blake2b(body, digest_size=16, key=self.secret, person=b"banyan-body").hexdigest()
        return f"{self.id}:{made}"


@lru_cache(maxsize=16)
def configured_key(text: str) -> Key:
    """The key that a configured text stands for; the same in every process. Takes 50 ms and 16 MiB, once."""
    data = text.encode("utf-8", "surrogatepass")
    return random_key(hashlib.scrypt(data, salt=b"banyan redaction", n=2**14, r=8, p=1, dklen=32))


def random_key(secret: bytes) -> Key:
    """A key of bytes that nobody chose, at most 64."""
    return Key(secret, hashlib.blake2b(secret, digest_size=_ID_BYTES, person=b"banyan-key-id").hexdigest())


def mask(value: object, key: Key | None) -> str:
    """What is shown instead of ``value``, a JSON scalar or bytes; of nothing (null) just that. Never raises."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return _mask("text", len(value), value, key)
    if isinstance(value, bool):
        return _mask("boolean", None, str(value), key)
    written = value.written if isinstance(value, Number) else str(value)
    return _mask("number", len(written), canonical_number(value), key)


def _mask(type_of: Type, length: int | None, value: str, key: Key | None) -> str:
    shown = type_of if length is None else f"{type_of}, {length}"
    if key is None:
        return f"«masked {shown}»"
    return f"«masked {shown}, {key.id}:{key.hash_of(type_of, value.encode('utf-8', 'surrogatepass'))}»"
