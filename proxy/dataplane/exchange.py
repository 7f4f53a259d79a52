"""The life of a request.

Law: every request goes through the same steps, and each step is marked where it is taken, most of them in
:meth:`Exchange.run`:

1. **Gate** - the head has come and has exactly one reading (``connection``, ``core.gate``); else it is refused.
2. **Decide** - one immutable decision: generation, route, arm, why, whether to shadow, whether to fall back.
3. **Prepare** - the body's bounds and whether a copy is kept; the head for the upstreams (``prepare``).
4. **Ask** the chosen arm, as often as its policy allows (``resilience``, ``forward``); as soon as the request has been
   sent whole, the **shadow** starts beside it.
5. **Fall back** to legacy, if the candidate failed, nothing was sent to the client, and what the candidate may have
   seen allows it (``resilience``).
6. **Relay** the answer; from its first byte on a failure can only cut the client off.
7. **Settle** - figures, the access log, the pair for comparing, the connection's fate.
"""

from __future__ import annotations

from random import random
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from proxy.core.decide import decide
from proxy.core.drills import describe
from proxy.core.fields import Kind
from proxy.core.heads import client_head, upstream_head
from proxy.core.identity import identify
from proxy.dataplane.answers import failure_answer
from proxy.dataplane.cells import cell_of
from proxy.dataplane.glimpse import Glimpse
from proxy.dataplane.prepare import answered_here, open_body, our_lines, trusted_lines
from proxy.dataplane.read_back import ReadBack
from proxy.dataplane.resilience import answer, fall_back
from proxy.dataplane.shadow import Pairing
from proxy.dataplane.stats import count
from proxy.errors import CONSEQUENCES, ExchangeError, FailureKind, Party, Seen
from proxy.telemetry.access_line import AccessRecord, Try
from proxy.telemetry.logs import log_line
from proxy.wire.fiber import NEVER

if TYPE_CHECKING:
    from proxy.config.model import Drill
    from proxy.core.coverage import CellCount
    from proxy.core.request import Request
    from proxy.dataplane.request_body import ReplayMemory, RequestBody
    from proxy.dataplane.runtime import Runtime
    from proxy.dataplane.upstreams import Way
    from proxy.dataplane.worker import Worker
    from proxy.wire.downstream import ClientConnection
    from proxy.wire.response import ResponseHead

CLIENT_CLOSED_STATUS: Final = 499
"""In figures only: the client left before it was answered."""

_AMBIGUOUS: Final = FailureKind.AMBIGUOUS_PATH


class Exchange:
    """One request on its way. Attributes without an underscore are read by the other files of this package."""

    # Defaults stand on the class: a request that needs nothing special sets few of them.
    body: RequestBody | None = None
    glimpse: Glimpse | None = None
    cell: CellCount | None = None  # of the coverage, once legacy answers
    drill: Drill | None = None  # a fault that this request is to meet on the candidate
    tries: list[Try] | None = None  # for the access log
    head = b""  # for upstreams, without marks
    client_extra = b""  # our lines in the client's head
    total = 0.0  # seconds of the deadline
    sent_at = 0.0  # monotonic; a body had been sent by then, and its client took the time before
    total_at = NEVER  # monotonic; the deadline begins when the request has been sent whole
    fallback = ""  # why legacy answers instead
    why = "first"  # of the next try: first, retry or fallback
    keep = False
    recorded = False  # its body is kept for the record of requests
    shown = False  # some try that failed may have been seen, also if the last one was not
    answering = False  # something of the answer was sent to the client
    chunked = False  # the answer goes to the client in chunks
    ends_with_connection = False  # the end of the connection ends the answer
    status = 0
    sent = 0  # bytes of the answer's body
    request_id = b""
    _continued = False
    _shadow_wanted = False
    _failure: FailureKind | None = None

    def __init__(self, client: ClientConnection, worker: Worker, runtime: Runtime, request: Request) -> None:
        self.client = client
        self.runtime = runtime
        self.request = request
        self.started = self.now = monotonic()  # now: when something last happened to it
        self.decision = runtime.snapshot.unrouted
        self.route = runtime.unrouted
        self.stats = runtime.unrouted.stats
        self.arm = "legacy"
        # Not on the class: compiled, a None there is a default only where the type has nothing else but one class.
        self.pairing: Pairing | ReadBack | None = None
        self._worker = worker

    async def run(self) -> None:
        """Serve the request through the steps 2 to 7. Never raises; ``keep`` says whether the connection may go on."""
        worker, runtime, request = self._worker, self.runtime, self.request
        worker.in_flight += 1
        try:
            trusted = runtime.trusts_any and runtime.trusts(self.client.peer)
            lines = trusted_lines if trusted else our_lines
            added = lines(self, worker.id_prefix)
            # 2. decide
            decision = self.decision = decide(runtime.snapshot, request, random)
            plan, route = decision.plan, self.route
            if plan is not None:
                route = self.route = runtime.routes[plan.index]
                self.stats = route.stats
                self.arm = decision.arm
                self._shadow_wanted = decision.shadow
            # 3. prepare
            if worker.access_log is not None:
                self.tries = []
            if request.length:
                open_body(self)
            if request.kinds & Kind.MAX_FORWARDS and answered_here(self):
                return
            self.head = upstream_head(request, trusted=trusted, extra=added)
            if runtime.expose:
                self._expose()
            # 4. ask and 6. relay; 5. fall back
            candidate = route.candidate
            if candidate is None or decision.arm == "legacy":
                await answer(self, route.legacy, b"", 0.0)
            else:
                if route.drills is not None:
                    self.drill = route.drills.choose(request, decision.user, random)
                try:
                    await answer(self, candidate, b"", route.reserve if decision.fallback else 0.0)
                except ExchangeError as failure:
                    mark = fall_back(self, failure)
                    await answer(self, route.legacy, mark, 0.0)
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

    def _expose(self) -> None:
        self.client_extra = b"X-Banyan-Arm: %b\r\nX-Banyan-Route: %b\r\n" % (
            self.arm.encode(),
            self.decision.route_id.encode(),
        )

    def _failed(self, failure: ExchangeError) -> None:
        """Answer a failure if nothing was sent yet, else cut the client off."""
        kind = self._failure = failure.kind
        self.now = monotonic()
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
        self.status = failure.status
        request, whole = self.request, self.client.body_done
        ours = kind is FailureKind.INTERNAL
        self.keep = request.keep_alive and whole and not ours and not self.draining
        self.client.write(
            failure_answer(
                failure,
                self.request_id.decode("latin-1"),
                self.date,
                accept=request.header("accept"),
                head_only=request.method == "HEAD",
                extra=self.client_extra + (b"" if self.keep else b"Connection: close\r\n"),
            )
        )

    def _settle(self) -> None:
        decision, stats = self.decision, self.stats
        stats.request(self.request.method, self.status, self.arm, decision.reason, self.now - self.started)
        plan = decision.plan
        if plan is not None:
            if self.arm == "candidate" and self.request.method in plan.unpaired_methods:
                stats.counters.unpaired += 1
        elif decision.reason == "ambiguous-path" or self._failure is _AMBIGUOUS:
            self._worker.ambiguous += 1
        if self._shadow_wanted:
            self.shadow_dropped("client-left" if self.client.lost else "not-sent")
        if self.cell is not None and self._failure is None:
            self.cell.seen += 1
        if self.pairing is not None:
            try:
                self.pairing.answered(self._failure, self.now)
            except Exception as error:  # noqa: BLE001 - as above
                self._shadow_bug(error)
        if self.glimpse is not None:
            try:
                self.glimpse.answered(self._failure, self.now)
            except Exception as error:  # noqa: BLE001 - as above
                self._coverage_bug(error)
        if self.body is not None:
            self.body.forget()
        if self.tries is not None:
            self._log_access()

    def _log_access(self) -> None:
        log, decision, request = self._worker.access_log, self.decision, self.request
        if log is None or self.tries is None:
            return
        log.write(
            AccessRecord(
                time=time() - (monotonic() - self.started),
                request_id=self.request_id,
                client=self.client.peer,
                method=request.method,
                target=request.target,
                status=self.status,
                route=decision.route_id,
                arm=self.arm,
                reason=decision.reason,
                generation=decision.generation,
                seconds=self.now - self.started,
                bytes_sent=self.sent,
                tries=self.tries,
                cohort=decision.cohort or "",
                failure="" if self._failure is None else self._failure.value,
                fallback=self.fallback,
                breaker=self._breaker_state(),
                drill="" if self.drill is None else describe(self.drill),
            )
        )

    def _breaker_state(self) -> str:
        way = self.route.candidate if self.decision.arm == "candidate" else self.route.legacy
        breaker = None if way is None else way.breaker
        return "" if breaker is None or breaker.state == "closed" else breaker.state

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

    @property
    def memory(self) -> ReplayMemory:
        """What all kept request bodies of the worker may take."""
        return self._worker.replay_memory

    def user(self) -> str | None:
        """Who asks, also where the decision did not need to know."""
        return self.decision.user or identify(self.runtime.snapshot.identity, self.request)

    def begin_deadline(self, now: float) -> None:
        """The request has come whole; once only."""
        if self.total_at == NEVER:
            self.total_at = now + self.total

    def falls_back(self, reason: str, failure: ExchangeError) -> None:
        """From here on legacy answers."""
        self.fallback = reason
        self.now = monotonic()
        self.why = "fallback"
        self.arm = "legacy"
        count(self.stats.counters.fallbacks, reason)
        log_line(
            "warning",
            "fallback",
            route=self.decision.route_id,
            reason=reason,
            failure=failure.kind.value,
            detail=failure.detail,
            upstream=self.decision.plan.candidate if self.decision.plan else "",
            request_id=self.request_id,
        )
        self.shadow_dropped("fallback")
        if self.runtime.expose:
            self._expose()

    def note(self, way: Way, url: str, outcome: str | int, seconds: float) -> None:
        """A try on an endpoint (its URL; empty: none was chosen) for the access log; ``seconds`` to head or failure."""
        if self.tries is not None:
            self.tries.append(Try(way.name, url, seconds, outcome, self.why))

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
        self.now = now
        self.begin_deadline(now)
        if self._shadow_wanted:
            self._shadow_wanted = False
            try:
                if self.decision.purpose == "read-back":
                    self.pairing = ReadBack.begin(self, self._worker)
                else:
                    self.pairing = Pairing.begin(self, self._worker)
            except Exception as error:  # noqa: BLE001 - no bug in shadowing may reach the client
                self._shadow_bug(error)
        elif self.why == "retry":
            self.not_timed()

    def not_timed(self) -> None:
        """How long the answer takes is not its upstream's doing alone: the client is slow, or it was asked twice."""
        if isinstance(self.pairing, Pairing):
            self.pairing.timed = False

    def cover(self, head: ResponseHead, *, empty: bool) -> None:
        """The final answer begins: if it is legacy's, find its cell, and have it looked at if its turn has come."""
        if self.arm != "legacy" or self.route.candidate is None:
            return
        try:
            cell = self.cell = cell_of(
                self.runtime, self.route, self.request, self.decision.user, head.status, head.fields, empty=empty
            )
            pairing = self.pairing
            if isinstance(pairing, Pairing):
                pairing.cell = cell
            elif self.recorded or cell.look_at_unpaired:
                glimpse = self.glimpse = Glimpse.begin(self, self._worker, cell)
                if glimpse is not None:
                    glimpse.capture_head(head)
        except Exception as error:  # noqa: BLE001 - as above
            self._coverage_bug(error)

    def _coverage_bug(self, error: Exception) -> None:
        log_line("error", "coverage-internal-error", error=repr(error), route=self.decision.route_id)

    def _shadow_bug(self, error: Exception) -> None:
        log_line("error", "shadow-internal-error", error=repr(error), route=self.decision.route_id)
        self.stats.shadow_dropped("internal-error")

    def shadow_dropped(self, reason: str) -> None:
        """No shadow for this request after all; counted, if one was wanted."""
        if self._shadow_wanted:
            self._shadow_wanted = False
            self.stats.shadow_dropped(reason)
        elif self.pairing is not None:
            self.pairing.drop(reason)
            self.pairing = None
