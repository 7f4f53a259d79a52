"""Orders: listed, read, priced, placed, cancelled, invoiced, tracked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from legacy_stub import data
from legacy_stub.database import Row, book_order, next_order_id, record_event, tax_cents
from legacy_stub.monolith import sessions
from legacy_stub.monolith.cart import LINES_MAX, QUANTITY_MAX
from legacy_stub.monolith.context import api_error, database
from legacy_stub.serving import is_shadow, json_answer, json_body, now, number, stamp

PER_PAGE = 10
PER_PAGE_MAX = 50
CANCELLABLE = ("paid", "packed")


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/api/orders", orders)
    app.router.add_post("/api/orders", place)
    app.router.add_post("/api/orders/quote", quote)
    app.router.add_get("/api/orders/{order_id}", order)
    app.router.add_post("/api/orders/{order_id}/cancel", cancel)
    app.router.add_get("/api/orders/{order_id}/invoice", invoice)
    app.router.add_get("/api/orders/{order_id}/tracking", tracking)
    app.router.add_get("/api/shipping-options", shipping_options)


async def orders(request: web.Request) -> web.Response:
    """One page of the customer's orders, newest first."""
    customer = sessions.customer_of(request)
    if customer is None:
        return _not_logged_in(request)
    page = number(request.query.get("page"), 1, 1, 1000)
    size = number(request.query.get("per_page"), PER_PAGE, 1, PER_PAGE_MAX)
    db = database(request)
    rows = db.rows(
        "SELECT * FROM orders WHERE customer = ? ORDER BY number DESC LIMIT ? OFFSET ?",
        customer,
        size,
        (page - 1) * size,
    )
    total = db.value("SELECT COUNT(*) FROM orders WHERE customer = ?", customer)
    body = {"orders": [_brief(row) for row in rows], "page": page, "per_page": size, "total": total, **stamp()}
    return json_answer(request, body)


async def order(request: web.Request) -> web.Response:
    """One of the customer's orders with its lines and sums."""
    row = _own_order(request)
    if isinstance(row, web.Response):
        return row
    return json_answer(request, {**_whole(request, row), **stamp()})


async def quote(request: web.Request) -> web.Response:
    """What some items would cost: ``{"items": [{"sku", "quantity"}]}``. Nothing is stored."""
    if sessions.customer_of(request) is None:
        return _not_logged_in(request)
    items = _items(request, (await json_body(request)).get("items"))
    if isinstance(items, web.Response):
        return items
    subtotal = sum(item.quantity * item.unit_price_cents for item in items)
    shipping, tax = data.shipping_cents(subtotal), tax_cents(subtotal)
    body = {
        "subtotal": subtotal / 100,
        "shipping": shipping / 100,
        "tax": tax / 100,
        "total": (subtotal + shipping + tax) / 100,
        "currency": "EUR",
    }
    return json_answer(request, {**body, **stamp()})


async def place(request: web.Request) -> web.Response:
    """Order some items, or the cart if none are named. An ``Idempotency-Key`` makes a repetition harmless."""
    session = sessions.current(request)
    if session is None or session["customer"] is None:
        return _not_logged_in(request)
    wanted = (await json_body(request)).get("items")
    db = database(request)
    if wanted is None:
        wanted = db.rows("SELECT sku, quantity FROM cart_items WHERE session = ? ORDER BY sku", session["id"])
    items = _items(request, wanted)
    if isinstance(items, web.Response):
        return items
    key = request.headers.get("Idempotency-Key")
    with db.writing(shadow=is_shadow(request)):
        row = None if key is None else db.row("SELECT * FROM orders WHERE idempotency_key = ?", key)
        if row is None:
            fresh = data.Order(next_order_id(db), session["customer"], "paid", datetime.now(UTC), tuple(items))
            book_order(db, fresh, key)
            db.run("DELETE FROM cart_items WHERE session = ?", session["id"])
            row = db.row("SELECT * FROM orders WHERE id = ?", fresh.id) or {}
        body = _whole(request, row)
    answer = json_answer(request, {**body, **stamp()}, 201)
    answer.headers["Location"] = f"/api/orders/{row['id']}"
    return answer


async def cancel(request: web.Request) -> web.Response:
    """Call an order off; 409 once the parcel is on its way."""
    row = _own_order(request)
    if isinstance(row, web.Response):
        return row
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        if not db.run(
            "UPDATE orders SET status = 'cancelled' WHERE id = ? AND status IN (?, ?)", row["id"], *CANCELLABLE
        ):
            return api_error(request, 409, "too_late", f"The order is {row['status']}.")
        record_event(db, row["id"], "cancelled", now())
    return json_answer(request, {"id": row["id"], "status": "cancelled", **stamp()})


async def invoice(request: web.Request) -> web.Response:
    """The way to the invoice's file."""
    row = _own_order(request)
    if isinstance(row, web.Response):
        return row
    return web.Response(status=302, headers={"Location": f"/export/invoices/{row['id']}.csv"})


async def tracking(request: web.Request) -> web.Response:
    """Where the parcel is, as far as the shop knows."""
    row = _own_order(request)
    if isinstance(row, web.Response):
        return row
    body = {"order": row["id"], "status": row["status"], "carrier": "Baobab Express"}
    return json_answer(request, {**body, "code": data.tracking_code(row["id"]), **stamp()})


async def shipping_options(request: web.Request) -> web.Response:
    """Gone: the orders service has this now, and the code here was deleted."""
    return api_error(request, 410, "gone", "Ask the orders service.")


def _own_order(request: web.Request) -> Row | web.Response:
    customer = sessions.customer_of(request)
    if customer is None:
        return _not_logged_in(request)
    wanted = request.match_info["order_id"]
    row = database(request).row("SELECT * FROM orders WHERE id = ? AND customer = ?", wanted, customer)
    return row or api_error(request, 404, "not_found", f"No order {wanted[:40]}.")


def _items(request: web.Request, wanted: object) -> list[data.OrderItem] | web.Response:
    """The items with today's prices, or the refusal."""
    if not isinstance(wanted, list) or not wanted or len(wanted) > LINES_MAX:
        return api_error(request, 422, "no_items", f"Send 1 to {LINES_MAX} items.")
    found = []
    for line in wanted:
        sku = str(line.get("sku", "")) if isinstance(line, dict) else ""
        row = database(request).row("SELECT price_cents FROM products WHERE sku = ?", sku)
        if row is None:
            return api_error(request, 422, "unknown_item", f"No product {sku[:40]}.")
        found.append(data.OrderItem(sku, number(line.get("quantity"), 1, 1, QUANTITY_MAX), row["price_cents"]))
    return found


def _not_logged_in(request: web.Request) -> web.Response:
    return api_error(request, 401, "not_logged_in", "Log in first.")


def _brief(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": row["status"],
        "created_at": row["created_at"],
        "total_cents": row["total_cents"],
        "currency": "EUR",
    }


def _whole(request: web.Request, row: Row) -> dict[str, Any]:
    lines = database(request).rows(
        "SELECT order_items.sku, name, quantity, unit_price_cents, quantity * unit_price_cents AS line_total_cents"
        " FROM order_items JOIN products USING (sku) WHERE order_id = ? ORDER BY position",
        row["id"],
    )
    return {
        **_brief(row),
        "customer": row["customer"],
        "items": lines,
        "subtotal_cents": row["subtotal_cents"],
        "shipping_cents": row["shipping_cents"],
        "tax_cents": row["tax_cents"],
        "total": f"{row['total_cents'] / 100:.2f}",
    }
