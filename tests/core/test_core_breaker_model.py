"""The breaker against a naive model of it."""

from typing import Any

import pytest
from breakers import built, middle
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from proxy.config.upstreams import Breaker as Settings
from proxy.core.breaker import MAX_CHANGES, REFUSED, SLICES, Breaker


class Model:
    """As naive as can be: it keeps every result with its time, and every permit with the state it was given in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = "closed"
        self.period = 0  # counts changes of state
        self.results: list[tuple[float, bool]] = []  # since it closed
        self.slice_begins: float | None = None
        self.succeeded = 0
        self.out: dict[int, float] = {}  # probes under way, and since when
        self.until = 0.0
        self.row = 0
        self.refused = 0
        self.opened = 0

    def move(self, state: str) -> None:
        self.state = state
        self.period += 1
        self.results, self.slice_begins = [], None
        self.succeeded, self.out = 0, {}

    def open(self, now: float, jitter: float) -> None:
        self.move("open")
        self.opened += 1
        seconds = min(self.settings.open * 2**self.row, self.settings.max_open) * (0.8 + 0.4 * jitter)
        self.until = now + min(seconds, self.settings.max_open)

    def passes(self, now: float) -> str:
        """``free``, ``probe`` or ``refused``."""
        if self.settings.mode == "off" or self.state == "closed":
            return "free"
        if self.state == "open" and now >= self.until:
            self.move("half-open")
        if self.state == "half-open":
            if self.out and now >= max(self.out.values()) + self.settings.max_open:
                self.out = {}
            if self.succeeded + len(self.out) < self.settings.probes:
                return "probe"
        self.refused += 1
        return "refused"

    def window(self, now: float) -> list[bool]:
        """Results of the last SLICES slices, the present one included; slices run from the first result."""
        size = self.settings.window / SLICES
        if self.slice_begins is None or now >= self.slice_begins + SLICES * size:
            self.slice_begins = now
        while now >= self.slice_begins + size:
            self.slice_begins += size
        return [ok for at, ok in self.results if at >= self.slice_begins - (SLICES - 1) * size]

    def result(self, ok: bool, now: float, jitter: float) -> None:
        recent = [*self.window(now), ok]
        self.results.append((now, ok))
        if ok or self.settings.mode == "off":
            return
        row = 0
        for one in reversed([ok for _, ok in self.results]):
            if one:
                break
            row += 1
        settings = self.settings
        if (settings.consecutive_failures and row >= settings.consecutive_failures) or (
            settings.error_share
            and len(recent) >= settings.min_requests
            and recent.count(False) / len(recent) >= settings.error_share
        ):
            self.open(now, jitter)

    def probed(self, permit: int, ok: bool | None, now: float, jitter: float) -> None:
        if permit not in self.out:
            return
        del self.out[permit]
        if ok is False:
            self.row += 1
            self.open(now, jitter)
        elif ok:
            self.succeeded += 1
            if self.succeeded >= self.settings.probes:
                self.row = 0
                self.move("closed")


class Against(RuleBasedStateMachine):
    """The breaker and the model are told the same. Times are eighths of a second, so that no sum is rounded."""

    held = Bundle("held")  # (permit, kind, period)

    def __init__(self) -> None:
        super().__init__()
        words = built(
            mode=self.MODE,
            consecutive_failures=4,
            error_share=0.5,
            min_requests=6,
            window=10.0,
            open=8.0,
            max_open=32.0,
            probes=2,
        )
        self.real, self.model = Breaker(words), Model(words)
        self.now = 64.0

    MODE: Any = "enforce"

    @rule(eighths=st.one_of(st.integers(0, 4), st.integers(0, 400)))
    def wait(self, eighths: int) -> None:
        self.now += eighths / 8

    @rule(target=held)
    def admit(self) -> tuple[int, str, int]:
        kind = self.model.passes(self.now)
        permit = self.real.admit(self.now, middle)
        assert (permit == REFUSED) == (kind == "refused" and self.MODE == "enforce")
        if kind == "probe":
            assert permit not in self.model.out
            self.model.out[permit] = self.now
        return permit, kind, self.model.period

    @rule(one=held, ok=st.sampled_from([True, False, False, None]), chance=st.sampled_from([0.0, 0.5, 0.75]))
    def settle(self, one: tuple[int, str, int], ok: bool | None, chance: float) -> None:
        """Also twice and late: a bundle hands the same permit out again."""
        permit, kind, period = one
        if kind == "free" and ok is not None and period == self.model.period:
            self.model.result(ok, self.now, chance)
        elif kind == "probe":
            self.model.probed(permit, ok, self.now, chance)
        self.real.settle(permit, ok, self.now, lambda: chance)

    @rule(results=st.lists(st.booleans(), max_size=12))
    def traffic(self, results: list[bool]) -> None:
        for ok in results:
            self.settle(self.admit(), ok, 0.5)

    @rule(ask=st.integers(3, 50))
    def storm(self, ask: int) -> None:
        """Many ask at one moment, and none comes back yet."""
        for _ in range(ask):
            self.admit()

    @rule()
    def tick(self) -> None:
        self.real.tick(self.now)

    @invariant()
    def agrees(self) -> None:
        real, model = self.real, self.model
        assert (real.state, real.refused, real.opened) == (model.state, model.refused, model.opened)
        left = max(0.0, model.until - self.now) if model.state == "open" else 0.0
        assert real.open_seconds(self.now) == pytest.approx(left)
        assert real.open_seconds(self.now) <= model.settings.max_open
        assert len(real._probes) + real._proven <= model.settings.probes
        assert len(real.changes) <= MAX_CHANGES


class AgainstObserving(Against):
    """The same in mode observe: the same states, the same counts, and nothing refused."""

    MODE = "observe"


class AgainstOff(Against):
    """The same in mode off: closed for ever."""

    MODE = "off"


TestAgainstTheModel = Against.TestCase
TestObserveAgainstTheModel = AgainstObserving.TestCase
TestOffAgainstTheModel = AgainstOff.TestCase
for _case in (TestAgainstTheModel, TestObserveAgainstTheModel, TestOffAgainstTheModel):
    _case.settings = profile(max_examples=100, stateful_step_count=60, deadline=None)
del _case  # else it is found as one more test
