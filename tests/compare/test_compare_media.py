"""Forms, tables, event streams, lines of JSON, pictures: written otherwise the same, and any change is found."""

import csv
import io
import random
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from bodies import found, shared
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.images import dimensions
from proxy.compare.media import reader_of
from proxy.compare.result import Result
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
Both = Callable[..., Result]


@pytest.fixture
def both(compare: Compare, make_answer: MakeAnswer) -> Both:
    def both(media: str, legacy: str | bytes, candidate: str | bytes, **rules: Any) -> Result:
        fields: Fields = [(b"Content-Type", media.encode())]
        one, two = (body.encode() if isinstance(body, str) else body for body in (legacy, candidate))
        return compare(make_answer(one, fields), make_answer(two, fields), **rules)

    return both


@pytest.mark.parametrize(
    ("media", "reader"),
    [
        ("application/json", "json"), ("application/problem+json", "json"), ("application/vnd.x.v3+json", "json"),
        ("text/json", "json"), ("application/x-ndjson", "lines"), ("application/json-seq", "lines"),
        ("application/geo+json-seq", "lines"), ("image/svg+xml", "xml"), ("application/atom+xml", "xml"),
        ("text/html", "html"), ("application/xhtml+xml", "html"), ("multipart/mixed", "multipart"),
        ("text/csv", "csv"), ("text/x-anything", "text"), ("application/octet-stream", "bytes"), ("", "unknown"),
        ("image/png", "image"), ("font/woff2", "bytes"), ("text/event-stream", "events"),
    ],
)  # fmt: skip
def test_each_media_type_has_one_reader(media: str, reader: str) -> None:
    assert reader_of(media) == reader


CSV = "text/csv"


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("id,price\n1,2\n", "id,price\n1,3\n", [("value", "$[*].price")]),
        ("id,price\n1,2\n", "id\n1\n", [("missing", "$[*].price")]),
        ("id,price\n1,2\n", "id,price,tax\n1,2,0\n", [("extra", "$[*].tax")]),
        ("id,price\n1,2\n", "price,id\n2,1\n", [("order", "$")]),
        ("id\n1\n", "id\n1\n2\n", [("size", "$"), ("extra", "$[*]")]),
        ("id\n1\n2\n", "id\n2\n1\n", [("order", "$")]),
        ("1,2\n3,4\n", "1,2\n3,5\n", [("value", "$[*][*]")]),
        ("id\n", "name\n", [("value", "$[*][*]")]),
        ("id\n\n", "name\n\n", [("value", "$[*][*]")]),
        ("a,a\n1,2\n", "a,a\n1,3\n", [("value", "$[*]['a #2']")]),
        ("a,a\n1,2\n", "a,a #2\n1,2\n", [("value", "$[*][*]")]),
        ("a\n1\n", "a\n1,2\n", [("extra", "$[*].#more")]),
        ("a\n 1\n", "a\n1\n", [("value", "$[*].a")]),
        ("\na,b\n", "\na,c\n", [("value", "$[*][*]")]),
        ('a\n"1\n', "a\n1\n", [("type", "$")]),
        ('a\n"1\n', 'a\n"2\n', [("text", "body")]),
        ("id,password\n1,hunter2a\n", "id,password\n1,hunter2bc\n", [("value", "$[*].password")]),
    ],
)
def test_tables_are_compared_by_column(
    both: Both, legacy: str, candidate: str, expected: list[tuple[str, str]]
) -> None:
    result = both(CSV, legacy, candidate)
    assert sorted(found(result)) == sorted(expected)
    assert "hunter2" not in str(result)


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        ("id,price\n1,2\n", '"id","price"\r\n"1","2"'),
        ('a\n"x, y"\n', 'a\r\n"x, y"\r\n'),
        ('a\n"x ""y"""\n', 'a\n"x ""y"""'),
        ("id;price\n1,5;2\n", '"id";"price"\n"1,5";2\n'),
    ],
)
def test_a_table_quoted_otherwise_is_matched(both: Both, legacy: str, candidate: str) -> None:
    assert both(CSV, legacy, candidate) == both(CSV, candidate, legacy) == Result("matched")


def test_another_separator_is_a_difference(both: Both) -> None:
    assert both(CSV, "id,price\n1,2\n", "id;price\n1;2\n").verdict == "mismatched"
    assert (
        both("text/tab-separated-values", "id\tprice\n1\t2\n", "id\tprice\n1\t3\n").differences[0].path == "$[*].price"
    )


cells = st.text(st.sampled_from('ab1,;"\n\r\t é'), max_size=5)
tables = st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=5)


def table(rows: list[list[str]], quoting: Any, end: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting, lineterminator=end).writerows(rows)
    return out.getvalue()


@shared
@given(tables, st.booleans(), st.data())
def test_any_table_in_another_quoting_is_matched_and_a_changed_cell_is_found(
    both: Both, rows: list[list[str]], labelled: bool, data: st.DataObject
) -> None:
    if labelled:
        rows = [["id", "price", "name", "note"], *rows]
    legacy = table(rows, csv.QUOTE_ALL, "\n")
    assert both(CSV, legacy, table(rows, csv.QUOTE_ALL, "\r\n")) == Result("matched")
    plain = [[cell.replace("\r", "") for cell in row] for row in rows]
    assert both(CSV, table(plain, csv.QUOTE_ALL, "\n"), table(plain, csv.QUOTE_MINIMAL, "\r\n")) == Result("matched")
    row = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[row]) - 1))
    changed = [list(cells) for cells in rows]
    changed[row][column] += "x"
    assert both(CSV, legacy, table(changed, csv.QUOTE_ALL, "\n")).verdict == "mismatched"


SSE = "text/event-stream"


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("event: a\ndata: 1\n\n", "event: b\ndata: 1\n\n", [("value", "$[*].event")]),
        ("id: 1\ndata: x\n\n", "data: x\n\n", [("missing", "$[*].id")]),
        ("data: x\n\n", "data: y\n\n", [("value", "$[*].data")]),
        ('data: {"a": 1}\n\n', 'data: {"a": 2}\n\n', [("value", "$[*].data.a")]),
        ('data: {"a": 1}\n\n', "data: {broken\n\n", [("type", "$[*].data")]),
        ("data: x\n\n", "retry: 10\ndata: x\n\n", [("extra", "$[*].retry")]),
        ("data: x\n\n", "data: x\n", [("missing", "$[*].data"), ("extra", "$[*].unfinished")]),
        ("data: x\n\n", "data: x\n\ndata: y\n\n", [("size", "$"), ("extra", "$[*]")]),
        ("data: x\ndata: y\n\n", "data: x\n\ndata: y\n\n",
         [("size", "$"), ("value", "$[*].data"), ("extra", "$[*]")]),
    ],
)  # fmt: skip
def test_streams_are_compared_event_by_event(
    both: Both, legacy: str, candidate: str, expected: list[tuple[str, str]]
) -> None:
    assert set(found(both(SSE, legacy, candidate))) <= set(expected)


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        ("event: a\ndata: x\n\n", "event:a\r\ndata:x\r\n\r\n"),
        ("event: a\ndata: x\n\n", ": hello\n\nevent: a\r: ping\rdata: x\r\r:\n\n"),
        ('data: {"a": 1, "b": 2}\n\n', 'data: {"b":2,\ndata: "a":1}\n\n'),
        ("\ufeffdata: x\n\n", "data: x\n\n\n\n"),
        ("data\n\n", "data:\n\n"),
        ("data: x\n\n", "data: x\nunknown: y\n\n"),
    ],
)
def test_a_stream_written_otherwise_is_matched(both: Both, legacy: str, candidate: str) -> None:
    assert both(SSE, legacy, candidate) == both(SSE, candidate, legacy) == Result("matched")


def test_data_with_two_values_of_one_key_is_incomparable(both: Both) -> None:
    assert both(SSE, 'data: {"a":1,"a":2}\n\n', 'data: {"a":2}\n\n') == Result("incomparable", "duplicate-keys")


lines = st.text(st.sampled_from('ab {}[]":,1é'), max_size=8)
events = st.fixed_dictionaries(
    {}, optional={"event": lines, "id": lines, "data": st.lists(lines, min_size=1, max_size=3)}
)


def stream(items: list[dict[str, Any]], dice: random.Random | None) -> str:
    end = dice.choice(["\n", "\r\n", "\r"]) if dice else "\n"
    space = dice.choice(["", " "]) if dice else " "
    out = ""
    for item in items:
        for name, value in item.items():
            for line in value if isinstance(value, list) else [value]:
                # a space at the beginning of a value is only kept behind another one
                out += f"{name}:{' ' if line.startswith(' ') else space}{line}{end}"
                out += f": beat{end}" if dice and dice.random() < 0.2 else ""
        out += end
    return out


@shared
@given(st.lists(events.filter(bool), max_size=4), st.randoms(use_true_random=False), st.data())
def test_any_stream_in_another_spelling_is_matched_and_a_changed_line_is_found(
    both: Both, items: list[dict[str, Any]], dice: random.Random, data: st.DataObject
) -> None:
    legacy = stream(items, None)
    result = both(SSE, legacy, stream(items, dice))
    assert result == Result("matched") or result.reason == "duplicate-keys" or not legacy
    if items:
        at = data.draw(st.integers(0, len(items) - 1))
        changed = [dict(item) for item in items]
        changed[at]["event"] = changed[at].get("event", "") + "new"
        assert both(SSE, legacy, stream(changed, dice)).verdict in ("mismatched", "incomparable")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("a=1&b=2", "a=1&b=3", [("value", "$.b")]), ("a=1", "a=1&b=", [("extra", "$.b")]),
        ("a=1&a=2", "a=2&a=1", [("order", "$.a")]), ("a=1", "a=1&a=2", [("size", "$.a"), ("extra", "$.a[*]")]),
        ("a=%2B", "a=+", [("value", "$.a")]), ("a=%FF", "a=%FE", [("value", "$.a")]),
        ("a=%FF", "a=%EF%BF%BDFF", [("value", "$.a")]), ("a=%FF", "a=%25FF", [("value", "$.a")]),
        ("a=%FF", "a=%C3%BF", [("value", "$.a")]),
        ("password=hunter2a", "password=hunter2bc", [("value", "$.password")]),
    ],
)  # fmt: skip
def test_forms_are_compared_field_by_field(
    both: Both, legacy: str, candidate: str, expected: list[tuple[str, str]]
) -> None:
    result = both(FORM, legacy, candidate)
    assert set(found(result)) <= set(expected)
    assert "hunter2" not in str(result)


fields = st.dictionaries(
    st.text("ab é&=", min_size=1, max_size=4), st.text("ab é&=%+\x00", max_size=4), min_size=1, max_size=5
)


@shared
@given(fields, st.randoms(use_true_random=False), st.data())
def test_any_form_in_another_spelling_is_matched_and_a_change_is_found(
    both: Both, values: dict[str, str], dice: random.Random, data: st.DataObject
) -> None:
    pairs = list(values.items())
    dice.shuffle(pairs)
    other = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    assert both(FORM, urlencode(values), other) == Result("matched")
    name = data.draw(st.sampled_from(sorted(values)))
    assert both(FORM, urlencode(values), urlencode({**values, name: values[name] + "x"})).verdict == "mismatched"


def parts(boundary: str, *items: tuple[str, bytes]) -> bytes:
    out = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in items)
    return out + f"--{boundary}--\r\n".encode()


def named(name: str, content: bytes, filename: str = "", media: str = "") -> tuple[str, bytes]:
    head = f'Content-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename else ""
    return head + (f"\r\nContent-Type: {media}" if media else ""), content


def test_multipart_forms_are_compared_by_name(compare: Compare, make_answer: MakeAnswer) -> None:
    def answer(boundary: str, *items: tuple[str, bytes]) -> Answer:
        media = f"multipart/form-data; boundary={boundary}".encode()
        return make_answer(parts(boundary, *items), [(b"Content-Type", media)])

    text, file = named("a", b"1"), named("f", b"\x00\x01", "x.png", "image/png")
    legacy = answer("one", text, file)
    assert compare(legacy, answer("two", file, text)) == Result("matched")
    unquoted = "content-type: image/png\r\ncontent-disposition: form-data; filename=x.png; name=f"
    assert compare(legacy, answer("two", text, (unquoted, b"\x00\x01"))) == Result("matched")
    assert found(compare(legacy, answer("two", named("a", b"2"), file))) == [("value", "$.a")]
    assert found(compare(legacy, answer("two", text))) == [("missing", "$.f")]
    assert found(compare(legacy, answer("two", text, named("f", b"\x00\x02", "x.png", "image/png")))) == [
        ("value", "$.f.digest")
    ]
    assert found(compare(legacy, answer("two", text, named("f", b"\x00\x01", "y.png", "image/png")))) == [
        ("value", "$.f.filename")
    ]
    secret = compare(answer("one", named("password", b"hunter2a")), answer("one", named("password", b"hunter2bc")))
    assert found(secret) == [("value", "$.password")]
    assert "hunter2" not in str(secret)
    broken = make_answer(b"--one\r\n\r\nx", [(b"Content-Type", b"multipart/form-data; boundary=one")])
    assert found(compare(legacy, broken)) == [("type", "$")]


def test_parts_that_are_no_form_are_compared_in_order(compare: Compare, make_answer: MakeAnswer) -> None:
    def answer(*items: tuple[str, bytes]) -> Answer:
        return make_answer(parts("b", *items), [(b"Content-Type", b"multipart/mixed; boundary=b")])

    one, two = ("Content-ID: 1", b"x"), ("Content-ID: 2", b"y")
    assert found(compare(answer(one, two), answer(two, one))) == [("order", "$")]
    assert found(compare(answer(one), answer(("Content-ID: 3", b"x")))) == [("value", "$[*].headers.content-id")]


LINES = "application/x-ndjson"


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ('{"a":1}\n{"a":2}\n', '{"a":1}\n{"a":3}\n', [("value", "$[*].a")]),
        ("1\n2\n", "1,2\n", [("type", "$")]),
        ("[1\n2]\n", "[1\n2]]\n", "invalid-json"),
        ("1\n", "1\n2\n", [("size", "$"), ("extra", "$[*]")]),
        ("1,2\n[3\n4]\n", "1\n2\n[3,4]\n", [("type", "$")]),
        ('{"a":1,"a":2}\n', '{"a":2}\n', "duplicate-keys"),
        ("1\n", "1.0\n", [("type", "$[*]")]),
    ],
)
def test_lines_of_json_are_compared_one_by_one(both: Both, legacy: str, candidate: str, expected: Any) -> None:
    result = both(LINES, legacy, candidate)
    if isinstance(expected, str):
        assert result == Result("incomparable", expected)
    else:
        assert set(found(result)) <= set(expected)


@shared
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5) | st.text("x ", max_size=3)), max_size=6))
def test_lines_in_another_spelling_are_matched(both: Both, items: list[Any]) -> None:
    legacy = b"".join(orjson.dumps(item) + b"\n" for item in items)
    candidate = b"\r\n\r\n".join(orjson.dumps(dict(reversed(item.items()))).replace(b":", b" : ") for item in items)
    sequence, respelt = (text.replace(b"{", b"\x1e{") for text in (legacy, candidate))
    if items:
        assert both(LINES, legacy, candidate) == Result("matched")
        assert both("application/json-seq", sequence, respelt) == Result("matched")
        assert both(LINES, legacy, candidate + b"\n{}").verdict == "mismatched"
        for media in (LINES, "application/json-seq"):  # who reads the one cannot read the other
            assert found(both(media, legacy, respelt)) == found(both(media, respelt, legacy)) == [("format", "body")]


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


PICTURES = [
    (png(640, 480), ("PNG", 640, 480)),
    (b"GIF89a" + struct.pack("<HH", 10, 20) + bytes(3), ("GIF", 10, 20)),
    (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x11\x08" + struct.pack(">HH", 30, 40) + bytes(9), ("JPEG", 40, 30)),
    (b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + b"\x07\x00\x00\x0f\x00\x00", ("WebP", 8, 16)),
    (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 4 | 9 << 14) + bytes(9), ("WebP", 5, 10)),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(10) + struct.pack("<HH", 7, 9), ("WebP", 7, 9)),
    (b"\x89PNG\r\n\x1a\n", None), (b"GIF89a", None), (b"\xff\xd8", None), (b"RIFF", None), (b"", None),
    (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 100_000, None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), PICTURES)
def test_pictures_tell_their_size(body: bytes, expected: tuple[str, int, int] | None) -> None:
    assert dimensions(body) == expected


@shared
@given(st.sampled_from([body[:12] for body, _ in PICTURES]), st.binary(max_size=60))
def test_any_bytes_behind_a_magic_number_are_looked_at(magic: bytes, rest: bytes) -> None:
    assert dimensions(magic + rest) is None or dimensions(magic + rest) == dimensions(magic + rest)


def test_a_difference_of_pictures_shows_format_and_size(both: Both) -> None:
    result = both("image/png", png(640, 480), png(640, 400))
    assert found(result) == [("digest", "body")]
    assert result.differences[0].legacy.startswith("PNG 640 x 480, 33 bytes")


def test_bodies_without_a_media_type_are_json_if_both_look_like_it(compare: Compare, make_answer: MakeAnswer) -> None:
    def answer(body: bytes) -> Answer:
        return make_answer(body, [])

    assert compare(answer(b'{"a":1,"b":2}'), answer(b'{"b":2, "a":1}')) == Result("matched")
    assert found(compare(answer(b'{"a":1}'), answer(b'{"a":2}'))) == [("value", "$.a")]
    assert found(compare(answer(b"one"), answer(b"two"))) == [("text", "body")]
    assert found(compare(answer(b'{"a":1}'), answer(b"one"))) == [("text", "body")]
    assert found(compare(answer(b"one"), answer(b'{"a":1}'))) == [("text", "body")]
    assert found(compare(answer(b"\x00\xff"), answer(b"\x00\xfe"))) == [("digest", "body")]


def test_other_media_types_are_said_once_for_the_head_and_compared_if_they_are_alike(
    compare: Compare, make_answer: MakeAnswer
) -> None:
    def answer(media: bytes, body: bytes) -> Answer:
        return make_answer(body, [(b"Content-Type", media)])

    json, problem = answer(b"application/json", b'{"a":1}'), answer(b"application/problem+json", b'{"a":2}')
    assert found(compare(json, problem)) == [("content-type", "header:content-type"), ("value", "$.a")]
    html = answer(b"text/html", b"<p>a")
    assert found(compare(json, html)) == [("content-type", "header:content-type"), ("type", "body")]


def test_an_empty_body_is_missing_or_extra(compare: Compare, make_answer: MakeAnswer) -> None:
    some, none = make_answer(b"<p>a", [(b"Content-Type", b"text/html")]), make_answer(b"", [])
    assert found(compare(some, none, headers=[])) == [("missing", "body")]
    assert found(compare(none, some, headers=[])) == [("extra", "body")]
    assert compare(none, make_answer(b"", [(b"Content-Encoding", b"gzip")])) == Result("matched")
