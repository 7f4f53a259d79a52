"""Totals over processes and over their deaths."""

from proxy.control.figures import Figures
from proxy.messages import ComparatorStats, CompareCounters, RouteCounters, WorkerStats


def worker(pid: int, requests: int, index: int = 0) -> WorkerStats:
    return WorkerStats(
        worker=index, pid=pid, generation=1, draining=False, connections=1, in_flight=0, lag_seconds=0.0,
        shadows_in_flight=0, routes={"a": RouteCounters(requests={"GET 200 legacy": requests}, matched=requests)},
        refused={"bad-request": 1}, ambiguous=2, replay_refused={"size": 3},
    )  # fmt: skip


def comparator(pid: int, mismatched: int) -> ComparatorStats:
    routes = {"a": CompareCounters(verdicts={"mismatched": mismatched})}
    return ComparatorStats(pid=pid, generation=1, routes=routes, store_dropped={"disk": 1}, queued=0)


def requests(figures: Figures) -> int:
    return figures.totals()["a"].traffic.requests["GET 200 legacy"]


def test_newer_figures_of_one_process_replace_the_older() -> None:
    figures = Figures()
    figures.update(worker(1, 3))
    figures.update(worker(1, 5))
    assert requests(figures) == 5


def test_total_does_not_fall_when_a_worker_is_restarted() -> None:
    figures = Figures()
    figures.update(worker(1, 5))
    figures.update(worker(2, 7, index=1))
    figures.retire(1)
    assert requests(figures) == 12
    figures.update(worker(3, 1))
    assert requests(figures) == 13
    assert (figures.refused(), figures.ambiguous()) == ({"bad-request": 3}, 6)
    assert figures.replay_refused() == {"size": 9}


def test_retiring_twice_or_an_unknown_process_adds_nothing() -> None:
    figures = Figures()
    figures.update(worker(1, 5))
    for pid in (1, 1, 99):
        figures.retire(pid)
    assert requests(figures) == 5


def test_verdicts_join_what_workers_and_the_comparator_found() -> None:
    figures = Figures()
    figures.update(worker(1, 5))
    figures.update(comparator(2, 3))
    figures.retire(2)
    figures.update(comparator(4, 1))
    assert figures.totals()["a"].verdicts() == {"matched": 5, "ignored": 0, "mismatched": 4, "incomparable": 0}
    assert figures.store_dropped() == {"disk": 2}


def test_figures_that_could_not_be_saved_come_again() -> None:
    figures = Figures()
    figures.update(worker(1, 5))
    delta, mark = figures.unsaved()
    assert delta["a"].traffic.matched == 5
    figures.update(worker(1, 8))
    assert figures.unsaved()[0]["a"].traffic.matched == 8
    figures.saved(mark)
    assert figures.unsaved()[0]["a"].traffic.matched == 3
    figures.saved(figures.unsaved()[1])
    assert figures.unsaved()[0] == {}
