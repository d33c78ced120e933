"""Rates: how much passes, at which moments."""

from __future__ import annotations

import pytest

from wsmash.runtime.limits import MAX_NAMES, Rates, TokenBucket, Verdict


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


# A rate for each name


def test_each_name_has_its_rate() -> None:
    """As many pass as may at once, as many again are told so, the others are dropped; another name has its own."""
    rates = Rates(2, 0)
    assert [rates.take("a", 0) for _ in range(5)] == [Verdict.PASS] * 2 + [Verdict.REFUSE] * 2 + [Verdict.DROP]
    assert rates.take("b", 0) is Verdict.PASS
    assert rates.take("a", 0.5) is Verdict.PASS
    assert rates.take("a", 0.5) is Verdict.REFUSE


@pytest.mark.case(67)
def test_names_that_were_quiet_are_forgotten() -> None:
    """A hundred thousand addresses take no more room than the bound, and none once they are quiet."""
    rates = Rates(1, 0)
    for number in range(200_000):
        rates.take(str(number), 0)
    assert len(rates) <= 2 * MAX_NAMES
    rates.take("x", 1.5)
    rates.take("x", 3)
    assert len(rates) == 1


def test_a_name_in_use_is_kept() -> None:
    """The tables change, and a name that goes on too often stays refused."""
    rates = Rates(1, 0)
    passed = [rates.take("a", at / 8) is Verdict.PASS for at in range(80)]
    assert 10 <= sum(passed) <= 11


def test_a_slow_rate_says_when_to_come_back() -> None:
    """One in ten seconds is ten seconds to wait."""
    rates = Rates(0.1, 0)
    assert rates.retry_after == 10 and Rates(5, 0).retry_after == 1
    assert rates.take("a", 0) is Verdict.PASS
    assert rates.take("a", 9) is Verdict.REFUSE
    assert rates.take("a", 10.1) is Verdict.PASS


def test_when_a_name_is_forgotten() -> None:
    """Buckets live on in the older table for as long as one takes to fill, and go with it; none was full till then."""
    for rate, fills_in in ((5.0, 1.0), (0.25, 4.0)):
        rates = Rates(rate, 0)
        rates.take("a", 0)
        rates.take("b", fills_in)
        assert len(rates) == 2  # both in the first table, which has just had its time
        rates.take("b", fills_in + 0.01)
        assert len(rates) == 2  # a is in the older one
        rates.take("c", 2 * fills_in + 0.01)
        assert len(rates) == 3
        rates.take("c", 2 * fills_in + 0.02)
        assert len(rates) == 2  # which went, and a with it
        rates.take("d", 4 * fills_in + 0.02)
        assert len(rates) == 2  # c may not be full
        rates.take("e", 6 * fills_in + 0.03)
        assert len(rates) == 1  # whoever was there has been quiet for twice that time


def test_a_table_that_is_full_is_the_older_one() -> None:
    """The bound is met to the name: with one more the tables change, whatever the time."""
    rates = Rates(1, 0)
    for number in range(MAX_NAMES):
        rates.take(str(number), 0)
    assert rates.take("0", 0) is Verdict.REFUSE
    assert len(rates) == MAX_NAMES
    for number in range(MAX_NAMES):
        rates.take(f"x{number}", 0)
    assert rates.take("y", 0) is Verdict.PASS
    assert len(rates) == MAX_NAMES + 2  # the full one is the older now, and two came after it
