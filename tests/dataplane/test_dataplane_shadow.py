"""The shadow: it compares, it counts, and the client never notices it."""

import asyncio
import time
from typing import Any

import pytest
from faults import endless, huge
from harness import NO_BREAKER, Act, Message, Upstream, Worker, chunked, migration, ok, until
from ports import free_port
from scripted import Raw
from shadows import mine, settled, sides, total

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


# -- outcomes -----------------------------------------------------------------------------------------------------


async def test_equal_answers_are_counted_and_go_nowhere(worker: Worker) -> None:
    answers = [
        ok(b"same", "Content-Type: a/b", "Date: x"),
        ok(b"same", "X-More: 1", "Content-Type: a/b"),
        chunked(b"sa", b"me"),
    ]
    legacy, candidate = sides(answers[0], answers[1])
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "equal", "shadow"))
        for _ in range(20):
            assert (await worker.ask()).body == b"same"
        counters = await settled(worker, "equal", 20)
        assert counters.matched == 20 - counters.shadow_dropped.get("loop-lag", 0)
        assert mine(worker, "equal") == []
        assert sum(counters.shadow_durations["candidate"].counts) == counters.matched
        assert counters.requests == {"GET 200 legacy": 20}
        assert counters.upstream_requests == {"legacy ok": 20}


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_framing_is_no_difference(worker: Worker, framing: str) -> None:
    answer = {
        "length": ok(b"same"),
        "chunked": chunked(b"s", b"ame"),
        "close": Act(b"HTTP/1.1 200 OK\r\n\r\nsame", "close"),
    }[framing]
    legacy, candidate = sides(None, answer)
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, f"framing-{framing}", "shadow"))
        for _ in range(3):
            await worker.ask()
        counters = await settled(worker, f"framing-{framing}", 3)
        assert counters.shadow.get("sent-to-comparator") is None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("status", ok(b"same", status="404 No")),
        ("body", ok(b"sane")),
        ("longer", ok(b"same!")),
        ("type", ok(b"same", "Content-Type: a/c")),
        ("coding", ok(b"same", "Content-Encoding: gzip")),
        ("location", ok(b"same", "Location: /x")),
    ],
)
async def test_an_unequal_answer_makes_one_pair_with_both(worker: Worker, name: str, answer: bytes) -> None:
    legacy, candidate = sides(None, answer)
    route = f"unequal-{name}"
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, route, "shadow"))
        for _ in range(5):  # until the machine is not too busy for a shadow
            got = await worker.ask("/a?b=c", "X-Client: \u00e9")
            assert got.body == b"same"
            await asyncio.sleep(0.1)
            if mine(worker, route):
                break
        (pair,) = mine(worker, route)
        assert (pair.method, pair.target, pair.arm, pair.reason) == ("GET", b"/a?b=c", "legacy", "stage-shadow")
        assert pair.generation == worker.generation
        assert (b"X-Client", b"\xe9") in pair.fields
        assert (pair.legacy.status, pair.legacy.body, pair.legacy.failure) == (200, b"same", "")
        shadow = Message(answer.partition(b"\r\n\r\n")[0])
        assert (pair.candidate.status, pair.candidate.body) == (shadow.status, answer.partition(b"\r\n\r\n")[2])
        assert set(shadow.fields) <= set(pair.candidate.fields)
        assert pair.request_id.encode() == legacy.requests[-1].get("x-request-id")


async def test_a_field_that_no_client_would_get_is_not_there(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"same", "Location: /x"), ok(b"same", "Location: /x", "Connection: location"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "taken-back", "shadow"))
        for asked in range(1, 6):
            await worker.ask()
            counters = await settled(worker, "taken-back", asked)
            assert not counters.matched
            if mine(worker, "taken-back"):
                break
        pair = mine(worker, "taken-back")[0]
        assert (b"Location", b"/x") in pair.legacy.fields
        assert {name for name, _ in pair.candidate.fields} == {b"Content-Length"}


async def test_the_copy_is_the_same_request_but_for_its_mark(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "copy", "shadow"))
        for _ in range(5):
            await worker.ask("/a%20b?c", "Cookie: a=b", "X-Banyan-Shadow: 0", "x-banyan-shadow: 1", "X-B: 1", "X-a: 2")
            await asyncio.sleep(0.05)
            if candidate.requests:
                break
        real, copy = legacy.requests[-1], candidate.requests[-1]
        assert copy.line == real.line
        assert copy.fields == [*real.fields, (b"X-Banyan-Shadow", b"1")]
        assert not [n for n, _ in real.fields if n.lower().startswith(b"x-banyan")]


async def test_f17_writes_are_not_shadowed(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "writes", "shadow"))
        for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND"):
            assert (await worker.ask(method=method, body=b"x")).status == 200
        assert total(await worker.route("writes")) == 0
        assert candidate.connections == 0


@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_writes_are_shadowed_with_their_body_if_the_candidate_accepts_it(worker: Worker, framed: str) -> None:
    legacy, candidate = sides(lambda m: ok(m.body), lambda m: ok(m.body))
    route = f"accepted-{framed}"
    body = bytes(range(256)) * 1000
    async with legacy, candidate:
        shadow = {"methods": ["POST"], "unsafe": "accepted-by-candidate"}
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow=shadow))
        for _ in range(4):
            async with await worker.connect() as client:
                if framed == "length":
                    client.get(method="POST", body=body)
                else:
                    client.send(chunked(body[:1000], body[1000:], head="POST / HTTP/1.1\r\nHost: a\r\n"))
                assert (await client.answer()).body == body
            await worker.ask()  # GET is not named
        counters = await settled(worker, route, 4)
        assert counters.matched == len(candidate.requests) == 4 - counters.shadow_dropped.get("loop-lag", 0)
        assert {r.body for r in candidate.requests} <= {body}
        assert all(r.get("x-banyan-shadow") == b"1" for r in candidate.requests)


async def test_a_sample_is_a_share(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "sampled", "shadow", shadow={"sample": "50%"}))
        for _ in range(60):
            await worker.ask()
        counters = await worker.route("sampled")
        assert 10 <= total(counters) <= 50


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "401 Unauthorized"])
async def test_f16_nothing_of_a_shadows_answer_reaches_the_client(worker: Worker, status: str) -> None:
    more = ("Set-Cookie: evil=1", "Location: /evil", "WWW-Authenticate: Basic realm=evil", 'Clear-Site-Data: "*"')
    evil = ok(b"evil", *more, status=status)
    legacy, candidate = sides(None, b"HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n" + evil)
    async with legacy, candidate, await worker.connect() as client:
        await worker.apply(migration(legacy, candidate, f"evil-{status[:3]}", "shadow"))
        for _ in range(10):
            client.get()
            answer = await client.answer(interim=True)
            assert answer.status == 200
            assert b"evil" not in answer.head + answer.body
        assert {(r.target, r.get("cookie"), r.get("authorization")) for r in candidate.requests} <= {(b"/", None, None)}


async def test_live_asks_legacy_about_what_the_candidate_answered(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"old"), ok(b"new"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "reverse", "live"))
        for _ in range(5):
            assert (await worker.ask()).body == b"new"
            await worker.ask(method="POST", body=b"x")
            await asyncio.sleep(0.05)
        counters = await settled(worker, "reverse", 5)
        assert counters.unpaired == 0
        assert counters.shadow["sent-to-comparator"] == len(legacy.requests)
        assert all(r.get("x-banyan-shadow") == b"1" for r in legacy.requests)
        pair = mine(worker, "reverse")[0]
        assert (pair.arm, pair.legacy.body, pair.candidate.body) == ("candidate", b"old", b"new")


@pytest.mark.parametrize("reverse", [False, True])
async def test_canary_compares_in_reverse_only_when_told(worker: Worker, reverse: bool) -> None:
    legacy, candidate = sides()
    route = f"canary-{reverse}".lower()
    async with legacy, candidate:
        more: dict[str, Any] = {"cohorts": {"staff": {"header": {"X-Staff": "1"}}}, "canary": {"cohorts": ["staff"]}}
        await worker.apply(migration(legacy, candidate, route, "canary", shadow={"reverse": reverse}, **more))
        await worker.ask("/", "X-Staff: 1")
        assert total(await worker.route(route)) == (1 if reverse else 0)
        await worker.ask("/")
        counters = await settled(worker, route, 2 if reverse else 1)
        assert counters.unpaired == (0 if reverse else 1)
        await worker.ask("/", "X-Staff: 1", method="POST", body=b"x")  # is of a kind that is never compared
        assert (await worker.route(route)).unpaired == counters.unpaired


# -- a candidate that misbehaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "act", "failure"),
    [
        ("refused", None, "connect-failure"),
        ("closed", Act(then="close"), "reset"),
        ("garbage", Act(b"\x16\x03\x01 junk\r\n\r\n", "close"), "invalid-response"),
        ("101", Act(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "invalid-response"),
        ("broken", Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "close"), "truncated"),
        ("bad-chunk", Act(chunked(b"same", end=b"zz\r\n")), "truncated"),
        ("silent", Act(then="hang"), "first-byte-timeout"),
        ("stops", Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "hang"), "idle-timeout"),
        ("field", Act(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB + b"\r\n\r\n", "close"), "invalid-response"),
        ("fields", Act(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n", "close"), "invalid-response"),
        ("100s", Act(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + ok(b"same"), "close"), "invalid-response"),
    ],
)
async def test_f13_a_candidate_that_fails_is_recorded_and_the_client_served(
    worker: Worker, name: str, act: Act | None, failure: str
) -> None:
    legacy, candidate = sides(None, act)
    route = f"fails-{name}"
    async with legacy:
        if act is None:
            candidate.port = free_port()
        else:
            await candidate.listen()
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow={"timeout": "400ms"}))
        for _ in range(4):
            assert (await worker.ask()).body == b"same"
        counters = await settled(worker, route, 4)
        pairs = mine(worker, route)
        assert (
            len(pairs) == counters.shadow.get("sent-to-comparator", 0) == 4 - counters.shadow_dropped.get("loop-lag", 0)
        )
        assert {(p.legacy.status, p.legacy.failure, p.candidate.status, p.candidate.failure) for p in pairs} <= {
            (200, "", 0, failure)
        }
        await candidate.close()
        assert (await worker.stats()).shadows_in_flight == 0


@pytest.mark.parametrize(("route", "raw"), [("endless", endless), ("huge", huge(10 * 1024 * MIB))])
async def test_f12_an_endless_candidate_is_cut_at_the_cap(worker: Worker, route: str, raw: Raw) -> None:
    legacy = Upstream(ok(b"same"))
    async with legacy, Upstream(raw=raw) as candidate:
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow={"max_body": "100KiB"}))
        before = worker.rss()
        for _ in range(30):
            assert (await worker.ask()).body == b"same"
        await settled(worker, route, 30)
        pairs = mine(worker, route)
        assert pairs
        assert {(p.candidate.truncated, len(p.candidate.body), p.legacy.truncated) for p in pairs} == {
            (True, 16 * 1024, False)  # of what cannot be compared only a beginning is kept
        }
        await until(lambda: candidate.open == 0)
        assert worker.rss() - before < 20 * MIB


async def test_f11_a_silent_candidate_costs_the_client_nothing_and_is_bounded(worker: Worker) -> None:
    legacy, candidate = sides(None, Act(then="hang"))
    async with legacy, candidate:
        more = {"shadow": {"timeout": "3s", "max_in_flight": 5}, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, candidate, "black-hole", "shadow", **more))
        async with await worker.connect() as client:
            begun = time.monotonic()
            for _ in range(200):
                client.get()
                assert (await client.answer()).body == b"same"
            assert time.monotonic() - begun < 3  # one shadow would have taken that long
        counters = await worker.route("black-hole")
        assert 1 <= len(candidate.requests) <= 5
        assert counters.shadow_dropped["concurrency"] >= 190 - counters.shadow_dropped.get("loop-lag", 0)
        counters = await settled(worker, "black-hole", 200)


async def test_shadows_have_connections_of_their_own(worker: Worker) -> None:
    legacy, candidate = sides(None, Act(then="hang"))
    async with legacy, candidate:
        document = migration(legacy, candidate, "own", "shadow", shadow={"timeout": "1s"})
        document["routes"].append(
            {"id": "own-live", "match": {"path": "/live"}, "candidate": "candidate", "stage": "retired"}
        )
        await worker.apply(document)
        for _ in range(3):
            await worker.ask()
        candidate.reply = ok(b"live")
        assert (await worker.ask("/live")).body == b"live"
