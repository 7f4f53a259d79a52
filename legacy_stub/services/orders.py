"""``python -m legacy_stub.services.orders``: orders, taken over from the monolith.

Law: it works on the monolith's own database file, because the data moves last; sessions are read there too. For a
shadow it writes nothing. Its regressions are those of PLANTED; ``--fixed`` serves without them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from legacy_stub import data
from legacy_stub.database import Database, Row, book_order, next_order_id, tax_cents
from legacy_stub.planted import Planted
from legacy_stub.serving import (
    LATENCY,
    Handler,
    arguments,
    is_shadow,
    json_answer,
    json_body,
    number,
    serve,
    stamp,
    thinking,
)

PLANTED = (
    Planted("orders-read", "value", "$.tax_cents", "Rounds the tax line by line; the monolith rounds it once."),
    Planted("orders-read", "value", "$.total_cents", "The sum takes the tax's odd cent along."),
    Planted("orders-read", "value", "$.total", "The sum takes the tax's odd cent along."),
    Planted("orders-list", "value", "$.orders[*].created_at", "isoformat() writes +00:00 where the monolith writes Z."),
    Planted("orders-invoice", "status", "status", "The new framework redirects with 307."),
)

STORE: web.AppKey[Database] = web.AppKey("store", Database)
FIXED: web.AppKey[bool] = web.AppKey("fixed", bool)
CUSTOMER: web.RequestKey[str] = web.RequestKey("customer", str)
SESSION: web.RequestKey[str] = web.RequestKey("session", str)

OPEN_TO_ALL = ("/healthz", "/api/shipping-options")


def create_app(database: str, *, fixed: bool = False, latency: tuple[float, float] = (0.0, 0.0)) -> web.Application:
    """The service on this database file; ``fixed`` without the planted regressions, ``latency`` in seconds."""
    app = web.Application(middlewares=[thinking, login_needed])
    app[LATENCY] = latency
    app[FIXED] = fixed
    app[STORE] = Database(database)
    app.router.add_get("/healthz", health)
    app.router.add_get("/api/orders", list_orders)
    app.router.add_post("/api/orders", create_order)
    app.router.add_post("/api/orders/quote", quote)
    app.router.add_get("/api/orders/{order_id}", get_order)
    app.router.add_get("/api/orders/{order_id}/invoice", invoice)
    app.router.add_get("/api/orders/{order_id}/tracking", tracking)
    app.router.add_get("/api/shipping-options", shipping_options)
    app.on_cleanup.append(_close)
    return app


async def _close(app: web.Application) -> None:
    app[STORE].close()


@web.middleware
async def login_needed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the monolith's session; without one almost nothing is answered."""
    if request.path in OPEN_TO_ALL:
        return await handler(request)
    session = request.cookies.get("sid", "")
    row = request.app[STORE].row("SELECT customer FROM sessions WHERE id = ?", session)
    if row is None or row["customer"] is None:
        return _refusal(request, 401, "not_logged_in", "Log in first.")
    request[CUSTOMER] = row["customer"]
    request[SESSION] = session
    return await handler(request)


async def health(request: web.Request) -> web.Response:
    """Alive, and the database answers."""
    return web.json_response({"status": "ok", "orders": request.app[STORE].value("SELECT COUNT(*) FROM orders")})


async def list_orders(request: web.Request) -> web.Response:
    """One page of the customer's orders, newest first."""
    page = number(request.query.get("page"), 1, 1, 1000)
    size = number(request.query.get("per_page"), 10, 1, 50)
    rows = request.app[STORE].rows("SELECT * FROM orders WHERE customer = ? ORDER BY number DESC", request[CUSTOMER])
    shown = [_summary(row) for row in rows[(page - 1) * size : page * size]]
    if not request.app[FIXED]:
        for order in shown:
            order["created_at"] = order["created_at"].replace("Z", "+00:00")
    return json_answer(request, {"orders": shown, "page": page, "per_page": size, "total": len(rows), **stamp()})


async def get_order(request: web.Request) -> web.Response:
    """One of the customer's orders with its lines and sums."""
    row = _own_order(request)
    if row is None:
        return _no_order(request)
    return json_answer(request, {**_in_full(request, row), **stamp()})


async def quote(request: web.Request) -> web.Response:
    """What some items would cost."""
    items = _priced(request, (await json_body(request)).get("items"))
    if isinstance(items, web.Response):
        return items
    lines = [item.quantity * item.unit_price_cents for item in items]
    subtotal = sum(lines)
    shipping, tax = data.shipping_cents(subtotal), _tax(request, lines)
    euros = {"subtotal": subtotal, "shipping": shipping, "tax": tax, "total": subtotal + shipping + tax}
    body = {name: cents / 100 for name, cents in euros.items()}
    return json_answer(request, {**body, "currency": "EUR", **stamp()})


async def create_order(request: web.Request) -> web.Response:
    """Order some items, or the cart if none are named; a known ``Idempotency-Key`` finds the order it made."""
    store = request.app[STORE]
    wanted = (await json_body(request)).get("items")
    if wanted is None:
        wanted = store.rows("SELECT sku, quantity FROM cart_items WHERE session = ? ORDER BY sku", request[SESSION])
    items = _priced(request, wanted)
    if isinstance(items, web.Response):
        return items
    key = request.headers.get("Idempotency-Key")
    with store.writing(shadow=is_shadow(request)):
        row = None if key is None else store.row("SELECT * FROM orders WHERE idempotency_key = ?", key)
        if row is None:
            order = data.Order(next_order_id(store), request[CUSTOMER], "paid", datetime.now(UTC), tuple(items))
            lines = [item.quantity * item.unit_price_cents for item in items]
            book_order(store, order, key, tax=_tax(request, lines))
            store.run("DELETE FROM cart_items WHERE session = ?", request[SESSION])
            row = store.row("SELECT * FROM orders WHERE id = ?", order.id) or {}
        body = _in_full(request, row)
    answer = json_answer(request, {**body, **stamp()}, 201)
    answer.headers["Location"] = f"/api/orders/{row['id']}"
    return answer


async def invoice(request: web.Request) -> web.Response:
    """The way to the invoice's file, which the monolith still has."""
    row = _own_order(request)
    if row is None:
        return _no_order(request)
    status = 302 if request.app[FIXED] else 307
    return web.Response(status=status, headers={"Location": f"/export/invoices/{row['id']}.csv"})


async def tracking(request: web.Request) -> web.Response:
    """Where the parcel is."""
    row = _own_order(request)
    if row is None:
        return _no_order(request)
    body = {"order": row["id"], "status": row["status"], "carrier": "Baobab Express"}
    return json_answer(request, {**body, "code": data.tracking_code(row["id"]), **stamp()})


async def shipping_options(request: web.Request) -> web.Response:
    """How a parcel can travel."""
    options = [{"id": "standard", "days": 3, "cents": 490}, {"id": "express", "days": 1, "cents": 990}]
    return json_answer(request, {"options": options, "free_from_cents": 5000, **stamp()})


def _tax(request: web.Request, lines_cents: list[int]) -> int:
    return tax_cents(sum(lines_cents)) if request.app[FIXED] else sum(tax_cents(line) for line in lines_cents)


def _own_order(request: web.Request) -> Row | None:
    wanted = request.match_info["order_id"]
    return request.app[STORE].row("SELECT * FROM orders WHERE id = ? AND customer = ?", wanted, request[CUSTOMER])


def _priced(request: web.Request, wanted: object) -> list[data.OrderItem] | web.Response:
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= 50:
        return _refusal(request, 422, "no_items", "Send 1 to 50 items.")
    items = []
    for line in wanted:
        sku = str(line.get("sku", "")) if isinstance(line, dict) else ""
        row = request.app[STORE].row("SELECT price_cents FROM products WHERE sku = ?", sku)
        if row is None:
            return _refusal(request, 422, "unknown_item", f"No product {sku[:40]}.")
        items.append(data.OrderItem(sku, number(line.get("quantity"), 1, 1, 20), row["price_cents"]))
    return items


def _summary(row: Row) -> dict[str, Any]:
    return {**{key: row[key] for key in ("id", "status", "created_at", "total_cents")}, "currency": "EUR"}


def _in_full(request: web.Request, row: Row) -> dict[str, Any]:
    lines = request.app[STORE].rows(
        "SELECT item.sku, name, quantity, unit_price_cents, quantity * unit_price_cents AS line_total_cents"
        " FROM order_items AS item JOIN products AS product ON product.sku = item.sku"
        " WHERE order_id = ? ORDER BY position",
        row["id"],
    )
    tax = _tax(request, [line["line_total_cents"] for line in lines])
    total = row["subtotal_cents"] + row["shipping_cents"] + tax
    return _summary(row) | {
        "customer": row["customer"],
        "items": lines,
        "subtotal_cents": row["subtotal_cents"],
        "shipping_cents": row["shipping_cents"],
        "tax_cents": tax,
        "total_cents": total,
        "total": f"{total // 100}.{total % 100:02}",
    }


def _no_order(request: web.Request) -> web.Response:
    return _refusal(request, 404, "not_found", f"No order {request.match_info['order_id'][:40]}.")


def _refusal(request: web.Request, status: int, code: str, message: str) -> web.Response:
    return json_answer(request, {"error": {"code": code, "message": message}}, status)


def main() -> int:
    """Parse the options and serve; the exit code."""
    parser = arguments("The demo's new orders service.", latency_ms="2-6")
    parser.add_argument("--database", required=True, help="the monolith's SQLite file")
    parser.add_argument("--fixed", action="store_true", help="without the planted regressions")
    options = parser.parse_args()
    if not Path(options.database).is_file():
        parser.error(f"{options.database} does not exist; start the monolith with --database first")
    app = create_app(options.database, fixed=options.fixed, latency=options.latency)
    return serve(app, options.host, options.port)


if __name__ == "__main__":
    sys.exit(main())
