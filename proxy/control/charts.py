"""Charts as inline SVG.

Law: made of numbers and of text that is escaped; no script, no style attribute, nothing to load, so that the strictest
page may hold them. Colours are classes: the page says what they are, by day, by night and on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from proxy.compare.wording import number, percent
from proxy.messages import DELTA_BUCKETS_SECONDS

WIDTH, HEIGHT = 320, 120
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 20
"""Room for labels, in units of the view box."""
MARKED = {-1.0: "1 s", -0.1: "100 ms", -0.01: "10 ms", 0.0: "equal", 0.01: "10 ms", 0.1: "100 ms", 1.0: "1 s"}
"""Bounds of differences in time that carry a label."""


def trend(
    points: Sequence[tuple[int, float | None]], title: str, words: Callable[[float], str], *, bad: bool = False
) -> Markup:
    """A line through (hour, value) points; a gap where there is no value, a dot where a value stands alone.

    Hours are seconds since the epoch. ``words`` says a value in words. ``bad``: in the colour of bad news.
    """
    known = [value for _, value in points if value is not None]
    top = max(known, default=0.0) or 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = wide / max(1, len(points) - 1)
    start = LEFT if len(points) > 1 else LEFT + wide / 2
    placed = [
        (start + step * index, TOP + high * (1 - value / top), hour, value) if value is not None else None
        for index, (hour, value) in enumerate(points)
    ]
    parts = [_frame(title), _text(LEFT - 6, TOP + 4, words(top), "end"), _text(LEFT - 6, TOP + high, words(0.0), "end")]
    parts.append(_line(LEFT, TOP, WIDTH - RIGHT, TOP, "grid"))
    parts.append(_line(LEFT, TOP + high, WIDTH - RIGHT, TOP + high, "axis"))
    colour = "bad" if bad else "line"
    for run in _runs(placed):
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in run)
        parts.append(Markup('<path class="{}" d="{}"/>').format(colour, path))
    lonely = len(known) <= 48  # hours; more dots than that are a band
    for dot in placed:
        if dot is not None:
            x, y, hour, value = dot
            radius = 2.5 if lonely else 1
            parts.append(
                Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}: {}</title></circle>').format(
                    f"dot {colour}", x, y, radius, _hour(hour, whole=True), words(value)
                )
            )
    if points:
        parts.append(_text(LEFT, HEIGHT - 5, _hour(points[0][0], whole=len(points) > 24), "start"))
        if len(points) > 1:
            parts.append(_text(WIDTH - RIGHT, HEIGHT - 5, _hour(points[-1][0], whole=len(points) > 24), "end"))
    return _svg(title, WIDTH, HEIGHT, parts)


Dot = tuple[float, float, int, float]


def _runs(placed: Sequence[Dot | None]) -> list[list[Dot]]:
    """The stretches without a gap; those of one point are shown by their dot alone."""
    runs: list[list[Dot]] = [[]]
    for dot in placed:
        if dot is None:
            runs.append([])
        else:
            runs[-1].append(dot)
    return [run for run in runs if len(run) > 1]


def deltas(buckets: Sequence[int]) -> Markup:
    """Bars of pairs by the candidate's time minus legacy's, one for each bucket of DELTA_BUCKETS_SECONDS."""
    width, height, low = 640, 170, 130
    title = "Pairs by the candidate's time minus legacy's"
    total, top = sum(buckets) or 1, max(buckets, default=0) or 1
    wide = (width - 20) / len(buckets)
    parts = [_frame(title)]
    for index, count in enumerate(buckets):
        x, tall = 10 + index * wide, (low - 18) * count / top
        slower = index > DELTA_BUCKETS_SECONDS.index(0.0)
        what = f"{_between(index)}: {number(count, 'pair')}, {percent(count / total)}"
        parts.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format("slower" if slower else "faster", x + 1, low - tall, wide - 2, tall, what)
        )
    parts.append(_line(10, low, width - 10, low, "axis"))
    for index, bound in enumerate(DELTA_BUCKETS_SECONDS):
        if bound in MARKED:
            x = 10 + (index + 1) * wide
            parts += [_line(x, low, x, low + 5, "axis"), _text(x, low + 17, MARKED[bound], "middle")]
    middle = 10 + (DELTA_BUCKETS_SECONDS.index(0.0) + 1) * wide
    parts += [
        _line(middle, 8, middle, low, "grid"),
        _text(middle - 8, 16, "candidate faster", "end"),
        _text(middle + 8, 16, "candidate slower", "start"),
    ]
    return _svg(title, width, height - 15, parts)


def _between(index: int) -> str:
    bounds = DELTA_BUCKETS_SECONDS
    if index == 0:
        return f"faster by more than {-bounds[0]:g} s"
    if index == len(bounds):
        return f"slower by more than {bounds[-1]:g} s"
    return f"{bounds[index - 1] * 1000:+g} to {bounds[index] * 1000:+g} ms"


def bar(share: float, title: str) -> Markup:
    """One horizontal bar, filled to ``share``."""
    parts = [
        _frame(title),
        Markup('<rect class="empty" x="0" y="0" width="100" height="8" rx="2"/>'),
        Markup('<rect class="full" x="0" y="0" width="{:.2f}" height="8" rx="2"/>').format(
            100 * min(1.0, max(0.0, share))
        ),
    ]
    return _svg(title, 100, 8, parts, "bar")


def _svg(title: str, width: int, height: int, parts: Sequence[Markup], name: str = "chart") -> Markup:
    head = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(name, width, height, title)
    return head + Markup("").join(parts) + Markup("</svg>")


def _frame(title: str) -> Markup:
    return Markup("<title>{}</title>").format(title)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(name, x1, y1, x2, y2)


def _hour(start: int, *, whole: bool) -> str:
    return datetime.fromtimestamp(start, UTC).strftime("%m-%d %H:%M" if whole else "%H:%M")
