"""Heads: statuses by class, redirects, media types, cookies attribute by attribute, and rules for each."""

from collections.abc import Callable
from typing import Any

import pytest
from bodies import found
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare.cookies import MAX_COOKIES, parse_cookie
from proxy.compare.result import Result
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
Heads = Callable[..., Result]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def heads(compare: Compare, make_answer: MakeAnswer) -> Heads:
    def heads(legacy: Fields, candidate: Fields, **rules: Any) -> Result:
        return compare(make_answer(b"", legacy, 302), make_answer(b"", candidate, 302), **rules)

    return heads


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (200, 201, ("status", "status")), (200, 404, ("status-class", "status")),
        (404, 500, ("status-class", "status")), (301, 302, ("status", "status")),
    ],
)  # fmt: skip
def test_the_class_of_a_status_outranks_its_code(
    compare: Compare, make_answer: MakeAnswer, one: int, two: int, expected: tuple[str, str]
) -> None:
    assert found(compare(make_answer({}, status=one), make_answer({}, status=two))) == [expected]


@pytest.mark.parametrize("failure", ["connect-timeout", "first-byte-timeout", "idle-timeout", "total-timeout"])
def test_a_timeout_on_one_side_is_a_kind_of_its_own(compare: Compare, make_answer: MakeAnswer, failure: str) -> None:
    gone = make_answer(b"", [], 0, failure=failure)
    assert found(compare(make_answer({}), gone)) == found(compare(gone, make_answer({}))) == [("timeout", "error")]
    reset = make_answer(b"", [], 0, failure="reset")
    assert found(compare(make_answer({}), reset)) == [("error", "error")]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (b"application/json", b"application/json; charset=UTF-8", True),
        (b"application/json", b"application/json; charset=latin1", False),
        (b"text/html; charset=utf-8", b'TEXT/HTML;charset="UTF-8"', True),
        (b"text/html; charset=utf8", b"text/html; charset=utf-8", True),
        (b"text/html", b"text/html; charset=utf-8", False),
        (b"text/html; charset=utf-8; v=1", b"text/html; v=1; charset=utf-8", True),
        (b"multipart/mixed; boundary=a", b"multipart/mixed; boundary=b", True),
        (b"application/json", b"application/problem+json", False),
        (b"text/csv; header=present", b"text/csv; header=absent", False),
    ],
)
def test_media_types_are_compared_by_what_they_mean(heads: Heads, one: bytes, two: bytes, same: bool) -> None:
    result = heads([(b"Content-Type", one)], [(b"content-type", two)])
    if same:
        assert result == Result("matched")
    else:
        assert found(result) == [("content-type", "header:content-type")]


def test_headers_that_are_asked_for_are_compared(heads: Heads) -> None:
    legacy, candidate = [(b"ETag", b"1"), (b"Server", b"a")], [(b"etag", b"2"), (b"Server", b"b")]
    assert heads(legacy, candidate) == Result("matched")
    assert found(heads(legacy, candidate, headers=["etag"])) == [("header", "header:etag")]
    gone = heads(legacy, [], headers=["ETag"])
    assert found(gone) == [("header", "header:etag")]
    assert (gone.differences[0].legacy, gone.differences[0].candidate) == ("1", "absent")
    assert heads(legacy, candidate, headers=["etag"], ignore=["header:etag"]).verdict == "ignored"
    assert heads(legacy, candidate, headers=["etag"], match={"header:etag": "number"}) == Result("matched")
    assert found(heads(legacy, [(b"ETag", b"x")], headers=["etag"], match={"header:etag": "number"})) == [
        ("format", "header:etag")
    ]


def test_a_field_that_comes_more_often_differs_under_a_matcher_too(heads: Heads) -> None:
    once, twice = [(b"ETag", b"1")], [(b"ETag", b"2"), (b"ETag", b"3")]
    rules: dict[str, Any] = {"headers": ["etag"], "match": {"header:etag": "number"}}
    assert found(heads(once, twice, **rules)) == found(heads(twice, once, **rules)) == [("header", "header:etag")]
    assert heads(twice, twice[::-1], **rules) == Result("matched")


def test_a_redirect_may_name_another_host_if_a_rule_says_so(heads: Heads) -> None:
    legacy, candidate = [(b"Location", b"http://old/a?b=1")], [(b"Location", b"http://new/a?b=1")]
    assert found(heads(legacy, candidate)) == [("redirect", "header:location")]
    rules = {"match": {"header:location": "url-without-host"}}
    assert heads(legacy, candidate, **rules) == Result("matched")
    assert found(heads(legacy, [(b"Location", b"http://new/c?b=1")], **rules)) == [("redirect", "header:location")]


FULL = "theme=dark; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax; Max-Age=60; Expires={}; Partitioned"
DATE = "Wed, 15 Nov 2028 07:28:00 GMT"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("dark", "light", "cookie:theme"), ("Path=/;", "Path=/a;", "cookie:theme;path"),
        ("Path=/; ", "", "cookie:theme;path"), ("example.org", "example.com", "cookie:theme;domain"),
        ("Secure; ", "", "cookie:theme;secure"), ("HttpOnly; ", "", "cookie:theme;httponly"),
        ("Lax", "None", "cookie:theme;samesite"), ("=60", "=61", "cookie:theme;max-age"),
        ("07:28", "07:30", "cookie:theme;expires"), ("; Partitioned", "", "cookie:theme;partitioned"),
        ("; Partitioned", "; Priority=High", "cookie:theme;priority"), ("theme=", "look=", "cookie:look"),
        ("Max-Age=60", "Max-Age=0", "cookie:theme"), ("Max-Age=60", "Max-Age=1", "cookie:theme;max-age"),
        (DATE, "1857886080", "cookie:theme;expires"), (DATE, "0", "cookie:theme;expires"),
    ],
)  # fmt: skip
def test_each_attribute_of_a_cookie_counts(heads: Heads, old: str, new: str, expected: str) -> None:
    legacy = FULL.format(DATE)
    candidate = legacy.replace(old, new)
    assert candidate != legacy
    result = heads([(b"Set-Cookie", legacy.encode())], [(b"Set-Cookie", candidate.encode())])
    assert ("cookie", expected) in found(result)
    assert len(result.differences) == (2 if new in ("look=", "; Priority=High") else 1)
    name, _, _ = expected.partition(";")
    both = [name, expected] if new != "look=" else ["cookie:theme", "cookie:look"]
    if new != "; Priority=High":
        assert (
            heads([(b"Set-Cookie", legacy.encode())], [(b"Set-Cookie", candidate.encode())], ignore=both).verdict
            == "ignored"
        )


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a=1; Path=/; Secure", "a=1;secure ;PATH=/"),
        ("a=1; SameSite=LAX", "a=1; samesite=lax"),
        ("a=1; Domain=.Example.org", "a=1; Domain=example.org"),
        (f"a=1; Expires={DATE}", "a=1; Expires=Wed, 15-Nov-2028 07:28:59 GMT"),
        (f"a=1; Expires={DATE}", f"a=1; Expires={DATE.replace(':00 ', ':59 ')}"),
        (f"a=1; Expires={DATE}", f"a=1; Expires={DATE.replace('28:00', '29:00')}"),
        ("a=1; Max-Age=060", "a=1; Max-Age=60"),
        ("a=; Max-Age=0", "a=gone; Max-Age=-1"),
        ("a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=x; Expires=Thu, 01 Jan 1970 00:00:01 GMT"),
        ("session=abcdefgh", "session=12345678910"),
        ("sid=abc; HttpOnly", "sid=def; HttpOnly"),
    ],
)
def test_what_makes_no_difference_to_a_cookie(heads: Heads, one: str, two: str) -> None:
    legacy, candidate = [(b"Set-Cookie", one.encode())], [(b"Set-Cookie", two.encode())]
    assert heads(legacy, candidate) == heads(candidate, legacy) == Result("matched")


@pytest.mark.parametrize("other", [b"\\xff", b"\xfe", b"\xc3\xbf", b"\xef\xbf\xbd", b"\xef\xbf\xbdFF"])
def test_bytes_that_are_no_text_are_told_from_what_stands_for_them(heads: Heads, other: bytes) -> None:
    for line in (b"a=%b", b"a=1; Path=/%b", b"a%b=1"):
        one, two = [(b"Set-Cookie", line % b"\xff")], [(b"Set-Cookie", line % other)]
        assert heads(one, two).verdict == heads(two, one).verdict == "mismatched"
    one, two = [(b"X-A", b"\xff")], [(b"X-A", other)]
    assert heads(one, two, headers=["x-a"], match={"header:x-a": "url-without-host"}).verdict == "mismatched"


def test_a_cookie_without_a_sign_is_a_value_without_a_name(heads: Heads) -> None:
    legacy, candidate = [(b"Set-Cookie", b"dark")], [(b"Set-Cookie", b"=dark")]
    assert heads(legacy, candidate) == Result("matched")
    result = heads(legacy, [(b"Set-Cookie", b"light")])
    assert found(result) == [("cookie", "cookie:*")]
    assert result.differences[0].times == 1


def test_a_cookie_that_is_ignored_is_ignored_with_its_attributes(heads: Heads) -> None:
    legacy, candidate = [(b"Set-Cookie", b"a=1; Path=/x")], [(b"Set-Cookie", b"a=1; Path=/y")]
    assert heads(legacy, candidate, ignore=["cookie:a"]).verdict == "ignored"
    assert found(heads(legacy, candidate, ignore=["cookie:a;domain"])) == [("cookie", "cookie:a;path")]


def test_a_cookie_is_deleted_where_it_was_set(heads: Heads) -> None:
    legacy, candidate = ([(b"Set-Cookie", b"a=; Max-Age=0; Path=" + path)] for path in (b"/shop", b"/"))
    assert found(heads(legacy, candidate)) == [("cookie", "cookie:a;path")]
    later = [(b"Set-Cookie", f"a=1; Expires={DATE.replace('28:00', '29:01')}".encode())]
    assert found(heads([(b"Set-Cookie", f"a=1; Expires={DATE}".encode())], later)) == [("cookie", "cookie:a;expires")]


def test_cookies_beyond_the_bound_are_compared_as_they_stand(heads: Heads) -> None:
    jar: Fields = [(b"Set-Cookie", b"c%d=1" % (n % 7)) for n in range(MAX_COOKIES + 1)]
    assert heads([*jar, (b"X-A", b"1")], [*jar, (b"X-A", b"2")]) == Result("matched")
    assert found(heads(jar, [*jar[:-1], (b"Set-Cookie", b"c0=2")])) == [("cookie", "cookie:*")]


def test_no_value_of_a_cookie_is_shown_that_is_not_revealed(heads: Heads) -> None:
    one, two = [(b"Set-Cookie", b"__Host-s=Zqone; Path=/")], [(b"Set-Cookie", b"__Host-s=Zqtwo; Path=/")]
    for legacy, candidate in ((one, two), (one, []), ([], two), (one, [(b"Set-Cookie", b"__Host-s=; Max-Age=0")])):
        result = heads(legacy, candidate)
        assert found(result) == [("cookie", "cookie:__Host-s")]
        assert "Zq" not in repr(result)


def test_cookies_with_secret_names_tell_only_whether_they_have_a_value(heads: Heads) -> None:
    result = heads([(b"Set-Cookie", b"session=s3cret")], [(b"Set-Cookie", b"session=")])
    assert found(result) == [("cookie", "cookie:session")]
    assert result == heads([(b"Set-Cookie", b"session=s3cret")], [(b"Set-Cookie", b'session=""')])
    gone = heads([(b"Set-Cookie", b"session=s3cret")], [])
    assert found(gone) == [("cookie", "cookie:session")]
    deleted = heads([(b"Set-Cookie", b"session=s3cret")], [(b"Set-Cookie", b"session=; Max-Age=0")])
    assert (deleted.differences[0].legacy, deleted.differences[0].candidate) == ("set", "deleted")
    assert "s3cret" not in f"{result}{gone}{deleted}"


def test_cookies_of_one_name_are_told_apart_by_their_place(heads: Heads) -> None:
    legacy = [(b"Set-Cookie", b"a=1; Path=/x"), (b"Set-Cookie", b"a=2; Path=/y")]
    assert heads(legacy, legacy[::-1]) == Result("matched")
    assert found(heads(legacy, [legacy[0], (b"Set-Cookie", b"a=3; Path=/y")])) == [("cookie", "cookie:a")]
    assert found(heads(legacy, legacy[:1])) == [("cookie", "cookie:a")]
    hosts = [(b"Set-Cookie", b"a=1; Domain=x.example"), (b"Set-Cookie", b"a=2; Domain=y.example")]
    assert heads(hosts, hosts[::-1]) == Result("matched")


def test_names_of_cookies_that_are_data_have_one_path(heads: Heads) -> None:
    legacy = [(b"Set-Cookie", b"cart_1234567=1")]
    candidate = [(b"Set-Cookie", b"cart_7654321=1")]
    result = heads(legacy, candidate)
    assert found(result) == [("cookie", "cookie:*")]
    assert result.differences[0].times == 2
    assert found(heads([(b"Set-Cookie", b"sk_live_abcdefghij1234567890=1")], [])) == [("cookie", "cookie:*")]


def test_matchers_hold_for_cookies(heads: Heads) -> None:
    legacy, candidate = [(b"Set-Cookie", b"seen=17")], [(b"Set-Cookie", b"seen=18")]
    assert heads(legacy, candidate, match={"cookie:seen": "number"}) == Result("matched")
    assert found(heads(legacy, [(b"Set-Cookie", b"seen=x")], match={"cookie:seen": "number"})) == [
        ("format", "cookie:seen")
    ]


@shared
@given(st.binary(max_size=80), st.floats(0, 2e9))
def test_any_bytes_are_a_cookie(raw: bytes, at: float) -> None:
    cookie = parse_cookie(raw, at)
    assert parse_cookie(raw, at) == cookie


cookies = st.builds(
    lambda name, value, attributes: (name, value, attributes),
    st.sampled_from(["a", "b", "theme"]),
    st.text("abc123", max_size=4),
    st.dictionaries(
        st.sampled_from(["Path", "Domain", "SameSite", "Secure", "HttpOnly"]), st.sampled_from(["/", "x", "y"])
    ),
)


@shared
@given(st.lists(cookies, max_size=4, unique_by=lambda cookie: cookie[0]), st.randoms(use_true_random=False))
def test_the_order_of_cookies_and_attributes_does_not_matter(heads: Heads, jar: list[Any], random: Any) -> None:
    def written(jar: list[Any], *, shuffled: bool) -> Fields:
        lines = []
        for name, value, attributes in jar:
            pairs = list(attributes.items())
            if shuffled:
                random.shuffle(pairs)
            shown = [(key.lower() if shuffled else key) + f"={content}" for key, content in pairs]
            lines.append((b"Set-Cookie", "; ".join([f"{name}={value}", *shown]).encode()))
        if shuffled:
            random.shuffle(lines)
        return lines

    assert heads(written(jar, shuffled=False), written(jar, shuffled=True)) == Result("matched")
    if jar:
        changed = [(name, value + "x", attributes) for name, value, attributes in jar]
        assert heads(written(jar, shuffled=False), written(changed, shuffled=True)).verdict == "mismatched"
