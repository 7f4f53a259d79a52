"""The shop, put together.

Law: every answer leaves through :func:`failures`, so that an API client gets JSON and a person gets a page, whatever
went wrong; a bug costs one answer and one line on standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
from aiohttp import hdrs, web

from legacy_stub.database import Database
from legacy_stub.monolith import accounts, cart, catalog, files, live, orders, pages
from legacy_stub.monolith.context import DATABASE, TEMPLATES, api_error, render
from legacy_stub.monolith.sessions import sessions
from legacy_stub.serving import LATENCY, Handler, thinking

UPLOAD_MAX_BYTES = 4 * 1024 * 1024


def create_app(database: str, latency: tuple[float, float] = (0.0, 0.0)) -> web.Application:
    """The monolith over this SQLite file, which it fills if it is new; ``latency`` in seconds."""
    slashes = web.normalize_path_middleware(
        append_slash=False, remove_slash=True, merge_slashes=False, redirect_class=web.HTTPMovedPermanently
    )
    app = web.Application(middlewares=[thinking, failures, slashes, sessions], client_max_size=UPLOAD_MAX_BYTES)
    app[LATENCY] = latency
    app[DATABASE] = db = Database(database)
    db.seed()
    app[TEMPLATES] = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"), autoescape=True
    )
    app[TEMPLATES].filters["euros"] = lambda cents: f"{cents / 100:.2f} €"
    app.router.add_get("/healthz", health)
    for part in (accounts, cart, catalog, files, live, orders, pages):
        part.add_routes(app)
    app.on_cleanup.append(_close)
    return app


async def _close(app: web.Application) -> None:
    app[DATABASE].close()


async def health(_request: web.Request) -> web.Response:
    """Alive, and the database answers."""
    return web.json_response(
        {"status": "ok", "products": _request.app[DATABASE].value("SELECT COUNT(*) FROM products")}
    )


@web.middleware
async def failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals and bugs into answers; say by OPTIONS what a path allows."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refusal:
        allowed = {hdrs.ALLOW: refusal.headers[hdrs.ALLOW]}
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers=allowed)
        answer = _failure(request, refusal.status, "method_not_allowed", "This does not work here.")
        answer.headers.update(allowed)
        return answer
    except web.HTTPError as refusal:
        code = "not_found" if refusal.status == web.HTTPNotFound.status_code else "refused"
        return _failure(request, refusal.status, code, f"{refusal.reason}.")
    except web.HTTPException:
        raise  # a redirect
    except Exception as bug:  # noqa: BLE001 - the last line of defence; everything that reaches it is a bug
        sys.stderr.write(f"shop: {request.method} {request.path} failed: {bug!r}\n")
        return _failure(request, 500, "internal", "Something broke. We have been told.")


def _failure(request: web.Request, status: int, code: str, message: str) -> web.Response:
    if request.path.startswith("/api/"):
        return api_error(request, status, code, message)
    return render(request, "error.html", status=status, message=message)
