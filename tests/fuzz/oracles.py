"""What must hold of every comparison, whatever is compared.

Law: every question that a fuzzer asks goes through ``Court.ask``, which checks what is always true: one verdict of the
four, a reason exactly for ``incomparable``, nothing raised, time and memory as promised, no secret shown. What is only
true of one case is checked by the case itself, with ``Finding``.
"""

from __future__ import annotations

import collections
import json
import resource
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from proxy.compare.fingerprint import fingerprint
from proxy.compare.paths import Step, parse_path
from proxy.compare.record import record
from proxy.compare.redact import PLAIN, Redactor, make_redactor
from proxy.compare.result import REASONS, WEIGHTS, Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Fields, Pair
from tests.fuzz.documents import Place

CPU_CAP_SECONDS = 2.0
"""Of one comparison or record: far above what its Budget allows on any machine."""
SLOW_SECONDS = 0.4
"""What the report lists as an outlier."""
HANG_SECONDS = 15.0
"""When a comparison is broken off."""
MEMORY_CAP_KIB = 400 * 1024
"""How much one comparison may add to the peak: two bodies of 8 MiB decoded, parsed, and their canonical bytes."""
SHOWN_CAP = 400
"""Characters of one side of a difference: one line for people."""
SWAPPED = {"missing": "extra", "extra": "missing"}


class Finding(Exception):  # noqa: N818 - it is what is looked for, not an error
    """Something that must not be. ``oracle`` names the rule that was broken; findings with one name are one bug."""

    def __init__(self, oracle: str, text: str, **evidence: Any) -> None:
        self.oracle = oracle
        self.evidence = evidence
        super().__init__(f"{oracle}: {text}")


class HangError(BaseException):
    """A comparison took so long that it was broken off. No ``except Exception`` on the way may keep it."""


@contextmanager
def guarded(what: str, **evidence: Any) -> Iterator[None]:
    """What is done inside raises nothing, ends in time and takes little memory."""

    def hang(*_: object) -> None:
        raise HangError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    earlier = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
    began = time.process_time()
    try:
        yield
    except (Exception, HangError) as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = "hang" if isinstance(error, HangError) else "exception"
        title = f"{name} in {what}: {type(error).__name__} at {where.name}"
        raise Finding(title, told(error), **evidence) from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, earlier)
    spent = time.process_time() - began
    if spent > CPU_CAP_SECONDS:
        raise Finding(f"slow {what}", f"{spent:.2f} s of CPU time", **evidence)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MEMORY_CAP_KIB:
        raise Finding(f"memory of {what}", f"the peak grew by {grown / 1024:.0f} MiB", **evidence)


def told(error: BaseException) -> str:
    """The last calls before an exception."""
    return "".join(traceback.format_exception(error, limit=-6, chain=False))[-2000:]


REDACTORS: tuple[Redactor, ...] = (
    PLAIN,
    make_redactor(Redaction(keys=["a key for the fuzzer only"]), b"0" * 32),
    make_redactor(Redaction(emails=True, names=["note", "city"], reveal=["price"]), b"0" * 32),
)


class Court:
    """Asks for verdicts and counts them."""

    def __init__(self, redactor: Redactor = PLAIN) -> None:
        self.redactor = redactor
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.outliers: list[tuple[float, str]] = []
        self.asked = 0

    def ask(
        self,
        legacy: Answer,
        candidate: Answer,
        compare: Compare | None = None,
        *,
        budget: Budget | None = None,
        secrets: Sequence[str] = (),
        recorded: bool = False,
        request: Fields | None = None,
    ) -> Result:
        """The result of one comparison, after everything has been checked that is always true.

        ``secrets`` are texts that may not be shown; with ``recorded`` the record is made as well.
        """
        made = pair(legacy, candidate, request or [])
        evidence = {"pair": made, "compare": compare}
        limits = budget or Budget()
        self.asked += 1
        with guarded("compare_pair", **evidence):
            rules = compile_rules(compare or Compare())
            began = time.process_time()
            result = compare_pair(made, rules, limits, time.monotonic, self.redactor)
            spent = time.process_time() - began
        if spent > SLOW_SECONDS:
            sizes = " and ".join(
                f"{len(side.body):,} B {side.fields[:2]} {side.body[:12]!r}" for side in (legacy, candidate)
            )
            self.outliers.append((spent, f"{sizes}, {result.verdict} {result.reason}"))
            self.outliers = sorted(self.outliers, reverse=True)[:10]
        self.verdicts[result.verdict] += 1
        if result.reason:
            self.reasons[result.reason] += 1
        _well_formed(result, limits, evidence)
        _hidden(repr(result), secrets, "result", evidence)
        if recorded:
            with guarded("record", **evidence):
                stored = record(made, result, limits, self.redactor)
            _hidden(repr(stored), secrets, "record", evidence)
            with guarded("storing a record", **evidence):
                json.dumps(stored).encode("ascii")
                orjson.dumps(stored)
        return result


def pair(legacy: Answer, candidate: Answer, request: Fields) -> Pair:
    """Two answers to a request about which nothing is remarkable but its fields."""
    return Pair(
        generation=1, route="fuzz", request_id="id-1", at=1_700_000_000.0, method="GET", target=b"/fuzz",
        fields=request, body=b"", arm="legacy", reason="stage", cohorts=[], legacy=legacy, candidate=candidate,
    )  # fmt: skip


def _well_formed(result: Result, budget: Budget, evidence: dict[str, Any]) -> None:
    def hold(true: bool, text: str) -> None:
        if not true:
            raise Finding(f"form: {text}", repr(result)[:2000], **evidence)

    hold(result.verdict in ("matched", "ignored", "mismatched", "incomparable"), "verdict")
    hold(bool(result.reason) == (result.verdict == "incomparable"), "a reason exactly for incomparable")
    hold(result.reason in ("", *REASONS), "reason from REASONS")
    hold(result.reason != "internal-error", "no internal error")
    hold((result.verdict == "mismatched") >= bool(result.differences), "differences only where mismatched")
    hold((result.verdict == "mismatched") <= bool(result.differences), "a mismatch shows a difference")
    hold(len(result.differences) <= budget.differences, "bounded number of differences")
    hold(result.more >= 0, "more")
    for found in result.differences:
        hold(found.kind in WEIGHTS, f"kind {found.kind} from WEIGHTS")
        hold(found.times >= 1, "times")
        hold(len(found.legacy) <= SHOWN_CAP and len(found.candidate) <= SHOWN_CAP, f"short values ({found.kind})")
        hold(len(found.path) <= 25_000, "bounded path")
        try:
            json.dumps(found).encode()
            orjson.dumps([found.path, found.legacy, found.candidate])
            fingerprint("fuzz", found.kind, found.path).encode()
        except (ValueError, TypeError):
            hold(False, "can be stored")


def _hidden(text: str, secrets: Sequence[str], where: str, evidence: dict[str, Any]) -> None:
    for secret in secrets:
        if secret in text:
            at = text.index(secret)
            raise Finding(f"secret in the {where}", f"…{text[max(0, at - 200) : at + 60]}…", **evidence)


def silenced(court: Court, legacy: Answer, candidate: Answer, result: Result, compare: Compare) -> None:
    """What is reported within a document can be written as a rule: ignored, it is no mismatch any more."""
    paths = [found.path for found in result.differences]
    if result.verdict != "mismatched" or result.more or any(path[0] != "$" for path in paths):
        return
    again = court.ask(legacy, candidate, compare.model_copy(update={"ignore": [*compare.ignore, *paths]}))
    if again.verdict not in ("ignored", "matched", "incomparable"):
        raise Finding(
            "a reported path that is ignored is reported again", f"{paths} {again}"[:2000], pair=(legacy, candidate)
        )


def names_place(result: Result, touched: Sequence[Place]) -> bool:
    """Whether one of the differences covers one of the places that were touched, or may do so, being cut off."""
    return result.more > 0 or any(covers(found.path, place) for found in result.differences for place in touched)


def names_only(result: Result, touched: Sequence[Place]) -> bool:
    """Whether every difference within the document is at, above or below one of the places that were touched."""
    return all(
        any(covers(found.path, place) for place in touched) for found in result.differences if found.path[0] == "$"
    )


def covers(path: str, place: Place) -> bool:
    """Whether a reported path template names the place, something above it or something below it."""
    try:
        steps = parse_path(path)
    except ValueError:
        return False
    return all(_leads(step, to) for step, to in zip(steps, place, strict=False))


def _leads(step: Step, to: str | int) -> bool:
    if step.name is not None:
        return step.name == to
    return step.position is None or step.position == to


def mirrored(there: Result, back: Result) -> bool:
    """Whether two results are what they must be when the sides have changed places. Time may run out on one way."""
    if "incomparable" in (there.verdict, back.verdict):
        return True
    turned = [
        (SWAPPED.get(found.kind, found.kind), found.path, found.candidate, found.legacy, found.times)
        for found in back.differences
    ]
    return there.verdict == back.verdict and sorted(turned) == sorted(tuple(found) for found in there.differences)
