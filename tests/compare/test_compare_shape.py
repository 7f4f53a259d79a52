"""The shape of an answer: structure without data, short, and the same for the same structure."""

import gzip
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.result import Budget
from proxy.compare.shape import MAX_ITEMS, MAX_SKETCH, answer_shape, sketch
from proxy.messages import Answer

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=6), below, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("document", "shape"),
    [
        ({"total": 1.5, "id": "a"}, "{id: string, total: number}"),
        ({"items": [{"sku": "a", "price": 1}, {"sku": "b"}]}, "{items[{price?: number, sku: string}]}"),
        ({"note": None, "paid": True}, "{note: null, paid: bool}"),
        ([], "[]"),
        ([1, "a", None], "[null|number|string]"),
        ({"by": {"17044": 1, "17045": 2}}, "{by{*: number}}"),
        ([{"a": 1}, {"a": {"b": 1}}], "[{a: number|{b: number}}]"),
        ({f"k{'abcdefgh'[n % 8]}{'abcdefghij'[n // 8]}": n for n in range(60)}, "{*: number}"),
        ("text", "string"),
        (None, "null"),
    ],
)
def test_a_document_has_its_sketch(document: Any, shape: str) -> None:
    assert sketch(document) == shape


def _shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        members = list(value.items())
        dice.shuffle(members)
        return {key: _shuffled(item, dice) for key, item in members}
    return [_shuffled(item, dice) for item in value] if isinstance(value, list) else value


@given(_JSON, st.randoms(use_true_random=False))
def test_the_order_of_members_changes_nothing_and_the_length_is_bounded(document: Any, dice: random.Random) -> None:
    shape = sketch(document)
    assert sketch(_shuffled(document, dice)) == shape
    assert len(shape) <= MAX_SKETCH
    shape.encode()


def test_the_number_of_items_changes_nothing() -> None:
    def answer(number: int) -> dict[str, Any]:
        return {"items": [{"id": n, "price": n / 2} for n in range(number)], "zone": {"a": [1]}}

    assert len({sketch(answer(number)) for number in (1, 7, MAX_ITEMS, MAX_ITEMS + 1, 20_000)}) == 1


def test_no_value_and_no_key_that_is_data_is_in_a_sketch() -> None:
    shape = sketch({"token": "s3cret-value", "jo@shop.test": 1, "4111111111111111": {"pin": 4711}})
    assert "s3cret" not in shape
    assert "jo@" not in shape
    assert "4711" not in shape
    assert "4111" not in shape


def test_long_sketches_are_cut_and_still_told_apart() -> None:
    names = [f"{a}{b}{c}member" for a in "abc" for b in "abcd" for c in "abcd"]
    one, other = (dict.fromkeys(names, 1), dict.fromkeys(names[:-1], 1))
    assert sketch(one) != sketch(other)
    assert len(sketch(one)) == MAX_SKETCH


def test_depth_and_effort_are_bounded() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    wide: Any = 1
    for _ in range(8):
        wide = [wide] * 50
    assert "…" in sketch(deep)
    assert len(sketch(wide)) <= MAX_SKETCH


def _answer(body: bytes, *fields: tuple[bytes, bytes], truncated: bool = False) -> Answer:
    return Answer(200, list(fields), body, truncated, 0.1)


@pytest.mark.parametrize(
    ("answer", "media", "shape"),
    [
        (_answer(b'{"a":1}'), "json", "{a: number}"),
        (_answer(b'{"a":1}'), "unnamed", "{a: number}"),
        (_answer(b"<p>"), "html", "html"),
        (_answer(b""), "none", "none"),
        (_answer(b'{"a":'), "json", "json (not readable)"),
        (_answer(b'{"a":1}', truncated=True), "json", "json (too large)"),
        (_answer(gzip.compress(b'{"a":1}'), (b"Content-Encoding", b"gzip")), "json", "{a: number}"),
        (_answer(b'{"a":1}', (b"Content-Encoding", b"gzip")), "json", "json (not readable)"),
        (_answer(b'{"a":1}', (b"Content-Encoding", b"odd")), "json", "json (encoded)"),
        (_answer(b"[" * 100_000), "json", "json (not readable)"),
        (_answer(b'{"a":123456789012345678901234567890}'), "json", "{a: number}"),
        (_answer(b'{"\xe4":1}', (b"Content-Type", b"application/json; charset=latin-1")), "json", "{ä: number}"),
    ],
)
def test_an_answer_has_its_shape(answer: Answer, media: str, shape: str) -> None:
    assert answer_shape(answer, media, Budget()) == shape


@given(st.binary(max_size=60))
def test_any_body_has_a_shape(body: bytes) -> None:
    assert 0 < len(answer_shape(_answer(body), "json", Budget())) <= MAX_SKETCH


@given(_JSON)
def test_the_shape_of_bytes_is_that_of_the_document(document: Any) -> None:
    body = json.dumps(document).encode()
    assert answer_shape(_answer(body), "json", Budget()) in (sketch(document), "json (not readable)")
