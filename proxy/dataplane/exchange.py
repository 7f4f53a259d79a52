"""The life of a request.

Law: one coroutine per client connection runs its requests one after the other, each through the same steps, and each
step is marked in :meth:`Exchange.run`:

1. **Gate** - the head has come and has exactly one reading (``wire.downstream``, ``core.gate``); else it is refused.
2. **Decide** - one immutable decision: generation, route, arm, why, whether to shadow, whether to fall back.
3. **Prepare** - the body's bounds and whether a copy is kept; the head for the upstreams.
4. **Ask** the chosen arm (``forward``); as soon as the request has been sent whole, the **shadow** starts beside it.
5. **Fall back** to legacy, if the candidate failed, nothing was sent to the client, and what the candidate may have
   seen allows it.
6. **Relay** the answer; from its first byte on a failure can only cut the client off.
7. **Settle** - figures, the pair for comparing, the connection's fate.
"""

from __future__ import annotations

import random
import re
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from proxy.core.decide import Decision, decide
from proxy.core.fields import Kind
from proxy.core.heads import client_head, upstream_head
from proxy.dataplane.answers import failure_answer, options_answer
from proxy.dataplane.forward import RequestBody, ask, relay, tunnel
from proxy.dataplane.shadow import Pairing
from proxy.dataplane.stats import RouteStats, count
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind, Party, Seen
from proxy.telemetry.logs import log_line
from proxy.wire.fiber import NEVER

if TYPE_CHECKING:
    from proxy.dataplane.runtime import Runtime, UpstreamRuntime
    from proxy.dataplane.worker import Worker
    from proxy.wire.downstream import ClientConnection, RequestHead
    from proxy.wire.upstream import ResponseHead, UpstreamConnection

LINGER_SECONDS = 5.0
"""After an answer to a request that was not read to its end, what still comes is read and thrown away for this long:
closing at once would reset the connection and could destroy the answer on its way (RFC 9112 section 9.6)."""

CLIENT_CLOSED_STATUS = 499
"""In figures only: the client left before it was answered."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def serve(client: ClientConnection, worker: Worker) -> None:
    """Run a client connection from its first byte to its end."""
    first = True
    while True:
        runtime = worker.runtime
        try:
            head = await _next_head(client, worker, runtime, first=first)
        except ExchangeError as failure:
            await _refuse(client, worker, failure)
            return
        if head is None:
            client.close()
            return
        exchange = Exchange(client, worker, runtime, head)
        await exchange.run()
        keep, first = exchange.keep, False
        linger = not client.body_done
        del exchange, head  # an idle connection holds nothing of its last request
        if not keep:
            await _end(client, linger=linger)
            return
        client.body = None


async def _next_head(client: ClientConnection, worker: Worker, runtime: Runtime, *, first: bool) -> RequestHead | None:
    """Step 1. The next request; None when there is to be none."""
    clocks, limits = runtime.clocks, runtime.limits
    by = monotonic() + (clocks.head if first else clocks.keep_alive)
    begun = False
    while True:
        if client.lost:
            return None
        if client.pending:
            head = client.take_head(limits.head, limits.fields, runtime.instance)
            if head is not None:
                return head
            if not begun and client.pending:
                begun = True
                if not first:
                    by = monotonic() + clocks.head
        if client.eof or (worker.closing and not begun):
            return None
        if monotonic() >= by:
            if begun:
                raise ExchangeError(FailureKind.HEAD_TIMEOUT)
            return None
        await client.fiber.park(by)


async def _refuse(client: ClientConnection, worker: Worker, failure: ExchangeError) -> None:
    """Answer what did not pass the gate; nothing that follows on the connection is read as a request."""
    kind = failure.kind
    count(worker.refused, kind.value)
    client.discard()
    if CONSEQUENCES[kind].status:
        request_id = f"{random.getrandbits(128):032x}"
        log_line(
            "info", "request-refused", reason=kind.value, detail=failure.detail, peer=client.peer, request_id=request_id
        )
        client.write(
            failure_answer(kind, request_id, worker.date, accept=None, head_only=False, extra=b"Connection: close\r\n")
        )
    await _end(client, linger=True)


async def _end(client: ClientConnection, *, linger: bool) -> None:
    """Close after everything written has been sent."""
    if linger and not client.lost and not client.eof:
        client.discard()
        client.transport.write_eof()
        by = monotonic() + LINGER_SECONDS
        while not client.lost and not client.eof and monotonic() < by:
            await client.fiber.park(by)
            client.discard()
    client.close()


class Exchange:
    """One request on its way. Attributes that other files of this package read are public."""

    __slots__ = (
        "_continued",
        "_failure",
        "_head",
        "_pairing",
        "_shadow_wanted",
        "_total",
        "_worker",
        "admitted",
        "answering",
        "arm",
        "body",
        "client",
        "client_extra",
        "decision",
        "head",
        "keep",
        "method",
        "request_id",
        "runtime",
        "started",
        "started_at",
        "stats",
        "status",
        "total_at",
    )

    def __init__(self, client: ClientConnection, worker: Worker, runtime: Runtime, head: RequestHead) -> None:
        self.client = client
        self.runtime = runtime
        self.admitted = head.admitted
        self.method = head.admitted.request.method
        self.started = perf_counter()
        self.started_at = 0.0  # monotonic; only kept for requests with a body, whose clocks need it
        self.total_at = NEVER
        self.body: RequestBody | None = None
        self.head = b""
        self.client_extra = b""
        self.keep = False
        self.answering = False
        self.status = 0
        self.arm = "legacy"
        self.request_id = b""
        self.decision: Decision = runtime.snapshot.unrouted
        self.stats: RouteStats = worker.route_stats(self.decision.route_id)
        self._head = head
        self._worker = worker
        self._pairing: Pairing | None = None
        self._shadow_wanted = False
        self._continued = False
        self._total = 0.0
        self._failure: FailureKind | None = None

    async def run(self) -> None:
        """Serve the request through the steps 2 to 7. Never raises; ``keep`` says whether the connection may go on."""
        worker, runtime, request = self._worker, self.runtime, self.admitted.request
        worker.in_flight += 1
        try:
            self._identify()
            # 2. decide
            decision = self.decision = decide(runtime.snapshot, request, random.random)
            self.stats = worker.route_stats(decision.route_id)
            self.arm = decision.arm
            # 3. prepare
            if self.admitted.length:
                self._open_body()
            if self.admitted.kinds & Kind.MAX_FORWARDS and self._answered_here():
                return
            self.head = upstream_head(
                self.admitted, self._head.raw, tidy=self._head.tidy, trusted=self._trusted, extra=self._our_lines()
            )
            if runtime.expose:
                self.client_extra = b"X-Banyan-Arm: %b\r\nX-Banyan-Route: %b\r\n" % (
                    decision.arm.encode(),
                    decision.route_id.encode(),
                )
            self._shadow_wanted = decision.shadow
            await self._ask_and_relay()
        except ExchangeError as failure:
            self._failed(failure)
        except Exception as error:  # noqa: BLE001 - a bug of ours must cost one request, not the connection's worker
            log_line("error", "internal-error", error=repr(error), request_id=self.request_id.decode("latin-1"))
            self._failed(ExchangeError(FailureKind.INTERNAL))
        finally:
            # 7. settle
            worker.in_flight -= 1
            self._settle()

    # -- steps ----------------------------------------------------------------------------------------------------

    def _identify(self) -> None:
        """The request's id and trace: the peer's if it is trusted and they are well-formed, else new ones."""
        if self._trusted:
            lower = self.admitted.request.lower
            given = lower.get(b"x-request-id")
            if given is not None and _REQUEST_ID.fullmatch(given):
                self.request_id = given
                return
        self.request_id = b"%032x" % random.getrandbits(128)

    @property
    def _trusted(self) -> bool:
        return self.runtime.trusts(self.client.peer)

    def _our_lines(self) -> bytes:
        """Via, X-Forwarded-*, X-Request-ID, traceparent."""
        lower = self.admitted.request.lower
        host = lower.get(b"host", b"")
        peer = self.client.peer.encode()
        if not self._trusted:
            return (
                b"%bX-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: %b\r\n"
                b"X-Request-ID: %b\r\ntraceparent: 00-%b-%016x-00\r\n"
                % (self.runtime.via, peer, host, self.request_id, self.request_id, random.getrandbits(64) | 1)
            )
        lines = [self.runtime.via, b"X-Forwarded-For: %b\r\n" % peer]
        if b"x-forwarded-proto" not in lower:
            lines.append(b"X-Forwarded-Proto: http\r\n")
        if b"x-forwarded-host" not in lower:
            lines.append(b"X-Forwarded-Host: %b\r\n" % host)
        if lower.get(b"x-request-id") != self.request_id:
            lines.append(b"X-Request-ID: %b\r\n" % self.request_id)
        if not _TRACEPARENT.fullmatch(lower.get(b"traceparent", b"")):
            trace = random.getrandbits(192) | 1 << 64 | 1
            text = b"%048x" % trace
            lines.append(b"traceparent: 00-%b-%b-00\r\n" % (text[:32], text[32:]))
        return b"".join(lines)

    def _open_body(self) -> None:
        plan = self.decision.plan
        limit, cap = self.runtime.limits.body, 0
        if plan is not None:
            limit = plan.max_body
            if self.decision.fallback:
                cap = plan.max_replay_body
            if self.decision.shadow:
                cap = max(cap, plan.route.shadow.max_body)
        self.started_at = monotonic()
        self.body = RequestBody(self.client, self.admitted, cap, limit)

    def _answered_here(self) -> bool:
        """OPTIONS with Max-Forwards: 0 ends at this hop; a larger number is passed on, one less."""
        request = self.admitted.request
        value = request.lower.get(b"max-forwards", b"")
        if self.method != "OPTIONS" or not value.isdigit():
            return False
        if int(value[:9]) == 0:
            self.status = 204
            self.keep = self.admitted.keep_alive and self.body is None
            self.client.write(options_answer(self.date, b"" if self.keep else b"Connection: close\r\n"))
            return True
        less = b"%d" % (int(value[:9]) - 1)
        request.fields = [(n, less if n.lower() == b"max-forwards" else v) for n, v in request.fields]
        return False

    async def _ask_and_relay(self) -> None:
        runtime, decision = self.runtime, self.decision
        plan = decision.plan
        if plan is None or decision.arm == "legacy":
            await self._try(runtime.legacy, b"", 0.0, falls_back=False)
            return
        candidate = runtime.upstreams[plan.candidate or ""]
        self._total = candidate.timeouts.total
        if not decision.fallback:
            await self._try(candidate, b"", 0.0, falls_back=False)
            return
        legacy = runtime.legacy.timeouts
        reserve = min(legacy.connect + legacy.first_byte, self._total / 2)
        try:
            # 4. ask
            await self._try(candidate, b"", reserve, falls_back=True)
        except ExchangeError as failure:
            # 5. fall back
            reason = CONSEQUENCES[failure.kind].fallback
            if self.answering or not self._may_fall_back(reason, failure.seen):
                raise
            count(self.stats.counters.fallbacks, reason)
            log_line(
                "warning",
                "fallback",
                route=decision.route_id,
                reason=reason,
                failure=failure.kind.value,
                upstream=candidate.name,
                request_id=self.request_id.decode("latin-1"),
            )
            self.arm = "legacy"
            self._shadow_dropped("fallback")
            if runtime.expose:
                self.client_extra = b"X-Banyan-Arm: legacy\r\nX-Banyan-Route: %b\r\n" % decision.route_id.encode()
            await self._try(runtime.legacy, b"X-Banyan-Fallback: %b\r\n" % reason.encode(), 0.0, falls_back=False)

    def _may_fall_back(self, reason: str, seen: Seen) -> bool:
        decision, plan = self.decision, self.decision.plan
        return (
            plan is not None
            and reason in plan.fallback_reasons
            and (seen is Seen.NOT_SENT or (seen is Seen.MAYBE_SEEN and decision.replayable))
            and self.body_at_hand
            and not self.client.lost
        )

    async def _try(self, upstream: UpstreamRuntime, mark: bytes, reserve: float, *, falls_back: bool) -> None:
        """Steps 4 and 6 with one upstream."""
        if not self._total:
            self._total = upstream.timeouts.total
        begun = perf_counter()
        stats = self.stats
        try:
            connection, head = await ask(self, upstream, mark, reserve)
        except ExchangeError as failure:
            if CONSEQUENCES[failure.kind].party is Party.UPSTREAM:
                stats.upstream(upstream.name, failure.kind.value, None)
            raise
        first_byte = perf_counter() - begun
        if head.status >= 500 and falls_back and self._may_fall_back("5xx", Seen.MAYBE_SEEN):
            stats.upstream(upstream.name, FailureKind.BAD_STATUS.value, first_byte)
            connection.take_body()  # a short one is at hand, and the connection stays usable
            connection.release()
            raise ExchangeError(FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, str(head.status))
        try:
            if head.status == 101:
                await self._tunnel(connection, head, upstream)
            else:
                await relay(self, connection, head, upstream.timeouts.idle)
        except ExchangeError as failure:
            connection.discard()
            if CONSEQUENCES[failure.kind].party is Party.UPSTREAM:
                stats.upstream(upstream.name, failure.kind.value, first_byte)
            raise
        except BaseException:
            connection.discard()
            raise
        stats.upstream(upstream.name, "5xx" if head.status >= 500 else "ok", first_byte)

    async def _tunnel(self, connection: UpstreamConnection, head: ResponseHead, upstream: UpstreamRuntime) -> None:
        self._shadow_dropped("upgrade")
        await tunnel(self, connection, head, upstream.timeouts.tunnel_idle)

    def _failed(self, failure: ExchangeError) -> None:
        """Answer a failure if nothing was sent yet, else cut the client off."""
        kind = self._failure = failure.kind
        consequence = CONSEQUENCES[kind]
        self.keep = False
        if consequence.party is not Party.CLIENT:
            log_line(
                "warning",
                "request-failed",
                failure=kind.value,
                seen=failure.seen.value,
                detail=failure.detail,
                route=self.decision.route_id,
                arm=self.arm,
                request_id=self.request_id.decode("latin-1"),
            )
        if self.answering:
            if kind is FailureKind.WRITE_TIMEOUT:
                self.client.abort()
            else:
                self.client.close()
            return
        self.status = consequence.status or CLIENT_CLOSED_STATUS
        if not consequence.status:
            self.client.abort()
            return
        request_open = not self.client.body_done
        broken = kind in (FailureKind.BAD_REQUEST, FailureKind.INTERNAL)
        self.keep = self.admitted.keep_alive and not request_open and not broken and not self.draining
        request = self.admitted.request
        self.client.write(
            failure_answer(
                kind,
                self.request_id.decode("latin-1"),
                self.date,
                accept=request.header("accept"),
                head_only=self.method == "HEAD",
                extra=self.client_extra + (b"" if self.keep else b"Connection: close\r\n"),
            )
        )

    def _settle(self) -> None:
        if self.decision.reason == "ambiguous-path" or self._failure is FailureKind.AMBIGUOUS_PATH:
            self._worker.ambiguous += 1
        self.stats.request(self.method, self.status, self.arm, perf_counter() - self.started)
        count(self.stats.counters.reasons, self.decision.reason)
        if self._shadow_wanted:
            self._shadow_dropped("client-left" if self.client.lost else "not-sent")
        if self._pairing is not None:
            self._pairing.answered(self._failure)

    # -- for forward ----------------------------------------------------------------------------------------------

    @property
    def date(self) -> bytes:
        """The value of Date."""
        return self._worker.date

    @property
    def draining(self) -> bool:
        """The worker takes its leave: connections end with this answer."""
        return self._worker.draining

    @property
    def body_at_hand(self) -> bool:
        """The request can be sent again from its beginning."""
        return self.body is None or self.body.kept is not None

    @property
    def awaits_continue(self) -> bool:
        """The client waits for 100 (Continue) before it sends its body."""
        return self.admitted.expects_continue and not self._continued and self.body is not None and not self.body.size

    def send_continue(self) -> None:
        """Tell the client to go on: the upstream said nothing for too long."""
        self._continued = True
        self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx answer on; not to an HTTP/1.0 client, and 100 only to who waits for it."""
        if self.admitted.request.version == "1.0":
            return
        if head.status == 100:
            if not self.awaits_continue:
                return
            self._continued = True
        self.client.write(
            client_head(head.raw, head.status, head.reason, head.fields, head.kinds, length=None, extra=b"")
        )

    def received(self) -> None:
        """The request has been sent whole: its deadline begins, and the shadow."""
        if self.total_at == NEVER:
            self.total_at = monotonic() + self._total
        if self._shadow_wanted:
            self._shadow_wanted = False
            self._pairing = Pairing.begin(self, self._worker)

    def _shadow_dropped(self, reason: str) -> None:
        """No shadow for this request after all; counted, if one was wanted."""
        if self._shadow_wanted:
            self._shadow_wanted = False
            count(self.stats.counters.shadow, "dropped")
            count(self.stats.counters.shadow_dropped, reason)
        elif self._pairing is not None:
            self._pairing.drop(reason)
            self._pairing = None

    def capture_head(self, head: ResponseHead) -> None:
        """Keep the answer's head for the pair, if there is one."""
        if self._pairing is not None:
            self._pairing.capture_head(head)

    def capture(self, piece: bytes) -> None:
        """Keep a piece of the answer for the pair, if there is one."""
        if self._pairing is not None:
            self._pairing.capture(piece)
