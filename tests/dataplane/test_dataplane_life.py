"""A worker's life: configurations that change under load, and its end."""

import asyncio
from contextlib import suppress

import pytest
from faults import ticking
from harness import Act, Message, Upstream, Worker, migration, ok, plain, running, until

from proxy.messages import Override

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_after_a_reload_is_decided_by_the_new_configuration(worker: Worker) -> None:
    """Also on a connection that has been open and idle since before."""
    async with Upstream(ok(b"legacy")) as legacy, Upstream(ok(b"candidate")) as candidate:
        document = migration(legacy, candidate, "flip", "live", shadow={"sample": "0%"})
        await worker.apply(document)
        fresh, used = await worker.connect(), await worker.connect()
        used.get()
        assert (await used.answer()).body == b"candidate"
        await worker.apply(document, [Override("flip", "legacy", None, 1, "me", "rollback", 0.0)])
        for client in (fresh, used):
            client.get()
            assert (await client.answer()).body == b"legacy"
            await client.close()


async def test_a_request_keeps_the_configuration_that_it_began_with(worker: Worker) -> None:
    go = asyncio.Event()

    async def slow(message: Message) -> bytes:
        await go.wait()
        return ok(b"old")

    async with Upstream(slow) as old, Upstream(ok(b"new")) as new, await worker.connect() as client:
        await worker.apply(plain(old))
        client.get()
        await until(lambda: old.requests)
        await worker.apply(plain(new))
        assert (await worker.ask()).body == b"new"
        go.set()
        assert (await client.answer()).body == b"old"
        client.get()
        assert (await client.answer()).body == b"new"
        await until(lambda: old.open == 0)  # connections to an endpoint that nobody names are not kept


async def test_f43_reloads_under_load_fail_nothing_and_mix_nothing(worker: Worker) -> None:
    """Both sides echo their own name; the exposed arm says what was decided."""
    async with (
        Upstream(lambda m: ok(b"legacy" + m.body)) as legacy,
        Upstream(lambda m: ok(b"candidate" + m.body)) as candidate,
    ):
        documents = [
            migration(legacy, candidate, f"gen-{stage}", stage, expose=True, shadow={"sample": "50%"})
            for stage in ("legacy", "live")
        ]
        await worker.apply(documents[0])
        served, over = [0, 0], False

        async def visitor(number: int) -> None:
            while not over:
                async with await worker.connect() as client:
                    for n in range(20):
                        client.get(f"/{n}", method="POST" if number % 2 else "GET", body=b"!" if number % 2 else b"")
                        answer = await client.answer()
                        arm, route = answer.get("x-banyan-arm"), answer.get("x-banyan-route")
                        assert (answer.status, arm, route) in [
                            (200, b"legacy", b"gen-legacy"),
                            (200, b"candidate", b"gen-live"),
                        ]
                        assert answer.body.startswith(arm or b"?")
                        served[arm == b"candidate"] += 1

        visitors = asyncio.gather(*(visitor(n) for n in range(8)))
        for n in range(100):
            await worker.apply(documents[n % 2])
        over = True
        await visitors
        assert min(served) > 10
        assert "internal-error" not in worker.log()


async def test_figures_survive_a_reload(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream() as candidate:
        document = migration(legacy, candidate, "kept-figures", "legacy")
        for n in range(3):
            await worker.apply(document)
            await worker.ask()
            assert (await worker.route("kept-figures")).requests == {"GET 200 legacy": n + 1}


# -- the end ------------------------------------------------------------------------------------------------------


async def test_f46_draining_finishes_what_is_in_flight_and_then_ends() -> None:
    async with Upstream(Act(ok(b"x" * 500_000), delay=0.6)) as legacy, running(plain(legacy)) as worker:
        busy, uploading, idle, pipelining = [await worker.connect() for _ in range(4)]
        legacy.reply = ok()
        idle.get()
        await idle.answer()
        legacy.reply = Act(ok(b"x" * 500_000), delay=0.6)
        busy.get()
        pipelining.get("/1")
        pipelining.get("/2")
        uploading.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        await until(lambda: len(legacy.heads) == 4)
        worker.drain(delay=0.1)
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await worker.connect()
        assert await idle.rest() == b""
        uploading.send(b"world")
        for client in (busy, uploading, pipelining):
            answer = await client.answer()
            assert (len(answer.body), answer.get("connection")) == (500_000, b"close")
            assert await client.rest() == b""
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 0
        assert legacy.requests[-1].body == b"helloworld"
        for client in (busy, uploading, idle, pipelining):
            await client.close()


async def test_until_the_listeners_close_new_clients_are_served() -> None:
    async with Upstream() as legacy, running(plain(legacy)) as worker:
        worker.drain(delay=0.6)
        await asyncio.sleep(0.1)
        for _ in range(5):
            answer = await worker.ask()
            assert (answer.status, answer.get("connection")) == (200, b"close")
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 0


async def test_f47_draining_does_not_wait_longer_than_the_grace() -> None:
    async with Upstream(raw=ticking) as legacy, Upstream(Act(then="hang")) as candidate:
        document = migration(legacy, candidate, "stuck", "shadow", shadow={"timeout": "60s"})
        async with running(document) as worker, await worker.connect() as client, await worker.connect() as half:
            client.get()
            await client.head()
            half.send(b"GET / HT")
            worker.drain(grace=0.3)
            async with asyncio.timeout(5):
                assert await worker.process.wait() == 0
            assert b"tick" in await client.rest()


async def test_a_drained_worker_reports_all_that_it_counted_and_sends_its_pairs() -> None:
    async with Upstream(ok(b"a")) as legacy, Upstream(ok(b"b")) as candidate, running(plain(legacy)) as worker:
        await worker.apply(migration(legacy, candidate, "last-words", "shadow"))
        for _ in range(20):
            await worker.ask()
        worker.drain()
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 0
        await asyncio.sleep(0.1)
        assert worker._newest is not None
        counters = worker._newest.routes["last-words"]
        assert counters.requests == {"GET 200 legacy": 20}
        assert len(worker.pairs) == counters.shadow["sent-to-comparator"]


async def test_a_worker_ends_with_its_supervisor() -> None:
    async with Upstream() as legacy, running(plain(legacy)) as worker:
        assert worker._channel is not None
        worker._channel.close()
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 1


async def test_a_terminals_signal_is_not_for_the_worker() -> None:
    async with Upstream() as legacy, running(plain(legacy)) as worker:
        for number in (2, 15):
            worker.process.send_signal(number)
        await asyncio.sleep(0.1)
        assert (await worker.ask()).status == 200


async def test_f18_thousands_of_clients_that_leave_leave_nothing_behind(worker: Worker) -> None:
    async with Upstream(Act(ok(), delay=0.01)) as legacy:
        await worker.apply(plain(legacy))
        before = worker.descriptors()

        async def visit(n: int) -> None:
            client = await worker.connect()
            client.send((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)[: 10 + n % 50])
            if n % 3 == 0:
                with suppress(asyncio.IncompleteReadError, ConnectionError):
                    client.writer.write_eof()
                    await client.rest()
            client.writer.transport.abort()

        for _ in range(20):
            await asyncio.gather(*(visit(n) for n in range(50)))
        await until(lambda: worker.descriptors() <= before + 60)
        stats = await worker.stats()
        assert (stats.connections, stats.in_flight) == (0, 0)
