"""What every source of endpoints promises.

Law: a source says what it knows, whole, and raises when it knows nothing any more. It remembers no answer for the time
after a loss, waits for no retry and writes no log: that is its watcher's part, once for all kinds.

What an *empty* answer means is the source's to say: where the source knows who belongs to a service (Consul,
Kubernetes), nobody is an answer like any other; where it merely holds records (DNS), no records is the loss of the
answer. Each says so at its own place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

Answer = dict[str, int]
"""All endpoints of an upstream: weight (1 to MAX_WEIGHT) by URL, ``http://host:port``."""

MAX_WEIGHT = 1000
"""The same bound as in the configuration."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")


class SourceLostError(Exception):
    """A source has no answer now; the text says why, in words for people."""


class Source(Protocol):
    """One place that knows the endpoints of one upstream."""

    def watch(self) -> AsyncGenerator[Answer, None]:
        """Whole answers: the first as soon as there is one, then one whenever it may have changed or was confirmed.

        Never ends by itself. Raises SourceLostError when the source is lost; call it again to begin anew.
        """


def endpoint_url(scheme: str, host: str, port: int) -> str:
    """The URL of an endpoint; ``host`` is an address (IPv6 without brackets) or a name. Raises ValueError."""
    try:
        address = ipaddress.ip_address(host)
        host = f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        if not _NAME.fullmatch(host):
            raise ValueError(f"{host[:80]!r} is neither an address nor a name") from None
        host = host.rstrip(".").lower()
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    return f"{scheme}://{host}:{port}"


def scaled(weights: Mapping[str, int]) -> Answer:
    """Weights as sources write them, 0 to 65535, as ours.

    A weight of 0 is a very small share there (RFC 2782) and none here, so it becomes 1; larger numbers keep their
    proportion.
    """
    most, least = max(weights.values(), default=0), min(weights.values(), default=0)
    if most <= 0:
        return dict.fromkeys(weights, 1)
    if least >= 1 and most <= MAX_WEIGHT:
        return dict(weights)
    return {url: max(1, round(weight * MAX_WEIGHT / most)) for url, weight in weights.items()}
