"""The operators' HTTP side: API, metrics, health.

Law: handlers translate between HTTP and :class:`~proxy.control.operations.Operations`, and decide nothing. What blocks
(the store, rendering) runs in threads.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import msgspec
from aiohttp import web, web_response

from proxy.compare.readiness import Readiness
from proxy.compare.wording import number
from proxy.control import coverage, diffs, evidence, recorded, replay, suggestions, views
from proxy.control.addresses import join, split
from proxy.control.guard import ACTOR, finish, make_guard
from proxy.control.operations import WINDOW_HOURS, Change, Operations, RefusedError
from proxy.control.report_text import markdown
from proxy.errors import BanyanError
from proxy.store.corpus import MAX_PER_ROUTE
from proxy.store.events import KINDS
from proxy.store.tally import Tally
from proxy.telemetry.metrics import CONTENT_TYPE, render

MAX_BODY_BYTES = 64 * 1024
MAX_EVENTS = 1000
MAX_WINDOW_HOURS = 24 * 90


class Admin:
    """The server. ``url`` is where it listens, once started."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._verdicts = evidence.Verdicts(operations)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, address: str) -> None:
        """Listen at ``address``. Raises BanyanError when that is not possible."""
        # aiohttp answers broken HTTP before any handler, with its name and release in Server; there is no option for it
        web_response.SERVER_SOFTWARE = "banyan"  # type: ignore[attr-defined]  # it is imported there, not exported
        host, port = split(address)
        self._runner = web.AppRunner(self.application(), access_log=None, keepalive_timeout=15.0, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            cure = "the address is in use by another process; stop it or choose another port (0 takes a free one)"
            why = cure if error.errno == 98 else error.strerror or str(error)  # EADDRINUSE
            raise BanyanError(f"admin.listen: {address}: {why}") from None
        self.url = f"http://{join(*self._runner.addresses[0][:2])}"

    async def close(self) -> None:
        """Stop listening; answers under way have a moment."""
        if self._runner is not None:
            await self._runner.cleanup()

    def application(self) -> web.Application:
        """The routes behind their guard."""
        guard = make_guard(lambda: self._operations.configuration.settings.admin.tokens)
        app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(finish)
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/api/status", self._status),
                web.get("/api/routes", self._routes),
                web.get("/api/routes/{id}", self._route),
                web.get("/api/routes/{id}/readiness", self._readiness),
                web.get("/api/routes/{id}/coverage", self._coverage),
                web.get("/api/routes/{id}/requests", self._requests),
                web.get("/api/routes/{id}/replay", self._replay),
                web.get("/api/events", self._events),
                web.get("/api/diffs", self._diffs),
                web.get("/api/diffs/{id}", self._diff),
                web.get("/api/report", self._report),
                web.get("/api/routes/{id}/suggestions", self._suggestions),
                web.post("/api/diffs/{id}/{action:accept|unaccept|fixed|assign|comment}", self._say),
                web.post("/api/reload", self._reload),
                web.post("/api/routes/{id}/stage", self._stage),
                web.post("/api/routes/{id}/rollback", self._rollback),
            ]
        )
        return app

    # -- reading ----------------------------------------------------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, request: web.Request) -> web.Response:
        details = views.readiness(self._operations)
        shown = details if request[ACTOR] else {"ready": details["ready"]}  # details are for those with a token
        return web.json_response(shown, status=200 if details["ready"] else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        text = await asyncio.to_thread(render, views.scrape(self._operations, await self._verdicts.all()))
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        tallies, verdicts = await self._operations.tallies(), await self._verdicts.all()
        return web.json_response(views.status(self._operations, tallies, verdicts))

    async def _routes(self, _: web.Request) -> web.Response:
        tallies, verdicts = await self._operations.tallies(), await self._verdicts.all()
        return web.json_response({"routes": views.routes(self._operations, tallies, verdicts)})

    async def _route(self, request: web.Request) -> web.Response:
        route = self._operations.route(request.match_info["id"])
        tallies, verdicts = await self._operations.tallies(), await self._verdicts.all()
        view = views.one_route(self._operations, route, tallies, verdicts)
        return web.json_response(view, headers={"ETag": f'"{view["version"]}"'})

    async def _coverage(self, request: web.Request) -> web.Response:
        hours = _number(request, "hours", WINDOW_HOURS, MAX_WINDOW_HOURS)
        route = self._operations.route(request.match_info["id"]).id
        tally = (await self._operations.tallies(hours)).get(route, Tally())
        return web.json_response(msgspec.to_builtins(coverage.coverage_of(tally)))

    async def _replay(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", MAX_PER_ROUTE, MAX_PER_ROUTE)
        return web.json_response(await replay.material(self._operations, request.match_info["id"], limit))

    async def _requests(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 100, MAX_PER_ROUTE)
        route = self._operations.route(request.match_info["id"]).id
        return web.json_response({"requests": await recorded.requests(self._operations, route, limit)})

    async def _readiness(self, request: web.Request) -> web.Response:
        route = self._operations.route(request.match_info["id"])
        return web.json_response(msgspec.to_builtins(await self._verdicts.of(route.id)))

    async def _events(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 100, MAX_EVENTS)
        route, kind = request.query.get("route"), request.query.get("kind")
        if kind is not None and kind not in KINDS:
            raise RefusedError(400, "bad-kind", f"the kinds are {' and '.join(KINDS)}")
        ledger = self._operations.ledger
        events = await ledger.call(lambda: ledger.events.recent(limit, route, kind))
        return web.json_response({"events": [views.event(event) for event in events]})

    async def _diffs(self, request: web.Request) -> web.Response:
        route = request.query.get("route")
        found = await diffs.findings(self._operations, route, state=request.query.get("state", "all"))
        if route is not None and not found and not await diffs.findings(self._operations, route):
            self._operations.route(route)  # what was found on a route that has left the files can still be seen
        return web.json_response({"diffs": msgspec.to_builtins(found)})

    async def _diff(self, request: web.Request) -> web.Response:
        return web.json_response(await diffs.sample(self._operations, request.match_info["id"]))

    async def _suggestions(self, request: web.Request) -> web.Response:
        route = self._operations.route(request.match_info["id"])
        return web.json_response(await suggestions.of_route(self._operations, route.id))

    async def _report(self, request: web.Request) -> web.Response:
        form = request.query.get("format", "json")
        if form not in ("json", "md", "html"):
            raise RefusedError(400, "bad-format", "the formats are json, md and html")
        hours = _number(request, "hours", WINDOW_HOURS, MAX_WINDOW_HOURS)
        route = request.query.get("route")
        if route is not None:
            self._operations.route(route)
        made = await evidence.make_report(self._operations, hours, route)
        if form == "md":
            return web.Response(text=await asyncio.to_thread(markdown, made), content_type="text/markdown")
        if form == "html":
            from proxy.control import report_html  # a template engine, which most Banyans are never asked for

            return web.Response(
                text=await asyncio.to_thread(report_html.page, made),
                content_type="text/html",
                headers={"Content-Security-Policy": f"{report_html.policy()}; frame-ancestors 'none'; sandbox"},
            )
        return web.json_response(msgspec.to_builtins(made))

    # -- changing ---------------------------------------------------------------------------------------------------

    async def _reload(self, request: web.Request) -> web.Response:
        taken, settled = await self._operations.reload(request[ACTOR])
        configuration = self._operations.configuration
        if not taken:
            faults = [fault._asdict() for fault in configuration.faults]
            raise RefusedError(
                422, "faulty", f"{number(len(faults), 'fault')}; generation {configuration.generation} goes on serving",
                faults=faults,
            )  # fmt: skip
        return web.json_response(
            {"generation": configuration.generation, "settled": settled, "warnings": configuration.warnings}
        )

    async def _stage(self, request: web.Request) -> web.Response:
        body = await _body(request, {"stage": str, "percent": int, "reason": str})
        if "stage" not in body:
            raise RefusedError(400, "bad-body", "the body needs a stage")
        route = request.match_info["id"]
        verdict = await self._verdict_before(route, body["stage"])
        done = await self._operations.set_stage(
            route, body["stage"], body.get("percent"), body.get("reason", ""), request[ACTOR], _expected(request)
        )
        return self._changed(done, verdict)

    async def _say(self, request: web.Request) -> web.Response:
        operations, actor, fingerprint = self._operations, request[ACTOR], request.match_info["id"]
        action = request.match_info["action"]
        if action == "assign":
            body = await _body(request, {"who": str})
            done = await diffs.assign(operations, fingerprint, body.get("who", ""), actor)
        elif action == "comment":
            body = await _body(request, {"text": str})
            done = await diffs.comment(operations, fingerprint, body.get("text", ""), actor)
        elif action == "accept":
            body = await _body(request, {"reason": str, "until": str})
            done = await diffs.accept(operations, fingerprint, body.get("reason", ""), body.get("until"), actor)
        else:
            body = await _body(request, {"reason": str})
            said = diffs.unaccept if action == "unaccept" else diffs.fixed
            done = await said(operations, fingerprint, body.get("reason", ""), actor)
        return web.json_response(msgspec.to_builtins(done))

    async def _rollback(self, request: web.Request) -> web.Response:
        body = await _body(request, {"reason": str})
        done = await self._operations.rollback(
            request.match_info["id"], body.get("reason") or "rollback", request[ACTOR], _expected(request)
        )
        return self._changed(done)

    async def _verdict_before(self, route: str, stage: str) -> Readiness | None:
        """The verdict on which a route may be moved to users; at its new stage it has yet to show some things. It never
        refuses a change."""
        try:
            return None if stage in ("legacy", "shadow") else await self._verdicts.of(route)
        except RefusedError:  # there is no such route: the change says so
            return None

    def _changed(self, done: Change, before: Readiness | None = None) -> web.Response:
        shown = views.change(self._operations, done, before)
        return web.json_response(shown, headers={"ETag": f'"{done.event.version}"'})


async def _body(request: web.Request, fields: dict[str, type]) -> dict[str, Any]:
    """The JSON object of a request, with known fields of the right types only; null is like absent."""
    try:
        body = json.loads(await request.text() or "{}")
    except (ValueError, RecursionError, LookupError):
        raise RefusedError(400, "bad-body", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "bad-body", "the body is not a JSON object")
    body = {name: value for name, value in body.items() if value is not None}
    for name, value in body.items():
        if name not in fields:
            raise RefusedError(400, "bad-body", f"unknown field {name[:50]!r}; known are {', '.join(fields)}")
        if not isinstance(value, fields[name]) or isinstance(value, bool):
            raise RefusedError(400, "bad-body", f"{name} is not of the right type ({fields[name].__name__})")
        if isinstance(value, str) and not value.isascii() and _half_a_character(value):
            raise RefusedError(400, "bad-body", f"{name} holds half a character (a lone surrogate)")
    return body


def _half_a_character(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _expected(request: web.Request) -> int | None:
    """The version that ``If-Match`` names; None if it does not ask."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    match = re.fullmatch(r'"(\d{1,9})"', header.strip())
    if match is None:
        raise RefusedError(400, "bad-if-match", 'If-Match holds one version, like "3"')
    return int(match[1])


def _number(request: web.Request, name: str, default: int, largest: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= largest:
        raise RefusedError(400, "bad-query", f"{name} is a whole number of 1 to {largest}")
    return int(text)
