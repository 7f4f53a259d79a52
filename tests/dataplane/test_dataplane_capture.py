"""Answers as they are kept: what is held is bounded, and equal means that every byte was seen and is the same."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.capture import DIGEST_FROM_BYTES, SPENT_BYTES, Side, equal

CAPS = st.sampled_from([0, 1, 100, SPENT_BYTES, SPENT_BYTES + 1, 40_000, DIGEST_FROM_BYTES, 3 * DIGEST_FROM_BYTES])
BODIES = st.builds(
    lambda piece, times, last: piece * times + last,
    st.binary(min_size=1, max_size=40),
    st.sampled_from([0, 1, 3, 500, 2000, 40_000]),
    st.binary(max_size=3),
)
CUTS = st.lists(st.integers(0, 2_000_000), max_size=6)


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    """The body in pieces; some are empty."""
    places = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(places)]


def taken(side: Side, pieces: list[bytes]) -> int:
    """Give the pieces to the side; returns the bytes held, and checks them after each piece."""
    held = 0
    for piece in pieces:
        held += side.piece(piece)
        assert held == sum(map(len, side.pieces))
    return held


@given(BODIES, BODIES, CUTS, CUTS, CAPS, st.booleans())
def test_two_sides_are_equal_if_and_only_if_their_bytes_are(
    one: bytes, other: bytes, cuts: list[int], more_cuts: list[int], cap: int, same: bool
) -> None:
    if same:
        other = one
    a, b = Side(cap), Side(cap)
    held_a, held_b = taken(a, cut(one, cuts)), taken(b, cut(other, more_cuts))
    if a.truncated:  # as a pairing does
        held_b += b.shorten()
    if b.truncated:
        held_a += a.shorten()
    assert equal(a, b, ()) is (one == other)
    assert equal(b, a, ()) is (one == other)
    for side, body, held in ((a, one, held_a), (b, other, held_b)):
        assert held == sum(map(len, side.pieces)) <= max(cap, 0)
        assert b"".join(side.pieces) == body[: len(b"".join(side.pieces))]
        assert side.size == len(body)
        answer = side.answer("")
        assert answer.truncated is (len(answer.body) < len(body))
        if answer.truncated:
            assert held == min(cap, SPENT_BYTES)
            assert (answer.size, answer.digest) == (len(body), hashlib.sha256(body).digest())
        else:
            assert (answer.size, answer.digest) == (0, b"")


@given(BODIES, CUTS, st.integers(0, 6), st.sampled_from(["shorten", "give_up"]))
def test_what_the_other_side_does_in_the_middle_changes_no_byte(body: bytes, cuts: list[int], at: int, do: str) -> None:
    pieces = cut(body, cuts)
    side = Side(DIGEST_FROM_BYTES)
    held = taken(side, pieces[:at])
    held += side.shorten() if do == "shorten" else side.give_up()
    assert held == sum(map(len, side.pieces)) <= SPENT_BYTES
    held += sum(side.piece(piece) for piece in pieces[at:])
    assert held == sum(map(len, side.pieces)) <= SPENT_BYTES
    answer = side.answer("")
    assert body.startswith(answer.body)
    assert answer.truncated is (len(body) > SPENT_BYTES)
    if do == "give_up" and answer.truncated:
        assert (answer.size, answer.digest) == (0, b"")
        assert not equal(side, side, ())  # nobody saw all of it
    else:
        assert side.digest() in (b"", hashlib.sha256(body).digest())
        assert equal(side, side, ())


@given(BODIES, CAPS)
def test_an_answer_that_was_cut_is_equal_to_none_not_even_to_its_own_bytes(body: bytes, cap: int) -> None:
    whole, cut_off = Side(cap), Side(cap)
    for side in (whole, cut_off):
        side.piece(body)
    cut_off.cut()
    assert not equal(whole, cut_off, ())
    assert not equal(cut_off, whole, ())
    answer = cut_off.answer("")
    assert (answer.truncated, answer.size, answer.digest) == (True, 0, b"")


@pytest.mark.parametrize("which", ["status", "size", "coding", "header"])
def test_a_digest_alone_does_not_make_two_answers_equal(which: str) -> None:
    sides = [Side(10), Side(10)]
    for side in sides:
        side.fields = [(b"Content-Type", b"a/b")]
        side.piece(b"x" * 1000)
    assert equal(*sides, (b"content-type",))
    match which:
        case "status":
            sides[1].status = 404
        case "size":
            sides[1].size += 1
        case "coding":
            sides[1].fields.append((b"Content-Encoding", b"gzip"))
        case "header":
            sides[1].fields = [(b"Content-Type", b"a/c")]
    assert not equal(*sides, (b"content-type",))


def test_a_failed_answer_tells_nothing_of_its_body() -> None:
    side = Side(10)
    side.status = 200
    side.piece(b"x" * 1000)
    answer = side.answer("truncated")
    assert (answer.status, answer.body, answer.truncated, answer.failure) == (0, b"", False, "truncated")
