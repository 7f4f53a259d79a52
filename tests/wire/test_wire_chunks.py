"""Taking bodies off a buffer, however it was cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.body import (
    CHUNKS_AT_ONCE,
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILER_BYTES,
    MAX_TRAILERS,
    BodyError,
    ChunkedBody,
    CloseBody,
    LengthBody,
    chunk,
    last_chunk,
)

Result = tuple[bytes, list[tuple[bytes, bytes]], bytes, bool] | None


def take(pieces: list[bytes]) -> Result:
    """(decoded, trailers, what follows, done) of a chunked body in pieces; None for an error."""
    body = ChunkedBody()
    decoded = rest = b""
    for piece in pieces:
        if body.done:
            rest += piece
            continue
        try:
            out, after = body.take(piece)
        except BodyError:
            return None
        decoded += out
        rest += after
        assert body.done or not after
    return decoded, body.trailers, rest, body.done


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
values = st.binary(max_size=8).map(lambda v: bytes(b for b in v if b > 0x20 and b != 0x7F))
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
trailers = st.lists(st.tuples(tokens, values), max_size=4)
broken = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [
                b"0",
                b"5",
                b"a",
                b"\r\n",
                b"\n",
                b"\r",
                b";x=y",
                b" ",
                b"hello",
                b"X: y",
                b"\r\n\r\n",
                b":",
                b"\x00",
                b"-1",
                b"FFFFFFFFFFFFFFFF",
            ]
        ),
        max_size=14,
    ).map(b"".join),
)


@given(bodies, trailers, st.binary(max_size=10), st.lists(st.integers(0, 500), max_size=12))
def test_what_was_chunked_comes_back_however_it_is_cut(
    pieces: list[bytes], lines: list[tuple[bytes, bytes]], after: bytes, places: list[int]
) -> None:
    data = b"".join(map(chunk, pieces)) + last_chunk(b"".join(b"%b: %b\r\n" % line for line in lines)) + after
    assert take(cut(data, places)) == (b"".join(pieces), lines, after, True)


@given(broken, st.lists(st.integers(0, 100), max_size=8))
def test_any_bytes_mean_the_same_however_they_are_cut(data: bytes, places: list[int]) -> None:
    whole = take([data])
    assert take(cut(data, places)) == whole
    assert take([data[n : n + 1] for n in range(len(data))]) == whole


@given(bodies, st.lists(st.integers(0, 300), max_size=5), st.integers(0, 300))
def test_a_body_that_breaks_off_is_never_done(pieces: list[bytes], places: list[int], at: int) -> None:
    data = b"".join(map(chunk, pieces)) + last_chunk(b"")
    found = take(cut(data[: at % len(data)], places))
    assert found is not None
    assert not found[3]
    assert b"".join(pieces).startswith(found[0])


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n", b"5\r\nhello\n", b"5 \r\nhello\r\n", b" 5\r\nhello\r\n", b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n", b"\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\rX", b"5;a\x00\r\n", b"5;a\rb\r\n",
        b"10000000000000000\r\n",
        b"FFFFFFFFFFFFFFFF\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\nX: a\x00b\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nno colon\r\n\r\n", b"0\r\nX: y\r\n folded\r\n\r\n", b"0\r\nX: a\rb\r\n\r\n", b"0\r\n\n",
    ],
)  # fmt: skip
def test_what_does_not_fit_the_grammar_is_an_error(data: bytes) -> None:
    assert take([data]) is None


def test_lines_and_trailers_are_bounded() -> None:
    assert take([b"5;" + b"x" * (MAX_CHUNK_LINE_BYTES - 4) + b"\r\nhello\r\n"]) is not None
    assert take([b"5;" + b"x" * (MAX_CHUNK_LINE_BYTES - 3) + b"\r\nhello\r\n"]) is None
    assert take([b"5;" + b"x" * (MAX_CHUNK_LINE_BYTES + 1)]) is None
    assert take([b"0\r\n" + b"X: y\r\n" * MAX_TRAILERS + b"\r\n"]) is not None
    assert take([b"0\r\n" + b"X: y\r\n" * (MAX_TRAILERS + 1) + b"\r\n"]) is None
    assert take([b"0\r\nX: " + b"y" * MAX_TRAILER_BYTES + b"\r\n\r\n"]) is None
    assert take([b"0\r\nX: " + b"y" * MAX_TRAILER_BYTES + b"y" * 10]) is None


def test_of_very_many_chunks_a_bounded_number_is_decoded_at_once() -> None:
    for more in (0, 1):
        body, rest = ChunkedBody(), chunk(b"a") * (2 * CHUNKS_AT_ONCE + more) + last_chunk(b"") + b"next"
        taken = []
        while not body.done:
            piece, rest = body.take(rest)
            taken.append(len(piece))
        assert (taken, rest) == ([CHUNKS_AT_ONCE, CHUNKS_AT_ONCE, more], b"next")


@given(st.binary(max_size=60), st.integers(0, 60), st.lists(st.integers(0, 60), max_size=6))
def test_a_length_is_counted(data: bytes, length: int, places: list[int]) -> None:
    body = LengthBody(length)
    got = after = b""
    for piece in cut(data, places):
        taken, rest = body.take(piece)
        got, after = got + taken, after + rest
    assert (got, after, body.done) == (data[:length], data[length:], len(data) >= length)


def test_a_body_up_to_the_close_is_everything() -> None:
    body = CloseBody()
    assert body.take(b"all") == (b"all", b"")
    assert not body.done
