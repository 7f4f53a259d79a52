"""How each process of the demo serves.

Law: the first line on standard output is the URL, and it is printed only once connections are accepted; SIGTERM and
SIGINT end the process cleanly with exit code 0. Handlers call SQLite directly: its answers take microseconds here,
and a shop of this size would do the same.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LATENCY: web.AppKey[tuple[float, float]] = web.AppKey("latency", tuple)
"""Shortest and longest thinking time of an answer, in seconds."""

GZIP_FROM_BYTES = 1024


def arguments(description: str, latency_ms: str) -> argparse.ArgumentParser:
    """The options that all of the demo's servers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument(
        "--latency",
        type=milliseconds,
        default=milliseconds(latency_ms),
        metavar="MIN-MAX",
        help=f"thinking time per answer in milliseconds (default: {latency_ms})",
    )
    return parser


def milliseconds(text: str) -> tuple[float, float]:
    """``2-6`` -> (0.002, 0.006) seconds. Raises ValueError on anything else."""
    low, _, high = text.partition("-")
    return float(low) / 1000, float(high or low) / 1000


def serve(app: web.Application, host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    try:
        asyncio.run(_serve(app, host, port))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        print(f"http://{host}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def thinking(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take the service's own time for an answer, health checks apart."""
    low, high = request.app[LATENCY]
    if high and request.path != "/healthz":
        await asyncio.sleep(random.uniform(low, high))
    return await handler(request)


def is_shadow(request: web.Request) -> bool:
    """True if the answer will only be compared: then nothing may be written."""
    return request.headers.get("X-Banyan-Shadow") == "1"


def json_answer(request: web.Request, body: object, status: int = 200, etag: str | None = None) -> web.Response:
    """A JSON answer: gzip when it is worth it and welcome, 304 when the client holds this version already."""
    headers = {"Vary": "Accept-Encoding", "X-Request-Trace": secrets.token_hex(8)}
    if etag is not None:
        headers[hdrs.ETAG] = f'"{etag}"'
        headers[hdrs.CACHE_CONTROL] = "private, max-age=0, must-revalidate"
        if etag_matches(request, etag):
            return web.Response(status=304, headers=headers)
    response = web.Response(
        text=json.dumps(body, ensure_ascii=False), status=status, content_type="application/json", headers=headers
    )
    size = len(response.body) if isinstance(response.body, bytes) else 0
    if size >= GZIP_FROM_BYTES and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def etag_matches(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match names this version (RFC 9110 section 13.1.2)."""
    return any(held.value in (etag, "*") for held in request.if_none_match or ())


async def json_body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; an empty one if it holds anything else."""
    with contextlib.suppress(ValueError):
        document = await request.json()
        if isinstance(document, dict):
            return document
    return {}


def number(value: object, default: int, low: int, high: int) -> int:
    """A whole number within bounds, from whatever a client sent."""
    try:
        return max(low, min(high, int(str(value))))
    except ValueError:
        return default


def now() -> str:
    """This moment, as the shop writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stamp() -> dict[str, str]:
    """What is different in each answer: the natural noise that a comparison has to be told about."""
    return {"generated_at": now(), "request_id": secrets.token_hex(8)}
