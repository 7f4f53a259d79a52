"""The inbox of differences: where each one stands, what is noise, since when evidence counts.

Law: the state is never stored; it is a fold over what was said and when the difference was seen, made anew at each
look. What Banyan itself finds out (gone, seen again) it adds to the record like anybody. What is not ``async`` runs
in the store's thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf, nextafter
from typing import NamedTuple

import msgspec
import orjson

from proxy.compare.inbox import Action, Mark, Standing, State, seems_fixed, standing
from proxy.compare.noise import Rates, is_noise
from proxy.compare.result import WEIGHTS
from proxy.compare.wording import number
from proxy.config.comparing import Noise
from proxy.config.model import Settings, compare_of
from proxy.control.findings import Comment, Finding
from proxy.control.gone import gone_by_kind, hour_after
from proxy.control.ledger import Ledger, StoreLostError
from proxy.messages import Expected
from proxy.store.difflog import Kept, stamp
from proxy.store.events import MAX_OF_ONE, OWN_MARKS
from proxy.store.rates import Learned
from proxy.telemetry.logs import log_line

SWEEP_SECONDS = 2.0
GONE_SECONDS = 10.0
"""Between two looks for differences that are gone; they read more."""
KINDS_SECONDS = 300.0
"""Between two looks at the hourly figures for one of them; they read even more."""
FORGET_SECONDS = 366 * 86400.0
"""After the last word of a person on a difference that the diff log does not know any more, until it is forgotten."""
SETTLE_SECONDS = 3.0
"""After a reload, until evidence counts again: the comparator may still judge by the rules of before."""
MAX_UNSAID = 100
"""Changes of what routes are judged by that wait for a store that is lost; of older ones the next one tells."""
JUDGED_ANEW = "its requests, its candidate or the rules of comparing changed"
BANYAN = "banyan"
"""The actor of what nobody did."""

_HALF_LIFE = Noise().half_life
_WEIGHTS: Mapping[str, int] = {str(kind): weight for kind, weight in WEIGHTS.items()}


class Standpoint(NamedTuple):
    """One difference in short, and where it stands."""

    kept: Kept
    standing: Standing
    rates: Rates | None
    noisy: bool

    @property
    def weight(self) -> int:
        """Of its kind; 0 for a kind that this release does not know."""
        return _WEIGHTS.get(self.kept.kind, 0)

    @property
    def open(self) -> bool:
        """Somebody has to look at it."""
        return self.standing.state in ("new", "regressed") and not self.noisy

    @property
    def expected(self) -> bool:
        """It does not make a pair a mismatch."""
        return self.standing.state == "accepted" or self.noisy


class Restart(NamedTuple):
    """Evidence from before ``at`` (seconds since the epoch) does not count; ``why`` goes on after "because"."""

    at: float
    why: str


class Inbox:
    """The inbox of one running Banyan. ``tell`` gives the comparator what is expected; ``clock`` gives seconds since
    the epoch."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Callable[[], Settings],
        tell: Callable[[Expected], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._tell = tell
        self._clock = clock
        self._told: Expected | None = None
        self._marks: dict[str, list[Mark]] = {}  # by fingerprint
        self._routes: dict[str, str] = {}  # of the fingerprints that something was said of
        self._last_event = 0
        self._unsaid: list[tuple[dict[str, str], float, str]] = []  # digests by route, since when, who
        self._known_settings: Settings | None = None
        self._noise: dict[str, Noise] = {}
        self._looked_gone = 0.0
        self._look_at_kinds: dict[str, float] = {}  # fingerprint -> not before
        self._seen_version: tuple[int, int] | None = None
        self._next_end = 0.0
        self.open: dict[str, int] = {}
        """Route -> open differences, as of the last sweep."""

    # -- on the loop ------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Sweep every few seconds; the more differences there are, the less often."""
        while True:
            began = time.monotonic()
            await self.sweep()
            await asyncio.sleep(max(SWEEP_SECONDS, 10 * (time.monotonic() - began)))

    async def sweep(self) -> None:
        """Record what became of differences, and tell the comparator what is expected now."""
        try:
            expected = await self._ledger.call(self._sweep)
        except StoreLostError:
            return  # what was told last holds
        if expected is not None and expected != self._told:
            self._told = expected
            self._tell(expected)

    async def judged_by(self, settings: Settings, actor: str, settled: float) -> None:
        """Take it that routes are judged by ``settings`` from ``settled`` seconds from now on; recorded where that is a
        change. While the store is lost there are no verdicts, and it is said when the store is back."""
        digests, since = {route.id: _digest(settings, route.id) for route in settings.routes}, self._clock() + settled

        def work() -> None:
            self._unsaid = [*self._unsaid[1 - MAX_UNSAID :], (digests, since, actor)]
            self._say_judged()

        with suppress(StoreLostError):
            await self._ledger.call(work)

    # -- in the store's thread --------------------------------------------------------------------------------------

    def _say_judged(self) -> None:
        while self._unsaid:
            digests, since, actor = self._unsaid[0]
            for route in self._ledger.evidence.judged_by(digests, since):
                self._ledger.counters.mark(min(since, self._clock()), route)
                self._ledger.events.append(
                    at=self._clock(), actor=actor, action="compare-changed", route=route, before={},
                    after={"evidence_since": since}, reason=JUDGED_ANEW,
                )  # fmt: skip
                log_line("info", "evidence-restarted", route=route, why=JUDGED_ANEW)
            self._unsaid = self._unsaid[1:]

    def look(self, route: str | None = None) -> list[Standpoint]:
        """Where all differences stand, of one route or of all."""
        self._read_marks()
        self._read_settings()
        now = self._clock()
        learned = {one.fingerprint: one for one in self._learned(now, route)}
        found = []
        for kept in self._ledger.diffs.kept(route):
            known = learned.get(kept.fingerprint)
            found.append(
                Standpoint(
                    kept,
                    standing(self._marks.get(kept.fingerprint, ()), kept.last, now),
                    known.rates if known else None,
                    known is not None and self._is_noise(known),
                )
            )
        return found

    def findings(self, route: str | None = None, limit: int = 1000, state: str = "all") -> list[Finding]:
        """Differences in full, the open ones first and the worst of them first. ``state``: one of STATES."""
        wanted = sorted(
            (point for point in self.look(route) if in_state(point, state)),
            key=lambda point: (not point.open, -point.weight, -point.kept.times, point.kept.fingerprint),
        )[:limit]
        rows = self._ledger.diffs.described([point.kept.fingerprint for point in wanted])
        points = {point.kept.fingerprint: point for point in wanted}
        return [_finding(row, points[row["fingerprint"]], configured=row["route"] in self._noise) for row in rows]

    def restarted(self, route: str) -> Restart | None:
        """Since when evidence of a route counts, apart from its window, and why; None: from the beginning."""
        self._say_judged()
        self._read_marks()
        found = [Restart(self._ledger.evidence.judged_since(route), JUDGED_ANEW)]
        last_seen = {kept.fingerprint: kept.last for kept in self._ledger.diffs.kept(route)}
        for key, marks in self._marks.items():
            if self._routes[key] != route:
                continue
            if said := [mark.at for mark in marks if mark.action == "fixed"]:
                found.append(Restart(max(said), f"the difference {key} was fixed"))
            # Of what is seen again it is as if it had never been gone; the sweep says so a moment later.
            gone = key in last_seen and _decided(marks) == "auto-fixed"
            if gone and standing(marks, last_seen[key], self._clock()).state == "fixed":
                found.append(Restart(hour_after(last_seen[key]), f"the difference {key} has not been seen any more"))
        latest = max(found, key=lambda each: each.at)
        return latest if latest.at > 0.0 else None

    def history(self, fingerprint: str) -> list[Mark]:
        """What was said of a difference, oldest first."""
        return self._ledger.events.history(fingerprint)

    def say(self, route: str, fingerprint: str, mark: Mark, before: str) -> None:
        """Record what somebody said of a difference that was in the state ``before``."""
        self._ledger.events.append_mark(route, fingerprint, mark, before)
        self._seen_version = None

    def forget(self) -> int:
        """Forget what was said of differences that the diff log does not know any more: at once where Banyan alone
        spoke of them, else ``FORGET_SECONDS`` after the last word. Acceptances that hold stay. How many differences."""
        self._read_marks()
        now, known = self._clock(), {kept.fingerprint for kept in self._ledger.diffs.kept()}
        old = [
            key
            for key, marks in self._marks.items()
            if key not in known
            and (now - marks[-1].at > FORGET_SECONDS or all(mark.action in OWN_MARKS for mark in marks))
            and standing(marks, 0.0, now).state != "accepted"
        ]
        self._ledger.events.forget_marks(old)
        if old:  # from the beginning: ids may be given anew
            self._marks, self._routes, self._last_event = {}, {}, 0
        return len(old)

    def learned(self, route: str) -> list[tuple[Learned, bool]]:
        """What legacy showed against itself on a route, and whether it is noise."""
        self._read_settings()
        return [(one, self._is_noise(one)) for one in self._learned(self._clock(), route)]

    def selfs(self, route: str) -> float:
        """The weight of the comparisons of legacy with itself on a route, now."""
        return self._ledger.rates.selfs(route, self._clock(), self.half_lives().get(route, _HALF_LIFE))

    def _read_marks(self) -> None:
        spoken_of = set()
        for event, route, fingerprint, mark in self._ledger.events.marks(self._last_event):
            self._marks.setdefault(fingerprint, []).append(mark)
            self._routes[fingerprint] = route
            self._last_event = event
            spoken_of.add(fingerprint)
        for fingerprint in spoken_of:
            if len(self._marks[fingerprint]) > MAX_OF_ONE:  # what the record does not keep is not kept here
                self._marks[fingerprint] = self._ledger.events.history(fingerprint)

    def _read_settings(self) -> None:
        settings = self._settings()
        if settings is not self._known_settings:
            self._noise = {route.id: compare_of(settings, route).noise for route in settings.routes}
            self._known_settings = settings

    def half_lives(self) -> dict[str, float]:
        """Route -> the half-life of its rates, in seconds."""
        self._read_settings()
        return {route: noise.half_life for route, noise in self._noise.items()}

    def _learned(self, now: float, route: str | None) -> list[Learned]:
        half_lives = {name: noise.half_life for name, noise in self._noise.items()}
        return self._ledger.rates.learned(now, half_lives, _HALF_LIFE, route)

    def _is_noise(self, one: Learned) -> bool:
        rule = self._noise.get(one.route)
        return rule is not None and is_noise(one.rates, rule)

    def _sweep(self) -> Expected | None:
        self._say_judged()
        now = self._clock()
        version = self._ledger.version()
        search = abs(now - self._looked_gone) >= GONE_SECONDS  # a clock may be set back
        same = version == self._seen_version and self._settings() is self._known_settings
        if same and not search and not (self._next_end and now >= self._next_end):
            return None
        points = self.look()
        for point in points:
            decided = _decided(self._marks.get(point.kept.fingerprint, []))
            if point.standing.state == "regressed" and decided != "regressed":
                self._say_own(point, "regressed", "seen again after it was fixed", now, before="fixed")
        if search:
            self._looked_gone = now
            self._find_gone(points, now)
        self._read_marks()
        self._seen_version = self._ledger.version()
        accepted = self._accepted(now)
        ends = [until for until in accepted.values() if until]
        self._next_end = min(ends) if ends else 0.0
        self.open = {}
        for point in points:
            if point.open:
                self.open[point.kept.route] = self.open.get(point.kept.route, 0) + 1
        return Expected(accepted, sorted(point.kept.fingerprint for point in points if point.noisy))

    def _accepted(self, now: float) -> dict[str, float]:
        """Also of differences that have not been seen for long and are forgotten: they stay accepted."""
        found = {}
        for key, marks in self._marks.items():
            stands = standing(marks, 0.0, now)
            if stands.state == "accepted":
                found[key] = stands.until
        return found

    def _find_gone(self, points: list[Standpoint], now: float) -> None:
        by_route: dict[str, list[Standpoint]] = {}
        for point in points:
            if point.open and point.kept.last < now - GONE_SECONDS:
                by_route.setdefault(point.kept.route, []).append(point)
        self._look_at_kinds = {key: at for key, at in self._look_at_kinds.items() if at > now}
        for route, candidates in by_route.items():
            course = self._ledger.evidence.course(route)
            likely = {}
            for point in candidates:
                kept = point.kept
                # A bucket that the last sighting may be in is counted as before it; of an old one that is an hour.
                without = course.compared(_after(kept.last), now)
                before = course.compared(kept.first - 3600.0, kept.last)
                shown = min(course.seen.get(kept.fingerprint, 0), before)
                if kept.fingerprint not in self._look_at_kinds and seems_fixed(shown, before, without):
                    likely[kept.fingerprint] = (kept, shown)
                    self._look_at_kinds[kept.fingerprint] = now + KINDS_SECONDS
            gone = gone_by_kind(self._ledger, route, likely.values())
            for point in candidates:
                if (found := gone.get(point.kept.fingerprint)) is not None:
                    sightings = number(point.kept.times, "sighting")
                    text = f"not seen in {found:,} comparisons of its kinds of request, after {sightings}"
                    self._say_own(point, "auto-fixed", text, now, before=point.standing.state)

    def _say_own(self, point: Standpoint, action: Action, text: str, now: float, *, before: State) -> None:
        kept = point.kept
        self._ledger.events.append_mark(kept.route, kept.fingerprint, Mark(action, now, BANYAN, text), before)
        log_line("info", "difference", action=action, route=kept.route, fingerprint=kept.fingerprint, path=kept.path)


STATES = ("all", "open", "accepted", "fixed", "noise")
"""What differences may be asked for by."""


def in_state(point: Standpoint, state: str) -> bool:
    """Whether a difference belongs under one of STATES; noise that was accepted is both."""
    if state == "open":
        return point.open
    if state == "noise":
        return point.noisy
    return state == "all" or point.standing.state == state


def _after(at: float) -> float:
    """The next moment: a bucket that begins with a sighting holds it."""
    return nextafter(at, inf)


def _decided(marks: list[Mark]) -> str:
    """The last thing said that decides the state."""
    return next((mark.action for mark in reversed(marks) if mark.action not in ("assign", "comment")), "")


def _finding(row: dict[str, object], point: Standpoint, *, configured: bool) -> Finding:
    stands, rates = point.standing, point.rates
    return msgspec.convert(
        {
            **row,
            "state": stands.state,
            "configured": configured,
            "weight": point.weight,
            "owner": stands.owner,
            "actor": stands.actor,
            "reason": stands.text,
            "until": stamp(stands.until) if stands.until else "",
            "expired": stands.expired,
            "fixed_at": stamp(stands.at) if stands.state == "fixed" else "",
            "noisy": point.noisy,
            "rate": rates.rate if rates else None,
            "noise_rate": rates.noise_rate if rates else None,
            "comments": [Comment(stamp(one.at), one.actor, one.text) for one in stands.comments],
        },
        Finding,
    )


def _digest(settings: Settings, route_id: str) -> str:
    """What a route is judged by: its rules (noise aside, which is looked at anew each time) and whom it compares."""
    route = next(each for each in settings.routes if each.id == route_id)
    candidate = settings.upstreams.get(route.candidate or "")
    what = {
        "match": route.match.model_dump(mode="json"),
        "compare": compare_of(settings, route).model_dump(mode="json", exclude={"noise"}),
        "candidate": route.candidate,
        "endpoints": candidate.model_dump(mode="json").get("endpoints") if candidate else None,
    }
    return hashlib.blake2b(orjson.dumps(what, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
