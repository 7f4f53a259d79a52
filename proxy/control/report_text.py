"""The report as Markdown.

Law: the verdict stands first, figures after it, the worst news before the better; it reads well in a terminal as it is
and survives being pasted into a change request. Everything recorded is shown as text, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.compare.evidence import counts
from proxy.compare.readiness import Criterion, Readiness
from proxy.compare.wording import number, percent, plural, seconds, share, until
from proxy.control.findings import LAST_COMMENTS, Finding
from proxy.control.marked import SIGNS, UNPLACED, WORDS, sign
from proxy.control.report import Report, RouteReport, Shown
from proxy.control.report_figures import begun, stamp
from proxy.control.report_samples import Answered, SideBySide
from proxy.telemetry.visible import code_span, plain_cell, visible

Row = list[str]

TOP_DIFFERENCES = 20
TOP_PAIRS = 5
"""Recorded pairs that are shown; ``banyan diffs show`` has the others."""
TOP_NEVER = 10
VERDICTS = {"ready": "ready", "not-ready": "not ready", "inconclusive": "inconclusive"}
STATES = {"not-met": "not met", "unknown": "not known yet", "met": "met", "not-asked": "does not apply"}
"""States of a criterion in words, in the order in which they are read."""
OTHER_PAIRS = (
    "Compared pairs are of the evidence alone. Errors, times, drops, fallbacks and coverage are kept by the hour: they "
    "may count pairs from before it began, too, and such without a verdict."
)
"""Why figures of criteria beside each other are not of equally many pairs."""


def markdown(report: Report) -> str:
    """The whole report."""
    lines = [f"# Migration report, {stamp(report.at)}", ""]
    if not report.routes:
        return "\n".join([*lines, "No routes: everything goes to legacy.", "", *uncovered(report), ""])
    head = ["route", "verdict", "next", "stage", f"requests ({report.window_hours} h)", "compared", "mismatched"]
    lines += table(head, _summary(report), 4)
    lines += ["", "Compared and mismatched are pairs of the evidence; each route's part says since when."]
    lines += [line for told in uncovered(report) for line in ("", told)]
    for route in report.routes:
        lines += ["", *_route(route)]
    return "\n".join([*lines, ""])


def uncovered(report: Report) -> list[str]:
    """A sentence on the traffic that the parts of the routes leave out; none in the report of one route."""
    found = report.uncovered
    if found is None or not found.requests:
        return []
    of = f"{number(found.requests, 'request')} ({found.span})"
    told = f"Routes name every one of {of}"
    if found.unrouted:
        told = f"No route names {found.unrouted:,} of {of}: {share(found.unrouted / found.requests)}"
        told += ", which only legacy answers, and of which this report says nothing more"
    if found.without_candidate:
        lone = f"{found.without_candidate:,} ({share(found.without_candidate / found.requests)})"
        told += f"; {lone} {plural(found.without_candidate, 'is', 'are')} of routes without a candidate"
    return [f"{told}."]


def table(head: Row, rows: list[Row], right_from: int) -> list[str]:
    """A Markdown table with aligned columns; those from number ``right_from`` on are flush right."""
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    rule = ["-" * (w - 1) + ":" if n >= right_from else "-" * w for n, w in enumerate(widths)]
    return [_line(head, widths, right_from), f"| {' | '.join(rule)} |", *(_line(r, widths, right_from) for r in rows)]


def _line(row: Row, widths: list[int], right_from: int) -> str:
    cells = [c.rjust(w) if n >= right_from else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
    return f"| {' | '.join(cells)} |"


def _summary(report: Report) -> list[Row]:
    return [
        [
            route.route,
            VERDICTS[route.readiness.verdict],
            route.advice.word,
            stage(route),
            f"{route.requests:,}",
            f"{route.readiness.compared:,}",
            f"{route.readiness.mismatched:,}",
        ]
        for route in report.routes
    ]


def stage(route: RouteReport) -> str:
    """``canary 10 %``; a star marks an override of the file."""
    name = route.stage if route.percent is None else f"{route.stage} {route.percent} %"
    return f"{name} *" if route.overridden_by else name


def _route(route: RouteReport) -> list[str]:
    found, spans = route.readiness, route.spans
    lines = [f"## {route.route}", "", f"**{found.summary}**", "", f"Next: {route.advice.sentence}", ""]
    lines += [f"- Stage: {_stage_line(route)}", *_traffic(route)]
    for title, part in (
        (f"What was asked for ({spans['readiness']})", _criteria(found)),
        (f"Differences ({spans['differences']})", [*_differences(route), *_said(route.differences[:TOP_DIFFERENCES])]),
        ("Recorded pairs", _pairs(route.differences)),
        (f"Noise: legacy differs from itself here ({spans['noise']})", _listed(route, "noise", _noise(route.noise))),
        (f"Accepted ({spans['accepted']})", _listed(route, "accepted", _accepted(route.accepted))),
        (f"Fixed ({spans['fixed']})", _listed(route, "fixed", _fixed(route.fixed))),
        (f"Coverage ({spans['coverage']})", _coverage(route)),
        (f"Times ({spans['latency']})", _times(route)),
        ("Rules in force (now)", _rules(route) if route.candidate else []),
        (f"What this does not see ({spans['readiness']})", [f"- {_sentence(bias.sentence)}" for bias in found.bias]),
    ):
        if part:
            lines += ["", f"### {title}", "", *part]
    return lines


def criteria(found: Readiness) -> list[Criterion]:
    """The criteria as they are read, the worst first; what is unknown only because nothing was compared is left out."""
    order = list(STATES)
    told = [each for each in found.criteria if each.state != "unknown" or each.sentence in found.reasons]
    return sorted(told, key=lambda each: order.index(each.state))


def _criteria(found: Readiness) -> list[str]:
    rows = [[STATES[each.state], f"`{each.name}`", _sentence(each.sentence)] for each in criteria(found)]
    lines = table(["", "criterion", "found"], rows, 3) if rows else []
    return [*lines, "", OTHER_PAIRS] if rows and found.compared else lines


def _sentence(text: str) -> str:
    """A sentence that may hold what an operator wrote."""
    return plain_cell(text, 600)


def _stage_line(route: RouteReport) -> str:
    name = route.stage if route.percent is None else f"{route.stage} {route.percent} %"
    if not route.overridden_by:
        return f"{name}, as the file says"
    reason = plain_cell(route.override_reason)
    return f"{name}, set by {plain_cell(route.overridden_by)} (“{reason}”); the file says {route.file_stage}"


def _traffic(route: RouteReport) -> list[str]:
    span = route.spans["requests"]
    lines = [f"- Traffic ({span}): none"]
    if route.requests:
        errors = f"legacy {route.errors['legacy']:,}, candidate {route.errors['candidate']:,}"
        arms = f"{route.arms['legacy']:,} answered by legacy, {route.arms['candidate']:,} by the candidate"
        lines = [
            f"- Traffic ({span}): {number(route.requests, 'request')}: {arms} ({share(route.candidate_share)})",
            f"- Errors (5xx to clients, {span}): {errors}",
            f"- Fallbacks ({span}): {counts(route.fallbacks) or 'none'}",
        ]
    if route.dropped:
        lines.append(f"- Shadows dropped ({span}): {counts(route.dropped)}")
    found = route.readiness
    if not found.compared + found.incomparable:
        return [*lines, f"- Compared: nothing ({route.spans['readiness']})"]
    parts = f"{found.equal:,} equal, {found.expected:,} expected to differ, {found.mismatched:,} mismatched"
    bound = f"; at most {percent(found.bound, up=True)} of all may differ" if found.bound is not None else ""
    lines.append(f"- Compared ({route.spans['readiness']}): {number(found.compared, 'pair')}: {parts}{bound}")
    if found.incomparable:
        lines.append(f"- Not comparable ({route.spans['readiness']}): {number(found.incomparable, 'pair')}")
    if route.incomparable:
        lines.append(f"- Why not comparable ({span}): {counts(route.incomparable)}")
    return lines


# -- differences ----------------------------------------------------------------------------------------------------


def _where(finding: Finding) -> str:
    return f"{finding.kind} {code_span(finding.path, 60)}"


def _differences(route: RouteReport) -> list[str]:
    shown, since = route.differences, stamp(begun(route.readiness))
    rows = [
        [
            f"`{each.finding.fingerprint}`",
            _where(each.finding),
            code_span(each.finding.legacy, 40),
            code_span(each.finding.candidate, 40),
            each.finding.state,
            f"{each.finding.count:,}",
            share(each.finding.share),
        ]
        for each in shown[:TOP_DIFFERENCES]
    ]
    if not rows:
        return []
    head = ["difference", "where", "legacy, for example", "candidate", "state", "pairs", "share"]
    first = min(each.finding.first_seen for each in shown)[:16].replace("T", " ")
    before = ", before the evidence begins" if first < since[:16] else ""
    lines = [*table(head, rows, 5), "", f"First seen {first} UTC{before}."]
    return [*lines, *_more(route, "differences", max(0, len(shown) - TOP_DIFFERENCES))]


def _more(route: RouteReport, name: str, cut: int = 0) -> list[str]:
    """How many kinds are not shown: those that one of the report's lists has no room for, and ``cut`` of it."""
    more = route.not_listed[name] + cut
    state = "open" if name == "differences" else name
    return ["", f"{more:,} more: `banyan diffs {route.route} --state {state}`."] if more else []


def _listed(route: RouteReport, name: str, lines: list[str]) -> list[str]:
    """A table of settled differences, with how many more there are and what people said of them."""
    return [*lines, *_more(route, name), *_said(getattr(route, name))]


def _said(shown: list[Shown]) -> list[str]:
    """To whom differences are assigned, and the last of what was written about each."""
    lines = []
    for it in (each.finding for each in shown):
        name, earlier = f"- `{it.fingerprint}`", len(it.comments) - LAST_COMMENTS
        if it.owner:
            lines.append(f"{name} is assigned to {plain_cell(it.owner, 80)}.")
        if earlier > 0:
            lines.append(f"{name}: {number(earlier, 'earlier comment')}: `banyan diffs {it.route} --json`.")
        for comment in it.comments[-LAST_COMMENTS:]:
            when = visible(comment.at, 40)[:16].replace("T", " ")
            lines.append(f"{name}, {plain_cell(comment.actor, 80)}, {when} UTC: {plain_cell(comment.text)}")
    return ["", *lines] if lines else []


def _pairs(shown: list[Shown]) -> list[str]:
    lines: list[str] = []
    told = told_at(shown)
    pairs = [
        (each.pair, {name for name, at in told.items() if at == each.finding.fingerprint})
        for each in shown
        if each.pair is not None and told[each.finding.fingerprint] == each.finding.fingerprint
    ][:TOP_PAIRS]
    for pair, names in pairs:
        named = ", ".join(f"`{name}`" for name in told if name in names)
        asked = code_span(f"{pair.method} {pair.target}", 200)
        legacy, candidate = _answer(pair.legacy), _answer(pair.candidate)
        lines += [f"{named}: {asked}: legacy {legacy}; candidate {candidate}", ""]
        if pair.note:
            lines += [plain_cell(pair.note, 600), ""]
        if pair.rows:
            lines += [*_fenced(pair.rows, names), ""]
    return [*lines, *_legend(pairs)] if any(pair.rows for pair, _ in pairs) else lines[:-1]


def _legend(pairs: list[tuple[SideBySide, set[str]]]) -> list[str]:
    text = "Lines with `-` (legacy) or `+` (candidate) alone are the difference named above them."
    said = others(pairs)
    signs = {sign(what, ()) for what in said}
    text += "".join(f" `{mark}` is {SIGNS[mark]}." for mark in ("~", UNPLACED) if mark in signs)
    words = "; ".join(f"{word}: {meaning}" for word, meaning in WORDS.items() if word in said)
    return [f"{text} `.` is {SIGNS['.']} ({words})." if words else text]


def others(pairs: Iterable[tuple[SideBySide, set[str]]]) -> set[str]:
    """What is said of lines of these pairs, each shown for the differences beside it, but for these differences."""
    return {row[3] for pair, names in pairs for row in pair.rows if row[3] and row[3] not in names}


def told_at(shown: list[Shown]) -> dict[str, str]:
    """Fingerprint -> the first one whose recorded pair reads the same: a pair that shows several differences, or the
    same request with the same answers once more, is printed there only. Who has no pair is left out."""
    first: dict[object, str] = {}
    found = {}
    for each in shown:
        if (pair := each.pair) is not None:
            sides = [(side.status, side.failure) for side in (pair.legacy, pair.candidate)]
            reads = (pair.method, pair.target, *sides, *map(_shown_row, pair.rows)) if pair.rows else pair.id
            found[each.finding.fingerprint] = first.setdefault(reads, each.finding.fingerprint)
    return found


def _shown_row(row: list[str]) -> tuple[str, ...]:
    """A row without what is said of it, which depends on the difference that it is told with."""
    return tuple(row[:3])


def _answer(side: Answered) -> str:
    what = f"failed ({visible(side.failure, 40)})" if side.failure else f"{side.status}"
    return f"{what}, {seconds(side.seconds)}"


def _fenced(rows: list[list[str]], names: set[str]) -> list[str]:
    """Lines of a unified diff, in a fence that nothing in them can close: only the differences ``names`` begin with the
    mark of their side, what else is not the same with its sign."""
    lines = []
    for mark, legacy, candidate, what in rows:
        if mark == "…":
            lines.append("  …")
        elif not what:
            lines.append(f"  {visible(legacy)}")
        else:
            word = "" if what == UNPLACED else f"{what} "
            head = "" if what in names else f"{sign(what, names)} {word}"
            lines += [f"{head}- {visible(legacy)}"] if mark != "+" else []
            lines += [f"{head}+ {visible(candidate)}"] if mark != "-" else []
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}diff", *lines, fence]


def _noise(shown: list[Shown]) -> list[str]:
    rows = [
        [f"`{f.fingerprint}`", _where(f), _rate(f.rate), _rate(f.noise_rate), f"{f.count:,}"]
        for f in (each.finding for each in shown)
    ]
    return table(["difference", "where", "between the sides", "within legacy", "pairs"], rows, 2) if rows else []


def _rate(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _accepted(shown: list[Shown]) -> list[str]:
    rows = [
        [
            f"`{f.fingerprint}`", _where(f), plain_cell(f.actor, 40), plain_cell(f.reason, 200),
            until(f.until) if f.until else "for good", f"{f.count:,}",
        ]
        for f in (each.finding for each in shown)
    ]  # fmt: skip
    return table(["difference", "where", "who", "why", "until", "pairs"], rows, 5) if rows else []


def _fixed(shown: list[Shown]) -> list[str]:
    rows = [
        [
            f"`{f.fingerprint}`",
            _where(f),
            plain_cell(f.actor, 40) or "Banyan",
            plain_cell(f.reason, 200) if f.actor else "not seen any more",
            f.last_seen[:16].replace("T", " "),
        ]
        for f in (each.finding for each in shown)
    ]
    return table(["difference", "where", "who says so", "why", "last seen, UTC"], rows, 5) if rows else []


# -- the rest -------------------------------------------------------------------------------------------------------


def _coverage(route: RouteReport) -> list[str]:
    coverage = route.coverage
    if coverage.share is None:
        return []
    lines = [f"{percent(coverage.share)} of legacy's traffic is of kinds of request and answer that were compared."]
    if coverage.never:
        rows = [[code_span(lack.words, 200), f"{lack.seen:,}"] for lack in coverage.never[:TOP_NEVER]]
        lines += ["", *table(["never compared", "requests"], rows, 1)]
    more = len(coverage.never) + coverage.more_never - TOP_NEVER
    return (
        [*lines, "", f"{number(more, 'more kind')} {plural(more, 'was', 'were')} never compared."]
        if more > 0
        else lines
    )


def _times(route: RouteReport) -> list[str]:
    rows = [
        [side, seconds(it.p50), seconds(it.p95), seconds(it.p99), f"{it.count:,}"] for side, it in route.latency.items()
    ]
    lines = table(["to the first byte", "p50", "p95", "p99", "answers"], rows, 1) if rows else []
    paired = route.paired
    if paired.median is not None and paired.p95 is not None and paired.p99 is not None:
        quantiles = f"median {signed(paired.median)}, p95 {signed(paired.p95)}, p99 {signed(paired.p99)}"
        late = f"slower in {share(paired.slower)}; {number(paired.would_time_out, 'pair')} would have timed out"
        what = f"The candidate's time minus legacy's, in {number(paired.count, 'pair')}"
        lines += ["", f"{what}: {quantiles}; {late}."]
    if sum(route.sizes):
        smaller, equal, larger = route.sizes
        sizes = f"much smaller in {smaller:,}, about as long in {equal:,}, much larger in {larger:,}"
        what = f"Of {number(sum(route.sizes), 'pair')} that were not the same bytes"
        lines += ["", f"{what} the candidate's body is {sizes}."]
    return lines


def signed(value: float) -> str:
    """0.0125 -> ``+12.5 ms``."""
    return f"+{seconds(value)}" if value > 0 else seconds(value)


def _rules(route: RouteReport) -> list[str]:
    rows = [[rule.name, code_span(rule.path, 80) if rule.path else "", plain_cell(rule.what)] for rule in route.rules]
    lines = table(["rule", "where", "what"], rows, 3) if rows else []
    if passed := sum(route.expected.values()):
        what = (
            f"As judged at the time, {number(passed, 'pair')} differed only in what was expected "
            f"({route.spans['expected']}; those passed by rules count as equal above)"
        )
        lines += ["", f"{what}: {counts(route.expected)}."]
    return lines
