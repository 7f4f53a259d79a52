"""Login, logout, the account page, and the customer's own record in the API."""

from __future__ import annotations

import hmac

from aiohttp import web

from legacy_stub.database import Row, password_digest
from legacy_stub.monolith import sessions
from legacy_stub.monolith.context import api_error, database, render, see_other
from legacy_stub.serving import is_shadow, json_answer, json_body, stamp

NAME_MAX = 80
EDITABLE = ("name", "city")


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app.router.add_get("/login", login_page)
    app.router.add_post("/login", login)
    app.router.add_post("/logout", logout)
    app.router.add_get("/account", account_page)
    app.router.add_post("/account", change_account)
    app.router.add_get("/api/customers/me", me)
    app.router.add_patch("/api/customers/me", patch_me)


async def login_page(request: web.Request) -> web.Response:
    """The form, with the session's CSRF token in it."""
    return render(request, "login.html", csrf=sessions.ensure(request)["csrf"], wrong=False)


async def login(request: web.Request) -> web.Response:
    """Check token and password; on to the account page under a new session id."""
    form = await request.post()
    session = sessions.ensure(request)
    if not sessions.csrf_holds(session, form.get("csrf")):
        return render(request, "error.html", status=403, message="This form is out of date. Load it again.")
    row = database(request).row("SELECT id, password FROM customers WHERE email = ?", str(form.get("email", "")))
    held = password_digest(row["id"] if row else "nobody", str(form.get("password", "")))
    if row is None or not hmac.compare_digest(held, row["password"]):
        return render(request, "login.html", status=401, csrf=session["csrf"], wrong=True)
    sessions.log_in(request, session, row["id"])
    return see_other("/account")


async def logout(request: web.Request) -> web.Response:
    """End the session; the form's token is needed here too."""
    session = sessions.current(request)
    if session is not None and sessions.csrf_holds(session, (await request.post()).get("csrf")):
        sessions.log_out(request, session)
    return see_other("/")


async def account_page(request: web.Request) -> web.Response:
    """The customer's own page; who is not logged in is sent to the login."""
    session = sessions.current(request)
    if session is None or session["customer"] is None:
        return web.Response(status=302, headers={"Location": "/login"})
    recent = database(request).rows(
        "SELECT id, status, total_cents, created_at FROM orders WHERE customer = ? ORDER BY number DESC LIMIT 5",
        session["customer"],
    )
    customer = _customer(request, session["customer"])
    return render(request, "account.html", customer=customer, orders=recent, csrf=session["csrf"])


async def change_account(request: web.Request) -> web.Response:
    """Take the account form."""
    session = sessions.current(request)
    form = await request.post()
    if session is None or session["customer"] is None or not sessions.csrf_holds(session, form.get("csrf")):
        return render(request, "error.html", status=403, message="This form is out of date. Load it again.")
    _edit(request, session["customer"], {key: form[key] for key in EDITABLE if key in form})
    return see_other("/account")


async def me(request: web.Request) -> web.Response:
    """The customer's own record."""
    customer = sessions.customer_of(request)
    if customer is None:
        return api_error(request, 401, "not_logged_in", "Log in first.")
    return json_answer(request, {**_customer(request, customer), **stamp()})


async def patch_me(request: web.Request) -> web.Response:
    """Change name or city; anything else is refused as a whole."""
    customer = sessions.customer_of(request)
    if customer is None:
        return api_error(request, 401, "not_logged_in", "Log in first.")
    changes = await json_body(request)
    wrong = sorted(key for key, value in changes.items() if key not in EDITABLE or not isinstance(value, str))
    if wrong or not changes:
        return api_error(request, 422, "not_editable", f"Not editable: {', '.join(wrong) or 'nothing was sent'}.")
    _edit(request, customer, changes)
    return json_answer(request, {**_customer(request, customer), **stamp()})


def _customer(request: web.Request, customer: str) -> Row:
    row = database(request).row("SELECT id, name, email, city, tier FROM customers WHERE id = ?", customer)
    return row or {}


def _edit(request: web.Request, customer: str, changes: dict[str, object]) -> None:
    db = database(request)
    with db.writing(shadow=is_shadow(request)):
        if "name" in changes:
            db.run("UPDATE customers SET name = ? WHERE id = ?", str(changes["name"])[:NAME_MAX], customer)
        if "city" in changes:
            db.run("UPDATE customers SET city = ? WHERE id = ?", str(changes["city"])[:NAME_MAX], customer)
