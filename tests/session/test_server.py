"""What a server answers about topics to clients that speak wsmash.v1, seen from a raw socket, on each engine."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

import wsmash
from fixtures.in_loop import in_loop, until
from fixtures.live import errors
from fixtures.scripted_broker import ScriptedBroker
from fixtures.talker import Envelope, speaking, talking
from wsmash import TopicRequest
from wsmash.constants import Opcode

pytestmark = pytest.mark.usefixtures("engine")


def position_of(envelope: Envelope) -> tuple[str, int]:
    """Its epoch and offset."""
    return envelope["epoch"], envelope["offset"]


class TestTopics:
    @in_loop
    async def test_subscribe_and_publish(self) -> None:
        """A subscriber hears what is published, with increasing offsets, and its publisher where it is."""
        async with speaking() as server, talking(server) as one, talking(server) as other:
            begin = await one.ask("subscribe", topic="news")
            assert begin["type"] == "reply" and begin["id"] == 1 and "recovered" not in begin
            done = await other.ask("publish", topic="news", json={"a": [1]})
            offset = done["offset"]
            assert await one.hear() == {"type": "message", "topic": "news", "offset": offset, "json": {"a": [1]}}
            assert done["epoch"] == begin["epoch"] and done["offset"] > begin["offset"]
            await server.publish("news", "text")
            await server.publish("news", b"\0\xff")
            await server.publish("other", "another topic's")
            first, second = await one.hear_all(2)
            assert first["text"] == "text" and base64.b64decode(second["binary"]) == b"\0\xff"
            assert done["offset"] < first["offset"] < second["offset"]
            assert await one.ask("unsubscribe", topic="news") == {"type": "reply", "id": 2}
            assert server.get_subscriber_count("news") == 0

    @in_loop
    async def test_patterns(self) -> None:
        """What comes for a pattern names it, its topic and its epoch; a pattern has no position."""
        async with speaking() as server, talking(server) as peer:
            assert await peer.ask("subscribe", topic="chat.*") == {"type": "reply", "id": 1}
            epoch, offset = await server.publish("chat.a", "x") or ("", 0)
            assert await peer.hear() == {
                "type": "message",
                "topic": "chat.a",
                "pattern": "chat.*",
                "offset": offset,
                "epoch": epoch,
                "text": "x",
            }

    @in_loop
    async def test_values_reach_subscribers_as_they_were_written(self) -> None:
        """Neither the spaces nor the digits of published JSON change."""
        value = '{ "big": 123456789012345678901234567890,  "a": 1.10 }'
        async with speaking() as server, talking(server) as peer:
            await peer.ask("subscribe", topic="t")
            await peer.write(f'{{"type":"publish","id":2,"topic":"t","json":{value}}}')
            assert value.encode() in (await peer.frame()).payload

    @in_loop
    async def test_a_key_is_published_once(self) -> None:
        """A second publication with the same key is answered with the position of the first, and heard by nobody."""
        async with speaking() as server, talking(server) as peer, talking(server) as again:
            await peer.ask("subscribe", topic="t")
            first = await again.ask("publish", topic="t", text="x", key="k1")
            second = await again.ask("publish", topic="t", text="x", key="k1")
            assert position_of(first) == position_of(second)
            await server.publish("t", "last")
            assert [each["text"] for each in await peer.hear_all(2)] == ["x", "last"]

    @in_loop
    async def test_no_client_takes_a_key_of_the_server(self) -> None:
        """What the server publishes with a key of its own is added, though a client has used the same one."""
        async with speaking() as server, talking(server) as peer:
            await peer.ask("publish", topic="t", text="theirs", key="order-7")
            await peer.ask("subscribe", topic="t")
            await server.publish("t", "ours", idempotency_key="order-7")
            assert (await peer.hear())["text"] == "ours"

    @in_loop
    async def test_what_ends_before_it_begins(self, caplog: pytest.LogCaptureFixture) -> None:
        """A subscription that an unsubscribe, or a second one, has overtaken is answered, and nobody's failure."""
        broker = ScriptedBroker()
        async with speaking(broker=broker) as server, talking(server) as peer:
            since = broker.add("t", b"")._asdict()
            broker.slowness = 0.1
            for _ in range(2):
                await peer.say("subscribe", topic="t", since=since | {"epoch": "0" * 32})
            await peer.say("unsubscribe", topic="t")
            heard = {each["id"]: each for each in await peer.hear_all(3)}
            assert [heard[number].get("code") for number in (1, 2, 3)] == ["cancelled", "cancelled", None]
        assert not caplog.records

    @in_loop
    async def test_a_second_subscription_before_the_first_has_begun(self) -> None:
        """It begins with the first, at the same place, and is answered after it."""
        broker = ScriptedBroker()
        async with speaking(broker=broker) as server, talking(server) as peer:
            broker.slowness = 0.1
            await peer.say("subscribe", topic="t")
            await peer.say("subscribe", topic="t")
            first, second = await peer.hear_all(2)
            assert [first["id"], second["id"]] == [1, 2]
            assert position_of(first) == position_of(second) and "epoch" in second
            await server.publish("t", "once")
            assert (await peer.hear())["text"] == "once"
            assert server.get_subscriber_count("t") == 1

    @in_loop
    async def test_plain_connections_beside(self) -> None:
        """Who did not ask for the sub-protocol gets what its server subscribes it to, as ordinary messages."""
        async with speaking() as server, talking(server) as peer:
            server.on("connection", lambda event: event.client.subscribe("t"))
            await peer.ask("subscribe", topic="t")
            async with talking(server, None) as plain:
                await until(lambda: server.get_subscriber_count("t") == 2)
                await peer.say("publish", topic="t", json={"a": 1})
                found = await plain.frame()
                assert (found.opcode, found.payload) == (Opcode.TEXT, b'{"a": 1}')
                assert {(await peer.hear())["type"] for _ in range(2)} == {"message", "reply"}

    @in_loop
    async def test_the_server_subscribes(self) -> None:
        """What a server's own code subscribes a client to, its `authorize` is not asked about."""
        async with speaking(authorize=None) as server:
            server.on("connection", lambda event: event.client.subscribe("t"))
            async with talking(server) as peer:
                await until(lambda: server.get_subscriber_count("t"))
                assert (await peer.hear()).items() >= {("type", "subscribed"), ("topic", "t"), ("offset", 0)}
                await server.publish("t", "x")
                assert (await peer.hear())["text"] == "x"

    @pytest.mark.parametrize(
        ("kind", "members"),
        [
            ("subscribe", {"topic": ""}),
            ("subscribe", {"topic": "a..b"}),
            ("subscribe", {"topic": "a b"}),
            ("subscribe", {"topic": "ä" * 128}),
            ("subscribe", {"topic": "a.>.b"}),
            ("subscribe", {"topic": "a.*", "since": {"epoch": "0" * 32, "offset": 1}}),
            ("publish", {"topic": "a.*", "text": "x"}),
            ("publish", {"topic": "\0", "text": "x"}),
            ("presence", {"topic": ">"}),
        ],
    )  # fmt: skip
    @in_loop
    async def test_what_is_no_topic(self, kind: str, members: dict[str, Any]) -> None:
        """A name that is none is told so, and the connection goes on."""
        async with speaking() as server, talking(server) as peer:
            refused = await peer.ask(kind, **members)
            assert (refused["type"], refused["code"]) == ("error", "bad_topic") and refused["message"]
            assert (await peer.ask("subscribe", topic="t"))["type"] == "reply"

    @in_loop
    async def test_commands_are_answered_in_order(self) -> None:
        """Though each waits for an `authorize` of another length."""

        async def allow(request: TopicRequest) -> bool:
            await asyncio.sleep(0.02 if request.topic == "slow" else 0)
            return True

        async with speaking(authorize=allow) as server, talking(server) as peer:
            await peer.write(
                '{"type":"subscribe","id":7,"topic":"slow"}',
                '{"type":"publish","id":8,"topic":"slow","text":"a"}',
                '{"type":"publish","id":9,"topic":"t","text":"a"}',
                '{"type":"unsubscribe","id":10,"topic":"slow"}',
                '{"type":"publish","id":11,"topic":"slow","text":"b"}',
            )
            heard = await peer.hear_all(6)
            assert [each.get("id", each["type"]) for each in heard] == [7, "message", 8, 9, 10, 11]

    @in_loop
    async def test_presence_that_is_not_kept(self) -> None:
        """Who is on a topic without presence is not known."""
        async with speaking() as server, talking(server) as peer:
            assert (await peer.ask("presence", topic="t"))["code"] == "no_presence"


class TestAuthorizing:
    @in_loop
    async def test_nothing_is_allowed_by_itself(self) -> None:
        """Without `authorize` a client may do nothing, and the answer names the option."""
        async with speaking(authorize=None) as server, talking(server) as peer:
            for kind, members in (("subscribe", {}), ("publish", {"text": "x"}), ("presence", {})):
                refused = await peer.ask(kind, topic="t", **members)
                assert refused["code"] == "forbidden" and "authorize=" in refused["message"]
            assert server.counters.refused_topics == 3

    @pytest.mark.parametrize("coroutine", [False, True])
    @in_loop
    async def test_what_is_asked(self, coroutine: bool) -> None:
        """A function, or a coroutine function, is asked about each action; a pattern as the pattern that it is."""
        asked: list[tuple[str, str]] = []

        def allow(request: TopicRequest) -> object:
            assert isinstance(request.client, wsmash.ServerConnection)
            asked.append((request.action, request.topic))
            return request.topic != "secret"

        async def allow_later(request: TopicRequest) -> object:
            await asyncio.sleep(0)
            return allow(request)

        async with speaking(authorize=allow_later if coroutine else allow) as server, talking(server) as peer:
            assert (await peer.ask("subscribe", topic="secret"))["code"] == "forbidden"
            assert (await peer.ask("publish", topic="secret", text="x"))["code"] == "forbidden"
            assert (await peer.ask("presence", topic="secret"))["code"] == "forbidden"
            assert (await peer.ask("subscribe", topic="*"))["type"] == "reply"
            expected = [("subscribe", "secret"), ("publish", "secret"), ("presence", "secret"), ("subscribe", "*")]
            assert asked == expected
            assert server.get_subscriber_count("secret") == 0

    @pytest.mark.parametrize("error", [ValueError("a secret"), asyncio.CancelledError("a secret")])
    @in_loop
    async def test_one_that_raises(self, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
        """It has allowed nothing: refused, with one record, and nothing of the exception on the wire."""

        async def allow(_: TopicRequest) -> bool:
            raise error

        async with speaking(authorize=allow) as server, talking(server) as peer:
            refused = await peer.ask("subscribe", topic="t")
            assert refused["code"] == "forbidden" and "a secret" not in json.dumps(refused)
            assert (await peer.ask("unsubscribe", topic="t"))["type"] == "reply"
        [record] = errors(caplog)
        assert record.exc_info is not None and record.exc_info[1] is error

    @pytest.mark.case(103)
    @in_loop
    async def test_a_privilege_taken_away(self) -> None:
        """Each subscription is asked about anew, so each resume is: who may no more gets nothing of what it missed."""
        allowed = {"t"}
        async with speaking(authorize=lambda request: request.topic in allowed) as server:
            server._policies.add("t", wsmash.TopicPolicy(history_size=10, history_ttl=60))
            async with talking(server) as peer:
                begin = await peer.ask("subscribe", topic="t")
            await until(lambda: not server.get_subscriber_count("t"))
            await server.publish("t", "not for everybody")
            allowed.clear()
            since = {"epoch": begin["epoch"], "offset": begin["offset"]}
            async with talking(server) as peer:
                assert (await peer.ask("subscribe", topic="t", since=since))["code"] == "forbidden"
                await server.publish("t", "neither")
                assert (await peer.ask("unsubscribe", topic="t"))["type"] == "reply"

    @pytest.mark.case(103)
    @in_loop
    async def test_a_refusal_ends_what_there_was(self) -> None:
        """A subscription that is asked for again, and refused, is there no more."""
        allowed = {"t"}
        async with speaking(authorize=lambda request: request.topic in allowed) as server, talking(server) as peer:
            await peer.ask("subscribe", topic="t")
            allowed.clear()
            assert (await peer.ask("subscribe", topic="t"))["code"] == "forbidden"
            assert server.get_subscriber_count("t") == 0

    @in_loop
    async def test_one_that_has_gone_meanwhile(self) -> None:
        """Who was asked about and has gone is subscribed to nothing."""
        going = asyncio.Event()

        async def allow(_: TopicRequest) -> bool:
            going.set()
            await asyncio.sleep(0.05)
            return True

        async with speaking(authorize=allow) as server:
            async with talking(server) as peer:
                await peer.say("subscribe", topic="t")
                await going.wait()
            await until(lambda: not server.get_clients())
            await asyncio.sleep(0.06)
            assert server.get_subscriber_count("t") == 0
