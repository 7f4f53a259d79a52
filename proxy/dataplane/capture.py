"""One answer as it is kept for comparing.

Law: what is held of an answer is bounded, whatever its length. Up to the cap its bytes are kept; a longer one is
followed by length and digest, of which its beginning is kept for the record. Two answers are equal only if every byte
of both was seen.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from proxy.messages import Answer, Fields

if TYPE_CHECKING:
    from hashlib import _Hash

    from proxy.dataplane.worker import Worker
    from proxy.wire.response import ResponseHead

SPENT_BYTES: Final = 16 * 1024
"""Kept of an answer that is too long to be compared byte by byte: streams go on for hours, and others need the
memory."""

DIGEST_FROM_BYTES: Final = 1024 * 1024
"""From here on bytes are digested as they come, also below a higher cap: to catch up with more would hold the event
loop (this much takes 0.6 ms)."""


class Side:
    """One answer. Up to ``cap`` bytes of its body are kept; of a longer one the beginning and a digest.

    ``size`` is what came of the body; ``truncated`` says that not all of it is kept; ``given_up`` that there will be no
    digest, since its end is not waited for or nothing depends on it.
    """

    # Defaults stand on the class: most answers are short and need no more than their status and size.
    status = 0
    size = 0
    seconds = 0.0
    truncated = False
    given_up = False
    _digest: _Hash | None = None

    def __init__(self, cap: int) -> None:
        self._cap = self._mark = cap
        if cap > DIGEST_FROM_BYTES:
            self._mark = DIGEST_FROM_BYTES
        self.fields: Fields = []
        self.pieces: list[bytes] = []

    def head(self, head: ResponseHead) -> None:
        """The answer's head came. What no client gets to see of it is not there."""
        self.status = head.status
        self.fields = head.fields
        if hidden := head.hidden:
            self.fields = [field for field in head.fields if field not in hidden]

    def piece(self, data: bytes) -> int:
        """A piece of its body came; returns by how many bytes more (or less) is held for it now."""
        size = len(data)
        if self.size + size > self._mark:
            return self._follow(data)
        self.size += size
        if size:
            self.pieces.append(data)
        return size

    def _follow(self, data: bytes) -> int:
        """A piece of a long body."""
        digest = self._digest
        if digest is None and not self.given_up:
            digest = self._digest = sha256()
            for piece in self.pieces:
                digest.update(piece)
        if digest is not None:
            digest.update(data)
        before, self.size = self.size, self.size + len(data)
        if self.truncated:
            return 0
        if data:
            self.pieces.append(data)
        if self.size <= self._cap:
            return len(data)
        self.truncated = True
        kept = min(self._cap, SPENT_BYTES)
        begin, size = [], 0
        for piece in self.pieces:
            if size >= kept:
                break
            begin.append(piece)
            size += len(piece)
        self.pieces = [b"".join(begin)[:kept]]
        return len(self.pieces[0]) - before

    def shorten(self) -> int:
        """The other side is too long: from now on a digest tells whether this one is the same. Returns as above."""
        if self._cap <= SPENT_BYTES:
            return 0
        self._cap = self._mark = SPENT_BYTES
        return self._follow(b"") if self.size > SPENT_BYTES else 0

    def give_up(self) -> int:
        """Nothing depends on its digest any more: only its beginning is kept. Returns as above."""
        self.given_up = True
        self._digest = None
        return self.shorten()

    def cut(self) -> int:
        """Its end is not waited for, so what came is never all of it, however short. Returns as above."""
        held = self.give_up()
        self.truncated = True
        return held

    def digest(self) -> bytes:
        """Of everything that came of a long body (SHA-256); empty for others and if it was given up."""
        return b"" if self._digest is None else self._digest.digest()

    def answer(self, failure: str) -> Answer:
        """As it goes to the comparator."""
        if failure:
            return Answer(0, [], b"", truncated=False, seconds=self.seconds, failure=failure)
        answer = Answer(self.status, self.fields, b"".join(self.pieces), self.truncated, self.seconds)
        if self.truncated and not self.given_up:
            answer.size, answer.digest = self.size, self.digest()
        return answer


class Holder:
    """Who holds some of the memory that all shadows of a worker share."""

    _held = 0

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def _hold(self, size: int) -> bool:
        """So many bytes more are held (or less); whether there was room for them."""
        self._held += size
        self._worker.shadow_bytes += size
        return self._worker.shadow_bytes <= self._worker.runtime.shadow_memory

    def _let_go(self) -> None:
        """Nothing is held any more."""
        self._worker.shadow_bytes -= self._held
        self._held = 0


def equal(one: Side, other: Side, headers: tuple[bytes, ...]) -> bool:
    """Whether both answers are the same in status, chosen headers, content coding and every byte of the body.

    Both have been read to their end, unless they were given up.
    """
    if one.status != other.status or one.size != other.size:
        return False
    if one.truncated or other.truncated:
        digest = one.digest()
        if not digest or digest != other.digest():
            return False
    elif one.pieces != other.pieces and b"".join(one.pieces) != b"".join(other.pieces):
        return False
    return one.fields == other.fields or _chosen(one.fields, headers) == _chosen(other.fields, headers)


def _chosen(fields: Fields, headers: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    chosen = [
        (low, value.rstrip())
        for name, value in fields
        if (low := name.lower()) in headers or low == b"content-encoding"
    ]
    chosen.sort(key=_name)  # the order of different names means nothing, that of equal ones does
    return chosen


def _name(field: tuple[bytes, bytes]) -> bytes:
    return field[0]
