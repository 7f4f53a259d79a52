"""Cells of the coverage: names only, bounded, and each request in exactly one."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.config.model import Match
from proxy.core.coverage import (
    DATA,
    FREE_CELLS,
    KNOWN_METHODS,
    LOOK_EVERY,
    LOOKS_FIRST,
    MAX_CELLS,
    MAX_FAN_OUT,
    MAX_PARAMETERS,
    OTHER,
    REST,
    Cell,
    CellTable,
    LearnedPaths,
    cell_key,
    cohort_key,
    due,
    fixed_endpoint,
    media_family,
    parameter_name,
    parse_cell,
)

_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)


def find(
    table: CellTable,
    path: str | bytes = "/a",
    query: str | bytes = b"",
    *,
    method: str = "GET",
    status: int = 200,
    endpoint: str = "",
    cohorts: str = "",
    media: str = "json",
) -> str:
    raw, parameters = (each.encode() if isinstance(each, str) else each for each in (path, query))
    cell = table.find(method, status, endpoint, raw, parameters, cohorts, media)
    cell.seen += 1
    return cell.key


@given(
    st.builds(
        Cell,
        st.sampled_from(sorted(KNOWN_METHODS)),
        st.integers(100, 999),
        _TEXT,
        st.lists(_TEXT, max_size=5).map(tuple),
        st.lists(_TEXT, max_size=5).map(tuple),
        _TEXT,
    )
)
def test_a_key_is_read_back_as_it_was_written(cell: Cell) -> None:
    assert parse_cell(cell_key(cell)) == cell


@pytest.mark.parametrize(
    "key", ["", "GET", "a\x1eb\x1ec\x1ed\x1ee\x1ef", OTHER + "\x1e", "GET\x1e-1\x1e/\x1e\x1e\x1ej"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no cell"):
        parse_cell(key)


def test_every_field_makes_another_cell() -> None:
    table = CellTable()
    keys = {
        find(table),
        find(table, "/b"),
        find(table, query="page=1"),
        find(table, method="POST"),
        find(table, status=404),
        find(table, cohorts=cohort_key(["staff"])),
        find(table, media="html"),
    }
    assert len(keys) == 7
    assert sum(seen for seen, _ in table.counts().values()) == 7
    assert {find(table, query="page=2"), find(table, query="page=%33&page=4")} <= keys


def test_what_was_not_seen_is_not_counted() -> None:
    table = CellTable()
    table.find("GET", 200, "/a", b"/a", b"", "", "json")
    assert table.counts() == {}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/api/orders/12345/items", "/api/orders/{}/items"),
        ("/v1/users/3fa85f64-5717-4562-b3fc-2c963f66afa6", "/v1/users/{}"),
        ("/SKU-17/", "/{}/"),
        ("/mail/jo@shop.test", "/mail/{}"),
        ("/mail/jo%40shop.test", "/mail/{}"),
        ("/files/report.pdf", "/files/report.pdf"),
        ("/reset/aB3xk9QmZ", "/reset/{}"),
        ("/reset/aBxKkQmZpLrTwYvN", "/reset/{}"),
        ("/reset/abxkkqmzplrtwyvnabxkkqmz", "/reset/{}"),
        ("/key/sk_live_aBxKkQmZpLrTwYvN", "/key/{}"),
        ("/rpc/GetCustomerOrderHistoryByDate", "/rpc/GetCustomerOrderHistoryByDate"),
        ("/CUSTOMER_ORDER_HISTORY", "/CUSTOMER_ORDER_HISTORY"),
        ("/how-to-cut-over-in-a-day", "/how-to-cut-over-in-a-day"),
        ("/caf%C3%A9", "/café"),
        ("/%ff%fe", "/{}"),
        ("/a%1e%0ab", "/{}"),
        ("/" + "long" * 20, "/{}"),
        ("/", "/"),
        ("*", "*"),
        ("/" + "/".join("abcdefghijklmnop"), "/" + "/".join("abcdefghijkl") + "/" + REST),
    ],
)
def test_segments_that_are_data_collapse(path: str, template: str) -> None:
    assert LearnedPaths().template(path.encode()) == template


@given(st.binary(max_size=60), st.binary(max_size=60))
@example(b"/" + b"_" * 20, b"_" * 20)
def test_whatever_is_asked_has_a_cell_that_can_be_read(path: bytes, query: bytes) -> None:
    cell = parse_cell(find(CellTable(), path, query))
    assert cell.endpoint == "*" or cell.endpoint.startswith("/")
    assert not any(character < " " for name in (cell.endpoint, *cell.parameters) for character in name)


def test_names_beyond_the_fan_out_are_data_and_those_before_stay() -> None:
    learned = LearnedPaths()
    words = [a + b for a in "abcdefghij" for b in "abcdefghij"]
    first = [learned.template(f"/blog/{word}/text".encode()) for word in words[:MAX_FAN_OUT]]
    later = {learned.template(f"/blog/{word}/text".encode()) for word in words[MAX_FAN_OUT:]}
    assert first == [f"/blog/{word}/text" for word in words[:MAX_FAN_OUT]]
    assert later == {"/blog/{}/text"}
    assert learned.template(b"/blog/aa/other") == "/blog/aa/other"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"page", "page"),
        (b"filter[name]", "filter[name]"),
        (b"ids[17]", "ids[]"),
        (b"ids%5B%5D", "ids[]"),
        (b"utm_source", "utm_source"),
        (b"1699999999", DATA),
        (b"deadbeef01", DATA),
        (b"a%1eb", DATA),
        (b"a[%1e]", DATA),
        (b"a&b"[:1] + b"%26b", DATA),
        (b"x" * 100, DATA),
        (b"\xff\xfe", DATA),
        (b"includeOutOfStock", "includeOutOfStock"),
        (b"X-Amz-SignedHeaders", "X-Amz-SignedHeaders"),
        (b"filter[created_at][gte]", "filter[created_at][gte]"),
        (b"Zq7xKf2Rm9Tb4Wn", DATA),  # a link's token without a name
        (b"keys[Zq7xKf2Rm9Tb4Wn]", DATA),
    ],
)
def test_parameters_that_are_data_collapse(raw: bytes, name: str) -> None:
    assert parameter_name(raw) == name


def test_the_set_of_parameters_is_sorted_unique_and_bounded() -> None:
    table = CellTable()
    assert parse_cell(find(table, query="b=1&a=2&b=3&&=x")).parameters == ("a", "b")
    many = "&".join(f"{a}{b}=1" for a in "abcde" for b in "abcde")
    found = parse_cell(find(table, query=many)).parameters
    assert len(found) == MAX_PARAMETERS + 1
    assert REST in found


def test_a_flood_of_random_requests_leaves_a_table_of_constant_size() -> None:
    table, dice = CellTable(), random.Random(4)
    for _ in range(50):
        find(table, "/shop/basket")
    for number in range(10_000):
        find(
            table,
            dice.randbytes(12).hex() if number % 3 else f"/{dice.choice('abcdefgh') * dice.randint(1, 9)}/{number}",
            b"&".join(dice.randbytes(dice.randint(0, 9)) for _ in range(dice.randint(0, 20))),
            method=dice.choice(["GET", "POST", dice.randbytes(3).hex()]),
            status=dice.randint(100, 599),
            media=dice.choice(["json", "html"]),
        )
    counts = table.counts()
    assert len(counts) <= MAX_CELLS + 1
    assert sum(seen for seen, _ in counts.values()) == 10_050
    assert all(len(key) < 2000 and parse_cell(key).method in {*KNOWN_METHODS, "other"} for key in counts)
    sizes = [len(getattr(table, name)) for name in ("_cells", "_keys", "_unproven", "_parameters", "_names")]
    assert max(sizes) <= 1024
    assert (table._paths._nodes, len(table._paths._memo)) <= (400, 1024)


def test_what_comes_once_does_not_take_the_places_of_what_comes_often() -> None:
    table = CellTable()
    for status in range(100, 100 + FREE_CELLS + 300):
        find(table, status=status)  # a scanner
    keys = [find(table, "/shop/basket") for _ in range(5)]
    assert keys[:2] == [OTHER, OTHER]
    assert parse_cell(keys[-1]).endpoint == "/shop/basket"
    assert sum(seen for seen, _ in table.counts().values()) == FREE_CELLS + 305


@pytest.mark.parametrize(
    ("value", "family"),
    [
        (b"application/json", "json"),
        (b"Application/Problem+JSON; charset=utf-8", "json"),
        (b"application/x-ndjson", "json"),
        (b"text/html; charset=x", "html"),
        (b"application/atom+xml", "xml"),
        (b"image/svg+xml", "xml"),
        (b"text/event-stream", "events"),
        (b"text/csv", "text"),
        (b"image/png", "image"),
        (b"multipart/form-data; boundary=x", "form"),
        (b"application/octet-stream", "bytes"),
        (b"", "unnamed"),
        (b"\xff", "unnamed"),
        (b"a/\x1e", "bytes"),
    ],
)
def test_media_types_have_families(value: bytes, family: str) -> None:
    assert media_family(value) == family


@given(st.binary(max_size=40))
def test_the_families_are_a_fixed_list(value: bytes) -> None:
    known = {"json", "html", "xml", "events", "form", "text", "image", "audio", "video", "font", "bytes", "unnamed"}
    assert media_family(value) in known


def test_a_route_that_names_its_paths_whole_has_its_template_as_endpoint() -> None:
    assert fixed_endpoint(Match(path="/orders/{id}")) == "/orders/{id}"
    assert fixed_endpoint(Match(path="/orders/{id}/**")) == ""
    assert fixed_endpoint(Match(path_prefix="/orders")) == ""
    assert fixed_endpoint(Match()) == ""


def test_cohorts_are_sorted_and_cannot_break_a_key() -> None:
    table = CellTable()
    assert parse_cell(find(table, cohorts=cohort_key(["staff", "a\x1eb"]))).cohorts == ("a?b", "staff")


def test_the_first_answers_are_looked_at_and_then_a_share() -> None:
    looked_at = sum(due(number) for number in range(LOOK_EVERY * 100))
    assert looked_at == LOOKS_FIRST + 99
