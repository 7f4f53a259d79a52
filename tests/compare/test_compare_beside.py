"""Secrets whose name stands beside them as a value: masked on both sides if either side names them, and only then."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from walks import walk

from proxy.compare.bodies import body, json_value
from proxy.compare.json_text import json_text
from proxy.compare.record import record
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.secret_names import called, held
from proxy.compare.shape import sketch
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Pair

CARD = "4111111111111111"
REDACTOR = make_redactor(Redaction(), b"r" * 32)
SHOWN = make_redactor(Redaction(reveal=["order_no", "theme"]), b"r" * 32)


def text(media: str, content: str, redactor: Redactor = REDACTOR) -> str:
    """What is stored of a body."""
    return str(body(content.encode(), [(b"Content-Type", media.encode())], Budget(), redactor)["text"])


@pytest.fixture
def result(make_pair: Callable[..., Pair], make_answer: Callable[..., Answer]) -> Callable[..., Result]:
    """The result of two bodies of one media type."""

    def compared(media: str, one: str, two: str, redactor: Redactor = REDACTOR) -> Result:
        fields = [(b"Content-Type", media.encode())]
        pair = make_pair(make_answer(one.encode(), fields), make_answer(two.encode(), fields))
        made = compare_pair(pair, compile_rules(Compare()), Budget(), lambda: 0.0, redactor)
        stored = orjson.dumps(record(pair, made, Budget(), redactor)).decode()
        assert "hunter" not in stored
        return made

    return compared


# -- members and items ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "key"),
    [
        ({"name": "password"}, "value"), ({"Key": "password"}, "Value"), ({"NAME": "password"}, "VALUES"),
        ({"ParameterKey": "password"}, "ParameterValue"), ({"param-name": "password"}, "param-value"),
        ({"OptionName": "password"}, "Value"), ({"field": "password"}, "oldValue"), ({"field": "password"}, "new"),
        ({"path": "/a/password"}, "value"), ({"f[0][name]": "password"}, "f[0][value]"),
        ({"f.0.key": "password"}, "f.0.value"),
        ({"key": ["a", "password"]}, "string"), ({"name": {"#text": "password", "@id": "1"}}, "value"),
    ],
)  # fmt: skip
def test_a_member_is_secret_beside_a_secret_name(holder: dict[str, Any], key: str) -> None:
    assert REDACTOR.below(key, False, {**holder, key: "x"}) is True


@pytest.mark.parametrize(("name", "key"), [("name", "value"), ("Key", "Value"), ("f[0][name]", "f[0][value]")])
def test_a_member_of_a_large_object_is_secret_beside_a_secret_name(name: str, key: str) -> None:
    assert REDACTOR.below(key, False, {**{f"x{n}": n for n in range(100)}, name: "password"}) is True


@pytest.mark.parametrize(
    ("holder", "key"),
    [
        ({"name": "price"}, "value"), ({"name": "password"}, "required"), ({"name": "password"}, "description"),
        ({"title": "password"}, "value"), ({"name": "password"}, "interval"), ({"type": "session"}, "data"),
        ({"f[0][name]": "password"}, "f[1][value]"), ({"name": "password"}, "f[1][value]"), ({"name": 17}, "value"),
        ({"name": "password" * 100}, "value"), ({"state": "CA"}, "code"),
    ],
)  # fmt: skip
def test_a_member_is_not_secret_beside_another_name_or_as_something_else(holder: dict[str, Any], key: str) -> None:
    assert REDACTOR.below(key, False, {**holder, key: "x"}) is False


def test_an_authorization_code_is_secret_beside_what_it_is_exchanged_with() -> None:
    assert REDACTOR.below("code", False, {"grant_type": "authorization_code", "code": "x"}) is True


def test_names_beside_a_member_take_no_longer_in_a_larger_object() -> None:
    how = held("value")
    assert how is not None
    assert len(list(called(how, {f"name{n}": "x" for n in range(100_000)}))) < 100


@pytest.mark.parametrize(
    "items", [["Cookie", "x"], ["pin", 1234], ["API key", None], ["credentials", {"a": 1}], ["one time code", ["x"]]]
)
def test_of_a_name_and_a_value_in_a_list_the_value_is_secret(items: list[Any]) -> None:
    assert REDACTOR.behind(False, items) is True


@pytest.mark.parametrize(
    "items",
    [["Host", "x"], ["Cookie"], ["Cookie", "a", "b"], [1, 2], ["Enter the password of your account", "x"],
     ["x", "Cookie"]],
)  # fmt: skip
def test_other_lists_are_not_secret(items: list[Any]) -> None:
    assert REDACTOR.behind(False, items) is False


def test_lists_of_names_and_values_show_their_names_and_equal_masks_for_equal_values() -> None:
    document = {"h": [["Host", "h"], ["Cookie", "hunter"], ["X-Api-Key", "hunter"], ["pin", 12]]}
    mask = REDACTOR.mask("hunter")
    shown = {"h": [["Host", "h"], ["Cookie", mask], ["X-Api-Key", mask], ["pin", REDACTOR.mask(12)]]}
    assert json_value(document, REDACTOR) == shown
    assert orjson.loads(json_text(orjson.dumps(document).decode(), REDACTOR, 10_000)) == shown


@pytest.mark.parametrize("whole", [True, False])
def test_broken_json_is_read_to_its_end_before_a_value_is_shown(whole: bool) -> None:
    written = (
        '{"value": {"a": ["hunter"]}, "values": "hunter", "name": "password", "next": ["Cookie", "hunter"], '
        '"x": ["y", "z"]'
    )
    shown = json_text(written + "}" * whole, REDACTOR, 10_000)
    assert "hunter" not in shown
    assert '"y", "z"' in shown


@pytest.mark.parametrize("room", [50, 1000])
def test_brackets_without_end_take_linear_time_and_memory(room: int) -> None:
    for piece in ("[", '["token",', '{"name":"password","value":[', '{"value":', '["a","b"],'):
        assert len(json_text(piece * 100_000, REDACTOR, room)) < room + 200


def test_a_name_on_either_side_hides_the_values_of_both() -> None:
    for one, two in (
        (["Cookie", "hunter1"], ["Cookies-Off", "hunter2"]), (["Cookie", "hunter1"], ["Host", "hunter2"]),
        (["Host", "hunter1"], ["Cookie", "hunter2"]), (["Cookie", "hunter1"], ["hunter2", "Cookie"]),
        (["Cookie", "hunter1"], ["Cookie", "hunter2", "hunter3"]), (["Cookie", ["hunter1"]], ["Cookie", ["hunter2"]]),
        ({"name": "password", "value": "hunter1"}, {"name": "x", "value": "hunter2"}),
        ({"name": "x", "val": "hunter1"}, {"name": "password", "val": "hunter2"}),
    ):  # fmt: skip
        for rules in (Compare(), Compare(unordered={"$": None, "$.h": None})):
            for a, b in ((one, two), ({"h": [one]}, {"h": [two]})):
                made = walk(a, b, compile_rules(rules), redactor=REDACTOR)
                assert made.found
                assert "hunter" not in str(made.found)


def test_headers_in_another_order_show_no_value() -> None:
    one = [["Cookie", "hunter1"], ["Cookie", "hunter2"]]
    made = walk(one, one[::-1], redactor=REDACTOR)
    assert {kind for kind, _ in made.found} == {"order"}
    assert "hunter" not in str(made.found)
    named = walk([["Cookie", "hunter1"], ["Host", "h"]], [["Host", "h"], ["Cookie", "hunter1"]], redactor=REDACTOR)
    assert named.found["order", "$"][:2] == ('["Cookie", "Host"]', '["Host", "Cookie"]')


def test_a_revealed_name_shows_what_stands_beside_it() -> None:
    document = [["order_no", CARD], {"name": "order_no", "value": CARD}, {"value": CARD, "key": "order_no"}]
    written = orjson.dumps(document).decode()
    assert text("application/json", written, SHOWN).count(CARD) == 3
    assert text("application/json", written).count(CARD) == 0
    made = walk(["order_no", CARD], ["order_no", "x"], redactor=SHOWN)
    assert CARD in str(made.found)


def test_keys_that_are_data_below_a_name_and_its_value_are_in_no_sketch() -> None:
    assert sketch([["tokens", {"a1b2": 1, "x": 2}]]) == sketch([["tokens", {"a1b3": 1, "x": 2}]])
    assert "a1b2" not in sketch({"name": "tokens", "value": {"a1b2": 1}})
    assert "a1b2" in sketch({"name": "sizes", "value": {"a1b2": 1}})
