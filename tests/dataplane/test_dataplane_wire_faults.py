"""A network that is slow, cuts and dies under a route: what clients and ledgers see of it."""

import asyncio
import random
import time
from contextlib import AsyncExitStack

import pytest
from faults import FaultProxy
from harness import Client, Message, Upstream, Worker, chunked, migration, ok, plain, request, reset, until
from shadows import mine, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATED = "Date: Sun, 06 Nov 1994 08:49:37 GMT"


async def through(proxy: FaultProxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def ending(client: Client) -> bytes:
    """Everything up to the end of the connection, which a client that sends no more brings about."""
    client.writer.write_eof()
    return await client.rest()


async def test_f09_segments_of_one_byte_change_neither_bytes_nor_route_nor_verdict(worker: Worker) -> None:
    legacy = Upstream(lambda m: chunked(m.target, m.body, head=f"HTTP/1.1 200 OK\r\nX-Seen: 1\r\n{DATED}\r\n"))
    candidate = Upstream(lambda m: ok(m.target + m.body + (b"!" if b"unequal" in m.target else b"")))
    requests = [
        request("/equal", "X-Staff: 1", "Cookie: a=b"),
        request("/unequal?a=%20b"),
        chunked(b"he", b"llo", head="POST /equal HTTP/1.1\r\nHost: a\r\n", end=b"0\r\nX-Sum: 1\r\n\r\n"),
    ]
    shadow = {"methods": ["GET", "POST"], "unsafe": "accepted-by-candidate"}
    async with AsyncExitStack() as stack:
        for upstream in (legacy, candidate):
            await stack.enter_async_context(upstream)
        wires = [await stack.enter_async_context(FaultProxy(port)) for port in (legacy.port, candidate.port)]
        wires.append(await stack.enter_async_context(FaultProxy(worker.port)))
        document = migration(wires[0].url, wires[1].url, "sliced", "shadow", shadow=shadow, expose=True)
        await worker.apply(document)
        seen: list[list[object]] = []
        asked = 0
        for size in (0, 1):
            for toxics in [t for wire in wires for t in (wire.up, wire.down)]:
                toxics.slice = size
            seen.append([])
            for data in requests:
                for _ in range(5):  # until the machine is not too busy for a shadow
                    before, pairs = await worker.route("sliced"), len(mine(worker, "sliced"))
                    async with await through(wires[2]) as client:
                        client.send(data)
                        answer = await client.answer()
                    asked += 1
                    after = await settled(worker, "sliced", asked)
                    if after.shadow_dropped == before.shadow_dropped:
                        break
                verdict = [
                    (p.method, p.target, p.legacy.body, p.candidate.body) for p in mine(worker, "sliced")[pairs:]
                ]
                got = legacy.requests[-1]
                told = [field for field in got.fields if field[0] not in (b"X-Request-ID", b"traceparent")]
                seen[-1].append((answer.head, answer.body, got.line, told, got.body, got.trailers, verdict))
        assert seen[0] == seen[1]
        assert [bool(one[-1]) for one in seen[1]] == [False, True, False]  # type: ignore[index]  # tuples, see above


async def test_f04_a_reset_after_the_post_was_sent_is_a_502_and_one_line_in_the_ledger(worker: Worker) -> None:
    async with Upstream() as legacy, FaultProxy(legacy.port) as wire:
        await worker.apply(plain(wire))
        for n in range(6):
            assert (await worker.ask(f"/ok/{n}")).status == 200  # there is a kept connection to be used
            wire.down.limit, wire.down.then = 0, "reset"
            if n % 2:
                await wire.cut()  # and now there is none
            answer = await worker.ask(f"/{n}", method="POST", body=b"order")
            assert answer.status == 502
            wire.heal()
        posted = [r.target for r in legacy.requests if r.method == b"POST"]
        assert len(posted) == len(set(posted))


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_f06_wherever_an_answer_is_cut_the_client_is_cut_there(worker: Worker, then: str) -> None:
    answers = [ok(b"0123456789", DATED), chunked(b"01234", b"56789", head=f"HTTP/1.1 200 OK\r\n{DATED}\r\n")]
    async with Upstream() as legacy, FaultProxy(legacy.port) as wire:
        await worker.apply(plain(wire))
        for answer in answers:
            legacy.reply = answer
            wire.heal()
            head = answer.index(b"\r\n\r\n") + 4
            for limit in range(1, len(answer), 3):
                wire.down.limit, wire.down.then = limit, then  # type: ignore[assignment]  # one of two
                async with await worker.connect() as client:
                    client.get()
                    data = await ending(client)
                    if limit < head:
                        assert data.startswith(b"HTTP/1.1 502 ")
                        continue
                    assert data.count(b"HTTP/1.1 ") == 1
                    assert not data.endswith(b"0\r\n\r\n")
                    if b"Content-Length: 10" in data:
                        assert len(data.partition(b"\r\n\r\n")[2]) < 10


async def test_f07_a_stall_in_mid_answer_is_cut_and_the_wire_heals(worker: Worker) -> None:
    async with Upstream(ok(b"x" * 10_000)) as legacy, FaultProxy(legacy.port) as wire:
        await worker.apply(plain(wire, timeouts={"idle": "300ms"}))
        wire.down.limit, wire.down.then = 5_000, "stall"
        begun = time.monotonic()
        answers = await asyncio.gather(*(worker.ask() for _ in range(10)))
        assert time.monotonic() - begun < 2
        assert {(answer.status, answer.whole) for answer in answers} == {(200, False)}
        await until(lambda: not legacy.open)
        wire.heal()
        assert len((await worker.ask()).body) == 10_000
        assert (await worker.stats()).in_flight == 0


async def test_f01_what_was_refused_is_served_as_soon_as_the_upstream_is_back(worker: Worker) -> None:
    async with Upstream() as legacy, FaultProxy(legacy.port) as wire:
        await worker.apply(plain(wire))
        await wire.refuse()
        begun = time.monotonic()
        answers = await asyncio.gather(*(worker.ask(method="POST" if n % 2 else "GET") for n in range(50)))
        assert {answer.status for answer in answers} == {502}
        assert time.monotonic() - begun < 2  # far from any clock
        await wire.listen()
        assert (await worker.ask()).status == 200
        assert wire.connections == len(legacy.requests) == 1


async def test_f56_an_upstream_that_closes_what_is_idle_loses_no_post(worker: Worker) -> None:
    """Its clock of 5 s, like Node's, is longer than ours: whatever the pause between two requests, none is lost."""

    async def closes_after_five_seconds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(5.0):
                message = Message(await reader.readuntil(b"\r\n\r\n"))
            await message.read_body(reader)
            seen.append(message.target)
            await asyncio.sleep(0.2)  # so that the others need connections of their own
            writer.write(ok())

    seen: list[bytes] = []
    dice = random.Random(56)

    async def customer(n: int) -> int:
        async with await worker.connect() as client:
            client.get(f"/{n}/first")
            assert (await client.answer()).status == 200
            await asyncio.sleep(dice.uniform(3.7, 5.2))
            client.get(f"/{n}", method="POST", body=b"order")
            return (await client.answer()).status

    async with Upstream(raw=closes_after_five_seconds) as legacy:
        await worker.apply(plain(legacy))
        assert set(await asyncio.gather(*(customer(n) for n in range(300)))) == {200}
        assert len(seen) == len(set(seen)) == 600


async def test_f56_a_post_is_never_sent_twice_however_connections_die(worker: Worker) -> None:
    async def dies_soon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            async with asyncio.timeout(dice.uniform(0.0, 0.04)):
                message = Message(await reader.readuntil(b"\r\n\r\n"))
            await message.read_body(reader)
            seen.append(message.target)
            writer.write(ok())
        if dice.random() < 0.5:
            reset(writer)

    seen: list[bytes] = []
    dice = random.Random(57)

    async def customer(n: int) -> list[int]:
        statuses = []
        for m in range(20):
            statuses.append((await worker.ask(f"/{n}/{m}", method="POST", body=b"order")).status)
            await asyncio.sleep(dice.uniform(0.0, 0.05))
        return statuses

    async with Upstream(raw=dies_soon) as legacy:
        await worker.apply(plain(legacy))
        statuses = [s for found in await asyncio.gather(*(customer(n) for n in range(10))) for s in found]
        assert set(statuses) <= {200, 502}
        assert len(seen) == len(set(seen)) >= statuses.count(200)
