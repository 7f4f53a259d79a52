"""``python -m legacy_stub.services.catalog``: products, categories and search, taken over from the monolith.

Law: read-only, everything in memory, filled from an export of the monolith's catalog. Its regressions are those of
PLANTED; ``--fixed`` serves without them.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from aiohttp import web

from legacy_stub import data
from legacy_stub.data import Product
from legacy_stub.planted import Planted
from legacy_stub.serving import LATENCY, arguments, json_answer, number, serve, stamp, thinking

PLANTED = (
    Planted("catalog-search", "type", "$.results[*].price", "Prices are decimals here, and decimals become strings."),
    Planted("catalog-product", "missing", "$.weight_g", "Nobody had weighed light things in the new model."),
    Planted("catalog-list", "order", "$.products", "Colour variants share a name, and come by their colour."),
    Planted("catalog-product", "missing", "$.error", "The new framework's own 404."),
    Planted("catalog-product", "extra", "$.detail", "The new framework's own 404."),
)

LIGHT_GRAMS = 500

SHELF: web.AppKey[dict[str, Product]] = web.AppKey("shelf", dict)
FIXED: web.AppKey[bool] = web.AppKey("fixed", bool)


def create_app(*, fixed: bool = False, latency: tuple[float, float] = (0.0, 0.0)) -> web.Application:
    """The service; ``fixed`` without the planted regressions, ``latency`` in seconds."""
    app = web.Application(middlewares=[thinking])
    app[LATENCY] = latency
    app[FIXED] = fixed
    app[SHELF] = {product.sku: product for product in data.products()}
    app.router.add_get("/healthz", health)
    app.router.add_get("/api/products", list_products)
    app.router.add_get("/api/products/{sku}", get_product)
    app.router.add_get("/api/categories", list_categories)
    app.router.add_get("/api/search", search)
    return app


async def health(_request: web.Request) -> web.Response:
    """Alive."""
    return web.json_response({"status": "ok"})


async def list_products(request: web.Request) -> web.Response:
    """One page of the list, filtered and sorted."""
    query = request.query
    keys: dict[str, Any] = {
        "name": lambda product: product.name,
        "price": lambda product: product.price_cents,
        "-price": lambda product: -product.price_cents,
        "newest": lambda product: -product.listed_at.timestamp(),
    }
    sort = query.get("sort", "name")
    if sort not in keys:
        return _refusal(request, 400, "bad_sort", f"sort is one of {', '.join(keys)}.")
    page = number(query.get("page"), 1, 1, 1000)
    size = number(query.get("per_page"), 20, 1, 100)
    most = number(query.get("max_price"), 10_000_000, 0, 10_000_000)
    found = [
        product
        for product in request.app[SHELF].values()
        if query.get("category", product.category) in ("", product.category) and product.price_cents <= most
    ]
    found.sort(key=lambda product: product.sku)
    found.sort(key=keys[sort])
    shown = found[(page - 1) * size : page * size]
    if sort == "name" and not request.app[FIXED]:
        shown.sort(key=lambda product: (product.name, product.color))
    body = {"products": [_summary(product) for product in shown], "page": page, "per_page": size, "total": len(found)}
    return json_answer(request, {**body, **stamp()})


async def get_product(request: web.Request) -> web.Response:
    """One product in full."""
    sku = request.match_info["sku"]
    product = request.app[SHELF].get(sku)
    if product is None:
        if request.app[FIXED]:
            return _refusal(request, 404, "not_found", f"No product {sku[:40]}.")
        return json_answer(request, {"detail": "Not Found"}, 404)
    body = _summary(product) | {
        "description": product.description,
        "in_stock": product.price_cents % 7 != 0,
        "images": [f"/images/{sku}.{kind}" for kind in ("png", "svg")],
        "listed_at": product.listed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if request.app[FIXED] or product.weight_g >= LIGHT_GRAMS:
        body["weight_g"] = product.weight_g
    return json_answer(request, {**body, **stamp()}, etag=f"{sku}-{product.revision}")


async def list_categories(request: web.Request) -> web.Response:
    """All shelves with the number of products on them."""
    counts = Counter(product.category for product in request.app[SHELF].values())
    shelves = [{"slug": slug, "name": name, "products": counts[slug]} for slug, name in data.categories()]
    return json_answer(request, {"categories": shelves}, etag="shelves-1")


async def search(request: web.Request) -> web.Response:
    """Products that have the word somewhere, best first."""
    word = request.query.get("q", "").strip().lower()
    if not word:
        return _refusal(request, 400, "empty_query", "q is empty.")
    hits = [(product, _score(product, word)) for product in request.app[SHELF].values()]
    hits = sorted((hit for hit in hits if hit[1]), key=lambda hit: (-hit[1], hit[0].sku))
    fixed = request.app[FIXED]
    results = [
        {
            "sku": product.sku,
            "name": product.name,
            "color": product.color,
            "price": product.price_cents / 100 if fixed else _decimal(product.price_cents),
            "score": score,
        }
        for product, score in hits[:15]
    ]
    return json_answer(request, {"query": word, "total": len(hits), "results": results, **stamp()})


def _score(product: Product, word: str) -> int:
    in_tags = any(word in tag for tag in product.tags)
    return 3 * (word in product.name.lower()) + 2 * in_tags + (word in product.description.lower())


def _summary(product: Product) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "color": product.color,
        "category": product.category,
        "price_cents": product.price_cents,
        "price": _decimal(product.price_cents),
        "currency": "EUR",
        "tags": sorted(product.tags),
    }


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _refusal(request: web.Request, status: int, code: str, message: str) -> web.Response:
    return json_answer(request, {"error": {"code": code, "message": message}}, status)


def main() -> int:
    """Parse the options and serve; the exit code."""
    parser = arguments("The demo's new catalog service.", latency_ms="1-5")
    parser.add_argument("--fixed", action="store_true", help="without the planted regressions")
    options = parser.parse_args()
    return serve(create_app(fixed=options.fixed, latency=options.latency), options.host, options.port)


if __name__ == "__main__":
    sys.exit(main())
