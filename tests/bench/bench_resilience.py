"""What a request pays for breaker, bulkhead and budget together while nothing fails."""

import time

from proxy.config.upstreams import Breaker as BreakerSettings
from proxy.config.upstreams import Bulkhead as BulkheadSettings
from proxy.config.upstreams import Retries
from proxy.core.breaker import REFUSED, Breaker
from proxy.core.bulkhead import Bulkhead
from proxy.core.retry import RetryBudget, RetryPolicy

ROUNDS = 10_000


def chance() -> float:
    return 0.5


def requests(rounds: int) -> None:
    """So many requests, one after the other, each asking as the traffic path does; all of them succeed."""
    breaker, bulkhead = Breaker(BreakerSettings()), Bulkhead(BulkheadSettings())
    policy, budget = RetryPolicy(Retries()), RetryBudget(Retries())
    now = 1000.0
    for _ in range(rounds):
        permit = breaker.admit(now, chance)
        if permit == REFUSED or not bulkhead.enter():
            raise AssertionError("nothing is refused here")
        if policy.attempts and budget.in_flight >= bulkhead.in_flight:
            raise AssertionError("nothing is tried again here")
        bulkhead.leave()
        breaker.settle(permit, True, now, chance)


def measure() -> float:
    """The least microseconds per request of many short rounds, the loop included: others may use the machine."""
    best = float("inf")
    for _ in range(40):
        begin = time.perf_counter()
        requests(ROUNDS)
        best = min(best, time.perf_counter() - begin)
    return best / ROUNDS * 1e6


if __name__ == "__main__":
    print(f"{measure():.3f} µs per request for breaker, bulkhead and budget")
