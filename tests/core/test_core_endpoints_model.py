"""Any sequence of what can happen to the endpoints of an upstream, against a model."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.config.upstreams import Upstream
from proxy.core.endpoints import EndpointSet, EndpointState
from proxy.messages import EndpointWord

NAMES = [f"e{n}" for n in range(6)]


class Known:
    """What the model knows of one endpoint."""

    def __init__(self) -> None:
        self.weight = 1
        self.healthy = True
        self.listed = True
        self.in_flight = 0
        self.failures = 0
        self.until: float | None = None

    @property
    def counts(self) -> bool:
        return self.listed and self.weight > 0


class Endpoints(RuleBasedStateMachine):
    """The law in the plainest words, worked out anew at every step."""

    @initialize(
        failures=st.integers(0, 4),
        percent=st.integers(0, 100),
        panic=st.integers(0, 100),
        slow_start=st.sampled_from([0, 3, 40]),
        balance=st.sampled_from(["round-robin", "least-request", "hash"]),
    )
    def begin(self, failures: int, percent: int, panic: int, slow_start: int, balance: str) -> None:
        self.now = 0.0
        self.known: dict[str, Known] = {}
        self.keys = {"slow_start": f"{slow_start}s", "balance": balance}
        self.take(failures, percent, panic)
        self.made = EndpointSet(self.settings, 0.0)

    def take(self, failures: int, percent: int, panic: int) -> None:
        self.threshold, self.percent, self.panic_percent = failures, percent, panic
        outliers = {"consecutive_failures": failures, "max_ejected": f"{percent}%", "ejection": "10s"}
        self.settings = Upstream.model_validate(
            {"endpoints": ["http://unused:1"], "panic": f"{panic}%", "outliers": outliers, **self.keys}
        )

    def state(self, name: str) -> EndpointState:
        return self.made._states[f"http://{name}"]

    @rule(failures=st.integers(0, 4), percent=st.integers(0, 100), panic=st.integers(0, 100))
    def reload(self, failures: int, percent: int, panic: int) -> None:
        self.take(failures, percent, panic)
        self.made.configure(self.settings, self.now)
        self.settle()

    @rule(
        listed=st.lists(
            st.tuples(st.sampled_from(NAMES), st.integers(0, 3), st.booleans()), max_size=6, unique_by=lambda t: t[0]
        )
    )
    def update(self, listed: list[tuple[str, int, bool]]) -> None:
        drained = {name for name, known in self.known.items() if not known.listed}
        for known in self.known.values():
            known.listed = False
        for name, weight, healthy in listed:
            new = name not in self.known
            known = self.known.setdefault(name, Known())
            if not new and (name in drained or (healthy and not known.healthy)):
                known.failures = 0
            known.listed, known.weight, known.healthy = True, weight, healthy
        self.made.update([EndpointWord(f"http://{n}", w, h) for n, w, h in listed], self.now)
        self.settle()

    @rule(quarters=st.integers(0, 100))
    def wait(self, quarters: int) -> None:
        self.now += quarters / 4  # a number of seconds that floats hold exactly
        self.made.tick(self.now)
        for name in [n for n, known in self.known.items() if not known.listed and not known.in_flight]:
            del self.known[name]
        self.settle()

    @rule(name=st.sampled_from(NAMES))
    def fail(self, name: str) -> None:
        known = self.known.get(name)
        if known is None:
            return
        known.failures += 1
        expected = (
            0 < self.threshold <= known.failures
            and known.until is None
            and known.counts
            and len(self.ejected()) < self.may_be_ejected()
        )
        assert self.made.failed(self.state(name), self.now) == expected
        if expected:
            known.until = self.state(name).ejected_until
            assert 10 <= known.until - self.now <= 300
        self.settle()

    @rule(name=st.sampled_from(NAMES))
    def succeed(self, name: str) -> None:
        if name in self.known:
            self.known[name].failures = 0
            self.made.succeeded(self.state(name))

    @rule(
        chance=st.floats(0, 1, exclude_max=True),
        key=st.none() | st.text("ab"),
        avoid=st.none() | st.sampled_from(NAMES),
    )
    def ask(self, chance: float, key: str | None, avoid: str | None) -> None:
        avoided = self.state(avoid) if avoid is not None and avoid in self.known else None
        one = self.made.pick(self.now, lambda: chance, key=key, avoid=avoided)
        service = self.service()
        assert (one is None) == (not service)
        if one is not None:
            name = one.url.removeprefix("http://")
            assert name in service
            assert name != avoid or service == {avoid}
            one.in_flight += 1
            self.known[name].in_flight += 1

    @precondition(lambda self: any(known.in_flight for known in self.known.values()))
    @rule(number=st.integers(0, 5))
    def end(self, number: int) -> None:
        busy = [name for name, known in self.known.items() if known.in_flight]
        name = busy[number % len(busy)]
        self.known[name].in_flight -= 1
        self.state(name).in_flight -= 1

    def settle(self) -> None:
        """Ejections end by time, and by the bound: the earliest first."""
        for known in self.known.values():
            if known.until is not None and known.until <= self.now:
                known.until, known.failures = None, 0
        ejected = self.ejected()
        while len(ejected) > self.may_be_ejected():
            least = min(known.until or 0.0 for known in ejected)
            # Of several that are due at once it may be any, so the model takes the set's word.
            back = next(
                k
                for n, k in self.known.items()
                if k in ejected and k.until == least and not self.state(n).ejected_until
            )
            back.until, back.failures = None, 0
            ejected.remove(back)

    def ejected(self) -> list[Known]:
        return [known for known in self.known.values() if known.counts and known.until is not None]

    def may_be_ejected(self) -> int:
        count = sum(known.counts for known in self.known.values())
        return count * self.percent // 100 if count > 1 and self.threshold else 0

    def service(self) -> set[str]:
        counting = {name for name, known in self.known.items() if known.counts}
        fit = {name for name in counting if self.known[name].healthy and self.known[name].until is None}
        return counting if 100 * len(fit) < self.panic_percent * len(counting) else fit

    @invariant()
    def figures_are_the_models(self) -> None:
        if not hasattr(self, "made"):
            return
        figures = self.made.figures()
        assert figures.keys() == {f"http://{name}" for name in self.known}
        for name, known in self.known.items():
            one = figures[f"http://{name}"]
            assert (one.in_flight, one.weight) == (known.in_flight, known.weight)
            if not known.listed:
                assert one.state == "draining"
            elif known.weight:
                assert one.state == ("ejected" if known.until else "fit" if known.healthy else "unhealthy")
            assert self.state(name).consecutive_failures == known.failures
        counting = sum(known.counts for known in self.known.values())
        fit = sum(known.counts and known.healthy and known.until is None for known in self.known.values())
        assert self.made.panic == (100 * fit < self.panic_percent * counting)
        assert len(self.ejected()) * 100 <= self.percent * counting


TestEndpoints = Endpoints.TestCase
