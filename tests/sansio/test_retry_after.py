"""`Retry-After`: seconds, the three forms of a date, and everything else."""

from __future__ import annotations

import pytest

from wsmash.sansio.retry_after import LONGEST, parse_retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 5.6.7


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("120", 120), (" 7\t", 7), ("007", 7), ("9" * 16, LONGEST), ("9" * 8000, LONGEST)]
)
def test_seconds(value: str, seconds: float) -> None:
    """Digits alone are seconds; too many of them are the most there is."""
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
@pytest.mark.parametrize("ahead", [0.0, 90.0, 0.5])
def test_dates(value: str, ahead: float) -> None:
    """Each form of RFC 9110 5.6.7 is a moment, from which now is taken away."""
    assert parse_retry_after(value, NOW - ahead) == ahead


def test_a_date_that_is_over_is_now() -> None:
    """A clock that is ahead of the server's makes no negative time."""
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", NOW + 1) == 0


def test_a_date_of_another_age_is_the_most_there_is() -> None:
    """As with too many digits."""
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", NOW) == LONGEST


@pytest.mark.parametrize(
    "value",
    ["", " ", "-1", "+1", "1.5", "1e3", "٣", "soon", "1 2", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun", "\0", "," * 4000],
)
def test_anything_else_is_no_time(value: str) -> None:
    """It is ignored, and never raises."""
    assert parse_retry_after(value, NOW) is None
