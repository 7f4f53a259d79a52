"""What is recorded: no secret, whatever it stands in; all that a request needs to be sent again; never a failure."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from secret_places import NAMED, PLAIN_NAMED, SHAPED, assert_gone, cards, groups, names, readings, words

from proxy.compare.bodies import MAX_STORED_BODY, body
from proxy.compare.document import parse_json
from proxy.compare.explain import BUSY, TOO_LARGE, explain
from proxy.compare.masks import MASK
from proxy.compare.record import record
from proxy.compare.redact import Redactor, make_redactor
from proxy.compare.redact_fields import header
from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Fields, Pair

MakePair = Callable[..., Pair]
MakeAnswer = Callable[..., Answer]
REDACTOR = make_redactor(Redaction(), b"r" * 32)
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def stored(pair: Pair, redactor: Redactor = REDACTOR) -> str:
    """All that would come to be stored of a pair."""
    rules = compile_rules(Compare(headers=["set-cookie", "location", "x-api-key"]))
    result = compare_pair(pair, rules, Budget(), lambda: 0.0, redactor)
    made = record(pair, result, Budget(), redactor)
    made["deepdiff"] = explain(made["legacy"]["body"], made["candidate"]["body"])
    return orjson.dumps(made).decode()


def shown(media: str, text: str | bytes, redactor: Redactor = REDACTOR) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return str(body(raw, [(b"Content-Type", media.encode())], Budget(), redactor)["text"])


# -- under secret names -----------------------------------------------------------------------------------------------


@many
@given(words, names, st.sampled_from(sorted(NAMED)), st.booleans())
def test_no_secret_survives_under_its_name(
    make_pair: MakePair, make_answer: MakeAnswer, secret: str, name: str, container: str, zipped: bool
) -> None:
    media, text = NAMED[container](name, secret)
    _, other = NAMED[container](name, secret[::-1])
    fields: Fields = [(b"content-TYPE", media.encode())]
    one, two = text.encode(), other.encode()
    if zipped:
        fields.append((b"Content-Encoding", b"gzip"))
        one, two = gzip.compress(one), gzip.compress(two)
    made = stored(make_pair(make_answer(one, fields), make_answer(two, fields), body=one, fields=fields))
    assert_gone(secret, made)
    assert_gone(secret[::-1], made)
    assert "«masked" in made


@many
@given(words, names, st.sampled_from([str.lower, str.upper, str.title]), st.integers(1, 3))
def test_no_secret_survives_in_a_head(
    make_pair: MakePair, make_answer: MakeAnswer, secret: str, name: str, spell: Callable[[str], str], times: int
) -> None:
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    values = [
        ("authorization", f"Bearer {secret}"), ("authorization", f"Basic {basic}"), ("proxy-authorization", secret),
        ("cookie", f"a={secret}; {name}={secret};b={secret}"), ("set-cookie", f"sid={secret}; Path=/; HttpOnly"),
        ("cookie", secret), ("x-api-key", secret), (f"x-{name}", secret), ("x-note", f"Bearer {secret}"),
        ("x-note", f"Basic {basic}"), ("location", f"https://u:{secret}@h.example/?{name}={secret}"),
        ("location", f"/cb?code={secret}&state=x"), ("location", f"/cb#access_token={secret}&x=1"),
        ("referer", f"http://h.example/{name}/{secret}?a=1"), ("link", f'</a?{name}={secret}>; rel="next"'),
        ("x-banyan-key", secret), ("www-authenticate", f'Bearer error="x", {name}="{secret}"'),
        ("refresh", f"0; url=/?{name}={secret}"), ("x-debug", json.dumps({name: {"b": secret}})),
    ]  # fmt: skip
    fields = [(spell(key).encode(), value.encode()) for key, value in values] * times
    target = (
        f"/{name}/{secret}/x;jsessionid={secret}?{name}={secret}&{quote(name)}={quote(secret)}&code={secret}&state=1"
        f"&all={quote(json.dumps({name: {'b': secret}}))}"
    )
    made = stored(make_pair(make_answer(1, fields), make_answer(2, fields, 201), fields=fields, target=target.encode()))
    assert_gone(secret, made)
    assert_gone(basic, made)


# -- by shape ---------------------------------------------------------------------------------------------------------


@many
@given(st.data(), st.sampled_from(sorted(SHAPED)), st.sampled_from(sorted(PLAIN_NAMED)))
def test_no_secret_survives_that_has_a_shape(
    make_pair: MakePair, make_answer: MakeAnswer, data: st.DataObject, shape: str, container: str
) -> None:
    secret = data.draw(SHAPED[shape])
    media, text = PLAIN_NAMED[container](secret)
    fields: Fields = [(b"Content-Type", media.encode()), (b"X-Note", secret.replace("\n", " ").encode())]
    one, two = make_answer(text.encode(), fields), make_answer(text.encode() + b" more", fields)
    target = f"/p/{quote(secret, safe='')}?q={quote(secret)}".encode()
    made = stored(make_pair(one, two, body=one.body, fields=fields, target=target))
    core = max(re.split(r"[\s:/@-]", secret), key=len)
    assert_gone(core, made)


@many
@given(
    cards, groups, st.sampled_from(["", " ", "-", "\u00a0"]), st.sampled_from(sorted(PLAIN_NAMED)),
    st.sampled_from(["{}", "{} 12/27 123", "{} 123", "no. {}", "{}, {}", "2027 {}", "x{}"]),
)  # fmt: skip
def test_no_card_number_survives(
    make_pair: MakePair,
    make_answer: MakeAnswer,
    card: str,
    sizes: tuple[int, ...],
    sign: str,
    container: str,
    around: str,
) -> None:
    cut = [card[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    written = sign.join(cut)
    media, text = PLAIN_NAMED[container](around.format(written, written))
    fields: Fields = [(b"Content-Type", media.encode())]
    made = stored(
        make_pair(make_answer(text.encode(), fields), make_answer(b"1", fields), body=text.encode(), fields=fields)
    )
    for reading in readings(made):
        assert written not in reading


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0])
def test_numbers_that_are_card_numbers_are_masked(number: float) -> None:
    assert "4111111111111111" not in shown("application/json", json.dumps({"n": [number]}))
    assert "4111111111111111" not in shown("application/json", json.dumps({"n": [number]})[:-1])


# -- what stays -------------------------------------------------------------------------------------------------------

ORDINARY = [
    ("application/json", '{\n  "id": 17,\n  "name": "a < b & c",\n  "at": "2024-01-01T00:00:00Z",\n  "n": 1.5\n}'),
    ("text/html", '<!DOCTYPE html><html><body class="a b"><form action="/x"><input name=q value=1></form></html>'),
    ("application/xml", '<?xml version="1.0"?><r xmlns="urn:x"><a b="c">d</a><![CDATA[e < f]]></r>'),
    ("text/csv", 'id,name,note\n1,"a, b",x\n2,c,"d ""e"""\n'),
    ("text/event-stream", 'event: x\nid: 1\ndata: {"a": 1}\ndata: two\n\n: comment\n'),
    ("application/x-ndjson", '{"a": 1}\n{"a": [true, null]}\n'),
    ("application/x-www-form-urlencoded", "a=1&b=x+y&c=%C3%A9&d"),
    ("text/plain", "the password is wrong; order 2024-01-01 12:00:00 of 1700000000000, 2010 2011 2012, 40 items"),
    ("text/plain", "Shopping basic knowledge: https://h.example/p?page=2&code=17#top"),
    ("application/json", '{"broken": [1, 2, "x y", {"k": tru'),
    ("image/svg+xml", '<svg><path d="M10 20 L30 40 412 511 20 30 40 50 60 71 23 45 16"/></svg>'),
]  # fmt: skip


@pytest.mark.parametrize(("media", "text"), ORDINARY)
def test_what_is_no_secret_stays_as_it_is(media: str, text: str) -> None:
    assert shown(media, text) == text


def test_equal_secrets_show_equal_masks_in_all_places(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    one, two = (
        make_answer({"password": "hunter22", "other": {"token": "hunter22"}}),
        make_answer({"password": "hunter23"}),
    )
    made = record(
        make_pair(one, two, body=b"password=hunter22", fields=[(b"Content-Type", b"application/x-www-form-urlencoded")],
                  target=b"/?token=hunter%322"),
        Result("mismatched"), Budget(), REDACTOR,
    )  # fmt: skip
    mask = REDACTOR.mask("hunter22")
    assert made["legacy"]["body"]["text"].count(mask) == 2
    assert made["request"]["body"]["text"] == f"password={mask}"
    assert made["request"]["target"] == f"/?token={mask}"
    assert made["redaction_key"] == REDACTOR.key_id
    other = MASK.search(made["candidate"]["body"]["text"])
    assert other is not None
    assert other[0] != mask


@pytest.mark.parametrize(("one", "two"), [("1.10", "1.1"), ("5", "5"), ("1e2", "1e2")])
def test_a_number_has_one_hash_whichever_way_it_is_parsed(one: str, two: str) -> None:
    def hidden(text: str) -> str:
        found = MASK.search(shown("application/json", text))
        assert found is not None
        return found[4]

    assert hidden(f'{{"pin": {one}, "n": 12345678901234567890123}}') == hidden(f'{{"pin": {two}}}')
    assert parse_json(b"[1]", Budget(), guarded=True) != parse_json(b"[1]", Budget(), guarded=False)


def test_authorization_shows_its_scheme_and_cookies_their_names() -> None:
    assert header("Authorization", "Bearer abc", REDACTOR) == f"Bearer {REDACTOR.mask('abc')}"
    assert header("authorization", "abc", REDACTOR) == REDACTOR.mask("abc")
    assert header("Authorization", "hunter2 abc", REDACTOR) == REDACTOR.mask("hunter2 abc")
    assert header("Cookie", "a=1; b=2", REDACTOR) == f"a={REDACTOR.mask('1')}; b={REDACTOR.mask('2')}"
    assert header("Set-Cookie", "a=1; Path=/", REDACTOR) == f"a={REDACTOR.mask('1')}; Path=/"


# -- the record -------------------------------------------------------------------------------------------------------


def test_a_request_is_recorded_so_that_it_can_be_sent_again(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    fields: Fields = [(b"Host", b"h"), (b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"3"), (b"Content-Type", b"text/plain")]
    pair = make_pair(
        make_answer(1), make_answer(2), method="PUT", target=b"/a/%2Fb?c=d%20e&f", fields=fields, body=b"x"
    )
    pair.purpose, pair.cell = "self", "GET 2xx"
    made = record(pair, Result("mismatched"), Budget(), REDACTOR)
    assert made["request"] == {
        "method": "PUT", "target": "/a/%2Fb?c=d%20e&f",
        "headers": [["Host", "h"], ["X-B", "2"], ["x-a", "1"], ["X-B", "3"], ["Content-Type", "text/plain"]],
        "body": {"kind": "text", "bytes": 1, "size": 1, "text": "x", "cut": False},
        "cut": False,
    }  # fmt: skip
    assert (made["purpose"], made["cell"], made["legacy"]["seconds"]) == ("self", "GET 2xx", 0.01)


@pytest.mark.parametrize(
    "change",
    [{"target": b"/" + b"a" * 9000}, {"fields": [(b"X", b"y" * 9000)]}, {"fields": [(b"X", b"y")] * 101},
     {"body": b"x" * 100_000, "fields": [(b"Content-Type", b"text/plain")]}],
)  # fmt: skip
def test_a_request_that_is_not_recorded_whole_says_so(
    make_pair: MakePair, make_answer: MakeAnswer, change: dict[str, Any]
) -> None:
    made = record(make_pair(make_answer(1), make_answer(2), **change), Result("mismatched"), Budget(), REDACTOR)
    assert made["request"]["cut"] is True


def test_a_body_that_was_not_kept_whole_tells_its_size(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    one = make_answer(b'{"a": 1, "b', truncated=True, size=5_000_000)
    two = make_answer(b'{"a": 1, "b', truncated=True)
    made = record(make_pair(one, two), Result("incomparable"), Budget(), REDACTOR)
    assert [made[side]["body"]["size"] for side in ("legacy", "candidate")] == [5_000_000, None]
    assert made["legacy"]["body"]["cut"] is True


def test_a_body_that_is_no_text_has_a_digest_that_cannot_be_tried_out() -> None:
    image: Fields = [(b"Content-Type", b"image/png")]
    short, long = (body(data, image, Budget(), REDACTOR) for data in (b"\x891234", b"\x89" * 5000))
    assert short["text"] is None
    assert "sha256" not in short
    assert short["digest"].startswith(REDACTOR.key_id)
    assert len(long["sha256"]) == 64


def test_a_secret_at_the_cut_of_anything_leaves_no_half(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    card = "4111 1111 1111 1111"
    for shift in range(0, 40, 3):
        long = "password=hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2 " * 1300
        text = long[: MAX_STORED_BODY + 16 * 1024 - shift] + card + " x" * 50_000
        assert "4111 1111" not in shown("text/plain", text)
        assert "4111 1111" not in header(
            "x-note", ("a token=hunter2hunter2hunter2hunter2hunter2 b" * 200)[: 8192 - shift] + card, REDACTOR
        )


@many
@given(
    st.binary(max_size=120) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(["application/json", "text/html", "", "multipart/form-data; boundary=x", "text/csv",
                     "application/xml", "text/event-stream", "application/x-ndjson",
                     "application/x-www-form-urlencoded", "application/json; charset=utf-16",
                     "text/plain; charset=nothing", "application/json-seq"]),
    st.sampled_from([b"", b'{"token": ', b"<password>", b"--x\r\n", b'"', b"\x1f\x8b", b"\\", b"token=", b"a,token\n",
                     b'["token","', b"name=token value='", b"token: |\n ", b"<key>token</key><value>",
                     b"<tr><th>token<td>", b"token,", b"f[name]=token&f[value]=", b'[["token", {"value": "',
                     b"eyJhIjoi"]),
)  # fmt: skip
def test_anything_is_recorded(
    make_pair: MakePair, make_answer: MakeAnswer, raw: bytes, media: str, before: bytes
) -> None:
    fields: Fields = [
        (b"Content-Type", media.encode()),
        (b"X-\xff", raw),
        (b"Cookie", raw),
        (b"Location", before + raw),
    ]
    one, two = make_answer(before + raw, fields), make_answer(raw + before, fields)
    stored(make_pair(one, two, target=b"/" + raw, body=before + raw, fields=fields, method="G" * 50))


@pytest.mark.parametrize("depth", [190, 1000, 100_000])
@pytest.mark.parametrize("opened", ["[", '{"a":', '[{"token":'])
def test_depth_is_recorded_and_hides_no_secret(
    make_pair: MakePair, make_answer: MakeAnswer, depth: int, opened: str
) -> None:
    one = make_answer(f'{{"password": {opened * min(depth, 60_000 // len(opened))}"Zqhunter2Zq"'.encode())
    assert_gone("Zqhunter2Zq", stored(make_pair(one, make_answer(1))))


@pytest.mark.parametrize("depth", [254, 255, 400, 1023])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_whole_json_of_any_depth_is_recorded(depth: int, opened: str, closed: str) -> None:
    assert shown("application/json", opened * depth + "1" + closed * depth)[:1] == opened[0]


def test_escaped_json_in_json_in_json_ends(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    document: object = {"password": "Zqhunter2Zq"}
    for _ in range(6):
        document = {"a": json.dumps(document)}
    assert_gone("Zqhunter2Zq", stored(make_pair(make_answer(document), make_answer(1))))
    shown("application/json", '"{\\q \\' * 20_000)


# -- explanations -----------------------------------------------------------------------------------------------------


def _recorded(document: object) -> dict[str, Any]:
    return body(orjson.dumps(document), [(b"Content-Type", b"application/json")], Budget(), REDACTOR)


def test_small_documents_are_explained_and_large_ones_say_that_they_are_not() -> None:
    small = explain(_recorded({"a": 1}), _recorded({"a": "1"}))
    assert "type" in small.lower()
    assert explain(_recorded([[i, i] for i in range(150)]), _recorded([])).startswith("Item root[0]")
    for large in ([[i, i] for i in range(250)], list(range(501)), {f"k{i}": 1 for i in range(501)}, "x" * 40_000):
        assert explain(_recorded(large), _recorded([1])) == TOO_LARGE
    deep: object = 1
    for _ in range(30):
        deep = [deep]
    assert explain(_recorded(deep), _recorded([deep])) == TOO_LARGE
    assert BUSY != TOO_LARGE


def test_numbers_beyond_doubles_leave_a_pair_unexplained_and_recorded(
    make_pair: MakePair, make_answer: MakeAnswer
) -> None:
    made = stored(make_pair(make_answer(b'{"a": 1e999}'), make_answer(b'{"a": 1e998}')))
    assert "a number is too large" in made
    assert "1e999" in made
