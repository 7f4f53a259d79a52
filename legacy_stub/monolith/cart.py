"""The cart: a few lines that hang on the session, so it works before the login too."""

from __future__ import annotations

from aiohttp import web

from legacy_stub.database import Row
from legacy_stub.monolith import sessions
from legacy_stub.monolith.context import api_error, database
from legacy_stub.serving import is_shadow, json_answer, json_body, number, stamp

QUANTITY_MAX = 20
LINES_MAX = 50


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/api/cart", show)
    app.router.add_post("/api/cart/items", add)
    app.router.add_put("/api/cart/items/{sku}", change)
    app.router.add_delete("/api/cart/items/{sku}", remove)
    app.router.add_delete("/api/cart", empty)


def lines_of(request: web.Request, session: Row | None) -> list[Row]:
    """The cart's lines with today's prices."""
    if session is None:
        return []
    return database(request).rows(
        "SELECT sku, name, color, quantity, price_cents FROM cart_items JOIN products USING (sku) WHERE session = ?"
        " ORDER BY sku",
        session["id"],
    )


async def show(request: web.Request) -> web.Response:
    """The cart; empty without a session, which a look does not begin."""
    return _cart(request, sessions.current(request))


async def add(request: web.Request) -> web.Response:
    """Put something in: ``{"sku": …, "quantity": …}``."""
    wanted = await json_body(request)
    sku = str(wanted.get("sku", ""))
    db = database(request)
    if db.row("SELECT sku FROM products WHERE sku = ?", sku) is None:
        return api_error(request, 404, "not_found", f"No product {sku[:40]}.")
    session = sessions.ensure(request)
    with db.writing(shadow=is_shadow(request)):
        if db.value("SELECT COUNT(*) FROM cart_items WHERE session = ?", session["id"]) >= LINES_MAX:
            return api_error(request, 409, "cart_full", f"A cart holds {LINES_MAX} lines.")
        db.run(
            "INSERT INTO cart_items VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET quantity = MIN(quantity + excluded.quantity, ?)",
            session["id"],
            sku,
            number(wanted.get("quantity"), 1, 1, QUANTITY_MAX),
            QUANTITY_MAX,
        )
    return _cart(request, session, 201)


async def change(request: web.Request) -> web.Response:
    """Set how many of something: ``{"quantity": …}``."""
    session = sessions.current(request)
    quantity = number((await json_body(request)).get("quantity"), 0, 0, QUANTITY_MAX)
    if quantity < 1:
        return api_error(request, 422, "bad_quantity", f"quantity is 1 to {QUANTITY_MAX}.")
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        touched = session is not None and db.run(
            "UPDATE cart_items SET quantity = ? WHERE session = ? AND sku = ?",
            quantity,
            session["id"],
            request.match_info["sku"],
        )
    return _cart(request, session) if touched else _not_in_cart(request)


async def remove(request: web.Request) -> web.Response:
    """Take something out."""
    session = sessions.current(request)
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        touched = session is not None and db.run(
            "DELETE FROM cart_items WHERE session = ? AND sku = ?", session["id"], request.match_info["sku"]
        )
    return web.Response(status=204) if touched else _not_in_cart(request)


async def empty(request: web.Request) -> web.Response:
    """Take everything out; it may be empty already."""
    session = sessions.current(request)
    db = database(request)
    if session is not None:
        with db.writing(shadow=is_shadow(request)):
            db.run("DELETE FROM cart_items WHERE session = ?", session["id"])
    return web.Response(status=204)


def _cart(request: web.Request, session: Row | None, status: int = 200) -> web.Response:
    lines = lines_of(request, session)
    subtotal = sum(line["price_cents"] * line["quantity"] for line in lines)
    return json_answer(request, {"items": lines, "subtotal_cents": subtotal, "currency": "EUR", **stamp()}, status)


def _not_in_cart(request: web.Request) -> web.Response:
    return api_error(request, 404, "not_in_cart", f"{request.match_info['sku'][:40]} is not in the cart.")
