"""What to do next, and that no data never looks like success."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from reports import AT, DIFFERING, FINGERPRINT, NOTHING, facts, finding, good, pair, report, settings, tally, whole

from proxy.compare.evidence import Evidence
from proxy.config.model import Route
from proxy.control.marked import SIGNS
from proxy.control.report import Facts, RouteReport
from proxy.control.report_figures import Hour
from proxy.control.report_html import page
from proxy.control.report_text import markdown
from proxy.core.stages import effective
from proxy.messages import Override


def only(*known: Facts) -> RouteReport:
    (found,) = report(*known).routes
    return found


# -- what to do next ------------------------------------------------------------------------------------------------


def test_open_differences_hold_and_say_where_to_look() -> None:
    found = only(facts(DIFFERING, [finding()]))
    assert found.advice.word == "hold"
    assert found.advice.sentence == "Look at the differences (`banyan diffs orders-read`), fix or accept them."


@pytest.mark.parametrize("stage", ["canary", "live"])
def test_what_users_get_mentions_the_way_back(stage: str) -> None:
    assert "think of `banyan rollback orders-read" in only(facts(DIFFERING, stage=stage)).advice.sentence


def test_nothing_compared_is_no_data() -> None:
    found = only(facts(NOTHING, tally=tally(0)))
    assert found.advice.word == "no data"
    assert found.match_share is None
    assert "- Compared: nothing" in markdown(report(facts(NOTHING, tally=tally(0))))


def test_evidence_that_began_anew_waits() -> None:
    anew = msgspec.structs.replace(NOTHING, requests=9, restarted="the rules of comparing changed")
    assert only(facts(anew)).advice.sentence == "Wait for 2,995 more comparisons, or send traffic."


def test_few_pairs_wait_for_as_many_as_are_missing() -> None:
    assert only(facts(good(equal=1000))).advice.sentence == "Wait for 1,995 more comparisons, or send traffic."


@pytest.mark.parametrize(
    ("stage", "percent", "words"),
    [
        ("shadow", "0%", "canary --percent 1 "),
        ("canary", "1%", "canary --percent 5 "),
        ("canary", "30%", "canary --percent 50 "),
        ("canary", "100%", "banyan stage orders-read live"),
        ("live", "0%", "Keep it live"),
    ],
)
def test_ready_leads_to_the_next_step(stage: str, percent: str, words: str) -> None:
    found = only(facts(good(), stage=stage, percent=percent))
    assert (found.readiness.verdict, found.advice.word) == ("ready", "go on")
    assert words in found.advice.sentence


def test_route_at_legacy_is_told_how_to_begin() -> None:
    assert "banyan stage orders-read shadow" in only(facts(good(), stage="legacy")).advice.sentence


def test_route_without_a_candidate_has_nothing_to_do() -> None:
    route = Route.model_validate({"id": "old", "match": {"path": "/old"}})
    known = facts(msgspec.structs.replace(NOTHING, candidate=False), stage="legacy", route=route)
    assert only(known).advice.word == "legacy only"


@pytest.mark.parametrize("stage", ["shadow", "canary", "live", "retired", "legacy"])
@pytest.mark.parametrize("evidence", [good(), DIFFERING, NOTHING, good(equal=10), good(fallbacks={"reset": 9})])
def test_advice_never_goes_on_against_the_verdict(evidence: Evidence, stage: str) -> None:
    found = only(facts(evidence, stage=stage))
    assert (found.advice.word == "go on") == (found.readiness.verdict == "ready")
    assert (found.advice.word == "hold") == (found.readiness.verdict == "not-ready")


def test_the_worst_route_comes_first() -> None:
    made = report(facts(good()), facts(NOTHING), facts(DIFFERING))
    assert [route.advice.word for route in made.routes] == ["hold", "no data", "go on"]


# -- what is shown --------------------------------------------------------------------------------------------------


def test_differences_stand_by_weight_then_count_and_apart_by_state() -> None:
    found = only(
        facts(
            DIFFERING,
            [
                finding(fingerprint="value", weight=30, count=900),
                finding(fingerprint="status", weight=80, count=1),
                finding(fingerprint="often", weight=60, count=50),
                finding(fingerprint="seldom", weight=60, count=5),
                finding(fingerprint="again", weight=20, state="regressed"),
                finding(fingerprint="noise", noisy=True),
                finding(fingerprint="fine", state="accepted"),
                finding(fingerprint="gone", state="fixed"),
            ],
        )
    )
    shown = {
        name: [each.finding.fingerprint for each in getattr(found, name)]
        for name in ("differences", "noise", "accepted", "fixed")
    }
    assert shown == {
        "differences": ["status", "often", "seldom", "value", "again"],
        "noise": ["noise"],
        "accepted": ["fine"],
        "fixed": ["gone"],
    }


def test_more_differences_than_are_listed_are_counted_by_their_state() -> None:
    many = [finding(fingerprint=f"{number:012x}") for number in range(60)]
    many += [finding(fingerprint=f"f{number:011x}", state="accepted", actor="ann") for number in range(51)]
    known = facts(DIFFERING, many, kinds={"open": 700, "accepted": 51, "noise": 0})  # not all of them were described
    found = only(known)
    assert len(found.differences) == len(found.accepted) == 50
    assert found.not_listed == {"differences": 650, "accepted": 1, "noise": 0, "fixed": 0}
    text, html = markdown(report(known)), page(report(known))
    assert re.findall("^(.*) more: `(.*)`", text, re.MULTILINE) == [
        ("680", "banyan diffs orders-read --state open"), ("1", "banyan diffs orders-read --state accepted"),
    ]  # fmt: skip
    assert re.findall("<p>(.*) of difference more: <code>(.*)</code>", html) == [
        ("650 kinds", "banyan diffs orders-read --state open"), ("1 kind", "banyan diffs orders-read --state accepted"),
    ]  # fmt: skip


def test_override_shows_with_its_author_and_the_stage_of_the_file() -> None:
    filed = settings("shadow")
    override = Override("orders-read", "canary", 25, 1, "ann", "first users", 1.0)
    serving = effective(filed, [override])
    text = markdown(report(facts(NOTHING, route=serving.routes[0], file_stage="shadow", override=override)))
    assert "canary 25 % *" in text
    assert "set by ann (“first users”); the file says shadow" in text


def test_override_that_says_what_the_file_says_is_no_difference() -> None:
    override = Override("orders-read", "shadow", None, 1, "ann", "x", 1.0)
    assert only(facts(NOTHING, override=override)).overridden_by == ""


def test_markdown_puts_the_verdict_first_and_shows_an_example() -> None:
    text = markdown(report(facts(DIFFERING, [finding()], pairs={"0123456789ab": pair()})))
    assert text.index("**Not ready:") < text.index("- Traffic (last 24 h):") < text.index("`$.total`")
    assert '- "total": 19.90\n+ "total": "19.90"' in text
    assert "`GET /orders?id=1`: legacy 200, 12 ms; candidate 200, 9.3 ms" in text


def test_markdown_lists_the_criteria_of_ready_routes_too() -> None:
    text = markdown(report(facts(good())))
    part = text.partition("### What was asked for (")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = {
        row[1]: (row[0], row[2]) for row in ([c.strip() for c in x.strip("|").split("|")] for x in part.split("\n"))
    }
    assert rows["`compared`"] == ("met", "4,000 pairs compared; 1,000 were asked for.")
    assert rows["`coverage`"][0] in ("met", "does not apply")
    assert {"`mismatch_below`", "`judged`", "`error_delta_below`", "`p99_ratio_below`"} < set(rows)


def test_a_pair_that_shows_several_differences_is_printed_once() -> None:
    names = ["a" * 12, "b" * 12, "c" * 12]
    again = pair(identity="8")
    shown = [finding(f"$.{name[0]}", fingerprint=name) for name in names]
    other = pair('"vat": 1', '"vat": 2', "9")
    text = markdown(report(facts(DIFFERING, shown, pairs=dict(zip(names, [pair(), again, other], strict=True)))))
    assert text.count('+ "total": "19.90"') == 1
    assert f"`{names[0]}`, `{names[1]}`: `GET /orders?id=1`" in text
    assert f"\n`{names[2]}`: `GET /orders?id=1`" in text


def test_markdown_tells_who_fixed_what_and_why() -> None:
    said = finding(state="fixed", actor="ann", reason="deployed 1.2")
    found = finding(fingerprint="ab0123456789", state="fixed", actor="", reason="")
    text = markdown(report(facts(good(), [said, found])))
    assert re.search(r"\| ann +\| deployed 1\.2 +\| 2023-11-14 22:10 \|", text)
    assert re.search(r"\| Banyan +\| not seen any more +\|", text)


def test_evidence_is_dated_by_its_first_pair() -> None:
    text = markdown(report(facts(good(since=AT - 86_400, first=AT - 600))))
    assert "- Compared (evidence since 2023-11-14 22:03 UTC): 4,000 pairs" in text
    assert "2023-11-13" not in text


def test_every_figure_says_of_which_time_it_is() -> None:
    made = whole()
    for route in made.routes:
        figures = set(route.__struct_fields__) - {
            "route", "spans", "advice", "stage", "percent", "file_stage", "overridden_by", "override_reason",
            "candidate", "not_listed", "rules",
        }  # fmt: skip
        assert set(route.spans) == figures
    spans = "last 24 h|evidence since [-0-9 :]+ UTC|no pair since [-0-9 :]+ UTC|all that is recorded|now"
    text = markdown(made)
    headings = [line for line in re.findall("^### (.*)$", text, re.MULTILINE) if line != "Recorded pairs"]
    assert {bool(re.fullmatch(rf".* \(({spans})\)", line)) for line in headings} == {True}
    lines = [line for line in text.splitlines() if re.match("- (Traffic|Errors|Fallbacks|Shadows|Compared|Not)", line)]
    assert len(lines) > 3
    assert [line for line in lines if not re.search(rf"({spans})\)", line)] == [
        line for line in lines if line.startswith("- Shadows carry")
    ]


def test_a_route_without_a_pair_says_since_when() -> None:
    assert only(facts(NOTHING, tally=tally(0))).spans["readiness"].startswith("no pair since ")


def test_reasons_of_another_time_do_not_stand_beside_the_pairs_of_the_evidence() -> None:
    made = tally()
    made.compare.incomparable = {"too-large": 40}
    text = markdown(report(facts(good(incomparable=3, first=AT - 600), tally=made)))
    assert "- Not comparable (evidence since 2023-11-14 22:03 UTC): 3 pairs\n" in text
    assert "- Why not comparable (last 24 h): " in text


def test_markdown_lists_criteria_that_are_not_met_first() -> None:
    text = markdown(report(facts(DIFFERING, [finding()])))
    part = text.partition("### What was asked for (")[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()
    states = [line.split("|")[1].strip() for line in part[2:]]
    assert states[0] == "not met"
    assert states[-1] in ("met", "does not apply")
    assert states == sorted(states, key=["not met", "not known yet", "met", "does not apply"].index)


def test_markdown_tells_who_accepted_what_and_until_when() -> None:
    fine = finding(state="accepted", actor="ann", reason="agreed in OPS-7", until="2030-01-01T00:00:00.000Z")
    text = markdown(report(facts(good(), [fine])))
    row = next(line for line in text.splitlines() if "OPS-7" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "`0123456789ab`", "type `$.total`", "ann", "agreed in OPS-7", "2029-12-31", "51",
    ]  # fmt: skip
    assert "### Differences" not in text


def test_markdown_tells_both_rates_of_noise() -> None:
    text = markdown(report(facts(good(), [finding(noisy=True, rate=0.31, noise_rate=0.29)])))
    assert re.search(r"\| +31 % \| +29 % \|", text)


def test_markdown_names_the_rules_in_force() -> None:
    text = markdown(report(facts(good())))
    assert re.search(r"\| ignore +\| `\$\.at` +\| not compared", text)
    assert re.search(r"\| tolerance +\| `\$\.total` +\| may differ by 0\.01", text)


NASTY = ["\x1b[31mred", "a\nb", "x|y", "`code`", "\u202etxt", "</script>", "\udcff", "```\n# title", "| a |"]


@pytest.mark.parametrize("nasty", NASTY)
def test_recorded_values_cannot_break_the_table_or_the_terminal(nasty: str) -> None:
    shown = finding(legacy=nasty, path=nasty, actor=nasty, reason=nasty)
    accepted = finding(fingerprint="ab0123456789", legacy=nasty, path=nasty, state="accepted", reason=nasty)
    hostile = pair(nasty, nasty)
    hostile.target = nasty
    text = markdown(report(facts(DIFFERING, [shown, accepted], pairs={"0123456789ab": hostile})))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udc00-\udfff]", text)
    rows = {
        key: next(line for line in text.splitlines() if f"`{key}`" in line and line.startswith("|"))
        for key in ("0123456789ab", "ab0123456789")
    }
    assert {key: len(re.split(r"(?<!\\)\|", row)) for key, row in rows.items()} == {
        "0123456789ab": 9,
        "ab0123456789": 8,
    }
    opened = re.search(r"^(`{3,})diff$", text, re.MULTILINE)
    assert opened
    inside = text.partition(opened[0])[2].partition(f"\n{opened[1]}\n")[0]
    assert opened[1] not in inside
    assert "# title" not in [line.strip() for line in text.splitlines()]


def test_signs_mean_what_they_mean_beside_a_shown_pair() -> None:
    shown = msgspec.structs.replace(pair(), rows=[
        ["~", "1", "2", FINGERPRINT], ["-", "3", "", "ignored"], ["+", "", "6", "ffffffffffff"], ["~", "7", "8", "?"],
    ])  # fmt: skip
    text = markdown(report(facts(DIFFERING, [finding()], pairs={FINGERPRINT: shown})))
    inside = text.partition("```diff\n")[2].partition("\n```")[0]
    assert inside.splitlines() == ["- 1", "+ 2", ". ignored - 3", "~ ffffffffffff + 6", "? - 7", "? + 8"]
    legend = text.partition(f"{inside}\n```\n\n")[2].partition("\n")[0]
    assert [sign for sign in SIGNS if f"`{sign}` is {SIGNS[sign]}" in legend] == ["~", ".", "?"]
    assert "`!`" not in text


def test_table_rows_are_of_one_width() -> None:
    text = markdown(report(facts(DIFFERING, [finding(), finding(fingerprint="b", path="$.x")])))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1


def test_report_is_json() -> None:
    trend = [Hour(1_699_999_200, 10, 5, 1)]
    made = json.loads(
        msgspec.json.encode(report(facts(DIFFERING, [finding()], pairs={"0123456789ab": pair()}, trend=trend)))
    )
    (route,) = made["routes"]
    assert route["readiness"]["verdict"] == "not-ready"
    assert route["latency"]["legacy"]["count"] == 1000
    assert route["differences"][0]["finding"]["fingerprint"] == "0123456789ab"
    assert route["differences"][0]["pair"]["rows"][2] == ["~", '"total": 19.90', '"total": "19.90"', FINGERPRINT]
    assert route["trend"][0]["mismatched"] == 1
