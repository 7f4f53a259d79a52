"""What is known of a route, for a verdict on it, and what may mislead about it.

Law: data, and pure functions over it. Whatever was not compared is named: a verdict on a part is never passed off as
one on the whole.
"""

from __future__ import annotations

import msgspec

from proxy.compare.wording import number, percent, plural
from proxy.config.model import Stage
from proxy.messages import Histogram, Paired


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted for one route since ``since`` (seconds since the epoch)."""

    route: str
    stage: Stage
    candidate: bool = True
    """The route names a candidate."""
    kill_switch: bool = False
    sample: float = 1.0
    """Share of the eligible requests that are shadowed: ``shadow.sample``."""
    since: float = 0.0
    first: float | None = None
    """Seconds since the epoch: no pair that counts is older; None if there is none."""
    restarted: str = ""
    """Why evidence from before ``since`` does not count, in words; empty if nothing was cut off."""
    lost: str = ""
    """Why there is no evidence at all, as a sentence; empty as a rule."""

    equal: int = 0
    """Pairs without a difference that the rules let count."""
    expected: int = 0
    """Pairs that differ in nothing but what was accepted or is noise."""
    mismatched: int = 0
    """Pairs that differ in something else."""
    by_rules: int = 0
    """Of the equal pairs, those that differ in something that a rule of ``compare`` lets pass."""
    mode: str = "exact"
    """``compare.mode``."""
    incomparable: int = 0
    incomparable_by: dict[str, int] = {}
    open: tuple[str, ...] = ()
    """Fingerprints that are neither accepted, fixed nor noise, the heaviest first."""
    selfs: int = 0
    """Requests whose copy went to legacy, to learn where it differs from itself."""

    requests: int = 0
    writes: int = 0
    """Of the requests, those with a method that is not shadowed."""
    reads_after_writes: bool = False
    """After a write, reads are asked of both sides: ``shadow.unsafe: read-after-write``."""
    candidate_requests: int = 0
    """Of the requests, those that the candidate was to answer."""
    candidate_errors: int = 0
    """Of these, those that ended in 5xx for the client."""
    unpaired: int = 0
    """Of these, those that legacy was not asked about at ``canary``, because ``shadow.reverse`` was off."""
    fallbacks: dict[str, int] = {}
    dropped: dict[str, int] = {}
    """Shadows that were not sent or not kept, by reason."""
    unjudged: int = 0
    """Pairs that the comparator was given and has no verdict for: they wait, or it ended before their turn."""
    records_lost: int = 0
    """Records of differences, on all routes, that the store did not keep."""

    pairs: int = 0
    """Pairs whose both sides were looked at for errors, answered or not."""
    paired: Paired = msgspec.field(default_factory=Paired)
    legacy_seconds: Histogram = msgspec.field(default_factory=Histogram)
    """To the first byte of legacy's answers, shadows included."""
    candidate_seconds: Histogram = msgspec.field(default_factory=Histogram)
    coverage: float | None = None
    """Share of legacy's traffic that is of kinds that were compared."""
    never: int = 0
    """Kinds of request or answer that were never compared."""

    @property
    def compared(self) -> int:
        """Pairs that were compared to the end."""
        return self.equal + self.expected + self.mismatched


class Bias(msgspec.Struct, frozen=True):
    """Something that the comparison does not see. ``share`` is of what it says in the sentence; None without one."""

    name: str
    sentence: str
    share: float | None = None


def biases(evidence: Evidence) -> list[Bias]:
    """What may mislead in this evidence, the heaviest first; without a candidate, nothing."""
    if not evidence.candidate:
        return []
    found = [*_unseen(evidence), *_lost(evidence), *_let_pass(evidence)]
    found.sort(key=lambda bias: -(bias.share or 0.0))
    if evidence.restarted:
        found.insert(0, Bias("restarted", f"Earlier evidence does not count: {evidence.restarted}."))
    if evidence.compared and evidence.stage in ("shadow", "canary"):
        found.append(
            Bias(
                "marked",
                "Shadows carry X-Banyan-Shadow: 1. A candidate that answers them in another way than its users is not "
                "found out.",
            )
        )
    return found


def _unseen(evidence: Evidence) -> list[Bias]:
    found, requests = [], evidence.requests
    if evidence.sample < 1:
        found.append(
            Bias("sampling", f"Only {percent(evidence.sample)} of the requests are shadowed (shadow.sample).",
                 1 - evidence.sample)
        )  # fmt: skip
    if evidence.writes and requests:
        share = evidence.writes / requests
        seen = f"{evidence.writes:,} of {number(requests, 'request')} ({percent(share)})"
        have = plural(evidence.writes, "has a method that is", "have methods that are")
        they = plural(evidence.writes, "it is", "they are")
        how = "only the reads after writes are compared" if evidence.reads_after_writes else f"{they} never compared"
        found.append(Bias("writes", f"{seen} {have} not shadowed: {how}.", share))
    if evidence.unpaired and requests:
        share = evidence.unpaired / requests
        what = f"{number(evidence.unpaired, 'request')} that the candidate answered"
        were = plural(evidence.unpaired, "was", "were")
        found.append(Bias("unpaired", f"{what} {were} not compared: at canary that takes shadow.reverse.", share))
    if evidence.selfs:
        pairs = evidence.selfs + evidence.compared
        what = f"{number(evidence.selfs, 'shadow')} went to legacy itself, to learn its noise"
        found.append(Bias("self", f"{what}: the candidate was not asked.", evidence.selfs / pairs))
    return found


def _lost(evidence: Evidence) -> list[Bias]:
    found = []
    dropped = sum(evidence.dropped.values())
    sampled = dropped + evidence.unjudged + evidence.incomparable + evidence.compared
    if dropped:
        what = f"{number(dropped, 'shadow')} {plural(dropped, 'was', 'were')} dropped ({counts(evidence.dropped)})"
        missing = plural(dropped, "it is", "they are")
        found.append(Bias("dropped", f"{what}: {missing} missing, and not by chance.", dropped / sampled))
    if evidence.unjudged:
        what = f"{number(evidence.unjudged, 'pair')} without a verdict"
        found.append(
            Bias("not-judged", f"{what}: waiting for the comparator, or it ended before their turn.",
                 evidence.unjudged / sampled)
        )  # fmt: skip
    if evidence.incomparable:
        table = evidence.incomparable_by  # by the hour, so it may be of others, too
        same = sum(table.values()) == evidence.incomparable
        reasons = counts(table) if same else ", ".join(sorted(table, key=lambda reason: (-table[reason], reason)))
        what = f"{number(evidence.incomparable, 'pair')} could not be compared{f' ({reasons})' if reasons else ''}"
        found.append(Bias("incomparable", f"{what}.", evidence.incomparable / sampled))
    if evidence.records_lost:
        what = (
            f"The store did not keep {number(evidence.records_lost, 'record')} of differences, of all routes together"
        )
        found.append(Bias("records-lost", f"{what}; their pairs are counted all the same."))
    return found


def _let_pass(evidence: Evidence) -> list[Bias]:
    found, compared = [], evidence.compared
    if evidence.mode in _MODES:
        found.append(Bias("mode", f"{_MODES[evidence.mode]} (compare.mode: {evidence.mode})."))
    if evidence.by_rules and compared:
        share = evidence.by_rules / compared
        count = plural(evidence.by_rules, "counts", "count")
        what = f"{number(evidence.by_rules, 'pair')} ({percent(share)}) {count} as equal only by the rules of compare"
        found.append(Bias("rules", f"{what}.", share))
    if evidence.expected:
        share = evidence.expected / compared
        differ = plural(evidence.expected, "differs", "differ")
        what = f"{number(evidence.expected, 'pair')} ({percent(share)}) {differ} in what was accepted or is noise"
        found.append(Bias("expected", f"{what}.", share))
    return found


_MODES = {
    "schema": "Names and types are compared, values are not",
    "subset": "What the candidate says beyond legacy is not looked at",
}


def counts(table: dict[str, int]) -> str:
    """``timeout 3, reset 1``: the most frequent first."""
    return ", ".join(f"{key} {count:,}" for key, count in sorted(table.items(), key=lambda item: (-item[1], item[0])))
