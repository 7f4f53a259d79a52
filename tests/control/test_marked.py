"""What is said of the lines of a recorded pair."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.places import places
from proxy.compare.record import record as recorded
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare
from proxy.control.marked import EARLIER_RELEASE, NO_DIFFERENCE, UNPLACED, mark_rows, note_on
from proxy.messages import Answer, Pair
from proxy.store.side_by_side import side_by_side

OWN, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def record(rows: list[list[str]], legacy: Any = (), candidate: Any = (), **more: Any) -> dict[str, Any]:
    """A record with rows and places; its first difference is its own."""
    return {
        "fingerprint": OWN, "kind": "value", "path": "$.a", "side_by_side": rows,
        "differences": [
            {"kind": "value", "path": "$.a", "fingerprint": OWN},
            {"kind": "value", "path": "$.b", "fingerprint": OTHER},
        ],
        "legacy": {"status": 200, "failure": ""}, "candidate": {"status": 200, "failure": ""},
        "places": {"legacy": list(legacy), "candidate": list(candidate), "whole": True, "why": ""}, **more,
    }  # fmt: skip


def whats(made: dict[str, Any], **settled: str) -> list[str]:
    mark_rows(made, lambda fingerprint: settled.get(fingerprint, ""))
    return [row[3] for row in made["side_by_side"]]


def changed(*rows: tuple[str, str]) -> list[list[str]]:
    return [[" " if a == b else "~", a, b] for a, b in rows]


def test_the_difference_goes_by_its_name_others_by_theirs_and_the_rest_by_its_reason() -> None:
    made = record(
        changed(("{", "{"), ("1", "2"), ("3", "4"), ("5", "6"), ("7", "8")),
        [[1, 1, 0], [2, 1, 1], [3, 1, "ignored"]], [[1, 1, 0], [2, 1, 1], [3, 1, "ignored"]],
    )  # fmt: skip
    assert whats(made) == ["", OWN, OTHER, "ignored", NO_DIFFERENCE]


@pytest.mark.parametrize("word", ["accepted", "noise", "fixed"])
def test_what_is_settled_says_how_but_never_of_the_difference_asked_for(word: str) -> None:
    made = record(changed(("1", "2"), ("3", "4")), [[0, 1, 0], [1, 1, 1]], [[0, 1, 0], [1, 1, 1]])
    assert whats(made, **{OWN: word, OTHER: word}) == [OWN, word]


def test_sides_are_counted_apart() -> None:
    made = record([["-", "x", ""], [" ", "y", "y"], ["+", "", "z"]], [[0, 1, 0]], [[1, 1, 1]])
    assert whats(made) == [OWN, "", OTHER]


def test_lines_of_two_places_are_never_beside_each_other() -> None:
    made = record(changed(("1", "2")), [[0, 1, "ignored"]], [[0, 1, 1]])
    mark_rows(made, lambda _: "")
    assert made["side_by_side"] == [["-", "1", "", "ignored"], ["+", "", "2", OTHER]]
    missing, extra = {"error": {"code": 1}, "last": 0}, {"detail": "x", "last": 0}
    made = compared(missing, extra, {})
    assert mark_rows(made, lambda _: "") == ""
    rows = [[row[0], (row[1] or row[2]).strip(" ,"), row[3]] for row in made["side_by_side"] if row[3]]
    assert rows == [
        ["-", '"error": {', "d0"], ["-", '"code": 1', "d0"], ["-", "}", "d0"], ["+", '"detail": "x"', "d1"],
    ]  # fmt: skip


def test_two_places_of_one_difference_have_rows_of_their_own() -> None:
    rows = [["~", "1", "4"], ["-", "2", ""]]
    made = record(rows, [[0, 1, 0], [1, 1, 0]], [[3, 1, 0], [0, 1, 0]])
    mark_rows(made, lambda _: "")
    assert made["side_by_side"] == [["-", "1", "", OWN], ["~", "2", "4", OWN]]


@pytest.mark.parametrize("word", ["unordered", "ignored"])
def test_what_a_rule_lets_pass_in_an_item_that_moved_is_no_difference(word: str) -> None:
    spans = [[0, 3, 0], [1, 1, word]]
    made = record(changed(("1", "2"), ("3", "4"), ("5", "6")), spans, spans)
    made["differences"][0]["kind"] = "order"
    assert whats(made) == [OWN, word, OWN]


@pytest.mark.parametrize(("word", "what"), [("unordered", OWN), ("ignored", "ignored")])
def test_a_list_in_any_order_goes_with_the_item_that_moved(word: str, what: str) -> None:
    spans = [[0, 4, 0], [1, 2, word]]
    made = record([["-", text, ""] for text in "1234"], spans)
    made["differences"][0]["kind"] = "order"
    assert whats(made) == [OWN, what, what, OWN]


def test_a_list_in_any_order_that_stands_beside_itself_is_no_difference_in_an_item_that_moved() -> None:
    spans = [[0, 4, 0], [1, 2, "unordered"]]
    made = record([["-", "1", ""], [" ", "2", "2"], ["-", "3", ""], ["-", "4", ""]], spans)
    made["differences"][0]["kind"] = "order"
    assert whats(made) == [OWN, "", "unordered", OWN]


def test_equal_lines_are_marked_only_where_a_difference_has_one_line() -> None:
    rows = changed(("[", "["), ("1", "1"), ("2", "3"))
    assert whats(record([*rows], [[0, 3, 0]], [[0, 3, 0]])) == ["", "", OWN]
    assert whats(record(changed(("[", "[")), [[0, 1, 0]], [[0, 1, 0]])) == [OWN]


def test_the_narrowest_place_names_a_line() -> None:
    rows = changed(("1", "4"), ("2", "5"), ("3", "6"))
    assert whats(record(rows, [[1, 1, 0], [0, 3, 1]], [[1, 1, 0], [0, 3, 1]])) == [OTHER, OWN, OTHER]


def test_what_is_of_another_type_or_of_one_side_stands_out_whole() -> None:
    rows = changed(("1", "4"), ("2", "5"))
    assert whats(record(rows, [[0, 2, 0], [1, 1, "ignored"]], [[0, 2, 0], [1, 1, "ignored"]])) == [OWN, OWN]


def test_a_comma_alone_is_nothing() -> None:
    assert whats(record(changed(('"a": 1', '"a": 1,')))) == [""]


def test_where_not_every_difference_is_placed_no_line_is_called_none() -> None:
    places = {"legacy": [[0, 1, 0]], "candidate": [[0, 1, 0]], "whole": False, "why": ""}
    made = record(changed(("1", "2"), ("3", "4")), places=places)
    assert mark_rows(made, lambda _: "") == "not every difference of this pair has a place that is known"
    assert [row[3] for row in made["side_by_side"]] == [OWN, UNPLACED]


def test_of_a_list_in_any_order_nothing_is_said_where_a_difference_has_no_place() -> None:
    places = {"legacy": [[0, 2, "unordered"]], "candidate": [[0, 2, "unordered"]], "whole": False, "why": ""}
    rows = (("1", "2"), ("3", "4"))
    assert whats(record(changed(*rows), places=places)) == [UNPLACED, UNPLACED]
    assert whats(record(changed(*rows), places={**places, "whole": True})) == ["unordered", "unordered"]


@pytest.mark.parametrize(
    ("mine", "yours", "unordered"),
    [
        ([1, 2, 1], [1, 2], False),
        (["x", "y", "x", "z"], ["x", "y", "z"], False),
        (["a", "b", "a"], ["a", "b"], True),
        ([{"n": 1, "v": 2}, {"n": 3, "v": 4}, {"n": 1, "v": 2}], [{"n": 1, "v": 2}, {"n": 3, "v": 4}], True),
    ],
)
def test_of_items_that_are_written_alike_the_one_without_a_partner_stands_out(
    mine: Any, yours: Any, unordered: bool
) -> None:
    for one, two, alone in ((mine, yours, "-"), (yours, mine, "+")):
        made = compared(one, two, {"$": None} if unordered else {})
        assert mark_rows(made, lambda _: "") == ""
        rows = [row for row in made["side_by_side"] if row[0] == alone and row[1 + (alone == "+")].strip(" ,{}[]")]
        assert rows
        assert {row[3][:1] for row in rows} == {"d"}


def test_lines_that_are_written_alike_are_apart_where_they_are_two_differences() -> None:
    made = compared({"a": [], "b": None, "d": [0]}, {"d": [], "a": [0]}, {})
    kinds = {f"d{n}": (each["kind"], each["path"]) for n, each in enumerate(made["differences"])}
    assert mark_rows(made, lambda _: "") == ""
    rows = [(row[0], kinds[row[3]]) for row in made["side_by_side"] if "0" in row[1] + row[2]]
    assert rows == [("-", ("missing", "$.d[*]")), ("+", ("extra", "$.a[*]"))]


def test_a_record_without_places_says_so() -> None:
    made = record(changed(("1", "2")))
    del made["places"]
    assert mark_rows(made, lambda _: "") == EARLIER_RELEASE
    assert note_on(made, EARLIER_RELEASE).endswith(f"is not known: {EARLIER_RELEASE}.")


@pytest.mark.parametrize("candidate", [{"status": 500, "failure": ""}, {"status": 0, "failure": "reset"}])
def test_bodies_that_are_not_compared_say_so(candidate: dict[str, Any]) -> None:
    why = {"legacy": [], "candidate": [], "whole": False, "why": "x"}
    made = {**record(changed(("1", "2"), ("3", "3")), places=why), "candidate": candidate}
    assert whats(made) == ["uncompared", ""]


def test_lines_of_text_belong_to_their_one_difference() -> None:
    made = record(
        changed(("a", "b"), ("c", "c")), kind="text", path="body", places=None,
        differences=[{"kind": "text", "path": "body", "fingerprint": OWN}],
    )  # fmt: skip
    assert whats(made) == [OWN, ""]
    assert note_on(made, "") == ""


def test_a_difference_outside_the_bodies_says_where_it_is() -> None:
    made = record(changed(("1", "2")), kind="header", path="header:etag")
    whats(made)
    assert note_on(made, "") == "This difference is not in the bodies. It is in the header etag."


def test_beside_a_list_in_another_order_stands_that_its_items_moved() -> None:
    items = [{"sku": f"S{n}"} for n in range(6)]
    made = compared({"l": items}, {"l": [items[0], *items[2:5], items[1], items[5]]}, {})
    assert mark_rows(made, lambda _: "") == ""
    assert note_on(made, "") == "Items of $.l moved and are on both sides: legacy's item 2 is the candidate's item 5."
    made["places"] = {"legacy": [], "candidate": [], "whole": False, "why": "x"}
    assert note_on(made, "").endswith("Items of $.l moved and are on both sides.")


def test_of_a_list_whose_other_order_is_accepted_nothing_is_said() -> None:
    made = compared({"a": 1, "l": [1, 2]}, {"a": 2, "l": [2, 1]}, {})
    made["fingerprint"] = next(each["fingerprint"] for each in made["differences"] if each["kind"] == "value")
    mark_rows(made, lambda _: "accepted")
    assert note_on(made, "") == ""


# -- with what the comparison places ----------------------------------------------------------------------------------

leaves = st.integers(0, 5) | st.sampled_from(["a", "b"]) | st.none()
documents = st.recursive(
    leaves, lambda d: st.lists(d, max_size=5) | st.dictionaries(st.sampled_from("abcde"), d, max_size=5), max_leaves=20
)


def answer(document: Any) -> Answer:
    return Answer(200, [(b"Content-Type", b"application/json")], orjson.dumps(document), False, 0.01)


def compared(legacy: Any, candidate: Any, unordered: dict[str, None]) -> dict[str, Any]:
    """The record of a pair of documents, whose differences are called d0, d1 and so on."""
    rules = compile_rules(Compare.model_validate({"unordered": unordered}))
    pair = Pair(0, "r", "1", 0.0, "GET", b"/", [], b"", "legacy", "", [], answer(legacy), answer(candidate))
    result = compare_pair(pair, rules, Budget(), lambda: 0.0)
    made = recorded(pair, result, Budget())
    made["places"] = places(pair, rules, Budget(), lambda: 0.0, result, made)
    for number, difference in enumerate(made["differences"]):
        difference["fingerprint"] = f"d{number}"
    texts = (made["legacy"]["body"]["text"], made["candidate"]["body"]["text"])
    return made | {"fingerprint": "d0", "kind": "value", "path": "$", "side_by_side": side_by_side(*texts)}


def side_text(made: dict[str, Any], side: int) -> list[str]:
    return [row[side].rstrip(",") for row in made["side_by_side"] if row[0] != "-+"[2 - side]]


def leaves_of(document: Any, keys: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(document, dict | list):
        pairs = document.items() if isinstance(document, dict) else enumerate(document)
        return [leaf for key, value in pairs for leaf in leaves_of(value, (*keys, key))]
    return [keys]


@settings(deadline=None, max_examples=200)
@given(documents, st.data(), st.booleans())
def test_one_mutation_is_the_one_row_that_stands_out(document: Any, data: st.DataObject, unordered: bool) -> None:
    document = {"root": document, "last": 0}
    keys = data.draw(st.sampled_from(leaves_of(document)))
    other = copy.deepcopy(document)
    node = other
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = "changed"
    made = compared(document, other, {"$..*": None} if unordered else {})
    texts = [side_text(made, side) for side in (1, 2)]
    assert mark_rows(made, lambda _: "") == ""
    assert [side_text(made, side) for side in (1, 2)] == texts
    said = [(row[1], row[2], row[3]) for row in made["side_by_side"] if row[0] != " "]
    assert [what for _, line, what in said if '"changed"' in line and what.startswith("d")]
    # The text may be aligned in more than one way: a row may hold a line that only stands elsewhere, and says so.
    assert {what for _, _, what in said if not what.startswith("d")} <= {NO_DIFFERENCE, "unordered"}


@settings(deadline=None, max_examples=200)
@given(documents, documents, st.booleans())
def test_no_line_is_lost_and_none_stands_beside_one_of_another_difference(
    legacy: Any, candidate: Any, unordered: bool
) -> None:
    made = compared(legacy, candidate, {"$..*": None} if unordered else {})
    texts = [side_text(made, side) for side in (1, 2)]
    mark_rows(made, lambda _: "")
    assert [side_text(made, side) for side in (1, 2)] == texts
    if made["places"]["whole"]:
        assert {f"d{n}" for n in range(len(made["differences"]))} <= {row[3] for row in made["side_by_side"]}
    one_sided = {f"d{n}" for n, each in enumerate(made["differences"]) if each["kind"] in ("missing", "extra")}
    assert not [row for row in made["side_by_side"] if row[0] == "~" and row[3] in one_sided]
