"""One file that loads nothing, and in which nothing recorded is markup."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from reports import DIFFERING, FINGERPRINT, facts, finding, pair, report, whole

from proxy.compare.result import WEIGHTS
from proxy.config.comparing import Compare
from proxy.control import charts
from proxy.control.report_figures import paired_of, rules_in_force, sizes_of, trend_of
from proxy.control.report_html import KINDS, page, policy
from proxy.control.report_samples import MAX_ROWS, around, side_by_side_of
from proxy.messages import DELTA_BUCKETS_SECONDS, Paired, RouteCounters
from proxy.store.evidence import PairCounts
from proxy.store.tally import Tally

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u202c",
    "\x00\x1b[31m\udcff",
    "</details></section><h1>Ready</h1>",
    "<!-- ",
    "&lt;b&gt;&amp;",
    "שלום",
    "`code` *b*",
]

VOID = {"meta", "link"}


class Reader(HTMLParser):
    """Tags with their attributes, and whether they are closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("nasty", ["", *HOSTILE])
def test_the_page_is_well_formed_whatever_was_recorded(nasty: str) -> None:
    read = Reader(page(whole(nasty)))
    assert read.open == []
    plain = Reader(page(whole()))
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in read.tags] == [set(attributes) for _, attributes in plain.tags]


def test_hostile_values_are_there_as_text() -> None:
    text = Reader(page(whole(HOSTILE[0]))).text
    assert text.count(HOSTILE[0]) >= 10


@pytest.mark.parametrize("nasty", HOSTILE)
def test_nothing_invisible_reaches_the_page(nasty: str) -> None:
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page(whole(nasty))
    )


def test_the_page_loads_and_runs_nothing() -> None:
    made = page(whole())
    tags = Reader(made).tags
    assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "embed", "img", "image", "use", "form", "base"}
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset")], tag
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in made.replace("http-equiv", "")


def test_the_policy_names_the_style_by_its_hash_and_allows_nothing_else() -> None:
    made = page(whole())
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    wanted = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    assert policy() == wanted
    (stated,) = [a["content"] for _, a in Reader(made).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert stated == wanted
    assert made.index("http-equiv") < made.index("<style>")


def test_the_verdicts_come_before_everything_else() -> None:
    text = Reader(page(whole())).text
    first = text.index("Not ready: 3 kinds of difference are open")
    assert first < text.index("What was asked for") < text.index("$.items[*].price") < text.index("Over time")


def test_every_part_says_of_which_time_it_is() -> None:
    made = page(whole())
    assert len(re.findall("<h3>", made)) == len(re.findall('<h3>[^<]+<span class="span">[^<]+</span></h3>', made)) > 10


def test_each_difference_can_be_opened_and_names_both_values() -> None:
    made = page(report(facts(DIFFERING, [finding()])))
    assert made.count("<details") == 1
    assert Reader(made).text.count("$.total") == 2  # the difference, and the rule for its tolerance
    assert FINGERPRINT in made


def test_a_pair_that_shows_several_differences_is_printed_once() -> None:
    shown = [finding("$.a"), finding("$.b", fingerprint="ab0000000001")]
    made = page(report(facts(DIFFERING, shown, pairs={each.fingerprint: pair() for each in shown})))
    assert made.count('aria-label="The answers of both sides"') == 1
    assert f'stands at <a href="#d-{FINGERPRINT}">' in made
    assert made.count(f'id="d-{FINGERPRINT}"') == 1


def test_every_kind_is_explained() -> None:
    assert set(KINDS) == set(WEIGHTS)


def test_a_report_without_routes_says_where_everything_goes() -> None:
    assert "No routes: everything goes to legacy." in Reader(page(report())).text


def test_the_templates_are_shipped() -> None:
    settings = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert '"control/templates/*"' in settings


# -- charts ---------------------------------------------------------------------------------------------------------


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    chart = charts.trend([(0, 0.1), (3600, 0.2), (7200, None), (10800, 0.3), (14400, 0.3)], "t", str)
    assert chart.count("<path") == 2
    assert chart.count("<circle") == 4


@pytest.mark.parametrize("points", [[], [(0, None)], [(0, 0.0)], [(0, 5.0)], [(0, None), (3600, 1.0), (7200, None)]])
def test_a_line_of_nothing_or_of_one_point_is_a_chart_still(points: list[tuple[int, float | None]]) -> None:
    assert charts.trend(points, "t", str).endswith("</svg>")


def test_a_chart_escapes_its_words() -> None:
    assert "<b>" not in charts.trend([(0, 1.0)], "<b>", lambda _: "<b>")
    assert "<b>" not in charts.bar(0.5, "<b>")


def test_bars_stand_for_the_pairs_in_their_bucket() -> None:
    deltas = [0] * (len(DELTA_BUCKETS_SECONDS) + 1)
    deltas[0], deltas[13], deltas[-1] = 1, 8, 1
    chart = charts.deltas(deltas)
    assert "faster by more than 10 s: 1 pair, 10 %" in chart
    assert "-1 to +0 ms: 8 pairs, 80 %" in chart
    assert "slower by more than 10 s: 1 pair, 10 %" in chart
    assert chart.count('class="slower"') == 14


# -- what the page is made of ---------------------------------------------------------------------------------------


def test_paired_times_are_told_as_exactly_as_the_buckets() -> None:
    deltas = [0] * (len(DELTA_BUCKETS_SECONDS) + 1)
    deltas[13], deltas[14], deltas[17] = 50, 30, 20  # -1 to 0 ms, 0 to 1 ms, 5 to 10 ms
    found = paired_of(
        RouteCounters(shadow={"compared": 90, "sent-to-comparator": 20}, paired=Paired(deltas, 0.15, 3, 1, 2))
    )
    assert (found.pairs, found.count, found.mean, found.would_time_out) == (110, 100, 0.0015, 3)
    assert found.median == 0.0
    assert found.p95 == pytest.approx(0.00875)
    assert found.slower == 0.2  # within a millisecond nobody is slower
    nothing = paired_of(RouteCounters())
    assert (nothing.count, nothing.mean, nothing.median, nothing.slower) == (0, None, None, None)


def test_a_far_faster_candidate_has_the_bound_that_is_known() -> None:
    deltas = [0] * (len(DELTA_BUCKETS_SECONDS) + 1)
    deltas[0] = 5
    assert paired_of(RouteCounters(paired=Paired(deltas))).median == -10.0


def test_the_course_begins_with_the_first_hour_that_has_anything_and_leaves_no_hour_out() -> None:
    quiet, busy = (
        Tally(),
        Tally(RouteCounters(requests={"GET 200 legacy": 3, "GET 503 candidate": 2}, fallbacks={"reset": 1})),
    )
    pairs = {7200: PairCounts(3, 1, [(frozenset({"a"}), 2), (frozenset({"a", "b"}), 4)])}
    found = trend_of(100.0, 14_500.0, {3600: busy, 14_400: quiet}, pairs, frozenset({"a"}))
    assert [hour.start for hour in found] == [3600, 7200, 10_800, 14_400]
    assert (found[0].requests, found[0].errors, found[0].fallbacks, found[0].mismatch_share) == (5, 2, 1, None)
    assert (found[1].compared, found[1].mismatched, found[1].incomparable) == (9, 4, 1)  # "a" is expected
    assert trend_of(8000.0, 14_500.0, {3600: busy}, {}, frozenset())[0].start == 7200
    assert [hour.start for hour in trend_of(0.0, 14_500.0, {}, {}, frozenset())] == [14_400]


def test_sizes_fall_into_three_kinds() -> None:
    assert sizes_of([1] * 13) == [4, 5, 4]


def test_rules_in_force_name_what_was_not_compared() -> None:
    compare = Compare.model_validate(
        {
            "headers": [], "mode": "subset", "ignore": ["$.a"], "unordered": {"$.b": None, "$.c": "id"},
            "tolerance": {"$.d": "1%"}, "match": {"$.e": "uuid", "$.f": {"timestamp": "2s"}, "$.g": {"regex": "a+"}},
            "rename": {"$.h": "$.i.h"}, "map": {"$.j": {"ACTIVE": "active"}},
        }
    )  # fmt: skip
    assert [(rule.name, rule.path, rule.what) for rule in rules_in_force(compare)] == [
        ("headers", "", "compared: none"),
        ("mode", "", "the candidate may say more"),
        ("ignore", "$.a", "not compared"),
        ("unordered", "$.b", "in any order"),
        ("unordered", "$.c", "items paired by id"),
        ("tolerance", "$.d", "may differ by 1%"),
        ("match", "$.e", "both look like: uuid"),
        ("match", "$.f", "timestamps at most 2 s apart"),
        ("match", "$.g", "both fit a+"),
        ("rename", "$.h", "is $.i.h at the candidate"),
        ("map", "$.j", "ACTIVE is active"),
    ]


def test_of_a_long_pair_only_what_is_to_be_looked_at_is_kept() -> None:
    rows = [[" ", str(n), str(n), ""] for n in range(100)]
    rows[50] = ["~", "a", "b", "own"]
    rows[80] = ["~", "c", "d", "ignored"]
    kept = around(rows, "own")
    assert [row[0] for row in kept] == ["…", " ", " ", " ", "~", " ", " ", " ", "…"]
    assert kept[4] == ["~", "a", "b", "own"]
    assert around([[" ", "a", "a", ""]], "own") == []
    many = around([["~", "x" * 1000, "y", "own"]] * 500, "own")
    assert len(many) == MAX_ROWS + 1
    assert many[-1][0] == "…"
    assert len(many[0][1]) == 200


def test_what_is_ignored_is_kept_where_nothing_else_differs() -> None:
    assert [row[3] for row in around([["~", "a", "b", "ignored"]], "own")] == ["ignored"]


def test_a_block_beside_the_difference_is_shown_whole_or_not_at_all() -> None:
    own = ["~", "a", "b", "own"]
    for size, shown in ((1, 1), (6, 6), (7, 0)):
        rows = [["-", str(n), "", "accepted"] for n in range(size)] + [own]
        assert [row[3] for row in around(rows, "own")] == ["accepted"] * shown + [""] * (size > shown) + ["own"]


def test_the_difference_of_the_pair_is_kept_before_many_others() -> None:
    rows = [["~", "a", "b", "other"] for _ in range(100)] + [["~", "c", "d", "own"]]
    assert around(rows, "own")[-1] == ["~", "c", "d", "own"]


def test_only_the_difference_that_a_pair_is_shown_for_is_marked_strongly() -> None:
    shown = msgspec.structs.replace(pair(), rows=[
        ["~", "1", "2", FINGERPRINT], ["~", "3", "4", "ignored"], ["~", "5", "6", "ffffffffffff"], ["~", "7", "8", "?"],
    ])  # fmt: skip
    made = page(report(facts(DIFFERING, [finding()], pairs={FINGERPRINT: shown})))
    assert re.findall(r'class="row ([a-z ]+)" role="row"><code role="cell">(\d)', made) == [
        ("both this", "1"), ("both passed", "3"), ("both other", "5"), ("both other", "7"),
    ]  # fmt: skip
    assert re.findall(r'class="word" role="cell">([a-z]+)<', made) == ["ignored", "other", "unknown"]
    assert "ignored: a rule ignores it." in made
    assert "other: another open difference of this pair (<code>ffffffffffff</code>)" in made


def test_a_record_of_another_release_is_no_pair() -> None:
    assert side_by_side_of({}, {}) is None
    assert side_by_side_of({"id": "1", "at": "x", "request": None}, {}) is None
