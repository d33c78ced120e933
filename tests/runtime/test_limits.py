"""The token bucket: how much passes, at which moments."""

from __future__ import annotations

import pytest

from wsmash.runtime.limits import TokenBucket


def taken(bucket: TokenBucket, now: float, tries: int = 1000) -> int:
    """How many pass at one moment."""
    return sum(bucket.take(now) for _ in range(tries))


@pytest.mark.parametrize("rate", [1.0, 2.0, 10.0, 100.0])
def test_a_burst_and_then_the_rate(rate: float) -> None:
    """A second's worth passes at once, then just as much as time brings."""
    bucket = TokenBucket(rate, 50.0)
    assert taken(bucket, 50.0) == rate
    assert taken(bucket, 51.0) == rate
    assert taken(bucket, 51.5) == rate // 2


def test_one_by_one() -> None:
    """At exactly the rate everything passes, for as long as it lasts."""
    bucket = TokenBucket(4.0, 0.0)
    assert all(bucket.take(at / 4) for at in range(10_000))


def test_twice_the_rate() -> None:
    """At twice the rate, once the burst is over, every other one passes."""
    bucket = TokenBucket(4.0, 0.0)
    passed = [bucket.take(at / 8) for at in range(8000)]
    assert sum(passed) == 4 + 3999  # the last try comes an eighth of a second too early for one more
    assert sum(passed[-800:]) == 400


def test_quiet_saves_no_more_than_a_second() -> None:
    """However long nothing came, no more than one second's worth passes at once."""
    bucket = TokenBucket(10.0, 0.0)
    assert taken(bucket, 0.0) == 10
    assert taken(bucket, 1e6) == 10


def test_less_than_one_a_second() -> None:
    """A rate below one lets one pass at first, and another after its whole time, not before."""
    bucket = TokenBucket(0.25, 0.0)
    assert bucket.take(0.0)
    assert not bucket.take(3.99)
    assert bucket.take(4.0)
    assert not bucket.take(4.0)
    assert taken(bucket, 1000.0) == 1


def test_refusals_cost_nothing() -> None:
    """Those that did not pass do not put the next one off."""
    bucket = TokenBucket(1.0, 0.0)
    assert bucket.take(0.0)
    assert not any(bucket.take(at / 128) for at in range(1, 128))
    assert bucket.take(1.0)
