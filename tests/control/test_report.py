"""What to do next, and that no data never looks like success."""

import json
import re

import msgspec
import pytest

from proxy.config.model import Settings
from proxy.control.findings import Finding
from proxy.control.report import Report, build, percentile, seconds, share
from proxy.control.report_text import markdown
from proxy.core.stages import effective
from proxy.messages import CompareCounters, Histogram, Override, RouteCounters
from proxy.store.tally import Tally


def settings(stage: str = "shadow", percent: str = "10%") -> Settings:
    return Settings.model_validate(
        {
            "upstreams": {
                "monolith": {"endpoints": ["http://127.0.0.1:1"]},
                "orders": {"endpoints": ["http://127.0.0.1:2"]},
            },
            "legacy": "monolith",
            "routes": [
                {
                    "id": "orders-read",
                    "match": {"path": "/orders"},
                    "candidate": "orders",
                    "stage": stage,
                    "canary": {"percent": percent},
                }
            ],
        }
    )


def finding(count: int = 51, legacy: str = "19.90", path: str = "$.total") -> Finding:
    return Finding(
        fingerprint="0123456789ab",
        route="orders-read",
        kind="type",
        path=path,
        count=count,
        share=0.041,
        state="new",
        first_seen="2023-11-14T22:00:00.000Z",
        last_seen="2023-11-14T22:10:00.000Z",
        samples=["7"],
        legacy=legacy,
        candidate='"19.90"',
    )


def tally(*, requests: int = 1000, matched: int = 0, arm: str = "legacy", status: int = 200, **more: object) -> Tally:
    histogram = Histogram()
    histogram.counts[4] = requests
    verdicts = more.pop("verdicts", {})
    incomparable = more.pop("incomparable", {})
    traffic = RouteCounters(
        requests={f"GET {status} {arm}": requests} if requests else {},
        upstream_durations={"monolith": histogram},
        matched=matched,
    )
    for name, value in more.items():
        setattr(traffic, name, value)
    return Tally(traffic, CompareCounters(verdicts, incomparable))  # type: ignore[arg-type]  # both are dicts


def report(tally: Tally, findings: list[Finding] | None = None, stage: str = "shadow", percent: str = "10%") -> Report:
    serving = settings(stage, percent)
    return build(1_700_000_000.0, 24, (serving, serving), [], {"orders-read": tally}, findings or [])


def advice(tally: Tally, **more: object) -> str:
    return report(tally, **more).routes[0].advice.sentence  # type: ignore[arg-type]  # passed on


def test_differences_hold_and_name_where_to_look() -> None:
    said = advice(tally(matched=1189, verdicts={"mismatched": 51}), findings=[finding()])
    assert said == "Hold: 1 kind of difference in 4.1 % of 1,240 pairs; look at `banyan diffs show 0123456789ab`."


def test_differences_at_live_mention_the_way_back() -> None:
    said = advice(tally(matched=1189, verdicts={"mismatched": 51}, arm="candidate"), stage="live")
    assert "`banyan rollback orders-read`" in said


def test_no_traffic_is_no_data() -> None:
    assert advice(tally(requests=0)).startswith("No data: no request")


def test_traffic_without_pairs_is_no_data_and_has_no_match_share() -> None:
    made = report(tally(shadow_dropped={"memory": 4}))
    assert made.routes[0].advice.sentence == (
        "No data: 1,000 requests, but no pair was compared; 4 shadows were dropped."
    )
    assert made.routes[0].match_share is None
    assert markdown(made).split("##")[0].split("orders-read")[1].split("|")[5].strip() == "-"


def test_few_pairs_wait() -> None:
    assert advice(tally(matched=12)).startswith("Wait: only 12 pairs")


def test_mostly_incomparable_holds() -> None:
    made = tally(matched=200, verdicts={"incomparable": 900}, incomparable={"budget": 900})
    assert advice(made) == "Hold: 900 pairs could not be compared (mostly budget), only 200 could."


def test_fallbacks_hold_even_when_all_pairs_match() -> None:
    assert advice(tally(matched=500, fallbacks={"timeout": 3, "reset": 1}), stage="canary") == (
        "Hold: legacy had to answer 4 times for the candidate, mostly for timeout."
    )


def test_errors_of_the_candidate_hold() -> None:
    assert advice(tally(matched=500, arm="candidate", status=500), stage="live").startswith("Hold: 1,000 of the")


@pytest.mark.parametrize(
    ("stage", "percent", "words"),
    [
        ("shadow", "0%", "canary --percent 1 "),
        ("canary", "1%", "canary --percent 5 "),
        ("canary", "30%", "canary --percent 50 "),
        ("canary", "100%", "banyan stage orders-read live"),
        ("live", "0%", "keep it live"),
    ],
)
def test_equal_pairs_lead_to_the_next_step(stage: str, percent: str, words: str) -> None:
    said = advice(tally(matched=1200), stage=stage, percent=percent)
    assert words in said
    assert "all 1,200 pairs are equal (so at most 0.2 % may differ, at 95 %)" in said


def test_route_at_legacy_is_told_how_to_begin() -> None:
    assert "banyan stage orders-read shadow" in advice(tally(), stage="legacy")


def test_override_shows_with_its_author_and_the_stage_of_the_file() -> None:
    filed = settings("shadow")
    override = Override("orders-read", "canary", 25, 1, "ann", "first users", 1.0)
    made = build(1.0, 24, (effective(filed, [override]), filed), [override], {"orders-read": tally()}, [])
    text = markdown(made)
    assert "canary 25 % *" in text
    assert "set by ann (“first users”); the file says shadow" in text


def test_override_that_says_what_the_file_says_is_no_difference() -> None:
    filed = settings("shadow")
    override = Override("orders-read", "shadow", None, 1, "ann", "x", 1.0)
    assert build(1.0, 24, (filed, filed), [override], {}, []).routes[0].overridden_by == ""


def test_markdown_puts_the_verdict_first_and_shows_an_example() -> None:
    text = markdown(report(tally(matched=1189, verdicts={"mismatched": 51}, fallbacks={"reset": 2}), [finding()]))
    assert text.index("**Hold:") < text.index("- Traffic:") < text.index("`$.total`")
    assert "95.9 % match (1,189 matched, 0 ignored, 51 mismatched)" in text
    assert '`"19.90"`' in text
    assert "Fallbacks: reset 2" in text


@pytest.mark.parametrize("nasty", ["\x1b[31mred", "a\nb", "x|y", "`code`", "\u202etxt", "</script>", "\udcff"])
def test_recorded_values_cannot_break_the_table_or_the_terminal(nasty: str) -> None:
    text = markdown(report(tally(verdicts={"mismatched": 1}), [finding(legacy=nasty, path=nasty)]))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udc00-\udfff]", text)
    row = next(line for line in text.splitlines() if "0123456789ab" in line and line.startswith("|"))
    assert len(re.split(r"(?<!\\)\|", row)) == 8


def test_table_rows_are_of_one_width() -> None:
    text = markdown(report(tally(matched=1189, verdicts={"mismatched": 51}), [finding()]))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1


def test_report_is_json() -> None:
    made = json.loads(msgspec.json.encode(report(tally(matched=200))))
    assert made["routes"][0]["route"] == "orders-read"
    assert made["routes"][0]["match_share"] == 1.0
    assert made["routes"][0]["latency"]["legacy"]["count"] == 1000


def test_percentiles_interpolate_and_stop_at_the_last_bound() -> None:
    histogram = Histogram()
    assert percentile(histogram, 0.5) == 0.0
    histogram.counts[3] = 100  # 5 to 10 ms
    assert percentile(histogram, 0.5) == pytest.approx(0.0075)
    histogram.counts[-1] = 900
    assert percentile(histogram, 0.99) == 10.0
    assert seconds(10.0) == "≥ 10 s"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0 %"), (0.00001, "< 0.1 %"), (0.0413, "4.1 %"), (0.99999, "> 99.9 %"), (1.0, "100 %")],
)
def test_little_is_not_nothing_and_almost_all_is_not_all(value: float | None, shown: str) -> None:
    assert share(value) == shown
