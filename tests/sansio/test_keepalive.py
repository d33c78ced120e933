"""When to ping and when to give up: each rule at its exact moment."""

from __future__ import annotations

from math import nextafter

import pytest

from wsmash.sansio.keepalive import Care, Seen, Timeouts, first_look, look

START = 1000.0
QUIET = Seen(
    pinged_at=START,
    waiting=False,
    received_at=START,
    written_at=START,
    buffered=False,
    unfinished=False,
    paused=False,
)
PING_ONLY = Timeouts(ping_interval=20, ping_timeout=5, message_timeout=None, write_timeout=None)
MESSAGE_ONLY = Timeouts(None, None, message_timeout=60, write_timeout=None)
WRITE_ONLY = Timeouts(None, None, None, write_timeout=30)
ALL = Timeouts(ping_interval=20, ping_timeout=20, message_timeout=60, write_timeout=30)
NONE = Timeouts(None, None, None, None)


def test_nothing_to_watch() -> None:
    """Without any timeout nothing is ever needed, and no moment is given."""
    busy = QUIET._replace(waiting=True, buffered=True, unfinished=True)
    assert look(START + 1e9, busy, NONE) == (Care.NOTHING, None)


@pytest.mark.parametrize("timeouts", [PING_ONLY, PING_ONLY._replace(ping_timeout=None)])
def test_ping_after_the_interval(timeouts: Timeouts) -> None:
    """A ping goes out `ping_interval` after the last one, not a moment earlier."""
    assert look(START, QUIET, timeouts) == (Care.NOTHING, START + 20)
    assert look(nextafter(START + 20, 0), QUIET, timeouts) == (Care.NOTHING, START + 20)
    assert look(START + 20, QUIET, timeouts) == (Care.PING, START + 20)
    assert look(START + 500, QUIET, timeouts)[0] is Care.PING


def test_traffic_does_not_put_the_ping_off() -> None:
    """The round trip is measured on a busy connection too."""
    assert look(START + 20, QUIET._replace(received_at=START + 19.9), PING_ONLY)[0] is Care.PING


def test_lost_after_the_timeout() -> None:
    """A ping that nothing followed ends the connection `ping_timeout` after it, not a moment earlier."""
    seen = QUIET._replace(waiting=True, received_at=START - 1)
    assert look(START, seen, PING_ONLY) == (Care.NOTHING, START + 5)
    assert look(nextafter(START + 5, 0), seen, PING_ONLY) == (Care.NOTHING, START + 5)
    assert look(START + 5, seen, PING_ONLY) == (Care.LOST, None)


def test_a_timeout_longer_than_the_interval() -> None:
    """While one ping waits no other is sent; what answers it makes the next one due at the next interval."""
    timeouts = PING_ONLY._replace(ping_interval=5, ping_timeout=18)
    seen = QUIET._replace(waiting=True)
    assert look(START, seen, timeouts) == (Care.NOTHING, START + 5)
    assert look(START + 5, seen, timeouts) == (Care.NOTHING, START + 10)
    assert look(START + 11, seen, timeouts) == (Care.NOTHING, START + 15)
    assert look(START + 15, seen, timeouts) == (Care.NOTHING, START + 18)
    assert look(START + 18, seen, timeouts) == (Care.LOST, None)
    assert look(START + 10, seen._replace(received_at=START + 6), timeouts)[0] is Care.PING


@pytest.mark.case(55)
def test_any_byte_is_life() -> None:
    """Bytes after the ping count, a pong or not: the next ping follows at its time (case 55)."""
    seen = QUIET._replace(waiting=True, received_at=START + 0.1)
    assert look(START + 5, seen, PING_ONLY) == (Care.NOTHING, START + 20)
    assert look(START + 20, seen, PING_ONLY) == (Care.PING, START + 20)


def test_bytes_before_the_ping_are_no_answer() -> None:
    """What came before the ping, or at the same moment, says nothing of the time after it."""
    for received_at in (START - 10, START):
        seen = QUIET._replace(waiting=True, received_at=received_at)
        assert look(START + 5, seen, PING_ONLY) == (Care.LOST, None)


@pytest.mark.case(77)
def test_our_own_pause_is_no_silence() -> None:
    """While we do not read, a ping that waits loses nobody: case 77."""
    seen = QUIET._replace(waiting=True, paused=True)
    assert look(START + 5, seen, PING_ONLY) == (Care.NOTHING, START + 20)
    assert look(START + 20, seen, PING_ONLY)[0] is Care.PING


def test_no_interval_no_timeout() -> None:
    """Without `ping_interval` a ping of the user's own that nobody answers ends nothing."""
    seen = QUIET._replace(waiting=True)
    timeouts = PING_ONLY._replace(ping_interval=None)
    assert look(START + 1e6, seen, timeouts) == (Care.NOTHING, None)


def test_no_timeout_pings_on() -> None:
    """Without `ping_timeout` pings go on, answered or not."""
    seen = QUIET._replace(waiting=True)
    timeouts = PING_ONLY._replace(ping_timeout=None)
    assert look(START + 19, seen, timeouts) == (Care.NOTHING, START + 20)
    assert look(START + 20, seen, timeouts)[0] is Care.PING


@pytest.mark.case(37)
def test_unfinished_message() -> None:
    """A message is late `message_timeout` after its last byte, not a moment earlier: case 37."""
    seen = QUIET._replace(unfinished=True, received_at=START + 7)
    assert look(START + 8, seen, MESSAGE_ONLY) == (Care.NOTHING, START + 67)
    assert look(nextafter(START + 67, 0), seen, MESSAGE_ONLY) == (Care.NOTHING, START + 67)
    assert look(START + 67, seen, MESSAGE_ONLY) == (Care.MESSAGE_LATE, None)


def test_unfinished_while_we_pause() -> None:
    """A message that we do not read is not late, and is looked at again."""
    seen = QUIET._replace(unfinished=True, paused=True)
    assert look(START + 500, seen, MESSAGE_ONLY) == (Care.NOTHING, START + 560)


@pytest.mark.case(75)
def test_stuck_write() -> None:
    """Output that waits is stuck `write_timeout` after the peer took bytes, not a moment earlier: case 75."""
    seen = QUIET._replace(buffered=True, written_at=START + 3)
    assert look(START + 4, seen, WRITE_ONLY) == (Care.NOTHING, START + 33)
    assert look(nextafter(START + 33, 0), seen, WRITE_ONLY) == (Care.NOTHING, START + 33)
    assert look(START + 33, seen, WRITE_ONLY) == (Care.WRITE_STUCK, None)


def test_stuck_while_we_pause() -> None:
    """Not reading does not excuse the peer from reading."""
    seen = QUIET._replace(buffered=True, paused=True)
    assert look(START + 30, seen, WRITE_ONLY) == (Care.WRITE_STUCK, None)


@pytest.mark.parametrize(
    ("begun", "limit", "timeouts", "care"),
    [
        (QUIET._replace(unfinished=True, received_at=START + 45), 60, MESSAGE_ONLY, Care.MESSAGE_LATE),
        (QUIET._replace(buffered=True, written_at=START + 45), 30, WRITE_ONLY, Care.WRITE_STUCK),
    ],
)
def test_what_begins_between_two_looks_is_not_missed(begun: Seen, limit: float, timeouts: Timeouts, care: Care) -> None:
    """A message or output that begins after a look is looked at by its deadline, without anyone saying so."""
    now = START + 44
    found, again = look(now, QUIET, timeouts)
    assert (found, again) == (Care.NOTHING, now + limit)
    assert again is not None
    deadline = START + 45 + limit
    assert again <= deadline
    assert look(again, begun, timeouts) == (Care.NOTHING, deadline)
    assert look(deadline, begun, timeouts)[0] is care


def test_the_earliest_rule_says_when_to_look() -> None:
    """Of several rules the next moment of any is given."""
    seen = QUIET._replace(buffered=True, unfinished=True, received_at=START + 5, written_at=START + 1)
    assert look(START + 10, seen, ALL) == (Care.NOTHING, START + 20)
    assert look(START + 10, seen, ALL._replace(ping_interval=40)) == (Care.NOTHING, START + 31)
    assert look(START + 10, seen, ALL._replace(ping_interval=80, write_timeout=None)) == (Care.NOTHING, START + 65)


def test_failures_come_before_a_ping() -> None:
    """Where several are due at once, what ends the connection wins."""
    seen = QUIET._replace(buffered=True, unfinished=True, waiting=True)
    late = START + 100
    assert look(late, seen, ALL)[0] is Care.WRITE_STUCK
    assert look(late, seen._replace(buffered=False), ALL)[0] is Care.MESSAGE_LATE
    assert look(late, seen._replace(buffered=False, unfinished=False), ALL)[0] is Care.LOST
    assert look(late, QUIET, ALL)[0] is Care.PING


def test_next_look_is_never_in_the_past() -> None:
    """Whatever was seen, the moment given is not before now, so that no timer spins."""
    for now in (START, START + 15, START + 100):
        for bits in range(16):
            seen = QUIET._replace(
                waiting=bool(bits & 1), buffered=bool(bits & 2), unfinished=bool(bits & 4), paused=bool(bits & 8)
            )
            for timeouts in (PING_ONLY, MESSAGE_ONLY, WRITE_ONLY, ALL):
                care, again = look(now, seen, timeouts)
                assert again is None or again >= now
                assert again is None or again > now or care is Care.PING


@pytest.mark.case(37)
def test_what_comes_between_does_not_renew_a_message() -> None:
    """An unfinished message is timed by its own bytes, not by the pongs of a peer that never ends it."""
    seen = QUIET._replace(unfinished=True, message_at=START, received_at=START + 59)
    assert look(START + 59, seen, MESSAGE_ONLY) == (Care.NOTHING, START + 60)
    assert look(START + 60, seen, MESSAGE_ONLY)[0] is Care.MESSAGE_LATE


@pytest.mark.parametrize(("timeouts", "after"), [(PING_ONLY, 20), (MESSAGE_ONLY, 60), (WRITE_ONLY, 30), (ALL, 20)])
def test_the_first_look(timeouts: Timeouts, after: float) -> None:
    """A connection that was just opened is looked at when the earliest of its timeouts could have passed."""
    assert first_look(timeouts) == after
    assert look(START, QUIET, timeouts) == (Care.NOTHING, START + after)


def test_no_first_look() -> None:
    """Without any timeout there is none."""
    assert first_look(NONE) is None
