"""The coverage on the traffic path: which answers of legacy's count, which were compared, and which are looked at."""

import asyncio
from typing import Any

import pytest
from harness import Act, Upstream, Worker, chunked, migration, ok, running, until
from ports import free_port
from shadows import mine, settled, sides

from proxy.core.coverage import LOOKS_FIRST, parse_cell
from proxy.messages import RouteCounters

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "Content-Type: application/json"


def cells(counters: RouteCounters) -> dict[tuple[str, int, str], list[int]]:
    """(method, status, media) -> [seen, equal]."""
    return {(cell.method, cell.status, cell.media): columns for cell, columns in both(counters)}


def both(counters: RouteCounters) -> list[tuple[Any, list[int]]]:
    return [(parse_cell(key), columns) for key, columns in counters.coverage.items()]


def looks(worker: Worker, route: str) -> list[Any]:
    return [pair for pair in worker.looks if pair.route == route]


async def test_equal_pairs_are_counted_here_and_the_comparator_is_told_the_cell_of_the_others(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"[1]", JSON), lambda m: ok(b"[2]" if b"odd" in m.target else b"[1]", JSON))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "cover-1", "shadow"))
        for _ in range(3):
            await worker.ask("/even")
        for _ in range(2):
            await worker.ask("/odd?page=1")
        await worker.ask("/even", method="POST", body=b"x=1")
        counters = await settled(worker, "cover-1", 5)
        found = {(c.method, c.endpoint, c.parameters): n for c, n in both(counters)}
        assert found == {
            ("GET", "/even", ()): [3, 3],
            ("GET", "/odd", ("page",)): [2, 0],
            ("POST", "/even", ()): [1, 0],
        }
        pairs = mine(worker, "cover-1")
        assert {parse_cell(pair.cell).endpoint for pair in pairs} == {"/odd"}


async def test_a_cell_has_status_media_and_whether_there_is_a_body(worker: Worker) -> None:
    def answer(message: Any) -> bytes | Act:
        return {
            b"/html": ok(b"<p>", "content-TYPE: text/html; charset=x"),
            b"/gone": ok(b"{}", JSON, status="404 Not Found"),
            b"/empty": ok(b"", JSON),
            b"/none": b"HTTP/1.1 204 No Content\r\n\r\n",
            b"/chunked": chunked(b"a", b"b"),
            b"/hollow": chunked(),
        }[message.target]

    legacy = Upstream(answer)
    async with legacy:
        await worker.apply(migration(legacy, f"http://127.0.0.1:{free_port()}", "cover-2", "legacy"))
        for path in ("/html", "/gone", "/empty", "/none", "/chunked", "/hollow"):
            await worker.ask(path)
        await worker.ask("/html", method="HEAD")
        counters = await worker.route_when("cover-2", lambda c: len(c.coverage) >= 7)
        assert {(c.endpoint, c.method, c.status, c.media) for c, _ in both(counters)} == {
            ("/html", "GET", 200, "html"),
            ("/html", "HEAD", 200, "none"),
            ("/gone", "GET", 404, "json"),
            ("/empty", "GET", 200, "none"),
            ("/none", "GET", 204, "none"),
            ("/chunked", "GET", 200, "unnamed"),
            ("/hollow", "GET", 200, "none"),
        }
        assert all(columns == [1, 0] for columns in counters.coverage.values())


async def test_at_live_the_reverse_shadow_is_the_answer_of_legacys_that_counts(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"[1]", JSON, status="203 x"), ok(b"[1]", JSON))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "cover-3", "live"))
        for _ in range(3):
            await worker.ask("/a")
        await worker.ask("/a", method="POST", body=b"x")  # legacy is not asked about it
        counters = await settled(worker, "cover-3", 3)
        assert cells(counters) == {("GET", 203, "json"): [3, 0]}
        assert {parse_cell(pair.cell).status for pair in mine(worker, "cover-3")} == {203}


async def test_what_the_candidate_or_nobody_answered_is_not_seen(worker: Worker) -> None:
    legacy, candidate = sides(Act(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "close"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "cover-4", "legacy"))
        await worker.ask("/broken-off")
        await worker.apply(migration(f"http://127.0.0.1:{free_port()}", candidate, "cover-4", "legacy"))
        assert (await worker.ask("/refused")).status == 502
        await worker.apply(migration(legacy, candidate, "cover-4", "live", shadow={"sample": "0%"}))
        assert (await worker.ask("/by-candidate")).status == 200
        counters = await worker.route_when("cover-4", lambda c: sum(c.requests.values()) == 3)
        assert counters.coverage == {}
        assert looks(worker, "cover-4") == []


async def test_a_fallback_is_an_answer_of_legacys_that_was_not_compared(worker: Worker) -> None:
    legacy = Upstream(ok(b"[1]", JSON))
    async with legacy:
        await worker.apply(migration(legacy, f"http://127.0.0.1:{free_port()}", "cover-5", "live"))
        assert (await worker.ask("/a")).status == 200
        counters = await worker.route_when("cover-5", lambda c: c.coverage)
        assert cells(counters) == {("GET", 200, "json"): [1, 0]}


async def test_a_pair_of_legacy_with_itself_compares_nothing(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        compare = {"noise": {"sample": "100%"}}
        await worker.apply(migration(legacy, candidate, "cover-6", "shadow", compare=compare))
        for _ in range(3):
            await worker.ask("/a")
        counters = await worker.route_when("cover-6", lambda c: c.self_matched == 3)
        assert [columns for _, columns in both(counters)] == [[3, 0]]


async def test_users_are_told_apart_by_all_their_configured_cohorts(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"1"), ok(b"2"))
    cohorts = {"staff": {"header": {"X-Staff": "1"}}, "pilots": {"users": ["u-1"]}, "beta": {"cookie": {"beta": "yes"}}}
    async with legacy, candidate:
        settings = migration(
            legacy, candidate, "cover-7", "shadow", cohorts=cohorts, identity=[{"header": "X-User-Id"}]
        )  # fmt: skip
        await worker.apply(settings)
        await worker.ask("/a")
        await worker.ask("/a", "X-User-Id: u-2")
        await worker.ask("/a", "X-User-Id: u-1", "X-Staff: 1")
        await worker.ask("/a", "Cookie: beta=yes")
        counters = await settled(worker, "cover-7", 4)
        assert {cell.cohorts: columns for cell, columns in both(counters)} == {
            (): [2, 0],
            ("pilots", "staff"): [1, 0],
            ("beta",): [1, 0],
        }
        await until(lambda: len(mine(worker, "cover-7")) == 4)
        assert sorted(pair.cohorts for pair in mine(worker, "cover-7")) == [[], [], ["beta"], ["pilots", "staff"]]


async def test_equal_pairs_are_looked_at_a_few_times_and_carry_legacys_answer(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"[1]", JSON), ok(b"[1]", JSON))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "cover-8", "shadow"))
        for _ in range(LOOKS_FIRST + 30):
            await worker.ask("/a?x=1", "X-Banyan-Key: secret")
        await settled(worker, "cover-8", LOOKS_FIRST + 30)
        found = await until(lambda: looks(worker, "cover-8"))
        await worker.stats()
        assert len(found) == LOOKS_FIRST
        pair = found[0]
        assert (pair.purpose, pair.compared, pair.method, pair.target) == ("seen", True, "GET", b"/a?x=1")
        assert (pair.legacy.status, pair.legacy.body) == (200, b"[1]")
        assert (pair.candidate.status, pair.candidate.body, pair.candidate.fields) == (0, b"", [])
        assert parse_cell(pair.cell).parameters == ("x",)
        assert all(name.lower() != b"x-banyan-key" for name, _ in pair.fields)


async def test_answers_that_nobody_shadows_are_looked_at_too(worker: Worker) -> None:
    legacy, candidate = sides(chunked(b'{"a"', b":1}"))
    async with legacy, candidate:
        settings = migration(legacy, candidate, "cover-9", "shadow", shadow={"sample": "0%"})
        await worker.apply(settings)
        for _ in range(LOOKS_FIRST + 30):
            assert (await worker.ask("/a")).body == b'{"a":1}'
        counters = await worker.route_when("cover-9", lambda c: sum(n for n, _ in c.coverage.values()) == 50)
        assert [columns for _, columns in both(counters)] == [[LOOKS_FIRST + 30, 0]]
        found = looks(worker, "cover-9")
        assert len(found) == LOOKS_FIRST
        assert (found[0].compared, found[0].legacy.body, found[0].arm) == (False, b'{"a":1}', "legacy")
        assert counters.shadow == {}


async def test_bodies_of_writes_are_known_of_those_that_are_looked_at(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"done", status="201 Created"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "cover-10", "shadow"))
        for number in range(3):
            await worker.ask("/a", method="POST", body=b"n=%d" % number)
        found = await until(lambda: len(all_ := looks(worker, "cover-10")) == 3 and all_)
        assert [pair.body for pair in found] == [b"n=0", b"n=1", b"n=2"]
        assert all(request.body.startswith(b"n=") for request in legacy.requests)


async def test_an_answer_above_the_cap_is_not_looked_at_and_nothing_stays_held() -> None:
    big = b"x" * 300_000
    async with Upstream(lambda m: ok(big if m.target == b"/big" else b"1")) as legacy, running() as worker:
        shadow = {"sample": "0%", "max_body": "64KiB"}
        settings = migration(legacy, legacy, "cover-11", "shadow", shadow=shadow, shadow_memory="1MiB")
        await worker.apply(settings)
        for _ in range(30):  # 9 MB in all: more than the memory, were it not given back
            assert (await worker.ask("/big")).body == big
        assert (await worker.ask("/small")).body == b"1"
        found = await until(lambda: looks(worker, "cover-11"))
        assert [pair.target for pair in found] == [b"/small"]


async def test_a_client_that_leaves_is_not_seen_and_not_looked_at(worker: Worker) -> None:
    gate = asyncio.Event()

    async def slow(_: Any) -> bytes:
        await gate.wait()
        return ok(b"late")

    async with Upstream(slow) as legacy, Upstream() as candidate:
        await worker.apply(migration(legacy, candidate, "cover-12", "legacy"))
        client = await worker.connect()
        client.get("/a")
        await until(lambda: legacy.requests)
        await client.close()
        counters = await worker.route_when("cover-12", lambda c: c.requests)
        gate.set()
        assert counters.requests == {"GET 499 legacy": 1}
        assert counters.coverage == {}


async def test_while_the_comparator_is_away_everything_is_still_counted() -> None:
    legacy, candidate = sides()
    async with legacy, candidate, running(comparator=False) as worker:
        await worker.apply(migration(legacy, candidate, "cover-13", "shadow"))
        for _ in range(3):
            assert (await worker.ask("/a")).status == 200
        counters = await settled(worker, "cover-13", 3)
        assert [columns for _, columns in both(counters)] == [[3, 3]]
        assert counters.shadow == {"compared": 3}


async def test_a_write_that_is_read_back_is_looked_at_and_stays_uncompared(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"[1]", JSON), ok(b"[1]", JSON))
    async with legacy, candidate:
        shadow = {"unsafe": "read-after-write", "reads": [{"path": "/a"}]}
        await worker.apply(migration(legacy, candidate, "cover-14", "shadow", shadow=shadow))
        await worker.ask("/a", method="POST", body=b"n=1")
        (found,) = await until(lambda: [pair for pair in looks(worker, "cover-14") if pair.method == "POST"])
        assert (found.compared, found.body, found.legacy.body) == (False, b"n=1", b"[1]")
        counters = await worker.route_when("cover-14", lambda c: c.shadow)
        assert cells(counters)["POST", 200, "json"] == [1, 0]
