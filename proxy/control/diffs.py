"""The diff log as operators see it, and what they say of differences.

Law: what is said is recorded before it holds, with who and why; what would say nothing, or be said of something that is
not there, is refused in a sentence.
"""

from __future__ import annotations

import difflib
import math
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from proxy.compare.inbox import Action, Mark
from proxy.control.findings import Finding, settled
from proxy.control.inbox import STATES, Standpoint
from proxy.control.ledger import StoreLostError
from proxy.control.marked import mark_rows, note_on
from proxy.control.operations import MAX_REASON, Operations, RefusedError
from proxy.store.difflog import stamp

MAX_COMMENTS = 100
"""Of one difference; who needs more writes them where the work is tracked, and comments with a link."""
MAX_OWNER = 100
LONGEST_YEARS = 10
"""An acceptance that ends later than this is one for good, or a slip of the hand."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


async def findings(
    operations: Operations, route: str | None, hours: float | None = None, state: str = "all"
) -> list[Finding]:
    """Kinds of difference, open ones first and the worst of them first; of one route or of all, seen in the last
    ``hours``, of one of inbox.STATES.

    Raises RefusedError when the store is lost.
    """
    if state not in STATES:
        raise RefusedError(400, "bad-state", f"the states are {', '.join(STATES)}")
    try:
        found = await operations.ledger.call(lambda: operations.inbox.findings(route, state=state))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    if hours is None:
        return found
    since = stamp(time.time() - hours * 3600)
    return [finding for finding in found if finding.last_seen >= since]


async def sample(operations: Operations, identity: str) -> dict[str, Any]:
    """One recorded pair, by its id or by a fingerprint (its newest), with the ``history`` of its difference. Raises
    RefusedError when there is none."""
    ledger = operations.ledger

    def look() -> dict[str, Any]:
        pair = ledger.diffs.sample(identity)
        if pair is None and (newest := ledger.diffs.newest_sample(identity)) is not None:
            pair = ledger.diffs.sample(newest)
        points = {point.kept.fingerprint: point for point in operations.inbox.look()}
        if pair is None and identity not in points:
            raise _unknown(identity, points)
        if pair is None:
            raise RefusedError(404, "no-pair", f"{_name(points[identity])} is known, but no pair of it is recorded now")
        point = points.get(pair["fingerprint"])
        pair["state"] = point.standing.state if point else "new"
        pair["noisy"] = point.noisy if point else False
        pair["history"] = [_said(mark) for mark in operations.inbox.history(pair["fingerprint"])]
        pair["unplaced"] = mark_rows(pair, lambda key: _settled(points.get(key)))
        pair["note"] = note_on(pair, pair["unplaced"])
        for each in pair["differences"]:
            each["settled"] = _settled(points.get(each.get("fingerprint", "")))
        return pair

    try:
        return await ledger.call(look)
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error


def _settled(point: Standpoint | None) -> str:
    """Why nobody has to look at a difference; empty if somebody has to, or if nothing is known of it."""
    return settled(point.standing.state, noisy=point.noisy) if point else ""


def _said(mark: Mark) -> dict[str, Any]:
    return {
        "at": stamp(mark.at),
        "actor": mark.actor,
        "action": mark.action,
        "text": mark.text,
        "until": stamp(mark.until) if mark.until else "",
        "who": mark.who,
    }


# -- what operators say ---------------------------------------------------------------------------------------------


async def accept(operations: Operations, fingerprint: str, reason: str, until: str | None, actor: str) -> Finding:
    """Mark a difference as expected, for good or until a date. Raises RefusedError."""
    end = end_of(until, time.time()) if until is not None else 0.0
    return await _say(operations, fingerprint, Mark("accept", time.time(), actor, _reason(reason), end))


async def unaccept(operations: Operations, fingerprint: str, reason: str, actor: str) -> Finding:
    """Take an acceptance back. Raises RefusedError."""
    return await _say(operations, fingerprint, Mark("unaccept", time.time(), actor, _reason(reason)))


async def fixed(operations: Operations, fingerprint: str, reason: str, actor: str) -> Finding:
    """Say that a difference is gone, for example with a release that is deployed. Raises RefusedError.

    Saying it once more of what was not seen since changes nothing, so that a deployment that is tried again costs no
    evidence.
    """
    return await _say(operations, fingerprint, Mark("fixed", time.time(), actor, _reason(reason)))


async def assign(operations: Operations, fingerprint: str, who: str, actor: str) -> Finding:
    """Say who looks after a difference. Raises RefusedError."""
    who = who.strip()
    if not who or len(who) > MAX_OWNER:
        raise RefusedError(400, "bad-owner", f"say who looks after it, in at most {MAX_OWNER} characters")
    return await _say(operations, fingerprint, Mark("assign", time.time(), actor, "", who=who))


async def comment(operations: Operations, fingerprint: str, text: str, actor: str) -> Finding:
    """Write something about a difference. Raises RefusedError."""
    return await _say(operations, fingerprint, Mark("comment", time.time(), actor, _reason(text, "comment")))


async def _say(operations: Operations, fingerprint: str, mark: Mark) -> Finding:
    inbox = operations.inbox
    if mark.action == "fixed":
        await operations.save_figures()  # what was counted before it was fixed is no evidence any more

    def work() -> Finding:
        points = {point.kept.fingerprint: point for point in inbox.look()}
        point = points.get(fingerprint)
        if point is None:
            raise _unknown(fingerprint, points)
        _check(point, mark.action)
        if mark.action == "fixed" and point.standing.state == "fixed" and not point.standing.by_itself:
            return msgspec.structs.replace(described(point, len(points)), unchanged=True)
        if mark.action == "fixed":
            operations.ledger.counters.mark(mark.at, point.kept.route)
        inbox.say(point.kept.route, fingerprint, mark, point.standing.state)
        return described(point, len(points))

    def described(point: Standpoint, of: int) -> Finding:
        return next(f for f in inbox.findings(point.kept.route, of) if f.fingerprint == fingerprint)

    try:
        found = await operations.ledger.call(work)
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
    await inbox.sweep()
    return found


def _check(point: Standpoint, action: Action) -> None:
    state = point.standing.state
    if action == "unaccept" and state != "accepted":
        why = "; its acceptance ended by itself" if point.standing.expired else ""
        raise RefusedError(409, "not-accepted", f"the difference is not accepted, it is {state}{why}")
    if action == "comment" and len(point.standing.comments) >= MAX_COMMENTS:
        raise RefusedError(409, "too-many-comments", f"the difference has {MAX_COMMENTS} comments already")


def _unknown(fingerprint: str, points: dict[str, Standpoint]) -> RefusedError:
    begins = [key for key in points if fingerprint and key.startswith(fingerprint)]
    near = begins[:1] or difflib.get_close_matches(fingerprint, points, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]!r}, {_name(points[near[0]])}?" if near else "; `banyan diffs` lists them"
    return RefusedError(404, "unknown-diff", f"there is no difference {fingerprint[:50]!r}{hint}")


def _name(point: Standpoint) -> str:
    kept = point.kept
    return f"{kept.kind} {kept.path} of {kept.route}"[:200]


def _reason(text: str, what: str = "reason") -> str:
    if not text.strip():
        raise RefusedError(400, f"no-{what}", f"it needs a {what}: that is what colleagues read in the record")
    if len(text) > MAX_REASON:
        raise RefusedError(400, f"long-{what}", f"the {what} is longer than {MAX_REASON} characters")
    return text.strip()


def end_of(text: str, now: float) -> float:
    """When ``until`` a date ends, in seconds since the epoch: ``2026-12-31`` with the end of that day in UTC, or a time
    as ISO 8601 has it, in UTC if it names no zone. Raises RefusedError, also for what is over."""
    text = text.strip()
    try:
        end = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            end += timedelta(days=1)
        seconds = (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()
    except OverflowError:  # the day after the last day of the calendar
        seconds = math.inf
    except ValueError:
        raise RefusedError(
            400, "bad-date", f"{text[:50]!r} is not a date; write it like 2026-12-31 or 2026-12-31T18:00Z"
        ) from None
    if seconds <= now:
        raise RefusedError(400, "past-date", f"{text} is over; accept it until a later date, or without one")
    if seconds > now + LONGEST_YEARS * 366 * 86400:
        raise RefusedError(400, "far-date", f"{text} is more than {LONGEST_YEARS} years away; accept it without a date")
    return seconds


def shown(found: Finding) -> dict[str, Any]:
    """A difference as JSON."""
    view: dict[str, Any] = msgspec.to_builtins(found)
    return view
