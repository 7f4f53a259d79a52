"""What waits for the store: added up, bounded, put back whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store import batch as module
from proxy.store.batch import Batch, Sample, Seen, Way
from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE
from proxy.store.rates import Sighting

WAY = Way("legacy", "200/500", "GET", ("staff",))


def seen(key: str = "f", at: float = 0.0, legacy: str = "1") -> Seen:
    return Seen(key, "r", "value", "$.a", at, at, 1, legacy, "2")


def test_an_empty_batch_is_nothing_to_write() -> None:
    assert not Batch()
    assert all(
        (
            Batch(replaced=["a"]),
            Batch(compared={"r": (0, 1)}),
            Batch(samples=[Sample("a", "f", 0.0, "id", b"")]),
        )
    )


def test_sightings_are_added_up_with_their_ways() -> None:
    batch = Batch()
    batch.add_seen(seen(at=5.0), WAY)
    batch.add_seen(seen(at=3.0, legacy="9"), WAY)
    assert batch.seen["f"] == Seen("f", "r", "value", "$.a", 3.0, 5.0, 2, "9", "2")
    assert batch.ways == {("f", WAY): 2}
    assert list(batch.sightings()) == [Sighting("f", "r", "value", "$.a", seen=2)]


def test_evidence_without_room_gets_older_and_worse_never_younger_or_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNTERS", 10)
    monkeypatch.setattr(Batch.add_pair, "__defaults__", (1,))
    batch = Batch()
    for n in range(10):
        assert batch.add_pair("r", 7200.0 + 10 * n, "aa")
    assert batch.add_pair("r", 7300.0, "aa") is True
    assert batch.add_pair("r", 7400.0, EQUAL) is False  # not even an hour has room: to be counted as lost
    assert batch.pairs[7200, "r", MORE] == 1
    assert sum(batch.pairs.values()) == 11


COUNTS = st.dictionaries(
    st.tuples(st.integers(0, 30), st.sampled_from("rs"), st.sampled_from([EQUAL, INCOMPARABLE, MORE, "aa"])),
    st.integers(1, 5),
)


@given(COUNTS, COUNTS)
def test_what_could_not_be_written_is_added_to_what_came_since(old: dict, new: dict) -> None:  # type: ignore[type-arg]
    one, two = Batch(), Batch()
    for batch, counts in ((one, old), (two, new)):
        for (at, route, group), times in counts.items():
            batch.add_pair(route, float(at), group, times)
            batch.add_verdict(route, float(at), "matched", times)
            batch.add_compared(route, times, 1)
            batch.add_within(Sighting(group, route, "value", "$", self_seen=times))
            batch.add_seen(seen(group, float(at)), WAY, times)
    whole = sum(old.values()) + sum(new.values())
    assert two.put_back(one) == 0
    assert sum(two.pairs.values()) == sum(two.verdicts.values()) == sum(two.ways.values()) == whole
    assert sum(both for both, _ in two.compared.values()) == whole
    assert sum(each.self_seen for each in two.within.values()) == whole
    assert sum(each.times for each in two.seen.values()) == len(old) + len(new)


def test_samples_that_never_were_stored_are_not_replaced() -> None:
    lost = Batch(samples=[Sample("never", "f", 0.0, "id", b"")], replaced=["never", "stored"])
    later = Batch()
    later.put_back(lost)
    assert later.replaced == ["stored"]
    assert later.samples == []
