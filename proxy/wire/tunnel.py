"""After a 101: two connections that only pass bytes to each other.

Law: it begins only when an upstream has answered 101 to an Upgrade that was asked for; each direction stops reading
while the other cannot write; an end of one direction is passed on (half-close), the loss of one side ends both.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.wire.downstream import ClientConnection
    from proxy.wire.upstream import UpstreamConnection


class Tunnel:
    """Bytes both ways between ``client`` and ``upstream``. ``active`` is when bytes last moved (monotonic seconds)."""

    def __init__(self, client: ClientConnection, upstream: UpstreamConnection) -> None:
        self._client = client
        self._upstream = upstream
        self._client_done = False
        self._upstream_done = False
        self.over = False
        self.active = monotonic()
        client.tunnel = self
        upstream.tunnel = self
        early_from_client, early_from_upstream = client.take_rest(), upstream.take_rest()
        upstream.proceed()
        if early_from_client:
            self.from_client(early_from_client)
        if early_from_upstream:
            self.from_upstream(early_from_upstream)
        if client.eof:
            self.client_ended()
        if upstream.eof:
            self.upstream_ended()
        if upstream.lost:
            self.upstream_lost()

    def from_client(self, data: bytes) -> None:
        """Bytes from the client."""
        self.active = monotonic()
        self._upstream.write(data)

    def from_upstream(self, data: bytes) -> None:
        """Bytes from the upstream."""
        self.active = monotonic()
        self._client.write(data)

    def client_full(self) -> None:
        """The client does not read."""
        self._upstream.hold()

    def client_drained(self) -> None:
        """The client reads again."""
        self._upstream.proceed()

    def upstream_full(self) -> None:
        """The upstream does not read."""
        if not self._client.lost:
            self._client.transport.pause_reading()

    def upstream_drained(self) -> None:
        """The upstream reads again."""
        if not self._client.lost:
            self._client.transport.resume_reading()

    def client_ended(self) -> None:
        """The client sends no more."""
        self._client_done = True
        self._upstream.write_eof()
        self._settle()

    def upstream_ended(self) -> None:
        """The upstream sends no more."""
        self._upstream_done = True
        self._client.write_eof()
        self._settle()

    def client_lost(self) -> None:
        """The client is gone."""
        self.close()

    def upstream_lost(self) -> None:
        """The upstream is gone; what it sent last still reaches the client."""
        self._upstream_done = self._client_done = True
        self._settle()

    def _settle(self) -> None:
        if self._client_done and self._upstream_done and not self.over:
            self.over = True
            self._client.close()
            if not self._upstream.lost:
                self._upstream.flush()
                self._upstream.transport.close()
            self._client.fiber.wake()

    def close(self) -> None:
        """End both sides now."""
        if not self.over:
            self.over = True
            self._client.abort()
            if not self._upstream.lost:
                self._upstream.transport.abort()
            self._client.fiber.wake()
