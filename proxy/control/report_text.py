"""The report as Markdown.

Law: the verdict stands first, figures after it; it reads well in a terminal as it is and survives being pasted into a
change request. Everything recorded is shown as text, never as markup.
"""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.control.findings import Finding
from proxy.control.report import TOP_DIFFERENCES, Report, RouteReport, seconds, share
from proxy.telemetry.visible import code_span, plain_cell

Row = list[str]


def markdown(report: Report) -> str:
    """The whole report."""
    when = datetime.fromtimestamp(report.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"# Migration report, last {report.window_hours} h, {when}", ""]
    if not report.routes:
        return "\n".join([*lines, "No routes: everything goes to legacy.", ""])
    lines += table(["route", "next", "stage", "requests", "candidate", "match", "fallbacks"], _summary(report), 3)
    for route in report.routes:
        lines += ["", *_route(route)]
    return "\n".join([*lines, ""])


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
            route.advice.word,
            stage(route),
            f"{route.requests:,}",
            share(route.candidate_share),
            share(route.match_share),
            f"{sum(route.fallbacks.values()):,}",
        ]
        for route in report.routes
    ]


def stage(route: RouteReport) -> str:
    """``canary 10 %``; a star marks an override of the file."""
    name = route.stage if route.percent is None else f"{route.stage} {route.percent} %"
    return f"{name} *" if route.overridden_by else name


def _route(route: RouteReport) -> list[str]:
    lines = [f"## {route.route}", "", f"**{route.advice.sentence}**", ""]
    lines += [f"- {note}" for note in route.notes]
    lines.append(f"- Stage: {_stage_line(route)}")
    if not route.requests:
        return [*lines, "- Traffic: none"]
    lines.append(
        f"- Traffic: {route.requests:,} requests: {route.arms['legacy']:,} to legacy, {route.arms['candidate']:,} "
        f"to the candidate ({share(route.candidate_share)})"
    )
    lines.append(
        f"- Errors (5xx to clients): legacy {route.errors['legacy']:,}, candidate {route.errors['candidate']:,}"
    )
    lines.append(f"- Fallbacks: {_counts(route.fallbacks) or 'none'}")
    lines.append(f"- Compared: {_compared(route)}")
    if route.latency:
        lines += ["", *_latency(route)]
    if route.differences:
        lines += ["", *_differences(route.differences)]
    return lines


def _stage_line(route: RouteReport) -> str:
    name = route.stage if route.percent is None else f"{route.stage} {route.percent} %"
    if not route.overridden_by:
        return f"{name}, as the file says"
    reason = plain_cell(route.override_reason)
    return f"{name}, set by {plain_cell(route.overridden_by)} (“{reason}”); the file says {route.file_stage}"


def _compared(route: RouteReport) -> str:
    verdicts = route.verdicts
    judged = verdicts["matched"] + verdicts["ignored"] + verdicts["mismatched"]
    parts = []
    if judged:
        parts.append(
            f"{judged:,} pairs, {share(route.match_share)} match ({verdicts['matched']:,} matched, "
            f"{verdicts['ignored']:,} ignored, {verdicts['mismatched']:,} mismatched)"
        )
    else:
        parts.append("nothing")
    if verdicts["incomparable"]:
        parts.append(f"{verdicts['incomparable']:,} incomparable ({_counts(route.incomparable)})")
    if route.dropped:
        parts.append(f"dropped: {_counts(route.dropped)}")
    return "; ".join(parts)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{key} {n:,}" for key, n in sorted(counts.items(), key=lambda item: -item[1]))


def _latency(route: RouteReport) -> list[str]:
    rows = [
        [side, seconds(it.p50), seconds(it.p95), seconds(it.p99), f"{it.count:,}"] for side, it in route.latency.items()
    ]
    return table(["to the first byte", "p50", "p95", "p99", "answers"], rows, 1)


def _differences(findings: list[Finding]) -> list[str]:
    rows = [
        [
            f"`{f.fingerprint}`",
            f"{f.kind} {code_span(f.path, 60)}",
            code_span(f.legacy, 40),
            code_span(f.candidate, 40),
            f"{f.count:,}",
            share(f.share),
        ]
        for f in findings[:TOP_DIFFERENCES]
    ]
    lines = table(["difference", "where", "legacy, for example", "candidate", "pairs", "share"], rows, 4)
    since = min(f.first_seen for f in findings)[:16].replace("T", " ")
    lines += ["", f"Pairs and shares in this table are of the whole diff log; first seen {since} UTC."]
    if len(findings) > TOP_DIFFERENCES:
        lines += ["", f"{len(findings) - TOP_DIFFERENCES} more: `banyan diffs {findings[0].route}`."]
    return lines
