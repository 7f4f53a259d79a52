"""The life of a client connection.

Law: one coroutine per connection runs its requests one after the other, so answers are in order whatever is pipelined.
Nothing that follows a refused request, or one that was not read to its end, is ever read as a request.
"""

from __future__ import annotations

from random import getrandbits
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane.answers import failure_answer
from proxy.dataplane.exchange import Exchange
from proxy.dataplane.forward import client_writable
from proxy.dataplane.stats import count
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind
from proxy.telemetry.logs import log_line

if TYPE_CHECKING:
    from proxy.core.request import Request
    from proxy.dataplane.worker import Worker
    from proxy.wire.downstream import ClientConnection

LINGER_SECONDS: Final = 5.0
"""After an answer to a request that was not read to its end, what still comes is read and thrown away for this long:
closing at once would reset the connection and could destroy the answer on its way (RFC 9112 section 9.6)."""


async def serve(client: ClientConnection, worker: Worker) -> None:
    """Run a client connection from its first byte to its end."""
    try:
        await _serve(client, worker)
    except Exception as error:  # noqa: BLE001 - a bug of ours must cost one connection, not those beside it
        log_line("error", "connection-internal-error", error=repr(error))
        client.abort()


async def _serve(client: ClientConnection, worker: Worker) -> None:
    first, now = True, monotonic()
    while True:
        try:
            request: Request | None = None
            clocks = worker.runtime.clocks
            by = now + (clocks.head if first else clocks.keep_alive)
            if not (first or client.pending or client.eof or worker.closing):
                # the way of every request but the first, without the coroutine
                await client.fiber.park(by)
                if client.pending:
                    runtime = worker.runtime
                    request = client.take_head(runtime.limits.head, runtime.limits.fields, runtime.instance)
            if request is None:
                request = await _next_head(client, worker, by, first=first)
        except ExchangeError as failure:
            await refuse(client, worker, failure)
            return
        if request is None:
            client.close()
            return
        exchange = Exchange(client, worker, worker.runtime, request)
        client.serving = True
        await exchange.run()
        client.serving = False
        keep, now, first = exchange.keep, exchange.now, False
        linger = not client.body_done
        del exchange, request  # an idle connection holds nothing of its last request
        if not keep:
            await _end(client, linger=linger)
            return
        client.body = None
        if not client.writable:  # pipelined requests wait until their answers are read
            try:
                await client_writable(client, worker.runtime.clocks.write_idle)
            except ExchangeError:
                client.abort()
                return


async def _next_head(client: ClientConnection, worker: Worker, by: float, *, first: bool) -> Request | None:
    """Step 1. The next request; None when there is to be none, or none has begun at ``by`` (monotonic seconds)."""
    begun = False
    while True:
        if client.lost:
            return None
        if client.pending:
            runtime = worker.runtime  # not the one of before the wait: it may be an old one by now
            limits = runtime.limits
            request = client.take_head(limits.head, limits.fields, runtime.instance)
            if request is not None:
                return request
            if not begun and client.pending:
                begun = True
                if not first:
                    by = monotonic() + worker.runtime.clocks.head
        if client.eof or (worker.closing and not begun):
            return None
        if monotonic() >= by:
            if begun:
                raise ExchangeError(FailureKind.HEAD_TIMEOUT)
            return None
        await client.fiber.park(by)


async def refuse(client: ClientConnection, worker: Worker, failure: ExchangeError, *, linger: bool = True) -> None:
    """Answer what did not pass the gate, or whom there is no place for; what follows is not read as a request."""
    kind = failure.kind
    count(worker.refused, kind.value)
    client.discard()
    if CONSEQUENCES[kind].status:
        request_id = f"{getrandbits(128):032x}"
        log_line(
            "info", "request-refused", reason=kind.value, detail=failure.detail, peer=client.peer, request_id=request_id
        )
        client.write(
            failure_answer(
                failure, request_id, worker.date, accept=None, head_only=False, extra=b"Connection: close\r\n"
            )
        )
    await _end(client, linger=linger)


async def _end(client: ClientConnection, *, linger: bool) -> None:
    """Close after everything written has been sent."""
    if linger and not client.lost and not client.eof:
        client.discard()
        client.write_eof()
        by = monotonic() + LINGER_SECONDS
        while not client.lost and not client.eof and monotonic() < by:
            await client.fiber.park(by)
            client.discard()
    client.close()
