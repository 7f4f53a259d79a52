"""What users may write about shadows, comparing, redaction and readiness.

Law: rules stand at three levels, ``defaults``, the candidate upstream and the route; :func:`effective_compare` is the
one place that joins them. Of a list or mapping the levels are added up, for one path the nearest to the route wins; of
everything else the nearest level that writes it wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

from proxy.config.base import Model
from proxy.config.values import Duration, HeaderName, Method, Share, Size, parse_share

Scalar = str | int | float | bool | None
MatcherName = Literal["timestamp", "uuid", "number", "url-without-host", "opaque"]


class ReadAfterWrite(Model):
    """A safe read whose answers show whether a write came to the same on both sides."""

    path: str = Field(min_length=1)
    """What to GET: ``{name}`` is a segment of the route's template, ``{$.id}`` a value in legacy's answer."""
    delay: Duration = Field(default=0.0, ge=0, le=60)
    """Between legacy's answer and the reads: as long as the two sides need to agree."""

    @field_validator("path")
    @classmethod
    def _slash(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"{value!r} must begin with a slash")
        return value


class Shadow(Model):
    """The copy that only gets compared."""

    sample: Share = 1.0
    """Share of the eligible requests. 0%: no shadow."""
    reverse: bool = False
    """At ``canary``: also ask legacy about requests that the candidate answered. (At ``live`` that is always so.)"""
    methods: list[Method] = ["GET", "HEAD", "OPTIONS"]
    """Which methods are eligible. Others than the safe ones need ``unsafe: accepted-by-candidate``."""
    unsafe: Literal["off", "accepted-by-candidate", "read-after-write"] = "off"
    """``accepted-by-candidate``: the candidate promises to change nothing when it sees ``X-Banyan-Shadow: 1``.
    ``read-after-write``: no write is copied; after legacy has answered one, ``reads`` are asked of both sides."""
    reads: list[ReadAfterWrite] = Field(default=[], max_length=8)
    """What is read after a write; needs ``unsafe: read-after-write``."""
    max_body: Size = 1024 * 1024
    """Of an answer, kept for comparing. Also the cap of the request body."""
    max_stream: Size = 256 * 1024**2
    """Longer bodies than ``max_body`` are still compared by length and digest, up to this."""
    max_in_flight: int = Field(default=64, ge=0)
    """Shadows of this route under way at once in one worker; above it they are dropped and counted."""
    timeout: Duration = Field(default=10.0, gt=0)
    """For a shadow as a whole, connecting included."""


class TypedMatcher(Model):
    """A matcher with an argument; exactly one key."""

    timestamp: Duration | None = None
    """The largest skew between the two sides."""
    regex: str | None = Field(default=None, min_length=1)
    """Both values fit this whole regular expression, of a subset that cannot be made slow."""

    def model_post_init(self, _: object) -> None:
        """Refuse none and both."""
        if (self.timestamp is None) == (self.regex is None):
            raise ValueError("write exactly one of timestamp and regex")


NAMED, TYPED = "[name]", "[mapping]"
"""Which sort of matcher a fault is about; stands in the place of an error, not in the files."""

Matched = Annotated[
    Annotated[TypedMatcher, Tag(TYPED)] | Annotated[MatcherName, Tag(NAMED)],
    Discriminator(lambda value: TYPED if isinstance(value, dict | TypedMatcher) else NAMED),
]
"""A matcher as it is written. A mistake in one sort is no mistake in the other."""


def _check_tolerance(value: object) -> object:
    if type(value) in (int, float):
        return value
    try:
        parse_share(value)
    except ValueError:
        raise ValueError("write a number or a share like 1%") from None
    return value


class Noise(Model):
    """When a path in which legacy differs from itself is noise."""

    sample: Share = 0.01
    """Share of the shadowed requests whose copy goes to legacy instead, to learn where it differs from itself. 0%:
    none."""
    min_samples: int = Field(default=30, ge=1)
    """Fewer comparisons of legacy with itself say nothing; every difference is reported then."""
    relative: Share = 0.2
    """A path is still a difference when the two sides differ more often than legacy from itself by more than this share
    of the sum of both rates (and by ``absolute``)."""
    absolute: Share = 0.0003
    """The same, of all compared pairs."""
    half_life: Duration = Field(default=86400.0, gt=0)
    """After which a sighting counts half, on both sides."""


class Compare(Model):
    """What counts as a difference. Paths name places in the candidate's answer."""

    headers: list[HeaderName] = ["content-type", "location", "set-cookie"]
    """Response headers that are compared; content-encoding is looked through, all others are ignored."""
    mode: Literal["exact", "subset", "schema"] = "exact"
    """``subset``: the candidate may say more than legacy. ``schema``: names and types are compared, values are not."""
    ignore: list[str] = []
    """Paths (``$.generated_at``, ``$.items[*].etag``, ``header:etag``, ``cookie:theme``) that are not compared, with
    everything below them."""
    unordered: dict[str, str | None] = {}
    """Path of a list -> the field that identifies its items; null: compare as a multiset."""
    tolerance: dict[str, Annotated[float | str, BeforeValidator(_check_tolerance)]] = {}
    """Path of a number -> the largest difference that is none: absolute (``0.01``) or of legacy's number (``1%``)."""
    match: dict[str, Matched] = {}
    """Path -> what both values have to look like instead of being equal; a change of the look is still a difference."""
    rename: dict[str, str] = {}
    """Path in legacy's answer -> path in the candidate's, for a contract that changed on purpose."""
    map: dict[str, dict[str, Scalar]] = {}
    """Path -> legacy's value -> the candidate's, for the same reason."""
    noise: Noise = Noise()
    """When a path in which legacy differs from itself is noise."""


class ReadyWhen(Model):
    """What has to hold before a route may be cut over."""

    compared: int = Field(default=1000, ge=1)
    """So many pairs were compared to the end."""
    mismatch_below: Share = Field(default=0.001, gt=0)
    """The real share of mismatches is below this, with ``confidence``."""
    confidence: Share = Field(default=0.95, ge=0.5, lt=1)
    """Of the bound on the share of mismatches (Clopper-Pearson, one-sided)."""
    error_delta_below: Share = 0.001
    """The candidate fails on at most this much more of the pairs than legacy."""
    p99_ratio_below: float = Field(default=1.5, gt=0)
    """The candidate's p99 divided by legacy's, of answers to the same requests."""
    window: Duration = Field(default=86400.0, gt=0)
    """How far back evidence counts."""
    coverage: Share = 0.9
    """Of the kinds of request that legacy saw, weighted by traffic, so much was compared. 0%: not asked for."""
    open_fingerprints: int = Field(default=0, ge=0)
    """So many kinds of difference may be neither accepted nor noise."""
    fallbacks_below: Share = Field(default=0.001, gt=0)
    """Of the requests that the candidate was to answer, less than this was answered by legacy."""


class Defaults(Model):
    """What holds for all routes unless the upstream or the route says otherwise."""

    compare: Compare = Compare()
    """What counts as a difference."""
    ready_when: ReadyWhen = ReadyWhen()
    """What has to hold before a route may be cut over."""


class Redaction(Model):
    """What is secret in records, beyond the names and shapes that always are."""

    keys: list[str] = Field(default=[], repr=False)
    """Secrets that equal masked values show equal hashes under, best taken from the environment: ``${NAME}``. The first
    one is used, the others are earlier ones. None: a new one at each start."""
    keys_file: str | None = None
    """The same from a file, one a line, relative to the YAML file; read at load and at each reload."""
    emails: bool = False
    """True: e-mail addresses are secret by their shape."""
    names: list[str] = []
    """Further names of secret headers, members, fields, parameters and cookies."""
    reveal: list[str] = []
    """Names that are shown although they are secret, by their name or by their shape. Each is a decision of yours."""

    @field_validator("keys")
    @classmethod
    def _long_enough(cls, value: list[str]) -> list[str]:
        if any(len(key) < MIN_KEY for key in value):
            raise ValueError(f"a redaction key has at least {MIN_KEY} characters")
        return value


MIN_KEY = 16
"""Characters of a redaction key: below that, masked PINs and card numbers could be guessed through their hashes."""

_ADDED_UP = ("ignore", "unordered", "tolerance", "match", "rename", "map")


def effective_compare(levels: Iterable[Compare]) -> Compare:
    """The rules that hold for a route; ``levels`` from the widest (``defaults``) to the nearest (the route)."""
    values: dict[str, object] = {}
    noise: dict[str, object] = {}
    for level in levels:
        for name in level.model_fields_set:
            value = getattr(level, name)
            if name == "noise":
                noise |= {key: getattr(value, key) for key in value.model_fields_set}
            elif name == "ignore":
                known = values.get(name, [])
                values[name] = list(dict.fromkeys([*known, *value]))  # type: ignore[misc]  # a list, see above
            elif name in _ADDED_UP:
                values[name] = {**values.get(name, {}), **value}  # type: ignore[dict-item]  # a mapping
            else:
                values[name] = value
    return Compare.model_construct(**{**_defaults(), **values, "noise": Noise.model_construct(**noise)})  # type: ignore[arg-type]


def written_compare(compare: Compare) -> dict[str, object]:
    """The rules as a file would have them, without ``noise``: what ``Compare.model_validate`` reads again."""
    return {
        name: {path: _written_matcher(matcher) for path, matcher in value.items()} if name == "match" else value
        for name, value in compare.model_dump(exclude={"noise"}, exclude_defaults=True).items()
    }


def _written_matcher(matcher: object) -> object:
    if not isinstance(matcher, dict):
        return matcher
    return {key: _written_duration(value) if key == "timestamp" else value for key, value in matcher.items()}


def _written_duration(seconds: float) -> str:
    unit, size = ("d", 86400.0) if seconds >= 86400.0 else ("s", 1.0)
    return f"{seconds / size:.9f}{unit}"


def effective_ready_when(levels: Iterable[ReadyWhen]) -> ReadyWhen:
    """The criteria that hold for a route; ``levels`` as above."""
    values = {name: getattr(level, name) for level in levels for name in level.model_fields_set}
    return ReadyWhen.model_construct(**values)


def _defaults() -> dict[str, object]:
    return {name: field.get_default(call_default_factory=True) for name, field in Compare.model_fields.items()}
