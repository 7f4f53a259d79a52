"""The pages people see, and the short links that marketing prints on paper."""

from __future__ import annotations

import json

from aiohttp import web

from legacy_stub.monolith import sessions
from legacy_stub.monolith.cart import lines_of
from legacy_stub.monolith.context import database, render

FRONT_PAGE_PRODUCTS = 12


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/", home)
    app.router.add_get("/products/{sku}", product_page)
    app.router.add_get("/cart", cart_page)
    app.router.add_get("/p/{sku}", short_link)


async def home(request: web.Request) -> web.Response:
    """The front page: the shelves and what is new."""
    db = database(request)
    shelves = db.rows("SELECT slug, name FROM categories ORDER BY position")
    fresh = db.rows("SELECT * FROM products ORDER BY listed_at DESC, sku LIMIT ?", FRONT_PAGE_PRODUCTS)
    return render(request, "home.html", shelves=shelves, products=fresh, customer=sessions.customer_of(request))


async def product_page(request: web.Request) -> web.Response:
    """One product with its price per 100 g."""
    row = database(request).row("SELECT * FROM products WHERE sku = ?", request.match_info["sku"])
    if row is None:
        return render(request, "error.html", status=404, message="We do not have this product.")
    # An old bug that nobody ever got round to: a gift card weighs nothing, so its page is a 500.
    per_100_g_cents = row["price_cents"] * 100 // row["weight_g"]
    return render(request, "product.html", product=row, tags=json.loads(row["tags"]), per_100_g_cents=per_100_g_cents)


async def cart_page(request: web.Request) -> web.Response:
    """The cart as a page."""
    return render(request, "cart.html", lines=lines_of(request, sessions.current(request)))


async def short_link(request: web.Request) -> web.Response:
    """/p/SKU is what fits on a flyer."""
    # only the characters of a SKU: this ends in a header
    sku = "".join(char for char in request.match_info["sku"] if char.isascii() and (char.isalnum() or char == "-"))
    return web.Response(status=301, headers={"Location": f"/products/{sku.upper()}"})
