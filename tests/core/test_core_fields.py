"""One list of what each field means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import fields
from proxy.core.fields import Kind, classify, connection_tokens


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"HOST", Kind.HOST), (b"content-Length", Kind.LENGTH), (b"Transfer-Encoding", Kind.TRANSFER),
        (b"TE", Kind.HOP), (b"X-Forwarded-Anything", Kind.FORWARDED), (b"x-banyan-new", Kind.BANYAN),
        (b"Content_Length", Kind.TWIN), (b"X-HTTP-Method-Override", Kind.OVERRIDE), (b"X_Http-Method", Kind.OVERRIDE),
        (b"X-Method-Override", Kind.OVERRIDE), (b"X-Http", Kind.END_TO_END),
        (b"X_Forwarded_For", Kind.TWIN), (b"X-Banyan_Arm", Kind.TWIN), (b"x_user_id", Kind.END_TO_END),
        (b"Cookie", Kind.END_TO_END), (b"Proxy", Kind.HOP), (b"Proxy-Status", Kind.END_TO_END),
    ],
)  # fmt: skip
def test_a_name_has_its_kind_in_any_case(name: bytes, kind: int) -> None:
    for spelling in (name, name.lower(), name.upper(), name.title()):
        assert classify(spelling) == (name.lower(), kind)


@given(st.binary(min_size=1, max_size=20))
def test_a_second_look_says_the_same(name: bytes) -> None:
    assert classify(name) == classify(name) == (name.lower(), classify(name.lower())[1])


def test_a_flood_of_names_costs_no_memory() -> None:
    fields.known.clear()  # not replaced: compiled code holds this very one
    for n in range(5000):
        classify(b"X-%d" % n)
    assert len(fields.known) == 2048
    fields.known.clear()
    assert classify(b"x-4999") == (b"x-4999", Kind.END_TO_END)


@pytest.mark.parametrize(
    ("value", "tokens"), [(b"", set()), (b" , ,", set()), (b"Close", {b"close"}), (b"a ,\tB,a", {b"a", b"b"})]
)
def test_members_of_a_list(value: bytes, tokens: set[bytes]) -> None:
    assert connection_tokens(value) == tokens


def test_a_flood_of_odd_heads_and_names_is_not_remembered() -> None:
    """Each is bounded only by the largest head: a thousand of them would be most of a gigabyte."""
    many = tuple(b"x-%d" % n for n in range(6000))
    long = (b"x" * 20_000,)
    for names in (many, long):
        assert fields.shape_of(names).lower == names
        assert names not in fields.shapes
    assert long[0] not in fields.known
    usual = (b"Host", b"User-Agent", b"Accept")
    assert fields.shape_of(usual) is fields.shape_of(usual)
