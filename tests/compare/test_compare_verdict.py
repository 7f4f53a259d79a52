"""Verdicts: what differs is found and named, what may differ is not, and hostile bodies get a verdict, too."""

import copy
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import orjson
import pytest
import zstandard
from bodies import found
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare import verdict
from proxy.compare.result import REASONS, Budget, Result
from proxy.messages import Answer

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ({"a": 1}, {"a": 2}, ("value", "$.a")),
        ({"a": 1}, {"a": 1.0}, ("type", "$.a")),
        ({"a": 1}, {"a": True}, ("type", "$.a")),
        ({"a": 1}, {"a": "1"}, ("type", "$.a")),
        ({"a": 0}, {"a": None}, ("type", "$.a")),
        ({"a": 0.0}, {"a": -0.0}, ("value", "$.a")),
        ({"a": 1}, {"a": 1.5}, ("value", "$.a")),
        ({"a": {}}, {"a": []}, ("type", "$.a")),
        ({"a": 1, "b": 2}, {"a": 1}, ("missing", "$.b")),
        ({"a": 1}, {"a": 1, "b": None}, ("extra", "$.b")),
        ({"items": [{"price": 1}, {"price": 2}]}, {"items": [{"price": 1}, {"price": 3}]},
         ("value", "$.items[*].price")),
        ([1, 2, 3], [3, 2, 1], ("order", "$")),
        ([[1, 2]], [[2, 1]], ("order", "$[*]")),
        ({"by_day": {"2024-01-01": 1}}, {"by_day": {"2024-01-01": 2}}, ("value", "$.by_day.*")),
        ({f"k{n}": n for n in range(60)}, {f"k{n}": n + (n == 5) for n in range(60)},
         ("value", "$.*")),
        (b'{"a":12345678901234567890123}', b'{"a":12345678901234567890124}', ("value", "$.a")),
        (b'{"a":0.12345678901234567890}', b'{"a":0.12345678901234567891}', ("value", "$.a")),
        (b'{"a":0.12345678901234567}', b'{"a":0.12345678901234568}', ("value", "$.a")),
        (b'{"a":1e999}', b'{"a":1e998}', ("value", "$.a")),
        (b'{"a":1e-999}', b'{"a":0.0}', ("value", "$.a")),
        (b'{"a":1e5}', b'{"a":100000}', ("type", "$.a")),
        (b'{"a":-0}', b'{"a":0}', ("value", "$.a")),
        (b'{"a":1}', b"", ("missing", "body")),
        (b'{"a":1}', b"<html>", ("type", "$")),
        (b"[1]", b"\xef\xbb\xbf[1]", ("format", "body")),
    ],
)  # fmt: skip
def test_one_difference_is_named(compare: Compare, legacy: Any, candidate: Any, expected: tuple[str, str]) -> None:
    assert found(compare(legacy, candidate)) == [expected]


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }'),
        (b'{"a":1.10}', b'{"a":1.1}'),
        (b'{"a":1.10, "b":12345678901234567890}', b'{"a":1.1,"b":12345678901234567890}'),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b"\xef\xbb\xbf[1]", b"\xef\xbb\xbf[ 1]"),
    ],
)
def test_the_same_said_otherwise_is_matched(compare: Compare, legacy: bytes, candidate: bytes) -> None:
    assert compare(legacy, candidate) == Result("matched")


@pytest.mark.parametrize(
    ("legacy", "candidate", "rules", "verdict"),
    [
        ({"a": 1, "t": 1}, {"a": 1, "t": 2}, {"ignore": ["$.t"]}, "ignored"),
        ({"a": 1, "t": 1}, {"a": 1}, {"ignore": ["$.t"]}, "ignored"),
        ({"a": 1, "t": {"x": [1]}}, {"a": 1, "t": 5}, {"ignore": ["$.t"]}, "ignored"),
        ({"a": {"bc": 1}}, {"a": {"bc": 2}}, {"ignore": ["$.a.b"]}, "mismatched"),
        ({"x": [{"e": 1}, {"e": 2}]}, {"x": [{"e": 3}, {"e": 4}]}, {"ignore": ["$.x[*].e"]}, "ignored"),
        ({"x": [{"e": 1}, {"e": 2}]}, {"x": [{"e": 3}, {"e": 4}]}, {"ignore": ["$.x[0].e"]}, "mismatched"),
        ({"x": [{"e": 1}, {"e": 2}]}, {"x": [{"e": 3}, {"e": 2}]}, {"ignore": ["$.x[0].e"]}, "ignored"),
        ({"x": [{"y": {"e": 1}}]}, {"x": [{"y": {"e": 2}}]}, {"ignore": ["$..e"]}, "ignored"),
        ({"x": {"p": 1, "q": 2}}, {"x": {"p": 2, "q": 1}}, {"ignore": ["$.x.*"]}, "ignored"),
        ({"a": 1, "t": 1}, {"a": 2, "t": 2}, {"ignore": ["$.t"]}, "mismatched"),
        ({"x": [1, 2, 2]}, {"x": [2, 1, 2]}, {"unordered": {"$.x": None}}, "matched"),
        ({"x": [1, 2, 2]}, {"x": [2, 1, 1]}, {"unordered": {"$.x": None}}, "mismatched"),
        ({"x": [{"id": 1, "v": [1, 2]}, {"id": 2}]}, {"x": [{"id": 2}, {"id": 1, "v": [2, 1]}]},
         {"unordered": {"$.x": None, "$.x[*].v": None}}, "matched"),
        ({"x": [{"id": 1, "t": 1}, {"id": 2, "t": 2}]}, {"x": [{"id": 2, "t": 3}, {"id": 1, "t": 4}]},
         {"unordered": {"$.x": None}, "ignore": ["$.x[*].t"]}, "ignored"),
        ({"x": [{"id": 1, "n": 1}, {"id": 1, "n": 2}]}, {"x": [{"id": 1, "n": 2}, {"id": 1, "n": 1}]},
         {"unordered": {"$.x": "id"}}, "matched"),
        ({"t": 10.01}, {"t": 10.02}, {"tolerance": {"$.t": 0.01}}, "matched"),
        ({"t": 10}, {"t": 10.0}, {"tolerance": {"$.t": 0.01}}, "matched"),
        ({"t": 10.01}, {"t": 10.03}, {"tolerance": {"$.t": 0.01}}, "mismatched"),
        ({"t": 1}, {"t": "1"}, {"tolerance": {"$.t": 5}}, "mismatched"),
        ({"x": [{"p": 1.0}, {"p": 5.0}]}, {"x": [{"p": 5.001}, {"p": 1.001}]},
         {"unordered": {"$.x": None}, "tolerance": {"$.x[*].p": 0.01}}, "matched"),
    ],
)  # fmt: skip
def test_rules_decide(compare: Compare, legacy: Any, candidate: Any, rules: dict[str, Any], verdict: str) -> None:
    assert compare(legacy, candidate, **rules).verdict == verdict


def test_items_of_an_unordered_list_are_found_by_their_key(compare: Compare) -> None:
    legacy = {"x": [{"id": n, "v": n} for n in range(5)]}
    candidate = {"x": [{"id": n, "v": n + (n == 3)} for n in range(1, 6)][::-1]}
    assert sorted(found(compare(legacy, candidate, unordered={"$.x": "id"}))) == [
        ("extra", "$.x[*]"), ("missing", "$.x[*]"), ("value", "$.x[*].v"),
    ]  # fmt: skip


def test_the_worst_difference_comes_first(compare: Compare, make_answer: MakeAnswer) -> None:
    legacy = make_answer(
        {"a": 1}, [(b"content-type", b"application/json"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    )
    candidate = make_answer(
        {"a": 2}, [(b"Content-Type", b"application/json"), (b"set-cookie", b"b=3"), (b"set-cookie", b"a=1")], 201
    )
    result = compare(legacy, candidate, headers=["Content-Type", "Set-Cookie"])
    assert found(result) == [("status", "status"), ("cookie", "cookie:b"), ("value", "$.a")]


def test_another_class_of_status_is_the_whole_difference(compare: Compare, make_answer: MakeAnswer) -> None:
    problem = make_answer({"error": 1}, [(b"Content-Type", b"application/problem+json")], 404)
    assert found(compare(make_answer({"a": 1}), problem)) == [("status-class", "status")]
    moved = make_answer(b"", [(b"Location", b"/a"), (b"Content-Type", b"application/json")], 302)
    assert found(compare(make_answer({"a": 1}), moved)) == [("status-class", "status")]


def test_a_missing_location_is_a_redirect_that_differs(compare: Compare, make_answer: MakeAnswer) -> None:
    legacy = make_answer(b"", [(b"Location", b"/a")], 302)
    assert found(compare(legacy, make_answer(b"", [], 302))) == [("redirect", "header:location")]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br", "zstd", "gzip, br"])
def test_content_codings_are_looked_through(compare: Compare, make_answer: MakeAnswer, coding: str) -> None:
    plain = orjson.dumps({"a": list(range(500))})
    raw = zlib.compressobj(wbits=-15)
    encoded = {
        "gzip": gzip.compress(plain), "deflate": zlib.compress(plain), "raw": raw.compress(plain) + raw.flush(),
        "br": brotli.compress(plain), "zstd": zstandard.compress(plain),
        "gzip, br": brotli.compress(gzip.compress(plain)),
    }[coding]  # fmt: skip
    name = b"deflate" if coding == "raw" else coding.encode()
    fields = [(b"content-type", b"application/json"), (b"Content-Encoding", name)]
    assert compare(plain, make_answer(encoded, fields)).verdict == "matched"
    assert compare(plain, make_answer(encoded[:-3], fields)) == Result("incomparable", "decode-error")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_incomparable(compare: Compare, make_answer: MakeAnswer, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding]
    fields = [(b"content-type", b"application/json"), (b"content-encoding", coding.encode())]
    assert compare([], make_answer(pack(bytes(20_000_000)), fields)).reason in ("ratio", "too-large")


def test_an_unknown_coding_stays_opaque(compare: Compare, make_answer: MakeAnswer) -> None:
    fields = [(b"content-type", b"application/json"), (b"content-encoding", b"magic")]
    assert found(compare(make_answer(b"abc", fields), make_answer(b"abd", fields))) == [("digest", "body")]


@pytest.mark.parametrize(
    ("legacy", "candidate", "reason"),
    [
        (b'{"a":1,"a":2}', b'{"a":2}', "duplicate-keys"),
        (b'{"a":1,"\\u0061":2}', b'{"a":2}', "duplicate-keys"),
        (b'{"a":1,"a" :2, "b":"\\u0022:"}', b'{"a":2,"b":"\\":"}', "duplicate-keys"),
        (b"[" * 5000 + b"]" * 5000, b"[]", "too-deep"),
        (b"[" * 100_000, b"[]", "too-deep"),
        (b"[" * 300 + b"]" * 300, b"[]", "too-deep"),
        (b"[" + b"0," * 300_000 + b"0]", b"[]", "too-many-nodes"),
        (b"NaN", b"Infinity", "invalid-json"),
        (b'"\\ud800"', b'"\\ud801"', "invalid-json"),
        (b'"\xff"', b'"\xfe"', "invalid-json"),
        (b"{", b"{{", "invalid-json"),
    ],
)
def test_f15_what_cannot_be_compared_says_why(compare: Compare, legacy: bytes, candidate: bytes, reason: str) -> None:
    assert compare(legacy, candidate) == Result("incomparable", reason)
    assert reason in REASONS


@pytest.mark.parametrize("depth", [300, 1000])
def test_documents_that_are_too_deep_never_match(compare: Compare, depth: int) -> None:
    def nested(leaf: str) -> bytes:
        return b'{"a":' * depth + leaf.encode() + b"}" * depth

    assert compare(nested("1"), nested(" 1")) == Result("incomparable", "too-deep")
    assert compare(nested("1"), nested("2")).verdict in ("mismatched", "incomparable")
    assert compare(nested("1"), nested("true")).verdict in ("mismatched", "incomparable")
    assert compare(nested("1"), nested("2"), ignore=["$.a"]) == Result("incomparable", "too-deep")


def test_a_hostile_string_is_measured_in_linear_time(compare: Compare) -> None:
    assert compare(b'"\\' * 500_000 + b"[" * 300, b"[]").verdict in ("incomparable", "mismatched")


def test_a_side_that_failed_is_an_error_and_two_are_incomparable(compare: Compare, make_answer: MakeAnswer) -> None:
    gone = make_answer(b"", [], 0, failure="reset")
    result = compare(make_answer({}), gone)
    assert found(result) == [("error", "error")]
    assert result.differences[0].candidate == "reset"
    assert compare(gone, gone) == Result("incomparable", "both-failed")


def test_a_cut_body_is_incomparable_unless_the_head_differs(compare: Compare, make_answer: MakeAnswer) -> None:
    cut = make_answer(b'{"a":', truncated=True)
    assert compare({"a": 1}, cut) == Result("incomparable", "too-large")
    assert found(compare(make_answer({"a": 1}, status=201), cut)) == [("status", "status")]


def test_a_body_beyond_the_bound_is_incomparable_on_either_side(compare: Compare) -> None:
    small = Budget(decoded_bytes=10)
    for one, two in ((b"[1]", b"[1, 2, 3, 4]"), (b"[1, 2, 3, 4]", b"[1]")):
        assert compare(one, two, small) == Result("incomparable", "too-large")
    assert compare(b"[1, 2, 3]", b"[1,2,3]", small) == Result("matched")


def test_what_is_too_deep_for_the_interpreter_is_incomparable_unless_the_head_differs(
    compare: Compare, make_answer: MakeAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(verdict, "_bodies", deep)
    assert compare({"a": 1}, {"a": 1}) == Result("incomparable", "too-deep")
    assert found(compare(make_answer({"a": 1}, status=201), {"a": 1})) == [("status", "status")]


def test_over_budget_is_incomparable(compare: Compare) -> None:
    legacy, candidate = {"x": [[n] for n in range(3000)]}, {"x": [[n, 1] for n in range(3000)]}
    assert compare(legacy, candidate, Budget(nodes=10_000)) == Result("incomparable", "budget")
    assert compare(legacy, candidate, Budget(seconds=-1)) == Result("incomparable", "budget")


def test_differences_beyond_the_cap_are_counted(compare: Compare) -> None:
    legacy, candidate = ({f"{a}{b}": {"v": v} for a in "abcde" for b in "fghij"} for v in (1, 2))
    result = compare(legacy, candidate, Budget(differences=10))
    assert len(result.differences) == 10
    assert result.more == 15


@pytest.mark.parametrize("key", [None, "id"])
def test_f15_half_changed_unordered_objects_stay_within_the_budget(compare: Compare, key: str | None) -> None:
    legacy = [{"id": n, "v": {"x": n, "y": [n] * 5}, "name": f"n{n}"} for n in range(200)]
    candidate = [{**item, "v": {"x": -1, "y": []}} if n % 2 else item for n, item in enumerate(legacy)][::-1]
    steps = Budget(nodes=10_000)  # a quadratic walk takes more than 40,000
    assert compare({"i": legacy}, {"i": candidate}, steps, unordered={"$.i": key}).verdict == "mismatched"


def test_text_forms_and_bytes(compare: Compare, make_answer: MakeAnswer) -> None:
    def both(media: bytes, one: bytes, two: bytes) -> Result:
        fields = [(b"Content-Type", media)]
        return compare(make_answer(one, fields), make_answer(two, fields))

    plain = both(b"text/plain; charset=utf-8", b"<p>\none\n</p>", b"<p>\ntwo\n</p>")
    assert found(plain) == [("text", "body")]
    assert plain.differences[0].legacy == "line 2: one"
    form = b"application/x-www-form-urlencoded"
    assert found(both(form, b"a=1&b=2", b"a=1&c=3")) == [("missing", "$.b"), ("extra", "$.c")]
    assert both(form, b"a=1&b=%32", b"b=2&a=1").verdict == "matched"
    assert found(both(form, b"a=%ff", b"a=%fe")) == [("value", "$.a")]
    assert found(both(b"image/png", b"\x89PNG1", b"\x89PNG2")) == [("digest", "body")]
    assert found(both(b"text/plain", b"\xff", b"\xfe")) == [("text", "body")]


def test_a_line_within_a_key_block_shows_nothing(compare: Compare, make_answer: MakeAnswer) -> None:
    fields = [(b"Content-Type", b"text/plain")]
    block = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n{}\nCCCC\n-----END RSA PRIVATE KEY-----"
    result = compare(
        make_answer(block.format("s3cret1").encode(), fields), make_answer(block.format("s3cret2").encode(), fields)
    )
    assert "s3cret" not in str(result)


def test_a_secret_that_differs_says_no_more(compare: Compare) -> None:
    result = compare({"user": {"apiKey": "abcdefgh"}}, {"user": {"apiKey": "12345678"}})
    assert found(result) == [("value", "$.user.apiKey")]
    assert result.differences[0].legacy == result.differences[0].candidate == "«masked text, 8»"


names = st.sampled_from(["id", "name", "price", "tags", "note", "sku"])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=25
)


def big_ints_as_text(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@shared
@given(documents, st.randoms(use_true_random=False))
def test_a_document_matches_itself_however_unordered(compare: Compare, document: Any, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            items = [shuffled(item) for item in value]
            random.shuffle(items)
            return items
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return value

    rules = {"unordered": {"$": None, "$..*": None}}
    one, two = ({"root": value} for value in (document, shuffled(document)))
    try:
        result = compare(big_ints_as_text(one), big_ints_as_text(two), **rules)
    except UnicodeEncodeError:
        return
    assert result == Result("matched") or result.reason == "invalid-json"


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, list):
        return [place for n, item in enumerate(value) for place in places(item, (*at, n))]
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in places(item, (*at, key))]
    return [at]


@shared
@given(st.dictionaries(names, documents, min_size=1), st.data())
def test_one_mutation_is_found_and_named(compare: Compare, document: dict[str, Any], data: st.DataObject) -> None:
    leaves = places(document)
    if not leaves:
        return
    place = data.draw(st.sampled_from(leaves))
    mutated = copy.deepcopy(document)
    parent: Any = mutated
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = {"a new": "thing"}
    result = compare(big_ints_as_text(document), big_ints_as_text(mutated))
    path = "$" + "".join("[*]" if isinstance(step, int) else f".{step}" for step in place)
    assert found(result) == [("type", path)]
    ignored = "$" + "".join("[*]" if isinstance(step, int) else f"['{step}']" for step in place)
    assert compare(big_ints_as_text(document), big_ints_as_text(mutated), ignore=[ignored]).verdict == "ignored"


@shared
@given(st.binary(max_size=60) | st.text('[]{}",:01eE.-\\u\u00e9 ', max_size=60).map(str.encode),
       st.binary(max_size=60) | st.text('[]{}",:01eE.-\\u\u00e9 ', max_size=60).map(str.encode),
       st.sampled_from([b"application/json", b"text/html", b"application/x-www-form-urlencoded",
                        b"image/png", b"", b"text/x; charset=utf-7"]),
       st.sampled_from([b"", b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip, gzip, gzip", b"what"]))  # fmt: skip
def test_any_two_bodies_get_a_verdict(
    compare: Compare, make_answer: MakeAnswer, a: bytes, b: bytes, media: bytes, coding: bytes
) -> None:
    fields = [(b"Content-Type", media), (b"Content-Encoding", coding)]
    result = compare(make_answer(a, fields), make_answer(b, fields))
    assert result.verdict in ("matched", "mismatched", "incomparable")
    assert bool(result.reason) == (result.verdict == "incomparable")
    if a == b:
        assert result.verdict == "matched"


@pytest.mark.parametrize("rules", [{"rename": {"$.name": "$.customer.name"}}, {"map": {"$.name": {"x": "y"}}}])
def test_equal_bytes_are_no_match_where_the_contract_was_changed(compare: Any, rules: dict[str, Any]) -> None:
    assert compare(b'{"name":"x"}', b'{"name":"x"}', **rules).verdict == "mismatched"


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", b"no JSON"),
        ("", b"\x00\xff"),
        ("text/plain", b"x"),
        ("image/png", b"x"),
        ("text/xml", b"<a>"),
    ],
)
def test_equal_bytes_without_a_contract_match_whatever_was_changed(
    compare: Any, make_answer: Any, media: str, body: bytes
) -> None:
    side = make_answer(body, [(b"Content-Type", media.encode())])
    assert compare(side, side, map={"$.name": {"x": "y"}}).verdict == "matched"


def test_long_bodies_are_not_known_to_fit_a_changed_contract(compare: Any, make_answer: Any) -> None:
    side = make_answer(b"{", truncated=True, size=9_000_000, digest=b"d" * 32)
    assert compare(side, side).verdict == "matched"
    assert compare(side, side, map={"$.name": {"x": "y"}}).verdict == "incomparable"
