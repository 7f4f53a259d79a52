"""What users may write in ``routes/*.yaml``, field by field.

Law: this file is the whole configuration language. A key that is not here is an unknown key; a key that is here works.
Each field's docstring says what it means, its unit, and what zero or none means; the JSON Schema and
``docs/configuration.md`` are held against them by tests. Checks that need more than one object (unknown upstreams,
tying routes) live in ``proxy.config.lint``.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from proxy.config.base import Model
from proxy.config.comparing import (
    Compare,
    Defaults,
    ReadyWhen,
    Redaction,
    Shadow,
    effective_compare,
    effective_ready_when,
)
from proxy.config.upstreams import Upstream
from proxy.config.values import Address, Addresses, Duration, HeaderName, Method, Name, Percent, Share, Size, Workers

Stage = Literal["legacy", "shadow", "canary", "live", "retired"]
FallbackReason = Literal["connect-failure", "timeout", "reset", "invalid-response", "5xx", "breaker-open", "overflow"]

STAGES: tuple[Stage, ...] = ("legacy", "shadow", "canary", "live", "retired")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Token(Model):
    """Who may use the admin side."""

    name: Name
    """Whom the audit names as the actor."""
    role: Literal["viewer", "operator"] = "viewer"
    """A viewer reads; an operator also changes."""
    token: str = Field(min_length=16, repr=False)
    """The secret, best taken from the environment: ``${NAME}``. At least 16 characters."""


class Admin(Model):
    """The operators' side: API, metrics, health."""

    listen: Address = "127.0.0.1:9900"
    """Where it listens. Port 0 takes a free one. An address that is not loopback needs ``tokens``."""
    tokens: list[Token] = []
    """None: everybody who reaches a loopback address is an operator."""


class Identity(Model):
    """One place to look for who is asking; exactly one key."""

    header: HeaderName | None = None
    """The name of a request header."""
    cookie: str | None = None
    """The name of a cookie."""
    query: str | None = None
    """The name of a query parameter."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Identity:
        if sum(v is not None for v in (self.header, self.cookie, self.query)) != 1:
            raise ValueError("write exactly one of header, cookie or query")
        return self


class Cohort(Model):
    """A named set of users. Whoever is in ``users`` or shows all of ``header`` and ``cookie`` belongs to it."""

    users: list[str] = []
    """Identities, as ``identity`` yields them."""
    users_file: str | None = None
    """A file with one identity a line, relative to the YAML file; read at load and at each reload."""
    header: dict[HeaderName, str] = {}
    """Header name -> exact value; all must hold."""
    cookie: dict[str, str] = {}
    """Cookie name -> exact value; all must hold."""

    @model_validator(mode="after")
    def _not_empty(self) -> Cohort:
        if not (self.users or self.users_file or self.header or self.cookie):
            raise ValueError("a cohort needs users, users_file, header or cookie")
        return self


class Match(Model):
    """Which requests a route is for. More than one key: all must hold. At most one of the three paths."""

    host: str | None = None
    """The Host, without port, in any case; ``*.example.com`` is any name below."""
    path: str | None = None
    """A template: ``{name}`` is exactly one segment, a trailing ``/**`` is any rest (also none)."""
    path_prefix: str | None = None
    """The path begins with this, at a segment border."""
    path_regex: str | None = None
    """The whole path (at most 2 KiB of it) fits this regular expression, of a subset that cannot be made slow."""
    methods: list[Method] = []
    """None: every method. GET does not stand for HEAD."""
    headers: dict[HeaderName, str] = {}
    """Header name -> exact value; ``*`` is any value."""
    query: dict[str, str] = {}
    """Query parameter -> exact value; ``*`` is any value."""
    cookies: dict[str, str] = {}
    """Cookie -> exact value; ``*`` is any value."""

    @field_validator("path", "path_prefix")
    @classmethod
    def _slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError(f"{value!r} must begin with a slash")
        return value

    @model_validator(mode="after")
    def _one_path(self) -> Match:
        if sum(v is not None for v in (self.path, self.path_prefix, self.path_regex)) > 1:
            raise ValueError("write only one of path, path_prefix and path_regex")
        return self


class Canary(Model):
    """Who gets the candidate at stage ``canary``."""

    percent: Percent = 0
    """Users whose bucket is at most this. 0%: nobody by percent."""
    cohorts: list[Name] = []
    """Cohorts that always get the candidate."""
    salt: str = ""
    """Routes with one salt move a user together. Empty: the route's id."""


class Fallback(Model):
    """When legacy answers because the candidate failed."""

    on: list[FallbackReason] = [
        "connect-failure", "timeout", "reset", "invalid-response", "5xx", "breaker-open", "overflow"
    ]  # fmt: skip
    """None: never."""
    unsafe: Literal["not-sent", "idempotency-key", "always"] = "not-sent"
    """For methods other than GET, HEAD and OPTIONS, when the candidate may have seen the request: ``not-sent`` never
    falls back then, ``idempotency-key`` does if the request carries that header, ``always`` does and may write
    twice."""
    max_replay_body: Size = 1024 * 1024
    """Request bodies up to this are kept for a fallback after sending; longer ones are served once."""


class Drill(Model):
    """A fault made on purpose, in front of the candidate, for those who are meant to feel it.

    Needs ``drills: allowed``. What is named must all hold; the first entry that fits is used. A drill's failures lead
    to fallback as real ones do; they are not tried again, and do not count for breakers and ejection.
    """

    delay: Duration = Field(default=0.0, ge=0, le=300)
    """Before the candidate is asked. 0s: none."""
    abort: int | None = Field(default=None, ge=400, le=599)
    """The candidate is not asked; this status stands for its answer."""
    reset: bool = False
    """The candidate is not asked; it is as if it had reset the connection."""
    bandwidth: Size = 0
    """Bytes of the candidate's answer per second. 0B: no bound."""
    share: Share = 1.0
    """Of the requests that fit. 0%: none."""
    cohorts: list[Name] = []
    """Only users in one of them. None: everybody."""
    header: dict[HeaderName, str] = {}
    """Only requests with these headers. None: all."""

    @model_validator(mode="after")
    def _one_end(self) -> Drill:
        if self.abort is not None and self.reset:
            raise ValueError("write abort or reset, not both")
        if not (self.delay or self.abort or self.reset or self.bandwidth):
            raise ValueError("a drill needs delay, abort, reset or bandwidth")
        return self


class RouteLimits(Model):
    """Bounds of one route."""

    body: Size | None = None
    """Largest request body; 413 above it. None: the global limit."""


class Route(Model):
    """A rule: which requests, which candidate, at which stage."""

    id: Name
    """Unique; it is the label in metrics, logs and reports."""
    match: Match
    """Which requests."""
    candidate: Name | None = None
    """The upstream that is to take over; needed at every stage but ``legacy``."""
    stage: Stage = "legacy"
    """How far the route has moved, until an operator's override says otherwise."""
    kill_switch: bool = False
    """True: legacy answers, whatever the stage and whoever asks (not at ``retired``, which has no legacy)."""
    priority: int = 0
    """Stands above specificity; the higher wins."""
    canary: Canary = Canary()
    """Who gets the candidate at stage ``canary``."""
    shadow: Shadow = Shadow()
    """The copy that only gets compared."""
    compare: Compare = Compare()
    """What counts as a difference; added to what the candidate and ``defaults`` say."""
    ready_when: ReadyWhen = ReadyWhen()
    """What has to hold before the route may be cut over; what is not written is as ``defaults`` say."""
    fallback: Fallback = Fallback()
    """When legacy answers because the candidate failed."""
    limits: RouteLimits = RouteLimits()
    """Bounds of this route."""
    faults: list[Drill] = []
    """Faults made on purpose, for drills."""

    @model_validator(mode="after")
    def _whole(self) -> Route:
        if self.candidate is None and self.stage != "legacy":
            raise ValueError(f"route {self.id!r} is at stage {self.stage!r} and names no candidate")
        unsafe = sorted(set(self.shadow.methods) - SAFE_METHODS)
        if unsafe and self.shadow.unsafe == "read-after-write":
            raise ValueError(
                f"shadow.methods of route {self.id!r} names {', '.join(unsafe)}, but read-after-write copies no write: "
                "leave shadow.methods out; what is read after a write stands in shadow.reads"
            )
        if unsafe and self.shadow.unsafe == "off":
            raise ValueError(
                f"shadow.methods of route {self.id!r} names {', '.join(unsafe)}, which may write twice: "
                "set shadow.unsafe: accepted-by-candidate if the candidate honours X-Banyan-Shadow"
            )
        if bool(self.shadow.reads) != (self.shadow.unsafe == "read-after-write"):
            raise ValueError(f"shadow.reads and shadow.unsafe: read-after-write of route {self.id!r} need each other")
        return self


class Limits(Model):
    """Bounds for all clients, per worker."""

    head: Size = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    """Request line and header fields together; 431 (or 414) above it."""
    fields: int = Field(default=100, ge=1, le=10_000)
    """Number of header fields; 431 above it."""
    connections: int = Field(default=10_000, ge=1)
    """Client connections; above it a new one gets 503 and is closed."""
    body: Size | None = None
    """Largest request body; 413 above it. None: any size streams through."""


class ClientTimeouts(Model):
    """The clocks of the client side. None of them may be zero."""

    head: Duration = Field(default=10.0, gt=0)
    """For a whole request head, from its first byte (for the first one, from the connection)."""
    body_idle: Duration = Field(default=30.0, gt=0)
    """Between two pieces of a request body."""
    write_idle: Duration = Field(default=60.0, gt=0)
    """For a client that does not read what it asked for."""
    keep_alive: Duration = Field(default=75.0, gt=0)
    """Between two requests on one connection."""
    half_closed: Duration = Field(default=0.75, ge=0)
    """How long a safe request is still waited for after its client has ended its side of the connection, which nearly
    always means that it left. Writes are let finish. 0s: not at all."""


class Shutdown(Model):
    """What SIGTERM means."""

    drain_delay: Duration = Field(default=1.0, ge=0)
    """From failing /readyz to closing the listeners: as long as a load balancer needs to look. 0s: at once."""
    grace: Duration = Field(default=30.0, ge=0)
    """For requests in flight after the listeners are closed; then they are cut."""


class Overload(Model):
    """What a worker gives up when its event loop is late, first to last."""

    shadow_lag: Duration = Field(default=0.05, ge=0)
    """Later than this: no shadows. 0s: shadows whatever the lag."""
    refuse_lag: Duration = Field(default=1.0, ge=0)
    """Later than this: new connections get 503 with Retry-After. 0s: never."""


class AccessLog(Model):
    """One JSON line for each request: what became of it, and why. Off unless it is written."""

    file: str = Field(default="-", min_length=1)
    """Where to; relative to the working directory, opened again at each reload. ``-``: standard output."""
    queue: int = Field(default=10_000, ge=1, le=1_000_000)
    """Lines that may wait for the disk, per worker; above it they are dropped and counted."""


class Retention(Model):
    """How much of the diff log is kept. Counts are kept exactly, samples go first."""

    age: Duration = Field(default=14 * 86400.0, gt=0)
    """Records older than this are deleted."""
    size: Size = Field(default=256 * 1024**2, ge=1024**2)
    """The store's file is kept below this by deleting the oldest samples."""
    samples: int = Field(default=20, ge=1, le=1000)
    """Recorded pairs kept per fingerprint."""


class Settings(Model):
    """The whole configuration of one Banyan."""

    version: Literal[1] = 1
    """The version of this language."""
    listen: Addresses = ["127.0.0.1:8080"]
    """Where clients connect: one address or a list. Port 0 takes a free one."""
    admin: Admin = Admin()
    """The operators' side."""
    workers: Workers = "auto"
    """Processes that serve clients; ``auto`` is one per core."""
    store: str = "sqlite:///var/banyan.db"
    """Where the diff log, the overrides and the counters live: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    trusted_proxies: list[str] = []
    """CIDRs whose X-Forwarded-*, X-Request-ID and traceparent are believed. None: nobody's."""
    identity: list[Identity] = []
    """Who is asking; the first that yields a value wins. None: nobody has an identity, so percent chooses nobody."""
    cohorts: dict[Name, Cohort] = {}
    """Named sets of users."""
    upstreams: dict[Name, Upstream]
    """The services that can answer."""
    legacy: Name
    """The upstream that answers whatever no route names."""
    routes: list[Route] = []
    """The rules. None: everything goes to legacy."""
    defaults: Defaults = Defaults()
    """What holds for all routes unless the upstream or the route says otherwise."""
    redaction: Redaction = Redaction()
    """What is secret in records."""
    ambiguous_paths: Literal["legacy", "reject"] = "legacy"
    """What becomes of a path that two parsers could read differently: never a route; legacy, or 400."""
    expose: bool = False
    """True: answers carry X-Banyan-Arm and X-Banyan-Route. For demos and staging."""
    tester_key: str | None = Field(default=None, min_length=16, repr=False)
    """The secret of X-Banyan-Key, with which X-Banyan-Arm chooses the arm at canary. None: both are ignored."""
    limits: Limits = Limits()
    """Bounds for all clients."""
    client_timeouts: ClientTimeouts = ClientTimeouts()
    """The clocks of the client side."""
    shutdown: Shutdown = Shutdown()
    """What SIGTERM means."""
    retention: Retention = Retention()
    """How much of the diff log is kept."""
    overload: Overload = Overload()
    """What a worker gives up when it is late."""
    access_log: AccessLog | None = None
    """One line for each request. None: only failures and fallbacks are logged."""
    drills: Literal["forbidden", "allowed"] = "forbidden"
    """Whether ``faults`` of routes take effect; forbidden ones are a fault."""
    shadow_memory: Size = 64 * 1024**2
    """Bytes of captured answers that all shadows of one worker may hold; above it shadows are dropped and counted."""

    @field_validator("trusted_proxies")
    @classmethod
    def _cidr(cls, value: list[str]) -> list[str]:
        for cidr in value:
            try:
                ipaddress.ip_network(cidr)
            except ValueError as error:
                raise ValueError(f"{cidr!r} is not a CIDR: {error}") from None
        return value

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        if not value.startswith("sqlite:///") or len(value) <= len("sqlite:///"):
            scheme = value.partition(":")[0]  # not the rest: it may hold a password
            raise ValueError(f"{scheme!r} is not a store; write it like sqlite:///var/banyan.db")
        return value


def compare_of(settings: Settings, route: Route) -> Compare:
    """The rules that hold for a route, of all three levels."""
    candidate = settings.upstreams.get(route.candidate or "")
    nearer = [candidate.compare] if candidate is not None else []
    return effective_compare([settings.defaults.compare, *nearer, route.compare])


def ready_when_of(settings: Settings, route: Route) -> ReadyWhen:
    """The criteria that hold for a route, of both levels."""
    return effective_ready_when([settings.defaults.ready_when, route.ready_when])


def settings_from_document(document: dict[str, Any]) -> Settings:
    """Validate a merged document that has been validated before (by the supervisor); for worker and comparator."""
    return Settings.model_validate(document)
