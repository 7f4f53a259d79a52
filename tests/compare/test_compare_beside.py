"""Secrets whose name stands beside them as a value: masked on both sides if either side names them, and only then."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from walks import walk

from proxy.compare.bodies import body, json_value
from proxy.compare.json_text import json_text
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.redact_fields import url
from proxy.compare.result import Budget
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
        ({"name": "password" * 100}, "value"), ({"state": "CA"}, "code"), ({"type": "token"}, "content"),
        ({"id": "password-reset"}, "content"), ({"type": "session"}, "after"),
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


def test_of_a_form_only_values_are_masked_beside_a_name_so_that_requests_can_be_sent_again() -> None:
    assert url("/a?name=session&value=hunter", REDACTOR) == f"/a?name=session&value={REDACTOR.mask('hunter')}"
    assert url("/a?f[0][name]=pin&f[0][value]=hunter&f[1][value]=b", REDACTOR).count("«masked") == 1
    for kept in (
        "/a?name=session.js&v=3",
        "/a?type=session&after=17",
        "/a?sort=token&value=3",
        "/a?key=session&page=2",
    ):
        assert url(kept, REDACTOR) == kept


# -- elements ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("application/xml", "<r><name>a</name><value>seen</value><name>password</name><value>hunter</value></r>"),
        ("application/xml", "<r><value>hunter</value><name>password</name><f><value>seen</value></f></r>"),
        ("application/xml", "<r><key>password</key><value>hunter</value><f><key>a</key><value>seen</value></f></r>"),
        ("application/xml", "<d><key>pin</key><string>hunter</string><key>a</key><string>seen</string></d>"),
        ("application/xml", "<r><name>password</name><date>seen</date><string>seen</string></r>"),
        ("text/html", "<table><tr><th>Token<th>Expires<tr><td>seen<td>seen</table>"),
        ("text/html", "<tr><td>Password</td><td>seen</td><td>seen</td></tr>"),
        ("text/html", "<tr><th>Enter the password of your account</th><td>seen</td></tr>"),
        ("text/html", "<dl><dt>Token</dt><dd>hunter</dd><dt>Colour</dt><dd>seen</dd></dl>"),
    ],
)  # fmt: skip
def test_beside_a_secret_name_in_markup_only_its_value_is_masked(media: str, content: str) -> None:
    shown = text(media, content)
    assert "hunter" not in shown
    assert shown.count("seen") == content.count("seen")


@pytest.mark.parametrize(
    ("media", "template"),
    [
        ("application/xml", '<r><p name="{}"><value>{}</value></p></r>'),
        ("application/xml", '<r><p name="{}">{}</p></r>'),
        ("application/xml", '<r><p name="{}" value="{}"/></r>'),
        ("application/xml", "<r><key>{}</key><value>{}</value></r>"),
        ("text/html", '<meta name="{}" content="{}">'), ("text/html", "<dl><dt>{}</dt><dd>{}</dd></dl>"),
        ("text/html", "<table><tr><td>{}</td><td>{}</td></tr></table>"),
    ],
)  # fmt: skip
def test_a_name_in_markup_on_one_side_hides_the_values_of_both(
    make_pair: Callable[..., Pair], make_answer: Callable[..., Answer], media: str, template: str
) -> None:
    for names in (("password", "note"), ("note", "password")):
        fields = [(b"Content-Type", media.encode())]
        one, two = (make_answer(template.format(n, f"hunter{n}").encode(), fields) for n in names)
        made = compare_pair(make_pair(one, two), compile_rules(Compare()), Budget(), lambda: 0.0, REDACTOR)
        assert made.verdict == "mismatched"
        assert "hunter" not in str(made)


# -- rows -------------------------------------------------------------------------------------------------------------


def test_of_a_row_of_two_only_what_a_secret_name_begins_is_masked() -> None:
    mask = REDACTOR.mask("hunter")
    assert text("text/csv", "user,bob\npassword,hunter\nport,80\n") == f"user,bob\npassword,{mask}\nport,80\n"
    assert text("text/csv", "id,name,value\n1,pin,hunter\n2,a,b\n") == f"id,name,value\n1,pin,{mask}\n2,a,b\n"
    for kept in ("a,b,c\nHost,password,y\n", "a,b,c\npassword,x,y\n", "a\npassword\nx\n", "id,note\n1,password\n"):
        assert text("text/csv", kept) == kept


@pytest.mark.parametrize(
    ("one", "two", "path"),
    [
        ("name,price\nPan,1.5\nPot,2", "name,price\nPan,1.6\nPot,2", "$[*].price"),
        ("user,bob\npassword,hunter1", "user,bob\npassword,hunter2", "$[*].bob"),
        ("a,b\npassword,hunter1", "a,b\nx,hunter2", "$[*].b"), ("a,b\nx,hunter1", "a,b\npassword,hunter2", "$[*].b"),
        ("password,hunter1", "password,hunter2", "$.#secret[*][*]"),
        ("password,hunter1\nuser,bob", "user,bob\npassword,hunter2", "$.#secret[*][*]"),
        ("1,2\npassword,hunter1", "1,2\npassword,hunter2", "$[*][*]"),
        ("token,made\nhunter1,2024-01-01", "token,made\nhunter1,2024-01-02", "$[*].made"),
    ],
)  # fmt: skip
def test_differences_of_rows_of_two_keep_their_places(
    make_pair: Callable[..., Pair], make_answer: Callable[..., Answer], one: str, two: str, path: str
) -> None:
    fields = [(b"Content-Type", b"text/csv")]
    pair = make_pair(make_answer(one.encode(), fields), make_answer(two.encode(), fields))
    made = compare_pair(pair, compile_rules(Compare()), Budget(), lambda: 0.0, REDACTOR)
    assert path in {found.path for found in made.differences}
    assert "hunter" not in str(made)


@pytest.mark.parametrize(
    "piece",
    ["<key>", "<key>token</key>", "<value>", "<value>x</value>", "<tr><td>", "<dt>token<dd>", "<tr><td>token</td>",
     "<value>x</value><key>token</key>", "<string>x</string>", "<key>token</key><key>a</key>", "</key>"],
)  # fmt: skip
def test_many_names_and_values_take_linear_time(piece: str) -> None:
    REDACTOR.by_shape(piece * (100_000 // len(piece)))  # a quadratic reading runs into the test's time limit


def test_what_a_control_asks_for_hides_its_value_and_not_its_text() -> None:
    shown = text("text/html", '<button aria-label="Reset password" value="hunter">seen</button>')
    assert "hunter" not in shown
    assert "seen" in shown
