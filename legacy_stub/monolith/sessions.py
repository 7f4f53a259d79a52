"""Sessions: a cookie, a row, a CSRF token.

Law: a session begins only when something has to be remembered, never for a shadow; its id changes at login, so that an
id planted before is worth nothing afterwards. The cookies are HttpOnly and SameSite=Lax.
"""

from __future__ import annotations

import hmac
import secrets

from aiohttp import web

from legacy_stub.database import Row
from legacy_stub.monolith.context import database
from legacy_stub.serving import Handler, is_shadow

COOKIE = "sid"
USER_COOKIE = "user"
"""Names the customer to everything in front of the shop; no permission hangs on it."""
SESSIONS_MAX = 10_000
"""Above it the oldest session ends."""

_FRESH: web.RequestKey[tuple[str, str | None]] = web.RequestKey("fresh-session", tuple)


@web.middleware
async def sessions(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the client the cookies of a session that began or changed while it was answered."""
    response = await handler(request)
    if _FRESH in request and not response.prepared:
        session, customer = request[_FRESH]
        response.set_cookie(COOKIE, session, httponly=True, samesite="Lax", path="/")
        if customer is not None:
            response.set_cookie(USER_COOKIE, customer, httponly=True, samesite="Lax", path="/")
    return response


def current(request: web.Request) -> Row | None:
    """The client's session with ``id``, ``customer`` (None before login) and ``csrf``; None without one."""
    held = request.cookies.get(COOKIE)
    return None if held is None else database(request).row("SELECT * FROM sessions WHERE id = ?", held)


def customer_of(request: web.Request) -> str | None:
    """Who is logged in, None if nobody is."""
    session = current(request)
    return None if session is None else session["customer"]


def ensure(request: web.Request) -> Row:
    """The client's session, begun now if it has none."""
    found = current(request)
    if found is not None:
        return found
    session: Row = {"id": secrets.token_hex(16), "customer": None, "csrf": secrets.token_hex(16)}
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        db.run("INSERT INTO sessions VALUES (?, NULL, ?)", session["id"], session["csrf"])
        db.run("DELETE FROM sessions WHERE rowid <= (SELECT MAX(rowid) FROM sessions) - ?", SESSIONS_MAX)
    request[_FRESH] = (session["id"], None)
    return session


def log_in(request: web.Request, session: Row, customer: str) -> None:
    """Give the session to a customer, under a new id; the cart comes along."""
    fresh = secrets.token_hex(16)
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        db.run(
            "UPDATE sessions SET id = ?, customer = ?, csrf = ? WHERE id = ?",
            fresh,
            customer,
            secrets.token_hex(16),
            session["id"],
        )
    request[_FRESH] = (fresh, customer)


def log_out(request: web.Request, session: Row) -> None:
    """End the session and its cart."""
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        db.run("DELETE FROM sessions WHERE id = ?", session["id"])


def csrf_holds(session: Row, sent: object) -> bool:
    """Whether a form came from our own page."""
    return isinstance(sent, str) and hmac.compare_digest(sent.encode(), str(session["csrf"]).encode())
