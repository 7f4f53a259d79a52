"""What users may write about the endpoints of an upstream and about surviving its failures.

Law: as in ``proxy.config.model``, of which this is the part that ``upstreams`` reaches. Every default is here, with its
reason in ``docs/resilience.md``; nothing is tried twice unless ``retries`` is written.
"""

from __future__ import annotations

import re
import typing
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from proxy.config.base import Model
from proxy.config.comparing import Compare
from proxy.config.values import Address, Duration, HostName, PortName, Share, StatusRange

RetryClass = Literal["connect-failure", "reset", "timeout", "invalid-response", "overflow"]
RETRY_CLASSES: tuple[RetryClass, ...] = typing.get_args(RetryClass)
Scheme = Literal["http", "https"]


def _check_retry_reason(value: object) -> object:
    if value in RETRY_CLASSES or (type(value) is int and 400 <= value <= 599):
        return value
    known = ", ".join(f"'{name}'" for name in RETRY_CLASSES)
    hint = "leave the quotes out" if isinstance(value, str) and value.isdigit() else ""
    hint = "name the statuses, like 502, 503, 504" if value in ("4xx", "5xx") else hint
    # The kind of error that a wrong word of any other list is: one fault, with "did you mean".
    raise PydanticCustomError("literal_error", "", {"expected": f"{known} or a status from 400 to 599", "hint": hint})


RetryReason = Annotated[
    RetryClass | int,
    BeforeValidator(_check_retry_reason),
    WithJsonSchema({"anyOf": [{"enum": [*RETRY_CLASSES]}, {"type": "integer", "minimum": 400, "maximum": 599}]}),
]


def check_endpoint(url: str) -> str:
    """``http://host:port`` or ``https://host:port``, no more. Raises ValueError."""
    if "@" in url:  # not shown: it may hold a password
        raise ValueError("an endpoint may hold scheme, host and port only, no user or password")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError when the port is out of range
    except ValueError as error:
        raise ValueError(f"an endpoint is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\\]", url) or parts.port == 0:
        raise ValueError(f"{url!r} is not an endpoint; write it like http://127.0.0.1:9001")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("an endpoint may hold scheme, host and port only: targets are forwarded unchanged")
    return url


class Endpoint(Model):
    """One address of an upstream, with its weight."""

    url: str
    """``http://host:port`` or ``https://host:port``, without a path."""
    weight: int = Field(default=1, ge=0, le=1000)
    """Its share of the requests, beside the others' weights. 0: none, until that is changed."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return check_endpoint(value)


def _spelled_out(value: object) -> object:
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, dict | Endpoint):
        return value
    raise ValueError("write http://host:port, or {url: http://host:port, weight: 2}")


EndpointEntry = Annotated[Endpoint, BeforeValidator(_spelled_out, json_schema_input_type=str | Endpoint)]
"""An endpoint as it may be written: its URL alone, or with a weight."""


class Timeouts(Model):
    """How long to wait for an upstream. None of them may be zero, but for ``per_try``."""

    connect: Duration = Field(default=1.0, gt=0)
    """For the connection, TLS included."""
    first_byte: Duration = Field(default=10.0, gt=0)
    """From the end of the request to the head of the answer."""
    idle: Duration = Field(default=30.0, gt=0)
    """Between two pieces of the answer's body, and between two pieces of a body the upstream is slow to take. A
    stream may run for ever as long as something moves."""
    total: Duration = Field(default=60.0, gt=0)
    """From the end of the request (without a body: from its arrival) to the head of the answer that the client gets,
    over all tries, their pauses and the fallback."""
    per_try: Duration = Field(default=0.0, ge=0)
    """For one try, connecting and queueing included, up to the head of its answer. 0s: only ``connect`` and
    ``first_byte`` bound a try."""
    tunnel_idle: Duration = Field(default=600.0, gt=0)
    """Silence in both directions after an Upgrade (WebSocket)."""


class Retries(Model):
    """Whether a request that failed is tried again on the same upstream, before any fallback.

    Only what the upstream cannot have seen, or a safe method, or a request with ``Idempotency-Key`` if ``unsafe`` says
    so; only with the whole body at hand; on another endpoint than the one that failed, if there is one.
    """

    attempts: int = Field(default=1, ge=0, le=10)
    """Further tries after the first. 0: none."""
    budget: Share = 0.2
    """Retries under way at once, as a share of the requests that this upstream has under way in this worker. 0%: only
    ``budget_min``."""
    budget_min: int = Field(default=3, ge=0, le=1000)
    """Retries that may always be under way at once. 0 with a budget of 0%: none."""
    on: list[RetryReason] = ["connect-failure", "reset", 502, 503, 504]
    """Classes of failures, and status codes. None: never."""
    unsafe: Literal["not-sent", "idempotency-key"] = "not-sent"
    """For methods other than GET, HEAD and OPTIONS, when the upstream may have seen the request: ``not-sent`` does not
    try again then, ``idempotency-key`` does if the request carries that header."""
    backoff: Duration = Field(default=0.025, ge=0)
    """The first pause is a random time up to this; it doubles with each try. 0s: no pause."""
    max_backoff: Duration = Field(default=0.25, ge=0)
    """No random pause is longer. A Retry-After of the answer is honoured if the deadline leaves time for it; one that
    is longer than this goes to legacy at once where there is a fallback."""


class Breaker(Model):
    """When to stop asking an upstream for a route; one for each route, and one more for its shadows.

    Transport failures, timeouts and 5xx count; a client that left does not.
    """

    mode: Literal["enforce", "observe", "off"] = "enforce"
    """``observe`` counts and logs what ``enforce`` would do, and lets everything pass."""
    consecutive_failures: int = Field(default=5, ge=0)
    """So many failures in a row open it. 0: this does not open it."""
    error_share: Share = 0.5
    """So large a share of failures within ``window`` opens it. 0%: this does not open it."""
    min_requests: int = Field(default=20, ge=1)
    """Requests within ``window`` below which ``error_share`` says nothing."""
    window: Duration = Field(default=10.0, ge=1, le=600)
    """How far back ``error_share`` looks."""
    open: Duration = Field(default=30.0, gt=0)
    """How long it stays open the first time, more or less a fifth by chance; each time in a row that its probes
    fail, twice as long."""
    max_open: Duration = Field(default=300.0, gt=0)
    """The longest that it stays open."""
    probes: int = Field(default=3, ge=1, le=100)
    """Requests that may pass at once when it is half-open; when so many have succeeded it closes, when one fails it
    opens."""


class Bulkhead(Model):
    """How much of an upstream one worker may use at once."""

    max_concurrent: int = Field(default=1024, ge=0)
    """Requests under way. 0: no bound. A tunnel (WebSocket) does not count."""
    queue: int = Field(default=128, ge=0)
    """Requests that may wait for a place. 0: nobody waits."""
    queue_timeout: Duration = Field(default=0.25, ge=0)
    """How long one waits; then it is an ``overflow``. 0s: nobody waits."""
    shadow: int = Field(default=64, ge=0)
    """Shadows under way on this upstream, over all routes; above it they are dropped and counted. 0: no shadow."""


class AdaptiveConcurrency(Model):
    """A bound for the requests under way that follows the upstream's latency (a gradient, as Netflix's and Envoy's).

    Off unless it is written. ``bulkhead.max_concurrent`` holds beside it.
    """

    min: int = Field(default=8, ge=1)
    """The bound never falls below this."""
    max: int = Field(default=1000, ge=1)
    """The bound never rises above this."""
    tolerance: float = Field(default=1.5, ge=1, le=10)
    """Latency may grow by this factor over the best that was seen before the bound falls."""
    window: Duration = Field(default=1.0, ge=0.1, le=60)
    """How often the bound is set anew."""


class Health(Model):
    """Active health checks, made by the supervisor once for all workers. Off unless it is written."""

    path: str
    """What is asked for, with GET; with its query, if it needs one."""
    expect: list[StatusRange] = Field(default=["200-399"], min_length=1)
    """Statuses that are good: ``200`` or ``200-399``."""
    interval: Duration = Field(default=5.0, gt=0)
    """Between two checks of an endpoint, more or less a tenth by chance."""
    timeout: Duration = Field(default=1.0, gt=0)
    """For one check as a whole."""
    unhealthy_after: int = Field(default=3, ge=1)
    """So many bad checks in a row take an endpoint out."""
    healthy_after: int = Field(default=2, ge=1)
    """So many good checks in a row bring it back."""

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if not re.fullmatch(r"/[\x21\x22\x24-\x7e]*", value):  # a fragment (#) is never sent
            raise ValueError("it must begin with a slash and hold no blanks and no #; write such characters like %20")
        return value


class Outliers(Model):
    """Ejection of single endpoints by what traffic shows. Needs two endpoints to do anything."""

    consecutive_failures: int = Field(default=5, ge=0)
    """So many failures in a row eject an endpoint. 0: nothing is ejected."""
    ejection: Duration = Field(default=30.0, gt=0)
    """How long the first time; each time in a row, so much longer."""
    max_ejection: Duration = Field(default=300.0, gt=0)
    """The longest ejection."""
    max_ejected: Share = 0.5
    """No more than this share of the endpoints is ejected at once. 0%: nothing is ejected."""


class DnsDiscovery(Model):
    """Endpoints are the A and AAAA records of a name."""

    name: HostName
    """The name."""
    port: int = Field(ge=1, le=65535)
    """The port of all of them."""
    scheme: Scheme = "http"
    """How they are spoken to."""
    server: Address | None = None
    """The name server. None: the system's."""
    min_refresh: Duration = Field(default=5.0, ge=0.1)
    """It is asked again when the records' TTL has passed, but not sooner than this."""


class SrvDiscovery(Model):
    """Endpoints are the SRV records of a name: those of the lowest priority number, with their weights."""

    name: HostName
    """The name, like ``_http._tcp.orders.example``."""
    scheme: Scheme = "http"
    """How they are spoken to."""
    server: Address | None = None
    """The name server. None: the system's."""
    min_refresh: Duration = Field(default=5.0, ge=0.1)
    """It is asked again when the records' TTL has passed, but not sooner than this."""


class ConsulDiscovery(Model):
    """Endpoints are the passing instances of a Consul service, watched with blocking queries."""

    url: str = "http://127.0.0.1:8500"
    """The agent."""
    service: str = Field(min_length=1)
    """The name of the service."""
    tag: str | None = None
    """Only instances with this tag. None: all."""
    datacenter: str | None = None
    """None: the agent's own."""
    token: str | None = Field(default=None, repr=False)
    """An ACL token, best taken from the environment."""
    scheme: Scheme = "http"
    """How the instances are spoken to."""
    wait: Duration = Field(default=60.0, ge=1, le=600)
    """How long one blocking query may wait for a change."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return check_endpoint(value)


class KubernetesDiscovery(Model):
    """Endpoints are the ready addresses of a Service's EndpointSlices, listed and then watched."""

    service: str = Field(min_length=1)
    """The name of the Service."""
    namespace: str = "default"
    """Its namespace."""
    port: PortName | None = None
    """The name or number of the port in the slices. None: the only one."""
    scheme: Scheme = "http"
    """How the addresses are spoken to."""
    url: str = "https://kubernetes.default.svc"
    """The API server."""
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path, not a secret
    """The pod's token, read anew for each connection; an absent file means no token."""
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    """The API server's certificate authority; an absent file means the system's."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return check_endpoint(value)


class Discovery(Model):
    """Where endpoints come from; exactly one key. The last good answer is kept when the source is lost."""

    dns: DnsDiscovery | None = None
    """A and AAAA records."""
    srv: SrvDiscovery | None = None
    """SRV records."""
    consul: ConsulDiscovery | None = None
    """A Consul service."""
    kubernetes: KubernetesDiscovery | None = None
    """A Kubernetes Service."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Discovery:
        if sum(v is not None for v in (self.dns, self.srv, self.consul, self.kubernetes)) != 1:
            raise ValueError("write exactly one of dns, srv, consul or kubernetes")
        return self


class Upstream(Model):
    """A named service that can answer."""

    endpoints: list[EndpointEntry] = []
    """``http://host:port`` or ``https://host:port``, or ``{url: …, weight: 2}``. A name is looked up again every
    5 seconds while there is traffic; if that fails, the addresses found last are used. Beside ``discovery`` they
    serve until its first answer."""
    discovery: Discovery | None = None
    """Where endpoints come from, if they are not listed."""
    balance: Literal["round-robin", "least-request", "hash"] = "round-robin"
    """Which endpoint: in turn by weight; the less busy of two by chance; or always the same for an identity (who has
    none: in turn)."""
    slow_start: Duration = Field(default=0.0, ge=0)
    """An endpoint that came back, or joined others, gets its full share only after this time; it begins with a tenth.
    0s: at once."""
    panic: Share = 0.5
    """If less than this share of the endpoints is fit, all are used: else the few fall over too. 0%: never (legacy
    is asked all the same if none is fit)."""
    timeouts: Timeouts = Timeouts()
    """How long to wait for it."""
    retries: Retries | None = None
    """None: nothing is tried twice."""
    breaker: Breaker | None = None
    """None: a breaker with the defaults for a candidate, none for legacy."""
    bulkhead: Bulkhead = Bulkhead()
    """How much of it one worker may use at once."""
    adaptive_concurrency: AdaptiveConcurrency | None = None
    """None: off."""
    health: Health | None = None
    """None: no active checks."""
    outliers: Outliers = Outliers()
    """Ejection of single endpoints by what traffic shows."""
    max_idle: int = Field(default=128, ge=0, le=10_000)
    """Idle connections kept per endpoint, worker and purpose. 0: none are kept."""
    compare: Compare = Compare()
    """What counts as a difference on the routes whose candidate this is; added to what ``defaults`` say."""

    @model_validator(mode="after")
    def _some_endpoint(self) -> Upstream:
        if not self.endpoints and self.discovery is None:
            raise ValueError("an upstream needs endpoints or discovery")
        return self
