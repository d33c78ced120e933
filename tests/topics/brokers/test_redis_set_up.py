"""Ways to Redis: URLs, passwords, TLS, Unix sockets; and what is said where there is none, never with the password."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fixtures.brokers import RedisServer, free_port
from fixtures.certificates import authority, write_certificate
from fixtures.in_loop import in_loop
from fixtures.receiver import Seen
from fixtures.sites import KEPT
from wsmash.errors import BrokerError, BrokerUnavailable
from wsmash.topics.brokers import redis_session
from wsmash.topics.brokers.choice import make_broker
from wsmash.topics.brokers.redis import RedisBroker

Start = Callable[..., RedisServer]

SECRET = "s3cr3t-p4ss"


async def works(url: str) -> None:
    """A message goes out and comes back."""
    broker, seen = make_broker(url, "wsmash"), Seen()
    await broker.start(seen)
    try:
        await broker.follow([("a", KEPT)])
        await broker.publish("a", KEPT, b"1", None)
        await seen.until(lambda: seen.data("a") == [b"1"])
    finally:
        await broker.stop()


async def refused(url: str) -> BrokerError:
    """The error of `start`, with which nothing is left, and which shows no secret, in its causes neither."""
    before = asyncio.all_tasks()
    with pytest.raises(BrokerError) as raised:
        await make_broker(url, "wsmash").start(Seen())
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before
    assert SECRET not in "".join(traceback.format_exception(raised.value, chain=True))
    return raised.value


@asynccontextmanager
async def rewriting(port: int, what: bytes, by: bytes) -> AsyncIterator[int]:
    """A way to a server that replaces some of what it says; its port."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replaces: bool) -> None:
        while data := await reader.read(65536):
            writer.write(data.replace(what, by) if replaces else data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back, False), carry(there, writer, True), return_exceptions=True)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def test_passwords_and_users(start_redis: Start) -> None:
    """With a password alone, or a user's; a wrong one, or none, is an error that says so, and where."""
    server = start_redis(requirepass=SECRET)
    server.call("ACL", "SETUSER", "me", "on", f">{SECRET}/@:#", "~wsmash:*", "resetchannels", "&wsmash:*", "+@all")

    @in_loop
    async def scenario() -> None:
        at = f"127.0.0.1:{server.port}"
        await works(f"redis://:{SECRET}@{at}/0")
        await works(f"redis://me:{SECRET}%2F%40%3A%23@{at}")
        for url in (f"redis://:{SECRET}x@{at}/0", f"redis://you:{SECRET}@{at}"):
            error = await refused(url)
            assert not isinstance(error, BrokerUnavailable)
            assert at in str(error) and "password" in str(error)
        assert "Authentication" in str(await refused(f"redis://{at}/0"))

    scenario()


def test_a_user_who_may_too_little(start_redis: Start) -> None:
    """It is said what is not allowed."""
    server = start_redis()
    server.call("ACL", "SETUSER", "me", "on", f">{SECRET}", "~wsmash:*", "resetchannels", "+@all")
    server.call(
        "ACL", "SETUSER", "you", "on", f">{SECRET}", "~wsmash:*", "resetchannels", "&wsmash:*", "+@all", "-info"
    )

    @in_loop
    async def scenario() -> None:
        for user in ("me", "you"):
            error = await refused(f"redis://{user}:{SECRET}@127.0.0.1:{server.port}/0")
            assert "permission" in str(error)

    scenario()


def test_a_user_who_may_what_the_documents_say(redis_server: RedisServer) -> None:
    """That is enough, for patterns, casts and keys too."""
    text = (Path(__file__).parents[3] / "docs" / "brokers.md").read_text(encoding="utf-8")
    [line] = [line.strip() for line in text.splitlines() if line.startswith("    ACL SETUSER")]
    redis_server.call(*line.split())

    @in_loop
    async def scenario() -> None:
        broker, seen = RedisBroker(f"redis://app:password@127.0.0.1:{redis_server.port}/0"), Seen()
        await broker.start(seen)
        await broker.follow([("a", KEPT)])
        await broker.follow_pattern("b.*")
        for topic in ("a", "b.c"):
            await broker.publish(topic, KEPT, b"1", "key")
        await broker.cast(b"1")
        await seen.until(lambda: seen.casts and len(seen.pushes) == 2)
        broker.unfollow(["a"])
        broker.unfollow_pattern("b.*")
        assert len((await broker.read("a", KEPT, 0)).entries) == 1
        assert await broker.ping() > 0
        await broker.stop()
        assert seen.told == []

    scenario()


def test_databases(redis_server: RedisServer) -> None:
    """Keys are in the database of the URL; one that is not there is an error."""

    @in_loop
    async def scenario() -> None:
        at = f"127.0.0.1:{redis_server.port}"
        await works(f"redis://{at}/3")
        await works(f"redis://{at}?db=4&client_name=me")
        assert redis_server.call("DBSIZE") == 0
        keys = redis_server.call("INFO", "keyspace")
        assert b"db3:" in keys and b"db4:" in keys
        assert "DB index is out of range" in str(await refused(f"redis://{at}/99"))

    scenario()


def test_tls(start_redis: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an authority of one's own; a server that it does not know is no outage, but an error."""
    monkeypatch.setattr(redis_session, "TIMEOUT", 1.0)  # to a server without TLS a handshake is an unfinished line
    certificate = write_certificate(tmp_path / "server.pem")
    authority().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    settings = {
        "tls_port": str(free_port()),
        "tls_cert_file": str(certificate),
        "tls_key_file": str(certificate),
        "tls_ca_cert_file": str(tmp_path / "authority.pem"),
        "tls_auth_clients": "no",
    }
    try:
        server = start_redis(requirepass=SECRET, **settings)
    except AssertionError as error:
        if "Bad directive" not in str(error):
            raise
        pytest.skip("this redis-server was built without TLS")

    @in_loop
    async def scenario() -> None:
        at = f":{SECRET}@localhost:{settings['tls_port']}/0"
        await works(f"rediss://{at}?ssl_ca_certs={tmp_path / 'authority.pem'}")
        await works(f"rediss://{at}?ssl_cert_reqs=none")
        error = await refused(f"rediss://{at}")
        assert "certificate" in str(error) and not isinstance(error, BrokerUnavailable)
        assert isinstance(await refused(f"rediss://:{SECRET}@localhost:{server.port}/0"), BrokerUnavailable)
        assert isinstance(await refused(f"redis://{at}"), BrokerUnavailable)

    scenario()


def test_unix_sockets(start_redis: Start) -> None:
    """By a path, with a database and a password."""
    server = start_redis(requirepass=SECRET)

    @in_loop
    async def scenario() -> None:
        await works(f"unix://:{SECRET}@{server.socket}?db=1")
        assert b"db1:" in server.call("INFO", "keyspace")
        server.kill()
        error = await refused(f"unix://:{SECRET}@{server.socket}?db=1")
        assert isinstance(error, BrokerUnavailable) and str(server.socket) in str(error)

    scenario()


def test_a_server_that_is_too_old(redis_server: RedisServer) -> None:
    """It is said which version is needed, and which it is."""

    @in_loop
    async def scenario() -> None:
        version = dict(
            line.split(b":", 1) for line in redis_server.call("INFO", "server").split(b"\r\n") if b":" in line
        )
        now = version[b"redis_version"]
        old = b"5" + now[1:]
        async with rewriting(redis_server.port, now, old) as port:
            error = await refused(f"redis://127.0.0.1:{port}/0")
            assert "too old: 6.2 is needed" in str(error) and old.decode() in str(error)

    scenario()


def test_a_cluster_and_a_replica(start_redis: Start) -> None:
    """One of a cluster will never do; a replica may yet be a master, and is waited for."""
    cluster, master = start_redis(cluster_enabled="yes"), start_redis()
    replica = master.replica()

    @in_loop
    async def scenario() -> None:
        error = await refused(cluster.url)
        assert "Cluster" in str(error) and not isinstance(error, BrokerUnavailable)
        error = await refused(replica.url)
        assert "replica" in str(error) and isinstance(error, BrokerUnavailable)

    try:
        scenario()
    finally:
        replica.kill()


def test_what_is_no_redis() -> None:
    """A server that speaks something else, or nothing, is told apart from one that refuses."""

    @in_loop
    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert isinstance(await refused(f"redis://127.0.0.1:{port}/0"), BrokerUnavailable)

    scenario()


def test_a_password_that_is_changed(start_redis: Start, caplog: pytest.LogCaptureFixture) -> None:
    """During an outage the log says why it goes on, once for each reason; it ends when the password is right again."""
    server = start_redis(requirepass=SECRET)

    @in_loop
    async def scenario() -> None:
        broker, seen = RedisBroker(server.url), Seen()
        await broker.start(seen)
        server.call("CONFIG", "SET", "requirepass", "other")
        server.settings["requirepass"] = "other"
        server.call("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "pubsub")
        server.call("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
        await seen.until(lambda: caplog.records)
        await asyncio.sleep(0.5)
        server.call("CONFIG", "SET", "requirepass", SECRET)
        await seen.until(lambda: seen.told == ["lost", "restored"])
        await broker.stop()

    with caplog.at_level(logging.WARNING, "wsmash"):
        scenario()
    [record] = caplog.records
    assert "password" in record.getMessage()
    assert SECRET not in caplog.text and "other" not in caplog.text


@pytest.mark.case(106)
@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"redis://:{SECRET}", "host"),
        (f"redis://:{SECRET}/0@host:6379/0", "host and a port"),
        (f"redis://:{SECRET}#@host:6379/0", "host and a port"),
        (f"redis://:{SECRET}?@host/0", "host and a port"),
        (f"redis://:1234?{SECRET}@host/0", "host"),
        (f"redis://u:1234/{SECRET}@host:6379/0", "a number behind the host"),
        (f"redis://u:1234#{SECRET}@host:6379/0", "'#'"),
        (f"redis://:{SECRET}@host:port/0", "host and a port"),
        (f"redis://:{SECRET}@[::1/0", "host and a port"),
        (f"redis://:{SECRET}@host/zero", "number"),
        (f"redis://:{SECRET}@host/0/1", "number"),
        (f"redis://:{SECRET}@host/0?db=x", "number"),
        (f"redis://:{SECRET}@host/0?password={SECRET}", "options"),
        (f"redis://:{SECRET}@host/0?socket_timeout=1", "options"),
        (f"redis://:{SECRET}@host/0?ssl_cert_reqs=none", "rediss"),
        (f"rediss://:{SECRET}@host/0?ssl_cert_reqs=maybe", "none, optional or required"),
        (f"unix://:{SECRET}@", "path"),
        (f"unix://:{SECRET}@host/path", "path"),
    ],
)
def test_wrong_urls(url: str, what: str) -> None:
    """They are refused where the broker is made, with what is allowed, and without what may be a password."""
    with pytest.raises(ValueError, match=what) as raised:
        make_broker(url, "wsmash")
    assert SECRET not in "".join(traceback.format_exception(raised.value, chain=True))


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "redis://h:1/2", "rediss://[::1]:1", "unix:///a%20b?db=0"])
def test_right_urls(url: str) -> None:
    """Without a port, a database or a user's name they are right too."""
    assert isinstance(make_broker(url, "wsmash"), RedisBroker)
