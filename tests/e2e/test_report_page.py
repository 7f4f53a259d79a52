"""The report in Chromium, opened from a file as who gets it by mail does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import PATIENCE_MS
from playwright.sync_api import Browser, Page
from reports import whole

from proxy.control.report_html import page as render

HOSTILE = (
    "<img src=x onerror=\"document.title='got in'\"></script><script>document.title='got in'</script>\u202egnp.exe"
)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a report of a size and in a colour scheme; in the end nothing was asked for but the file, and nothing was
    complained about."""
    trouble: list[str] = []
    contexts = []

    def open_report(nasty: str = "", width: int = 1200, scheme: str = "light") -> Page:
        path = tmp_path / "report.html"
        path.write_text(render(whole(nasty)), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda asked: asked.url == f"file://{path}" or trouble.append(asked.url))
        page.goto(f"file://{path}")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.mark.parametrize("width", [1200, 400])
def test_the_verdicts_are_seen_first_and_nothing_is_wider_than_the_window(
    opened: Callable[..., Page], width: int
) -> None:
    page = opened(width=width)
    for route in ("orders-read", "reviews", "catalog-list"):
        assert page.locator(f".verdicts >> text={route}").is_visible()
    box = page.locator(".verdicts .badge").first.bounding_box()
    assert box is not None
    assert box["y"] < 250
    assert page.locator(".verdicts .badge").first.inner_text() == "✗ not ready"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [420, 560])
def test_on_a_phone_labels_paths_and_sides_can_be_read(opened: Callable[..., Page], width: int) -> None:
    page = opened(width=width)
    assert page.evaluate(_SMALLEST_LABEL) >= 9  # CSS pixels
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    path, bar = (page.locator(f"#orders-read .kinds td {what}").first.bounding_box() for what in ("code", ".bar"))
    assert path is not None
    assert bar is not None
    assert path["width"] > 250
    assert bar["x"] + bar["width"] <= width
    signs = page.evaluate(_SIGNS)
    assert set(signs["both this"]) == {'"- ""+ "'}
    assert set(signs["gone passed"]) == {'"- "'}


def test_both_sides_of_a_changed_line_have_a_bar(opened: Callable[..., Page]) -> None:
    page = opened()
    bars = "(at) => [...document.querySelector('.row.both.this').children].map((c) => getComputedStyle(c).boxShadow)"
    assert "none" not in page.evaluate(bars)


def test_the_style_of_the_page_holds_under_its_policy(opened: Callable[..., Page]) -> None:
    page = opened()
    assert page.evaluate("getComputedStyle(document.querySelector('.badge')).borderRadius") == "16px"
    assert page.locator("svg.chart").first.bounding_box() is not None


def test_differences_open_and_close(opened: Callable[..., Page]) -> None:
    page = opened()
    second = page.locator("details.difference").nth(1)
    value = second.get_by_text('"price": "19.90"')
    assert not value.is_visible()
    second.locator("summary").click()
    assert value.is_visible()
    assert second.get_by_text("it is the serialiser").is_visible()
    second.locator("summary").click()
    assert not value.is_visible()


def test_a_verdict_leads_to_its_route(opened: Callable[..., Page]) -> None:
    page = opened()
    page.locator(".verdicts a", has_text="catalog-list").click()
    assert page.url.endswith("#catalog-list")
    assert page.evaluate("document.querySelector('#catalog-list').getBoundingClientRect().top") < 50


def test_hostile_values_are_shown_and_do_nothing(opened: Callable[..., Page]) -> None:
    page = opened(HOSTILE)
    page.wait_for_load_state("networkidle")
    assert page.title() == "Migration report, 2023-11-14 22:13 UTC"
    assert page.locator("img, script").count() == 0
    assert page.locator("summary", has_text="<img src=x onerror=").count() >= 1
    assert "\u202e" not in page.content()


def test_day_and_night_differ_and_both_can_be_read(opened: Callable[..., Page]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = opened(scheme=scheme)
        colours.append(page.evaluate(_CONTRAST))
    for background, worst in colours:
        assert worst >= 4.5, (background, worst)  # WCAG 2.2, level AA for text
    assert colours[0][0] != colours[1][0]


def test_what_is_closed_on_the_screen_is_open_on_paper(opened: Callable[..., Page]) -> None:
    page = opened()
    closed = page.locator("details.difference").nth(1).locator(".sides")
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()


_SMALLEST_LABEL = """() => Math.min(...[...document.querySelectorAll('.chart text')].map((text) =>
  parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a))"""
_SIGNS = """() => {
  const found = {};
  for (const row of document.querySelectorAll('.sides .row:not(.head, .gap, .same)')) {
    const name = row.className.replace('row ', '');
    const shown = [...row.querySelectorAll('code')].filter((code) => getComputedStyle(code).display !== 'none');
    (found[name] ??= []).push(shown.map((code) => getComputedStyle(code, '::before').content).join(''));
  }
  return found;
}"""
_CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = 21;
  for (const node of document.querySelectorAll("p, td, th, dt, dd, code, summary, .badge, .count")) {
    const [one, two] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    worst = Math.min(worst, (one + 0.05) / (two + 0.05));
  }
  return [getComputedStyle(document.documentElement).backgroundColor, worst];
}"""
