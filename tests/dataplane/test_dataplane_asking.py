"""What shadows owe the event loop."""

import pytest

from proxy.dataplane.asking import FOLLOWED_SECONDS, owed


@pytest.mark.parametrize(
    ("followed", "before", "used", "left"),
    [
        (0.0, 0.0, 0.05, 0.0),
        (FOLLOWED_SECONDS / 2, 0.0, 0.05, 0.0),
        (0.05, 0.0, 0.08, 0.04),
        (0.07, 0.03, 0.05, 0.06),
    ],
)
def test_what_goes_over_the_share_is_taken_off_the_next_sweeps(
    followed: float, before: float, used: float, left: float
) -> None:
    assert owed(followed, before, used) == pytest.approx(left)


def test_time_for_which_the_worker_had_no_processor_is_not_owed() -> None:
    assert owed(0.5, 0.0, 0.002) == 0.0
    assert owed(0.5, 0.03, 0.002) == pytest.approx(0.022)
