"""Who may do what on the admin side.

Law: this middleware is the outermost, so no path, however it is spelled, gets around it. It decides by method and
token, never by route: GET and HEAD need a viewer, everything else an operator. Only the two probes, spelled exactly,
are open. Refusals say no more than that they are refusals.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config.lint import is_loopback
from proxy.config.model import Token
from proxy.control.operations import RefusedError
from proxy.telemetry.logs import log_line

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")

PROBES = ("/healthz", "/readyz")
READING = ("GET", "HEAD")

ACTOR = web.RequestKey("actor", str)
"""Who asks, for the record; empty for a probe without a token."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_guard(
    tokens: Callable[[], Sequence[Token]],
) -> Middleware:
    """The middleware. ``tokens`` are asked for at each request: a reload may change them."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            request[ACTOR] = _actor(request, tokens())
            return await handler(request)
        except RefusedError as error:
            return refusal(error.status, error.code, str(error), error.details)
        except web.HTTPException as error:
            return refusal(
                error.status, _CODES.get(error.status, "refused"), _WORDS.get(error.status, error.reason), {}
            )
        except Exception as error:  # noqa: BLE001 - a bug of ours must not show its inside
            log_line("error", "admin-internal-error", method=request.method, path=request.path, error=repr(error))
            return refusal(500, "internal", "something went wrong; the log has it", {})

    return guard


async def finish(_: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on every answer, and take off what tells of the software.

    A page may bring a content security policy of its own, for its style; without one nothing is allowed.
    """
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall("Server", None)


def refusal(status: int, code: str, message: str, details: dict[str, object]) -> web.Response:
    """The one shape of errors."""
    body = {"error": {"code": code, "message": message, "details": details}}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response(body, status=status, headers=headers)


_CODES = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
_WORDS = {404: "there is nothing here", 405: "this cannot be done here", 413: "the body is too large"}


def _actor(request: web.Request, tokens: Sequence[Token]) -> str:
    reading = request.method in READING
    if tokens:
        token = _token(request, tokens)
        if token is None:
            # the raw path: a probe that is spelled in another way is not a probe
            if reading and request.raw_path in PROBES:
                return ""
            raise RefusedError(401, "unauthorized", "a token is needed")
        if not reading and token.role != "operator":
            raise RefusedError(403, "forbidden", "this needs the role operator")
        actor = token.name
    else:
        # Open to whoever reaches a loopback address; a web page that reaches it through a name of its own does not.
        if not _host_is_loopback(request):
            raise RefusedError(403, "forbidden", "the Host header is not a loopback address")
        actor = "local"
    if not reading:
        _refuse_foreign_pages(request)
    return actor


def _token(request: web.Request, tokens: Sequence[Token]) -> Token | None:
    values = request.headers.getall("Authorization", [])
    scheme, _, given = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    secret = given.strip().encode("utf-8", "surrogateescape")
    found = None
    for token in tokens:  # all of them, always: the time taken tells nothing
        if hmac.compare_digest(token.token.encode(), secret):
            found = token
    return found if scheme.lower() == "bearer" else None


def _host_is_loopback(request: web.Request) -> bool:
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1:
        return False
    match = _HOST.fullmatch(hosts[0])
    return match is not None and is_loopback(f"{match[1]}:0")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _refuse_foreign_pages(request: web.Request) -> None:
    """A form or script of another site: browsers say where it comes from, and cannot send JSON without asking."""
    if request.content_type != "application/json":
        raise RefusedError(415, "not-json", "a change is sent as application/json")
    origin = request.headers.get("Origin")
    foreign = origin is not None and _netloc(origin) != request.headers.get("Host")
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RefusedError(403, "forbidden", "changes from other sites are refused")
