"""The cases, what each shows, and the bar it is held to.

Law: a case is data. A row is one figure of a case; its bars say against whom Banyan is held, and from where the bar
counts as met. The bars are those of the design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.bench import peers


@dataclass(frozen=True)
class Bar:
    """Banyan's figure over ``peer``'s (without a peer, the figure itself) must be on the right side of ``limit``."""

    limit: float
    peer: str | None = None
    at_least: bool = True

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} x {self.peer}" if self.peer else f"{sign} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``metric`` names the figure that the case yields."""

    metric: str
    title: str
    unit: str
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Case:
    """Something that is done to every target."""

    key: str
    kind: Literal["saturate", "rate", "memory", "workers"]
    rows: tuple[Row, ...]
    path: str = "/plain/112"
    connections: int = 32
    headers: tuple[str, ...] = ()
    targets: tuple[str, ...] = peers.NAMES

    @property
    def copies(self) -> bool:
        """Whether every request is to be shadowed."""
        return self.path.startswith("/shadow")


RATE = 5000
IDLE_CONNECTIONS = 2000

_ENVOY_15, _NGINX_04 = Bar(1.5, "envoy"), Bar(0.4, "nginx")

CASES = (
    Case("plain-112", "saturate", (Row("requests", "plain, 112 B", "req/s", (_ENVOY_15, _NGINX_04)),)),
    Case(
        "plain-10k",
        "saturate",
        (Row("requests", "plain, 10 kB", "req/s", (_ENVOY_15, _NGINX_04)),),
        path="/plain/10k",
    ),
    Case(
        "plain-1m",
        "saturate",
        (Row("bytes", "plain, 1 MiB", "MB/s", (Bar(0.75, "envoy"),)),),
        path="/plain/1m",
        connections=16,
    ),
    Case(
        "shadow-112",
        "saturate",
        (Row("requests", "every request shadowed, 112 B", "req/s", (_ENVOY_15,)),),
        path="/shadow/112",
        targets=peers.MIRRORS,
    ),
    Case(
        "shadow-10k",
        "saturate",
        (Row("requests", "every request shadowed, 10 kB", "req/s", (_ENVOY_15,)),),
        path="/shadow/10k",
        targets=peers.MIRRORS,
    ),
    Case(
        "shadow-1m",
        "saturate",
        (Row("bytes", "every request shadowed, 1 MiB", "MB/s"),),
        path="/shadow/1m",
        connections=16,
        targets=peers.MIRRORS,
    ),
    Case(
        "rate-5k",
        "rate",
        (
            Row("p50", f"p50 at {RATE:,} req/s, 112 B", "µs"),
            Row("p99", f"p99 at {RATE:,} req/s, 112 B", "µs", (Bar(1.0, "envoy", at_least=False),)),
        ),
    ),
    Case(
        "close",
        "saturate",
        (Row("requests", "connection per request, 112 B", "req/s"),),
        headers=("Connection: close",),
    ),
    Case(
        "memory",
        "memory",
        (Row("kib", "resident per idle connection", "KiB", (Bar(8.0, at_least=False),)),),
    ),
    Case(
        "workers",
        "workers",
        (
            Row("two", "two workers, plain, 112 B", "req/s"),
            Row("ratio", "two workers / one, by requests/s", "x", (Bar(1.7),)),
            Row("capacity", "two workers / one, by CPU time", "x", (Bar(1.7),)),
        ),
        connections=64,
        targets=("banyan", "envoy"),
    ),
)

COPIED_ENOUGH = 0.99
"""A shadowed run counts only when at least this share of the requests was copied."""
