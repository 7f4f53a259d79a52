"""What is read after a write: filled from its path and from legacy's answer, and never another target."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.reads import MAX_TARGET_BYTES, ReadTemplate, read_document, segments_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def target(text: str, path: str = "/", template: str | None = None, document: Any = None) -> bytes | None:
    return ReadTemplate(text, template).target(path.encode(), document)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("/plain?a=b", "/orders/7/x", b"/plain?a=b"),
        ("/orders/{id}", "/orders/7/x", b"/orders/7"),
        ("/{part}/{id}", "/orders/%C3%A9/x", b"/x/%C3%A9"),
        ("/a?id={id}&p={part}", "/orders/a&b=c+d;e/~x", b"/a?id=a%26b%3Dc%2Bd%3Be&p=~x"),
        ("/{id}{part}", "/orders/7/x/and/more", b"/7x"),
    ],
)
def test_names_stand_for_segments_as_they_came(text: str, path: str, expected: bytes) -> None:
    assert target(text, path, "/orders/{id}/{part}/**") == expected


@pytest.mark.parametrize(
    ("body", "place", "expected"),
    [
        (b'{"id": 7}', "$.id", b"7"),
        (b'{"id": 123456789012345678901234567890}', "$.id", b"123456789012345678901234567890"),
        (b'{"id": 1.10}', "$.id", b"1.10"),
        (b'{"id": 1e3}', "$.id", b"1e3"),
        (b'{"id": "a b/c?d#e%f"}', "$.id", b"a%20b%2Fc%3Fd%23e%25f"),
        (b'{"id": "\\u00e9"}', "$.id", b"%C3%A9"),
        (b'{"id": false}', "$.id", b"false"),
        (b'{"a": [{"b c": "x"}]}', "$.a[0]['b c']", b"x"),
        (b'["x"]', "$[0]", b"x"),
        (b'{"id": 7}', "$.no", None),
        (b'{"id": null}', "$.id", None),
        (b'{"id": ""}', "$.id", None),
        (b'{"id": [1]}', "$.id", None),
        (b'{"id": {}}', "$.id", None),
        (b'{"id": [1]}', "$.id[1]", None),
        (b'{"id": "\\ud800"}', "$.id", None),
        (b'{"id": NaN}', "$.id", None),
        (b'{"id": "' + b"x" * MAX_TARGET_BYTES + b'"}', "$.id", None),
        (b"[" * 100_000, "$[0]", None),
        (b"", "$.id", None),
        (b"\xff", "$.id", None),
    ],
)
def test_a_place_in_an_answer_is_one_value_or_nothing(body: bytes, place: str, expected: bytes | None) -> None:
    made = target("/x/{" + place + "}", document=read_document(body))
    assert made == (None if expected is None else b"/x/" + expected)


@given(st.text(min_size=1, max_size=50))
def test_whatever_a_value_says_it_fills_exactly_its_place(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    made = target("/a/{$.v}/b?q={$.v}&r=1", document=read_document(json.dumps({"v": value}).encode()))
    assert made is not None
    parts = urlsplit("http://h" + made.decode("ascii"))
    assert [unquote(part) for part in parts.path.split("/")] == ["", "a", value, "b"]
    assert [unquote(part) for part in parts.query.split("&")] == [f"q={value}", "r=1"]
    assert parts.fragment == ""
    assert all(0x20 < byte < 0x7F for byte in made)


@given(JSON, st.binary(max_size=40))
def test_no_document_and_no_body_raises(document: Any, body: bytes) -> None:
    template = ReadTemplate("/{$.a}/{$[0]}", None)
    template.target(b"/", document)
    template.target(b"/", read_document(json.dumps(document).encode()))
    template.target(b"/", read_document(body))


@pytest.mark.parametrize(
    ("text", "template", "says"),
    [
        ("/{order_id}", "/orders/{id}", "there is no {order_id} in the route's path (it has {id})"),
        ("/{id}", None, "it has none"),
        ("/{}", "/orders/{id}", "there is no {}"),
        ("/{$}", None, "names no single value"),
        ("/{$..id}", None, "names no single value"),
        ("/{$.a[*]}", None, "names no single value"),
        ("/{$.a b}", None, "column 4"),
        ("/{id", "/orders/{id}", "braces in pairs"),
        ("/id}", "/orders/{id}", "braces in pairs"),
        ("/a b", None, "%20 for a blank"),
        ("/a#b", None, "what no target may"),
        ("/a\r\nX: y", None, "what no target may"),
        ("/é", None, "what no target may"),
    ],
)
def test_a_template_that_cannot_work_says_why(text: str, template: str | None, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        ReadTemplate(text, template)
    assert says in str(raised.value)


def test_what_a_template_wants_is_known() -> None:
    assert ReadTemplate("/{$.id}", None).wants_answer
    assert not ReadTemplate("/{id}", "/x/{id}").wants_answer
    assert ReadTemplate("/a/{id}?b={$.c}", "/x/{id}").example == b"/a/x?b=x"
    assert segments_of("/a/{b}/c/{d}/**") == {"b": 1, "d": 3}
    assert segments_of(None) == {}
