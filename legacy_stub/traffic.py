"""``python -m legacy_stub.traffic URL``: the shop's customers.

Law: bounded. So many users, each with one request under way at a time; a rate over all of them; an end. Every step
knows which statuses are right for it; anything else, and every broken connection, is counted as an error and the last
few are kept as text. The dice are seeded per user, so two runs want the same things.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from legacy_stub import data

STAFF = ("u-1", "u-2")
WORDS = ("oak", "lamp", "gift", "mug", "series", "black", "vegan", "desk", "zzz")
TIMEOUT_SECONDS = 15.0
STEADY_PACE = (0.5, 1.5)  # of the mean pause, so that users do not march in step
TROUBLE_KEPT = 20


@dataclass
class Tally:
    """What the customers saw. ``unexpected`` counts answers and failures that no customer should see."""

    requests: int = 0
    writes: int = 0
    unexpected: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)  # by X-Banyan-Arm, where Banyan exposes it
    steps: Counter[str] = field(default_factory=Counter)
    trouble: deque[str] = field(default_factory=lambda: deque(maxlen=TROUBLE_KEPT))
    known_bug: int = 0  # 500s of the monolith's own, known bug

    def wrong(self, what: str) -> None:
        """Count an error and remember its text."""
        self.unexpected += 1
        self.trouble.append(what)


class Answer:
    """One answer, read to its end."""

    __slots__ = ("body", "document", "headers", "status")

    def __init__(self, status: int, headers: Any, body: bytes, document: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.document = document


class Traffic:
    """Customers ``u-1`` … who use the shop at ``url`` at ``rate`` requests a second, all together."""

    def __init__(self, url: str, *, rate: float = 100.0, users: int = 50, seed: int = 1) -> None:
        self.tally = Tally()
        self.rate = rate
        self.skus = [product.sku for product in data.products() if product.sku != data.GIFT_CARD]
        self.past_orders = data.orders()
        self._url = URL(url)
        self._users = max(1, min(users, data.CUSTOMERS))
        self._seed = seed
        self._until = float("inf")

    async def run(self, seconds: float) -> Tally:
        """Let them shop for so long; every request that began is waited for."""
        self._until = time.monotonic() + seconds
        connector = aiohttp.TCPConnector(limit=0)  # one request per user is the limit
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, self._users + 1):
                    group.create_task(self._live(User(self, f"u-{number}", connector, self._seed)))
        finally:
            await connector.close()
        return self.tally

    def at(self, path: str) -> URL:
        """The address of a path in the shop."""
        return self._url.join(URL(path))

    async def _live(self, user: User) -> None:
        async with user.client:
            await self._pause(user.dice, first=True)
            while time.monotonic() < self._until:
                await user.step()
                await self._pause(user.dice)

    async def _pause(self, dice: random.Random, *, first: bool = False) -> None:
        mean = self._users / self.rate
        pause = dice.uniform(0, mean) if first else mean * dice.uniform(*STEADY_PACE)
        await asyncio.sleep(max(0.0, min(pause, self._until - time.monotonic())))


class User:
    """One customer with a browser: cookies, held ETags, and a memory of what was seen."""

    def __init__(self, traffic: Traffic, name: str, connector: aiohttp.TCPConnector, seed: int) -> None:
        self.name = name
        self.dice = random.Random(f"{seed} {name}")
        headers = {"X-User-Id": name, "User-Agent": "shop-customer/1.0"}
        if name in STAFF:
            headers["X-Staff"] = "1"
        self.client = aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # unsafe: cookies of a host that is a number
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        )
        self._traffic = traffic
        self._logged_in = False
        self._skus = traffic.skus
        self._orders = [order.id for order in traffic.past_orders if order.customer == name]
        self._in_cart: list[str] = []
        self._etags: dict[str, str] = {}

    async def step(self) -> None:
        """Do one thing; log in before anything else."""
        if not self._logged_in:
            await self._log_in()
            return
        what = self.dice.choices(_STEPS, _WEIGHTS)[0]
        self._traffic.tally.steps[what.__name__] += 1
        await what(self)

    async def ask(self, method: str, path: str, *right: int, known_bug: bool = False, **options: Any) -> Answer | None:
        """Send one request and judge the answer; None if there was none."""
        tally = self._traffic.tally
        tally.requests += 1
        tally.writes += method not in ("GET", "HEAD", "OPTIONS")
        try:
            async with self.client.request(
                method, self._traffic.at(path), allow_redirects=False, **options
            ) as response:
                body = await response.read()
                is_json = response.content_type == "application/json" and body
                answer = Answer(response.status, response.headers, body, await response.json() if is_json else None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            tally.wrong(f"{method} {path}: {error or type(error).__name__}")
            return None
        tally.statuses[answer.status] += 1
        tally.arms[answer.headers.get("X-Banyan-Arm", "-")] += 1
        if answer.status not in right:
            if known_bug and answer.status == 500:
                tally.known_bug += 1
            else:
                route = answer.headers.get("X-Banyan-Route", "no route named")
                tally.wrong(f"{method} {path}: {answer.status} ({route})")
        return answer

    async def _log_in(self) -> None:
        page = await self.ask("GET", "/login", 200)
        token = re.search(rb'name="csrf" value="([0-9a-f]+)"', page.body) if page else None
        if token is None:
            return
        form = {"csrf": token[1].decode(), "email": _mail(self.name), "password": data.password(self.name)}
        answer = await self.ask("POST", "/login", 303, data=form)
        self._logged_in = answer is not None and answer.status == 303

    def _sku(self) -> str:
        return self.dice.choice(self._skus)

    async def home(self) -> None:
        await self.ask("GET", "/", 200)

    async def browse(self) -> None:
        shelf = self.dice.choice(("", *(category.slug for category in data.categories())))
        order = self.dice.choice(("name", "name", "price", "newest"))
        await self.ask("GET", f"/api/products?category={shelf}&sort={order}&page={self.dice.choice((1, 1, 2))}", 200)

    async def product(self) -> None:
        await self.ask("GET", f"/api/products/{self._sku()}", 200)

    async def product_again(self) -> None:
        path = f"/api/products/{self.dice.choice(self._skus[:5])}"
        held = {"If-None-Match": self._etags[path]} if path in self._etags else {}
        answer = await self.ask("GET", path, 200, 304, headers=held)
        if answer is not None and "ETag" in answer.headers:
            self._etags[path] = answer.headers["ETag"]

    async def product_head(self) -> None:
        await self.ask("HEAD", f"/api/products/{self._sku()}", 200)

    async def no_product(self) -> None:
        await self.ask("GET", f"/api/products/OLD-{self.dice.randint(1, 99)}", 404)

    async def product_page(self) -> None:
        await self.ask("GET", f"/products/{self._sku()}", 200)

    async def gift_card(self) -> None:
        await self.ask("GET", f"/products/{data.GIFT_CARD}", 200, known_bug=True)

    async def short_link(self) -> None:
        await self.ask("GET", f"/p/{self._sku().lower()}", 301)

    async def search(self) -> None:
        await self.ask("GET", f"/api/search?q={self.dice.choice(WORDS)}", 200)

    async def categories(self) -> None:
        await self.ask("GET", "/api/categories", 200)

    async def picture(self) -> None:
        await self.ask("GET", f"/images/{self._sku()}.{self.dice.choice(('png', 'svg'))}", 200)

    async def orders_list(self) -> None:
        await self.ask("GET", "/api/orders", 200)

    async def order(self) -> None:
        await self.ask("GET", f"/api/orders/{self.dice.choice(self._orders)}", 200)

    async def no_order(self) -> None:
        await self.ask("GET", "/api/orders/O-1", 404)

    async def invoice(self) -> None:
        path = f"/api/orders/{self.dice.choice(self._orders)}/invoice"
        answer = await self.ask("GET", path, 302, 307)
        if answer is not None and "Location" in answer.headers and self.dice.random() < 0.3:
            await self.ask("GET", answer.headers["Location"], 200)

    async def tracking(self) -> None:
        await self.ask("GET", f"/api/orders/{self.dice.choice(self._orders)}/tracking", 200)

    async def shipping(self) -> None:
        await self.ask("GET", "/api/shipping-options", 200, 410)  # 410: the monolith, asked directly

    async def export(self) -> None:
        await self.ask("GET", "/export/orders.csv", 200)

    async def report(self) -> None:
        await self.ask("GET", "/reports/sales", 200)

    async def account(self) -> None:
        await self.ask("GET", self.dice.choice(("/account", "/cart", "/api/customers/me", "/api/cart")), 200)

    async def quote(self) -> None:
        items = [{"sku": self._sku(), "quantity": self.dice.randint(1, 3)} for _ in range(2)]
        await self.ask("POST", "/api/orders/quote", 200, json={"items": items})

    async def put_in_cart(self) -> None:
        sku = self._sku()
        answer = await self.ask("POST", "/api/cart/items", 201, json={"sku": sku, "quantity": 1})
        if answer is not None and answer.status == 201:
            self._in_cart.append(sku)

    async def change_cart(self) -> None:
        if not self._in_cart:
            await self.put_in_cart()
            return
        sku = self.dice.choice(self._in_cart)
        if self.dice.random() < 0.6:
            await self.ask("PUT", f"/api/cart/items/{sku}", 200, json={"quantity": self.dice.randint(1, 4)})
        else:
            await self.ask("DELETE", f"/api/cart/items/{sku}", 204)
            self._in_cart = [other for other in self._in_cart if other != sku]

    async def buy(self) -> None:
        named = {} if self._in_cart else {"items": [{"sku": self._sku(), "quantity": 1}, {"sku": self._sku()}]}
        key = f"{self.name}-{self.dice.getrandbits(64):016x}"
        answer = await self.ask("POST", "/api/orders", 201, json=named, headers={"Idempotency-Key": key})
        self._in_cart = []
        if answer is not None and answer.document is not None and "id" in answer.document:
            self._orders.append(answer.document["id"])

    async def cancel(self) -> None:
        await self.ask("POST", f"/api/orders/{self.dice.choice(self._orders)}/cancel", 200, 409)

    async def move(self) -> None:
        await self.ask("PATCH", "/api/customers/me", 200, json={"city": self.dice.choice(("Bremen", "Porto"))})

    async def review(self) -> None:
        form = aiohttp.FormData({"rating": str(self.dice.randint(1, 5)), "text": "Looks good on the shelf."})
        form.add_field("photo", self.dice.randbytes(8000), filename="photo.jpg", content_type="image/jpeg")
        await self.ask("POST", f"/api/products/{self._sku()}/reviews", 201, data=form)


_PLANS: dict[Callable[[User], Awaitable[None]], float] = {
    User.home: 3, User.browse: 16, User.product: 14, User.product_again: 4, User.product_head: 1,
    User.no_product: 4, User.product_page: 6, User.gift_card: 0.3, User.short_link: 2, User.search: 11,
    User.categories: 6, User.picture: 5, User.orders_list: 7, User.order: 10, User.no_order: 1,
    User.invoice: 3, User.tracking: 6, User.shipping: 3, User.export: 0.5, User.report: 0.5,
    User.account: 4, User.quote: 5, User.put_in_cart: 3, User.change_cart: 2, User.buy: 3, User.cancel: 0.5,
    User.move: 0.7, User.review: 0.7,
}  # fmt: skip
_STEPS, _WEIGHTS = list(_PLANS), list(_PLANS.values())


def _mail(customer: str) -> str:
    return f"user{customer.removeprefix('u-')}@shop.example"


def main() -> int:
    """Shop for a while and print what was seen; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description="The customers of the demo's shop.")
    parser.add_argument("url", help="where the shop is, like http://127.0.0.1:8080")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second, together (default: %(default)s)")
    parser.add_argument(
        "--users", type=int, default=50, help=f"how many, up to {data.CUSTOMERS} (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.rate <= 0 or options.seconds <= 0:
        parser.error("--rate and --seconds are above 0")
    tally = asyncio.run(Traffic(options.url, rate=options.rate, users=options.users).run(options.seconds))
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(tally.statuses.items()))
    print(f"{tally.requests} requests, {tally.writes} of them writes; {statuses or 'no answers'}")
    print(f"errors: {tally.unexpected}; the monolith's known gift card bug: {tally.known_bug}")
    for line in tally.trouble:
        print(f"  {line}")
    return 1 if tally.unexpected or not tally.statuses else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
