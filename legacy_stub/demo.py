"""``make demo``: a migration in less than a minute.

Law: everything that the demo starts, it ends, on every way out (done, Ctrl-C, SIGTERM, SIGHUP, a child that does not
start); everything that it writes lies in one temporary folder. It takes free ports only, so it disturbs nobody.

The story: (1) the monolith, two services and Banyan start; (2) customers shop; (3) the catalog service is killed, and
(4) started again; (5) the migration report is printed; (6) the teams deploy services without the regressions and say
so; (7) customers shop on, (8) the customers' view is judged and it is shown how each route's readiness moved; (9) on a
terminal it serves on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from legacy_stub.processes import Child, Children, NotStarted
from legacy_stub.repair import Moments, mark_fixed
from legacy_stub.traffic import Tally, Traffic
from proxy.wire.tasks import spawn

ROUTES = Path(__file__).parent.parent / "routes"
RATE = 150.0  # requests a second, while the story is told
GENTLE_RATE = 5.0  # and while it serves on
USERS = 60
KILLED_AT, BACK_AT = 0.4, 0.7  # shares of the time
AFTER_SHARE = 0.9  # of the time, for shopping after the repair
SETTLE_SECONDS = 2.5  # workers and comparator report their figures about once a second
READY_SECONDS = 20.0
ENDED_BY_SIGNAL = 128


class Screen:
    """Where progress is shown: one line that changes on a terminal, a new line now and then elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self._open = False

    def say(self, text: str = "") -> None:
        """A line that stays."""
        if self._open:
            sys.stdout.write("\n")
            self._open = False
        print(text, flush=True)

    def progress(self, text: str) -> None:
        """A line that the next one replaces, if there is a terminal."""
        if not self.terminal:
            self.say(text)
            return
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write(f"\r\x1b[K{text[:width]}")
        sys.stdout.flush()
        self._open = True


class Demo:
    """One run of the story."""

    def __init__(self, folder: Path, seconds: float, screen: Screen) -> None:
        self._children = Children(folder)
        self._folder = folder
        self._seconds = seconds
        self._screen = screen
        self._client_url = ""
        self._admin_url = ""
        self._ports: dict[str, str] = {}
        self._services: list[Child] = []
        self._database = str(folder / "shop.db")
        self._moments = Moments()

    async def run(self) -> int:
        """Tell the story; the exit code."""
        try:
            catalog = await self._start()
            await self._look("at first")
            traffic = Traffic(self._client_url, rate=RATE, users=USERS)
            await self._shop(traffic, catalog)
            await self._report()
            await self._repair()
            await self._shop_on(traffic)
            return await self._finish(traffic.tally)
        finally:
            self._children.stop()

    async def _start(self) -> Child:
        say, start = self._screen.say, self._children.start
        monolith = await start("monolith", "legacy_stub.monolith", "--database", self._database)
        catalog = await self._serve("catalog")
        orders = await self._serve("orders", "--database", self._database)
        banyan = await start(
            "banyan",
            "proxy",
            "run",
            str(ROUTES),
            urls=2,
            environment={
                "BANYAN_LISTEN": "127.0.0.1:0",
                "BANYAN_ADMIN_LISTEN": "127.0.0.1:0",
                "BANYAN_STORE": f"sqlite:///{self._folder / 'banyan.db'}",
                "MONOLITH_URL": monolith.urls[0],
                "CATALOG_URL": catalog.urls[0],
                "ORDERS_URL": orders.urls[0],
            },
        )
        self._client_url, self._admin_url = banyan.urls[0], banyan.urls[-1]
        await self._until_ready()
        for child in (monolith, catalog, orders):
            say(f"{child.name:<9} {child.urls[0]}")
        say(f"{'banyan':<9} {self._client_url} for clients, {self._admin_url} for operators")
        self._services = [orders]
        return catalog

    async def _serve(self, name: str, *options: str) -> Child:
        """Start one of the new services; again at the port that it had, if it was there before."""
        port = self._ports.get(name)
        child = await self._children.start(
            name, f"legacy_stub.services.{name}", *options, *(("--port", port) if port else ())
        )
        self._ports[name] = child.urls[0].rpartition(":")[2]
        return child

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while await self._admin("/readyz") is None:
            if time.monotonic() > deadline or self._children.dead():
                raise NotStarted(f"banyan does not get ready: {self._admin_url}/readyz")
            await asyncio.sleep(0.1)

    async def _admin(self, path: str) -> str | None:
        """What the admin side says, None if it refuses or is not there."""
        timeout = aiohttp.ClientTimeout(total=2)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.ClientSession(timeout=timeout) as client, client.get(self._admin_url + path) as answer:
                return await answer.text() if answer.status == 200 else None
        return None

    async def _fallbacks(self) -> int:
        """How often Banyan let the monolith answer instead, so far."""
        figures = await self._admin("/metrics") or ""
        counts = re.findall(r"^banyan_fallbacks_total\{[^}]*\} (\S+)", figures, re.MULTILINE)
        return int(sum(map(float, counts)))

    async def _shop(self, traffic: Traffic, catalog: Child) -> None:
        began = time.monotonic()
        every = 0.5 if self._screen.terminal else max(2.0, self._seconds / 5)
        self._screen.say(f"{USERS} customers shop for {self._seconds:g} s, about {RATE:g} requests a second")
        shopping = spawn(traffic.run(self._seconds), "shopping")
        try:
            await self._watch(shopping, traffic.tally, began, self._seconds * KILLED_AT, every)
            await self._children.kill(catalog)
            self._screen.say("the catalog service is killed; the monolith answers in its place")
            await self._watch(shopping, traffic.tally, began, self._seconds * BACK_AT, every)
            self._services.append(await self._serve("catalog"))
            self._screen.say("the catalog service is back")
            await self._watch(shopping, traffic.tally, began, float("inf"), every)
            await shopping
        finally:
            shopping.cancel()

    async def _report(self) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        await self._look(f"after {self._seconds:g} s")
        self._screen.say()
        self._screen.say(await self._command("report"))
        self._screen.say()

    async def _repair(self) -> None:
        """The teams deploy what they repaired, and say of each difference that it is gone."""
        for service in self._services:
            await self._children.kill(service)
        await self._serve("catalog", "--fixed")
        await self._serve("orders", "--database", self._database, "--fixed")
        count = await mark_fixed(self._admin_url)
        self._screen.say(f"both teams deploy repaired services and mark {count} differences as fixed")

    async def _shop_on(self, traffic: Traffic) -> None:
        seconds = self._seconds * AFTER_SHARE
        self._screen.say(f"the customers shop on for {seconds:g} s")
        began = time.monotonic()
        shopping = spawn(traffic.run(seconds), "shopping")
        try:
            await self._watch(shopping, traffic.tally, began, float("inf"), max(2.0, seconds / 3))
            await shopping
        finally:
            shopping.cancel()
        await asyncio.sleep(SETTLE_SECONDS)
        await self._look("at the end")

    async def _look(self, moment: str) -> None:
        self._moments.add(moment, await self._admin("/api/status") or "{}")

    async def _watch(
        self, shopping: asyncio.Task[Tally], tally: Tally, began: float, until: float, every: float
    ) -> None:
        """Show progress until so many seconds after ``began``, or the end of the shopping."""
        while not shopping.done() and (now := time.monotonic() - began) < until:
            await asyncio.wait([shopping], timeout=min(every, until - now))
            await self._show(tally, time.monotonic() - began)

    async def _show(self, tally: Tally, elapsed: float) -> None:
        fallbacks = await self._fallbacks()
        self._screen.progress(
            f"{elapsed:5.1f} s  {tally.requests} requests, {tally.unexpected} errors seen by customers, "
            f"{fallbacks} fallbacks"
        )

    async def _finish(self, tally: Tally) -> int:
        say = self._screen.say
        say()
        say(
            "By the demo's own criteria, which are loose (ready_when in routes/banyan.yaml); the defaults ask for more:"
        )
        for line in self._moments.table():
            say(line)
        say()
        fine = self._judge(tally, await self._fallbacks())
        dead = self._children.dead()
        if dead:
            say(f"ended before its time: {', '.join(dead)}")
        self._say_what_to_try()
        if self._screen.terminal:
            say("Serving on, with a few customers. Ctrl-C ends it.")
            await Traffic(self._client_url, rate=GENTLE_RATE, users=10, seed=2).run(float("inf"))
        return 0 if fine and not dead else 1

    def _judge(self, tally: Tally, fallbacks: int) -> bool:
        """Say what the customers saw; True if nothing of it was the stopped service's fault."""
        say = self._screen.say
        arms = f"{tally.arms['legacy']} answered by legacy, {tally.arms['candidate']} by a candidate"
        say(f"Customers sent {tally.requests} requests ({tally.writes} writes): {arms}.")
        if tally.known_bug:
            say(f"{tally.known_bug} of them met the monolith's own bug (the gift card's page is a 500).")
        if tally.unexpected:
            say(f"{tally.unexpected} were answered wrongly or not at all; the last ones:")
            for line in tally.trouble:
                say(f"    {line}")
            return False
        say(f"No customer saw an error while the catalog service was down; {fallbacks} requests fell back to legacy.")
        return True

    def _say_what_to_try(self) -> None:
        command = Path(sys.executable).with_name("banyan")
        with contextlib.suppress(ValueError):
            command = command.relative_to(Path.cwd())
        say = self._screen.say
        say()
        say(f"Clients: {self._client_url}    Operators: {self._admin_url}")
        if not self._screen.terminal:
            return  # it is about to end
        say("Try, in another terminal:")
        say(f"  {command} status --admin {self._admin_url}")
        say(f"  {command} diffs orders-read --admin {self._admin_url}")
        say(f"  {command} stage orders-quote canary --percent 25 --reason 'all equal' --admin {self._admin_url}")

    async def _command(self, *words: str) -> str:
        """What a command of Banyan's prints. Raises NotStarted if it fails."""
        command = [sys.executable, "-m", "proxy", *words, "--admin", self._admin_url]
        run = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=30, check=False, start_new_session=True
        )
        if run.returncode:
            raise NotStarted(f"banyan {' '.join(words)} failed with exit code {run.returncode}: {run.stderr.strip()}")
        return run.stdout.rstrip()


async def tell(seconds: float) -> int:
    """Run the demo once, ended early by a signal; the exit code."""
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="banyan-demo-") as folder:
        story = asyncio.current_task()
        received: list[int] = []

        def end(number: int) -> None:
            received.append(number)
            if story is not None:
                story.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        try:
            return await Demo(Path(folder), seconds, screen).run()
        except asyncio.CancelledError:
            screen.say("ended; everything that was started is stopped")
            return 0 if received == [signal.SIGINT] and screen.terminal else ENDED_BY_SIGNAL + received[0]


def main() -> int:
    """Read DEMO_SECONDS and run; the exit code."""
    text = os.environ.get("DEMO_SECONDS", "20")
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", text) or float(text) <= 0:
        sys.stderr.write(f"DEMO_SECONDS is a number of seconds above 0, like 20; it is {text!r}\n")
        return 2
    try:
        return asyncio.run(tell(float(text)))
    except NotStarted as error:
        sys.stderr.write(f"the demo ends: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
