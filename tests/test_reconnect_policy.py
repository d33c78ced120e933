"""The policy that a client reconnects by: its delays, what it gives up on, and what it may be made of."""

from __future__ import annotations

import ssl
from dataclasses import FrozenInstanceError, replace
from random import Random
from typing import Any

import pytest

from wsmash.errors import ConnectError, ConnectionClosed, HandshakeError, ProxyError
from wsmash.options import Outage, Reconnect

CLOSED = ConnectionClosed(1006, "gone")


def most(wait: float) -> float:
    """In place of the jitter: the longest of what it draws from."""
    return wait


def lost(attempt: int = 1, **known: Any) -> Outage:
    """An outage, by default that of a network that broke."""
    return Outage(attempt=attempt, **{"error": CLOSED, **known})


def closed_by_server(code: int) -> Outage:
    """The server sent a close frame."""
    return lost(error=ConnectionClosed(code, ""), code=code, by_server=True)


def answered(status: int, retry_after: float | None = None) -> Outage:
    """The server answered with plain HTTP."""
    return lost(error=HandshakeError("no", status=status), status=status, retry_after=retry_after)


# -- delays


@pytest.mark.case(117)
def test_the_bounds_double_from_five_seconds_to_a_minute() -> None:
    """The longest delay of each retry, and there is one for ever."""
    policy = Reconnect(jitter=most)
    assert [policy.delay(lost(attempt)) for attempt in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]
    assert policy.delay(lost(10**9)) == 60


@pytest.mark.case(117)
@pytest.mark.parametrize(("attempt", "bound"), [(1, 5.0), (3, 20.0), (9, 60.0)])
def test_the_jitter_is_full_and_uniform(attempt: int, bound: float) -> None:
    """Of 10 000 draws each tenth of the range, from 0 on, gets its tenth of them."""
    source = Random(attempt)
    policy = Reconnect(jitter=lambda longest: source.uniform(0, longest))
    found = [0] * 10
    for _ in range(10_000):
        delay = policy.delay(lost(attempt))
        assert delay is not None and 0 <= delay <= bound
        found[min(int(delay / bound * 10), 9)] += 1
    assert all(880 < count < 1120 for count in found)


def test_the_jitter_is_random_where_none_is_given() -> None:
    """Within its bounds, and never the same."""
    found = {Reconnect().delay(lost()) for _ in range(100)}
    assert len(found) > 90 and all(each is not None and 0 <= each <= 5 for each in found)


def test_other_bounds_and_another_factor() -> None:
    """All of them are options."""
    policy = Reconnect(first_delay=1, max_delay=30, factor=3, jitter=most)
    assert [policy.delay(lost(attempt)) for attempt in range(1, 6)] == [1, 3, 9, 27, 30]
    assert [Reconnect(factor=1, jitter=most).delay(lost(attempt)) for attempt in (1, 50)] == [5, 5]


def test_max_attempts_gives_up_after_so_many() -> None:
    """In a row."""
    policy = Reconnect(max_attempts=2, jitter=most)
    assert [policy.delay(lost(attempt)) for attempt in (1, 2, 3)] == [5, 10, None]


@pytest.mark.case(119)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_before_what_is_drawn(status: int) -> None:
    """Nobody comes before the server wants, and not all at the moment that it named."""
    policy = Reconnect(jitter=most)
    assert policy.delay(answered(status, 120.0)) == 125
    assert Reconnect(jitter=lambda _: 0.0).delay(answered(status, 120.0)) == 120


@pytest.mark.case(119)
def test_retry_after_is_capped() -> None:
    """A server cannot send a client to sleep for ever, unless it was told that it may."""
    assert Reconnect(jitter=most).delay(answered(503, 1e6)) == 305
    assert Reconnect(jitter=most, max_retry_after=10).delay(answered(503, 1e6)) == 15
    assert Reconnect(jitter=most, max_retry_after=None).delay(answered(503, 1e6)) == 1e6 + 5


# -- what is fatal


@pytest.mark.case(119)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410])
def test_these_answers_are_fatal(status: int) -> None:
    """Whatever their `Retry-After` says."""
    assert Reconnect().delay(answered(status, 5.0)) is None


@pytest.mark.case(119)
@pytest.mark.parametrize("status", [200, 302, 402, 406, 407, 408, 409, 421, 425, 426, 429, 500, 502, 503, 504, 599])
def test_all_other_answers_are_not(status: int) -> None:
    """A proxy's, a server's that is starting or overloaded."""
    assert Reconnect().delay(answered(status)) is not None


@pytest.mark.case(26, 119)
def test_a_proxy_that_wants_other_credentials_is_fatal() -> None:
    """It would be asked again with the same; another status of a proxy's is judged as a server's is."""
    for status, fatal in [(407, True), (403, True), (502, False), (503, False), (None, False)]:
        error = ProxyError("no", status=status)
        assert Reconnect().is_fatal(lost(error=error, status=status)) is fatal


@pytest.mark.case(119)
@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1010, 3000, 3003])
def test_these_close_codes_of_the_server_are_fatal(code: int) -> None:
    """The server says that the fault is ours."""
    assert Reconnect().delay(closed_by_server(code)) is None


@pytest.mark.case(119)
@pytest.mark.parametrize("code", [1000, 1001, 1005, 1009, 1011, 1012, 1013, 1014, 3001, 3008, 4000, 4001, 4999])
def test_all_other_close_codes_are_not(code: int) -> None:
    """An orderly end by the server is an outage too."""
    assert Reconnect().delay(closed_by_server(code)) is not None


@pytest.mark.parametrize("code", [1002, 1007, 1008])
def test_the_echo_of_our_own_close_code_is_not_fatal(code: int) -> None:
    """A client that failed its connection, as for a message that was not finished in time, comes again."""
    assert Reconnect().delay(lost(error=ConnectionClosed(code, ""), code=code)) is not None


@pytest.mark.case(119)
def test_a_certificate_that_is_not_trusted_is_fatal_and_other_faults_of_tls_are_not() -> None:
    """The check would fail again; a handshake that was cut off need not."""
    for cause, fatal in [(ssl.SSLCertVerificationError(1, "self-signed"), True), (ssl.SSLError(1, "eof"), False)]:
        error = ConnectError("TLS failed")
        error.__cause__ = cause
        assert Reconnect().is_fatal(lost(error=error)) is fatal


def test_a_circle_of_causes_is_no_trap() -> None:
    """However the errors are chained."""
    one, other = ConnectError("one"), ConnectError("other")
    one.__cause__, other.__cause__ = other, one
    assert not Reconnect().is_fatal(lost(error=one))


@pytest.mark.case(119)
def test_a_subclass_decides_on_what_is_fatal_alone() -> None:
    """An application's own 4001, with the delays as they were."""

    class Mine(Reconnect):
        def is_fatal(self, outage: Outage) -> bool:
            return outage.code == 4001 or (outage.status != 404 and super().is_fatal(outage))

    policy = Mine(jitter=most)
    assert policy.delay(closed_by_server(4001)) is None and policy.delay(closed_by_server(4002)) == 5
    assert policy.delay(answered(404)) == 5 and policy.delay(answered(403)) is None


@pytest.mark.case(119)
def test_a_subclass_may_have_a_state_of_its_own() -> None:
    """Its own attributes change; those of the policy it is built on do not."""

    class Counting(Reconnect):
        seen = 0

        def __init__(self, name: str, **bounds: Any) -> None:
            super().__init__(**bounds)
            self.name = name

        def is_fatal(self, outage: Outage) -> bool:
            self.seen += 1
            return self.seen > 2 or super().is_fatal(outage)

    policy = Counting("feed", jitter=most)
    assert [policy.delay(lost()) for _ in range(3)] == [5, 5, None]
    assert (policy.name, policy.seen) == ("feed", 3)
    with pytest.raises(FrozenInstanceError):
        policy.max_delay = 1  # type: ignore[misc]


# -- what it is made of


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"first_delay": 0}, ValueError, "first_delay must be above 0"),
        ({"max_delay": float("inf")}, ValueError, "max_delay"),
        ({"max_delay": 4}, ValueError, "max_delay=4 is below first_delay=5"),
        ({"factor": 0.5}, ValueError, "factor must be at least 1"),
        ({"factor": "2"}, TypeError, "factor must be a number"),
        ({"healthy_after": -1}, ValueError, "healthy_after"),
        ({"max_attempts": 0}, ValueError, "max_attempts must be at least 1"),
        ({"max_attempts": True}, TypeError, "max_attempts must be an int"),
        ({"max_retry_after": 0}, ValueError, "max_retry_after"),
        ({"jitter": 1}, TypeError, "jitter must be a function"),
    ],
)
def test_wrong_values(wrong: dict[str, Any], error: type[Exception], match: str) -> None:
    """The text says what is allowed."""
    with pytest.raises(error, match=match):
        Reconnect(**wrong)


def test_a_policy_and_an_outage_are_immutable() -> None:
    """A policy may be shared by clients, an outage kept."""
    for thing, name in [(Reconnect(), "first_delay"), (lost(), "code")]:
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, 1)
    assert replace(Reconnect(), max_delay=30).max_delay == 30 and "jitter" not in repr(Reconnect())
