"""The asking of ``banyan replay``.

Law: bounded. A rate, so many requests under way at once, a time for each, a cap for each answer. A build that answers
nothing ends it with an error, one that fails on some requests differs there. What we cannot send is no fault of the
build's; it is counted apart.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from time import monotonic, thread_time
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from proxy.cli import again
from proxy.compare.masks import MASK
from proxy.compare.redact import make_redactor
from proxy.compare.replayed import Asked, compare_replayed
from proxy.compare.result import WEIGHTS, Budget, Result
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, Redaction
from proxy.config.model import SAFE_METHODS
from proxy.errors import CommandLineError, UnreachableError
from proxy.messages import Answer
from proxy.telemetry.visible import visible

AT_ONCE = 16
TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Of one field of an answer."""
LEARNT_UNREACHABLE = 3
"""Requests without any answer, before there was one, after which the build counts as not there."""


_URL = re.compile(r"[!\"$->@-~]+")  # printable ASCII without ? and #: a path follows


class Difference(msgspec.Struct):
    """One kind of difference, over all requests. ``expected``: accepted, or noise."""

    kind: str
    path: str
    count: int  # requests that showed it
    expected: bool
    request: str  # the first that showed it: method and target
    legacy: str
    candidate: str


class Outcome(msgspec.Struct):
    """What came of a replay. ``recorded`` requests of so many ``kinds`` there are in all (a kind: one cell of the
    coverage, one shape of answer); ``answered``: by legacy in the 24 hours before they were read, if known. ``skipped``
    counts requests that were not asked, by reason; ``withheld`` the requests that were sent without a field because it
    was masked, or could not be sent as it was, by its name."""

    route: str
    against: str
    verdict: str  # "matched" | "mismatched" | "inconclusive"
    recorded: int
    kinds: int
    answered: int | None
    asked: int
    kinds_asked: int
    verdicts: dict[str, int]
    incomparable: dict[str, int]
    skipped: dict[str, int]
    withheld: dict[str, int]
    secrets_compared_loosely: int
    differences: list[Difference]


class Replay:
    """One replay of ``material`` (cli.material) against the build at a URL. ``given`` are headers that stand in the
    place of recorded ones, ``keys`` the secrets that records may have been masked under.

    Raises CommandLineError for what is not a URL, for keys that are none and for rules of another release.
    """

    def __init__(
        self, material: dict[str, Any], against: str, given: list[tuple[str, str]], keys: list[str], *, safe_only: bool,
        rate: float,
    ) -> None:  # fmt: skip
        self._against = _base(against)
        self._shown = _without_credentials(self._against)
        self._given = given
        self._pause = 1 / rate
        self._safe_only = safe_only
        self._route = str(material["route"])
        self._requests: list[dict[str, Any]] = material["requests"]
        self._counted: dict[str, int] = material.get("recorded") or {
            "requests": len(self._requests) + material.get("no_room", 0),
            "kinds": len({_kind(recorded) for recorded in self._requests}),
        }
        self._expected = frozenset((kind, path) for kind, path in material["expected"])
        try:
            self._rules = compile_rules(Compare.model_validate(material["compare"]))
            redaction = Redaction.model_validate({**material["redaction"], "keys": keys})
        except ValueError as error:
            raise CommandLineError(f"these rules are not of this release: {visible(str(error), 500)}") from None
        self._redactor = make_redactor(redaction, secrets.token_bytes(32))
        self._budget = Budget()
        self._verdicts: Counter[str] = Counter()
        self._incomparable: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._withheld: Counter[str] = Counter()
        if material.get("no_room"):
            self._skipped["more than one answer holds; a smaller --limit chooses others"] = material["no_room"]
        self._found: dict[tuple[str, str], Difference] = {}
        self._loosely = 0
        self._asked = 0
        self._kinds: set[tuple[str, str]] = set()
        self._unanswered: list[str] | None = []  # why; None: the build has answered something
        self.sent = [recorded for recorded in self._requests if self._may_be_asked(recorded)]

    @property
    def writes(self) -> list[str]:
        """The methods of requests that may change something, one for each request."""
        return [method for one in self.sent if (method := one["request"]["method"]) not in SAFE_METHODS]

    async def run(self, progress: Callable[[int, int, int], None]) -> Outcome:
        """Ask everything; ``progress`` is told how many of how many are done and how many differ. Raises
        UnreachableError if the build is not there."""
        gate = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def one(recorded: dict[str, Any]) -> None:
            nonlocal done
            async with gate:
                await self._ask(client, recorded)
            done += 1
            progress(done, len(self.sent), self._verdicts["mismatched"])

        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                    connector=aiohttp.TCPConnector(limit=AT_ONCE, ssl=ssl.create_default_context()),
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    max_line_size=MAX_HEAD_BYTES,
                    max_field_size=MAX_HEAD_BYTES,
                ) as client,
                asyncio.TaskGroup() as group,
            ):
                for recorded in self.sent:
                    group.create_task(one(recorded))
                    await asyncio.sleep(self._pause)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return self._outcome()

    def _may_be_asked(self, recorded: dict[str, Any]) -> bool:
        request = recorded["request"]
        if recorded["legacy"]["failure"]:
            reason = "that legacy had not answered"
        elif self._safe_only and request["method"] not in SAFE_METHODS:
            reason = "of a method that is not safe"
        elif MASK.search(request["target"]) or MASK.search(request["body"]["text"] or ""):
            reason = "with a masked secret in the target or the body"
        else:
            reason = again.obstacle(recorded)
        if reason:
            self._skipped[reason] += 1
        return not reason

    async def _ask(self, client: aiohttp.ClientSession, recorded: dict[str, Any]) -> None:
        request = recorded["request"]
        body = (request["body"]["text"] or "").encode(again.codec(request)) or None
        began = monotonic()
        try:
            async with client.request(
                request["method"], URL(self._against + request["target"], encoded=True), data=body,
                headers=self._fields(request), allow_redirects=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            ) as response:  # fmt: skip
                self._unanswered = None
                whole, truncated = await _read(response)
                fields = list(response.raw_headers)
                fresh = Answer(response.status, fields, whole, truncated, monotonic() - began)
        except TimeoutError:
            self._lost(f"no answer within {TIMEOUT_SECONDS:g} s")
            fresh = Answer(0, [], b"", False, monotonic() - began, "first-byte-timeout")
        except aiohttp.ClientConnectorError as error:
            self._lost(_why(error))
            fresh = Answer(0, [], b"", False, monotonic() - began, "connect-failure")
        except aiohttp.ClientResponseError:  # the head is none
            self._unanswered = None
            fresh = Answer(0, [], b"", False, monotonic() - began, "invalid-response")
        except (aiohttp.ClientError, OSError):
            fresh = Answer(0, [], b"", False, monotonic() - began, "reset")
        except ValueError:  # it cannot be written; nothing was sent
            self._skipped["that could not be sent"] += 1
            return
        self._asked += 1
        self._kinds.add(_kind(recorded))
        self._judge(recorded, fresh)

    def _lost(self, why: str) -> None:
        if self._unanswered is None:
            return
        self._unanswered.append(why)
        if len(self._unanswered) >= min(LEARNT_UNREACHABLE, len(self.sent)):
            raise UnreachableError(f"no build answers at {visible(self._shown, 200)} ({why}); is it running?")

    def _fields(self, request: dict[str, Any]) -> list[tuple[str, str]]:
        replaced = {name.lower() for name, _ in self._given}
        fields = [(name, value) for name, value in again.fields(request) if name.lower() not in replaced]
        sent = [(name, value) for name, value in fields if not MASK.search(value)]
        lost = {name.lower() for name, value in request["headers"] if MASK.search(value) or "\ufffd" in value}
        self._withheld.update(lost - replaced)
        spelled: dict[str, str] = {}  # a name in two spellings would be two names to the client, of which one is sent
        return [
            (spelled.setdefault(name.lower(), name), value)
            for name, value in [*sent, *self._given, ("X-Banyan-Shadow", "1")]
        ]

    def _judge(self, recorded: dict[str, Any], fresh: Answer) -> None:
        method = recorded["request"]["method"]
        asked = Asked(method, _seconds(recorded["at"]), time.time(), recorded.get("redaction_key", ""))
        try:
            result, loosely = compare_replayed(
                recorded["legacy"], fresh, asked, self._rules, self._budget, thread_time, self._redactor
            )
        except Exception:  # noqa: BLE001 - a fault of ours is a verdict, and no answer may end the replay
            result, loosely = Result("incomparable", "internal-error"), 0
        self._loosely += loosely
        verdict = self._seen(result, f"{method} {recorded['request']['target']}")
        self._verdicts[verdict] += 1
        if verdict == "incomparable":
            self._incomparable[result.reason] += 1

    def _seen(self, result: Result, request: str) -> str:
        """Take the differences of one request; its verdict, when what is expected is left out."""
        open_ones = result.more
        for difference in result.differences:
            place = (difference.kind, difference.path)
            known = self._found.get(place)
            expected = place in self._expected
            open_ones += not expected
            if known is None:
                shown = (visible(difference.legacy), visible(difference.candidate))
                self._found[place] = Difference(*place, 1, expected, visible(request), *shown)
            else:
                known.count += 1
        if result.verdict == "mismatched" and not open_ones:
            return "ignored"
        return result.verdict

    def _outcome(self) -> Outcome:
        compared = sum(self._verdicts[verdict] for verdict in ("matched", "ignored", "mismatched"))
        verdict = "mismatched" if self._verdicts["mismatched"] else "matched" if compared else "inconclusive"
        worst_first = sorted(
            self._found.values(),
            key=lambda one: (one.expected, -WEIGHTS.get(one.kind, 0), -one.count),  # type: ignore[call-overload]  # a kind
        )
        counters = (self._verdicts, self._incomparable, self._skipped, self._withheld)
        verdicts, incomparable, skipped, withheld = (dict(counter.most_common()) for counter in counters)
        return Outcome(
            self._route, self._shown, verdict, self._counted["requests"], self._counted["kinds"],
            self._counted.get("answered"), self._asked, len(self._kinds), verdicts, incomparable, skipped, withheld,
            self._loosely, worst_first,
        )  # fmt: skip


def _kind(recorded: dict[str, Any]) -> tuple[str, str]:
    """The cell of the coverage and the shape of the answer; all of records that do not say are one."""
    return recorded.get("cell", ""), recorded.get("shape", "")


def _base(against: str) -> str:
    """The URL of a build, without a slash at its end. Raises CommandLineError."""
    try:
        parts = urlsplit(against)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(against):
        shown = visible(_without_credentials(against), 200)
        raise CommandLineError(
            f"--against {shown!r} is not a URL; write it like http://127.0.0.1:9003 or http://ci:8000/v2"
        )
    return against.rstrip("/")


def _without_credentials(url: str) -> str:
    """The URL as it may be shown."""
    scheme, sign, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{sign}{authority.rpartition('@')[2]}{slash}{path}"


def _why(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        reason = getattr(cause, "verify_message", "") or str(cause)
        return f"its certificate is not trusted: {visible(reason, 200)}; SSL_CERT_FILE names authorities"
    if isinstance(error.os_error, ssl.SSLError):
        return visible(f"TLS: {error.os_error.reason or error.os_error}", 200)
    number = error.os_error.errno or 0
    return visible(os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error), 200)


def _seconds(at: str) -> float:
    """When a request was recorded, in seconds since the epoch; now if it does not say."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return time.time()


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body, and whether it is longer than the cap."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return b"".join(pieces), True
    return b"".join(pieces), False
