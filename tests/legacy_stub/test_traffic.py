"""The traffic runs, keeps its bounds, and tells right from wrong."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from legacy_stub.monolith.app import create_app
from legacy_stub.traffic import Traffic


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[str]:
    async with TestServer(create_app(str(tmp_path / "shop.db"))) as server:
        yield str(server.make_url("/"))


async def test_customers_shop_without_errors(shop: str) -> None:
    tally = await Traffic(shop, rate=300, users=20).run(2.0)
    assert list(tally.trouble) == []
    assert tally.requests > 100
    assert sum(tally.statuses.values()) == tally.requests
    assert 0 < tally.writes < tally.requests / 2
    assert len(tally.steps) > 8


async def test_a_broken_shop_is_counted_not_raised() -> None:
    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", broken)
    async with TestServer(app) as server:
        tally = await Traffic(str(server.make_url("/")), rate=100, users=5).run(0.3)
    assert tally.unexpected == tally.requests == tally.statuses[503] > 0
    assert "503" in tally.trouble[0]


async def test_nobody_listens_is_counted_not_raised(unused_tcp_port: int) -> None:
    tally = await Traffic(f"http://127.0.0.1:{unused_tcp_port}", rate=100, users=5).run(0.3)
    assert tally.unexpected == tally.requests > 0
    assert len(tally.trouble) <= 20


def test_command_prints_what_it_saw(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    command = [sys.executable, "-m", "legacy_stub.traffic", url, "--seconds", "0.3", "--rate", "50"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert "errors: " in run.stdout
    assert run.stderr == ""
