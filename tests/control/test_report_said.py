"""What the report says beside the figures: people's words, traffic outside the routes, and what each number is of."""

from __future__ import annotations

import json

import msgspec
import pytest
from reports import AT, DIFFERING, NOTHING, facts, finding, good, report, tally

from proxy.control.findings import LAST_COMMENTS, Comment
from proxy.control.report import Report, build
from proxy.control.report_html import page
from proxy.control.report_text import OTHER_PAIRS, markdown
from proxy.messages import RouteCounters

STATES = [{"state": "new"}, {"state": "accepted", "actor": "ann"}, {"state": "fixed"}, {"noisy": True}]


def comments(count: int, text: str = "word") -> list[Comment]:
    return [Comment(f"2023-11-14T22:1{n}:00.000Z", "bea", f"{text} {n}") for n in range(count)]


@pytest.mark.parametrize("state", STATES, ids=["open", "accepted", "fixed", "noise"])
def test_owner_and_comments_stand_in_every_form_whatever_the_state(state: dict[str, str]) -> None:
    made = report(facts(DIFFERING, [finding(owner="team-orders", comments=comments(1, "the serialiser"), **state)]))
    text, html = markdown(made), page(made)
    assert "- `0123456789ab` is assigned to team-orders.\n" in text
    assert "- `0123456789ab`, bea, 2023-11-14 22:10 UTC: the serialiser 0\n" in text
    assert "Assigned to <b>team-orders</b>." in html
    assert "<b>bea</b>, 2023-11-14 22:10 UTC: the serialiser 0</p>" in html
    assert b"the serialiser 0" in msgspec.json.encode(made)


def test_of_many_long_comments_the_last_ones_are_shown_in_part_and_the_others_counted() -> None:
    made = report(facts(DIFFERING, [finding(comments=comments(LAST_COMMENTS + 2, "x" * 5000))]))
    for text in (markdown(made), page(made)):
        assert text.count("x" * 297 + "...") == LAST_COMMENTS
        assert "x" * 298 not in text
        assert "2 earlier comments: " in text


def test_a_comment_is_no_markup() -> None:
    said = comments(1, "| a\n# b `c` <img src=x> [d](e)")
    made = report(facts(DIFFERING, [finding(owner="*o*\n", comments=said)]))
    text = markdown(made)
    assert "UTC: \\| a\\\\x0a\\# b \\`c\\` \\<img src=x\\> \\[d\\](e) 0\n" in text
    assert "assigned to \\*o\\*\\\\x0a." in text
    assert "<img" not in page(made)


# -- traffic outside the routes ---------------------------------------------------------------------------------------


def outside(unrouted: int, lone: int = 0) -> Report:
    alone = msgspec.structs.replace(NOTHING, route="old", candidate=False)
    return build(AT, 24, [facts(good()), facts(alone, stage="legacy", tally=tally(lone))], tally(unrouted))


def test_what_no_route_names_stands_in_every_form() -> None:
    made = outside(567, 12)
    sentence = (
        "No route names 567 of 1,579 requests (last 24 h): 35.9 %, which only legacy answers, and of which this report "
        "says nothing more; 12 (0.8 %) are of routes without a candidate."
    )
    assert sentence in markdown(made).partition("\n## ")[0]
    assert sentence in page(made).partition("<section class=")[0]
    assert json.loads(msgspec.json.encode(made))["uncovered"] == {
        "requests": 1579, "unrouted": 567, "without_candidate": 12, "span": "last 24 h",
    }  # fmt: skip


def test_full_cover_is_said_and_without_traffic_nothing() -> None:
    assert "Routes name every one of 1,000 requests (last 24 h).\n" in markdown(outside(0))
    assert "request" not in markdown(build(AT, 24, [], tally(0)))
    assert "No route names 3 of 3 requests (last 24 h): 100 %" in markdown(build(AT, 24, [], tally(3)))


def test_the_report_of_one_route_says_nothing_of_other_traffic() -> None:
    made = report(facts(good()))
    assert made.uncovered is None
    assert not [text for text in (markdown(made), page(made)) if "o route names" in text or "every one" in text]


# -- what each number is of -------------------------------------------------------------------------------------------


def test_criteria_of_other_pairs_say_so_where_anything_was_compared() -> None:
    some, none = report(facts(good())), report(facts(NOTHING, tally=tally(0)))
    assert [OTHER_PAIRS in form(made) for form in (markdown, page) for made in (some, none)] == [True, False] * 2


def test_what_was_expected_is_as_judged_at_the_time() -> None:
    made = tally()
    made.traffic = RouteCounters(requests={"GET 200 legacy": 40})
    made.compare.expected = {"rules": 33}
    known = report(facts(good(), tally=made))
    assert "As judged at the time, 33 pairs differed only in what was expected (last 24 h; those" in markdown(known)
    assert "expected as judged at the time, last 24 h (those passed by rules count as equal above)" in page(known)
