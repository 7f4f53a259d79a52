"""Chromium shops through Banyan as a person would, and its console stays clean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from behind import Shop
from chromium import PATIENCE_MS
from playwright.sync_api import Browser, Page

from legacy_stub import data

SKU = next(product.sku for product in data.products() if product.sku != data.GIFT_CARD)


class Tab:
    """A page of a browser profile of its own; ``trouble`` is what it complained about."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.trouble: list[str] = []
        self._context = browser.new_context(base_url=url)
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self.another()

    def another(self) -> Page:
        page = self._context.new_page()
        page.on("console", lambda message: message.type == "error" and self.trouble.append(message.text))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("requestfailed", lambda request: self.trouble.append(f"{request.url}: {request.failure}"))
        # No shop has an icon here, and whether a browser asks for one is its own affair.
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        return page

    def log_in(self, user: int) -> None:
        self.page.goto("/login")
        self.page.fill("input[name=email]", f"user{user}@shop.example")
        self.page.fill("input[name=password]", f"correct horse u-{user}")
        self.page.click("button")
        self.page.wait_for_url("**/account")

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def tab(browser: Browser, shop: Shop) -> Iterator[Tab]:
    made = Tab(browser, shop.url)
    yield made
    trouble = list(made.trouble)
    made.close()
    assert trouble == []


def test_the_front_page_shows_its_pictures(tab: Tab) -> None:
    answer = tab.page.goto("/")
    assert answer is not None
    assert answer.status == 200
    assert tab.page.title() == "Home · Root & Branch"
    tab.page.wait_for_load_state("load")
    widths = tab.page.eval_on_selector_all("ul.shelf img", "images => images.map(image => image.naturalWidth)")
    assert widths == [96] * 12


def test_a_click_leads_to_the_product(tab: Tab) -> None:
    tab.page.goto("/")
    link = tab.page.locator("ul.shelf a").first
    target = link.get_attribute("href")
    link.click()
    tab.page.wait_for_url(f"**{target}")
    assert tab.page.locator("main img").evaluate("image => image.complete && image.naturalWidth > 0")
    tab.page.go_back()
    assert tab.page.title().startswith("Home")


def test_the_flyers_short_link_leads_to_the_product(tab: Tab) -> None:
    tab.page.goto(f"/p/{SKU.lower()}")
    assert tab.page.url.endswith(f"/products/{SKU}")


def test_a_search_finds_products(tab: Tab) -> None:
    answer = tab.page.goto("/api/search?q=lamp")
    assert answer is not None
    assert answer.json()["total"] > 0
    listed = tab.page.evaluate("fetch('/api/products?per_page=100').then(answer => answer.json())")
    assert len(listed["products"]) == 100


def test_a_customer_logs_in_moves_buys_and_logs_out(tab: Tab) -> None:
    page = tab.page
    page.goto("/account")
    assert page.url.endswith("/login")
    tab.log_in(21)
    page.fill("input[name=city]", "Göteborg")
    page.click("text=Save")
    page.wait_for_load_state()
    assert page.input_value("input[name=city]") == "Göteborg"
    page.goto(f"/products/{SKU}")
    assert page.evaluate(_POST, ["/api/cart/items", {"sku": SKU, "quantity": 3}])[0] == 201
    page.click("text=Cart")
    assert page.locator("table td").nth(1).inner_text() == "3"
    status, order = page.evaluate(_POST, ["/api/orders", {}])
    assert status == 201
    page.goto("/account")
    assert order["id"] in page.content()
    page.goto("/cart")
    assert page.locator("text=It is empty.").is_visible()
    page.goto("/account")
    page.click("text=Log out")
    page.wait_for_url("**/")
    page.goto("/account")
    assert page.url.endswith("/login")


def test_a_wrong_password_is_refused_on_the_page(tab: Tab) -> None:
    tab.page.goto("/login")
    tab.page.fill("input[name=email]", "user22@shop.example")
    tab.page.fill("input[name=password]", "wrong")
    with tab.page.expect_navigation() as navigated:
        tab.page.click("button")
    assert navigated.value.status == 401
    assert tab.page.locator(".wrong").is_visible()
    tab.trouble.clear()  # the browser notes every 401 of a page on its console


def test_two_windows_chat(tab: Tab) -> None:
    one, two = tab.page, tab.another()
    for window in (one, two):
        window.goto("/")
        window.evaluate(_OPEN_CHAT)
    one.evaluate("window.chat.send('is anybody here?')")
    two.wait_for_function("window.heard.includes('is anybody here?')")
    two.evaluate("window.chat.send('yes 🌳')")
    one.wait_for_function("window.heard.includes('yes 🌳')")
    closed = "new Promise(done => { window.chat.onclose = event => done(event.wasClean); window.chat.close(); })"
    assert [window.evaluate(closed) for window in (one, two)] == [True, True]


def test_an_event_source_hears_of_an_order(tab: Tab) -> None:
    tab.log_in(23)
    tab.page.evaluate(_OPEN_EVENTS)
    placed = tab.page.evaluate(_POST, ["/api/orders", {"items": [{"sku": SKU}]}])[1]
    tab.page.wait_for_function("order => window.orders.includes(order)", arg=placed["id"])
    tab.page.evaluate("window.events.close()")


def test_a_file_is_uploaded_and_another_downloaded(tab: Tab, tmp_path: Path) -> None:
    tab.log_in(24)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(bytes(range(256)) * 4000)
    tab.page.evaluate(_ADD_UPLOAD_FORM, SKU)
    tab.page.set_input_files("input[type=file]", photo)
    with tab.page.expect_navigation() as navigated:
        tab.page.click("#send")
    assert navigated.value.status == 201
    review: dict[str, Any] = navigated.value.json()
    assert review["photo_bytes"] == photo.stat().st_size
    tab.page.goto("/account")
    with tab.page.expect_download() as download:
        tab.page.click("text=All of them as CSV")
    assert download.value.suggested_filename == "orders.csv"
    assert download.value.path().read_text().startswith("id,status,created_at,total_cents")
    tab.trouble[:] = [text for text in tab.trouble if "orders.csv" not in text]  # a download ends its navigation


_POST = """async ([path, value]) => {
  const headers = {"Content-Type": "application/json"};
  const answer = await fetch(path, {method: "POST", body: JSON.stringify(value), headers});
  return [answer.status, await answer.json()];
}"""

_OPEN_CHAT = """() => new Promise((opened, failed) => {
  window.heard = [];
  window.chat = new WebSocket(location.origin.replace("http", "ws") + "/chat");
  window.chat.onerror = failed;
  window.chat.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "welcome") opened(); else window.heard.push(message.text);
  };
})"""

_OPEN_EVENTS = """() => new Promise((opened, failed) => {
  window.orders = [];
  window.events = new EventSource("/events/orders");
  window.events.onopen = opened;
  window.events.onerror = failed;
  window.events.addEventListener("order", (event) => window.orders.push(JSON.parse(event.data).order));
})"""

_ADD_UPLOAD_FORM = """(sku) => {
  document.querySelector("main").innerHTML = `<form method="post" enctype="multipart/form-data"
    action="/api/products/${sku}/reviews"><input name="rating" value="5"><input name="text" value="Größe passt">
    <input type="file" name="photo"><button id="send">Send</button></form>`;
}"""
