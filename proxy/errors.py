"""What can go wrong, said once.

Law: a failure names its stage and its party; everything that is derived from it (the status for the client, the reason
of a fallback, whether the upstream is to blame) is looked up in the one table below. A new kind without a row there
fails at import.

Two families: :class:`BanyanError` is for people who run Banyan (commands print it and exit with its code),
:class:`FailureKind` is what can happen to one request.
"""

from __future__ import annotations

import enum
import errno
from typing import NamedTuple


class BanyanError(Exception):
    """An error to be shown to a person as one line, without a traceback.

    ``exit_code`` is what the command exits with (1 unless a subclass says otherwise).
    """

    exit_code = 1


class UnreachableError(BanyanError):
    """No running Banyan answers where a command looked for it."""

    exit_code = 3


class CommandLineError(BanyanError):
    """A command is told what cannot be: an unknown route or difference, a date or a URL that is none, a file that holds
    something else. Never a verdict."""

    exit_code = 2


class Fault(NamedTuple):
    """One thing that is wrong in the configuration, where it is, and what may help."""

    file: str
    line: int  # 1-based
    column: int  # 1-based
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.what}"
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(BanyanError):
    """The configuration is not valid; ``faults`` lists everything that is wrong with it, in order of place."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What a socket fails with when this process or machine has no more of something: it says nothing about the peer."""


class Party(enum.Enum):
    """Who is to blame. Only the upstream's faults count against the upstream."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    BANYAN = "banyan"


class Seen(enum.Enum):
    """What the upstream may have seen of the request when it failed: it decides about retry and fallback."""

    NOT_SENT = "not-sent"
    MAYBE_SEEN = "maybe-seen"
    ANSWER_STARTED = "answer-started"


class FailureKind(enum.Enum):
    """How one request can fail: stage x party. The value is the label in metrics and logs."""

    # the client's
    BAD_REQUEST = "bad-request"
    HEAD_TOO_LARGE = "head-too-large"
    TARGET_TOO_LONG = "target-too-long"
    METHOD_UNKNOWN = "method-unknown"
    METHOD_REFUSED = "method-refused"
    VERSION_UNKNOWN = "version-unknown"
    LOOP = "loop"
    BODY_TOO_LARGE = "body-too-large"
    HEAD_TIMEOUT = "head-timeout"
    BODY_TIMEOUT = "body-timeout"
    WRITE_TIMEOUT = "write-timeout"
    CLIENT_LEFT = "client-left"
    AMBIGUOUS_PATH = "ambiguous-path"
    # the upstream's
    CONNECT_FAILURE = "connect-failure"
    CONNECT_TIMEOUT = "connect-timeout"
    RESET = "reset"
    FIRST_BYTE_TIMEOUT = "first-byte-timeout"
    IDLE_TIMEOUT = "idle-timeout"
    TOTAL_TIMEOUT = "total-timeout"
    INVALID_RESPONSE = "invalid-response"
    TRUNCATED = "truncated"
    BAD_STATUS = "5xx"
    # ours: the upstream was not asked
    BREAKER_OPEN = "breaker-open"
    OVERFLOW = "overflow"
    NO_ENDPOINT = "no-endpoint"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


class Consequence(NamedTuple):
    """What follows from a failure kind."""

    party: Party
    status: int  # for the client, if nothing was sent to it yet; 0 = the connection is cut without an answer
    message: str  # for the client; tells nothing of the inside
    fallback: str  # the reason as routes name it in ``fallback.on``; '' = never a reason


CONSEQUENCES: dict[FailureKind, Consequence] = {
    FailureKind.BAD_REQUEST: Consequence(Party.CLIENT, 400, "The request is not valid HTTP.", ""),
    FailureKind.HEAD_TOO_LARGE: Consequence(Party.CLIENT, 431, "The request's header fields are too large.", ""),
    FailureKind.TARGET_TOO_LONG: Consequence(Party.CLIENT, 414, "The request target is too long.", ""),
    FailureKind.METHOD_UNKNOWN: Consequence(Party.CLIENT, 501, "The method is not supported.", ""),
    FailureKind.METHOD_REFUSED: Consequence(Party.CLIENT, 405, "The method is not allowed.", ""),
    FailureKind.VERSION_UNKNOWN: Consequence(Party.CLIENT, 505, "The HTTP version is not supported.", ""),
    FailureKind.LOOP: Consequence(Party.CLIENT, 508, "The request has already passed through here.", ""),
    FailureKind.BODY_TOO_LARGE: Consequence(Party.CLIENT, 413, "The request body is too large.", ""),
    FailureKind.HEAD_TIMEOUT: Consequence(Party.CLIENT, 408, "The request did not arrive in time.", ""),
    FailureKind.BODY_TIMEOUT: Consequence(Party.CLIENT, 408, "The request body did not arrive in time.", ""),
    FailureKind.WRITE_TIMEOUT: Consequence(Party.CLIENT, 0, "The client stopped reading.", ""),
    FailureKind.CLIENT_LEFT: Consequence(Party.CLIENT, 0, "The client left.", ""),
    FailureKind.AMBIGUOUS_PATH: Consequence(Party.CLIENT, 400, "The path can be read in two ways.", ""),
    FailureKind.CONNECT_FAILURE: Consequence(Party.UPSTREAM, 502, "The service is not reachable.", "connect-failure"),
    FailureKind.CONNECT_TIMEOUT: Consequence(Party.UPSTREAM, 504, "The service is not reachable.", "connect-failure"),
    FailureKind.RESET: Consequence(Party.UPSTREAM, 502, "The service closed the connection.", "reset"),
    FailureKind.FIRST_BYTE_TIMEOUT: Consequence(Party.UPSTREAM, 504, "The service did not answer in time.", "timeout"),
    FailureKind.IDLE_TIMEOUT: Consequence(Party.UPSTREAM, 504, "The service stopped answering.", "timeout"),
    FailureKind.TOTAL_TIMEOUT: Consequence(Party.UPSTREAM, 504, "The service did not answer in time.", "timeout"),
    FailureKind.INVALID_RESPONSE: Consequence(
        Party.UPSTREAM, 502, "The service's answer was not valid.", "invalid-response"
    ),
    FailureKind.TRUNCATED: Consequence(Party.UPSTREAM, 502, "The service's answer broke off.", "reset"),
    FailureKind.BAD_STATUS: Consequence(Party.UPSTREAM, 502, "The service failed.", "5xx"),
    FailureKind.BREAKER_OPEN: Consequence(Party.BANYAN, 503, "The service is not available now.", "breaker-open"),
    FailureKind.OVERFLOW: Consequence(Party.BANYAN, 503, "The service is busy; try again.", "overflow"),
    FailureKind.NO_ENDPOINT: Consequence(Party.BANYAN, 503, "The service is not available now.", "connect-failure"),
    FailureKind.OVERLOADED: Consequence(Party.BANYAN, 503, "Too many connections; try again.", ""),
    FailureKind.INTERNAL: Consequence(Party.BANYAN, 500, "Something went wrong.", ""),
}

_missing = set(FailureKind) - set(CONSEQUENCES)
if _missing:  # a kind without consequences is a programming error; better at import than at 3 a.m.
    raise AssertionError(f"no consequence for {_missing}")


class ExchangeError(Exception):
    """One request (or one try of it) failed in a known way. No person sees it: it becomes a status or a fallback."""

    def __init__(
        self,
        kind: FailureKind,
        seen: Seen = Seen.NOT_SENT,
        detail: str = "",
        *,
        status: int = 0,
        retry_after: float = 0.0,
    ) -> None:
        self.kind = kind
        self.seen = seen
        self.detail = detail
        self.status = status or CONSEQUENCES[kind].status
        self.retry_after = retry_after  # seconds; 0: nobody knows
        super().__init__(f"{kind.value} ({seen.value}) {detail}".rstrip())
