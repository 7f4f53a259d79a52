"""The asking of ``banyan replay``.

Law: bounded. A rate, so many requests under way at once, a time for each, a cap for each answer. A build that never
answers ends it with an error, one that fails on some requests differs there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from proxy.compare.fingerprint import fingerprint
from proxy.compare.redact import make_redactor
from proxy.compare.replayed import compare_replayed
from proxy.compare.result import WEIGHTS, Budget, Result
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, Redaction
from proxy.config.model import SAFE_METHODS
from proxy.errors import BanyanError, UnreachableError
from proxy.messages import Answer
from proxy.telemetry.visible import visible

AT_ONCE = 16
TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
LEARNT_UNREACHABLE = 3
"""Refused connections in a row, before anything was answered, after which the build counts as not there."""

_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "te", "upgrade", "expect"}
)


class Difference(msgspec.Struct):
    """One kind of difference, over all requests. ``expected``: accepted, or noise."""

    kind: str
    path: str
    count: int
    expected: bool
    request: str  # the first that showed it: method and target
    legacy: str
    candidate: str


class Outcome(msgspec.Struct):
    """What came of a replay. ``skipped`` counts requests that were not asked, by reason."""

    route: str
    against: str
    verdict: str  # "matched" | "mismatched" | "inconclusive"
    asked: int
    verdicts: dict[str, int]
    incomparable: dict[str, int]
    skipped: dict[str, int]
    secrets_by_length: int
    differences: list[Difference]


class Replay:
    """One replay of ``material`` (see control.replay) against the build at a URL. ``given`` are headers that stand in
    the place of recorded ones, ``keys`` the secrets that records may have been masked under.

    Raises BanyanError for what is not a URL, or not material.
    """

    def __init__(
        self, material: dict[str, Any], against: str, given: list[tuple[str, str]], keys: list[str], *, safe_only: bool,
        rate: float,
    ) -> None:  # fmt: skip
        parts = urlsplit(against)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BanyanError(f"--against {visible(against, 200)!r} is not a URL; write it like http://127.0.0.1:9003")
        self._against = against.rstrip("/")
        self._given = given
        self._pause = 1 / rate
        self._safe_only = safe_only
        try:
            self._route = str(material["route"])
            self._requests: list[dict[str, Any]] = material["requests"]
            self._expected = frozenset(material["expected"])
            self._rules = compile_rules(Compare.model_validate(material["compare"]))
            redaction = Redaction.model_validate({**material["redaction"], "keys": keys})
        except (KeyError, TypeError, ValueError) as error:
            raise BanyanError(f"these are no recorded requests of this release: {error}") from None
        self._redactor = make_redactor(redaction, secrets.token_bytes(32))
        self._budget = Budget()
        self._verdicts: Counter[str] = Counter()
        self._incomparable: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._found: dict[tuple[str, str], Difference] = {}
        self._by_length = 0
        self._asked = 0
        self._refused = 0

    async def run(self, progress: Callable[[int, int, int], None]) -> Outcome:
        """Ask everything; ``progress`` is told how many of how many are done and how many differ. Raises
        UnreachableError if the build is not there."""
        sent = [one for one in self._requests if self._may_be_asked(one)]
        gate = asyncio.Semaphore(AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        done = 0

        async def one(recorded: dict[str, Any]) -> None:
            nonlocal done
            async with gate:
                await self._ask(client, recorded)
            done += 1
            progress(done, len(sent), self._verdicts["mismatched"])

        try:
            async with (
                aiohttp.ClientSession(
                    timeout=timeout, connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
                ) as client,
                asyncio.TaskGroup() as group,
            ):
                for recorded in sent:
                    group.create_task(one(recorded))
                    await asyncio.sleep(self._pause)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return self._outcome()

    def _may_be_asked(self, recorded: dict[str, Any]) -> bool:
        reason = ""
        if recorded.get("masked"):
            reason = "a secret in the request was masked"
        elif recorded.get("partial"):
            reason = "the request's body was not recorded whole"
        elif recorded["legacy"]["failure"]:
            reason = "legacy had not answered"
        elif self._safe_only and recorded["request"]["method"] not in SAFE_METHODS:
            reason = "not a safe method"
        if reason:
            self._skipped[reason] += 1
        return not reason

    async def _ask(self, client: aiohttp.ClientSession, recorded: dict[str, Any]) -> None:
        request = recorded["request"]
        method, body = request["method"], request["body"]["text"] or ""
        url = URL(self._against + request["target"], encoded=True)
        began = monotonic()
        try:
            async with client.request(
                method, url, headers=self._fields(request["headers"]), data=body.encode() or None,
                allow_redirects=False, skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            ) as response:  # fmt: skip
                whole = await _read(response)
                fields = list(response.raw_headers)
                fresh = Answer(response.status, fields, whole or b"", whole is None, monotonic() - began)
        except TimeoutError:
            fresh = Answer(0, [], b"", False, monotonic() - began, "first-byte-timeout")
        except (aiohttp.ClientError, ValueError) as error:
            self._lost(error)
            fresh = Answer(0, [], b"", False, monotonic() - began, "reset")
        else:
            self._refused = -1
        self._asked += 1
        self._judge(recorded, fresh)

    def _lost(self, error: Exception) -> None:
        if isinstance(error, aiohttp.ClientConnectorError) and self._refused >= 0:
            self._refused += 1
            if self._refused >= min(LEARNT_UNREACHABLE, len(self._requests)):
                raise UnreachableError(f"nothing answers at {visible(self._against, 200)}; is the build running?")

    def _fields(self, recorded: list[list[str]]) -> list[tuple[str, str]]:
        replaced = {name.lower() for name, _ in self._given}
        fields = [
            (name, value)
            for name, value in recorded
            if name.lower() not in _OF_THE_CONNECTION and name.lower() not in replaced and "«masked" not in value
        ]
        return [*fields, *self._given, ("X-Banyan-Shadow", "1")]

    def _judge(self, recorded: dict[str, Any], fresh: Answer) -> None:
        method = recorded["request"]["method"]
        result, by_length = compare_replayed(
            recorded["legacy"], fresh, method, self._rules, self._budget, monotonic, self._redactor
        )
        self._by_length += by_length
        verdict = self._seen(result, f"{method} {recorded['request']['target']}")
        self._verdicts[verdict] += 1
        if verdict == "incomparable":
            self._incomparable[result.reason] += 1

    def _seen(self, result: Result, request: str) -> str:
        """Take the differences of one request; its verdict, when what is expected is left out."""
        open_ones = result.more
        for difference in result.differences:
            known = self._found.get((difference.kind, difference.path))
            expected = fingerprint(self._route, difference.kind, difference.path) in self._expected
            open_ones += not expected
            if known is None:
                shown = (visible(difference.legacy), visible(difference.candidate))
                self._found[difference.kind, difference.path] = Difference(
                    difference.kind, difference.path, 1, expected, visible(request), *shown
                )
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
        verdicts, incomparable, skipped = (
            dict(counter.most_common()) for counter in (self._verdicts, self._incomparable, self._skipped)
        )
        return Outcome(
            self._route,
            self._against,
            verdict,
            self._asked,
            verdicts,
            incomparable,
            skipped,
            self._by_length,
            worst_first,
        )


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body; None if it is over the cap."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return None
    return b"".join(pieces)
