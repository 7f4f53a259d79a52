"""What each header field means to an intermediary.

Law: a field is classified by its name alone, once; a field without a class is end-to-end and its bytes pass unchanged.
Everything that removes, replaces or reads a field asks here, so that there is one list of each kind.

Sources: RFC 9110 sections 7.6.1 (Connection), 6.5.1 (trailers), 7.6.3 (Via); RFC 9112 section 6 (framing); the httpoxy
advisory for ``Proxy``.
"""

from __future__ import annotations

from typing import Final


class Kind:
    """Bits, because one pass over a head collects them all. Plain integers: enum flags cost a microsecond each."""

    END_TO_END: Final = 0
    HOST: Final = 1
    LENGTH: Final = 2  # Content-Length: kept, after the gate has checked it
    TRANSFER: Final = 4  # Transfer-Encoding: ours on each side
    CONNECTION: Final = 8
    UPGRADE: Final = 16
    HOP: Final = 32  # hop-by-hop by definition: never passed on
    FORWARDED: Final = 64  # what only a trusted proxy may say about the client
    BANYAN: Final = 128  # our own control fields
    TWIN: Final = 256  # an underscore spelling of a name that matters: a server behind may read it as that name
    EXPECT: Final = 512
    VIA: Final = 1024
    MAX_FORWARDS: Final = 2048
    DATE: Final = 4096
    OVERRIDE: Final = 8192  # names another method than the first line; in whatever spelling, and passed on


_BY_NAME: dict[bytes, int] = {
    b"host": Kind.HOST,
    b"content-length": Kind.LENGTH,
    b"transfer-encoding": Kind.TRANSFER,
    b"connection": Kind.CONNECTION,
    b"upgrade": Kind.UPGRADE,
    b"expect": Kind.EXPECT,
    b"via": Kind.VIA,
    b"date": Kind.DATE,
    b"max-forwards": Kind.MAX_FORWARDS,
    b"keep-alive": Kind.HOP,
    b"proxy-connection": Kind.HOP,
    b"proxy-authenticate": Kind.HOP,
    b"proxy-authorization": Kind.HOP,
    b"proxy": Kind.HOP,
    b"te": Kind.HOP,
    b"http2-settings": Kind.HOP,
    b"forwarded": Kind.FORWARDED,
    b"x-real-ip": Kind.FORWARDED,
    b"x-request-id": Kind.FORWARDED,
    b"traceparent": Kind.FORWARDED,
    b"tracestate": Kind.FORWARDED,
    b"x-http-method-override": Kind.OVERRIDE,
    b"x-http-method": Kind.OVERRIDE,
    b"x-method-override": Kind.OVERRIDE,
}

TO_CLIENT_DROPPED: Final = Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.TRANSFER | Kind.BANYAN
"""Kinds of fields of an answer that its client is not to see."""

NEVER_NAMED_IN_CONNECTION = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"via", b"connection", b"close", b"keep-alive", b"upgrade"}
)
"""Names that a sender cannot have removed by naming them in Connection."""

FORBIDDEN_IN_TRAILERS = frozenset(_BY_NAME) | {
    b"authorization", b"cookie", b"set-cookie", b"content-type", b"content-encoding", b"content-range", b"trailer",
    b"range", b"cache-control", b"age", b"expires", b"date", b"location", b"retry-after", b"vary", b"warning",
    b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"www-authenticate",
}  # fmt: skip
"""Framing, routing, authentication, caching: a trailer with such a name is dropped (RFC 9110 section 6.5.1)."""

_MEMO_ENTRIES: Final = 2048
_MEMO_NAME_BYTES = 64
"""Longer names are not remembered: nobody uses them, and a flood of them would cost memory."""
known: Final[dict[bytes, tuple[bytes, int]]] = {}
"""What :func:`classify` has answered; loops over a head look here first, which saves them the call."""


def classify(name: bytes) -> tuple[bytes, int]:
    """``name`` as it stood on the wire -> (lower-case name, :class:`Kind` bits).

    Remembered for the first 2,048 spellings; others are worked out anew, so a flood of names costs time, not memory.
    """
    answer = known.get(name)
    if answer is None:
        lower = name.lower()
        answer = (lower, _kind(lower))
        if len(known) < _MEMO_ENTRIES and len(name) <= _MEMO_NAME_BYTES:
            known[name] = answer
    return answer


def _kind(lower: bytes) -> int:
    kind = _BY_NAME.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(b"x-forwarded-"):
        return Kind.FORWARDED
    if lower.startswith(b"x-banyan-"):
        return Kind.BANYAN
    if b"_" not in lower:
        return Kind.END_TO_END
    meant = _kind(lower.replace(b"_", b"-"))
    return meant if meant in (Kind.END_TO_END, Kind.OVERRIDE) else Kind.TWIN


def connection_tokens(value: bytes) -> set[bytes]:
    """The lower-cased members of a Connection field (or of another comma list of tokens)."""
    return {token.strip().lower() for token in value.split(b",") if token.strip()}


_TELLING: Final = TO_CLIENT_DROPPED | Kind.LENGTH


class Shape:
    """What the names of one head mean, worked out once: heads of one kind of client or service differ in their values.

    ``lower`` are the names in lower case, in order; ``kinds`` all bits of :class:`Kind`; ``telling`` the names whose
    value decides what becomes of an answer, with their kind; ``unique`` is false if a name stands there twice, in
    whatever spelling.
    """

    __slots__ = ("kinds", "lower", "telling", "unique")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        classified = [classify(name) for name in names]
        self.lower = tuple(low for low, _ in classified)
        special = [(kind, name) for name, (_, kind) in zip(names, classified, strict=True) if kind]
        self.telling = tuple((kind, name) for kind, name in special if kind & _TELLING)
        self.unique = len(set(self.lower)) == len(self.lower)
        self.kinds = 0
        for kind, _ in special:
            self.kinds |= kind


_MEMO_SHAPES: Final = 1024
_MEMO_SHAPE_NAMES = 64
_MEMO_SHAPE_BYTES = 2048
"""Heads with more names, or longer ones in sum, are not remembered: all others together take a few megabytes."""
shapes: Final[dict[tuple[bytes, ...], Shape]] = {}
"""What :func:`shape_of` has answered; who is in a hurry looks here first."""


def shape_of(names: tuple[bytes, ...]) -> Shape:
    """The :class:`Shape` of a head with these names.

    Remembered up to 1,024 of them, large ones not at all; then all are forgotten and the ones in use come back at once,
    so a flood of odd heads costs time and not memory.
    """
    shape = shapes.get(names)
    if shape is None:
        shape = Shape(names)
        if len(names) <= _MEMO_SHAPE_NAMES and sum(map(len, names)) <= _MEMO_SHAPE_BYTES:
            if len(shapes) >= _MEMO_SHAPES:
                shapes.clear()
            shapes[names] = shape
    return shape
