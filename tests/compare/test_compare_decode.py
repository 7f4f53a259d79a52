"""Bodies as they come: codings stacked, charsets, bodies too long to be kept."""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from bodies import found
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare.charsets import charset_of, decode, texts
from proxy.compare.decode import decode_body
from proxy.compare.result import Budget, Incomparable, Result
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "DEFLATE": _bare,
    "br": brotli.compress, "zstd": zstandard.compress, "identity": bytes,
}  # fmt: skip


@shared
@given(st.binary(min_size=1, max_size=3000), st.lists(st.sampled_from(sorted(CODERS)), max_size=3), st.booleans())
def test_codings_do_not_matter_and_content_does(
    compare: Compare, make_answer: MakeAnswer, data: bytes, names: list[str], apart: bool
) -> None:
    def coded(data: bytes) -> Answer:
        for name in names:
            data = CODERS[name](data)
        told = [name.encode() for name in names] if apart else [", ".join(names).encode()]
        return make_answer(data, [(b"Content-Type", b"image/x")] + [(b"Content-Encoding", name) for name in told])

    plain = make_answer(data, [(b"Content-Type", b"image/x")])
    assert compare(plain, coded(data)) == compare(coded(data), plain) == Result("matched")
    assert found(compare(plain, coded(data + b"!"))) == [("digest", "body")]


def test_more_codings_than_three_and_unknown_ones_stay_as_they_are(compare: Compare, make_answer: MakeAnswer) -> None:
    def answer(coding: bytes, body: bytes = b"[1]") -> Answer:
        return make_answer(body, [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding)])

    assert compare(answer(b"magic"), answer(b"magic")) == Result("matched")
    assert found(compare(answer(b"magic"), answer(b"magic", b"[2]"))) == [("digest", "body")]
    assert found(compare(answer(b"magic"), answer(b"other"))) == [("digest", "body")]
    assert found(compare(answer(b"magic"), answer(b""))) == [("digest", "body")]
    four = b"gzip, gzip, gzip, gzip"
    assert found(compare(answer(four), answer(four, b"[2]"))) == [("digest", "body")]


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
@pytest.mark.parametrize("cut", [1, 2, 5, 20, 100])
def test_a_coded_body_that_broke_off_is_never_a_match(
    compare: Compare, make_answer: MakeAnswer, coding: bytes, cut: int
) -> None:
    body = CODERS[coding.decode()](b"[" + b",".join(b"%d" % (n * n) for n in range(500)) + b"]")
    fields: Fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding)]
    whole, part = make_answer(body, fields), make_answer(body[:-cut], fields)
    assert compare(whole, part) == compare(part, whole) == Result("incomparable", "decode-error")


SKIPPED = b"\x5f\x2a\x4d\x18\x05\x00\x00\x00notes"  # RFC 8878 section 3.1.2


def test_frames_of_zstd_follow_one_another_and_what_is_to_be_skipped_is(
    compare: Compare, make_answer: MakeAnswer
) -> None:
    fields: Fields = [(b"Content-Type", b"image/x"), (b"Content-Encoding", b"zstd")]
    one = zstandard.ZstdCompressor(write_checksum=True).compress(b"one")
    two = zstandard.compress(b"two")
    plain = make_answer(b"onetwo", fields[:1])
    for data in (one + two, SKIPPED + one + two, one + SKIPPED + SKIPPED + two, one + two + SKIPPED):
        assert compare(plain, make_answer(data, fields)) == Result("matched")
        for cut in (1, 5, 6):
            part = make_answer(data[:-cut], fields)
            assert compare(plain, part) == Result("incomparable", "decode-error")


def test_a_coding_is_undone_as_its_name_says_and_bare_deflate_is_told_by_its_head() -> None:
    for number in range(500):
        data = b"%d" % number * (1 + number % 7)
        assert decode_body(_bare(data), [(b"Content-Encoding", b"deflate")], Budget()) == (data, True)
    with pytest.raises(Incomparable, match="decode-error"):
        decode_body(zlib.compress(b"no gzip"), [(b"Content-Encoding", b"gzip")], Budget())


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_only_what_grows_beyond_a_mebibyte_may_grow_too_much(coding: str) -> None:
    fields: Fields = [(b"Content-Encoding", coding.encode())]
    small, large = bytes(1024 * 1024), bytes(2 * 1024 * 1024)
    assert decode_body(CODERS[coding](small), fields, Budget()) == (small, True)
    with pytest.raises(Incomparable, match="ratio"):
        decode_body(CODERS[coding](large), fields, Budget())
    assert decode_body(CODERS[coding](large), fields, Budget(ratio=2**30)) == (large, True)
    with pytest.raises(Incomparable, match="too-large"):
        decode_body(CODERS[coding](large), fields, Budget(ratio=2**30, decoded_bytes=len(large) - 1))


def test_bombs_of_several_layers_are_incomparable(compare: Compare, make_answer: MakeAnswer) -> None:
    bomb = gzip.compress(gzip.compress(bytes(60_000_000)))
    fields: Fields = [(b"Content-Type", b"text/plain"), (b"Content-Encoding", b"gzip, gzip")]
    assert compare(make_answer(bomb, fields), make_answer(b"x", fields[:1])).reason in ("ratio", "too-large")


ACCENTS = "<?xml version='1.0'?><a>caf\u00e9</a>"


@pytest.mark.parametrize(
    ("charset", "label"),
    [
        ("utf-8", "utf-8"), ("utf-8-sig", ""), ("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252"),
        ("utf-16", ""), ("utf-16-le", "utf-16le"), ("utf-16-be", "UTF-16BE"), ("utf-32", "utf-32"), ("utf-16-le", ""),
        ("iso8859_15", "iso-8859-15"), ("mac_roman", "macintosh"), ("utf-16-le", "utf-16"),
    ],
)  # fmt: skip
def test_charsets_are_looked_through(compare: Compare, make_answer: MakeAnswer, charset: str, label: str) -> None:
    media = "application/xml" + (f"; charset={label}" if label else "")
    rules: dict[str, Any] = {"headers": []}
    plain = make_answer(ACCENTS.encode(), [(b"Content-Type", b"application/xml; charset=utf-8")])
    other = make_answer(ACCENTS.encode(charset), [(b"Content-Type", media.encode())])
    assert compare(plain, other, **rules) == Result("matched")
    changed = make_answer(ACCENTS.replace("\u00e9", "\u00e8").encode(charset), [(b"Content-Type", media.encode())])
    assert found(compare(plain, changed, **rules)) == [("value", "$.a")]


@pytest.mark.parametrize("media", [b"text/plain", b"text/html", b"text/csv", b"application/xml", b"application/json"])
@pytest.mark.parametrize("label", [b"x-unheard-of", b"utf-7", b"unicode_escape", b"idna", b"rot13", b"../../x", b"hex"])
def test_the_same_bytes_in_an_unknown_charset_are_not_the_same_text(
    compare: Compare, make_answer: MakeAnswer, media: bytes, label: bytes
) -> None:
    body = b'"+AGE-caf\xc3\xa9"' if media == b"application/json" else b"<a>+AGE-caf\xc3\xa9</a>"
    known = make_answer(body, [(b"Content-Type", media + b"; charset=utf-8")])
    unknown = make_answer(body, [(b"Content-Type", media + b"; charset=" + label)])
    other = make_answer(b"<a>x</a>", [(b"Content-Type", media + b"; charset=" + label)])
    if media != b"application/json":  # which is UTF-8 whatever is said
        assert compare(known, unknown, headers=[]).verdict == "mismatched"
    assert compare(unknown, unknown).verdict == "matched"
    assert compare(unknown, other).verdict in ("mismatched", "incomparable")


def test_the_same_bytes_in_two_charsets_are_two_texts(compare: Compare, make_answer: MakeAnswer) -> None:
    wide = [make_answer(b"ab", [(b"Content-Type", b"text/plain" + more)]) for more in (b"", b"; charset=utf-16le")]
    assert found(compare(*wide, headers=[])) == found(compare(*wide[::-1], headers=[])) == [("text", "body")]
    one = make_answer(b"caf\xe9", [(b"Content-Type", b"text/plain; charset=iso-8859-1")])
    two = make_answer(b"caf\xe9", [(b"Content-Type", b"text/plain; charset=iso-8859-5")])
    assert found(compare(one, two, headers=[])) == [("text", "body")]
    assert found(compare(one, two)) == [("content-type", "header:content-type"), ("text", "body")]


def test_nothing_is_guessed_for_one_side_only() -> None:
    assert texts(b"caf\xe9", "caf\u00e9".encode(), ("", ""), ("", "")) == ("caf\u00e9", "caf\u00c3\u00a9")
    assert texts(b"caf\xe9", "caf\u00e9".encode(), ("", "utf-8"), ("", "")) == (None, "caf\u00e9")


def test_a_byte_order_mark_before_text_is_seen(compare: Compare, make_answer: MakeAnswer) -> None:
    fields: Fields = [(b"Content-Type", b"text/plain")]
    result = compare(make_answer(b"a", fields), make_answer(b"\xef\xbb\xbfa", fields))
    assert found(result) == [("text", "body")]
    assert result.differences[0].legacy != result.differences[0].candidate


@shared
@given(st.text(max_size=30), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]))
def test_a_byte_order_mark_says_the_charset(text: str, codec: str) -> None:
    body = ("\ufeff" + text).encode(codec)
    if codec == "utf-16-le" and text.startswith("\x00"):
        return  # the same bytes begin a text in UTF-32
    assert decode(body, charset_of(body, "windows-1252")) == text


def long(body: bytes, kept: int = 10, *, read: bool = True, media: bytes = b"image/x", coding: bytes = b"") -> Answer:
    fields: Fields = [(b"Content-Type", media)]
    if coding:
        fields.append((b"Content-Encoding", coding))
    digest = hashlib.sha256(body).digest() if read else b""
    return Answer(200, fields, body[:kept], True, 0.1, size=len(body) if read else 0, digest=digest)


def test_long_bodies_are_compared_by_length_and_digest(compare: Compare, make_answer: MakeAnswer) -> None:
    body = bytes(range(256)) * 100
    assert compare(long(body), long(body)) == Result("matched")
    assert compare(long(body, 10), long(body, 20)) == Result("matched")
    assert compare(long(body, coding=b"gzip"), long(body, coding=b"gzip")) == Result("matched")
    assert compare(long(body, media=b"application/json"), long(body, media=b"application/json")) == Result("matched")
    assert found(compare(long(body), long(body + b"x"))) == [("size", "body")]
    assert found(compare(long(body), long(body[:-1] + b"x"))) == [("digest", "body")]
    assert found(compare(long(body, media=b"text/plain"), long(body + b"x", media=b"text/plain"))) == [("size", "body")]
    small = make_answer(body[:9], [(b"Content-Type", b"image/x")])
    assert found(compare(long(body), small)) == found(compare(small, long(body))) == [("size", "body")]
    assert found(compare(long(body, read=False), small)) == [("size", "body")]
    assert found(compare(long(body, read=False), long(b"x" + body))) == [("digest", "body")]


def test_of_long_bodies_only_what_is_certain_is_said(compare: Compare, make_answer: MakeAnswer) -> None:
    body = bytes(range(256)) * 100
    unknown = Result("incomparable", "too-large")
    for media in (b"application/json", b"text/html", b"application/xml", b"text/csv", b""):
        assert compare(long(body, media=media), long(body + b" ", media=media)) == unknown
        assert compare(long(body, media=media), make_answer(b"1", [(b"Content-Type", media)])) == unknown
    assert compare(long(body, coding=b"gzip"), long(body + b"x", coding=b"gzip")) == unknown
    assert compare(long(body, coding=b"gzip"), long(body), headers=[]) == unknown
    assert compare(long(body, read=False), long(body, read=False)) == unknown
    assert compare(long(body, read=False), long(body)) == unknown
    cafe = b"caf\xe9" * 100
    assert (
        compare(long(cafe, media=b"text/plain; charset=latin1"), long(cafe, media=b"text/plain"), headers=[]) == unknown
    )
    assert found(compare(long(body), long(body, media=b"text/html"), headers=[])) == [("type", "body")]


def test_a_head_that_differs_is_said_although_the_body_is_too_long(compare: Compare) -> None:
    one, two = long(b"[1]" * 10, media=b"application/json"), long(b"[2]" * 10, media=b"application/json")
    two.status = 201
    assert found(compare(one, two)) == [("status", "status")]


@pytest.mark.parametrize("media", [b"text/html", b"application/xml"])
def test_reading_markup_has_a_time_of_its_own(compare: Compare, make_answer: MakeAnswer, media: bytes) -> None:
    fields: Fields = [(b"Content-Type", media)]
    one, two = (make_answer(b"<a>" + b"<b>%d</b>" % n * 2000 + b"</a>", fields) for n in (1, 2))
    assert compare(one, two, Budget(reading=-1)) == Result("incomparable", "budget")
    assert compare(one, two).verdict == "mismatched"


def test_time_runs_out_in_the_walk_and_not_before_it(compare: Compare, make_answer: MakeAnswer) -> None:
    legacy, candidate = ({"x": [[n, more] for n in range(3000)]} for more in (1, 2))
    assert compare(legacy, candidate, Budget(seconds=-1)) == Result("incomparable", "budget")
