"""Reading back after writes: both sides are asked for what legacy wrote, and nobody ever sees a write twice."""

import asyncio
import gzip
import json
import random
from collections import Counter
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok, running
from shadows import mine, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAFE = (b"GET", b"HEAD", b"OPTIONS")


def reading(*paths: str, **more: Any) -> dict[str, Any]:
    """The shadow of a route whose writes are read back."""
    reads = [path if isinstance(path, dict) else {"path": path} for path in paths]
    return {"unsafe": "read-after-write", "reads": reads, "methods": [], **more}


def kept(document: Any) -> bytes:
    return ok(json.dumps(document).encode(), "Content-Type: application/json", status="201 Created")


def asked_back(legacy: Upstream, candidate: Upstream, route: str, stage: str, **more: Any) -> dict[str, Any]:
    """A configuration whose shadows do not mind a busy machine."""
    return migration(legacy, candidate, route, stage, overload={"shadow_lag": "0s"}, **more)


def writes(upstream: Upstream) -> list[Message]:
    return [request for request in upstream.heads if request.method not in SAFE]


def reads(upstream: Upstream) -> list[Message]:
    return [request for request in upstream.heads if request.method in SAFE]


def served(route: str, document: dict[str, Any], path: str = "/orders/{order_id}") -> dict[str, Any]:
    """The configuration with a path template in the place of every path."""
    document["routes"][0]["match"] = {"path": path}
    return document


async def read_back(worker: Worker, route: str, number: int = 1) -> Counter[str]:
    counters = await worker.route_when(route, lambda c: sum(c.shadow.values()) >= number)
    return Counter(counters.shadow) + Counter(counters.shadow_dropped)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_is_followed_by_its_reads_on_both_sides(worker: Worker, method: str) -> None:
    legacy = Upstream(lambda m: kept({"id": "a b/1"}) if m.method not in SAFE else ok(b"state"))
    candidate = Upstream(ok(b"state"))
    route = f"followed-{method.lower()}"
    async with legacy, candidate:
        shadow = reading("/orders/{order_id}?full=1", "/orders/{order_id}/log")
        await worker.apply(served(route, asked_back(legacy, candidate, route, "shadow", shadow=shadow)))
        assert (await worker.ask("/orders/%41%20x?y=1", method=method, body=b"{}")).status == 201
        assert (await read_back(worker, route, 2))["read-back"] == 2
        assert (await worker.route(route)).matched == 2
        assert [m.method for m in writes(legacy)] == [method.encode()]
        for side in (legacy, candidate):
            targets = [m.line for m in reads(side)]
            assert targets == [b"GET /orders/%41%20x?full=1 HTTP/1.1", b"GET /orders/%41%20x/log HTTP/1.1"]
            assert {m.get("x-banyan-shadow") for m in reads(side)} == {b"1"}
        assert writes(candidate) == []


async def test_values_of_legacys_answer_fill_their_places(worker: Worker) -> None:
    document = {"id": 12345678901234567890123, "name": "a/b?c#d é", "order": {"lines": [{"no": 1.25}]}, "on": True}
    legacy = Upstream(lambda m: kept(document) if m.method not in SAFE else ok(b"state"))
    candidate = Upstream(ok(b"state"))
    async with legacy, candidate:
        shadow = reading(
            "/a/{$.id}?name={$.name}", "/b/{$.order.lines[0].no}/{$['on']}", "/c?from={order_id}", "/plain"
        )
        await worker.apply(served("values", asked_back(legacy, candidate, "values", "shadow", shadow=shadow)))
        await worker.ask("/orders/a&b+c=d", method="POST", body=b"{}")
        assert (await read_back(worker, "values", 4))["read-back"] == 4
        expected = [
            b"/a/12345678901234567890123?name=a%2Fb%3Fc%23d%20%C3%A9",
            b"/b/1.25/true",
            b"/c?from=a%26b%2Bc%3Dd",
            b"/plain",
        ]
        for side in (legacy, candidate):
            assert [m.target for m in reads(side)] == expected


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("missing", kept({"no": 1})),
        ("null", kept({"id": None})),
        ("object", kept({"id": {"a": 1}})),
        ("list", kept([1])),
        ("empty", kept({"id": ""})),
        ("slash", kept({"id": "a/b"})),
        ("dots", kept({"id": ".."})),
        ("surrogate", ok(b'{"id": "\\ud800"}', status="201 Created")),
        ("nan", ok(b'{"id": NaN}', status="201 Created")),
        ("text", ok(b"id=7", status="201 Created")),
        ("none", ok(status="204 No")),
        ("deep", ok(b'{"id":' + b"[" * 60_000, status="201 Created")),
        ("long", kept({"id": "x" * 5000})),
        ("large", kept({"filler": "x" * 70_000, "id": "7"})),
        ("unknown-coding", ok(b'{"id": "7"}', "Content-Encoding: x-own", status="201 Created")),
        ("broken-coding", ok(b'{"id": "7"}', "Content-Encoding: gzip", status="201 Created")),
        ("bomb", ok(gzip.compress(b'{"id": "7", "x": "' + b"x" * 10_000_000), "Content-Encoding: gzip")),
    ],
)
async def test_what_cannot_be_filled_in_is_not_asked(worker: Worker, name: str, answer: bytes) -> None:
    legacy, candidate = Upstream(lambda m: answer if m.method not in SAFE else ok(b"state")), Upstream(ok(b"state"))
    route = f"unknown-{name}"
    async with legacy, candidate:
        shadow = reading("/orders/{$.id}")
        await worker.apply(served(route, asked_back(legacy, candidate, route, "shadow", shadow=shadow)))
        assert (await worker.ask("/orders/1", method="POST", body=b"{}")).status < 300
        counters = await worker.route_when(route, lambda c: sum(c.shadow.values()))
        assert counters.shadow_dropped == {"read-back-unknown": 1}
        assert reads(legacy) == []
        assert candidate.connections == 0


async def test_ids_in_a_compressed_or_chunked_answer_are_found(worker: Worker) -> None:
    body = gzip.compress(json.dumps({"id": 7}).encode())
    chunks = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    for at in range(0, len(body), 5):
        chunks += b"%x\r\n%b\r\n" % (len(body[at : at + 5]), body[at : at + 5])
    legacy = Upstream(lambda m: chunks + b"0\r\n\r\n" if m.method not in SAFE else ok(b"state"))
    async with legacy, Upstream(ok(b"state")) as candidate:
        shadow = reading("/orders/{$.id}")
        await worker.apply(served("gzipped", asked_back(legacy, candidate, "gzipped", "shadow", shadow=shadow)))
        await worker.ask("/orders/1", method="POST", body=b"{}")
        assert (await read_back(worker, "gzipped"))["read-back"] == 1
        assert [m.target for m in reads(candidate)] == [b"/orders/7"]


async def test_the_read_says_who_asks_and_nothing_of_the_write(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"state"), ok(b"other"))
    told = {"Cookie": "session=1", "Authorization": "Bearer x", "Accept": "application/json", "X-Own": "\u00e9"}
    untold = {
        "Content-Type": "a/b", "Content-Encoding": "identity", "Content-Language": "en", "Expect": "100-continue",
        "If-Match": '"1"', "If-None-Match": "*", "If-Unmodified-Since": "x", "Range": "bytes=0-1", "If-Range": '"1"',
        "Idempotency-Key": "k", "X-HTTP-Method-Override": "DELETE", "X_HTTP_METHOD": "PUT", "X-Method-Override": "PUT",
        "Digest": "x", "Trailer": "X-T", "X-Banyan-Key": "k",
    }  # fmt: skip
    async with legacy, candidate:
        shadow = reading("/state")
        await worker.apply(asked_back(legacy, candidate, "fields", "shadow", shadow=shadow))
        fields = [f"{name}: {value}" for name, value in (told | untold).items()]
        async with await worker.connect() as client:
            client.get("/a", *fields, method="POST", body=b"{}")
            assert (await client.answer()).status == 200
        assert (await read_back(worker, "fields"))["read-back"] == 1
        (asked,) = reads(candidate)
        assert asked.fields == reads(legacy)[0].fields
        assert asked.body == b""
        for name, value in told.items():
            assert asked.get(name) == value.encode("latin-1")
        lower = {name.lower() for name, _ in asked.fields}
        assert not lower & {name.lower().encode() for name in untold}
        assert not lower & {b"content-length", b"transfer-encoding"}
        assert {b"host", b"via", b"x-request-id", b"traceparent", b"x-banyan-shadow"} <= lower
        (pair,) = mine(worker, "fields")
        assert (pair.purpose, pair.method, pair.target, pair.body, pair.arm) == (
            "read-back", "GET", b"/state", b"", "legacy",
        )  # fmt: skip
        assert (pair.legacy.body, pair.candidate.body) == (b"state", b"other")
        assert pair.request_id.encode() == writes(legacy)[0].get("x-request-id")
        assert not {name.lower() for name, _ in pair.fields} & {name.lower().encode() for name in untold}


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("4xx", ok(status="409 Conflict")),
        ("3xx", ok(b"", "Location: /x", status="303 See")),
        ("5xx", ok(status="500 No")),
        ("broken", Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "close")),
    ],
)
async def test_a_write_that_legacy_did_not_take_is_not_read_back(worker: Worker, name: str, reply: Any) -> None:
    legacy, candidate = Upstream(lambda m: reply if m.method not in SAFE else ok()), Upstream()
    route = f"not-taken-{name}"
    async with legacy, candidate:
        await worker.apply(asked_back(legacy, candidate, route, "shadow", shadow=reading("/state")))
        await worker.ask("/a", method="POST", body=b"{}")
        counters = await worker.route_when(route, lambda c: sum(c.shadow.values()))
        assert counters.shadow_dropped == {"read-back-not-written": 1}
        assert reads(legacy) == []
        assert candidate.connections == 0


@pytest.mark.parametrize("stage", ["legacy", "live", "retired"])
async def test_only_writes_that_legacy_answers_beside_a_candidate_are_read_back(worker: Worker, stage: str) -> None:
    legacy, candidate = sides()
    route = f"not-at-{stage}"
    async with legacy, candidate:
        await worker.apply(asked_back(legacy, candidate, route, stage, shadow=reading("/state")))
        await worker.ask("/a", method="POST", body=b"{}")
        await asyncio.sleep(0.3)
        assert reads(legacy) == reads(candidate) == []
        assert (await worker.route(route)).shadow == {}


@pytest.mark.parametrize(
    ("status", "other", "outcome"),
    [
        ("401 No", "401 No", "read-back-refused"),
        ("403 No", "403 No", "read-back-refused"),
        ("302 Login", "302 Login", "read-back-refused"),
        ("405 No", "405 No", "read-back-refused"),
        ("404 Gone", "404 Gone", "read-back"),
        ("410 Gone", "410 Gone", "read-back"),
        ("401 No", "403 No", "read-back"),
        ("401 No", "200 OK", "read-back"),
        ("500 No", "500 No", "read-back"),
    ],
)
@pytest.mark.parametrize("body", [b"same", b"other"])
async def test_that_both_sides_refuse_a_read_is_no_evidence(
    worker: Worker, status: str, other: str, outcome: str, body: bytes
) -> None:
    legacy = Upstream(lambda m: ok(b"same", status=status) if m.method in SAFE else ok())
    candidate = Upstream(ok(body, status=other))
    route = f"refused-{status[:3]}-{other[:3]}-{body.decode()}"
    async with legacy, candidate:
        await worker.apply(asked_back(legacy, candidate, route, "shadow", shadow=reading("/state")))
        await worker.ask("/a", method="POST", body=b"{}")
        assert (await read_back(worker, route))[outcome] == 1
        same = status == other and body == b"same" and outcome == "read-back"
        assert (await worker.route(route)).matched == same


async def test_reads_wait_for_their_delay_and_for_the_clients_answer(worker: Worker) -> None:
    times: dict[bytes, float] = {}

    def reply(message: Message) -> bytes:
        times.setdefault(message.target, asyncio.get_running_loop().time())
        return ok(b"state")

    legacy, candidate = Upstream(reply), Upstream(ok(b"state"))
    async with legacy, candidate:
        shadow = reading({"path": "/late", "delay": "700ms"}, {"path": "/soon", "delay": "200ms"}, "/now")
        await worker.apply(asked_back(legacy, candidate, "delays", "shadow", shadow=shadow))
        await worker.ask("/write", method="POST", body=b"{}")
        answered = asyncio.get_running_loop().time()
        assert list(times) == [b"/write"]
        assert (await read_back(worker, "delays", 3))["read-back"] == 3
        assert list(times) == [b"/write", b"/now", b"/soon", b"/late"]
        assert times[b"/soon"] - times[b"/write"] >= 0.2
        assert times[b"/late"] - times[b"/write"] >= 0.7
        assert times[b"/now"] > times[b"/write"]
        assert answered < times[b"/soon"]


@pytest.mark.parametrize("slow", ["legacy", "candidate"])
async def test_reads_of_a_side_that_hangs_hurt_no_client_and_are_bounded(worker: Worker, slow: str) -> None:
    hanging = Upstream(lambda m: Act(then="hang") if m.get("x-banyan-shadow") else ok(b"state"))
    legacy, candidate = (hanging, Upstream(ok(b"state"))) if slow == "legacy" else (Upstream(ok(b"state")), hanging)
    route = f"hangs-{slow}"
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": reading("/state", timeout="800ms", max_in_flight=10)}
        document = asked_back(legacy, candidate, route, "shadow", breaker=NO_BREAKER, **more)
        document["upstreams"]["legacy"]["breaker"] = NO_BREAKER
        await worker.apply(document)
        async with await worker.connect() as client:
            for _ in range(100):
                client.get("/a", method="POST", body=b"{}")
                assert (await client.answer()).body == b"state"
        counters = await worker.route_when(route, lambda c: sum(c.shadow.values()) >= 100)
        assert counters.shadow_dropped["concurrency"] >= 60 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.shadow.get("read-back", 0) + counters.shadow["dropped"] == 100
        assert counters.requests == {"POST 200 legacy": 100}
        for pair in mine(worker, route):
            assert (pair.legacy.failure, pair.candidate.failure) == (
                ("first-byte-timeout", "") if slow == "legacy" else ("", "first-byte-timeout")
            )
        assert (await worker.stats()).shadows_in_flight == 0


async def test_reads_stop_where_the_breaker_of_either_side_is_open(worker: Worker) -> None:
    legacy = Upstream(ok(b"state"))
    async with legacy, Upstream(Act(then="close")) as candidate:
        breaker = {"consecutive_failures": 3, "open": "60s"}
        shadow = reading("/state")
        await worker.apply(asked_back(legacy, candidate, "opened", "shadow", shadow=shadow, breaker=breaker))
        for number in range(1, 9):
            await worker.ask("/a", method="POST", body=b"{}")
            counters = await worker.route_when("opened", lambda c, number=number: sum(c.shadow.values()) >= number)
        assert counters.shadow_dropped["breaker-open"] >= 2
        assert len(reads(legacy)) == counters.shadow["read-back"] <= 6  # legacy is not asked for nothing


async def test_a_waiting_write_holds_no_more_than_its_head_and_is_given_back(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"state"), ok(b"state"))
    async with legacy, candidate:
        shadow = reading({"path": "/state", "delay": "1s"})
        document = asked_back(legacy, candidate, "waiting", "shadow", shadow=shadow, shadow_memory="1MiB")
        await worker.apply(document)
        body = b"x" * 200_000
        answers = await asyncio.gather(*(worker.ask("/a", method="POST", body=body) for _ in range(30)))
        assert {answer.status for answer in answers} == {200}
        found = await read_back(worker, "waiting", 30)
        assert found["memory"] == 0  # the bodies would have been six times that
        assert found["read-back"] >= 10
        assert (await worker.stats()).shadows_in_flight == 0


async def test_writes_that_wait_are_bounded() -> None:
    legacy, candidate = sides(ok(b"state"), ok(b"state"))
    async with legacy, candidate, running() as worker:
        shadow = reading({"path": "/state", "delay": "60s"})
        await worker.apply(asked_back(legacy, candidate, "crowd", "shadow", shadow=shadow))

        async def some(number: int) -> None:
            async with await worker.connect() as client:
                for _ in range(number):
                    client.get("/a", method="POST", body=b"{}")
                    await client.answer()

        await asyncio.gather(*(some(150) for _ in range(8)))
        counters = await worker.route("crowd")
        assert counters.shadow_dropped["concurrency"] == 1200 - 1024
        assert (await worker.stats()).shadows_in_flight == 1024


async def test_long_answers_to_reads_are_compared_by_digest(worker: Worker) -> None:
    legacy = Upstream(lambda m: ok(b"x" * 3_000_000) if m.method in SAFE else ok())
    candidate = Upstream(lambda m: ok(b"x" * (3_000_000 - (m.target == b"/b")) + b"y" * (m.target == b"/b")))
    async with legacy, candidate:
        shadow = reading("/a", "/b", max_body="100KiB")
        await worker.apply(asked_back(legacy, candidate, "long-reads", "shadow", shadow=shadow))
        await worker.ask("/", method="POST", body=b"{}")
        assert (await read_back(worker, "long-reads", 2))["read-back"] == 2
        assert (await worker.route("long-reads")).matched == 1
        (pair,) = mine(worker, "long-reads")
        assert (pair.target, pair.legacy.size, pair.candidate.size) == (b"/b", 3_000_000, 3_000_000)
        assert pair.legacy.digest != pair.candidate.digest


async def test_reads_enter_no_figure_of_the_writes_time(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"state"), lambda m: Act(ok(b"state", status="500 No"), delay=0.1))
    async with legacy, candidate:
        await worker.apply(asked_back(legacy, candidate, "unpaired", "shadow", shadow=reading("/state")))
        await worker.ask("/", method="POST", body=b"{}")
        assert (await read_back(worker, "unpaired"))["read-back"] == 1
        paired = (await worker.route("unpaired")).paired
        assert (sum(paired.deltas), paired.candidate_errors, paired.would_time_out) == (0, 0, 0)


async def test_f17_under_a_thousand_writes_neither_side_sees_one_that_it_would_not_have_seen(worker: Worker) -> None:
    """Half of the customers write to the candidate, half to legacy; both sides fail now and then, clients leave."""
    dice = random.Random(17)

    def moody(message: Message) -> bytes | Act:
        if dice.random() < 0.85:
            return kept({"id": (message.get("x-id") or b"").decode()}) if message.method not in SAFE else ok(b"state")
        return dice.choice([Act(then="reset"), Act(then="close"), ok(status="503 Busy"), Act(ok(b"late"), delay=0.1)])

    legacy, candidate = Upstream(moody), Upstream(moody)
    more: dict[str, Any] = {
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}},
        "canary": {"cohorts": ["staff"]},
        "shadow": reading("/orders/{$.id}", "/orders/{order_id}", methods=["GET"], reverse=True, timeout="1s"),
        "compare": {"noise": {"sample": "50%"}},
        "breaker": NO_BREAKER,
    }
    statuses: dict[bytes, int] = {}
    arms: dict[bytes, int] = {}

    async def customer(number: int) -> None:
        for turn in range(50):
            key = f"{number}-{turn}"
            arms[key.encode()] = number % 2
            fields = [f"X-Id: {key}", f"X-Staff: {number % 2}"]
            method = ("POST", "PUT", "PATCH", "DELETE")[turn % 4]
            async with await worker.connect() as client:
                client.get(f"/orders/{key}", *fields, method=method, body=b"{}")
                if turn % 10 == 9:
                    continue  # it does not wait
                statuses[key.encode()] = (await client.answer()).status
            await worker.ask(f"/orders/{key}", *fields)

    async with legacy, candidate:
        document = asked_back(legacy, candidate, "ledger", "canary", **more)
        await worker.apply(served("ledger", document))
        await asyncio.gather(*(customer(number) for number in range(20)))
        while (await worker.stats()).shadows_in_flight:
            pass
        seen = {side: [m.get("x-id") or b"" for m in writes(side)] for side in (legacy, candidate)}
        assert not any(m.get("x-banyan-shadow") for side in (legacy, candidate) for m in writes(side))
        for staff, side in ((0, legacy), (1, candidate)):
            assert {arms[key] for key in seen[side]} == {staff}  # nobody saw a write of the others
            assert len(seen[side]) == len(set(seen[side]))  # and nothing twice
        assert {key for key, status in statuses.items() if status < 300} <= {*seen[legacy], *seen[candidate]}
        assert sum(1 for m in reads(candidate) if m.get("x-banyan-shadow")) > 100
        assert all(m.method == b"GET" for side in (legacy, candidate) for m in side.heads if m.get("x-banyan-shadow"))
