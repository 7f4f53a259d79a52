"""Bodies that nobody should send: each ends in a verdict, in bounded steps, and never in a false match.

No assertion is about time: a body that is read in quadratic time runs into the test's own limit.
"""

import gzip
import zlib
from collections.abc import Callable
from time import monotonic
from typing import Any

import brotli
import orjson
import pytest
import zstandard

from proxy.compare.record import record
from proxy.compare.result import REASONS, Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare as Rules
from proxy.messages import Answer, Fields, Pair

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
MakePair = Callable[..., Pair]

DEEP = 100_000
MANY = 30_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": lambda data: bytes(brotli.compress(data, quality=3)),
    "zstd": zstandard.compress,
}  # fmt: skip
LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (n, b"&%c;" % (n - 1) * 10) for n in range(98, 108))
    + b"]><l>&k;</l>"
)
TRAPS: dict[str, list[tuple[str, bytes]]] = {
    "application/json": [
        ("depth", b"[" * DEEP + b"]" * DEEP), ("depth of objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
        ("never closed", b"[" * DEEP), ("escapes", b'"' + b"\\" * DEEP), ("quotes", b'"' * DEEP),
        ("digits", b"9" * DEEP), ("nodes", b"[" + b"0," * 300_000 + b"0]"),
        ("one key", b"{" + b'"a":1,' * MANY + b'"a":1}'), ("long exponent", b"[1e" + b"9" * 5000 + b"]"),
        ("empty objects", b"[" + b"{}," * MANY + b"{}]"),
    ],
    "application/x-ndjson": [
        ("empty lines", b"\n" * DEEP), ("many lines", b"1\n" * MANY), ("depth", b"[" * DEEP + b"\n" + b"[" * DEEP),
        ("returns", b"\r" * DEEP), ("risky lines", b"1e400\n" * MANY),
    ],
    "text/html": [
        ("open tags", b"<a>" * MANY), ("end tags", b"</a>" * MANY),
        ("misnested", b"<b><i>" * 10_000 + b"</b></i>" * 10_000), ("half tags", b"<a " * MANY),
        ("comments", b"<!--" * MANY), ("less-than", b"<" * DEEP),
        ("attributes", b"<a " + b"".join(b"a%d=1 " % n for n in range(20_000)) + b">"),
        ("half attribute", b'<a b="' * MANY), ("entities", b"&amp" * MANY), ("scripts", b"<script>" * MANY),
        ("paragraphs", b"<p>" * MANY), ("tables", b"<table>" * 20_000), ("text", b"a " * MANY),
        ("cdata", b"<![CDATA[" * MANY),
    ],
    "application/xml": [
        ("open tags", b"<a>" * DEEP), ("nested", b"<a>" * DEEP + b"</a>" * DEEP), ("comments", b"<!--" * MANY),
        ("laughs", LAUGHS),
        (
            "attributes", b"<a " + b"".join(b"a%d='1' " % n for n in range(20_000)) + b"/>",
        ), ("entities", b"<a>" + b"&amp;" * MANY + b"</a>"),
        ("namespaces", b"<a " + b"".join(b"xmlns:n%d='u' " % n for n in range(10_000)) + b"/>"),
        ("outside", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>'),
    ],
    "text/csv": [
        ("quotes", b'"' * DEEP), ("quoted commas", b'",' * MANY), ("commas", b"," * DEEP), ("rows", b"\r\n" * MANY),
        ("wide", b",".join(b"c%d" % n for n in range(20_000)) + b"\r\n" + b"1," * 19_999 + b"1"),
    ],
    "text/event-stream": [
        ("lines of data", b"data:a\n" * MANY), ("events", b"data:a\n\n" * MANY), ("comments", b":\n" * MANY),
        ("returns", b"\r" * DEEP), ("no end", b"data:" + b"a" * 300_000),
    ],
    "text/plain": [
        ("lines", b"\n" * DEEP), ("a line", b"x" * 300_000), ("words", b"a " * DEEP), ("cards nearly", b"4 " * MANY),
        ("dotted", b"eyJ." * MANY), ("names of secrets", b"password" * 20_000), ("no text", bytes(range(256)) * 400),
        ("lines in turn", b"a\nb\n" * 40_000),
    ],
    "application/x-www-form-urlencoded": [
        ("fields", b"a&" * MANY), ("one name", b"a=1&" * MANY), ("names", b"&".join(b"a%d=1" % n for n in range(MANY))),
        ("percents", b"%" * DEEP), ("ampersands", b"&" * DEEP),
    ],
    "multipart/form-data; boundary=x": [
        ("parts", b"--x\r\n\r\n\r\n" * 20_000), ("boundaries", b"--x" * MANY),
        ("one head", b"--x\r\n" + b"a: b\r\n" * 20_000),
        ("no end", b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 300_000),
    ],
    "image/png": [
        ("a head that lies", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\xff"),
        ("half a head", b"\x89PNG\r\n\x1a\n\x00"),
    ],
    "image/jpeg": [
        ("segments", b"\xff\xd8" + b"\xff\xe0\x00\x02" * MANY), ("no length", b"\xff\xd8\xff\xc0\x00"),
        ("fill", b"\xff" * DEEP),
    ],
}  # fmt: skip


SAYS_NOTHING = {
    "text/html: comments", "text/html: cdata", "text/event-stream: lines of data", "text/event-stream: events",
    "multipart/form-data; boundary=x: boundaries",
}  # fmt: skip
"""Traps after which a little more says nothing to their readers: within a comment that has no end, in an event that is
never sent off, after the last part."""


def ends(result: Result, *verdicts: str) -> None:
    assert result.verdict in verdicts, result
    assert bool(result.reason) == (result.verdict == "incomparable")
    assert result.reason in ("", *REASONS)
    assert result.reason != "internal-error"
    assert bool(result.differences) == (result.verdict == "mismatched")
    orjson.dumps([list(found) for found in result.differences])


@pytest.mark.parametrize(
    ("media", "body"),
    [pytest.param(media, body, id=f"{media}: {name}") for media, traps in TRAPS.items() for name, body in traps],
)
def test_a_trap_beside_the_same_with_a_little_more_is_no_match(
    compare: Compare, make_answer: MakeAnswer, make_pair: MakePair, media: str, body: bytes,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    fields = [(b"Content-Type", media.encode())]
    silent = request.node.callspec.id in SAYS_NOTHING
    trap, other, honest = (make_answer(data, fields) for data in (body, body + b"~x9", b"honest"))
    for legacy, candidate in ((trap, other), (other, trap), (trap, honest), (honest, trap)):
        result = compare(legacy, candidate)
        ends(
            result, "mismatched", "incomparable", *(["matched"] if silent and honest not in (legacy, candidate) else [])
        )
    orjson.dumps(record(make_pair(trap, honest), result, Budget()))
    ends(compare(trap, make_answer(bytes(body), fields)), "matched")


@pytest.mark.parametrize("media", TRAPS)
@pytest.mark.parametrize("coding", [*PACK, "gzip, gzip", "zstd, br", "deflate, zstd", "br, gzip, br"])
def test_a_bomb_is_incomparable_whatever_it_claims_to_be(
    compare: Compare, make_answer: MakeAnswer, media: str, coding: str
) -> None:
    body = bytes(20_000_000)
    for name in coding.split(", "):
        body = PACK[name](body)
    fields = [(b"Content-Type", media.encode()), (b"Content-Encoding", coding.encode())]
    result = compare(make_answer(b"1", fields[:1]), make_answer(body, fields))
    assert result.reason in ("ratio", "too-large")
    ends(result, "incomparable")
    assert compare(make_answer(body, fields), make_answer(b"1", fields[:1])) == result


@pytest.mark.parametrize("coding", ["gzip, gzip, gzip, gzip", "magic", "gzip;q=1", "gzip, magic", "compress"])
def test_codings_that_are_not_undone_are_compared_as_they_are(
    compare: Compare, make_answer: MakeAnswer, coding: str
) -> None:
    fields: Fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding.encode())]
    same = compare(make_answer(b"abc", fields), make_answer(b"abc", fields))
    ends(same, "matched")
    other = compare(make_answer(b"abc", fields), make_answer(b"abd", fields))
    ends(other, "mismatched", "incomparable")
    # The same bytes under a coding and without one are not known to be the same.
    ends(compare(make_answer(b"abc", fields), make_answer(b"abc", fields[:1])), "mismatched", "incomparable")


@pytest.mark.parametrize("coding", PACK)
def test_a_coded_body_that_breaks_off_or_goes_on_is_no_match(
    compare: Compare, make_answer: MakeAnswer, coding: str
) -> None:
    body = PACK[coding](b'{"a": 1}')
    fields: Fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding.encode())]
    whole = make_answer(b'{"a": 1}')
    ends(compare(whole, make_answer(body, fields)), "matched")
    for length in range(1, len(body)):
        ends(compare(whole, make_answer(body[:length], fields)), "incomparable", "mismatched")


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        (b'{"id":123456789012345678901234567890}', b'{"id":123456789012345678901234567891}'),
        (b'{"id":9007199254740992}', b'{"id":9007199254740993}'),
        (b'{"id":18446744073709551616}', b'{"id":18446744073709551617}'),
        (b'{"id":0.1234567890123456789012345678}', b'{"id":0.1234567890123456789012345679}'), (b"1e999", b"1e998"),
        (b"1e999", b"-1e999"), (b"1e-999", b"0.0"), (b"1e9999999999999999999", b"1e9999999999999999998"),
        (b"-0", b"0"), (b"-0.0", b"0.0"), (b"1", b"1.0"), (b"1", b"true"), (b"1", b'"1"'), (b"0", b"false"),
        (b"0", b"null"), (b'{"a":1,"a":2}', b'{"a":2}'), (b'{"a":1,"\\u0061":2}', b'{"a":2}'),
        (b'{"a":1}', b'{"a":1,"a":1}'), (b'"\\ud800"', b'"\\ud801"'), (b'"\\ud800"', b'"\xef\xbf\xbd"'),
        (b'"\xff"', b'"\xef\xbf\xbd"'), (b'"\\u0000"', b'""'), ('"é"'.encode(), '"e\u0301"'.encode()),
        (b'"a"', b'"A"'), (b'"a"', b'"a "'), (b'{"":1}', b'{" ":1}'), (b"[1]", b"[1]]"), (b"[1]", b"[1],"),
        (b"[1]", b"[1] x"), (b"[1]", b"\xef\xbb\xbf\xef\xbb\xbf[1]"), (b"NaN", b"null"),
        (b"[1]", "[1]".encode("utf-16")), (b"[1]", b"[1]\x00"), (b"1", b"01"), (b"1.0", b"1."), (b"[1,2]", b"[1,2,]"),
    ],
)  # fmt: skip
def test_what_a_careless_reader_takes_for_the_same_is_no_match(
    compare: Compare, legacy: bytes, candidate: bytes
) -> None:
    for one, two in ((legacy, candidate), (candidate, legacy)):
        ends(compare(one, two), "mismatched", "incomparable")


@pytest.mark.parametrize("media", ["text/event-stream", "text/csv", "text/html", "application/x-www-form-urlencoded"])
def test_pages_of_errors_are_no_match_because_neither_is_what_it_says(
    compare: Compare, make_answer: MakeAnswer, media: str
) -> None:
    fields = [(b"Content-Type", media.encode())]
    one, two = (make_answer(b"<h1>Bad gateway</h1>\n<p>upstream %d</p>\n" % n, fields) for n in (1, 2))
    ends(compare(one, two), "mismatched")


CHARSETS = (
    "utf-7", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "rot13", "hex", "zlib", "base64",
    "undefined", "mbcs", "utf-16", "utf-32", "shift_jis", "iso2022_jp", "hz", "\x00", "x" * 5000, "latin-1",
    "utf-8-sig", "cp037",
)  # fmt: skip


@pytest.mark.parametrize("media", ["application/json", "text/html", "text/csv", "application/xml", "text/plain",
    "text/event-stream", "application/x-ndjson", "application/x-www-form-urlencoded"])  # fmt: skip
@pytest.mark.parametrize("charset", CHARSETS)
def test_any_charset_gives_a_verdict_that_can_be_stored(
    compare: Compare, make_answer: MakeAnswer, make_pair: MakePair, media: str, charset: str
) -> None:
    fields = [(b"Content-Type", f"{media}; charset={charset}".encode())]
    bodies = (
        b"+AGE- \\ud83c \x1b$B",
        b"\\ud800 \\x41 \xff\xfe",
        b"abc-",
        b'{"a":"\\ud83c"}',
        b"xn--a-",
        b"\x00\xd8\x00\x00",
    )
    for one in (*bodies, b"9" * 100_000):  # quadratic in some of Python's codecs, and a record is decoded, too
        for two in bodies:
            legacy, candidate = make_answer(one, fields), make_answer(two, fields)
            result = compare(legacy, candidate)
            ends(result, "matched", "mismatched", "incomparable")
            assert (result.verdict == "matched") >= (one == two)
            orjson.dumps(record(make_pair(legacy, candidate), result, Budget()))


def objects(count: int, *, changed: bool) -> list[dict[str, Any]]:
    return [{"id": n, "v": -n if changed and n % 2 else n, "name": f"object {n:08}"} for n in range(count)]


@pytest.mark.parametrize("key", [None, "id", "name", "no such field"])
@pytest.mark.parametrize(
    "rules", [{}, {"ignore": ["$.i[*].name"]}, {"tolerance": {"$.i[*].v": 0.5}}, {"ignore": ["$..x"]}]
)
def test_f15_half_changed_unordered_objects_take_few_steps(
    compare: Compare, key: str | None, rules: dict[str, Any]
) -> None:
    legacy, candidate = {"i": objects(200, changed=False)}, {"i": objects(200, changed=True)[::-1]}
    assert 7_000 < len(orjson.dumps(candidate)) < 11_000
    few = Budget(nodes=10_000)  # comparing each with each would take 40,000
    ends(compare(legacy, candidate, few, unordered={"$.i": key}, **rules), "mismatched")
    ends(compare(legacy, {"i": legacy["i"][::-1]}, few, unordered={"$.i": key}, **rules), "matched")


@pytest.mark.parametrize("size", [1, 10, 100, 1000, 10_000])
def test_too_few_steps_are_no_match(compare: Compare, size: int) -> None:
    legacy = {"i": objects(2000, changed=False)}
    result = compare(legacy, {"i": objects(2000, changed=True)[::-1]}, Budget(nodes=size), unordered={"$.i": None})
    ends(result, "incomparable", "mismatched")
    same = compare(legacy, {"i": legacy["i"][::-1]}, Budget(nodes=size), unordered={"$.i": None})
    ends(same, "incomparable", "matched")


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-4])
@pytest.mark.parametrize("media", ["application/json", "text/html", "application/xml", "text/csv", "text/event-stream",
    "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded"])  # fmt: skip
def test_no_time_is_no_match(make_answer: MakeAnswer, make_pair: MakePair, media: str, seconds: float) -> None:
    ticks = iter(range(10**9))
    fields = [(b"Content-Type", media.encode())]
    one, two = (make_answer(b"\n".join(b'["a", %d, "%d"]' % (n, n + m) for n in range(500)), fields) for m in (0, 1))
    result = compare_pair(
        make_pair(one, two), compile_rules(Rules()), Budget(seconds=seconds), lambda: float(next(ticks))
    )
    ends(result, "incomparable", "mismatched")


SLOW_FOR_A_BACKTRACKER = ("(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*a){12}b", "([a-z]+)*=", "(x+x+)+y", r"^(\w+\s?)*$")


@pytest.mark.parametrize("pattern", SLOW_FOR_A_BACKTRACKER)
def test_a_regular_expression_is_refused_or_cannot_be_made_slow(compare: Compare, pattern: str) -> None:
    legacy, candidate = {"a": "a" * 50_000 + "!"}, {"a": "a" * 50_001 + "!"}
    try:
        compile_rules(Rules.model_validate({"match": {"$.a": {"regex": pattern}}}))
    except ValueError:
        return
    ends(compare(legacy, candidate, match={"$.a": {"regex": pattern}}), "mismatched", "incomparable")


@pytest.mark.parametrize("paths", [["$..a", "$..b"], ["$..a..b..c", "$..*..a", "$..b[*]..c"],
    [f"$..k{n}" for n in range(60)], [f"$..a{n}..b{n}" for n in range(12)], ["$" + "..*" * 12],
    ["$" + ".*" * 300], ["$" + "[*]" * 300]])  # fmt: skip
def test_rules_at_any_depth_stay_few(compare: Compare, paths: list[str]) -> None:
    legacy: Any = {"v": 1}
    candidate: Any = {"v": 2}
    for n in range(60):
        name = ("a", "b", "c", f"k{n}", f"a{n % 12}", f"b{n % 12}")[n % 6]
        legacy, candidate = {name: legacy, "q": [n]}, {name: candidate, "q": [n]}
    ends(compare(legacy, candidate, ignore=paths), "ignored", "mismatched", "incomparable")
    ends(compare(legacy, candidate, unordered=dict.fromkeys(paths)), "mismatched", "incomparable")


def test_a_body_of_nested_lists_that_are_all_unordered_ends(compare: Compare) -> None:
    def nest(depth: int, leaf: int) -> Any:
        return [nest(depth - 1, leaf), nest(depth - 1, leaf + 1)] if depth else leaf

    ends(compare(nest(12, 0), nest(12, 1), unordered={"$..*": None, "$": None}), "mismatched", "incomparable")
    deep: Any = 1
    for _ in range(190):
        deep = [deep, 2]
    other: Any = 3
    for _ in range(190):
        other = [2, other]
    ends(compare(deep, other, unordered={"$..*": None, "$": None}), "mismatched", "incomparable")


def test_a_head_of_any_kind_gives_a_verdict(make_answer: MakeAnswer, make_pair: MakePair) -> None:
    fields: Fields = [(b"", b""), (b"\xff", b"\xfe"), (b"Content-Type", b"\x00" * 9000), (b"Set-Cookie", b"=" * 9000)]
    fields += [(b"Set-Cookie", b"a%d=%d; Path=/; Expires=never" % (n, n)) for n in range(5000)]
    legacy, candidate = make_answer(b"a", fields), make_answer(b"b", fields[::-1])
    result = compare_pair(make_pair(legacy, candidate), compile_rules(Rules()), Budget(), monotonic)
    ends(result, "mismatched", "incomparable")
    assert all(len(shown) <= 400 for found in result.differences for shown in (found.legacy, found.candidate))
    orjson.dumps(record(make_pair(legacy, candidate, fields=fields), result, Budget()))
