import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.template import EXACT, PREFIX, TEMPLATE, ambiguous, parse_template

ALPHABET = st.sampled_from(["/", ".", "a", "%2e", "%2E", "%2f", "%5C", "\\", ";", "%00", "%41", "%", "x", "%252F", "-"])


@pytest.mark.parametrize(
    "path",
    [
        b"/a//b",
        b"//",
        b"/.",
        b"/..",
        b"/a/./b",
        b"/a/../b",
        b"/a/..",
        b"/%2e",
        b"/.%2E/x",
        b"/%2e%2e/",
        b"/..;/a",
        b"/..;x=1/a",
        b"/%2e.;/",
        b"/a;b",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a\\b",
        b"/a%5cb",
        b"/a%5Cb",
        b"/a%00",
        b"/a%",
        b"/a%4",
        b"/a%zz",
        b"/%252e%252e/",
        b"/a%252Fb",
        b"/%c0%af",
        b"/..%3b/x",
    ],
)
def test_path_that_two_parsers_read_differently_is_ambiguous(path: bytes) -> None:
    assert ambiguous(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"*",
        b"/a",
        b"/a/",
        b"/a.b/c..d/...",
        b"/.well-known/x",
        b"/a%20b",
        b"/caf%C3%A9",
        b"/a%25",
        b"/-/_/~x/@:$&'()*+,=",
    ],
)
def test_ordinary_path_is_not_ambiguous(path: bytes) -> None:
    assert not ambiguous(path)


@given(st.lists(ALPHABET, max_size=8))
def test_path_without_ambiguity_means_the_same_decoded_first_or_split_first(parts: list[str]) -> None:
    path = b"/" + "".join(parts).encode()
    if ambiguous(path):
        return
    from urllib.parse import unquote_to_bytes

    split_first = [unquote_to_bytes(segment) for segment in path.split(b"/")]
    assert unquote_to_bytes(path).split(b"/") == split_first
    assert not {b".", b".."} & set(split_first)
    assert b"" not in split_first[1:-1]


@pytest.mark.parametrize(
    ("text", "kind", "segments", "rest"),
    [
        ("/", EXACT, (b"",), ""),
        ("/a/b", EXACT, (b"a", b"b"), ""),
        ("/a/", EXACT, (b"a", b""), ""),
        ("/a/{id}", TEMPLATE, (b"a", None), ""),
        ("/{x}/**", TEMPLATE, (None,), "any"),
        ("/a/**", PREFIX, (b"a",), "any"),
        ("/**", PREFIX, (), "any"),
        ("/caf%C3%A9", EXACT, ("café".encode(),), ""),
        ("/café", EXACT, ("café".encode(),), ""),
    ],
)
def test_template_is_read_as(text: str, kind: int, segments: tuple[bytes | None, ...], rest: str) -> None:
    pattern = parse_template(text)
    assert (pattern.kind, pattern.segments, pattern.open) == (kind, segments, rest)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "/{x",
        "/x}",
        "/{}",
        "/a{x}",
        "/{x}b",
        "/{x}/{x}",
        "/**/a",
        "/*",
        "/a*b",
        "/a/../b",
        "/a//b",
        "/a?b=1",
        "/a#b",
        "/{1}",
    ],
)
def test_bad_template_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        parse_template(text)


def test_more_specific_templates_have_the_higher_rank() -> None:
    ordered = ["/a/b/{x}", "/a/{x}/{y}", "/a/{x}", "/a/{x}/{y}/**", "/a/{x}/**", "/{x}", "/a/b/**", "/a/**", "/**"]
    ranks = [parse_template(text).rank for text in ordered]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)
