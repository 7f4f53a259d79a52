"""What the processes say to each other.

Law: data only. Every message is a tagged, schema-checked structure; ``proxy.wire.ipc`` puts it on a socket as a length
and MessagePack. Nothing is pickled, and a message that does not fit its schema ends the connection it came on.

Counters are cumulative since the start of the process that sends them; the receiver adds up the processes and keeps
what a dead one had counted last.
"""

from __future__ import annotations

import msgspec

Fields = list[tuple[bytes, bytes]]
"""Header fields as they stood on the wire, in order; names keep their case."""

DURATION_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of every duration histogram; the last bucket, +Inf, has no bound of its own."""


class Histogram(msgspec.Struct):
    """A duration histogram: ``counts`` has one entry per bucket of DURATION_BUCKETS_SECONDS plus one for +Inf."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_SECONDS) + 1))
    total: float = 0.0  # seconds


DELTA_BUCKETS_SECONDS = (
    -10.0, -5.0, -2.5, -1.0, -0.5, -0.25, -0.1, -0.05, -0.025, -0.01, -0.005, -0.0025, -0.001,
    0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the differences between two answers to one request; the last bucket, +Inf, has no bound."""


class Paired(msgspec.Struct):
    """What is known of both answers to one request: candidate minus legacy, over all pairs that a worker had."""

    deltas: list[int] = msgspec.field(default_factory=lambda: [0] * (len(DELTA_BUCKETS_SECONDS) + 1))
    total: float = 0.0  # seconds, the sum of the differences
    would_time_out: int = 0  # the candidate took longer than its own timeouts allow, or its shadow timed out
    legacy_errors: int = 0  # no answer, or a 5xx
    candidate_errors: int = 0


class RouteCounters(msgspec.Struct):
    """Everything that a worker counts for one route. Keys that join several labels use one space."""

    requests: dict[str, int] = msgspec.field(default_factory=dict)  # "GET 200 candidate" -> n
    durations: dict[str, Histogram] = msgspec.field(default_factory=dict)  # arm -> histogram, client's view
    upstream_requests: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # "orders ok" -> n; outcome is "ok" or a FailureKind value
    upstream_durations: dict[str, Histogram] = msgspec.field(
        default_factory=dict
    )  # upstream -> histogram to the first byte, answering requests only
    shadow_durations: dict[str, Histogram] = msgspec.field(default_factory=dict)  # upstream -> the same for shadows
    fallbacks: dict[str, int] = msgspec.field(default_factory=dict)  # reason -> n
    retries: dict[str, int] = msgspec.field(default_factory=dict)  # reason -> n
    shadow: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # outcome: "compared", "sent-to-comparator", "failed", "dropped" -> n
    shadow_dropped: dict[str, int] = msgspec.field(default_factory=dict)  # reason -> n
    matched: int = 0  # pairs found equal in the worker
    reasons: dict[str, int] = msgspec.field(default_factory=dict)  # why an arm was chosen -> n
    self_matched: int = 0  # pairs of legacy with itself that were equal in the worker
    unpaired: int = 0  # candidate's answers at canary of a kind that is compared, while shadow.reverse was off
    paired: Paired = msgspec.field(default_factory=Paired)
    coverage: dict[str, list[int]] = msgspec.field(
        default_factory=dict
    )  # cell (core.coverage) -> [seen in traffic that legacy answered, found equal in the worker]


class BreakerFigures(msgspec.Struct):
    """One breaker of a worker; counts since the worker's start."""

    route: str
    upstream: str
    purpose: str  # "traffic" | "shadow"
    state: str  # "closed" | "open" | "half-open"
    mode: str  # "enforce" | "observe"
    opened: int  # how often it opened
    refused: int  # requests that it did not let pass; in mode observe: would not have let pass
    open_seconds: float  # how long it will stay open still; 0 unless open


class EndpointFigures(msgspec.Struct):
    """One endpoint as a worker sees it."""

    in_flight: int
    weight: int
    state: str  # "fit" | "unhealthy" | "ejected" | "draining"
    ejections: int  # since the worker's start


class UpstreamFigures(msgspec.Struct):
    """One upstream as a worker uses it."""

    in_flight: int
    queued: int
    limit: int  # requests that may be under way now; 0: no bound
    shadows_in_flight: int
    overflows: int  # since the worker's start
    retries_in_flight: int
    retries_refused: int  # by the budget, since the worker's start
    panic: bool  # too few endpoints are fit, so all are used
    endpoints: dict[str, EndpointFigures]  # by URL


class BreakerEvent(msgspec.Struct, tag="breaker-event"):
    """A breaker of a worker changed its state."""

    worker: int
    route: str
    upstream: str
    purpose: str
    before: str
    after: str
    why: str  # in words, for people
    mode: str
    at: float  # seconds since the epoch


class WorkerStats(msgspec.Struct, tag="worker-stats"):
    """A worker's figures, sent about once a second."""

    worker: int
    pid: int
    generation: int
    draining: bool
    connections: int
    in_flight: int
    lag_seconds: float
    shadows_in_flight: int
    routes: dict[str, RouteCounters]
    refused: dict[str, int]  # FailureKind value -> n, requests refused before routing
    ambiguous: int  # requests with an ambiguous path
    breakers: list[BreakerFigures] = []
    upstreams: dict[str, UpstreamFigures] = {}
    access_log_dropped: int = 0  # requests without a line: the queue was full, or the file could not be written
    replay_refused: dict[str, int] = {}  # "size" | "memory" -> n, request bodies of which no copy was kept


SIZE_RATIO_BUCKETS = (0.1, 0.25, 0.5, 0.8, 0.95, 0.99, 1.01, 1.05, 1.25, 2.0, 4.0, 10.0)
"""Upper bounds of the candidate's body size divided by legacy's; the last bucket, +Inf, has no bound."""


class CompareCounters(msgspec.Struct):
    """What the comparator counts for one route, without the pairs that were equal in the worker."""

    verdicts: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # "matched" | "ignored" | "mismatched" | "incomparable" -> n
    incomparable: dict[str, int] = msgspec.field(default_factory=dict)  # reason -> n
    expected: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # why pairs are "ignored": "rules" | "accepted" | "noise" -> n
    covered: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # cell (core.coverage) -> pairs that were compared to the end here
    selfs: int = 0  # pairs of legacy with itself that were compared to the end here
    shapes: dict[str, list[int]] = msgspec.field(
        default_factory=dict
    )  # "cell\x1fshape" -> [seen in legacy's answers, compared]; of the answers that were looked at
    sizes: list[int] = msgspec.field(
        default_factory=lambda: [0] * (len(SIZE_RATIO_BUCKETS) + 1)
    )  # candidate's body / legacy's, of the pairs that were not equal in the worker


class ComparatorStats(msgspec.Struct, tag="comparator-stats"):
    """The comparator's figures, sent about once a second."""

    pid: int
    generation: int
    routes: dict[str, CompareCounters]
    store_dropped: dict[str, int]  # reason -> records lost
    queued: int  # pairs waiting


class Hello(msgspec.Struct, tag="hello"):
    """The first message of a child process to its supervisor."""

    role: str  # "worker" | "comparator"
    index: int
    pid: int


class Ready(msgspec.Struct, tag="ready"):
    """A child applies this generation now (a worker also listens)."""

    generation: int


class Override(msgspec.Struct, frozen=True):
    """An operator's word on a route that stands above the file's, until it is replaced."""

    route: str
    stage: str
    percent: int | None
    version: int
    actor: str
    reason: str
    at: float  # seconds since the epoch


class Snapshot(msgspec.Struct, tag="snapshot"):
    """One whole configuration. ``document`` is the merged, validated document as JSON, before defaults."""

    generation: int
    document: bytes
    overrides: list[Override]
    instance: str  # this deployment's name in Via


class EndpointWord(msgspec.Struct, frozen=True):
    """What the supervisor knows of one endpoint."""

    url: str  # http://host:port
    weight: int = 1
    healthy: bool = True  # by active checks; True without them


class Endpoints(msgspec.Struct, tag="endpoints"):
    """The endpoints of every upstream that has discovery or health checks; replaces what was said before."""

    upstreams: dict[str, list[EndpointWord]]


class Drain(msgspec.Struct, tag="drain"):
    """Stop: close the listeners after ``delay`` seconds, finish what is in flight, leave within ``grace`` seconds."""

    delay: float
    grace: float


class Answer(msgspec.Struct):
    """One side of a pair. ``failure`` is a FailureKind value when there is no (whole) answer; then status is 0."""

    status: int
    fields: Fields
    body: bytes  # as on the wire, transfer coding removed, content coding kept
    truncated: bool  # the body went over the capture cap; ``body`` holds its beginning
    seconds: float  # from sending to the end of the answer
    failure: str = ""
    size: int = 0  # bytes of the whole body, if ``truncated`` and it was read to its end
    digest: bytes = b""  # of the whole body, if ``truncated`` and it was read to its end; of one algorithm


class Pair(msgspec.Struct, tag="pair"):
    """Two answers to one request; worker to comparator.

    ``purpose``: "compare" for two that were not byte-equal; "self" for two of legacy's that were not; "read-back" for
    reads after a write; "seen" for an answer of legacy's that is only looked at for its shape and the record of
    requests (``candidate`` is then empty, or was equal: ``compared`` says which).
    """

    generation: int
    route: str
    request_id: str
    at: float  # seconds since the epoch
    method: str
    target: bytes
    fields: Fields
    body: bytes
    arm: str  # which side the client got: "legacy" | "candidate"
    reason: str  # why that arm
    cohorts: list[str]
    legacy: Answer
    candidate: Answer
    purpose: str = "compare"  # "compare" | "self" | "read-back" | "seen"
    cell: str = ""  # of the coverage, see core.coverage
    compared: bool = True  # False: "seen" without a candidate


class Expected(msgspec.Struct, tag="expected"):
    """What the comparator counts as expected; replaces what was said before."""

    accepted: dict[str, float]  # fingerprint -> until, seconds since the epoch; 0: for good
    noisy: list[str]  # fingerprints


ToWorker = Snapshot | Endpoints | Drain
FromChild = Hello | Ready | WorkerStats | BreakerEvent | ComparatorStats
