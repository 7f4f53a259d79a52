"""What every part of the shop shares: the database, the templates, and the shapes of answers."""

from __future__ import annotations

import jinja2
from aiohttp import web

from legacy_stub.database import Database
from legacy_stub.serving import json_answer, now

DATABASE: web.AppKey[Database] = web.AppKey("database", Database)
TEMPLATES: web.AppKey[jinja2.Environment] = web.AppKey("templates", jinja2.Environment)


def database(request: web.Request) -> Database:
    """The shop's data."""
    return request.app[DATABASE]


def render(request: web.Request, template: str, status: int = 200, **values: object) -> web.Response:
    """A page. Everything is escaped; pages are personal, so no cache keeps them."""
    text = request.app[TEMPLATES].get_template(template).render(rendered_at=now(), status=status, **values)
    return web.Response(text=text, status=status, content_type="text/html", headers={"Cache-Control": "no-store"})


def api_error(request: web.Request, status: int, code: str, message: str) -> web.Response:
    """The one shape in which the API refuses."""
    return json_answer(request, {"error": {"code": code, "message": message}}, status)


def see_other(location: str) -> web.Response:
    """After a form: go and look there (RFC 9110 section 15.4.4)."""
    return web.Response(status=303, headers={"Location": location})
