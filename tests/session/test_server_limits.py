"""What a server bears of clients that speak wsmash.v1: floods, and what is no envelope; on each engine."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import Any

import pytest

import wsmash
from fixtures.frames import frame, text
from fixtures.in_loop import in_loop, turns, until
from fixtures.raw import serving
from fixtures.talker import speaking, talking
from wsmash import RequestEvent, TopicRequest
from wsmash.constants import Opcode
from wsmash.endpoint import ServerConnection
from wsmash.server import WebSocketServer
from wsmash.session.requests import MAX_REQUESTS
from wsmash.session.server import MAX_COMMANDS, Session

pytestmark = pytest.mark.usefixtures("engine")


def count_sessions() -> int:
    """How many there are."""
    return sum(isinstance(each, Session) for each in gc.get_objects())


def fill(server: WebSocketServer, client: ServerConnection) -> None:
    """Send to a client that reads nothing until not even the smallest message fits."""
    for size in (1000, 0):
        dropped = server.counters.dropped
        while server.counters.dropped == dropped:
            client.send("x" * size)


class TestLimits:
    @pytest.mark.case(69)
    @in_loop
    async def test_topics_of_a_connection(self) -> None:
        """So many, and not one more until there is one less; other connections are not counted."""
        async with speaking(max_topics_per_connection=3) as server, talking(server) as peer, talking(server) as other:
            for number in range(3):
                assert (await peer.ask("subscribe", topic=f"t.{number}"))["type"] == "reply"
            assert (await peer.ask("subscribe", topic="t.3"))["code"] == "too_many"
            assert (await peer.ask("subscribe", topic="t.*"))["code"] == "too_many"
            assert (await peer.ask("subscribe", topic="t.2"))["type"] == "reply"
            assert (await other.ask("subscribe", topic="t.3"))["type"] == "reply"
            await peer.ask("unsubscribe", topic="t.0")
            assert (await peer.ask("subscribe", topic="t.3"))["type"] == "reply"

    @pytest.mark.case(71)
    @in_loop
    async def test_who_subscribes_too_often_waits(self) -> None:
        """Above the rate commands wait, in their order, and none is refused; other connections do not wait."""
        async with speaking(subscribe_rate=20) as server, talking(server) as peer, talking(server) as other:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            await peer.write(*(f'{{"type":"subscribe","id":{number},"topic":"t"}}' for number in range(26)))
            await other.ask("subscribe", topic="t")
            assert loop.time() - begin < 0.2
            heard = await peer.hear_all(26)
            assert [each["id"] for each in heard] == list(range(26)) and {each["type"] for each in heard} == {"reply"}
            assert 0.2 < loop.time() - begin < 2

    @pytest.mark.case(69, 71)
    @in_loop
    async def test_a_flood_of_commands(self) -> None:
        """Reading pauses while too many commands wait, so few are held of any number, and all are answered."""
        gate = asyncio.Event()

        async def allow(_: TopicRequest) -> bool:
            await gate.wait()
            return True

        count = 5000
        async with speaking(authorize=allow) as server, talking(server) as peer:
            bodies = [f'{{"type":"publish","id":{number},"topic":"t.{number}","text":"x"}}' for number in range(count)]
            writing = asyncio.create_task(peer.write(*bodies))
            [client] = server.get_clients()
            session: Any = client._gate
            await until(lambda: client._pauses)
            await turns(50)
            assert len(session._queue) <= 2 * MAX_COMMANDS
            gate.set()
            assert [each["id"] for each in await peer.hear_all(count)] == list(range(count))
            await writing
            assert not client._pauses and session.held == 0

    @in_loop
    async def test_large_commands(self) -> None:
        """What waits is counted by its bytes too."""
        gate = asyncio.Event()

        async def allow(_: TopicRequest) -> bool:
            await gate.wait()
            return True

        async with speaking(authorize=allow) as server, talking(server) as peer:
            body = f'{{"type":"publish","id":1,"topic":"t","text":"{"x" * 50_000}"}}'
            writing = asyncio.create_task(peer.write(*[body] * 20))
            [client] = server.get_clients()
            await until(lambda: client._pauses)
            await turns(50)
            assert 65536 <= client._held() < 400_000
            gate.set()
            assert {each["type"] for each in await peer.hear_all(20)} == {"reply"}
            await writing

    @in_loop
    async def test_too_large_for_a_message(self) -> None:
        """What is too large as a message is answered, where the envelope is not; the connection goes on."""
        async with speaking(max_message_size=1000) as server, talking(server) as peer:
            await peer.write(json.dumps({"type": "publish", "id": 1, "topic": "t", "text": "x" * 900}))
            assert (await peer.hear())["type"] == "reply"
            await peer.write(json.dumps({"type": "publish", "id": 1, "topic": "t", "text": "x" * 1000}))
            assert await peer.closed() == 1009

    @in_loop
    async def test_an_answer_that_does_not_fit(self) -> None:
        """No answer is dropped, whatever becomes of messages: the connection fails with 1013."""
        async with speaking(slow_consumer="drop", max_write_buffer=65536) as server, talking(server) as peer:
            go = asyncio.Event()

            @server.method("big")
            async def big(_: RequestEvent) -> str:
                await go.wait()
                return "x" * 2**20

            for _ in range(MAX_REQUESTS):
                await peer.say("request", method="big")
            await peer.ask("subscribe", topic="t")
            go.set()
            await until(lambda: server.counters.closed_slow == 1)
            assert server.counters.dropped == 0

    @pytest.mark.case(69)
    @pytest.mark.parametrize("name", ["room.a", "room.*"])
    @in_loop
    async def test_a_subscription_whose_answer_does_not_fit(self, name: str) -> None:
        """It ends with its connection: nobody is counted, sent to, or told to be present any more."""
        gate = asyncio.Event()

        async def allow(request: TopicRequest) -> bool:
            return "slow" not in request.client.state or await gate.wait()

        options: dict[str, Any] = {"slow_consumer": "drop", "max_write_buffer": 65536, "authorize": allow}
        server = wsmash.create_server(host="127.0.0.1", port=0, protocols="wsmash.v1", **options)
        server.topic("room.>", presence=True)
        async with server, talking(server) as honest, talking(server) as slow:
            await honest.ask("subscribe", topic=name)
            client: Any = server.get_clients()[1]
            client.state["slow"] = True
            await slow.say("subscribe", topic=name)
            await until(lambda: client._gate.held)
            fill(server, client)
            gate.set()
            await until(lambda: server.counters.closed_slow == 1)
            await turns()
            assert server.get_subscriber_count(name) == 1
            assert len(await server.get_presence("room.a")) == (name == "room.a")

    @pytest.mark.parametrize("ends", [False, True])
    @in_loop
    async def test_what_the_server_does_by_itself_and_does_not_fit(self, ends: bool) -> None:
        """A client is not left without a word of its subscriptions: the connection fails with 1013."""
        async with speaking(slow_consumer="drop", max_write_buffer=65536) as server, talking(server) as peer:
            client: Any = server.get_clients()[0]
            if ends:
                await peer.ask("subscribe", topic="t")
            fill(server, client)
            if ends:
                client.unsubscribe("t")
            else:
                client.subscribe("t")
            assert not client.is_open() and server.counters.closed_slow == 1
            assert server.get_subscriber_count("t") == 0

    @in_loop
    async def test_what_is_left_of_it(self) -> None:
        """Nothing, and nobody has to look for circles: neither of one that was quiet nor of one that was busy."""
        gc.collect()
        before = count_sessions()  # tracebacks of other tests may hold some
        gc.disable()
        try:
            async with speaking() as server:
                server.method("wait", lambda _: asyncio.sleep(60))
                async with talking(server) as quiet, talking(server) as busy:
                    await quiet.ask("subscribe", topic="t")
                    await busy.say("request", method="wait")
                    await busy.ask("subscribe", topic="t")
                await until(lambda: not server.get_clients())
                await until(lambda: count_sessions() == before)
        finally:
            gc.enable()


class TestEnvelopes:
    @pytest.mark.parametrize(
        "body",
        ["", "{}", "[]", "\0", '{"type":"subscribe","id":-1,"topic":"t"}', '{"type":"cancel","id":1' + "0" * 5000 + "}",
         '{"type":"publish","id":1,"topic":"t","json":' + "[" * 100_000, '{"type":"what"}',
         '{"type":"publish","id":1,"topic":"t","json":' + "[" * 200 + "]" * 200 + "}"],
    )  # fmt: skip
    @in_loop
    async def test_malformed(self, body: str, caplog: pytest.LogCaptureFixture) -> None:
        """An invalid envelope closes with 1007, counts, and is worth one short line in the log."""
        caplog.set_level(logging.INFO)
        async with speaking() as server, talking(server) as peer:
            await peer.write(body)
            assert await peer.closed() == 1007
            assert server.counters.failed_message == 1
        lines = [each.getMessage() for each in caplog.records]
        assert len([each for each in lines if "1007" in each]) == 1 and max(map(len, lines)) < 500

    @in_loop
    async def test_commands_before_a_malformed_one(self) -> None:
        """What came before is answered; what came behind is not done."""
        async with speaking() as server, talking(server) as peer:
            await peer.write('{"type":"subscribe","id":1,"topic":"t"}')
            assert (await peer.hear())["id"] == 1
            await peer.write("{", '{"type":"publish","id":2,"topic":"t","text":"x"}')
            assert await peer.closed() == 1007

    @in_loop
    async def test_later_commands(self) -> None:
        """A command that is not known is answered so."""
        async with speaking() as server, talking(server) as peer:
            assert (await peer.ask("history", of={}))["code"] == "unsupported"

    @in_loop
    async def test_ordinary_messages(self) -> None:
        """Text without the mark, and binary messages with it, are the application's, between envelopes too."""
        heard: list[str | bytes] = []
        async with speaking() as server, talking(server) as peer:
            [client] = server.get_clients()
            client.on("message", lambda event: heard.append(event.data))
            await peer.wire.send(text("hello", masked=True) + frame(Opcode.BINARY, b"\x1e{}", masked=True))
            await peer.ask("subscribe", topic="t")
            await peer.wire.send(text("", masked=True) + text(" \x1e{}", masked=True))
            await until(lambda: len(heard) == 4)
            assert heard == ["hello", b"\x1e{}", "", " \x1e{}"]
            client.send("ordinary")
            assert (await peer.frame()).payload == b"ordinary"

    @in_loop
    async def test_the_rate_of_messages(self) -> None:
        """Envelopes count for `message_rate` as all messages do."""
        async with speaking(message_rate=5) as server, talking(server) as peer:
            await peer.write(*['{"type":"cancel","id":1}'] * 7)
            assert await peer.closed() == 1008
            assert server.counters.closed_rate == 1

    @in_loop
    async def test_without_the_sub_protocol(self) -> None:
        """To a server, or on a connection, that does not speak it, an envelope is an ordinary message."""
        async with serving() as server, talking(server, None) as peer:
            heard: list[str | bytes] = []
            server.get_clients()[0].on("message", lambda event: heard.append(event.data))
            await peer.write("{")
            await until(lambda: heard)
            assert heard == ["\x1e{"]
