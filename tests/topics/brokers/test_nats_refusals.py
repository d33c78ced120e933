"""NATS servers and accounts that cannot be used, and what others write where topics are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.brokers import NatsServer, free_port
from fixtures.certificates import contexts, write_certificate
from fixtures.chaos import ChaosProxy
from fixtures.nats_node import KEPT, PLAIN, node, run
from fixtures.receiver import Seen
from wsmash.errors import BrokerError, BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers.nats import NatsBroker
from wsmash.topics.brokers.nats_client import Message
from wsmash.topics.position import new_epoch

Start = Callable[..., NatsServer]


def account(**permissions: object) -> str:
    """The configuration of one user with these permissions."""
    return json.dumps({"users": [{"user": "me", "password": "seekrit", "permissions": permissions}]})


def url_of(server: NatsServer, userinfo: str = "me:seekrit@", scheme: str = "nats") -> str:
    """The server's, with credentials."""
    return f"{scheme}://{userinfo}127.0.0.1:{server.port}"


async def refusal(url: str, **options: object) -> str:
    """What is said when it cannot be started."""
    with pytest.raises(BrokerError) as caught:
        await NatsBroker(url, **options).start(Seen())  # type: ignore[arg-type]
    assert not isinstance(caught.value, BrokerUnavailable)
    text = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "seekrit" not in text
    return str(caught.value)


def test_permissions_that_are_enough(start_nats: Start) -> None:
    """Those of docs/brokers.md: an account needs no right to publish where the stream pushes."""
    allowed = ["wsmash.topic.>", "wsmash.anchor.>", "wsmash.cast"]
    allowed += [f"$JS.API.STREAM.{verb}.*" for verb in ("INFO", "CREATE", "UPDATE", "PURGE", "MSG.GET")]
    allowed += ["$JS.API.DIRECT.GET.>"]
    server = start_nats(authorization=account(publish=allowed, subscribe=["wsmash.live.>", "wsmash.cast", "_INBOX.>"]))

    async def scenario() -> None:
        async with node(url_of(server)) as (broker, seen):
            await broker.follow([("a", KEPT)])
            await broker.follow_pattern("b.>")
            position = await broker.publish("a", KEPT, b"1", "key")
            await broker.publish("b.c", PLAIN, b"2", None)
            await broker.cast(b"3")
            assert await broker.positions([("a", KEPT)]) == [position]
            assert (await broker.read("a", KEPT, 0)).entries
            await broker.ping()
            assert ([push[4] for push in seen.pushes], seen.casts) == ([b"1", b"2"], [b"3"])

    run(scenario())


@pytest.mark.parametrize(
    ("permissions", "named"),
    [
        ({"publish": {"deny": "$JS.API.STREAM.CREATE.>"}}, "stream.create"),
        ({"subscribe": {"deny": "wsmash.cast"}}, "wsmash.cast"),
        ({"publish": {"deny": "$JS.>"}}, "stream.info"),
    ],
)
def test_an_account_that_lacks_a_right(start_nats: Start, permissions: dict[str, object], named: str) -> None:
    """The error names the subject, at once and not when an answer is overdue."""
    server = start_nats(authorization=account(**permissions))

    async def scenario() -> None:
        async with asyncio.timeout(2):
            assert named in (await refusal(url_of(server))).lower()

    run(scenario())


def test_a_topic_that_may_not_be_published_or_followed(start_nats: Start) -> None:
    """Publishing and following it fail at once; other topics are as they were."""
    server = start_nats(
        authorization=account(publish={"deny": "wsmash.topic.*.*.secret"}, subscribe={"deny": "wsmash.live.*.*.secret"})
    )

    async def scenario() -> None:
        async with node(url_of(server)) as (broker, seen), asyncio.timeout(2):
            with pytest.raises(BrokerError, match="does not allow"):
                await broker.publish("secret", KEPT, b"", None)
            with pytest.raises(BrokerError, match="does not allow"):
                await broker.follow([("secret", KEPT)])
            await broker.publish("a", KEPT, b"", None)
            assert seen.told == []

    run(scenario())


def test_wrong_credentials(start_nats: Start) -> None:
    """They are refused, in an error without them; the right ones, percent-encoded, are not."""
    server = start_nats(authorization=json.dumps({"user": "me", "password": "p@ss/word"}))

    async def scenario() -> None:
        assert "credentials" in await refusal(url_of(server))
        assert "credentials" in await refusal(url_of(server, "seekrit@"))
        assert "credentials" in await refusal(url_of(server, ""))
        async with node(url_of(server, "me:p%40ss%2Fword@")) as (broker, _):
            assert "p@ss" not in repr(broker)

    run(scenario())


def test_a_token(start_nats: Start) -> None:
    """Userinfo without a colon is one."""
    server = start_nats(authorization=json.dumps({"token": "t0ken"}))

    async def scenario() -> None:
        async with node(url_of(server, "t0ken@")) as (broker, _):
            await broker.ping()

    run(scenario())


def test_a_server_without_jetstream(start_nats: Start) -> None:
    """The error says how it is turned on."""
    server = start_nats(jetstream=None)

    async def scenario() -> None:
        assert "--jetstream" in await refusal(server.url)

    run(scenario())


def test_an_account_without_jetstream(start_nats: Start) -> None:
    """The error says that it is the account's."""
    accounts = {"A": {"users": [{"user": "me", "password": "seekrit"}]}, "B": {"jetstream": "enabled"}}
    server = start_nats(accounts=json.dumps(accounts))

    async def scenario() -> None:
        assert "account" in await refusal(url_of(server))

    run(scenario())


def test_more_replicas_than_servers(nats_server: NatsServer) -> None:
    """JetStream's own words are in the error."""

    async def scenario() -> None:
        assert "replicas" in await refusal(f"{nats_server.url}?replicas=3")

    run(scenario())


def test_tls(start_nats: Start, tmp_path: Path) -> None:
    """tls:// speaks it with whom it trusts, and with nobody else; nats:// does where the server wants it."""
    file = str(write_certificate(tmp_path / "server.pem"))
    server = start_nats(tls=json.dumps({"cert_file": file, "key_file": file}), authorization=account())

    async def scenario() -> None:
        for scheme in ("tls", "nats"):
            async with node(url_of(server, scheme=scheme), tls=contexts().client) as (broker, _):
                await broker.publish("a", KEPT, b"", None)
        assert "trusted" in await refusal(url_of(server, scheme="tls"))

    run(scenario())


def test_a_server_that_does_not_speak_tls(start_nats: Start) -> None:
    """With tls:// it is sent no credentials: whoever is between may have cut that out of what it says."""
    server = start_nats(authorization=account(), debug="true", trace="true", logfile='"trace"')

    async def scenario() -> None:
        assert "TLS" in await refusal(url_of(server, scheme="tls"))

    run(scenario())
    assert "CONNECT {" not in (server.folder / "trace").read_text()


def test_a_server_that_is_too_old(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which one will do."""
    monkeypatch.setattr("wsmash.topics.brokers.nats_client.OLDEST", (99, 0))

    async def scenario() -> None:
        assert "2.15" in await refusal(nats_server.url)

    run(scenario())


def test_a_file_of_credentials_that_is_not_there(nats_server: NatsServer) -> None:
    """The error names it."""

    async def scenario() -> None:
        with pytest.raises(BrokerError, match=r"nowhere|nkeys"):
            await NatsBroker(nats_server.url, credentials="/nowhere").start(Seen())

    run(scenario())


def test_nobody_there() -> None:
    """The server's address is in the error; one of several is enough."""

    async def scenario() -> None:
        port = free_port()
        with pytest.raises(BrokerUnavailable, match=f"{port} is not there"):
            await NatsBroker(f"nats://127.0.0.1:{port}").start(Seen())

    run(scenario())


def test_one_of_several_servers(nats_server: NatsServer) -> None:
    """Whichever of them is there is taken."""

    async def scenario() -> None:
        for _each in range(4):
            async with node(f"nats://127.0.0.1:{free_port()},127.0.0.1:{nats_server.port}") as (broker, _):
                await broker.ping()

    run(scenario())


def test_a_server_that_does_not_answer(nats_server: NatsServer) -> None:
    """Starting fails in time, and leaves nothing."""

    async def scenario() -> None:
        nats_server.pause()
        try:
            async with asyncio.timeout(5.5):
                with pytest.raises(BrokerUnavailable, match=r"\d+ has not answered in (time|5 s)"):
                    await NatsBroker(nats_server.url).start(Seen())
            assert len(asyncio.all_tasks()) == 1
        finally:
            nats_server.resume()

    run(scenario())


@pytest.mark.case(107)
def test_what_is_no_push_is_left_out(nats_server: NatsServer) -> None:
    """Whoever can write where a stream pushes writes nothing that a node takes for a push, nor ends its reading."""
    good = {"Nats-Sequence": "5", "Nats-Last-Sequence": "4"}
    bad: list[tuple[str, dict[str, str] | None]] = [
        ("wsmash.live.x.not-an-epoch.a", good),
        (f"wsmash.live.x.{new_epoch()}.a", None),
        (f"wsmash.live.x.{new_epoch()}.a", {"Nats-Sequence": "5"}),
        (f"wsmash.live.x.{new_epoch()}.a", {**good, "Nats-Sequence": "4"}),
        (f"wsmash.live.x.{new_epoch()}.a", {**good, "Nats-Sequence": "-5"}),
        (f"wsmash.live.x.{new_epoch()}.a", {**good, "Nats-Sequence": "9" * 400}),
        (f"wsmash.live.x.{new_epoch()}.a", {**good, "Nats-Sequence": "\u0665"}),
    ]

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.follow_pattern(">")
            assert broker._connection is not None
            for subject, headers in bad:
                await broker._connection.publish(subject, b"crafted", headers=headers)
            await broker.ping()
            assert (seen.pushes, broker.ignored, seen.told) == ([], len(bad), [])
            await broker.publish("a", KEPT, b"", None)
            await broker.ping()
            assert len(seen.pushes) == 1

    run(scenario())


@pytest.mark.case(107)
def test_a_push_that_is_far_ahead(nats_server: NatsServer) -> None:
    """It is taken for a message that was lost: the epoch ends, so that nobody takes it for the last one."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.follow([("a", KEPT)])
            real = await broker.publish("a", KEPT, b"", None)
            forged = {"Nats-Sequence": str(10**15), "Nats-Last-Sequence": "0"}
            assert broker._connection is not None
            [subject] = broker._followed.values()
            await broker._connection.publish(subject.replace("*", real.epoch), b"forged", headers=forged)
            await broker.ping()
            assert len(seen.pushes) == 2
            [position] = await broker.positions([("a", KEPT)])
            assert position.epoch != real.epoch

    run(scenario())


@pytest.mark.case(107)
def test_a_subject_that_is_no_text(nats_server: NatsServer) -> None:
    """A push whose subject is not UTF-8 is left out, and those after it come."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.follow_pattern("a.>")
            reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
            await reader.readline()
            writer.write(b"CONNECT {}\r\nPUB wsmash.live.x.y.a.\xff 0\r\n\r\nPING\r\n")
            while (await reader.readline()) != b"PONG\r\n":
                pass
            writer.close()
            await broker.publish("a.b", KEPT, b"", None)
            await broker.ping()
            assert (len(seen.pushes), broker.ignored, seen.told) == (1, 1, [])

    run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "nats://",
        "nats://user:seekrit@",
        "nats://user:seekrit@a:b",
        "nats://a/path",
        "nats://a?replicas=2",
        "nats://a?seekrit=1",
        "nats://a,",
    ],
)
def test_what_is_no_url(url: str) -> None:
    """It is refused, without what may be a password."""
    with pytest.raises(ValueError, match="URL of NATS") as caught:
        NatsBroker(url)
    assert "user" not in str(caught.value)


@pytest.mark.parametrize("namespace", ["", "a.b", "a b", "*", ">", "a" * 65, "\u00e4"])
def test_what_is_no_namespace(namespace: str) -> None:
    """It is refused before anything is connected."""
    with pytest.raises(ValueError, match="namespace"):
        NatsBroker("nats://a", namespace)


@pytest.mark.case(107)
def test_an_answer_that_is_none(nats_server: NatsServer) -> None:
    """Somebody else who answers a publication, where the stream was, leaves its outcome unknown."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.publish("a", KEPT, b"", None)
            connection, stream = broker._connection, broker._streams["h5-60000ms"]
            assert connection is not None
            answering: list[asyncio.Future[None]] = []

            def answer(message: Message) -> None:
                answering.append(asyncio.ensure_future(connection.publish(message.reply, b"nonsense")))

            await connection.subscribe(stream.subject("a"), answer)
            await connection.ask(f"$JS.API.STREAM.DELETE.{stream.name}")
            with pytest.raises(OutcomeUnknown, match="nonsense"):
                await broker.publish("a", KEPT, b"", None)
            await asyncio.gather(*answering)
            assert seen.told == []

    run(scenario())


def test_another_server_in_its_place(nats_server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever answers there for a while, the broker is found again once it is back; what was wrong is logged once."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version": "1.2.3", "max_payload": "much"}\r\nPONG\r\n')
        writer.write_eof()
        await reader.read()
        writer.close()

    async def scenario() -> None:
        impostor = await asyncio.start_server(talk, "127.0.0.1")
        async with ChaosProxy(nats_server.port) as proxy, node(f"nats://127.0.0.1:{proxy.port}") as (_, seen):
            proxy.server_port = impostor.sockets[0].getsockname()[1]
            proxy.kill_all()
            await seen.until(lambda: len(proxy.accepted) > 4)
            proxy.server_port = nats_server.port
            await seen.until(lambda: seen.told == ["lost", "restored"])
        impostor.close()

    run(scenario())
    assert caplog.text.count("1.2.3") == 1
