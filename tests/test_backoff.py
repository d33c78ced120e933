"""When a worker that has died is started again."""

from __future__ import annotations

from wsmash.workers.backoff import FIRST_DELAY, HEALTHY_AFTER, LONGEST_DELAY, Backoff


def test_delays_double_up_to_the_longest() -> None:
    """Each is drawn from the upper half of what it may be, so that no two processes go on in step."""
    for _ in range(50):
        backoff = Backoff()
        most = FIRST_DELAY
        for _ in range(30):
            assert most / 2 <= backoff.delay() <= most
            most = min(most * 2, LONGEST_DELAY)
    assert len({Backoff().delay() for _ in range(20)}) > 1


def test_delays_begin_anew_after_a_healthy_life() -> None:
    """And not after a shorter one."""
    backoff = Backoff()
    for _ in range(10):
        backoff.delay()
    backoff.lived(HEALTHY_AFTER - 0.1)
    assert backoff.delay() > FIRST_DELAY
    backoff.lived(HEALTHY_AFTER)
    assert backoff.delay() <= FIRST_DELAY
