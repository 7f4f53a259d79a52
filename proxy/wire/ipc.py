"""Messages on a Unix socket: four bytes of length, then MessagePack of one tagged structure.

Law: a peer that sends anything else is cut off; a peer that does not read is dropped for, never waited for.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

import msgspec

M = TypeVar("M")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A whole configuration document or one pair of capped answers fits many times over."""

_encode = msgspec.msgpack.Encoder().encode


def frame(message: msgspec.Struct) -> bytes:
    """The bytes of one message on the wire."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


class Channel(Generic[M]):
    """Both directions of one connection between two processes.

    ``receives`` is the union of structures that may arrive.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, receives: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = msgspec.msgpack.Decoder(receives).decode

    @property
    def backlog(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, message: msgspec.Struct) -> None:
        """Queue one message without waiting; on a broken connection it is lost."""
        if not self._writer.is_closing():
            self._writer.write(frame(message))

    async def receive(self) -> M | None:
        """The next message; None at the end, also when the peer broke off or sent what is not a message."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MAX_MESSAGE_BYTES:
                return None
            message: M = self._decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError, OSError):
            return None
        return message

    async def flush(self, seconds: float) -> None:
        """Wait until the peer has taken what was sent, at most ``seconds``."""
        clock = asyncio.get_running_loop().time
        by = clock() + seconds
        while self.backlog and not self._writer.is_closing() and clock() < by:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Close; what is queued is still sent if the peer reads."""
        self._writer.close()


async def connect(path: str, receives: Any) -> Channel[Any]:
    """Connect to the process that listens at ``path``. Raises OSError if nobody does."""
    reader, writer = await asyncio.open_unix_connection(path)
    return Channel(reader, writer, receives)
