"""What stays open: order events (SSE) and the chat (WebSocket).

Law: bounded. At most STREAMS_MAX event streams and CHATTERS_MAX chatters, 503 above it; a chatter who does not read is
sent away rather than waited for.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from legacy_stub.monolith import sessions
from legacy_stub.monolith.context import api_error, database
from legacy_stub.serving import now, number

STREAMS_MAX = 50
CHATTERS_MAX = 100
MESSAGE_MAX_BYTES = 4096
POLL_SECONDS = 0.2  # the table is the outbox: the orders service writes into it as well
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS = 2.0


@dataclass
class Open:
    """Everything that is open at the moment."""

    streams: set[web.StreamResponse] = field(default_factory=set)
    chatters: set[web.WebSocketResponse] = field(default_factory=set)


OPEN: web.AppKey[Open] = web.AppKey("open", Open)


def add_routes(app: web.Application) -> None:
    """What this part of the shop answers."""
    app[OPEN] = Open()
    app.on_shutdown.append(_hang_up)
    app.router.add_get("/events/orders", order_events)
    app.router.add_get("/chat", chat)


async def _hang_up(app: web.Application) -> None:
    for chatter in list(app[OPEN].chatters):
        await chatter.close(code=1001)


async def order_events(request: web.Request) -> web.StreamResponse:
    """Server-sent events, from now on or after ``Last-Event-ID``."""
    streams = request.app[OPEN].streams
    if len(streams) >= STREAMS_MAX:
        return api_error(request, 503, "too_many_streams", "Try again later.")
    db = database(request)
    newest = db.value("SELECT COALESCE(MAX(number), 0) FROM order_events")
    last = number(request.headers.get("Last-Event-ID"), newest, 0, newest)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    streams.add(response)
    try:
        await response.write(b"retry: 1000\n\n")
        silent = 0.0
        while True:
            for row in db.rows("SELECT * FROM order_events WHERE number > ? ORDER BY number LIMIT 100", last):
                last = row["number"]
                event = json.dumps({"order": row["order_id"], "what": row["what"], "at": row["at"]})
                await response.write(f"id: {last}\nevent: order\ndata: {event}\n\n".encode())
                silent = 0.0
            if silent >= HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
                silent = 0.0
            await asyncio.sleep(POLL_SECONDS)
            silent += POLL_SECONDS
    except ConnectionResetError:
        return response  # the client left
    finally:
        streams.discard(response)


async def chat(request: web.Request) -> web.StreamResponse:
    """One room for all: a text that somebody sends goes to everybody."""
    room = request.app[OPEN].chatters
    if len(room) >= CHATTERS_MAX:
        return api_error(request, 503, "room_full", "Try again later.")
    name = sessions.customer_of(request) or "guest"
    socket = web.WebSocketResponse(max_msg_size=MESSAGE_MAX_BYTES, heartbeat=HEARTBEAT_SECONDS, timeout=SEND_SECONDS)
    await socket.prepare(request)
    room.add(socket)
    try:
        await socket.send_json({"type": "welcome", "you": name, "present": len(room)})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await _tell(room, {"type": "message", "from": name, "text": message.data, "at": now()})
    finally:
        room.discard(socket)
    return socket


async def _tell(room: set[web.WebSocketResponse], what: dict[str, str]) -> None:
    for chatter in list(room):
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await chatter.send_json(what)
        except (TimeoutError, ConnectionError, RuntimeError):
            room.discard(chatter)
