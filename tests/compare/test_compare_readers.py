"""Bodies that some readers take for the same and others do not are no match; what all take for the same is one."""

import gzip
import zlib
from collections.abc import Callable

import pytest
import zstandard

from proxy.compare.bodies import body as record_body
from proxy.compare.redact import PLAIN
from proxy.compare.result import Budget, Result
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]

JSON, LINES, FORM, CSV, TSV = (
    "application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "text/csv",
    "text/tab-separated-values",
)  # fmt: skip
SSE, TEXT, HTML, XML, XHTML = (
    "text/event-stream", "text/plain", "text/html", "application/xml", "application/xhtml+xml"
)  # fmt: skip
PART = 'Content-Disposition: form-data; name="a"'
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def pair(
    compare: Compare, make_answer: MakeAnswer, media: str, legacy: str, candidate: str, other: str = ""
) -> tuple[Result, Result]:
    """The results from both sides. ``other``: the candidate's media type, if it is another one."""
    one = make_answer(legacy.encode("utf-8", "surrogateescape"), [(b"Content-Type", media.encode())])
    two = make_answer(candidate.encode("utf-8", "surrogateescape"), [(b"Content-Type", (other or media).encode())])
    return compare(one, two), compare(two, one)


def parts(*items: str, boundary: str = "x") -> str:
    return "".join(f"--{boundary}\r\n{item}\r\n" for item in items) + f"--{boundary}--\r\n"


@pytest.mark.parametrize(
    ("media", "legacy", "candidate"),
    [
        (JSON, "[9007199254740993e0]", "[9007199254740992e0]"),
        (JSON, '{"a":9007199254740993E+00}', '{"a":9007199254740992E+00}'),
        (LINES, "1\n\f\n2\n", "1\n2\n"), (LINES, "1\n\v\n", "1\n"), (LINES, "1\n\ufeff2\n", "1\n2\n"),
        (TEXT, "\ufeff\uff08a\uff09", "\uff08a\uff09"), (FORM, "\ufeffa=1", "a=1"),
        (CSV, "\ufeffid\n1\n", "id\n1\n"), (TSV, "\ufeffid\n1\n", "id\n1\n"), (TSV, 'id\n"x"\n', "id\nx\n"),
        (SSE, "\ufeff\ufeffdata: a\n\n", "data: a\n\n"),
        (HTML, '<p><s style="white-space:pre">a</s> b', '<p><s style="white-space:pre">a</s>b'),
        (HTML, '<p>a <s style="white-space:pre">b</s>', '<p>a<s style="white-space:pre">b</s>'),
        (HTML, "<svg><text><![CDATA[10]]></text></svg>", "<svg><text><![CDATA[20]]></text></svg>"),
        (HTML, "<!doctype html><p>x", "<p>x<!doctype html>"),
        (HTML, "<!doctype html><html><p>x", "<html><!doctype html><p>x"),
        (HTML, "<pre>\n\nx</pre>", "<pre>\nx</pre>"),
        (XHTML, "<p><![CDATA[5]]></p>", "<p><![CDATA[6]]></p>"), (XHTML, "<p>x</p>", "<p>x"),
        (XHTML, '<p class="a">x</p>', "<p class=a>x</p>"),
        (HTML, '<p class="a\u00a0b">x', '<p class="a b">x'),
        (HTML, "<p><button></p>x</button>", "<p><button>x</button></p>"),
        (XML, "<a>x<b/>y</a>", "<a>x\u22efy<b/></a>"), (HTML, "<p>x<i></i>y", "<p>x\u22efy<i></i>"),
        (XML, "<a>x<b/>y</a>", "<a>x\u22ef\u22efy<b/></a>"), (XML, "<a>\u22ef</a>", "<a>\u22ef\u22ef</a>"),
        (XML, "<a><?p q?><b/></a>", "<a><b/><?p q?></a>"), (XML, "<a>x<?p q?>y</a>", "<a>xy<?p q?></a>"),
        (XML, f'<a {XSI} xmlns:n="urn:1" xsi:type="n:T"/>', f'<a {XSI} xmlns:n="urn:2" xsi:type="n:T"/>'),
    ],
)  # fmt: skip
def test_what_one_reader_takes_for_another_thing_is_no_match(
    compare: Compare, make_answer: MakeAnswer, media: str, legacy: str, candidate: str
) -> None:
    for result in pair(compare, make_answer, media, legacy, candidate):
        assert result.verdict == "mismatched"


@pytest.mark.parametrize(
    ("media", "legacy", "candidate"),
    [
        (LINES, "1\r\n \t\n\n2\n", "1\n2"), (SSE, "\ufeffdata: a\n\n", "data: a\n\n"),
        (JSON, '{"a":1234567890123456,"b":"1e5"}', '{"b":"1e5","a":1234567890123456}'),
        (TSV, 'id\tsize\n1\t5" pipe\n"2\tx\n', 'id\tsize\r\n1\t5" pipe\r\n"2\tx\r\n'),
        (HTML, "<pre>\na  b</pre>", "<pre>a  b</pre>"), (HTML, "<textarea>\nx</textarea>", "<textarea>x</textarea>"),
        (HTML, "<svg><text><![CDATA[1 < 2]]></text></svg>", "<svg><text>1 &lt; 2</text></svg>"),
        (HTML, "<p>a<![CDATA[x]]>b", "<p>ab"), (HTML, "\n<!-- c --><!doctype html><p>x", "<!DOCTYPE html>\n<p>x"),
        (HTML, '<p>a <s style="white-space:pre">b</s> c</p> ', '<p>a\n<s style="white-space:pre">b</s>\nc </p>'),
        (XHTML, "<p><![CDATA[a & b]]></p>", "<p>a &amp; b</p>"), (XHTML, "<br/><p>x</p>", "<br />\n<p>x</p>"),
        (XML, f'<a {XSI} xmlns:n="urn:1" xsi:type="n:T"/>', f'<a {XSI} xmlns:m="urn:1" xsi:type=" m:T "/>'),
        (XML, f'<a {XSI} xmlns="urn:1" xsi:type="T"/>', f'<m:a {XSI} xmlns:m="urn:1" xsi:type="m:T"/>'),
    ],
)  # fmt: skip
def test_what_all_readers_take_for_the_same_is_matched(
    compare: Compare, make_answer: MakeAnswer, media: str, legacy: str, candidate: str
) -> None:
    assert pair(compare, make_answer, media, legacy, candidate) == (Result("matched"), Result("matched"))


@pytest.mark.parametrize(
    ("kind", "legacy", "candidate"),
    [
        ("form-data", [f"{PART}\r\n\r\nx\r\n--xONE\r\n\r\ny"], [f"{PART}\r\n\r\nx\r\n--xTWO\r\n\r\ny"]),
        ("form-data", [f"{PART}\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n1"],
         [f"{PART}\r\nContent-Type: c/d\r\n\r\n1"]),
        ("form-data", [f'{PART}; name="b"\r\n\r\n1'], [f"{PART}\r\n\r\n1"]),
        ("form-data", [f"{PART}; filename=q; filename*=UTF-8''z\r\n\r\n1"],
         [f"{PART}; filename=r; filename*=UTF-8''z\r\n\r\n1"]),
        ("form-data", [f'{PART}; filename="\udcff"\r\n\r\n1'], [f'{PART}; filename="\\xff"\r\n\r\n1']),
        ("form-data", [f"{PART}\r\nX-A: \udcff\r\n\r\n1"], [f"{PART}\r\nX-A: \udcfe\r\n\r\n1"]),
        ("form-data", [f"{PART}; size=1\r\n\r\n1"], [f"{PART}; size=2\r\n\r\n1"]),
        ("mixed", [f"{PART}\r\n\r\n1", f"{PART}; name=b\r\n\r\n2"], [f"{PART}; name=b\r\n\r\n2", f"{PART}\r\n\r\n1"]),
    ],
)  # fmt: skip
def test_parts_that_a_reader_could_take_for_others_are_no_match(
    compare: Compare, make_answer: MakeAnswer, kind: str, legacy: list[str], candidate: list[str]
) -> None:
    media = f"multipart/{kind}; boundary=x"
    for result in pair(compare, make_answer, media, parts(*legacy), parts(*candidate)):
        assert result.verdict == "mismatched"


def test_a_boundary_that_the_body_does_not_have_is_no_match(compare: Compare, make_answer: MakeAnswer) -> None:
    body = parts(f"{PART}\r\n\r\n1")
    media, other = (f"multipart/form-data; boundary={boundary}" for boundary in "xy")
    for result in pair(compare, make_answer, media, body, body, other):
        assert [(found.kind, found.path) for found in result.differences] == [("type", "$")]
    fields = [[(b"Content-Type", media.encode())], [(b"Content-Type", other.encode())]]
    digest = b"d" * 32
    one, two = (make_answer(b"--", kept, truncated=True, size=1000, digest=digest) for kept in fields)
    assert compare(one, two) == Result("incomparable", "too-large")
    assert compare(one, one) == Result("matched")


def test_two_charsets_in_one_content_type_are_no_match_in_another_order(
    compare: Compare, make_answer: MakeAnswer
) -> None:
    one, two = "text/plain; charset=utf-8; charset=latin1", "text/plain; charset=latin1; charset=utf-8"
    for result in pair(compare, make_answer, one, "a", "a", two):
        assert [found.path for found in result.differences] == ["header:content-type"]
    other = "text/plain; format=flowed; charset=utf-8"
    assert pair(compare, make_answer, other, "a", "a", "text/plain;charset=UTF-8;format=flowed")[0].verdict == "matched"


def test_text_without_a_media_type_that_only_begins_like_json_is_compared_by_lines(
    compare: Compare, make_answer: MakeAnswer
) -> None:
    result = compare(make_answer(b"[INFO] one\n", []), make_answer(b"[INFO] two\n", []))
    assert [(found.kind, found.path) for found in result.differences] == [("text", "body")]


def deflated(data: bytes, wbits: int) -> bytes:
    stream = zlib.compressobj(wbits=wbits)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("wbits", [15, -15])
@pytest.mark.parametrize("more", [b"\x00", b"x", b"\n" * 70_000])
def test_a_deflated_body_that_goes_on_is_no_match(
    compare: Compare, make_answer: MakeAnswer, wbits: int, more: bytes
) -> None:
    fields: Fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"deflate")]
    plain, body = make_answer(b"[1]", fields[:1]), deflated(b"[1]", wbits)
    assert compare(plain, make_answer(body, fields)) == Result("matched")
    assert compare(plain, make_answer(body + more, fields)) == Result("incomparable", "decode-error")


def test_many_members_are_read_in_linear_time(compare: Compare, make_answer: MakeAnswer) -> None:
    members = {"gzip": gzip.compress(b""), "zstd": b"\x50\x2a\x4d\x18\x00\x00\x00\x00"}
    ends = {"gzip": gzip.compress(b"[1]"), "zstd": zstandard.compress(b"[1]")}
    for coding, member in members.items():
        fields: Fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding.encode())]
        long = make_answer(member * (700_000 // len(member)) + ends[coding], fields)
        assert compare(make_answer(b"[1]", fields[:1]), long).verdict in ("matched", "incomparable")
        few = make_answer(member * 100 + ends[coding], fields)
        assert compare(make_answer(b"[1]", fields[:1]), few) == Result("matched")


def test_columns_in_another_order_are_ignored_where_all_is(compare: Compare, make_answer: MakeAnswer) -> None:
    one, two = (make_answer(body, [(b"Content-Type", CSV.encode())]) for body in (b"a,b\n1,2\n", b"b,a\n2,1\n"))
    assert compare(one, two).verdict == "mismatched"
    assert compare(one, two, ignore=["$"]).verdict in ("matched", "ignored")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (TSV, 'id\tpassword\n"a\thunter2\n"b\thunter2\n'), (TSV, 'id\tpassword\n"a\thunter2\n'),
        (CSV, 'id,password\n"a,hunter2\n'), (CSV, 'id,password\n"a,hunter2\n"b,hunter2\n'),
        (CSV, 'id,password\n1,"hunter\nhunter2'),
    ],
)  # fmt: skip
def test_a_quote_that_is_none_hides_no_column_from_redaction(media: str, body: str) -> None:
    stored = record_body(body.encode(), [(b"Content-Type", media.encode())], Budget(), PLAIN)
    assert "hunter2" not in stored["text"]
    assert "password" in stored["text"]
