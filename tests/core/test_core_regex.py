import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.regex import MAX_LENGTH, PathRegex


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+$",
        "(a|a)*",
        "(.*)*",
        "(a*)*b",
        "(a|ab)*c",
        "(a?){30}",
        "((a+)b?)+",
        "(x+x+)+y",
        "(|)(|)(|)(|)",
        "(a{1,3}){2,9}",
        ".*a.*b",
        "a?a?a?a?a?aaaaa",
        "(a)\\1",
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        "(?i)a",
        "(?P<n>a)",
        "a*?",
        "a++",
        "a**",
        "a{1,100}",
        "a{65}",
        "a{3,2}",
        "(a{64}){64}",
        "\\bword",
        "\\Aa",
        "(a",
        "a)",
        "[a",
        "*a",
        "a|*",
        "[b-a]",
        "a^b",
        "a$b",
        "[[a]",
        "a" * (MAX_LENGTH + 1),
        "{",
        "((((((((((((((((((a))))))))))))))))))",
    ],
)
def test_expression_outside_the_subset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PathRegex(text)


@pytest.mark.parametrize(
    ("text", "fitting", "other"),
    [
        ("/v[0-9]+/orders", "/v12/orders", "/v/orders"),
        ("^/v\\d+/x$", "/v1/x", "/v1/xx"),
        ("/files/.*\\.pdf", "/files/a/b.pdf", "/files/a.pdfx"),
        ("(/[a-z]+)*", "/a/bc/d", "/a//b"),
        ("/(v1|v2)/[^/]+", "/v2/é", "/v3/x"),
        ("/a{2,3}b?", "/aaa", "/a"),
        ("/[\\w.-]+", "/a.b-c", "/a b"),
        ("/[]a]", "/]", "/b"),
        ("/x\\{1\\}", "/x{1}", "/x"),
        ("/(?:a|)c", "/c", "/b"),
    ],
)
def test_accepted_expression_fits_whole_paths_only(text: str, fitting: str, other: str) -> None:
    regex = PathRegex(text)
    assert regex.fits(fitting.encode())
    assert not regex.fits(other.encode())


def test_bytes_that_are_not_utf8_fit_only_wide_sets() -> None:
    assert PathRegex("/[^/]+").fits(b"/\xff")
    assert not PathRegex("/[a-z]+").fits(b"/\xff")


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("/api/v[0-9]+/x", (b"api",)),
        ("/api/.*", (b"api",)),
        ("/api", ()),
        ("(/a|/b)/c", ()),
        ("/a/b?/c", (b"a",)),
        ("/a|/b", ()),
    ],
)
def test_literal_segments_are_those_before_the_first_doubt(text: str, segments: tuple[bytes, ...]) -> None:
    assert PathRegex(text).literal_segments == segments


@pytest.mark.parametrize(
    ("one", "two", "meet"),
    [
        ("/a/[0-9]+", "/a/[a-f0-9]{2}", True),
        ("/a/[0-9]+", "/a/[a-f]+", False),
        ("/a/.*", "/a/b/c", True),
        ("/a/.*\\.pdf", "/a/.*\\.txt", False),
        ("/(x|y)/1", "/(y|z)/1", True),
        ("/a{2}", "/a{3,4}", False),
        ("/a{2,}", "/a{5}", True),
    ],
)
def test_overlap_of_two_expressions_is_exact(one: str, two: str, *, meet: bool) -> None:
    assert PathRegex(one).overlaps(PathRegex(two)) is meet
    assert PathRegex(two).overlaps(PathRegex(one)) is meet


PIECES = st.sampled_from(
    ["a", "b", "/", ".", "[ab]", "[^/]", "\\d", "(", ")", "|", "*", "+", "?", "{2}", "{1,3}", "(a|b)", "a*"]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.text(alphabet="ab/1", max_size=8))
@example("(|)(|)", "a")
def test_accepted_expression_means_what_python_means(text: str, path: str) -> None:
    try:
        regex = PathRegex(text)
    except ValueError:
        return
    assert regex.fits(path.encode()) == (re.fullmatch(text, path, re.ASCII) is not None)
    if regex.fits(path.encode()):
        assert path.encode().split(b"/")[1:][: len(regex.literal_segments)] == list(regex.literal_segments)
        assert regex.overlaps(PathRegex("".join(re.escape(c) for c in path)))


@given(st.lists(PIECES, max_size=16).map("".join))
def test_accepted_expression_never_takes_long(text: str) -> None:
    try:
        regex = PathRegex(text)
    except ValueError:
        return
    begin = time.process_time()
    for path in (b"/" + b"a" * 2047, b"a" * 2047 + b"!", b"ab" * 1023 + b"!", b"/a" * 1023 + b"!", b"1" * 2047 + b"!"):
        regex.fits(path)
    assert time.process_time() - begin < 2  # exponential ones would take years
