"""What can be done to a running Banyan, and what it knows of itself.

Law: changes happen one at a time; each is recorded before it takes effect, numbered, and given to every child. A change
that cannot be recorded is refused; traffic does not notice.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from proxy.config.model import Route, Settings
from proxy.config.wording import did_you_mean
from proxy.control.children import Children
from proxy.control.configuration import Configuration
from proxy.control.endpoints import Roster
from proxy.control.figures import Figures
from proxy.control.inbox import SETTLE_SECONDS as JUDGED_SECONDS
from proxy.control.inbox import Inbox
from proxy.control.ledger import Ledger, StoreLostError
from proxy.core.stages import effective, refusal
from proxy.errors import BanyanError, ConfigError
from proxy.messages import Override, Snapshot
from proxy.store.events import Event, StaleVersionError
from proxy.store.tally import Tally, add
from proxy.telemetry.logs import log_line
from proxy.wire.tasks import spawn

SETTLE_SECONDS = 2.0
"""How long a change waits for all workers to apply it before it answers."""
WATCH_SECONDS = 1.0
SAVE_SECONDS = 5.0
WINDOW_HOURS = 24
MAX_REASON = 500


class RefusedError(BanyanError):
    """A change that is not done. ``status`` is the HTTP status, ``code`` the fixed name of the cause."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        self.status = status
        self.code = code
        self.details = details
        super().__init__(message)


class Change(NamedTuple):
    """A change that was done. ``settled``: every living worker applies it."""

    event: Event
    generation: int
    settled: bool


class Operations:
    """Configuration, overrides, figures and children of one running Banyan, and the changes to them."""

    def __init__(self, configuration: Configuration, ledger: Ledger, children: Children, figures: Figures) -> None:
        self.configuration = configuration
        self.ledger = ledger
        self.children = children
        self.figures = figures
        self.roster = Roster(children.tell)
        self.inbox = Inbox(ledger, lambda: configuration.settings, children.expect)
        self.overrides: dict[str, Override] = {}
        self.versions: dict[str, int] = {}
        self.draining = False
        self._saving = asyncio.Lock()
        self._saved_at = time.time()
        self.started_at = time.time()
        self.listen: Sequence[str] = ()
        self.admin = ""
        # New at each start: it only has to tell this process from others that a request may pass through.
        self._instance = f"banyan-{secrets.token_hex(4)}"
        self._changing = asyncio.Lock()
        self._looked = configuration.at_start  # the files' identity when they were last read

    # -- what holds -------------------------------------------------------------------------------------------------

    def serving(self) -> Settings:
        """The configuration that serves, with the overrides in it."""
        return effective(self.configuration.settings, self.overrides.values())

    def snapshot(self) -> Snapshot:
        """The same for the children."""
        return Snapshot(
            self.configuration.generation,
            self.configuration.document(),
            list(self.overrides.values()),
            self._instance,
        )

    def ready(self) -> bool:
        """Every worker serves, and Banyan is not about to leave."""
        return not self.draining and bool(self.children.workers) and all(w.ready for w in self.children.workers)

    def route(self, route_id: str) -> Route:
        """The route as it serves. Raises RefusedError when there is none."""
        routes = {route.id: route for route in self.serving().routes}
        if route_id in routes:
            return routes[route_id]
        hint = did_you_mean(route_id[:100], routes) or "`banyan routes` lists them"
        raise RefusedError(404, "unknown-route", f"there is no route {route_id[:100]!r}; {hint}")

    async def tallies(self, hours: int = WINDOW_HOURS) -> dict[str, Tally]:
        """Per route, what was counted in the last ``hours``; since the start when the store is lost."""
        try:
            stored = await self.ledger.call(lambda: self.ledger.counters.totals(time.time() - hours * 3600))
        except StoreLostError:
            return self.figures.totals()
        for route, delta in self.figures.unsaved()[0].items():
            add(stored.setdefault(route, Tally()), delta)
        return stored

    # -- changes ----------------------------------------------------------------------------------------------------

    async def start(self, workers: int) -> None:
        """Find the endpoints, then start so many workers. Raises BanyanError if they do not come up."""
        upstreams = self.configuration.settings.upstreams
        await self.roster.prepare(upstreams)
        self.roster.prune(upstreams)
        await self.children.start(workers, self.snapshot())

    async def restore(self) -> None:
        """Read the overrides that hold, at the start. Raises StoreLostError."""
        overrides = await self.ledger.call(self.ledger.events.overrides)
        self.overrides = {override.route: override for override in overrides}
        self.versions = await self.ledger.call(self.ledger.events.versions)
        await self.inbox.judged_by(self.configuration.settings, "start", 0.0)

    async def set_stage(
        self, route_id: str, stage: str, percent: int | None, reason: str, actor: str, expected: int | None
    ) -> Change:
        """Move a route to ``stage``; ``file`` lets the file's stage hold again. Raises RefusedError."""
        route = self.route(route_id)
        if stage == "file":
            if percent is not None:
                raise RefusedError(400, "bad-percent", "a percentage goes with stage 'canary' only")
            return await self._change("follow-file", route, {}, reason, actor, expected)
        if why := refusal(route, stage):
            raise RefusedError(400, "bad-stage", why)
        if percent is not None and stage != "canary":
            raise RefusedError(400, "bad-percent", "a percentage goes with stage 'canary' only")
        if percent is not None and not 0 <= percent <= 100:
            raise RefusedError(400, "bad-percent", f"{percent} is not a percentage; write a whole number of 0 to 100")
        return await self._change("stage", route, {"stage": stage, "percent": percent}, reason, actor, expected)

    async def rollback(self, route_id: str, reason: str, actor: str, expected: int | None) -> Change:
        """Let legacy answer, at once. Raises RefusedError."""
        after = {"stage": "legacy", "percent": None}
        return await self._change("rollback", self.route(route_id), after, reason, actor, expected)

    async def _change(
        self, action: str, route: Route, after: dict[str, Any], reason: str, actor: str, expected: int | None
    ) -> Change:
        if not reason.strip():
            raise RefusedError(400, "no-reason", "a change needs a reason: it is what colleagues read in the record")
        if len(reason) > MAX_REASON:
            raise RefusedError(400, "long-reason", f"the reason is longer than {MAX_REASON} characters")
        async with self._changing:
            before = {"stage": route.stage, "percent": route.canary.percent}
            event = await self._record(
                lambda: self.ledger.events.append(
                    at=time.time(), actor=actor, action=action, route=route.id, before=before, after=after,
                    reason=reason, expected=expected,
                )
            )  # fmt: skip
            self._hold(event)
            generation = self.configuration.next_generation()
            self.children.publish(self.snapshot())
        log_line("info", "route-changed", action=action, route=route.id, **after, actor=actor, reason=reason)
        return Change(event, generation, await self.children.settled(generation, SETTLE_SECONDS))

    async def _record(self, append: Any) -> Event:
        try:
            event: Event = await self.ledger.call(append)
        except StaleVersionError as stale:
            raise RefusedError(
                409,
                "stale-version",
                f"somebody changed the route since you looked: it is at version {stale.current}; look again",
                version=stale.current,
            ) from None
        except StoreLostError as error:
            raise RefusedError(503, "store-lost", str(error)) from error
        return event

    def _hold(self, event: Event) -> None:
        self.versions[event.route] = event.version
        if event.action == "follow-file":
            self.overrides.pop(event.route, None)
        else:
            self.overrides[event.route] = Override(
                event.route,
                event.after["stage"],
                event.after["percent"],
                event.version,
                event.actor,
                event.reason,
                event.at,
            )

    async def reload(self, actor: str) -> tuple[bool, bool]:
        """Read the files again; (taken, every living worker applies it). What is wrong stays in ``configuration``."""
        async with self._changing:
            before = self.configuration.generation
            self._looked = await asyncio.to_thread(self.configuration.look)
            outcome = await asyncio.to_thread(self.configuration.read)
            known = self.configuration.faults
            taken = self.configuration.accept(outcome)
            if taken:
                upstreams = self.configuration.settings.upstreams
                await self.roster.prepare(upstreams)
                self.children.publish(self.snapshot())
                self.roster.prune(upstreams)
                await self.inbox.judged_by(self.configuration.settings, actor, JUDGED_SECONDS)
            generation = self.configuration.generation
        faults = self.configuration.faults
        if isinstance(outcome, ConfigError):
            log_line("error", "configuration-refused", faults=len(faults), first=str(faults[0]), actor=actor)
        else:
            log_line("info", "configuration-taken", generation=generation, actor=actor)
        if taken or faults != known:
            await self._record_reload(actor, before, generation, [str(fault) for fault in faults])
        return taken, taken and await self.children.settled(generation, SETTLE_SECONDS)

    async def _record_reload(self, actor: str, before: int, after: int, faults: list[str]) -> None:
        action = "reload-refused" if faults else "reload"
        try:
            await self.ledger.call(
                lambda: self.ledger.events.append(
                    at=time.time(), actor=actor, action=action, before={"generation": before},
                    after={"generation": after}, reason="; ".join(faults)[:MAX_REASON],
                )
            )  # fmt: skip
        except StoreLostError:
            return  # the files are the record of a reload; not taking it for want of a store would help nobody

    # -- beside the traffic -----------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Reload when the files changed and then stood still for one look: half-written folders are not taken."""
        seen = self._looked
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = await asyncio.to_thread(self.configuration.look)
            if now == seen and now != self._looked:
                await self.reload("file watch")
            seen = now

    async def keep_figures(self) -> None:
        """Put the figures into the store every few seconds."""
        pruned = 0.0
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save_figures()
            if time.time() - pruned > 3600:
                pruned = time.time()
                await self._prune()

    async def save_figures(self) -> None:
        """Put what came in since the last time into the store; what cannot be kept comes again next time."""
        # Shielded: a save that is cut off between storing and remembering would be stored twice.
        await asyncio.shield(spawn(self._save_figures(), "save figures"))

    async def _save_figures(self) -> None:
        async with self._saving:
            await self._save_what_is_new()

    async def _save_what_is_new(self) -> None:
        now = time.time()
        deltas, mark = self.figures.unsaved()
        if deltas:
            try:
                # What workers said a moment after the last save may be two seconds older than that.
                await self.ledger.save(now, deltas, self._saved_at - 2.0, self.inbox.half_lives())
            except StoreLostError:
                return
            self.figures.saved(mark)
        self._saved_at = now

    async def _prune(self) -> None:
        before = time.time() - self.configuration.settings.retention.age

        def work() -> None:
            self.ledger.counters.prune(before)
            self.inbox.forget()

        try:
            await self.ledger.call(work)
        except StoreLostError:
            return
