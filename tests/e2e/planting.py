"""Regressions on demand: a service's answer, changed in one way.

Law: each regression changes one thing and names the (kind, path) at which a report has to show it; no two of one route
share that name, so finding them is finding each of them. The fields to change are read off a sound answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.compare.paths import member

HEADER = "X-Plant"
SLOW_SECONDS = 3.0
"""More than the shadow's timeout in the test's configuration."""

Keys = tuple[str | int, ...]


class Reply:
    """A sound answer on its way to be spoiled."""

    def __init__(self, status: int, headers: dict[str, str], document: Any) -> None:
        self.status = status
        self.headers = headers
        self.document = document
        self.text: str | None = None  # instead of the document
        self.failure = ""  # "cut" | "slow"

    def at(self, keys: Keys) -> Any:
        """What stands at a place of the document."""
        node = self.document
        for key in keys:
            node = node[key]
        return node

    def put(self, keys: Keys, value: Any) -> None:
        """Replace what stands there."""
        self.at(keys[:-1])[keys[-1]] = value


class Regression(NamedTuple):
    """One change. ``kind`` and ``path`` are what the report has to say."""

    route: str
    name: str
    kind: str
    path: str
    change: Callable[[Reply], None]


Seen = tuple[str, str]
"""A kind and a path."""


def regressions(route: str, document: Any, named: dict[Seen, Seen | None]) -> list[Regression]:
    """All changes of one route's answer. ``named`` says what rules and noise make of some: another (kind, path), or
    None for nothing to be seen."""
    found: dict[Seen, Regression] = {}
    for name, kind, path, change in [*_of_the_head(), *_of_the_document(document)]:
        seen = named.get((kind, path), (kind, path))
        if seen is not None:
            found.setdefault(seen, Regression(route, name, *seen, change))
    return list(found.values())


Change = tuple[str, str, str, Callable[[Reply], None]]


def _of_the_head() -> Iterator[Change]:
    def status(code: int) -> Callable[[Reply], None]:
        return lambda reply: setattr(reply, "status", code)

    def header(name: str, value: str) -> Callable[[Reply], None]:
        return lambda reply: reply.headers.update({name: value})

    def text(body: str) -> Callable[[Reply], None]:
        return lambda reply: setattr(reply, "text", body)

    def failure(what: str) -> Callable[[Reply], None]:
        return lambda reply: setattr(reply, "failure", what)

    yield "another success", "status", "status", status(203)
    yield "an error", "status-class", "status", status(500)
    yield "another media type", "content-type", "header:content-type", header("Content-Type", "application/hal+json")
    yield "another target", "redirect", "header:location", header("Location", "/elsewhere")
    yield "cached for long", "header", "header:cache-control", header("Cache-Control", "public, max-age=86400")
    yield "a cookie", "cookie", "cookie:shelf", header("Set-Cookie", "shelf=oak; Path=/")
    yield "no body", "missing", "body", text("")
    yield "no JSON", "type", "$", text("<h1>It works</h1>")
    yield "cut off", "error", "error", failure("cut")
    yield "too slow", "timeout", "error", failure("slow")


def _of_the_document(document: Any) -> Iterator[Change]:
    for path, keys, value in _places(document, "$", ()):
        here = f"{path}"
        if keys and isinstance(keys[-1], str):
            yield f"no {here}", "missing", here, lambda reply, k=keys: reply.at(k[:-1]).pop(k[-1])
        if keys:
            yield f"{here} of another type", "type", here, lambda reply, k=keys: reply.put(k, _other_type(reply.at(k)))
        if isinstance(value, dict):
            more = member(path, "surprise")
            yield f"{more} added", "extra", more, lambda reply, k=keys: reply.at(k).update(surprise=True)
        elif isinstance(value, list):
            if len(value) > 1:
                yield f"{here} is shorter", "size", here, lambda reply, k=keys: reply.at(k).pop()
            if len({json.dumps(item) for item in value}) > 1:
                yield f"{here} in another order", "order", here, lambda reply, k=keys: reply.at(k).reverse()
        elif value is not None:
            yield f"{here} is another", "value", here, lambda reply, k=keys: reply.put(k, _other_value(reply.at(k)))


def _places(value: Any, path: str, keys: Keys) -> Iterator[tuple[str, Keys, Any]]:
    """(path template, the way to its first occurrence, what stands there) of every place."""
    yield path, keys, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, member(path, key), (*keys, key))
    elif isinstance(value, list) and value:
        yield from _places(value[0], f"{path}[*]", (*keys, 0))


def _other_type(value: Any) -> Any:
    if isinstance(value, str):
        return 17
    return "seventeen" if isinstance(value, bool | int | float) or value is None else 17


def _other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}, or so"


def planter(catalog: dict[str, Regression]) -> Any:
    """A middleware that spoils the answer to a request which names a regression in HEADER."""

    @web.middleware
    async def plant(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        regression = catalog.get(request.headers.get(HEADER, ""))
        if regression is None or not isinstance(answer, web.Response):
            return answer
        text = answer.text
        headers = {key: value for key, value in answer.headers.items() if key != "Content-Length"}
        reply = Reply(answer.status, headers, json.loads(text) if text else None)
        regression.change(reply)
        if reply.failure == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if reply.failure == "cut" and request.transport is not None:
            request.transport.abort()
        body = json.dumps(reply.document, ensure_ascii=False) if reply.text is None else reply.text
        return web.Response(status=reply.status, headers=reply.headers, body=body.encode())

    return plant
