"""The bulkhead: places go by order of arrival, are left once, and are never more than there are."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.config.upstreams import Bulkhead as Settings
from proxy.core.bulkhead import Bulkhead, Waiter


def bulkhead(most: int, queue: int = 4, queue_timeout: float = 0.25) -> Bulkhead:
    return Bulkhead(built(most, queue, queue_timeout))


def built(most: int, queue: int = 4, queue_timeout: float = 0.25) -> Settings:
    return Settings.model_construct(max_concurrent=most, queue=queue, queue_timeout=queue_timeout)


def full(most: int, queue: int = 4) -> Bulkhead:
    made = bulkhead(most, queue)
    assert all(made.enter() for _ in range(most))
    return made


def waiting(made: Bulkhead, wake: Callable[[], object] = lambda: None) -> Waiter:
    waiter = made.wait(wake)
    assert waiter is not None
    return waiter


def test_there_are_so_many_places_and_no_more() -> None:
    made = bulkhead(3)
    assert [made.enter() for _ in range(5)] == [True] * 3 + [False] * 2
    assert (made.in_flight, made.limit) == (3, 3)
    made.leave()
    assert made.enter()
    assert not made.enter()


def test_zero_is_no_bound() -> None:
    made = bulkhead(0)
    assert all(made.enter() for _ in range(10_000))
    assert made.limit == 0


def test_a_place_is_not_left_twice() -> None:
    made = bulkhead(1)
    assert made.enter()
    made.leave()
    with pytest.raises(RuntimeError):
        made.leave()
    assert made.in_flight == 0


def test_a_place_is_handed_over_in_order_and_nobody_overtakes() -> None:
    made, woken = full(1), []
    waiters = [waiting(made, lambda n=n: woken.append(n)) for n in range(3)]
    for n in range(3):
        made.leave()
        assert made.in_flight == 1
        assert not made.enter()
        assert woken == list(range(n + 1))
        assert [waiter.granted for waiter in waiters] == [True] * (n + 1) + [False] * (2 - n)
    made.leave()
    assert (made.in_flight, made.queued) == (0, 0)


@pytest.mark.parametrize(("queue", "timeout"), [(0, 0.25), (4, 0.0)])
def test_nobody_waits_if_there_is_no_queue_or_no_time(queue: int, timeout: float) -> None:
    made = bulkhead(1, queue, timeout)
    assert made.enter()
    assert not made.may_queue()
    assert made.wait(lambda: None) is None
    assert made.overflows == 1


def test_who_finds_no_room_to_wait_is_counted() -> None:
    made = full(1, queue=2)
    assert [made.wait(lambda: None) is None for _ in range(5)] == [False, False, True, True, True]
    assert (made.queued, made.overflows) == (2, 3)


def test_who_gave_up_is_skipped_and_makes_room() -> None:
    made = full(1, queue=2)
    first, second = waiting(made), waiting(made)
    assert not made.may_queue()
    made.give_up(first)
    assert made.may_queue()
    made.leave()
    assert second.granted
    assert not first.granted


def test_who_gives_up_with_a_place_in_hand_passes_it_on() -> None:
    made = full(1)
    first, second = waiting(made), waiting(made)
    made.leave()
    made.give_up(first)
    assert second.granted
    assert made.in_flight == 1
    made.give_up(second)
    assert made.in_flight == 0


def test_who_gives_up_twice_without_a_place_is_told_so() -> None:
    made = full(1)
    waiter = waiting(made)
    made.give_up(waiter)
    with pytest.raises(ValueError, match="not in deque"):
        made.give_up(waiter)


def test_a_wake_that_runs_at_once_and_leaves_at_once_serves_everybody_in_order() -> None:
    made, served = full(1), []

    def run(n: int) -> Callable[[], None]:
        def woken() -> None:
            assert made.in_flight == 1
            served.append(n)
            made.leave()

        return woken

    for n in range(4):
        waiting(made, run(n))
    made.leave()
    assert served == [0, 1, 2, 3]
    assert (made.in_flight, made.queued) == (0, 0)


def test_the_smaller_of_both_limits_holds() -> None:
    made = bulkhead(10)
    for adapted, limit in [(5, 5), (20, 10), (0, 10)]:
        made.adapt(adapted)
        assert made.limit == limit
    made.configure(built(0))
    made.adapt(7)
    assert made.limit == 7
    made.adapt(0)
    assert made.limit == 0


def test_more_places_go_to_those_who_wait() -> None:
    made = full(2)
    waiters = [waiting(made) for _ in range(4)]
    made.configure(built(4))
    assert [waiter.granted for waiter in waiters] == [True, True, False, False]
    assert made.in_flight == 4
    made.configure(built(0))
    assert made.in_flight == 6
    assert made.queued == 0


def test_fewer_places_are_reached_by_leaving() -> None:
    made = full(4)
    waiter = waiting(made)
    made.adapt(2)
    made.leave()
    made.leave()
    assert (made.in_flight, waiter.granted) == (2, False)
    made.leave()
    assert (made.in_flight, waiter.granted) == (2, True)


class Against(RuleBasedStateMachine):
    """The bulkhead, and a model that holds everybody by name."""

    def __init__(self) -> None:
        super().__init__()
        self.real = bulkhead(3, 4)
        self.most, self.adapted, self.room = 3, 0, 4
        self.under_way = 0
        self.line: deque[tuple[int, Waiter]] = deque()
        self.granted: list[tuple[int, Waiter]] = []  # with a place, and not yet left
        self.woken: list[int] = []
        self.expected: list[int] = []
        self.overflows = 0
        self.names = 0

    def bound(self) -> float:
        return min(self.most or float("inf"), self.adapted or float("inf"))

    def serve(self) -> None:
        """Free places go to those who wait, in order."""
        while self.line and self.under_way < self.bound():
            self.under_way += 1
            self.granted.append(self.line.popleft())
            self.expected.append(self.granted[-1][0])

    @rule()
    def enter(self) -> None:
        free = self.under_way < self.bound()
        assert self.real.enter() is free
        self.under_way += free

    @precondition(lambda self: self.under_way)
    @rule()
    def leave(self) -> None:
        self.real.leave()
        self.under_way -= 1
        self.serve()
        self.granted = self.granted[: self.under_way]  # some of them were those who left

    @precondition(lambda self: not self.under_way)
    @rule()
    def leave_once_too_often(self) -> None:
        with pytest.raises(RuntimeError):
            self.real.leave()

    @precondition(lambda self: self.under_way >= self.bound())
    @rule()
    def wait(self) -> None:
        name = self.names
        self.names += 1
        waiter = self.real.wait(lambda: self.woken.append(name))
        assert (waiter is None) == (len(self.line) >= self.room)
        if waiter is None:
            self.overflows += 1
        else:
            self.line.append((name, waiter))

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def give_up_waiting(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(list(self.line)))
        self.real.give_up(one[1])
        self.line.remove(one)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def give_up_too_late(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.granted))
        self.granted.remove(one)
        self.real.give_up(one[1])
        self.under_way -= 1
        self.serve()

    @rule(most=st.integers(0, 6), room=st.integers(0, 5))
    def configure(self, most: int, room: int) -> None:
        self.most, self.room = most, room
        self.real.configure(built(most, room))
        self.serve()

    @rule(limit=st.integers(0, 6))
    def adapt(self, limit: int) -> None:
        self.adapted = limit
        self.real.adapt(limit)
        self.serve()

    @invariant()
    def agrees(self) -> None:
        real, bound = self.real, self.bound()
        assert (real.in_flight, real.queued, real.overflows) == (self.under_way, len(self.line), self.overflows)
        assert self.woken == self.expected  # everybody once, and in order
        assert real.limit == (0 if bound == float("inf") else bound)
        assert real.may_queue() == (len(self.line) < self.room)
        assert not real.queued or real.in_flight >= bound  # nobody waits beside a free place


TestAgainstTheModel = Against.TestCase
TestAgainstTheModel.settings = profile(max_examples=100, stateful_step_count=60, deadline=None)
