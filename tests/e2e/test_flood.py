"""Ten thousand malformed requests: counted, answered, and told in a few lines."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from harness import Upstream, Worker, ok, plain, running

REQUESTS = 10_000
CLIENTS = 50
MALFORMED = [
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \x1b[2Jx\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


async def attack(worker: Worker, number: int) -> int:
    """Send every so-many-th malformed request; how many were answered with an error."""
    refused = 0
    for turn in range(number, REQUESTS, CLIENTS):
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        writer.write(MALFORMED[turn % len(MALFORMED)])
        answer = await reader.read()
        refused += answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))
        writer.close()
    return refused


@pytest.mark.timeout(180)
async def test_ten_thousand_malformed_requests_are_counted_lines_and_no_flood() -> None:
    async with Upstream(ok(b"alive")) as legacy, running(plain(legacy)) as worker:
        before, begun = worker.rss(), time.monotonic()
        refused = sum(await asyncio.gather(*(attack(worker, number) for number in range(CLIENTS))))
        assert refused == REQUESTS
        assert sum((await worker.stats()).refused.values()) == REQUESTS
        assert (await worker.ask("/")).body == b"alive"
        assert worker.rss() - before < 10 * 1024 * 1024
        async with asyncio.timeout(10.0):
            while True:
                lines = [json.loads(line) for line in worker.log().splitlines()]
                shown = [line for line in lines if line["event"] == "request-refused"]
                suppressed = sum(line.get("suppressed", 0) for line in lines)
                if len(shown) + suppressed == REQUESTS:
                    break
                await asyncio.sleep(0.1)
        # ten at once, then each second one and one with the count
        assert len(lines) < max(50, 15 + 2 * (time.monotonic() - begun))
        assert all(line.isprintable() for line in worker.log().splitlines())
