"""The equations of the ledger check that speak of single requests: 1 to 4, stages, and what users may see.

Law: each rule is one function of the evidence, adds to one finding, and knows nothing of how the evidence came about.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.evidence import Evidence, Finding
from tests.chaos.payload import cycle_of
from tests.chaos.records import Record
from tests.chaos.routes import BY_ID, CANDIDATE_TOTAL_SECONDS, LEGACY, NEVER_CANDIDATE

LATE_SECONDS = 2.0
"""Over a deadline: the sweep, the answer's body, and a slow machine."""


def nothing_lost(found: Finding, evidence: Evidence) -> None:
    """(1) Each write that was answered 2xx is in the ledger of the side that answered."""
    for record in evidence.records:
        if record.safe or not 200 <= record.status < 300:
            continue
        sides = {_side(name) for name, _ in evidence.authoritative.get(record.id, ())}
        found.check(record.side in sides, record, "is in the ledgers of", sides or "nobody")


def nothing_doubled(found: Finding, evidence: Evidence) -> None:
    """(2) No id that must not be repeated is twice in the authoritative ledgers taken together."""
    for request, places in evidence.authoritative.items():
        record = evidence.by_id.get(request)
        if record is not None and record.once:
            found.check(len(places) == 1, record, "was seen by", *(f"{name} ({entry.mark})" for name, entry in places))


def shadow_never_authoritative(found: Finding, evidence: Evidence) -> None:
    """(3) What a candidate was only to compare never came to it in earnest, and nothing was shadowed that may not
    be."""
    for request, places in evidence.candidate_shadows.items():
        record = evidence.by_id.get(request)
        if record is None:
            continue
        asked = [name for name, _ in evidence.authoritative.get(request, ()) if name != LEGACY]
        found.check(not asked, record, "was a shadow, and in earnest at", asked)
        found.check(record.method in BY_ID[record.route].sampled, record, "may not be shadowed")
        if not record.safe:
            found.check(len(places) == 1, record, "is a write with more than one shadow")
    for request in evidence.legacy_shadows:
        record = evidence.by_id.get(request)
        if record is not None:
            found.check(record.safe, record, "is a write, shadowed to legacy")


def bytes_equal(found: Finding, evidence: Evidence) -> None:
    """(4) The client's bytes are those of the side that answered, and none that look whole are not."""
    for record in evidence.records:
        if record.status or record.flaw:
            found.check(not record.flaw, record)


def requests_intact(found: Finding, evidence: Evidence) -> None:
    """What services saw was HTTP, had the client's bytes, and was asked by a client of this cycle."""
    for name, entries in evidence.entries.items():
        for entry in entries:
            found.check(entry.flaw == "ok", name, *entry)
            if entry.flaw == "ok":
                known = cycle_of(entry.id) == evidence.cycle and entry.id in evidence.by_id
                found.check(known, name, *entry, "nobody asks for that now")


def stages_held(found: Finding, evidence: Evidence) -> None:
    """Each side was asked only where the route's stage says so."""
    for record in evidence.records:
        at = evidence.stage_of(record)
        if at is None:
            continue
        stage, percent = at
        asked = {_side(name) for name, _ in evidence.authoritative.get(record.id, ())}
        compared = record.id in evidence.candidate_shadows
        if stage in ("legacy", "shadow") or (stage == "canary" and not evidence.chosen(record, percent)):
            found.check("candidate" not in asked, record, "was asked of the candidate at stage", stage)
        elif stage == "retired":
            legacy = "legacy" in asked or record.id in evidence.legacy_shadows
            found.check(not legacy, record, "was asked of legacy at stage retired")
        if stage in ("legacy", "retired") or record.route in NEVER_CANDIDATE:
            found.check(not compared, record, "was shadowed at stage", stage)


def safe_methods_unharmed(found: Finding, evidence: Evidence) -> None:
    """While only candidates are faulty, nobody sees an error on a safe method; but who was being served by a worker
    of ours that was killed, and where there is no legacy. A cut in mid-answer, which no proxy can heal, is counted
    elsewhere; legacy's answers are not even cut."""
    for record in evidence.records:
        if not _calm(record) or not record.safe or BY_ID[record.route].stage == "retired":
            continue
        if record.outcome in ("refused", "reset", "truncated") and evidence.cut_by_a_kill(record):
            continue
        if record.status == 504 and evidence.stalled(record):
            continue
        cut = record.outcome == "truncated" and record.side == "legacy"
        found.check(not record.failed and not cut, record)


def in_time(found: Finding, evidence: Evidence) -> None:
    """Nobody waits for ever; while only candidates are faulty, nobody waits beyond the deadline for a small thing."""
    for record in evidence.records:
        found.check(record.outcome != "hung", record)
        if _calm(record) and record.safe and record.outcome == "complete" and record.hurried:
            took = record.ended - record.started
            found.check(evidence.stalled(record) or took <= CANDIDATE_TOTAL_SECONDS + LATE_SECONDS, record)


def all_well(found: Finding, evidence: Evidence) -> None:
    """When everything has healed, everything works, and candidates answer again."""
    answered: set[str] = set()
    live = [route.id for route in BY_ID.values() if route.stage == "live"]
    for record in evidence.records:
        if record.phase == "clear":
            well = record.outcome == "left" or (record.outcome == "complete" and record.status < 400)
            well = well or (record.status == 504 and evidence.stalled(record))
            found.check(well, record)
            if record.side == "candidate":
                answered.add(record.route)
    for route in live:
        if any(record.phase == "clear" and record.route == route and record.status for record in evidence.records):
            found.check(route in answered, "cycle", evidence.cycle, route, "still falls back")


def _side(name: str) -> str:
    return "legacy" if name == LEGACY else "candidate"


def _calm(record: Record) -> bool:
    """Legacy was healthy from its beginning to its end."""
    return record.phase == record.phase_at_end == "calm"


RULES: dict[str, Callable[[Finding, Evidence], None]] = {
    "1 nothing lost": nothing_lost,
    "2 nothing written twice": nothing_doubled,
    "3 shadow never authoritative": shadow_never_authoritative,
    "4 byte-equal": bytes_equal,
    "requests arrive intact": requests_intact,
    "stages hold": stages_held,
    "safe methods see no error in calm": safe_methods_unharmed,
    "nobody waits too long": in_time,
    "all is well when faults are gone": all_well,
}
