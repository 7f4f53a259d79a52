"""One request as the decisions see it.

Law: everything here is read off the head once, by the wire; the bytes that go on to an upstream are taken from
``target`` and ``fields`` unchanged, everything else is a view for deciding.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from proxy.config.model import SAFE_METHODS
from proxy.core.fields import Kind


class Request:
    """The head of one request.

    ``method`` is in capitals; ``target`` is origin-form (or ``*``) with its bytes as they came; ``path`` and ``query``
    are its two halves (without ``?``); ``host`` is lower-case without port; ``fields`` keep order, case and repetition;
    ``lower`` maps each lower-cased name to its first value.

    The gate adds: ``length`` of the body in bytes (CHUNKED if it is chunked), ``kinds`` of all fields (bits of
    :class:`proxy.core.fields.Kind`), ``keep_alive`` if the client allows another request, ``upgrade`` the protocol it
    asks for, ``expects_continue``. The wire adds ``raw``, the bytes of the head as they came, and ``tidy`` if they are
    written as we would: ``METHOD target HTTP/1.1`` with this very target, and no white space around values but a blank.
    """

    __slots__ = (
        "_cookies",
        "_query",
        "expects_continue",
        "fields",
        "host",
        "keep_alive",
        "kinds",
        "length",
        "lower",
        "method",
        "path",
        "query",
        "raw",
        "target",
        "tidy",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        host: str,
        fields: list[tuple[bytes, bytes]],
        lower: dict[bytes, bytes],
        version: str = "1.1",
    ) -> None:
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields
        self.lower = lower
        self.version = version
        self.path, _, self.query = target.partition(b"?")
        self.length = 0
        self.kinds = 0
        self.keep_alive = version == "1.1"
        self.upgrade = b""
        self.expects_continue = False
        self.raw = b""
        self.tidy = False
        self._cookies: dict[str, str] | None = None
        self._query: dict[str, str] | None = None

    @property
    def safe(self) -> bool:
        """Whether it only reads (RFC 9110 section 9.2.1). One that names another method in a field does not count: to
        some frameworks it is a write in disguise."""
        return self.method in SAFE_METHODS and not self.kinds & Kind.OVERRIDE

    def header(self, name: str) -> str | None:
        """The first value of a field, as Latin-1 text; None if it is absent. ``name`` in any case."""
        value = self.lower.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def cookie(self, name: str) -> str | None:
        """The first cookie of that name, quotes kept; None if it is absent (RFC 6265 section 5.4)."""
        if self._cookies is None:
            found: dict[str, str] = {}
            for field, value in self.fields:
                if field.lower() == b"cookie":
                    for pair in value.decode("latin-1").split(";"):
                        key, sep, text = pair.partition("=")
                        if sep:
                            found.setdefault(key.strip(), text.strip())
            self._cookies = found
        return self._cookies.get(name)

    def parameter(self, name: str) -> str | None:
        """The first query parameter of that name, percent-decoded as UTF-8; None if it is absent."""
        if self._query is None:
            found: dict[str, str] = {}
            for pair in self.query.split(b"&"):
                key, _, value = pair.replace(b"+", b" ").partition(b"=")
                found.setdefault(_text(key), _text(value))
            self._query = found
        return self._query.get(name)


def _text(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode("utf-8", "replace")
