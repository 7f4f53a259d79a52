"""Samples: bounded, and from all times rather than from the busiest minute."""

import random
from collections import Counter

from proxy.store.reservoir import PER_MINUTE, Reservoir

PLACES = 20


def fill(reservoir: Reservoir, times: list[float], dice: random.Random) -> dict[str, float]:
    """What is kept: id -> when it was seen."""
    kept: dict[str, float] = {}
    for number, at in enumerate(times):
        if reservoir.chosen(at, PLACES, dice.randrange):
            key = f"{id(times)}-{number}"
            for gone in reservoir.take(key, PLACES, dice.randrange):
                kept.pop(gone, None)
            kept[key] = at
    return kept


def minutes(kept: dict[str, float]) -> Counter[int]:
    return Counter(int(at) // 60 for at in kept.values())


def test_free_places_are_filled_at_once() -> None:
    kept = fill(Reservoir(), [n / 10 for n in range(30)], random.Random(1))
    assert len(kept) == PLACES


def test_a_burst_does_not_push_out_what_came_before() -> None:
    trickle = [60.0 * minute for minute in range(60)]
    burst = [3600 + n / 1000 for n in range(50_000)]
    for seed in range(20):
        found = minutes(fill(Reservoir(), trickle + burst, random.Random(seed)))
        assert sum(found.values()) == PLACES
        assert found[60] <= 6
        assert len(found) >= 15


def test_a_burst_at_the_beginning_makes_room_in_time() -> None:
    burst = [n / 1000 for n in range(50_000)]
    later = [60.0 * minute for minute in range(1, 241)]
    for seed in range(20):
        assert minutes(fill(Reservoir(), burst + later, random.Random(seed)))[0] <= 8


def test_over_a_steady_time_every_hour_has_the_same_chance() -> None:
    hours: Counter[int] = Counter()
    for seed in range(300):
        times = [60.0 * minute + second for minute in range(240) for second in range(5)]
        hours.update(int(at) // 3600 for at in fill(Reservoir(), times, random.Random(seed)).values())
    assert all(0.21 < hours[hour] / hours.total() < 0.29 for hour in range(4))


def test_after_a_restart_new_pairs_still_have_a_chance() -> None:
    """A million sightings in an hour are no reason to keep only these."""
    resumed = Reservoir.resumed(1_000_000, 0.0, 3599.0)
    resumed.ids = [f"old-{n}" for n in range(PLACES)]
    dice = random.Random(1)
    fill(resumed, [3600 + 60.0 * minute for minute in range(600)], dice)
    assert sum(key.startswith("old") for key in resumed.ids) < PLACES / 2
    assert len(resumed.ids) == PLACES
    assert PER_MINUTE * 60 == 120  # candidates of that hour
