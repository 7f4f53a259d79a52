"""Reading back after writes: which reads both sides are asked, and when they are evidence."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from harness import Act, Upstream, Worker, ok
from read_backs import SAFE, asked_back, kept, read_back, reading, reads, served, writes
from shadows import mine, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
