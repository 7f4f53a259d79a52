"""What a client's connection carries: request after request, pipelined, half-closed, broken off."""

import asyncio

import pytest
from harness import Act, Message, Upstream, Worker, chunked, ok, plain, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_connection_close_of_the_client_is_honoured_and_nothing_after_it_is_read(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(request("/1", "Connection: Close") + request("/2"))
        answer = await client.answer()
        assert answer.get("connection") == b"close"
        assert await client.rest() == b""
        assert legacy.targets() == ["/1"]


async def test_pipelined_requests_are_answered_in_order(worker: Worker) -> None:
    async def reply(message: Message) -> bytes:
        number = int(message.target[1:])
        await asyncio.sleep(0.002 * (number % 3))
        body = message.target + b":" + message.body
        return chunked(body) if number % 2 else ok(body)

    async with Upstream(reply) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        sent, wanted = b"", []
        for number in range(50):
            body = b"%d" % number * (number * 17 % 900)
            match number % 3:
                case 0:
                    sent += request(f"/{number}")
                    body = b""
                case 1:
                    sent += request(f"/{number}", method="POST", body=body)
                case 2:
                    sent += chunked(*[body] if body else [], head=f"PUT /{number} HTTP/1.1\r\nHost: a\r\n")
            wanted.append(b"/%d:" % number + body)
        client.send(sent)
        client.writer.write_eof()
        assert [(await client.answer()).body for _ in range(50)] == wanted
        assert await client.rest() == b""


async def test_more_pipelined_bytes_than_are_read_at_once_are_all_answered(worker: Worker) -> None:
    async with (
        Upstream(lambda message: Act(ok(message.target), delay=0.005)) as legacy,
        await worker.connect() as client,
    ):
        await worker.apply(plain(legacy))
        count = 60
        client.send(b"".join(request(f"/{n}", "X-Pad: " + "p" * 20_000) for n in range(count)))  # 1.2 MB
        for number in range(count):
            assert (await client.answer()).body == b"/%d" % number


async def test_an_empty_line_between_requests_is_forgiven(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(request("/1") + b"\r\n" + request("/2"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]


async def test_a_client_that_has_sent_all_it_will_still_gets_its_answer(worker: Worker) -> None:
    async with Upstream(Act(ok(b"x" * 300_000), delay=0.1)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get(method="POST", body=b"all")
        client.writer.write_eof()
        assert len((await client.answer()).body) == 300_000
        assert await client.rest() == b""


async def test_a_body_that_breaks_off_never_looks_whole_upstream(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for data in (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
        ):
            async with await worker.connect() as client:
                client.send(data)
                client.writer.write_eof()
                rest = await client.rest()
                assert rest == b"" or rest.startswith(b"HTTP/1.1 400")
        assert legacy.requests == []


async def test_bytes_after_an_answer_never_become_an_answer(worker: Worker) -> None:
    async with Upstream(lambda m: ok(m.target) + (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            for n in range(5):
                client.get(f"/{n}")
                assert (await client.answer()).body == b"/%d" % n
                await asyncio.sleep(0.01)
