"""What the configuration says of names: more are secret, some are shown, and what is shown lets nothing else out."""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy.compare.bodies import body
from proxy.compare.explain import explain
from proxy.compare.record import record
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.redact_fields import header, url
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Pair

CARD = "4111111111111111"
PARTS = (
    '--b\r\nContent-Disposition: form-data; name="session"\r\n\r\nabc\r\n'
    '--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nxyz\r\n--b--'
)
SHOWN = make_redactor(Redaction(reveal=["order_no", "theme", "session", "X-Debug-Token", "csrf"]), b"r" * 32)
MORE = make_redactor(Redaction(names=["Kunden-Nr", "shoe size"], emails=True), b"r" * 32)


def text(media: str, content: str, redactor: Redactor) -> str:
    return str(body(content.encode(), [(b"Content-Type", media.encode())], Budget(), redactor)["text"])


@pytest.mark.parametrize("spelled", ["order_no", "orderNo", "ORDER-NO", "order.no"])
def test_a_revealed_name_shows_what_looks_like_a_secret(spelled: str) -> None:
    shown = text("application/json", json.dumps({spelled: CARD, "a": {spelled: int(CARD)}, "other": CARD}), SHOWN)
    assert shown.count(CARD) == 2
    assert shown.count("«masked text, 16") == 1


@pytest.mark.parametrize(
    ("media", "content", "kept", "gone"),
    [
        ("application/json", '{"session": "abc", "token": "xyz"}', "abc", "xyz"),
        ("application/json", '{"session": {"id": "abc", "token": "xyz"}}', "abc", "xyz"),
        ("application/json", '{"session": ["abc", {"password": "xyz"}]}', "abc", "xyz"),
        ("application/json", '{"credentials": {"session": "xyz"}, "session": "abc"}', "abc", "xyz"),
        ("application/json", '[{"name": "session", "value": "abc"}, {"name": "pin", "value": "xyz"}]', "abc", "xyz"),
        ("application/json", '{"session": "abc", "token": {"a": "xyz"', "abc", "xyz"),
        ("application/x-www-form-urlencoded", f"order_no={CARD}&token=xyz&a=4222222222222", CARD, "4222222222222"),
        ("text/plain", f"order_no={CARD} token=xyz", CARD, "xyz"),
        ("text/plain", f'order_no: "{CARD}", card {CARD[:-1]}1 token=xyz', CARD, "xyz"),
        ("text/html", "<input name=csrf value='abcdefgh'><input name=csrf2_token value=xyz>", "abcdefgh", "xyz"),
        ("text/html", "<meta content='abcdefgh' name=csrf><meta name=x-csrf-token content=xyz>", "abcdefgh", "xyz"),
        ("application/xml", f"<r><order_no>{CARD}</order_no><pin>xyz</pin></r>", CARD, "xyz"),
        ("application/xml", f"<r><a order_no='{CARD}' pin='xyz'/></r>", CARD, "xyz"),
        ("text/csv", "session,token\nabc,xyz\n", "abc", "xyz"),
        ("multipart/form-data; boundary=b", PARTS, "abc", "xyz"),
        ("text/event-stream", 'data: {"session": "abc", "token": "xyz"}\n\n', "abc", "xyz"),
        ("application/x-ndjson", '{"session": "abc"}\n{"token": "xyz"}\n', "abc", "xyz"),
    ],
)  # fmt: skip
def test_a_revealed_name_is_shown_and_its_neighbours_are_not(media: str, content: str, kept: str, gone: str) -> None:
    shown = text(media, content, SHOWN)
    assert kept in shown
    assert gone not in shown


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("text/event-stream", 'data: {\ndata:  "sid": {\ndata:   "a": "xyz"\ndata:  }\ndata: }\n\n'),
        ("text/event-stream", 'data:{"sid":\r\ndata: ["xyz"]}\r\n\r\ndata: seen\n\n'),
        ("application/x-www-form-urlencoded", "a=%7B%22sid%22%3A%7B%22b%22%3A%22xyz%22%7D%7D&b=seen"),
        ("application/x-www-form-urlencoded", "a={%22sid%22:+[%22xyz%22]}"),
        ("application/json", '{"Name": "sid", "Value": "xyz"}'),
        ("application/xml", "<r><param name='sid'>xyz</param></r>"),
    ],
)  # fmt: skip
def test_a_short_name_is_secret_in_a_structure_within_another(media: str, content: str) -> None:
    shown = text(media, content, MORE)
    assert "xyz" not in shown
    assert shown.count("\n") == content.count("\n") or media.endswith("json")
    assert ("seen" in shown) == ("seen" in content)


def test_json_in_a_field_or_a_parameter_is_redacted_by_its_names() -> None:
    assert "xyz" not in header("X-Debug", '{"sid": {"a": "xyz"}}', MORE)
    shown = url("/a?x=%7B%22sid%22%3A%22xyz%22%2C%22b%22%3A%22c%26d%22%7D&y=1", MORE)
    assert re.fullmatch(r"/a\?x=«[^»]+»&y=1", shown)
    assert shown == url('/a?x={"sid":"xyz","b":"c%26d"}&y=1', MORE)
    assert url("/a?x=%7B%22b%22%3A1%7D", MORE) == "/a?x=%7B%22b%22%3A1%7D"


def test_a_broken_quote_after_a_revealed_name_shows_nothing_more() -> None:
    shown = text("text/plain", f'order_no="12 and then {CARD} and bearer abcdefghijkl', SHOWN)
    assert CARD not in shown
    assert "abcdefghijkl" not in shown


def test_fields_cookies_and_parameters_are_revealed_one_by_one() -> None:
    assert header("x-debug-TOKEN", "abc", SHOWN) == "abc"
    assert header("Cookie", "theme=dark; other=xyz", SHOWN).startswith("theme=dark; other=«masked")
    assert header("Set-Cookie", "theme=dark; Path=/", SHOWN) == "theme=dark; Path=/"
    assert "xyz" not in header("Set-Cookie", "other=xyz; Path=/", SHOWN)
    assert url(f"/a?session=abc&token=xyz&order_no={CARD}", SHOWN).startswith("/a?session=abc&token=«masked")
    assert url(f"/a?b=c&order_no={CARD}", SHOWN) == f"/a?b=c&order_no={CARD}"
    whole = make_redactor(Redaction(reveal=["cookie"]), b"r" * 32)
    assert header("Cookie", "theme=dark; sid=xyz", whole).startswith("theme=dark; sid=«masked")  # by its own name


@pytest.fixture
def found(make_pair: Callable[..., Pair], make_answer: Callable[..., Answer]) -> Callable[..., str]:
    """All that is stored of a pair of bodies."""

    def all_of(one: Any, two: Any, redactor: Redactor, fields: Any = None) -> str:
        more = {} if fields is None else {"fields": fields}
        pair = make_pair(make_answer(one, **more), make_answer(two, **more))
        result = compare_pair(pair, compile_rules(Compare()), Budget(), lambda: 0.0, redactor)
        made = record(pair, result, Budget(), redactor)
        return orjson.dumps([made, explain(made["legacy"]["body"], made["candidate"]["body"])]).decode()

    return all_of


def test_differences_show_what_is_revealed_and_nothing_else(found: Callable[..., str]) -> None:
    one = {
        "order_no": CARD,
        "session": {"id": "abc", "token": "xyz1"},
        "pin": "xyz2",
        "l": [{"name": "pin", "value": "xyz3"}],
    }
    two = {"order_no": "4222222222222", "session": {"id": "abd", "token": "xyz4"}, "pin": "xyz5",
           "l": [{"name": "pin", "value": "xyz6"}]}  # fmt: skip
    shown = found(one, two, SHOWN)
    assert f'"legacy":"\\"{CARD}\\"","candidate":"\\"4222222222222\\""' in shown
    assert '"legacy":"\\"abc\\"","candidate":"\\"abd\\""' in shown
    assert "xyz" not in shown


def test_configured_names_are_secret_in_any_spelling_and_only_as_a_whole(found: Callable[..., str]) -> None:
    one = {"kundenNr": "xyz1", "KUNDEN_NR": {"a": "xyz2"}, "kundennrliste": "seen", "Shoe-Size": 43}
    shown = found(one, {**one, "kundenNr": "xyz3", "Shoe-Size": 44}, MORE)
    assert "xyz" not in shown
    assert "seen" in shown
    assert ": 43" not in shown
    for content in (
        "kunden-nr: xyz1",
        "a?kundennr=xyz2&b=1",
        "<kundenNr>xyz3</kundenNr>",
        '{"kunden_nr": {"a": "xyz4"',
    ):
        assert "xyz" not in text("text/plain", content, MORE)
    assert "xyz" not in header("Kunden-Nr", "xyz", MORE)


@pytest.mark.parametrize(
    "content", ["mail to bob.b+x@shop.example, please", '{"a": "bob.b+x@shop.example"}', "x=bob.b%2Bx%40shop.example"]
)
def test_mail_addresses_are_secret_if_the_configuration_says_so(content: str) -> None:
    assert "shop" not in text("text/plain", content, MORE)
    assert "«masked" not in text("text/plain", content, SHOWN)
    assert url("/users/bob%40shop.example", MORE).startswith("/users/«masked")
