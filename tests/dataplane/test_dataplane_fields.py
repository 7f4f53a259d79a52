"""What Banyan tells upstreams about the client, and what it answers itself."""

import json
import re

import pytest
from harness import Act, Upstream, Worker, migration, ok, plain
from ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLAIMS = [
    "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: real.test", "X-Request-ID: given-1",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b", "Forwarded: for=6.6.6.6",
    "X-Real-IP: 6.6.6.6", "X-Forwarded-Port: 99",
]  # fmt: skip


async def test_a_stranger_is_not_believed(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, trusted_proxies=["10.0.0.0/8"]))
        await worker.ask("/", *CLAIMS)
        got = legacy.requests[0]
        assert got.all("x-forwarded-for") == [b"127.0.0.1"]
        assert got.all("x-forwarded-proto") == [b"http"]
        assert got.all("x-forwarded-host") == [b"shop.test"]
        assert got.all("via") == [b"1.1 banyan-test"]
        assert re.fullmatch(rb"[0-9a-f]{32}", got.all("x-request-id")[0])
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", got.all("traceparent")[0])
        for name in ("tracestate", "forwarded", "x-real-ip", "x-forwarded-port"):
            assert got.get(name) is None


async def test_a_trusted_proxy_is_believed_and_our_hop_is_added(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, trusted_proxies=["10.0.0.0/8", "127.0.0.0/8"]))
        await worker.ask("/", *CLAIMS, "X-Banyan-Arm: candidate", "X-Banyan-Shadow: 1")
        got = legacy.requests[0]
        assert got.all("x-forwarded-for") == [b"6.6.6.6", b"127.0.0.1"]
        for claim in CLAIMS[1:]:
            name, _, value = claim.partition(": ")
            assert got.all(name) == [value.encode()]
        assert got.get("x-banyan-arm") is got.get("x-banyan-shadow") is None


async def test_what_a_trusted_proxy_did_not_say_is_added(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, trusted_proxies=["127.0.0.1/32"]))
        await worker.ask("/", "Via: 1.0 edge")
        got = legacy.requests[0]
        assert got.all("via") == [b"1.0 edge", b"1.1 banyan-test"]
        assert got.all("x-forwarded-for") == [b"127.0.0.1"]
        assert len(got.all("x-request-id")) == len(got.all("traceparent")) == 1
        assert got.all("x-forwarded-host") == [b"shop.test"]


async def test_ids_differ_from_request_to_request(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for _ in range(20):
            await worker.ask()
        assert len({r.get("x-request-id") for r in legacy.requests}) == 20
        assert len({r.get("traceparent") for r in legacy.requests}) == 20


async def test_a_request_that_has_been_here_is_a_508(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        assert (await worker.ask("/", "Via: 1.0 edge", "Via: 1.1 banyan-test, 1.1 x")).status == 508
        assert (await worker.ask("/", "Via: 1.1 banyan-test2")).status == 200
        assert len(legacy.requests) == 1


async def test_fields_of_ours_from_a_client_or_an_upstream_stop_here(worker: Worker) -> None:
    async with Upstream(ok(b"ok", "X-Banyan-Arm: candidate", "x-banyan-route: evil")) as legacy:
        await worker.apply(plain(legacy))
        fields = [
            "X-Banyan-Arm: candidate",
            "x-banyan-fallback: reset",
            "X-BANYAN-SHADOW: 1",
            "X-Banyan-Key: s",
            "X_Banyan_Shadow: 1",
        ]
        answer = await worker.ask("/", *fields)
        assert not [n for n, _ in legacy.requests[0].fields if b"banyan" in n.lower()]
        assert not [n for n, _ in answer.fields if b"banyan" in n.lower()]


# -- answers of our own -------------------------------------------------------------------------------------------


async def test_an_error_is_json_or_text_and_tells_nothing_of_the_inside(worker: Worker) -> None:
    legacy = Upstream()
    legacy.port = free_port()
    await worker.apply(plain(legacy, trusted_proxies=["127.0.0.1/32"]))
    text = await worker.ask("/", "X-Request-ID: id-7")
    assert (text.status, text.get("content-type")) == (502, b"text/plain; charset=utf-8")
    assert b"id-7" in text.body
    answer = await worker.ask("/", "Accept: application/json, */*", "X-Request-ID: id-7")
    assert answer.get("content-type") == b"application/json"
    assert answer.json() == {"error": {"status": 502, "message": "The service is not reachable.", "request_id": "id-7"}}
    for got in (text, answer):
        for secret in (str(legacy.port), "127.0.0.1", "legacy", "proxy", "ython", "uvloop", "refused", "0.1"):
            assert secret.encode() not in got.head + got.body
        assert got.get("server") is None
    head = await worker.ask(method="HEAD")
    assert (head.status, head.body) == (502, b"")


async def test_the_connection_goes_on_after_an_error_of_the_upstream(worker: Worker) -> None:
    async with Upstream(Act(then="close")) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for n in range(3):
            client.get(f"/{n}", method="POST", body=b"x")
            assert (await client.answer()).status == 502
        legacy.reply = ok()
        client.get()
        assert (await client.answer()).status == 200


async def test_what_a_client_sends_cannot_break_the_lines_of_the_log(worker: Worker) -> None:
    async with Upstream(Act(then="close")) as legacy:
        await worker.apply(plain(legacy))
        await worker.ask("/", "X-Request-ID: a", "X: \x1b[31m\u00ff")
        async with await worker.connect() as client:
            client.send(b"GET /\x00\x1b\n\n HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 400
    lines = worker.log().splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)
    assert "Traceback" not in worker.log()
    assert "internal-error" not in worker.log()


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("GET", 200)])
async def test_max_forwards_zero_ends_options_here_and_means_nothing_elsewhere(
    worker: Worker, method: str, status: int
) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for target in ("/", "*") if method == "OPTIONS" else ("/",):
            client.get(target, "Max-Forwards: 0", method=method)
            answer = await client.answer(method)
            assert answer.status == status
        if method == "OPTIONS":
            assert b"GET" in (answer.get("allow") or b"")
            assert legacy.requests == []
        else:
            assert legacy.requests[0].get("max-forwards") == b"0"


async def test_max_forwards_goes_down_by_one(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        await worker.ask("/", "X-A: 1", "max-Forwards: 7", "X-B: 2", method="OPTIONS")
        got = legacy.requests[0]
        assert got.fields[1:4] == [(b"X-A", b"1"), (b"max-Forwards", b"6"), (b"X-B", b"2")]


async def test_expose_names_arm_and_route(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream() as candidate:
        await worker.apply(migration(legacy, candidate, "exposed", "live", expose=True))
        answer = await worker.ask()
        assert (answer.all("x-banyan-arm"), answer.all("x-banyan-route")) == ([b"candidate"], [b"exposed"])
        candidate.reply = Act(then="close")
        answer = await worker.ask()
        assert (answer.all("x-banyan-arm"), answer.all("x-banyan-route")) == ([b"legacy"], [b"exposed"])
        await worker.apply(migration(legacy, candidate, "exposed", "live"))
        assert (await worker.ask()).get("x-banyan-arm") is None
