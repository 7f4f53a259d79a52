"""Real clients through a real ``banyan run`` see what they would see without it."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import requests
from behind import BIG, PRODUCT, SKU, Readme, Shop, digest, login_form

from legacy_stub import data


def pieces() -> Iterator[bytes]:
    for start in range(0, len(BIG), 100_000):
        yield BIG[start : start + 100_000]


def order_of(user: int) -> str:
    return next(order.id for order in data.orders() if order.customer == f"u-{user}")


# -- byte for byte ------------------------------------------------------------------------------------------------

PATHS = [
    "/", "/login", "/cart", "/account", "/healthz", f"/products/{SKU}", f"/products/{SKU}/", "/products/NO-1",
    f"/products/{data.GIFT_CARD}", f"/p/{SKU.lower()}", "/p/%C3%A4", "/favicon.ico", "/no/such/page", "/%7Euser",
    f"/images/{SKU}.png", f"/images/{SKU}.svg", "/images/NO-1.png", "/export/orders.csv",
    "/api/products", "/api/products?page=2&per_page=5", "/api/products?sort=-price", "/api/products?sort=wrong",
    "/api/products?category=office&max_price=5000", "/api/products?per_page=100", PRODUCT, f"{PRODUCT}?a=%20&a=+",
    "/api/products/NO-1", f"{PRODUCT}/stock", f"{PRODUCT}/reviews", "/api/categories", "/api/search?q=lamp",
    "/api/search", "/api/search?q=%F0%9F%8C%B3", "/api/orders", "/api/orders?page=2", f"/api/orders/{order_of(7)}",
    "/api/orders/O-1", f"/api/orders/{order_of(7)}/invoice", f"/api/orders/{order_of(7)}/tracking",
    f"/export/invoices/{order_of(7)}.csv", "/api/shipping-options", "/api/customers/me", "/api/cart",
    "/api//products", "/api/./products", "/api/products/..%2f..%2fetc", "/reports/sales",
]  # fmt: skip

NOISE = [
    (re.compile(rb'"generated_at": "[^"]*"'), b"GENERATED"),
    (re.compile(rb'"request_id": "[^"]*"'), b"REQUEST"),
    (re.compile(rb"Made for you at \S+?<"), b"RENDERED<"),
    (re.compile(rb'name="csrf" value="[0-9a-f]+"'), b"CSRF"),
    (re.compile(rb'"tags": \[[^\]]*\]'), b"TAGS"),
]
"""What the monolith makes anew for each answer. Everything else has to be the same byte."""


def answer(url: str, path: str, cookies: str) -> tuple[int, str, list[tuple[str, str]], bytes]:
    """The answer to one GET: status, reason, fields in order, body; without noise."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)) as connection:
        # Host is what the answers may depend on, so it is the same on both ways.
        connection.request("GET", path, headers={"Host": "shop.example", "Cookie": cookies})
        response = connection.getresponse()
        body = response.read()
    for pattern, name in NOISE:
        body = pattern.sub(name, body)
    fields = [(k, re.sub(r"=[0-9a-f]{32}", "=FRESH", v)) for k, v in response.getheaders()]
    fields = [field for field in fields if field[0] not in ("Date", "X-Request-Trace", "Transfer-Encoding")]
    return response.status, response.reason, fields, body


@pytest.fixture(scope="module")
def cookies(shop: Shop) -> str:
    """Of customer 7, who logged in past Banyan."""
    with httpx.Client(base_url=shop.monolith) as client:
        answer = client.post("/login", data=login_form(client.get("/login").text, 7))
        assert answer.status_code == 303
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@pytest.mark.parametrize("path", PATHS)
def test_the_answer_is_the_same_byte_for_byte(shop: Shop, plain: Readme, cookies: str, path: str) -> None:
    assert answer(plain.url, path, cookies) == answer(shop.monolith, path, cookies)
    assert answer(plain.url, path, "") == answer(shop.monolith, path, "")


def test_a_request_arrives_as_it_was_sent(echoing: Readme) -> None:
    parts = urlsplit(echoing.url)
    sent = [
        ("Host", "Shop.Example"), ("X-Twice", "one"), ("x-other", "caf\xe9"), ("X-Twice", "two"),
        ("Cookie", "a=1; b=2"), ("aCCept", "*/*"),
    ]  # fmt: skip
    target = "/head/a%20b/%7e?x=1&&y=%zz&x"
    head = "".join(f"{name}: {value}\r\n" for name, value in sent)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode("latin-1"))
        received = b"".join(iter(lambda: client.recv(65536), b""))
    seen = json.loads(received.partition(b"\r\n\r\n")[2])
    assert seen["target"] == target
    assert [tuple(field) for field in seen["fields"][: len(sent)]] == sent
    added = [name for name, _ in seen["fields"][len(sent) :]]
    assert added == ["Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-ID", "traceparent"]


# -- httpx --------------------------------------------------------------------------------------------------------


def test_httpx_logs_in_buys_and_reads_the_order(shop: Shop) -> None:
    with httpx.Client(base_url=shop.url, headers={"X-User-Id": "u-7"}) as client:
        page = client.get("/account", follow_redirects=True)
        assert page.url.path == "/login"
        entered = client.post("/login", data=login_form(page.text, 7), follow_redirects=True)
        assert entered.url.path == "/account"
        assert "Hello, " in entered.text
        assert client.cookies["user"] == "u-7"
        assert client.post("/api/cart/items", json={"sku": SKU, "quantity": 2}).status_code == 201
        placed = client.post("/api/orders", json={}, headers={"Idempotency-Key": "one"})
        assert placed.status_code == 201
        again = client.post("/api/orders", json={"items": [{"sku": SKU}]}, headers={"Idempotency-Key": "one"})
        assert again.json()["id"] == placed.json()["id"]
        read = client.get(placed.headers["Location"])
        assert [line["quantity"] for line in read.json()["items"]] == [2]
        assert client.get("/api/cart").json()["items"] == []


def test_httpx_is_refused_with_a_wrong_csrf_token(shop: Shop) -> None:
    with httpx.Client(base_url=shop.url) as client:
        filled = login_form(client.get("/login").text, 8)
        assert client.post("/login", data={**filled, "csrf": "0" * 32}).status_code == 403


def test_httpx_follows_a_redirect_from_the_shop(shop: Shop) -> None:
    page = httpx.get(f"{shop.url}/p/{SKU.lower()}", follow_redirects=True)
    assert [step.status_code for step in page.history] == [301]
    assert page.url == f"{shop.url}/products/{SKU}"


def test_httpx_uploads_a_form_with_a_photo(shop: Shop) -> None:
    photo = BIG[:1_500_000]
    with httpx.Client(base_url=shop.url) as client:
        client.post("/login", data=login_form(client.get("/login").text, 9))
        answer = client.post(
            f"{PRODUCT}/reviews", data={"rating": "4", "text": "grün"}, files={"photo": ("tree.jpg", photo)}
        )
        assert answer.status_code == 201
        assert answer.json()["photo_sha256"] == digest(photo)


def test_httpx_streams_a_body_both_ways(echoing: Readme) -> None:
    received = hashlib.sha256()
    with httpx.stream("POST", f"{echoing.url}/any", content=pieces(), timeout=20) as answer:
        assert answer.headers["X-Framing"] == "chunked"
        for piece in answer.iter_raw():
            received.update(piece)
    assert received.hexdigest() == digest(BIG)


def test_httpx_keeps_its_connection(shop: Shop) -> None:
    with httpx.Client(base_url=shop.url, limits=httpx.Limits(max_connections=1)) as client:
        streams = set()
        for path in ("/", PRODUCT, "/api/categories", f"/images/{SKU}.png", "/no/such/page", "/api/cart"):
            with client.stream("GET", path) as answer:
                answer.read()
                assert answer.http_version == "HTTP/1.1"
                streams.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(streams) == 1


def test_httpx_is_served_a_compressed_answer(shop: Shop) -> None:
    answer = httpx.get(f"{shop.url}/api/products?per_page=100", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.json()["products"]) == 100


def test_events_arrive_while_the_stream_is_open(shop: Shop) -> None:
    with httpx.Client(base_url=shop.url, timeout=20) as client:
        client.post("/login", data=login_form(client.get("/login").text, 10))
        with client.stream("GET", "/events/orders") as events:
            assert events.headers["Content-Type"] == "text/event-stream"
            lines = events.iter_lines()
            assert next(lines) == "retry: 1000"
            placed = client.post("/api/orders", json={"items": [{"sku": SKU}]}).json()
            data_line = next(line for line in lines if line.startswith("data: ") and placed["id"] in line)
            assert json.loads(data_line.removeprefix("data: "))["what"] == "paid"


# -- requests -----------------------------------------------------------------------------------------------------


def test_requests_logs_in_and_keeps_its_session(shop: Shop) -> None:
    with requests.Session() as session:
        page = session.get(f"{shop.url}/login", timeout=20)
        entered = session.post(f"{shop.url}/login", data=login_form(page.text, 11), timeout=20)
        assert entered.status_code == 200
        assert entered.url == f"{shop.url}/account"
        changed = session.patch(f"{shop.url}/api/customers/me", json={"city": "Århus"}, timeout=20)
        assert changed.json()["city"] == "Århus"
        assert session.put(f"{shop.url}/api/cart/items/{SKU}", json={"quantity": 3}, timeout=20).status_code == 404
        assert session.post(f"{shop.url}/api/cart/items", json={"sku": SKU}, timeout=20).status_code == 201
        assert session.delete(f"{shop.url}/api/cart/items/{SKU}", timeout=20).status_code == 204


def test_requests_sends_a_generator_in_chunks(echoing: Readme) -> None:
    with requests.put(f"{echoing.url}/any", data=pieces(), timeout=20, stream=True) as answer:
        assert (answer.headers["X-Method"], answer.headers["X-Framing"]) == ("PUT", "chunked")
        assert digest(b"".join(answer.iter_content(65536))) == digest(BIG)


def test_requests_sees_head_and_options_without_a_body(shop: Shop) -> None:
    with requests.Session() as session:
        head = session.head(shop.url + PRODUCT, timeout=20)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["Content-Length"]) > 0
        options = session.options(shop.url + PRODUCT, timeout=20)
        assert options.status_code == 204
        assert "GET" in options.headers["Allow"]


def test_requests_downloads_a_file(shop: Shop) -> None:
    with requests.Session() as session:
        page = session.get(f"{shop.url}/login", timeout=20)
        session.post(f"{shop.url}/login", data=login_form(page.text, 12), timeout=20)
        with session.get(f"{shop.url}/export/orders.csv", timeout=20, stream=True) as export:
            assert export.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
            assert export.text.startswith("id,status,created_at,total_cents\r\n")


# -- aiohttp ------------------------------------------------------------------------------------------------------


async def test_a_websocket_carries_texts_and_closes_cleanly(shop: Shop) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{shop.url}/chat") as socket:
        assert (await socket.receive_json(timeout=10))["type"] == "welcome"
        for text in ("hello", "ä🌳" * 500, ""):
            await socket.send_str(text)
            assert (await socket.receive_json(timeout=10))["text"] == text
        await socket.close(code=4001, message=b"enough")
        assert socket.close_code == aiohttp.WSCloseCode.OK  # with which the shop answers every close


async def test_two_chatters_hear_each_other(shop: Shop) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{shop.url}/chat") as one,
        client.ws_connect(f"{shop.url}/chat") as two,
    ):
        await one.receive_json(timeout=10)
        await two.receive_json(timeout=10)
        await one.send_str("is anybody here?")
        await two.send_str("yes")
        for socket in (one, two):
            heard = {(await socket.receive_json(timeout=10))["text"] for _ in range(2)}
            assert heard == {"is anybody here?", "yes"}


async def test_a_websocket_message_above_the_shops_limit_ends_it_with_the_shops_code(shop: Shop) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{shop.url}/chat") as socket:
        await socket.receive_json(timeout=10)
        await socket.send_str("x" * 100_000)
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_plain_request_to_the_chat_is_answered_by_the_shop(shop: Shop) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{shop.url}/chat") as answer:
        assert answer.status == 400


async def test_events_reach_an_aiohttp_client_from_where_it_left_off(shop: Shop) -> None:
    headers = {"Last-Event-ID": "0"}
    async with aiohttp.ClientSession() as client:
        await _place_an_order(client, shop.url, 14)
        async with client.get(f"{shop.url}/events/orders", headers=headers) as events:
            first: list[str] = []
            while len(first) < 3:
                line = (await asyncio.wait_for(events.content.readline(), 10)).decode().strip()
                if line and not line.startswith("retry"):
                    first.append(line.partition(":")[0])
            assert first == ["id", "event", "data"]


async def _place_an_order(client: aiohttp.ClientSession, url: str, user: int) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # the host is a number
    async with aiohttp.ClientSession(cookie_jar=jar) as customer:
        async with customer.get(f"{url}/login") as page:
            form = login_form(await page.text(), user)
        async with customer.post(f"{url}/login", data=form) as entered:
            assert entered.status == 200
        async with customer.post(f"{url}/api/orders", json={"items": [{"sku": SKU}]}) as placed:
            assert placed.status == 201


async def test_a_body_flows_both_ways_at_once(echoing: Readme) -> None:
    back = asyncio.Queue[bytes]()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        assert await asyncio.wait_for(back.get(), 10) == b"first"  # the answer is here, the request is not at its end
        yield b"second"

    async with aiohttp.ClientSession() as client, client.post(f"{echoing.url}/any", data=body()) as answer:
        back.put_nowait(await answer.content.readany())
        assert await answer.content.read() == b"second"


async def test_many_clients_at_once_get_their_own_answers(shop: Shop) -> None:
    skus = [product.sku for product in data.products()][:60]

    async def ask(client: aiohttp.ClientSession, sku: str) -> str:
        async with client.get(f"{shop.url}/api/products/{sku}", headers={"X-User-Id": f"u-{sku}"}) as answer:
            found: str = (await answer.json())["sku"]
            return found

    async with aiohttp.ClientSession() as client:
        assert await asyncio.gather(*(ask(client, sku) for sku in skus)) == skus
