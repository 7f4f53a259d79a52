"""The life of a request.

Law: every request goes through the same steps, and each step is marked where it is taken, most of them in
:meth:`Exchange.run`:

1. **Gate** - the head has come and has exactly one reading (``connection``, ``core.gate``); else it is refused.
2. **Decide** - one immutable decision: generation, route, arm, why, whether to shadow, whether to fall back.
3. **Prepare** - the body's bounds and whether a copy is kept; the head for the upstreams.
4. **Ask** the chosen arm (``forward``); as soon as the request has been sent whole, the **shadow** starts beside it.
5. **Fall back** to legacy, if the candidate failed, nothing was sent to the client, and what the candidate may have
   seen allows it.
6. **Relay** the answer; from its first byte on a failure can only cut the client off.
7. **Settle** - figures, the pair for comparing, the connection's fate.
"""

from __future__ import annotations

import re
from contextlib import suppress
from random import getrandbits, random
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.decide import decide
from proxy.core.fields import Kind
from proxy.core.heads import client_head, upstream_head
from proxy.dataplane.answers import failure_answer, options_answer
from proxy.dataplane.forward import RequestBody, ask, continue_answer, start_answer, tunnel
from proxy.dataplane.shadow import Pairing
from proxy.dataplane.stats import count
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind, Party, Seen
from proxy.telemetry.logs import log_line
from proxy.wire.fiber import NEVER

if TYPE_CHECKING:
    from proxy.core.request import Request
    from proxy.dataplane.runtime import Runtime, UpstreamRuntime
    from proxy.dataplane.worker import Worker
    from proxy.wire.downstream import ClientConnection
    from proxy.wire.response import ResponseHead

CLIENT_CLOSED_STATUS = 499
"""In figures only: the client left before it was answered."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_BAD_STATUS = FailureKind.BAD_STATUS.value
_AMBIGUOUS = FailureKind.AMBIGUOUS_PATH


class Exchange:
    """One request on its way. Attributes without an underscore are read by the other files of this package."""

    # Defaults stand on the class: a request that needs nothing special sets few of them.
    body: RequestBody | None = None
    pairing: Pairing | None = None
    head = b""  # for upstreams, without marks
    client_extra = b""  # our lines in the client's head
    total_at = NEVER  # monotonic; the deadline begins when the request has been sent whole
    keep = False
    answering = False  # something of the answer was sent to the client
    chunked = False  # the answer goes to the client in chunks
    ends_with_connection = False  # the end of the connection ends the answer
    status = 0
    request_id = b""
    _continued = False
    _shadow_wanted = False
    _total = 0.0
    _failure: FailureKind | None = None

    def __init__(self, client: ClientConnection, worker: Worker, runtime: Runtime, request: Request) -> None:
        self.client = client
        self.runtime = runtime
        self.request = request
        self.started = monotonic()
        self.decision = runtime.snapshot.unrouted
        self.stats = worker.unrouted
        self.arm = "legacy"
        self._worker = worker

    async def run(self) -> None:
        """Serve the request through the steps 2 to 7. Never raises; ``keep`` says whether the connection may go on."""
        worker, runtime, request = self._worker, self.runtime, self.request
        worker.in_flight += 1
        try:
            trusted = runtime.trusts_any and runtime.trusts(self.client.peer)
            our_lines = self._trusted_lines() if trusted else self._our_lines()
            # 2. decide
            decision = self.decision = decide(runtime.snapshot, request, random)
            plan = decision.plan
            if plan is not None:
                self.stats = worker.route_stats(decision.route_id)
                self.arm = decision.arm
                self._shadow_wanted = decision.shadow
            # 3. prepare
            if request.length:
                self._open_body()
            if request.kinds & Kind.MAX_FORWARDS and self._answered_here():
                return
            self.head = upstream_head(request, trusted=trusted, extra=our_lines)
            if runtime.expose:
                self._expose()
            # 4. ask and 6. relay
            if plan is None or decision.arm == "legacy":
                await self._try(runtime.legacy, b"", 0.0, falls_back=False)
            elif not decision.fallback:
                await self._try(runtime.upstreams[plan.candidate or ""], b"", 0.0, falls_back=False)
            else:
                candidate = runtime.upstreams[plan.candidate or ""]
                self._total = candidate.timeouts.total
                try:
                    await self._try(candidate, b"", min(runtime.legacy_seconds, self._total / 2), falls_back=True)
                except ExchangeError as failure:
                    await self._fall_back(candidate, failure)
        except ExchangeError as failure:
            self._failed(failure)
        except Exception as error:  # noqa: BLE001 - a bug of ours must cost one request, not the connections beside it
            log_line("error", "internal-error", error=repr(error), request_id=self.request_id)
            self._failed(ExchangeError(FailureKind.INTERNAL))
        finally:
            # 7. settle
            worker.in_flight -= 1
            self._settle()

    # -- steps ----------------------------------------------------------------------------------------------------

    def _our_lines(self) -> bytes:
        """Via, X-Forwarded-*, X-Request-ID, traceparent: what an upstream may believe, whatever the client said."""
        number = b"%016x" % (getrandbits(64) | 1)
        self.request_id = request_id = self._worker.id_prefix + number
        lines = (
            self.runtime.via,
            self.client.forwarded,
            self.request.lower.get(b"host", b""),
            b"\r\nX-Request-ID: ",
            request_id,
            b"\r\ntraceparent: 00-",
            request_id,
            b"-",
            number,
            b"-00\r\n",
        )
        return b"".join(lines)

    def _trusted_lines(self) -> bytes:
        """The same behind a trusted proxy: what it said stays, what is missing is added."""
        lower = self.request.lower
        number = b"%016x" % (getrandbits(64) | 1)
        made = self._worker.id_prefix + number
        lines = [self.runtime.via, b"X-Forwarded-For: %b\r\n" % self.client.peer.encode()]
        if b"x-forwarded-proto" not in lower:
            lines.append(b"X-Forwarded-Proto: http\r\n")
        if b"x-forwarded-host" not in lower:
            lines.append(b"X-Forwarded-Host: %b\r\n" % lower.get(b"host", b""))
        given = lower.get(b"x-request-id", b"")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else made
        if self.request_id is made:  # also in place of one that is not fit for a log
            self._replace_field(b"x-request-id", None)
            lines.append(b"X-Request-ID: %b\r\n" % made)
        if b"traceparent" not in lower:
            lines.append(b"traceparent: 00-%b-%b-00\r\n" % (made, number))
        return b"".join(lines)

    def _expose(self) -> None:
        self.client_extra = b"X-Banyan-Arm: %b\r\nX-Banyan-Route: %b\r\n" % (
            self.arm.encode(),
            self.decision.route_id.encode(),
        )

    def _open_body(self) -> None:
        plan = self.decision.plan
        limit, cap = self.runtime.limits.body, 0
        if plan is not None:
            limit = plan.max_body
            if self.decision.fallback:
                cap = plan.max_replay_body
            if self.decision.shadow:
                cap = max(cap, plan.route.shadow.max_body)
        self.body = RequestBody(self.client, self.request, cap, limit)

    def _answered_here(self) -> bool:
        """OPTIONS with Max-Forwards: 0 ends at this hop; a larger number is passed on, one less."""
        request = self.request
        value = request.lower.get(b"max-forwards", b"")
        if request.method != "OPTIONS" or not value.isdigit():
            return False
        hops = int(value[:9])
        if hops == 0:
            self.status = 204
            self.keep = request.keep_alive and self.body is None
            self.client.write(options_answer(self.date, b"" if self.keep else b"Connection: close\r\n"))
            return True
        self._replace_field(b"max-forwards", b"%d" % (hops - 1))
        return False

    def _replace_field(self, lower: bytes, value: bytes | None) -> None:
        """Give a field of the request another value, or remove it; its head is written anew then."""
        request = self.request
        kept = [(n, v if n.lower() != lower else value) for n, v in request.fields]
        request.fields = [(n, v) for n, v in kept if v is not None]
        request.tidy = False

    async def _fall_back(self, candidate: UpstreamRuntime, failure: ExchangeError) -> None:
        """Step 5: legacy answers for the candidate, if it may; else ``failure`` stands."""
        reason = CONSEQUENCES[failure.kind].fallback
        if not self._may_fall_back(reason, failure.seen):
            raise failure
        count(self.stats.counters.fallbacks, reason)
        log_line(
            "warning",
            "fallback",
            route=self.decision.route_id,
            reason=reason,
            failure=failure.kind.value,
            upstream=candidate.name,
            request_id=self.request_id,
        )
        self.arm = "legacy"
        self._shadow_dropped("fallback")
        if self.runtime.expose:
            self._expose()
        mark = b"X-Banyan-Fallback: %b\r\n" % reason.encode()
        await self._try(self.runtime.legacy, mark, 0.0, falls_back=False)

    def _may_fall_back(self, reason: str, seen: Seen) -> bool:
        plan = self.decision.plan
        return (
            plan is not None
            and reason in plan.fallback_reasons
            and (seen is Seen.NOT_SENT or (seen is Seen.MAYBE_SEEN and self.decision.replayable))
            and not self.answering
            and self.body_at_hand
            and not self.client.lost
        )

    async def _try(self, upstream: UpstreamRuntime, mark: bytes, reserve: float, *, falls_back: bool) -> None:
        """Steps 4 and 6 with one upstream."""
        if not self._total:
            self._total = upstream.timeouts.total
        if self.body is None and self.total_at == NEVER:
            self.total_at = self.started + self._total
        begun = monotonic() if mark else self.started
        try:
            connection, head = await ask(self, upstream, mark, reserve)
        except ExchangeError as failure:
            if CONSEQUENCES[failure.kind].party is Party.UPSTREAM:
                self.stats.failed(upstream.name, failure.kind.value)
            raise
        first_byte = monotonic() - begun
        outcome = "ok"
        if head.status >= 500:
            outcome = _BAD_STATUS
            if falls_back and self._may_fall_back("5xx", Seen.MAYBE_SEEN):
                self.stats.answered(upstream.name, outcome, first_byte)
                with suppress(ExchangeError):  # broken or not, it is not passed on
                    connection.take_body()  # a short one is at hand, and the connection stays usable
                connection.release()
                raise ExchangeError(FailureKind.BAD_STATUS, Seen.MAYBE_SEEN, str(head.status))
        try:
            # 6. relay
            if head.status == 101:
                self._shadow_dropped("upgrade")
                await tunnel(self, connection, head, upstream.timeouts.tunnel_idle)
            elif not start_answer(self, connection, head):
                await continue_answer(self, connection, upstream.timeouts.idle)
        except ExchangeError as failure:
            connection.discard()
            if CONSEQUENCES[failure.kind].party is Party.UPSTREAM:
                self.stats.failed(upstream.name, failure.kind.value)
            raise
        except BaseException:
            connection.discard()
            raise
        self.stats.answered(upstream.name, outcome, first_byte)

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
                request_id=self.request_id,
            )
        if self.answering or not consequence.status:
            self.status = self.status or CLIENT_CLOSED_STATUS
            if consequence.party is Party.UPSTREAM:
                self.client.close()  # what was sent before still arrives, and then the connection ends too early
            else:
                self.client.abort()
            return
        self.status = consequence.status
        request, whole = self.request, self.client.body_done
        ours = kind is FailureKind.INTERNAL
        self.keep = request.keep_alive and whole and not ours and not self.draining
        self.client.write(
            failure_answer(
                kind,
                self.request_id.decode("latin-1"),
                self.date,
                accept=request.header("accept"),
                head_only=request.method == "HEAD",
                extra=self.client_extra + (b"" if self.keep else b"Connection: close\r\n"),
            )
        )

    def _settle(self) -> None:
        decision, stats = self.decision, self.stats
        stats.request(self.request.method, self.status, self.arm, decision.reason, monotonic() - self.started)
        if decision.plan is None and (decision.reason == "ambiguous-path" or self._failure is _AMBIGUOUS):
            self._worker.ambiguous += 1
        if self._shadow_wanted:
            self._shadow_dropped("client-left" if self.client.lost else "not-sent")
        if self.pairing is not None:
            try:
                self.pairing.answered(self._failure)
            except Exception as error:  # noqa: BLE001 - as above
                self._shadow_bug(error)

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
        return self.body is None or self.body.kept is not None or not self.body.size

    @property
    def awaits_continue(self) -> bool:
        """The client waits for 100 (Continue) before it sends its body."""
        body = self.body
        return self.request.expects_continue and not self._continued and body is not None and not body.size

    def send_continue(self) -> None:
        """Tell the client to go on: the upstream said nothing for too long."""
        self._continued = True
        self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx answer on; not to an HTTP/1.0 client, and 100 only to who waits for it.

        Raises :class:`ExchangeError` for a 101 that nobody asked for.
        """
        if head.status == 101:
            raise ExchangeError(FailureKind.INVALID_RESPONSE, Seen.MAYBE_SEEN, "101 without Upgrade")
        if self.request.version == "1.0":
            return
        if head.status == 100:
            if not self.awaits_continue:
                return
            self._continued = True
        hidden = head.hidden + [field for field in head.fields if field[0].lower() == b"content-length"]
        self.client.write(client_head(head.raw, hidden, chunked=False, extra=b""))

    def received(self, now: float) -> None:
        """The request has been sent whole: its deadline begins, and the shadow."""
        if self.total_at == NEVER:
            self.total_at = now + self._total
        if self._shadow_wanted:
            self._shadow_wanted = False
            try:
                self.pairing = Pairing.begin(self, self._worker)
            except Exception as error:  # noqa: BLE001 - no bug in shadowing may reach the client
                self._shadow_bug(error)

    def _shadow_bug(self, error: Exception) -> None:
        log_line("error", "shadow-internal-error", error=repr(error), route=self.decision.route_id)
        self.stats.shadow_dropped("internal-error")

    def _shadow_dropped(self, reason: str) -> None:
        """No shadow for this request after all; counted, if one was wanted."""
        if self._shadow_wanted:
            self._shadow_wanted = False
            self.stats.shadow_dropped(reason)
        elif self.pairing is not None:
            self.pairing.drop(reason)
            self.pairing = None
