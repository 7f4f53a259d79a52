"""Active health checks: the endpoints of the upstreams that ask for them, once for all workers.

Law: a check is one GET on a connection of its own, answered whole (or up to MAX_BODY_BYTES) within ``timeout``, with a
status that ``expect`` names; everything else is bad. Results change an endpoint's health by the rule of
``proxy.core.health`` and by nothing else. A check that could not be made for want of our own sockets or memory is no
result: the endpoints are not to blame.

When all endpoints of an upstream are unhealthy, likelier the check is wrong (a path that answers 404) than the world:
the workers' panic rule uses them all, and the log says so once a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import random
from time import monotonic
from typing import NamedTuple

import aiohttp
from yarl import URL

from proxy.config.upstreams import Health
from proxy.config.values import parse_status_range
from proxy.control.http_client import REASONS, open_session, read_within, why
from proxy.control.names import Names
from proxy.core.health import HealthState
from proxy.errors import OUT_OF_RESOURCES
from proxy.telemetry.logs import log_line
from proxy.wire.tasks import spawn

MAX_BODY_BYTES = 64 * 1024
"""Of the answer to a check; the rest is not waited for."""
MAX_CHECKS = 32
"""Under way at once for one upstream. With more endpoints, and all of them silent, a round takes longer than
``interval``: endpoints / 32 x ``timeout``."""
FIRST_SECONDS = 1.0
"""Within this (or ``interval``, if that is shorter) an endpoint is checked for the first time, at a random moment."""
JITTER = 0.1
"""The share of ``interval`` that chance adds or takes away, so that checks do not march in step."""
TELL_SECONDS = 60.0
"""Between two lines about an upstream all of whose endpoints are unhealthy."""


class Result(NamedTuple):
    """What one check found."""

    good: bool
    status: int
    """0: there was no answer."""
    why: str
    """In words, for people; empty if it was good."""
    at: float
    """Monotonic seconds."""


class Prober:
    """Makes checks, for all upstreams of one supervisor."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._session: aiohttp.ClientSession | None = None

    async def check(self, endpoint: str, config: Health) -> Result | None:
        """Ask ``endpoint`` (``http://host:port``) for the path. None: it could not be asked, for reasons of our own."""
        if self._session is None:
            self._session = open_session(self._names)
        status = 0
        try:
            url = URL(endpoint.rstrip("/") + config.path, encoded=True)
            async with (
                asyncio.timeout(config.timeout),
                self._session.get(url, allow_redirects=False) as response,
            ):
                status = response.status
                await read_within(response, MAX_BODY_BYTES)
        except TimeoutError:
            what = "the answer did not end" if status else "no answer"
            return Result(False, status, f"{what} within {config.timeout:g} s", monotonic())
        except REASONS as error:
            if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
                log_line("error", "health-check-not-made", endpoint=endpoint, why=why(error))
                return None
            return Result(False, status, why(error), monotonic())
        except Exception as error:  # noqa: BLE001 - whatever an answer does to our client, it is no good answer
            return Result(False, status, f"the answer is not understood: {error!r}"[:200], monotonic())
        if any(first <= status <= last for first, last in map(parse_status_range, config.expect)):
            return Result(True, status, "", monotonic())
        return Result(False, status, f"answered {status}, expected {', '.join(config.expect)}", monotonic())

    async def close(self) -> None:
        """No more checks."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Checked:
    """One endpoint under checks."""

    __slots__ = ("result", "state", "task")

    def __init__(self, *, healthy: bool) -> None:
        self.state = HealthState(healthy=healthy)
        self.result: Result | None = None
        """The last one."""
        self.task: asyncio.Task[None] | None = None


class Checker:
    """The endpoints of one upstream, each checked every ``interval``. ``told`` is called when one's health changed."""

    def __init__(self, upstream: str, config: Health, prober: Prober, told: Callable[[], None]) -> None:
        self.config = config
        self.endpoints: dict[str, Checked] = {}
        """By URL."""
        self._upstream = upstream
        self._prober = prober
        self._told = told
        self._places = asyncio.Semaphore(MAX_CHECKS)
        self._all_bad_at: float | None = None  # since when all are unhealthy, monotonic
        self._told_at = -TELL_SECONDS

    def follow(self, urls: Iterable[str], before: Checker | None = None) -> None:
        """Check these from now on and no others; a new one is healthy, or as ``before`` (another checker) knew it."""
        wanted = dict.fromkeys(urls)
        for url in self.endpoints.keys() - wanted.keys():
            self._stop(self.endpoints.pop(url))
        for url in wanted:
            if url not in self.endpoints:
                known = before.endpoints.get(url) if before is not None else None
                checked = self.endpoints[url] = Checked(healthy=known is None or known.state.healthy)
                checked.result = known.result if known is not None else None
                checked.task = spawn(self._keep_checking(url, checked), f"health of {url}")

    def healthy(self, url: str) -> bool:
        """What checks say of an endpoint; True of one that they do not know."""
        checked = self.endpoints.get(url)
        return checked is None or checked.state.healthy

    @property
    def all_unhealthy(self) -> bool:
        """No endpoint is left that checks find healthy; False without endpoints."""
        return bool(self.endpoints) and not any(checked.state.healthy for checked in self.endpoints.values())

    def stop(self) -> None:
        """Check no more."""
        for checked in self.endpoints.values():
            self._stop(checked)

    @staticmethod
    def _stop(checked: Checked) -> None:
        if checked.task is not None:
            checked.task.cancel()

    async def _keep_checking(self, url: str, checked: Checked) -> None:
        config = self.config
        await asyncio.sleep(min(FIRST_SECONDS, config.interval) * random())  # noqa: S311 - spreads load, guards nothing
        while True:
            begun = monotonic()
            async with self._places:
                result = await self._prober.check(url, config)
            if result is not None:
                self._note(url, checked, result)
            wait = config.interval * (1 + JITTER * (2 * random() - 1))  # noqa: S311 - the same
            await asyncio.sleep(max(0.0, begun + wait - monotonic()))

    def _note(self, url: str, checked: Checked, result: Result) -> None:
        config = self.config
        checked.result = result
        changed = checked.state.note(
            good=result.good, unhealthy_after=config.unhealthy_after, healthy_after=config.healthy_after
        )
        if changed:
            level, event = ("info", "endpoint-healthy") if result.good else ("warning", "endpoint-unhealthy")
            log_line(level, event, upstream=self._upstream, endpoint=url, path=config.path, why=result.why)  # type: ignore[arg-type] # mypy joins the two literals to str
            self._told()
        self._tell_if_all_are_bad(result)

    def _tell_if_all_are_bad(self, result: Result) -> None:
        if not self.all_unhealthy:
            self._all_bad_at = None
            return
        now = monotonic()
        if self._all_bad_at is None:
            self._all_bad_at = now
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        log_line(
            "error", "all-endpoints-unhealthy", upstream=self._upstream, endpoints=len(self.endpoints),
            path=self.config.path, why=result.why, seconds=round(now - self._all_bad_at, 1),
        )  # fmt: skip
