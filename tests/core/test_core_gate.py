"""The gate: what passes has one reading, and whatever comes, it refuses in the one way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.gate import CHUNKED, admit, unknown_method
from proxy.core.request import Request
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind, Party

Fields = list[tuple[bytes, bytes]]
HOST: Fields = [(b"Host", b"shop.test")]


def pass_(method: str = "GET", target: bytes = b"/", fields: Fields | None = None, version: str = "1.1") -> Request:
    return admit(method, version, target, HOST if fields is None else fields, instance=b"me")


def refusal(*args: object, **more: object) -> FailureKind:
    with pytest.raises(ExchangeError) as caught:
        pass_(*args, **more)  # type: ignore[arg-type]  # handed through
    return caught.value.kind


names = st.one_of(
    st.sampled_from(
        [b"Host", b"host", b"Content-Length", b"content_length", b"Transfer-Encoding", b"Connection", b"Upgrade",
         b"Expect", b"Via", b"TE", b"Max-Forwards", b"X-Banyan-Arm", b"X-Forwarded-For", b"Cookie"]
    ),
    st.binary(min_size=1, max_size=6),
)  # fmt: skip
field_values = st.one_of(
    st.sampled_from(
        [b"", b"chunked", b"Chunked", b"gzip, chunked", b"0", b"5", b"-1", b"99999999999999999999", b"a:80", b"[::1]",
         b"a b", b"close", b"keep-alive, Upgrade", b"websocket", b"h2c", b"100-continue", b"1.1 me", b","]
    ),
    st.binary(max_size=12),
)  # fmt: skip
fields = st.lists(st.tuples(names, field_values), max_size=8)
methods = st.one_of(
    st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "TRACE", "HEAD"]), st.text("ABC-", min_size=1)
)
targets = st.one_of(
    st.sampled_from([b"*", b"/", b"http://a/b?c", b"HTTPS://a:1?x", b"a:80", b"//a", b"/#x", b"http://"]), st.binary()
)
versions = st.sampled_from(["1.0", "1.1", "0.9", "2.0", "1.2"])


@given(methods, versions, targets, fields)
def test_the_gate_raises_nothing_but_a_failure_of_the_client(
    method: str, version: str, target: bytes, given_fields: Fields
) -> None:
    refused = None
    try:
        request = admit(method, version, target, given_fields, instance=b"me")
    except ExchangeError as failure:
        refused = CONSEQUENCES[failure.kind]
    if refused is not None:
        assert refused.party is Party.CLIENT
        assert 400 <= refused.status < 600
        return
    assert request.target.startswith(b"/") or (request.target == b"*" and method == "OPTIONS")
    assert request.length >= CHUNKED
    assert request.fields is given_fields
    assert request.version == version in ("1.0", "1.1")
    lengths = [v for n, v in given_fields if n.lower() == b"content-length"]
    codings = [v for n, v in given_fields if n.lower() == b"transfer-encoding"]
    assert not (lengths and codings)
    if codings:
        assert (request.length, [c.lower() for c in codings]) == (CHUNKED, [b"chunked"])
    elif lengths:
        assert request.length == int(lengths[0])
    else:
        assert request.length == 0
    if request.upgrade:
        assert (method, version, request.length) == ("GET", "1.1", 0)


@pytest.mark.parametrize(
    "host", [b"", b"a b", b"a/b", b"u@a", b"a,b", b"[::1", b"a:b", b"a:123456", b"a\x00", b"\xff", b"a?x", b"a:1:2"]
)
def test_an_invalid_host_is_refused(host: bytes) -> None:
    assert refusal(fields=[(b"Host", host)]) is FailureKind.BAD_REQUEST
    if b"/" not in host and b"?" not in host:  # these end the authority of a URI
        assert refusal(target=b"http://" + host + b"/", fields=HOST) is FailureKind.BAD_REQUEST


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"Shop.TEST:8080", "shop.test"),
        (b"[::1]:80", "[::1]"),
        (b"[FE80::1]", "[fe80::1]"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"a_b:", "a_b"),
    ],
)
def test_the_name_of_a_host_is_lower_case_without_port(host: bytes, name: str) -> None:
    assert pass_(fields=[(b"hOST", host)]).host == name


def test_one_host_is_needed_unless_the_version_is_1_0() -> None:
    assert refusal(fields=[]) is FailureKind.BAD_REQUEST
    assert refusal(fields=[*HOST, *HOST]) is FailureKind.BAD_REQUEST
    assert refusal(fields=[*HOST, *HOST], version="1.0") is FailureKind.BAD_REQUEST
    assert pass_(fields=[], version="1.0").host == ""


def test_an_absolute_target_is_reduced_and_its_authority_wins() -> None:
    request = pass_(target=b"http://Other.test:81/a?b")
    assert (request.target, request.path, request.query, request.host) == (b"/a?b", b"/a", b"b", "other.test")
    assert request.lower[b"host"] == b"Other.test:81"
    assert pass_(target=b"http://a?x").target == b"/?x"


@pytest.mark.parametrize("target", [b"", b"a", b"ftp://a/", b"http:/a", b"*", b"a:80", b"/a#b", b"http://a/#b"])
def test_another_form_of_target_is_refused(target: bytes) -> None:
    assert refusal(target=target) is FailureKind.BAD_REQUEST


def test_what_the_connection_is_asked_for() -> None:
    assert pass_().keep_alive
    assert not pass_(version="1.0").keep_alive
    assert not pass_(fields=[*HOST, (b"Connection", b"x, CLOSE")]).keep_alive
    assert not pass_(fields=[*HOST, (b"Connection", b"x"), (b"connection", b"close")]).keep_alive
    asked = [*HOST, (b"Connection", b"keep-alive"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    assert pass_(fields=asked).upgrade == b"websocket"
    assert pass_(fields=[*asked, (b"Content-Length", b"1")]).upgrade == b""
    assert pass_(fields=[*HOST, (b"Expect", b"100-Continue")]).expects_continue
    assert not pass_(fields=[*HOST, (b"Expect", b"100-continue")], version="1.0").expects_continue


@pytest.mark.parametrize(
    ("via", "loops"), [(b"1.1 me", True), (b"1.0 a, 1.1 me (x)", True), (b"1.1 me2", False), (b"1.1 home", False)]
)
def test_our_own_name_in_via_is_a_loop(via: bytes, loops: bool) -> None:
    given_fields = [*HOST, (b"Via", b"1.1 other"), (b"via", via)]
    if loops:
        assert refusal(fields=given_fields) is FailureKind.LOOP
    else:
        assert pass_(fields=given_fields).host == "shop.test"


@pytest.mark.parametrize(
    ("start", "unknown"),
    [
        (b"BREW / HTTP/1.1", True),
        (b"BREW * HTTP", True),
        (b"BREW http://a", True),
        (b"get / HTTP/1.1", False),
        (b"\x16\x03", False),
        (b"GE", False),
    ],
)
def test_a_well_formed_method_that_nobody_knows(start: bytes, unknown: bool) -> None:
    assert unknown_method(start) is unknown
