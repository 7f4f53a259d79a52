"""Everything that is not a page and not JSON: pictures, exports, and the report for the management."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import random
import struct
import zlib

from aiohttp import web

from legacy_stub.monolith import sessions
from legacy_stub.monolith.context import api_error, database
from legacy_stub.serving import etag_matches, json_answer, stamp

PICTURE_SIZE_PIXELS = 96
REPORT_SECONDS = (0.3, 0.8)
EXPORT_BATCH_ROWS = 50


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/images/{sku}.png", png)
    app.router.add_get("/images/{sku}.svg", svg)
    app.router.add_get("/export/orders.csv", export_orders)
    app.router.add_get("/export/invoices/{order_id}.csv", export_invoice)
    app.router.add_get("/reports/sales", sales)


async def png(request: web.Request) -> web.Response:
    """The product's picture: a gradient in a colour made from its SKU."""
    return _picture(request, "image/png")


async def svg(request: web.Request) -> web.Response:
    """The same, for sharp eyes."""
    return _picture(request, "image/svg+xml")


def _picture(request: web.Request, content_type: str) -> web.Response:
    sku = request.match_info["sku"]
    if database(request).row("SELECT sku FROM products WHERE sku = ?", sku) is None:
        return web.Response(status=404, text="No such picture.\n")
    red, green, blue = hashlib.sha256(sku.encode()).digest()[:3]
    if content_type == "image/png":
        body = _png(PICTURE_SIZE_PIXELS, (red, green, blue))
    else:
        body = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><title>{sku}</title>'
            f'<rect width="96" height="96" rx="12" fill="rgb({red} {green} {blue})"/></svg>\n'
        ).encode()
    etag = hashlib.sha256(body).hexdigest()[:16]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "public, max-age=3600"}
    if etag_matches(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)


def _png(size: int, color: tuple[int, int, int]) -> bytes:
    """A square picture, brighter towards the bottom (PNG, third edition, section 5)."""
    rows = bytearray()
    for y in range(size):
        rows += b"\0" + bytes(min(255, part // 2 + 128 * y // size) for part in color) * size

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


async def export_orders(request: web.Request) -> web.StreamResponse:
    """The customer's orders as CSV, sent while it is read."""
    customer = sessions.customer_of(request)
    if customer is None:
        return api_error(request, 401, "not_logged_in", "Log in first.")
    response = web.StreamResponse(headers=_attachment("orders.csv"))
    await response.prepare(request)
    await response.write(_csv([("id", "status", "created_at", "total_cents")]))
    last = 0
    while rows := database(request).rows(
        "SELECT number, id, status, created_at, total_cents FROM orders WHERE customer = ? AND number > ?"
        " ORDER BY number LIMIT ?",
        customer,
        last,
        EXPORT_BATCH_ROWS,
    ):
        last = rows[-1]["number"]
        await response.write(_csv([tuple(row.values())[1:] for row in rows]))
    await response.write_eof()
    return response


async def export_invoice(request: web.Request) -> web.Response:
    """One invoice as CSV."""
    customer = sessions.customer_of(request)
    order = request.match_info["order_id"]
    db = database(request)
    row = db.row("SELECT * FROM orders WHERE id = ? AND customer = ?", order, customer)
    if row is None:
        return web.Response(status=404, text="No such invoice.\n")
    lines = db.rows(
        "SELECT sku, quantity, unit_price_cents FROM order_items WHERE order_id = ? ORDER BY position", order
    )
    table = [("sku", "quantity", "cents"), *(tuple(line.values()) for line in lines)]
    table += [(kind, "", row[f"{kind}_cents"]) for kind in ("shipping", "tax", "total")]
    return web.Response(body=_csv(table), headers=_attachment(f"invoice-{order}.csv"))


async def sales(request: web.Request) -> web.Response:
    """The sums per month. It was quick when there were fewer months."""
    await asyncio.sleep(random.uniform(*REPORT_SECONDS))
    rows = database(request).rows(
        "SELECT SUBSTR(created_at, 1, 7) AS month, COUNT(*) AS orders, SUM(total_cents) AS total_cents FROM orders"
        " WHERE status <> 'cancelled' GROUP BY month ORDER BY month"
    )
    return json_answer(request, {"months": rows, **stamp()})


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}"'}


def _csv(table: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(table)
    return text.getvalue().encode()
