"""An answer of legacy's that no candidate is asked about, kept so that the comparator can look at it.

Law: it costs the upstreams nothing and the client no wait. It shares the shadows' bound on memory, and where a bound is
met it is given up: nothing depends on it, since another answer of its cell will come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dataplane.capture import Holder, Side
from proxy.dataplane.pairs import no_answer, pair_of

if TYPE_CHECKING:
    from proxy.core.coverage import CellCount
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.worker import Worker
    from proxy.errors import FailureKind
    from proxy.messages import Pair
    from proxy.wire.response import ResponseHead


class Glimpse(Holder):
    """One answer on its way to the comparator."""

    _closed = False

    def __init__(self, exchange: Exchange, worker: Worker, cell: CellCount, cap: int, body: bytes) -> None:
        super().__init__(worker)
        self._cell = cell
        self._runtime = exchange.runtime
        self._facts = (exchange.request, exchange.decision, exchange.request_id, body)
        self._begun = exchange.now
        self.mine = Side(cap)

    @classmethod
    def begin(cls, exchange: Exchange, worker: Worker, cell: CellCount) -> Glimpse | None:
        """Look at an answer whose head has come; None if a bound forbids it."""
        plan, runtime = exchange.decision.plan, exchange.runtime
        lag = runtime.overload.shadow_lag
        if (
            plan is None
            or worker.draining
            or (lag and worker.late(exchange.now) > lag)
            or worker.shadow_bytes >= runtime.shadow_memory
        ):
            return None
        body = b""
        if exchange.body is not None and exchange.body.kept and exchange.body.done:
            body = b"".join(exchange.body.kept)
        glimpse = cls(exchange, worker, cell, plan.route.shadow.max_body, body)
        glimpse._hold(len(body))
        return glimpse

    def capture_head(self, head: ResponseHead) -> None:
        """The answer began."""
        self.mine.head(head)

    def capture(self, piece: bytes) -> None:
        """A piece of it came; with one above the cap nobody could tell its shape."""
        if self._closed:
            return
        if not self._hold(self.mine.piece(piece)) or self.mine.truncated:
            self._drop()

    def answered(self, failure: FailureKind | None, now: float) -> None:
        """The answer is over since ``now`` (monotonic seconds); one that broke off says nothing."""
        if self._closed:
            return
        if failure is None:
            self.mine.seconds = now - self._begun
            self._worker.send_pair(self._pair())
        self._drop()

    def _drop(self) -> None:
        self._closed = True
        self.mine.pieces.clear()
        self._let_go()

    def _pair(self) -> Pair:
        legacy = self.mine.answer("")
        pair = pair_of(self._runtime, self._facts, self._begun, legacy, no_answer(), "seen", self._cell.key)
        pair.arm, pair.compared = "legacy", False
        return pair
