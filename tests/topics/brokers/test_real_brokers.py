"""The brokers that tests start are real ones, and have the lives that tests give them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.brokers import NatsServer, RedisServer, ask, free_port


def test_redis_keeps_its_data_through_a_kill(redis_server: RedisServer) -> None:
    """What was written is there after a kill, and is not after one that takes the data too; the port stays."""
    port, first = redis_server.port, redis_server.pid
    redis_server.call("SET", "a", "1")
    redis_server.restart()
    assert redis_server.call("GET", "a") == b"1"
    redis_server.restart(empty=True)
    assert redis_server.call("GET", "a") is None
    assert (redis_server.port, redis_server.pid != first) == (port, True)


def test_a_replica_of_redis_is_promoted(start_redis: Callable[..., RedisServer]) -> None:
    """A replica has what its master has, and takes writes once it is promoted, also when it is started again."""
    master = start_redis(requirepass="secret")
    master.call("SET", "a", "1")
    replica = master.replica()
    try:
        assert replica.call("GET", "a") == b"1"
        with pytest.raises(Exception, match="read only replica"):
            replica.call("SET", "a", "2")
        replica.promote()
        replica.call("SET", "a", "2")
        replica.restart()
        assert replica.call("GET", "a") == b"2"
    finally:
        replica.kill()


def test_a_paused_broker_answers_nothing(redis_server: RedisServer) -> None:
    """A paused process takes connections and answers none of them; once resumed it does."""
    redis_server.pause()
    assert ask(redis_server.port, b"PING\r\n") == b""
    redis_server.resume()
    assert ask(redis_server.port, b"PING\r\n") == b"+PONG\r\n"


def test_nats_starts_with_jetstream(nats_server: NatsServer) -> None:
    """A NATS server says that it has JetStream, and comes back on its port."""
    assert b'"jetstream":true' in ask(nats_server.port, b"")
    nats_server.restart(empty=True)
    assert b'"jetstream":true' in ask(nats_server.port, b"")


def test_a_broker_that_cannot_start_says_why(start_redis: Callable[..., RedisServer]) -> None:
    """The error holds what it has written."""
    with pytest.raises(AssertionError, match=r"(?i)bad directive"):
        start_redis(no_such_setting="1")


def test_what_was_started_ends(tmp_path: Path) -> None:
    """No process is left behind, a paused one neither."""
    with RedisServer(tmp_path / "redis") as server:
        server.pause()
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert ask(server.port, b"PING\r\n") == b""
    assert free_port() > 0
