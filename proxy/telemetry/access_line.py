"""What became of one request, as one line of JSON.

Law: a line is printable ASCII, one line, and at most ``MAX_LINE_BYTES`` long, whatever the request held, so that it
can be written in one piece. Of the query only the names are shown, and what looks like a secret in the path is masked;
fields of the request are not there at all.

What a client, an upstream or a discovery source said may hold any byte: each one that is not printable ASCII, and the
backslash itself, is spelled ``\\xNN``, so no reader of the log meets half a character or an escape sequence.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from proxy.compare.redact import PLAIN

MAX_WRITE_BYTES = 4096
"""PIPE_BUF of Linux: a write up to this into a pipe is never mixed with another process's."""
MAX_LINE_BYTES = MAX_WRITE_BYTES - 1
"""With its newline; one is left for the newline that ends a torn line before it."""
MAX_TARGET = 2048
"""Bytes of a request target that are kept while it waits to be written."""
MAX_PATH = 512
MAX_QUERY = 512
MAX_PARAMETERS = 32
MAX_NAME = 40
"""Characters of a parameter's name; a longer one is data, and masked."""
MAX_LABEL = 64
MAX_ENDPOINT = 96
MAX_REQUEST_ID = 128
MAX_TRIES = 12
"""Tries that a line shows; of more the first and the last ones."""
MASKED = "*"

_is_plain = re.compile(rb"[ -\[\]-~]*").fullmatch
_ODD = re.compile(rb"[^ -\[\]-~]")


class Try(msgspec.Struct, gc=False):
    """One time that an upstream was asked for a request, or was not asked because it was protected."""

    upstream: str
    endpoint: str  # its URL; empty when none was chosen
    seconds: float  # to the head of the answer, or to the failure; queueing and connecting included
    outcome: str | int  # "ok", a FailureKind value, or the status that was not good enough
    why: str = "first"  # "first" | "retry" | "fallback"


class AccessRecord(msgspec.Struct, gc=False):
    """What became of one request. Made on the path of a request, so everything is as it is at hand there."""

    time: float  # when its head had come, seconds since the epoch
    request_id: bytes
    client: str  # the peer's address
    method: str
    target: bytes  # as it came, with its query
    status: int
    route: str
    arm: str
    reason: str  # why that arm
    generation: int  # of the configuration that it began with
    seconds: float  # from its head to the end of the answer
    bytes_sent: int  # of the body of an upstream's answer, to the client
    tries: list[Try]
    cohort: str = ""  # the cohort that chose the arm
    failure: str = ""  # a FailureKind value, if the client did not get a whole answer of an upstream
    fallback: str = ""  # why legacy answered for the candidate
    breaker: str = ""  # its state, unless it was closed
    drill: str = ""  # the fault that was injected


class _TryLine(msgspec.Struct, gc=False):
    """A try as a line shows it."""

    upstream: str
    endpoint: str | msgspec.UnsetType  # unset: none was chosen
    seconds: float
    outcome: str | int
    why: str


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a line in their order; docs/operations.md explains them."""

    time: str
    request_id: str
    client: str
    method: str
    path: str
    status: int
    route: str
    arm: str
    reason: str
    generation: int
    seconds: float
    bytes_sent: int
    tries: list[_TryLine]
    query: str = ""
    cohort: str = ""
    failure: str = ""
    fallback: str = ""
    breaker: str = ""
    drill: str = ""
    more_tries: int = 0


FIELDS = _Line.__struct_fields__
TRY_FIELDS = Try.__struct_fields__

_encode = msgspec.json.Encoder().encode


def trim(record: AccessRecord) -> None:
    """Let go of what no line shows, before the record waits: the queue's bound is one of memory, too."""
    if len(record.target) > MAX_TARGET:
        record.target = record.target[: MAX_TARGET + 1]  # one more, so that the line can say that it was cut


def encode(record: AccessRecord) -> bytes:
    """The line with its newline. Raises ValueError or OverflowError for a time that is none."""
    raw_path, mark, raw_query = record.target.partition(b"?")
    cut = len(record.target) > MAX_TARGET
    tries = record.tries
    line = _Line(
        time=f"{_second(int(record.time))}.{int(record.time % 1 * 1000):03d}+00:00",
        request_id=_text(record.request_id, MAX_REQUEST_ID),
        client=_label(record.client),
        method=_label(record.method),
        path=_path(raw_path),
        status=record.status,
        route=_label(record.route),
        arm=_label(record.arm),
        reason=_label(record.reason),
        generation=record.generation,
        seconds=round(record.seconds, 6),
        bytes_sent=record.bytes_sent,
        tries=[_try(each) for each in (tries if len(tries) <= MAX_TRIES else tries[: MAX_TRIES - 1] + tries[-1:])],
        query=_query(raw_query, cut=cut) if mark else "",
        cohort=_label(record.cohort),
        failure=_label(record.failure),
        fallback=_label(record.fallback),
        breaker=_label(record.breaker),
        drill=_label(record.drill),
        more_tries=max(0, len(tries) - MAX_TRIES),
    )
    text = _encode(line)
    if len(text) >= MAX_LINE_BYTES:
        line.path, line.query = _cut(line.path, MAX_PATH // 4), _cut(line.query, MAX_QUERY // 4)
        if len(line.tries) > 2:
            line.more_tries += len(line.tries) - 2
            line.tries = [line.tries[0], line.tries[-1]]
        text = _encode(line)
    return text + b"\n"


def _try(one: Try) -> _TryLine:
    outcome = one.outcome if isinstance(one.outcome, int) else _label(one.outcome)
    endpoint = _endpoint(one.endpoint) if one.endpoint else msgspec.UNSET
    return _TryLine(_label(one.upstream), endpoint, round(one.seconds, 6), outcome, _label(one.why))


def _text(raw: bytes, limit: int) -> str:
    """``raw`` as printable ASCII of at most ``limit`` characters; a cut ends in three dots."""
    text = raw[: limit + 1]
    if not _is_plain(text):
        text = _ODD.sub(lambda match: b"\\x%02x" % match[0][0], text)
    return _cut(text.decode("ascii"), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


@lru_cache(maxsize=4096)
def _label(value: str) -> str:
    """A word of ours or of the configuration, which comes again and again; made safe all the same."""
    return _text(value.encode("utf-8", "surrogatepass"), MAX_LABEL)


@lru_cache(maxsize=1024)
def _endpoint(url: str) -> str:
    return _text(url.encode("utf-8", "surrogatepass"), MAX_ENDPOINT)


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1024)
def _path(raw: bytes) -> str:
    raw = raw[: 2 * MAX_PATH]  # more than is shown: half a secret at a cut has lost its shape
    text = raw.decode("utf-8", "surrogateescape")
    shown = PLAIN.path(text)
    if shown != text:  # our own marks are not ASCII; here they are written with what is
        raw = shown.replace("«", "<").replace("»", ">").encode("utf-8", "surrogateescape")
    return _text(raw, MAX_PATH)


def _query(raw: bytes, *, cut: bool) -> str:
    parts = raw.split(b"&", MAX_PARAMETERS + 1)
    if cut or len(parts) > MAX_PARAMETERS:
        cut = True
        del parts[min(MAX_PARAMETERS, len(parts) - 1) :]  # the last one may be half a name
    shown = "&".join([_parameter(part) for part in parts])
    return _cut(shown + "&..." if cut and shown else "..." if cut else shown, MAX_QUERY)


def _parameter(raw: bytes) -> str:
    name, sign, value = raw.partition(b"=")
    if not sign:  # a name or a value, who knows
        return MASKED if raw else ""
    return f"{_name(name) if len(name) <= MAX_NAME else MASKED}={MASKED if value else ''}"


@lru_cache(maxsize=4096)
def _name(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogateescape")
    return _text(raw, MAX_NAME) if PLAIN.by_shape_encoded(text) == text else MASKED
