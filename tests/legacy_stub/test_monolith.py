"""The shop behaves like one: every kind of endpoint that a proxy in front of it has to carry."""

import asyncio
import csv
import io
import json
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from legacy_stub import data
from legacy_stub.database import Database
from legacy_stub.monolith.app import create_app

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "shop.db")


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Client]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with TestClient(TestServer(create_app(database)), cookie_jar=jar) as client:
        yield client


def token(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


async def log_in(shop: Client, customer: str = "u-7") -> None:
    page = await (await shop.get("/login")).text()
    form = {"csrf": token(page), "email": f"user{customer[2:]}@shop.example", "password": data.password(customer)}
    answer = await shop.post("/login", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/account")


def some_sku() -> str:
    return data.products()[3].sku


def test_seed_data_is_equal_every_time() -> None:
    assert data.products() == data.products()
    assert data.orders() == data.orders()
    names = [product.name for product in data.products()]
    assert len(set(names)) < len(names), "colour variants share a name, or the planted order cannot show"


async def test_second_start_keeps_the_database(database: str, shop: Client) -> None:
    await log_in(shop)
    assert (await shop.patch("/api/customers/me", json={"city": "Graz"})).status == 200
    again = Database(database)
    again.seed()
    assert again.value("SELECT city FROM customers WHERE id = 'u-7'") == "Graz"
    again.close()


async def test_product_list_pages_filters_and_sorts(shop: Client) -> None:
    page = await (await shop.get("/api/products?category=kitchen&sort=-price&per_page=5&page=2&max_price=9000")).json()
    prices = [product["price_cents"] for product in page["products"]]
    assert prices == sorted(prices, reverse=True)
    assert len(prices) == 5
    assert all(price <= 9000 for price in prices)
    assert {product["category"] for product in page["products"]} == {"kitchen"}
    assert (await shop.get("/api/products?sort=luck")).status == 400


async def test_each_answer_has_noise_of_its_own(shop: Client) -> None:
    answers = [await (await shop.get(f"/api/products/{some_sku()}")).json() for _ in range(20)]
    assert len({answer["request_id"] for answer in answers}) == 20
    assert len({tuple(answer["tags"]) for answer in answers}) > 1
    assert len({tuple(sorted(answer["tags"])) for answer in answers}) == 1


async def test_known_etag_gets_304_and_no_body(shop: Client) -> None:
    for path in (f"/api/products/{some_sku()}", f"/images/{some_sku()}.png"):
        first = await shop.get(path)
        again = await shop.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status, again.status, await again.read()) == (200, 304, b"")


async def test_large_json_is_gzipped_only_if_welcome(shop: Client) -> None:
    plain = await shop.get("/api/products", headers={"Accept-Encoding": "identity"})
    packed = await shop.get("/api/products", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert (await plain.json())["total"] == (await packed.json())["total"]


async def test_search_finds_best_first(shop: Client) -> None:
    found = await (await shop.get("/api/search?q=lamp")).json()
    assert "Lamp" in found["results"][0]["name"]
    assert isinstance(found["results"][0]["price"], float)
    assert (await shop.get("/api/search?q=")).status == 400


async def test_login_changes_session_and_wrong_token_is_refused(shop: Client) -> None:
    page = await shop.get("/login")
    before = page.cookies["sid"].value
    assert page.cookies["sid"]["httponly"]
    form = {"csrf": "wrong", "email": "user7@shop.example", "password": data.password("u-7")}
    assert (await shop.post("/login", data=form)).status == 403
    form["csrf"] = token(await page.text())
    assert (await shop.post("/login", data={**form, "password": "guess"})).status == 401
    answer = await shop.post("/login", data=form, allow_redirects=False)
    assert answer.cookies["sid"].value != before
    assert answer.cookies["user"].value == "u-7"


async def test_account_form_escapes_and_needs_the_token(shop: Client) -> None:
    assert (await shop.get("/account", allow_redirects=False)).status == 302
    await log_in(shop)
    page = await (await shop.get("/account")).text()
    assert (await shop.post("/account", data={"name": "Mallory"})).status == 403
    await shop.post("/account", data={"csrf": token(page), "name": "<b>Bo</b>", "city": "Porto"})
    assert "&lt;b&gt;Bo&lt;/b&gt;" in await (await shop.get("/account")).text()


async def test_cart_goes_from_guest_to_order(shop: Client) -> None:
    sku = some_sku()
    assert (await shop.post("/api/cart/items", json={"sku": sku, "quantity": 2})).status == 201
    assert (await shop.put(f"/api/cart/items/{sku}", json={"quantity": 3})).status == 200
    await log_in(shop)
    cart = await (await shop.get("/api/cart")).json()
    assert [(line["sku"], line["quantity"]) for line in cart["items"]] == [(sku, 3)]
    placed = await shop.post("/api/orders", json={}, headers={"Idempotency-Key": "k1"})
    again = await shop.post("/api/orders", json={"items": [{"sku": sku}]}, headers={"Idempotency-Key": "k1"})
    order = await placed.json()
    assert (placed.status, (await again.json())["id"]) == (201, order["id"])
    assert order["subtotal_cents"] == cart["subtotal_cents"]
    assert (await (await shop.get("/api/cart")).json())["items"] == []
    assert (await shop.delete(f"/api/cart/items/{sku}")).status == 404
    assert (await shop.post(f"/api/orders/{order['id']}/cancel")).status == 200
    assert (await shop.post(f"/api/orders/{order['id']}/cancel")).status == 409


async def test_orders_are_private(shop: Client) -> None:
    assert (await shop.get("/api/orders")).status == 401
    await log_in(shop)
    mine = await (await shop.get("/api/orders")).json()
    assert mine["total"] > 0
    others = next(order.id for order in data.orders() if order.customer == "u-9")
    assert (await shop.get(f"/api/orders/{others}")).status == 404


async def test_a_shadow_is_answered_and_changes_nothing(database: str, shop: Client) -> None:
    await log_in(shop)
    shadow = {"X-Banyan-Shadow": "1"}
    body = {"items": [{"sku": some_sku(), "quantity": 1}]}
    reader = Database(database)
    before = [reader.value(f"SELECT COUNT(*) FROM {table}") for table in ("orders", "cart_items", "sessions")]
    assert (await shop.post("/api/orders", json=body, headers=shadow)).status == 201
    assert (await shop.post("/api/cart/items", json={"sku": some_sku()}, headers=shadow)).status == 201
    shop.session.cookie_jar.clear()
    assert (await shop.get("/login", headers=shadow)).status == 200
    assert before == [reader.value(f"SELECT COUNT(*) FROM {table}") for table in ("orders", "cart_items", "sessions")]
    reader.close()


async def test_pages_redirects_and_failures(shop: Client) -> None:
    assert "Root &amp; Branch" in await (await shop.get("/")).text()
    assert (await shop.get(f"/products/{some_sku()}")).status == 200
    short = await shop.get(f"/p/{some_sku().lower()}", allow_redirects=False)
    assert (short.status, short.headers["Location"]) == (301, f"/products/{some_sku()}")
    slash = await shop.get("/api/categories/", allow_redirects=False)
    assert (slash.status, slash.headers["Location"]) == (301, "/api/categories")
    missing = await shop.get("/api/products/NOPE")
    assert (missing.status, (await missing.json())["error"]["code"]) == (404, "not_found")
    assert (await shop.get("/nowhere")).content_type == "text/html"


async def test_the_gift_card_bug_is_a_500_without_traceback(shop: Client, capsys: pytest.CaptureFixture[str]) -> None:
    answer = await shop.get(f"/products/{data.GIFT_CARD}")
    assert answer.status == 500
    assert "ZeroDivision" not in await answer.text()
    assert capsys.readouterr().err.count("\n") == 1


async def test_head_and_options(shop: Client) -> None:
    head = await shop.head(f"/images/{some_sku()}.png")
    assert (head.status, await head.read()) == (200, b"")
    options = await shop.options("/api/cart/items")
    assert (options.status, options.headers["Allow"]) == (204, "POST")
    assert (await shop.delete("/api/search")).status == 405


async def test_png_is_a_whole_picture(shop: Client) -> None:
    body = await (await shop.get(f"/images/{some_sku()}.png")).read()
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    at = body.index(b"IDAT")
    size = int.from_bytes(body[at - 4 : at])
    assert len(zlib.decompress(body[at + 4 : at + 4 + size])) == 96 * (96 * 3 + 1)
    assert (await shop.get(f"/images/{some_sku()}.svg")).content_type == "image/svg+xml"
    assert (await shop.get("/images/NOPE.png")).status == 404


async def test_csv_exports(shop: Client) -> None:
    await log_in(shop)
    export = await shop.get("/export/orders.csv")
    assert "attachment" in export.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(await export.text())))
    assert len(rows) == (await (await shop.get("/api/orders")).json())["total"]
    invoice = await shop.get(f"/api/orders/{rows[0]['id']}/invoice")
    assert f"total,,{rows[0]['total_cents']}" in await invoice.text()


async def test_review_with_photo(shop: Client) -> None:
    await log_in(shop)
    path = f"/api/products/{some_sku()}/reviews"

    def form(rating: str, photo: bytes) -> aiohttp.FormData:
        fields = aiohttp.FormData({"rating": rating, "text": "schön"})
        fields.add_field("photo", io.BytesIO(photo), filename="p.jpg", content_type="image/jpeg")
        return fields

    answer = await shop.post(path, data=form("5", b"x" * 70_000))
    assert (answer.status, (await answer.json())["photo_bytes"]) == (201, 70_000)
    assert (await shop.post(path, data=form("9", b"x"))).status == 422
    assert (await shop.post(path, data=form("5", b"x" * (2 * 1024 * 1024 + 1)))).status == 413
    assert [review["text"] for review in (await (await shop.get(path)).json())["reviews"]] == ["schön"]


async def test_order_events_stream(shop: Client) -> None:
    await log_in(shop)
    async with shop.get("/events/orders", timeout=aiohttp.ClientTimeout(total=10)) as stream:
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readline() == b"retry: 1000\n"
        placed = await (await shop.post("/api/orders", json={"items": [{"sku": some_sku()}]})).json()
        async for line in stream.content:
            if line.startswith(b"data: "):
                assert json.loads(line[6:])["order"] == placed["id"]
                break


async def test_chat_reaches_everybody(shop: Client) -> None:
    async with shop.ws_connect("/chat") as ada, shop.ws_connect("/chat") as ben:
        assert (await ada.receive_json())["type"] == "welcome"
        assert (await ben.receive_json())["present"] == 2
        await ada.send_str("hello")
        assert [(await one.receive_json())["text"] for one in (ada, ben)] == ["hello", "hello"]


async def test_report_and_health(shop: Client) -> None:
    report, health = await asyncio.gather(shop.get("/reports/sales"), shop.get("/healthz"))
    assert len((await report.json())["months"]) > 3
    assert (await health.json())["status"] == "ok"
