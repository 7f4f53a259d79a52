"""The body of a request on its way from the client to whoever needs it.

Law: a body streams; a copy is kept only while a retry, a fallback or a shadow may need it, up to the route's cap and
within what all copies of a worker may take. One that is not kept is sent once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.gate import CHUNKED
from proxy.core.heads import trailer_lines
from proxy.dataplane.stats import count
from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.wire.body import ChunkedBody, chunk, last_chunk

if TYPE_CHECKING:
    from proxy.core.request import Request
    from proxy.wire.downstream import ClientConnection

REPLAY_MEMORY_BYTES: Final = 128 * 1024 * 1024
"""What all request bodies that are kept for a retry, a fallback or a shadow may take in one worker; above it a body is
sent once, and counted."""


class ReplayMemory:
    """What the kept bodies of a worker take together, in bytes.

    ``refused`` counts those that are not kept although they might have been needed, by reason: ``size`` for one above
    its own cap, ``memory`` where there was no room for all.
    """

    __slots__ = ("refused", "used")

    def __init__(self) -> None:
        self.used = 0
        self.refused: dict[str, int] = {}


class RequestBody:
    """The body of a request, from its client to whoever needs it.

    ``kept`` holds everything that came so far, up to ``cap`` bytes; None once it is not at hand any more. Above
    ``limit`` bytes (None: no limit) the body is refused.
    """

    __slots__ = ("_cap", "_client", "_held", "_limit", "_memory", "chunked", "ended", "kept", "size")

    def __init__(
        self, client: ClientConnection, request: Request, cap: int, limit: int | None, memory: ReplayMemory
    ) -> None:
        if limit is not None and request.length > limit:
            raise ExchangeError(FailureKind.BODY_TOO_LARGE)
        self._client = client
        self._cap = cap
        self._limit = limit
        self._memory = memory
        self._held = 0
        self.chunked = request.length == CHUNKED
        self.kept: list[bytes] | None = [] if cap >= request.length and cap else None
        if 0 < cap < request.length:
            count(memory.refused, "size")
        self.size = 0
        self.ended = False  # its end has been handed to the upstream of the current try

    @property
    def done(self) -> bool:
        """It has come whole."""
        return self._client.body_done

    @property
    def arrived(self) -> bool:
        """All of it is here, taken or not. False also if that cannot be told yet."""
        return self._client.body_arrived

    def begin(self) -> bytes:
        """What an upstream gets first: everything kept, and what has come since; framed."""
        self.ended = False
        kept = b"".join(self.kept) if self.kept else b""
        return self._framed(kept + self._pull())

    def next(self) -> bytes:
        """What has come since the last call, framed; b"" if there is nothing to send.

        Raises :class:`ExchangeError` over the limit, for broken framing, and if the client left in the middle.
        """
        return self._framed(self._pull())

    def _pull(self) -> bytes:
        client = self._client
        piece = client.take_body()
        if piece:
            self.size += len(piece)
            if self._limit is not None and self.size > self._limit:
                raise ExchangeError(FailureKind.BODY_TOO_LARGE, Seen.MAYBE_SEEN)
            if self.kept is not None:
                memory = self._memory
                if self.size > self._cap:
                    count(memory.refused, "size")
                    self.forget()
                elif memory.used + len(piece) > REPLAY_MEMORY_BYTES:
                    count(memory.refused, "memory")
                    self.forget()
                else:
                    self.kept.append(piece)
                    self._held += len(piece)
                    memory.used += len(piece)
        elif client.eof and not client.pending and not client.body_done:
            raise ExchangeError(FailureKind.CLIENT_LEFT, Seen.MAYBE_SEEN, "the body broke off")
        return piece

    def forget(self) -> None:
        """It is not at hand any more."""
        self.kept = None
        self._memory.used -= self._held
        self._held = 0

    def _framed(self, piece: bytes) -> bytes:
        done = self._client.body_done
        data = piece
        if self.chunked:
            data = chunk(piece) if piece else b""
            if done and not self.ended and isinstance(body := self._client.body, ChunkedBody):
                data += last_chunk(trailer_lines(body.trailers))
        self.ended = done
        return data
