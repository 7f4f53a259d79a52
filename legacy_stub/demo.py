"""``make demo``: a migration in twenty seconds.

Law: everything that the demo starts, it ends, on every way out (done, Ctrl-C, SIGTERM, SIGHUP, a child that does not
start); everything that it writes lies in one temporary folder. It takes free ports only, so it disturbs nobody.

The story: (1) the monolith, two services and Banyan start; (2) customers shop; (3) the catalog service is killed, and
(4) started again; (5) the customers' view is judged and the migration report printed; (6) on a terminal it serves on.
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
from legacy_stub.traffic import Tally, Traffic
from proxy.wire.tasks import spawn

ROUTES = Path(__file__).parent.parent / "routes"
RATE = 150.0  # requests a second, while the story is told
GENTLE_RATE = 5.0  # and while it serves on
USERS = 60
KILLED_AT, BACK_AT = 0.4, 0.7  # shares of the time
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

    async def run(self) -> int:
        """Tell the story; the exit code."""
        try:
            catalog = await self._start()
            tally = await self._shop(catalog)
            return await self._finish(tally)
        finally:
            self._children.stop()

    async def _start(self) -> Child:
        say, start = self._screen.say, self._children.start
        database = str(self._folder / "shop.db")
        monolith = await start("monolith", "legacy_stub.monolith", "--database", database)
        catalog = await start("catalog", "legacy_stub.services.catalog")
        orders = await start("orders", "legacy_stub.services.orders", "--database", database)
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
        return catalog

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

    async def _shop(self, catalog: Child) -> Tally:
        traffic = Traffic(self._client_url, rate=RATE, users=USERS)
        began = time.monotonic()
        every = 0.5 if self._screen.terminal else max(2.0, self._seconds / 5)
        self._screen.say(f"{USERS} customers shop for {self._seconds:g} s, about {RATE:g} requests a second")
        shopping = spawn(traffic.run(self._seconds), "shopping")
        try:
            await self._watch(shopping, traffic.tally, began, self._seconds * KILLED_AT, every)
            await self._children.kill(catalog)
            self._screen.say("the catalog service is killed; the monolith answers in its place")
            await self._watch(shopping, traffic.tally, began, self._seconds * BACK_AT, every)
            port = catalog.urls[0].rpartition(":")[2]
            await self._children.start("catalog", "legacy_stub.services.catalog", "--port", port)
            self._screen.say("the catalog service is back")
            await self._watch(shopping, traffic.tally, began, float("inf"), every)
            return await shopping
        finally:
            shopping.cancel()

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
        await asyncio.sleep(SETTLE_SECONDS)
        report = await self._command("report")
        say()
        say(report)
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
