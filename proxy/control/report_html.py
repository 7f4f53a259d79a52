"""The report as one HTML file.

Law: self-contained. It loads nothing, runs nothing and asks nobody: the style is inside and named by its hash in the
policy, charts are inline SVG. Everything recorded is text: escaped, and with whatever is invisible or turns the reading
direction spelled out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proxy import __version__
from proxy.compare.evidence import counts
from proxy.compare.wording import number, percent, plural, seconds, share, until
from proxy.control import charts
from proxy.control.findings import LAST_COMMENTS
from proxy.control.marked import SIGNS, WORDS
from proxy.control.report import Report, RouteReport
from proxy.control.report_figures import begun, stamp
from proxy.control.report_text import OTHER_PAIRS, STATES, VERDICTS, criteria, others, signed, stage, told_at, uncovered
from proxy.telemetry.visible import visible

TEMPLATES = Path(__file__).parent / "templates"
MAX_SHOWN = 2000
"""Characters of one recorded value."""

KINDS = {
    "error": "one side did not answer",
    "timeout": "one side was too late",
    "status-class": "success on one side, failure or redirect on the other",
    "status": "another status code",
    "redirect": "a redirect that leads elsewhere",
    "content-type": "another media type",
    "cookie": "another cookie, or other attributes of one",
    "missing": "legacy has it, the candidate does not",
    "type": "of another type, as a text instead of a number",
    "extra": "the candidate has it, legacy does not",
    "size": "a list of another length",
    "order": "the same items in another order",
    "format": "written in another form",
    "header": "another header value",
    "value": "another value",
    "text": "another text",
    "digest": "other bytes",
}
"""Kinds of difference, in words for whoever reads the first report."""


def page(report: Report) -> str:
    """The whole report."""
    return _environment().get_template("report.html").render(report=report, style=Markup(_style()), policy=policy())  # noqa: S704 - our own file


def policy() -> str:
    """The content security policy of the page: nothing but its own style."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "shown": lambda text: visible(text, MAX_SHOWN),
        "visible": visible,
        "percent": percent,
        "most": lambda value: percent(value, up=True),
        "share": share,
        "seconds": seconds,
        "signed": signed,
        "stamp": stamp,
        "minute": lambda text: visible(text, 40)[:16].replace("T", " "),
        "until": until,
        "counts": counts,
        "code": _code,
        "figure": lambda value: f"{value:,}",
    }
    environment.globals |= {
        "charts": charts, "number": number, "plural": plural, "stage": stage, "told_at": told_at,
        "trends": _trends, "KINDS": KINDS, "STATES": STATES, "begun": begun, "criteria": criteria,
        "VERDICTS": VERDICTS, "SIGNS": SIGNS, "WORDS": WORDS, "others": others, "names_at": _names_at,
        "version": __version__, "uncovered": uncovered, "OTHER_PAIRS": OTHER_PAIRS, "LAST_COMMENTS": LAST_COMMENTS,
    }  # fmt: skip
    return environment


def _names_at(told: dict[str, str], first: str) -> set[str]:
    """The differences whose recorded pair is shown at ``first``."""
    return {name for name, at in told.items() if at == first}


def _code(text: str) -> Markup:
    """A sentence in which what stands in backticks is a command."""
    parts = re.split(r"`([^`]*)`", visible(text, MAX_SHOWN))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else Markup("{}").format(part)
        for index, part in enumerate(parts)
    )


def _trends(route: RouteReport) -> list[tuple[str, Markup]]:
    """Title and chart of each figure that has a course."""
    hours = route.trend

    def whole(value: float) -> str:
        return f"{value:,.0f}"

    return [
        (
            "Mismatches, of compared pairs",
            charts.trend(
                [(h.start, h.mismatch_share) for h in hours], "Share of mismatches by the hour", percent, bad=True
            ),
        ),
        (
            "Requests an hour",
            charts.trend([(h.start, float(h.requests)) for h in hours], "Requests by the hour", whole),
        ),
        (
            "Fallbacks and errors an hour",
            charts.trend(
                [(h.start, float(h.fallbacks + h.errors)) for h in hours],
                "Fallbacks and 5xx by the hour",
                whole,
                bad=True,
            ),
        ),
    ]
