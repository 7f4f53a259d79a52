"""The head of a read that follows a write."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.heads import of_write, read_head

LINES = st.lists(
    st.tuples(
        st.from_regex(rb"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True),
        st.from_regex(rb"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True),
    ),
    max_size=8,
)


def test_who_asks_stays_and_the_write_goes() -> None:
    head = (
        b"PUT /orders/7 HTTP/1.1\r\nHost: shop.test\r\ncookie: a=b\r\nContent-Type: a/b\r\nCONTENT-LENGTH: 2\r\n"
        b'If-Match: "1"\r\nX-HTTP-Method-Override: DELETE\r\nx_method_override: PUT\r\nIdempotency-Key: k\r\n'
        b"Accept: a/b\r\nVia: 1.1 x\r\n\r\n"
    )
    assert read_head(head, b"/state?x") == (
        b"GET /state?x HTTP/1.1\r\nHost: shop.test\r\ncookie: a=b\r\nAccept: a/b\r\nVia: 1.1 x\r\n\r\n"
    )


@given(LINES)
def test_every_line_stays_as_it_is_or_goes(lines: list[tuple[bytes, bytes]]) -> None:
    head = b"POST /x HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"
    first, *rest = read_head(head, b"/y").split(b"\r\n")
    assert first == b"GET /y HTTP/1.1"
    assert rest == [b"%b: %b" % line for line in lines if not of_write(line[0].lower())] + [b"", b""]
    assert not any(line.lower().startswith((b"content-", b"transfer-encoding", b"if-", b"range:")) for line in rest)
