"""Products, categories, search and reviews, as the monolith's API has always answered them."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from aiohttp import BodyPartReader, web

from legacy_stub.database import Row
from legacy_stub.monolith import sessions
from legacy_stub.monolith.context import api_error, database
from legacy_stub.serving import is_shadow, json_answer, now, number, stamp

SORTS = {
    "name": "name, sku",
    "price": "price_cents, sku",
    "-price": "price_cents DESC, sku",
    "newest": "listed_at DESC, sku",
}
PER_PAGE = 20
PER_PAGE_MAX = 100
SEARCH_RESULTS = 15
PHOTO_MAX_BYTES = 2 * 1024 * 1024
TEXT_MAX_BYTES = 4096


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/api/products", products)
    app.router.add_get("/api/products/{sku}", product)
    app.router.add_get("/api/products/{sku}/stock", stock)
    app.router.add_get("/api/products/{sku}/reviews", reviews)
    app.router.add_post("/api/products/{sku}/reviews", add_review)
    app.router.add_get("/api/categories", categories)
    app.router.add_get("/api/search", search)


async def products(request: web.Request) -> web.Response:
    """One page of the list, perhaps of one category or below a price, in one of four orders."""
    query = request.query
    sort = query.get("sort", "name")
    if sort not in SORTS:
        return api_error(request, 400, "bad_sort", f"sort is one of {', '.join(SORTS)}.")
    page = number(query.get("page"), 1, 1, 1000)
    size = number(query.get("per_page"), PER_PAGE, 1, PER_PAGE_MAX)
    category = query.get("category", "")
    below = number(query.get("max_price"), 10_000_000, 0, 10_000_000)
    where = "WHERE (? = '' OR category = ?) AND price_cents <= ?"
    db = database(request)
    rows = db.rows(
        f"SELECT * FROM products {where} ORDER BY {SORTS[sort]} LIMIT ? OFFSET ?",  # noqa: S608 - both come from constants
        category,
        category,
        below,
        size,
        (page - 1) * size,
    )
    total = db.value(f"SELECT COUNT(*) FROM products {where}", category, category, below)  # noqa: S608 - the same
    body = {"products": [_brief(row) for row in rows], "page": page, "per_page": size, "total": total, **stamp()}
    return json_answer(request, body)


async def product(request: web.Request) -> web.Response:
    """One product in full; its revision is its ETag."""
    row = _find(request)
    if row is None:
        return _no_product(request)
    body = {
        **_brief(row),
        "description": row["description"],
        "weight_g": row["weight_g"],
        "in_stock": row["price_cents"] % 7 != 0,
        "images": [f"/images/{row['sku']}.png", f"/images/{row['sku']}.svg"],
        "listed_at": row["listed_at"],
        **stamp(),
    }
    return json_answer(request, body, etag=f"{row['sku']}-{row['revision']}")


async def stock(request: web.Request) -> web.Response:
    """How many are left; nobody has moved this yet."""
    row = _find(request)
    if row is None:
        return _no_product(request)
    sold = database(request).value("SELECT COALESCE(SUM(quantity), 0) FROM order_items WHERE sku = ?", row["sku"])
    return json_answer(request, {"sku": row["sku"], "left": max(0, 500 - sold), **stamp()})


async def categories(request: web.Request) -> web.Response:
    """All shelves with the number of products on them."""
    rows = database(request).rows(
        "SELECT slug, categories.name, COUNT(sku) AS products FROM categories LEFT JOIN products ON category = slug"
        " GROUP BY slug ORDER BY position"
    )
    return json_answer(request, {"categories": rows}, etag="shelves-1")


async def search(request: web.Request) -> web.Response:
    """Products whose name, tags or description hold the word, best first."""
    word = request.query.get("q", "").strip().lower()
    if not word:
        return api_error(request, 400, "empty_query", "q is empty.")
    scored = []
    for row in database(request).rows("SELECT * FROM products"):
        in_tags = any(word in tag for tag in json.loads(row["tags"]))
        score = 3 * (word in row["name"].lower()) + 2 * in_tags + (word in row["description"].lower())
        if score:
            scored.append((-score, row["sku"], row))
    scored.sort(key=lambda hit: hit[:2])
    results = [
        {"sku": sku, "name": row["name"], "color": row["color"], "price": row["price_cents"] / 100, "score": -score}
        for score, sku, row in scored[:SEARCH_RESULTS]
    ]
    return json_answer(request, {"query": word, "total": len(scored), "results": results, **stamp()})


async def reviews(request: web.Request) -> web.Response:
    """What customers think of one product, newest first."""
    rows = database(request).rows(
        "SELECT number, customer, rating, text, photo_sha256, at FROM reviews WHERE sku = ?"
        " ORDER BY number DESC LIMIT 50",
        request.match_info["sku"],
    )
    return json_answer(request, {"reviews": rows, **stamp()})


async def add_review(request: web.Request) -> web.Response:
    """A review by multipart form: ``rating`` 1 to 5, ``text``, perhaps a ``photo``, of which the digest is kept."""
    customer = sessions.customer_of(request)
    if customer is None:
        return api_error(request, 401, "not_logged_in", "Log in first.")
    row = _find(request)
    if row is None:
        return _no_product(request)
    if request.content_type != "multipart/form-data":
        return api_error(request, 415, "not_multipart", "Send multipart/form-data.")
    fields: dict[str, str] = {}
    photo = hashlib.sha256()
    photo_bytes = 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            return api_error(request, 400, "nested", "Parts within parts are not for reviews.")
        while chunk := await part.read_chunk():
            if part.name == "photo":
                photo_bytes += len(chunk)
                photo.update(chunk)
            else:
                key = part.name or ""
                fields[key] = fields.get(key, "") + chunk.decode("utf-8", "replace")
            if photo_bytes > PHOTO_MAX_BYTES or sum(map(len, fields.values())) > TEXT_MAX_BYTES:
                return api_error(request, 413, "too_large", "Photos up to 2 MiB, texts up to 4 KiB.")
    rating = number(fields.get("rating"), 0, 0, 6)
    if not 1 <= rating <= 5:
        return api_error(request, 422, "bad_rating", "rating is 1 to 5.")
    digest = photo.hexdigest() if photo_bytes else None
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        db.run(
            "INSERT INTO reviews (sku, customer, rating, text, photo_sha256, photo_bytes, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row["sku"],
            customer,
            rating,
            fields.get("text", ""),
            digest,
            photo_bytes,
            now(),
        )
        review = db.value("SELECT MAX(number) FROM reviews")
    body = {"review": review, "sku": row["sku"], "rating": rating, "photo_sha256": digest, "photo_bytes": photo_bytes}
    answer = json_answer(request, {**body, **stamp()}, 201)
    answer.headers["Location"] = f"/api/products/{row['sku']}/reviews"
    return answer


def _find(request: web.Request) -> Row | None:
    return database(request).row("SELECT * FROM products WHERE sku = ?", request.match_info["sku"])


def _no_product(request: web.Request) -> web.Response:
    return api_error(request, 404, "not_found", f"No product {request.match_info['sku'][:40]}.")


def _brief(row: Row) -> dict[str, Any]:
    tags = json.loads(row["tags"])
    random.shuffle(tags)  # they come out of a hash set in the code this one stands for
    return {
        "sku": row["sku"],
        "name": row["name"],
        "color": row["color"],
        "category": row["category"],
        "price_cents": row["price_cents"],
        "price": f"{row['price_cents'] / 100:.2f}",
        "currency": "EUR",
        "tags": tags,
    }
