"""One line for each request, and none that a request waits for."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness import Act, Client, Upstream, Worker, migration, ok, plain, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines that are there by now."""
    text = file.read_bytes() if file.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


async def ask(client: Client, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> int:
    client.get(target, *fields, method=method, body=body)
    return (await client.answer(method)).status


async def test_every_request_has_one_line_however_it_ended(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "access.log"

    def by_path(message: Any) -> Act:
        if b"silent" in message.target:
            return Act(b"")
        return Act(then="close") if b"broken" in message.target else ok(b"fine")

    async with Upstream(by_path) as legacy:
        await worker.apply(plain(legacy, timeouts={"first_byte": "300ms"}, access_log={"file": str(file)}))
        async with await worker.connect() as client:
            assert await ask(client, "/fine?token=abc") == 200
            assert await ask(client, "/put", method="PUT", body=b"x" * 100) == 200
            assert await ask(client, "/head", method="HEAD") == 200
            assert await ask(client, "/silent") == 504
        async with await worker.connect() as client:
            assert await ask(client, "/broken") == 502
        async with await worker.connect() as client:
            client.send(b"no http at all\r\n\r\n")
            assert (await client.answer()).status == 400
        await until(lambda: len(lines(file)) >= 5)
        await asyncio.sleep(0.3)
    found = {line["path"]: line for line in lines(file)}
    assert len(lines(file)) == 5
    assert {path: line["status"] for path, line in found.items()} == {
        "/fine": 200, "/put": 200, "/head": 200, "/silent": 504, "/broken": 502,
    }  # fmt: skip
    fine, silent, broken = found["/fine"], found["/silent"], found["/broken"]
    assert (fine["query"], fine["route"], fine["client"], fine["generation"]) == (
        "token=*", "-", "127.0.0.1", worker.generation,
    )  # fmt: skip
    assert fine["bytes_sent"] == len(b"fine")
    assert [(t["upstream"], t["endpoint"], t["outcome"]) for t in fine["tries"]] == [("legacy", legacy.url, "ok")]
    assert "failure" not in fine
    assert (silent["failure"], silent["tries"][-1]["outcome"]) == ("first-byte-timeout", "first-byte-timeout")
    assert silent["tries"][-1]["seconds"] >= 0.2
    assert (broken["failure"], broken["tries"][-1]["outcome"]) == ("reset", "reset")
    assert len({line["request_id"] for line in found.values()}) == 5


async def test_a_fallback_is_told_with_both_tries(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    async with Upstream(ok(b"legacy")) as legacy, Upstream(Act(then="close")) as candidate:
        document = migration(legacy, candidate, "told", "live", shadow={"sample": "0%"})
        await worker.apply({**document, "access_log": {"file": str(file)}})
        assert (await worker.ask("/")).status == 200
        await until(lambda: lines(file))
    (line,) = lines(file)
    assert (line["arm"], line["fallback"], line["route"]) == ("legacy", "reset", "told")
    assert [(t["upstream"], t["outcome"], t["why"]) for t in line["tries"]] == [
        ("candidate", "reset", "first"), ("legacy", "ok", "fallback"),
    ]  # fmt: skip


async def test_a_reader_of_the_log_that_stopped_holds_up_no_request(worker: Worker, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with Upstream() as legacy:
            before = (await worker.stats()).access_log_dropped
            await worker.apply(plain(legacy, access_log={"file": str(pipe), "queue": 50}))
            async with await worker.connect() as client:
                async with asyncio.timeout(30.0):
                    for number in range(1000):  # the pipe holds some 200 lines
                        assert await ask(client, f"/{number}") == 200
            await asyncio.sleep(0.2)
            dropped = (await worker.stats()).access_log_dropped - before
            assert 300 < dropped < 1000
            # the reader comes back: what waited is there, what was dropped is told
            os.set_blocking(reader, True)
            got = b""
            while got.count(b"\n") + dropped < 1000:
                got += await asyncio.to_thread(os.read, reader, 65536)
            assert len(got.splitlines()) + dropped == 1000
            await until(lambda: "access-log-trouble" in worker.log())
            await worker.apply(plain(legacy))
    finally:
        os.close(reader)


async def test_the_log_can_be_turned_off_and_on_and_moved_by_a_reload(worker: Worker, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with Upstream() as legacy:
        for number, log in enumerate(({"file": str(first)}, {"file": str(second)}, None, {"file": str(first)})):
            await worker.apply(plain(legacy, **({"access_log": log} if log else {})))
            await worker.ask(f"/{number}")
            if log:
                await until(
                    lambda number=number, log=log: any(x["path"] == f"/{number}" for x in lines(Path(log["file"])))
                )
    assert [line["path"] for line in lines(first)] == ["/0", "/3"]
    assert [line["path"] for line in lines(second)] == ["/1"]
