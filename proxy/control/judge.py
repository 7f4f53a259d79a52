"""Verdicts of pairs: compared, counted, recorded.

Law: each pair gets exactly one verdict, which is counted, and no pair, however made, ends the process. What is recorded
is redacted first.
"""

from __future__ import annotations

from time import monotonic

from proxy.compare.explain import explain
from proxy.compare.fingerprint import fingerprint
from proxy.compare.record import record
from proxy.compare.result import Budget, Result
from proxy.compare.rules import CompareRules, compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare
from proxy.config.model import Settings, compare_of
from proxy.control.looks import Looks, lacks_body, recorded_request
from proxy.messages import CompareCounters, Pair
from proxy.store.diff_writer import DiffWriter
from proxy.store.difflog import Seen
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

    def configure(self, settings: Settings) -> None:
        """Take the rules of a configuration."""
        self._rules = {route.id: compile_rules(compare_of(settings, route)) for route in settings.routes}
        self._writer.retention = settings.retention

    def count(self, pair: Pair, verdict: str, reason: str = "") -> None:
        """Count the verdict of one pair, here and for the store."""
        if pair.purpose == "seen":  # it is not compared: only nobody looks at it
            self.lost["not-looked-at"] = self.lost.get("not-looked-at", 0) + 1
            return
        counters = self._counters(pair.route)
        counters.verdicts[verdict] = counters.verdicts.get(verdict, 0) + 1
        if reason:
            counters.incomparable[reason] = counters.incomparable.get(reason, 0) + 1
        self._writer.verdict(pair.route, pair.at, verdict)

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
        try:
            result = compare_pair(pair, self._rules.get(pair.route, self._default), self._budget, monotonic)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a verdict, and no pair may end the process
            logs.log_line("error", "compare-fault", route=pair.route, error=type(error).__name__)
            result = Result("incomparable", "internal-error")
        self.count(pair, result.verdict, result.reason)
        if result.differences:
            try:
                self._record(pair, result, leisure=leisure)
            except Exception as error:  # noqa: BLE001 - the same; the verdict stands
                logs.log_line("error", "record-fault", route=pair.route, error=type(error).__name__)
                self.lost["record-fault"] = self.lost.get("record-fault", 0) + 1
        if pair.purpose == "compare":
            self._look(pair, compared=result.verdict != "incomparable")
        return result

    def _look(self, pair: Pair, *, compared: bool) -> None:
        """Count the shape of legacy's answer, and record the request if it is chosen. Never raises."""
        try:
            shape = self._looks.count(pair, self._counters(pair.route).shapes, compared=compared)
            corpus = self._writer.corpus
            if shape and corpus.wanted(pair.route, pair.cell, shape, partial=lacks_body(pair)):
                made = record(pair, Result("matched"), self._budget)
                if not corpus.keep(pair.route, (pair.cell, shape), pair.at, recorded_request(pair, made)):
                    self.lost["queue-full"] = self.lost.get("queue-full", 0) + 1
        except Exception as error:  # noqa: BLE001 - as above; no verdict depends on it
            logs.log_line("error", "look-fault", route=pair.route, error=type(error).__name__)
            self.lost["record-fault"] = self.lost.get("record-fault", 0) + 1

    def _record(self, pair: Pair, result: Result, *, leisure: bool) -> None:
        chosen = []
        for found in result.differences:
            key = fingerprint(pair.route, found.kind, found.path)
            at = pair.at
            if self._writer.seen(
                Seen(key, pair.route, found.kind, found.path, at, at, 1, found.legacy, found.candidate)
            ):
                chosen.append(key)
        if not chosen:
            return
        made = record(pair, result, self._budget)
        made["deepdiff"] = explain(made["legacy"]["body"], made["candidate"]["body"]) if leisure else ""
        for item in made["differences"]:
            item["fingerprint"] = fingerprint(pair.route, item["kind"], item["path"])
        for key in chosen[:MAX_RECORDED]:
            self._writer.keep(key, pair.at, made["request_id"], made)
