"""The demo's shop behind a real ``banyan run``, and an upstream that echoes.

Law: whoever starts something here ends it with ``close``; every port is a free one.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from legacy_stub import data
from legacy_stub.processes import Child, Children

ROOT = Path(__file__).parents[2]
SKU = next(product.sku for product in data.products() if product.sku != data.GIFT_CARD)
PRODUCT = f"/api/products/{SKU}"
BIG = bytes(range(256)) * 12_000  # 3 MB: more than any buffer on the way
FILE_BYTES = 100_000
READY_TRIES = 400


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Running:
    """Children with their Banyan, the last to start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stubs, self._children = Children(folder), Children(folder)
        self.url = self.admin = ""

    def stub(self, module: str, *options: str) -> str:
        """Start one of the demo's processes; its URL."""
        child = self._stubs.start(module, f"legacy_stub.{module}", "--latency", "0", *options)
        return asyncio.run(child).urls[0]

    def banyan(self, rules: Path, environment: dict[str, str]) -> None:
        """Start ``banyan run RULES``; returns when it is ready."""
        started = self._children.start("banyan", "proxy", "run", str(rules), urls=2, environment=environment)
        self._banyan: Child = asyncio.run(started)
        self.url, self.admin = self._banyan.urls[0], self._banyan.urls[-1]
        self._until_ready()

    def _until_ready(self) -> None:
        for _ in range(READY_TRIES):
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(self.admin + "/readyz"):
                return
            time.sleep(0.05)
        raise AssertionError(f"banyan does not get ready:\n{self._banyan.output()}")

    def close(self) -> None:
        """End everything. Banyan must drain well and must not have met a bug of its own."""
        self._stubs.stop()  # first: nobody waits then for the end of an event stream
        self._children.stop()
        if self.url:
            said = self._banyan.output()
            assert self._banyan.process.returncode == 0, said
            assert "internal-error" not in said, said


class Shop(Running):
    """The shop with the demo's rules: some routes at each stage, and services that differ a little."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        database = str(folder / "shop.db")
        try:
            self.monolith = self.stub("monolith", "--database", database)
            self.catalog = self.stub("services.catalog")
            orders = self.stub("services.orders", "--database", database)
            environment = {
                "BANYAN_LISTEN": "127.0.0.1:0",
                "BANYAN_ADMIN_LISTEN": "127.0.0.1:0",
                "BANYAN_STORE": f"sqlite:///{folder / 'banyan.db'}",
                "MONOLITH_URL": self.monolith,
                "CATALOG_URL": self.catalog,
                "ORDERS_URL": orders,
            }
            self.banyan(ROOT / "routes", environment)
        except BaseException:
            self.close()
            raise


class Readme(Running):
    """``banyan run FILE`` with the README's one-route file, in front of any two URLs."""

    def __init__(self, folder: Path, legacy: str, candidate: str) -> None:
        super().__init__(folder)
        file = folder / "shop.yaml"
        file.write_text(readme_rules(legacy, candidate, folder / "banyan.db"))
        try:
            self.banyan(file, {})
        except BaseException:
            self.close()
            raise


def readme_rules(legacy: str, candidate: str, store: Path) -> str:
    """The README's one-route file, word for word, but for addresses that are free."""
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found, "the README shows no rules"
    rules = found[1]
    for shown, real in (("http://127.0.0.1:9001", legacy), ("http://127.0.0.1:9002", candidate)):
        assert rules.count(shown) == 1, f"the README's rules do not name {shown} once"
        rules = rules.replace(shown, real)
    calm = "overload: {shadow_lag: 0s, refuse_lag: 0s}"  # a slow machine is not what is looked for here
    own = f'listen: 127.0.0.1:0\nadmin: {{listen: "127.0.0.1:0"}}\nworkers: 1\n{calm}\nstore: sqlite:///{store}\n'
    return own + rules


class Echo:
    """An upstream of our own for what the shop does not do; it runs in a thread."""

    def __init__(self, folder: Path) -> None:
        self.content = bytes(i * 7 % 251 for i in range(FILE_BYTES))
        self._file = folder / "file.bin"
        self._file.write_bytes(self.content)
        self.url = ""
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._up.wait(10.0)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/file", self._answer_file)
        app.router.add_route("*", "/head{rest:.*}", self._head)
        app.router.add_put("/refuse", self._refuse, expect_handler=self._expect_nothing)
        app.router.add_route("*", "/{rest:.*}", self._echo)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer_file(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(self._file)

    @staticmethod
    async def _echo(request: web.Request) -> web.StreamResponse:
        """Every piece of the body goes back as soon as it came."""
        framing = request.headers.get("Transfer-Encoding") or request.headers.get("Content-Length") or "none"
        answer = web.StreamResponse(headers={"X-Method": request.method, "X-Framing": framing})
        await answer.prepare(request)
        async for piece in request.content.iter_any():
            await answer.write(piece)
        await answer.write_eof()
        return answer

    @staticmethod
    async def _head(request: web.Request) -> web.Response:
        """The request's head as it arrived, as JSON."""
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
        return web.json_response({"method": request.method, "target": request.raw_path, "fields": fields})

    @staticmethod
    async def _expect_nothing(_request: web.Request) -> None:
        """No 100 (Continue): the refusal is the only answer."""

    @staticmethod
    async def _refuse(_request: web.Request) -> web.Response:
        """413 before the body is read."""
        answer = web.Response(status=413, text="too much\n")
        answer.force_close()
        return answer

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10.0)


def csrf(page: str) -> str:
    """The token in a form of the shop's."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found, page
    return found[1]


def login_form(page: str, user: int) -> dict[str, str]:
    """The login form, filled in."""
    return {"csrf": csrf(page), "email": f"user{user}@shop.example", "password": f"correct horse u-{user}"}
