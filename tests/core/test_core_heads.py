"""Heads that are passed on: end-to-end bytes stay, the rest stays behind."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fields import Kind, classify
from proxy.core.gate import CHUNKED, admit
from proxy.core.heads import client_head, trailer_lines, upstream_head
from proxy.core.request import Request

Fields = list[tuple[bytes, bytes]]

END_TO_END = [b"X-A", b"x-a", b"Cookie", b"accept", b"X-Long-Name", b"Authorization"]
OTHERS = [b"Connection", b"Keep-Alive", b"TE", b"X-Banyan-Arm", b"Proxy-Connection", b"upgrade"]
values = st.binary(max_size=8).map(lambda v: bytes(b for b in v if b > 0x20 and b != 0x7F))
end_to_end = st.tuples(st.sampled_from(END_TO_END), values)
others = st.tuples(st.sampled_from(OTHERS), st.sampled_from([b"", b"x", b"X-Long-Name", b"close, te", b"keep-alive"]))
mixed = st.lists(st.one_of(end_to_end, others), max_size=12)
spaces = st.sampled_from([(b": ", b""), (b":", b""), (b":  ", b" "), (b":\t", b"\t")])


def lines(head: bytes) -> Fields:
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:] if line]
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


def request(fields: Fields, raw: bytes, *, tidy: bool) -> Request:
    made = admit("GET", "1.1", b"/a?b", fields, instance=b"me")
    made.raw, made.tidy = raw, tidy
    return made


def named(fields: Fields) -> set[bytes]:
    return {t.strip().lower() for n, v in fields if n.lower() == b"connection" for t in v.split(b",")}


@given(mixed)
def test_a_request_keeps_its_end_to_end_fields_in_order(given_fields: Fields) -> None:
    fields = [(b"Host", b"shop.test"), *given_fields]
    raw = b"GET /a?b HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
    heads = {
        upstream_head(request(fields, raw, tidy=tidy), trusted=False, extra=b"Via: x\r\n") for tidy in (True, False)
    }
    assert len(heads) == 1  # both ways of writing it agree
    head = heads.pop()
    assert head.startswith(b"GET /a?b HTTP/1.1\r\nHost: shop.test\r\n")
    gone = named(fields)
    kept = [(n, v) for n, v in given_fields if not classify(n)[1] and n.lower() not in gone]
    upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"x")] if b"\r\nUpgrade: " in head else []
    assert lines(head)[1 : 1 + len(kept)] == kept
    assert lines(head)[1 + len(kept) :][-1] == (b"Via", b"x")
    assert len(lines(head)) <= len(kept) + 2 + (len(upgrade) or 2)


@given(mixed, st.data())
def test_an_answer_keeps_its_end_to_end_lines_byte_for_byte(fields: Fields, data: st.DataObject) -> None:
    written = [
        b"%b%b%b%b" % (name, space[0], value, space[1]) for name, value in fields for space in [data.draw(spaces)]
    ]
    raw = b"HTTP/1.1 200 F\xe4in\r\n" + b"".join(line + b"\r\n" for line in written) + b"\r\n"
    hidden = [field for field in fields if classify(field[0])[1]]
    head = client_head(raw, hidden, chunked=False, extra=b"")
    kept = [line for line, field in zip(written, fields, strict=True) if field not in hidden]
    assert head == b"\r\n".join([b"HTTP/1.1 200 F\xe4in", *kept, b"", b""])


@given(mixed)
def test_an_answer_may_hide_a_field_twice(fields: Fields) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
    head = client_head(raw, fields + fields[:2], chunked=False, extra=b"X-Ours: 1\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nX-Ours: 1\r\n\r\n"


def test_framing_is_ours() -> None:
    fields = [(b"Host", b"a"), (b"Content-Length", b"7")]
    made = request(fields, b"", tidy=False)
    assert b"\r\nContent-Length: 7\r\n" in upstream_head(made, trusted=False, extra=b"")
    made = request([(b"Host", b"a"), (b"transfer-encoding", b"Chunked")], b"", tidy=False)
    assert made.length == CHUNKED
    assert lines(upstream_head(made, trusted=False, extra=b"")) == [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")]
    assert client_head(b"HTTP/1.0 200 OK\r\n\r\n", [], chunked=True, extra=b"A: b\r\n") == (
        b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def test_what_may_be_believed_depends_on_the_peer() -> None:
    fields = [
        (b"Host", b"a"),
        (b"X-Forwarded-For", b"6"),
        (b"Forwarded", b"for=6"),
        (b"X_Forwarded_For", b"7"),
        (b"X-Banyan-Key", b"k"),
    ]
    made = request(fields, b"", tidy=False)
    assert lines(upstream_head(made, trusted=False, extra=b"")) == fields[:1]
    assert lines(upstream_head(made, trusted=True, extra=b"")) == fields[:3]


@given(
    st.lists(
        st.tuples(st.sampled_from([*END_TO_END, *OTHERS, b"Content-Length", b"Host", b"Trailer"]), values), max_size=8
    )
)
def test_trailers_that_would_change_the_message_are_dropped(trailers: Fields) -> None:
    kept = lines(b"\r\n" + trailer_lines(trailers))
    assert [n for n, _ in kept if classify(n)[1] != Kind.END_TO_END] == []
    assert [f for f in trailers if f[0].lower() in (b"x-a", b"x-long-name", b"accept")] == kept
