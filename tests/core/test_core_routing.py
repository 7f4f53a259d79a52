from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Route
from proxy.core.overlap import covers, overlaps
from proxy.core.request import Request
from proxy.core.routing import Router, Rule
from proxy.core.template import ANY, EXACT, PREFIX, TEMPLATE, ambiguous, decoded


def request(method: str = "GET", target: str = "/", host: str = "shop.example", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    lower: dict[bytes, bytes] = {}
    for name, value in fields:
        lower.setdefault(name.lower(), value)
    return Request(method, target.encode(), host, fields, lower)


def router(*matches: dict[str, Any]) -> Router:
    """A router of routes ``r0``, ``r1``, …; a key ``priority`` in a match goes to its route."""
    return Router([route(number, match) for number, match in enumerate(matches)])


def route(number: int, match: dict[str, Any]) -> Route:
    match = dict(match)
    priority = match.pop("priority", 0)
    return Route.model_validate({"id": f"r{number}", "match": match, "priority": priority})


@pytest.mark.parametrize(
    ("match", "fitting", "other"),
    [
        ({"path": "/a/b"}, ["/a/b", "/a/%62", "/a/b?x=1"], ["/a/b/", "/a", "/a/b/c", "/A/b"]),
        ({"path": "/a/{x}"}, ["/a/1", "/a/%20", "/a/%25"], ["/a", "/a/", "/a/1/", "/a/1/2"]),
        ({"path": "/a/{x}/**"}, ["/a/1", "/a/1/", "/a/1/2/3"], ["/a", "/a/"]),
        ({"path": "/**"}, ["/", "/a", "/a/b/"], ["*"]),
        ({"path_prefix": "/a"}, ["/a", "/a/", "/a/b", "/%61/b"], ["/ab", "/"]),
        ({"path_prefix": "/a/"}, ["/a/", "/a/b"], ["/a", "/ab"]),
        ({"path_prefix": "/"}, ["/", "/a"], ["*"]),
        ({"path_regex": "/v[0-9]+/.*"}, ["/v1/", "/v2/x/y"], ["/v/x", "/x/v1/"]),
        ({"path_regex": "/.*"}, ["/" + "a" * 2047], ["/" + "a" * 2048]),
        ({}, ["/", "*", "/a"], []),
    ],
)
def test_path_fits(match: dict[str, Any], fitting: list[str], other: list[str]) -> None:
    only = router(match)
    assert [only.match(request(target=target)) for target in fitting] == [0] * len(fitting)
    assert [only.match(request(target=target)) for target in other] == [-1] * len(other)


@pytest.mark.parametrize("target", ["/a//b", "/a/../b", "/a/%2e%2e/b", "/a%2fb", "/a/..;/b", "/a%00", "/a%zz"])
def test_ambiguous_path_matches_nothing_not_even_a_route_without_a_path(target: str) -> None:
    anything = router({}, {"path": "/**"}, {"path_regex": "/.*"})
    assert anything.match(request(target=target)) == -1
    assert anything.fitting(request(target=target)) == set()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"host": "shop.example"}, {"host": "*.example", "path": "/a/b"}),
        ({"host": "*.example"}, {"path": "/a/b"}),
        ({"path": "/a/b"}, {"path": "/a/{x}", "methods": ["GET"], "headers": {"X": "1"}}),
        ({"path": "/a/{x}"}, {"path": "/{x}/{y}"}),
        ({"path": "/{x}/{y}"}, {"path_prefix": "/a/b"}),
        ({"path_prefix": "/a/b"}, {"path_prefix": "/a"}),
        ({"path_prefix": "/"}, {"path_regex": "/a/b"}),
        ({"path_regex": "/a/b"}, {"headers": {"X": "1"}, "methods": ["GET"]}),
        ({"path": "/a/b", "methods": ["GET"]}, {"path": "/a/b"}),
        ({"path": "/a/b", "headers": {"X": "1"}, "query": {"q": "*"}}, {"path": "/a/b", "methods": ["GET"]}),
        ({"priority": 1}, {"path": "/a/b"}),
        ({"path": "/a/b"}, {"host": "shop.example", "priority": -1}),
    ],
)
def test_the_more_specific_route_takes_the_request_in_any_order(better: dict[str, Any], worse: dict[str, Any]) -> None:
    asked = request(target="/a/b?q=2", X="1")
    assert router(better).match(asked) == 0
    assert router(worse).match(asked) == 0
    assert router(better, worse).match(asked) == 0
    assert router(worse, better).match(asked) == 1


def test_all_conditions_must_hold() -> None:
    only = router(
        {
            "host": "SHOP.example",
            "methods": ["GET", "PUT"],
            "headers": {"X-A": "1", "x-b": "*"},
            "query": {"q": "ä b", "r": "*"},
            "cookies": {"c": "d"},
        }
    )
    whole = {"X_A": "1", "X_B": "", "Cookie": "x=y; c=d"}
    target = "/?q=%C3%A4+b&r"
    assert only.match(request("PUT", target, **whole)) == 0
    assert only.match(request("POST", target, **whole)) == -1
    assert only.match(request("PUT", target, "other.example", **whole)) == -1
    assert only.match(request("PUT", "/?q=b&r=1", **whole)) == -1
    assert only.match(request("PUT", "/?q=%C3%A4+b", **whole)) == -1
    for name in whole:
        assert only.match(request("PUT", target, **{k: v for k, v in whole.items() if k != name})) == -1


def test_get_does_not_stand_for_head() -> None:
    assert router({"methods": ["GET"]}).match(request("HEAD")) == -1


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("*.example", "a.example", True),
        ("*.example", "a.b.example", True),
        ("*.example", "example", False),
        ("*.example", ".example", False),
        ("*.example", "aexample", False),
        ("shop.example", "", False),
    ],
)
def test_host_fits(pattern: str, host: str, *, fits: bool) -> None:
    only = router({"host": pattern})
    assert (only.match(request(host=host)) == 0) is fits
    assert only.rules[0].host_fits(host) is fits


def test_next_best_route_is_taken_when_the_best_ones_conditions_do_not_hold() -> None:
    several = router(
        {"path": "/a/b", "headers": {"X": "1"}}, {"path": "/a/{x}", "methods": ["POST"]}, {"path_prefix": "/a"}, {}
    )
    assert several.match(request(target="/a/b", X="1")) == 0
    assert several.match(request("POST", "/a/b")) == 1
    assert several.match(request(target="/a/b")) == 2
    assert several.match(request(target="/b")) == 3


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}", "ab"])
HOSTS = st.sampled_from([None, None, "h.example", "x.example", "*.example", "*.h.example"])


@st.composite
def matches(draw: st.DrawFn) -> dict[str, Any]:
    match: dict[str, Any] = {"priority": draw(st.sampled_from([0, 0, 0, 1]))}
    host = draw(HOSTS)
    if host:
        match["host"] = host
    kind = draw(st.sampled_from(["path", "open", "prefix", "regex", "none"]))
    segments = list(dict.fromkeys(draw(st.lists(SEGMENTS, max_size=3))))
    literals = [segment for segment in segments if not segment.startswith("{")]
    slash = draw(st.sampled_from(["", "/"])) if segments else "/"
    if kind == "path":
        match["path"] = "".join(f"/{segment}" for segment in segments) + slash
    elif kind == "open":
        match["path"] = "".join(f"/{segment}" for segment in segments) + "/**"
    elif kind == "prefix":
        match["path_prefix"] = "".join(f"/{segment}" for segment in literals) + (slash if literals else "/")
    elif kind == "regex":
        match["path_regex"] = "".join(f"/{segment}" for segment in literals) + draw(
            st.sampled_from(["/.*", "[ab]*", "/[ab]+/?", "/(a|b)"])
        )
    if draw(st.booleans()):
        match["methods"] = draw(st.sampled_from([["GET"], ["POST"], ["GET", "POST"]]))
    for key, values in (("headers", ["1", "2", "*"]), ("query", ["1", "*"]), ("cookies", ["1", "*"])):
        if draw(st.integers(0, 3)) == 0:
            match[key] = {"k": draw(st.sampled_from(values))}
    return match


TARGETS = st.builds(
    lambda segments, slash, query: "/" + "/".join(segments) + slash + query,
    st.lists(st.sampled_from(["a", "b", "ab", "c", "%61", "%20", "a%62"]), max_size=4),
    st.sampled_from(["", "/"]),
    st.sampled_from(["", "?k=1", "?k=2"]),
)
REQUESTS = st.builds(
    lambda method, target, host, header, cookie: request(
        method, target, host, **({"k": header} if header else {}), **({"cookie": f"k={cookie}"} if cookie else {})
    ),
    st.sampled_from(["GET", "POST", "HEAD"]),
    TARGETS,
    st.sampled_from(["h.example", "x.example", "y.h.example", "other", ""]),
    st.sampled_from(["", "1", "2"]),
    st.sampled_from(["", "1", "2"]),
)


def brute_fits(rule: Rule, asked: Request) -> bool:
    """The plain reading of the docs, without the tree."""
    if ambiguous(asked.path) or not rule.host_fits(asked.host):
        return False
    path, pattern = decoded(asked.path), rule.pattern
    segments = path.split(b"/")[1:]
    depth = len(pattern.segments)

    def alike(part: list[bytes]) -> bool:
        return len(part) == depth and all(
            mine == other or (mine is None and other != b"") for mine, other in zip(pattern.segments, part, strict=True)
        )

    if pattern.kind == ANY:
        good = True
    elif pattern.regex is not None:
        good = pattern.regex.fits(path)
    elif pattern.kind in (EXACT, TEMPLATE, PREFIX) and not pattern.open:
        good = alike(segments)
    else:
        good = alike(segments[:depth]) and (pattern.open == "any" or len(segments) > depth)
    return good and all(condition.holds(asked) for condition in rule.conditions)


@settings(max_examples=400)
@given(st.lists(matches(), max_size=12), st.lists(REQUESTS, min_size=1, max_size=6))
def test_router_agrees_with_testing_every_route_by_rank(wanted: list[dict[str, Any]], asked: list[Request]) -> None:
    built = router(*wanted)
    for one in asked:
        fitting = [rule for rule in built.rules if brute_fits(rule, one)]
        index = built.match(one)
        if not fitting:
            assert index == -1
            continue
        best = max(rule.rank for rule in fitting)
        assert built.rules[index] in fitting
        assert built.rules[index].rank == best
        assert {rule.index for rule in fitting} <= built.fitting(one)


@settings(max_examples=400)
@given(matches(), matches(), st.lists(REQUESTS, min_size=1, max_size=10))
def test_overlap_and_cover_agree_with_requests(one: dict[str, Any], two: dict[str, Any], asked: list[Request]) -> None:
    first, second = router(one, two).rules
    for each in asked:
        fits_first, fits_second = brute_fits(first, each), brute_fits(second, each)
        if fits_first and fits_second and first.rank == second.rank:
            assert overlaps(first, second)
        if covers(first, second) and fits_second:
            assert fits_first


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {"path": "/a"}, True),
        ({"path_prefix": "/"}, {}, False),
        ({"path_prefix": "/a"}, {"path": "/a/{x}"}, True),
        ({"path_prefix": "/a/"}, {"path_prefix": "/a"}, False),
        ({"path": "/{x}/**"}, {"path_prefix": "/a/b"}, True),
        ({"path": "/{x}"}, {"path": "/a"}, True),
        ({"path": "/a"}, {"path": "/{x}"}, False),
        ({"path_prefix": "/a"}, {"path_regex": "/a/v[0-9]"}, True),
        ({"path_regex": "/a/v[0-9]"}, {"path": "/a/v1"}, True),
        ({"methods": ["GET"]}, {"methods": ["GET", "PUT"]}, False),
        ({"methods": ["GET", "PUT"]}, {"methods": ["GET"], "headers": {"X": "1"}}, True),
        ({"headers": {"x": "*"}}, {"headers": {"X": "1"}}, True),
        ({"headers": {"x": "1"}}, {"headers": {"X": "*"}}, False),
        ({"host": "*.example"}, {"host": "a.example"}, True),
        ({"host": "*.example"}, {"host": "*.a.example"}, True),
        ({"host": "a.example"}, {"host": "*.example"}, False),
        ({"host": "a.example"}, {}, False),
    ],
)
def test_cover_of_two_routes(wide: dict[str, Any], narrow: dict[str, Any], *, expected: bool) -> None:
    first, second = router(wide, narrow).rules
    assert covers(first, second) is expected


def test_each_of_a_thousand_routes_is_found() -> None:
    routes = [route(n, {"path": f"/a{n}/{{x}}"}) for n in range(1000)]
    built = Router(routes)
    assert [built.match(request(target=f"/a{n}/1")) for n in range(1000)] == list(range(1000))
