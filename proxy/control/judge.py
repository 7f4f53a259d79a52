"""Verdicts of pairs: compared, counted, recorded.

Law: each pair gets exactly one verdict, which is counted, and no pair, however made, ends the process. What is recorded
is redacted first. Two answers of legacy's get no verdict: they teach where legacy differs from itself. A pair is only
``ignored`` for what people accepted, or for noise, if that is all it shows; its differences are counted all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from secrets import token_bytes
from time import thread_time

from proxy.compare.explain import BUSY, explain
from proxy.compare.fingerprint import fingerprint
from proxy.compare.noise import look
from proxy.compare.places import BUSY as BEHIND
from proxy.compare.places import places, unplaced
from proxy.compare.record import record
from proxy.compare.redact import make_redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import CompareRules, compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.config.model import Settings, compare_of
from proxy.control.looks import Looks, lacks_body, recorded_request
from proxy.core.coverage import KNOWN_METHODS
from proxy.messages import SIZE_RATIO_BUCKETS, Answer, CompareCounters, Expected, Pair
from proxy.store.batch import Seen, Way
from proxy.store.diff_writer import DiffWriter
from proxy.store.difflog import COMPARED
from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE, group_of
from proxy.store.rates import Sighting
from proxy.store.tally import add_cells
from proxy.telemetry import logs

MAX_RECORDED = 10
"""Fingerprints of one pair that may keep it as a sample."""


class Judge:
    """Verdicts, counts and records; knows nothing of processes and sockets."""

    def __init__(self, writer: DiffWriter) -> None:
        self.routes: dict[str, CompareCounters] = {}
        self.lost: dict[str, int] = {}
        self._writer = writer
        self._rules: dict[str, CompareRules] = {}
        self._default = compile_rules(Compare())
        self._budget = Budget()
        self._looks = Looks(self._budget)
        self._fresh_key = token_bytes(32)  # for masks, if no key is configured: as long as this process lives
        self._redactor = make_redactor(Redaction(), self._fresh_key)
        self._accepted: dict[str, float] = {}
        self._noisy: frozenset[str] = frozenset()

    def configure(self, settings: Settings) -> None:
        """Take the rules of a configuration."""
        self._rules = {route.id: compile_rules(compare_of(settings, route)) for route in settings.routes}
        self._writer.retention = settings.retention
        self._writer.half_lives = {route.id: compare_of(settings, route).noise.half_life for route in settings.routes}
        self._redactor = make_redactor(settings.redaction, self._fresh_key)

    def expect(self, expected: Expected) -> None:
        """Take what is accepted and what is noise."""
        self._accepted, self._noisy = expected.accepted, frozenset(expected.noisy)

    def skip(self, pair: Pair, reason: str) -> None:
        """Count a pair that is not looked at, for want of room or time."""
        if pair.purpose in ("seen", "self"):  # they have no verdict
            self.lost["not-looked-at"] = self.lost.get("not-looked-at", 0) + 1
        else:
            self._count(pair, Result("incomparable", reason), [], "")

    def _counters(self, route: str) -> CompareCounters:
        counters = self.routes.get(route)
        if counters is None:
            counters = self.routes[route] = CompareCounters()
        return counters

    def judge(self, pair: Pair, *, leisure: bool) -> Result:
        """Compare one pair, count it and record what is new about it. Never raises."""
        if pair.purpose == "seen":
            self._look(pair, compared=pair.compared)
            return Result("matched")
        rules = self._rules.get(pair.route, self._default)
        try:
            if pair.purpose == "self":
                rules = rules.within_legacy
            result = compare_pair(pair, rules, self._budget, thread_time, self._redactor)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a verdict, and no pair may end the process
            logs.log_line("error", "compare-fault", route=pair.route, error=type(error).__name__)
            result = Result("incomparable", "internal-error")
        keys = [fingerprint(pair.route, found.kind, found.path) for found in result.differences]
        if pair.purpose == "self":
            self._learn(pair, result, keys)
            return result
        why = "rules" if result.verdict == "ignored" else ""
        if result.verdict == "mismatched" and (why := self._why_expected(pair.at, result, keys)):
            result = result._replace(verdict="ignored")
        self._count(pair, result, keys, why)
        if keys:
            try:
                self._record(pair, result, keys, leisure=leisure)
            except Exception as error:  # noqa: BLE001 - the same; the verdict stands
                logs.log_line("error", "record-fault", route=pair.route, error=type(error).__name__)
                self.lost["record-fault"] = self.lost.get("record-fault", 0) + 1
        if pair.purpose == "compare":
            self._look(pair, compared=result.verdict != "incomparable")
        return result

    def _why_expected(self, at: float, result: Result, keys: list[str]) -> str:
        """``accepted`` or ``noise`` if everything that the pair of that time shows is one of the two, else nothing."""
        if result.more or not keys:
            return ""
        why = "noise"
        for key in keys:
            until = self._accepted.get(key)
            if until is not None and (until == 0.0 or at < until):
                why = "accepted"
            elif key not in self._noisy:
                return ""
        return why

    def _count(self, pair: Pair, result: Result, keys: list[str], why: str) -> None:
        counters = self._counters(pair.route)
        counters.verdicts[result.verdict] = counters.verdicts.get(result.verdict, 0) + 1
        if result.reason:
            counters.incomparable[result.reason] = counters.incomparable.get(result.reason, 0) + 1
        if why:
            counters.expected[why] = counters.expected.get(why, 0) + 1
        if pair.cell and result.verdict in COMPARED:
            add_cells(counters.covered, {pair.cell: 1})
        ratio = _size_ratio(pair.legacy, pair.candidate)
        if ratio is not None:
            counters.sizes[bisect_left(SIZE_RATIO_BUCKETS, ratio)] += 1
        if result.verdict == "incomparable":
            group = INCOMPARABLE
        elif result.more or (result.verdict == "mismatched" and not keys):
            group = MORE
        else:
            group = group_of(keys) if keys else EQUAL
        self._writer.pair(pair.route, pair.at, result.verdict, group)

    def _learn(self, pair: Pair, result: Result, keys: list[str]) -> None:
        """Count what legacy shows against itself."""
        if result.verdict == "incomparable":
            return
        self._counters(pair.route).selfs += 1
        self._writer.within_legacy(
            pair.route,
            [
                Sighting(key, pair.route, found.kind, found.path, self_seen=1,
                         looks=frozenset((look(found.legacy, found.candidate),)))
                for key, found in zip(keys, result.differences, strict=True)
            ],
        )  # fmt: skip

    def _look(self, pair: Pair, *, compared: bool) -> None:
        """Count the shape of legacy's answer, and record the request if it is chosen. Never raises."""
        try:
            shape = self._looks.count(pair, self._counters(pair.route).shapes, compared=compared)
            corpus = self._writer.corpus
            if shape and corpus.wanted(pair.route, pair.cell, shape, partial=lacks_body(pair)):
                made = record(pair, Result("matched"), self._budget, self._redactor)
                if not corpus.keep(pair.route, (pair.cell, shape), pair.at, recorded_request(pair, made)):
                    self.lost["queue-full"] = self.lost.get("queue-full", 0) + 1
        except Exception as error:  # noqa: BLE001 - as above; no verdict depends on it
            logs.log_line("error", "look-fault", route=pair.route, error=type(error).__name__)
            self.lost["record-fault"] = self.lost.get("record-fault", 0) + 1

    def _record(self, pair: Pair, result: Result, keys: list[str], *, leisure: bool) -> None:
        way = Way(
            pair.arm,
            f"{pair.legacy.status}/{pair.candidate.status}",
            pair.method if pair.method in KNOWN_METHODS else "other",
            tuple(pair.cohorts),
            pair.cell,
        )
        at = pair.at
        chosen = [
            key
            for key, found in zip(keys, result.differences, strict=True)
            if self._writer.seen(
                Seen(key, pair.route, found.kind, found.path, at, at, 1, found.legacy, found.candidate), way
            )
        ]
        if not chosen:
            return
        made = record(pair, result, self._budget, self._redactor)
        rules = self._rules.get(pair.route, self._default)
        made["places"] = (
            places(pair, rules, self._budget, thread_time, result, made, self._redactor)
            if leisure
            else unplaced(BEHIND)
        )
        made["deepdiff"] = explain(made["legacy"]["body"], made["candidate"]["body"]) if leisure else BUSY
        for item, key in zip(made["differences"], keys, strict=True):
            item["fingerprint"] = key
        for key in chosen[:MAX_RECORDED]:
            self._writer.keep(key, at, made["request_id"], made)


def _size_ratio(legacy: Answer, candidate: Answer) -> float | None:
    """The candidate's body on the wire divided by legacy's; None if one of them is not known whole, or both empty."""
    if legacy.failure or candidate.failure:
        return None
    one, two = (side.size if side.truncated else len(side.body) for side in (legacy, candidate))
    if (legacy.truncated and not one) or (candidate.truncated and not two) or one == two == 0:
        return None
    return two / one if one else float("inf")
