"""What clients that speak wsmash.v1 are told of recovery, of gaps and of an outage of the broker; on each engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wsmash
from fixtures.in_loop import in_loop, until
from fixtures.raw import serving
from fixtures.scripted_broker import ScriptedBroker
from fixtures.talker import talking
from wsmash import BrokerUnavailable, OutcomeUnknown
from wsmash.session import dialect
from wsmash.session.envelopes import encode_message
from wsmash.topics.position import Position

pytestmark = pytest.mark.usefixtures("engine")


@asynccontextmanager
async def speaking(broker: ScriptedBroker | str) -> AsyncIterator[wsmash.WebSocketServer]:
    """A server with a topic of each kind: `kept` has a history, `none` has not."""
    async with serving(protocols="wsmash.v1", authorize=lambda _: True, broker=broker) as server:
        server._policies.add("kept", wsmash.TopicPolicy(history_size=5, history_ttl=60))
        yield server


def since(position: Position | None) -> dict[str, Any]:
    """The position as a member of a command."""
    assert position is not None
    return {"epoch": position.epoch, "offset": position.offset}


@pytest.mark.parametrize("shared", [False, True])
@in_loop
async def test_recovery(shared: bool) -> None:
    """The answer comes first and says where it begins, then what was missed, then what is new: each once, in order."""
    async with speaking(ScriptedBroker() if shared else "memory") as server, talking(server) as peer:
        begin = await server.publish("kept", "0")
        for number in (1, 2):
            await server.publish("kept", str(number))
        reply = await peer.ask("subscribe", topic="kept", since=since(begin))
        assert reply == {"type": "reply", "id": 1, "recovered": True, **since(begin)}
        await server.publish("kept", "3")
        assert [each["text"] for each in await peer.hear_all(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("shared", [False, True])
@in_loop
async def test_what_cannot_be_recovered(shared: bool) -> None:
    """None of it is sent; the answer says from where on, and why: too much was missed, or the stream is another."""
    async with speaking(ScriptedBroker() if shared else "memory") as server, talking(server) as peer:
        begin = await server.publish("kept", "0")
        for number in range(8):
            last = await server.publish("kept", str(number))
        for position, reason in ((begin, "trimmed"), (Position("0" * 32, 7), "epoch")):
            reply = await peer.ask("subscribe", topic="kept", since=since(position))
            assert {**reply, "id": 0} == {
                "type": "reply",
                "id": 0,
                "recovered": False,
                "reason": reason,
                **since(last),
            }
        await server.publish("kept", "new")
        assert (await peer.hear())["text"] == "new"


@in_loop
async def test_an_outage() -> None:
    """Each connection is told once, whatever it is subscribed to, and told of the end after what it had missed."""
    broker = ScriptedBroker()
    async with speaking(broker) as server, talking(server) as peer, talking(server) as idle:
        for topic in ("kept", "none", "a.*"):
            await peer.ask("subscribe", topic=topic)
        broker.leave()
        assert await peer.hear() == {"type": "degraded"}
        broker.away = False
        broker.add("kept", b"\x93\x01\x01\xc4\x04late")  # which another node has published meanwhile
        broker.away = True
        broker.come_back()
        heard = [await peer.hear()]
        while heard[-1]["type"] != "restored":
            heard.append(await peer.hear())
        assert [each["text"] for each in heard if each["type"] == "message"] == ["late"]
        assert {each["topic"] for each in heard if each["type"] == "gap"} <= {"none", "a.*"}
        assert {"topic": "a.*", "reason": "outage", "type": "gap"} in heard
        assert (await idle.ask("unsubscribe", topic="kept"))["type"] == "reply"  # who has no subscription hears nothing


@in_loop
async def test_publishing_in_an_outage() -> None:
    """As the topic's policy says: refused, and certainly not done; or delivered by this node, without a position."""
    broker = ScriptedBroker()
    async with speaking(broker) as server, talking(server) as peer, talking(server) as other:
        await other.ask("subscribe", topic="none")
        broker.leave()
        assert (await other.hear())["type"] == "degraded"
        assert (await peer.ask("publish", topic="kept", text="x"))["code"] == "unavailable"
        assert await peer.ask("publish", topic="none", text="x") == {"type": "reply", "id": 2}
        assert await other.hear() == {"type": "message", "topic": "none", "text": "x"}


@in_loop
async def test_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as such, so that the client may publish again with the same key."""
    broker = ScriptedBroker()

    async def publish(*_: object) -> Position:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(broker, "publish", publish)
    async with speaking(broker) as server, talking(server) as peer:
        assert (await peer.ask("publish", topic="kept", text="x", key="k"))["code"] == "outcome_unknown"


@pytest.mark.parametrize("kind", [OutcomeUnknown, BrokerUnavailable])
@in_loop
async def test_clients_are_not_told_where_the_broker_is(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its address, and its own words, are in the log alone."""
    broker = ScriptedBroker()

    async def publish(*_: object) -> Position:
        raise kind("Redis at redis.internal:6379: OOM command not allowed")

    monkeypatch.setattr(broker, "publish", publish)
    async with speaking(broker) as server, talking(server) as peer:
        answer = await peer.ask("publish", topic="kept", text="x", key="k")
        assert answer["message"].startswith("the broker ") and "redis.internal" not in str(answer)
    assert "a Publish failed: Redis at redis.internal:6379: OOM" in caplog.text


@in_loop
async def test_subscribing_in_an_outage() -> None:
    """The subscription holds, and is degraded; what came after its position follows once the broker is back."""
    broker = ScriptedBroker()
    async with speaking(broker) as server, talking(server) as peer:
        begin = await server.publish("kept", "before")
        await server.publish("kept", "missed")
        broker.leave()
        await until(lambda: server._serving is not None and server._serving.hub.degraded)
        reply = await peer.ask("subscribe", topic="kept", since=since(begin))
        assert reply == {"type": "reply", "id": 1, "degraded": True}
        broker.come_back()
        heard = [await peer.hear() for _ in range(2)]
        assert sorted(each["type"] for each in heard) == ["message", "restored"]
        assert [each["text"] for each in heard if "text" in each] == ["missed"]


@in_loop
async def test_acknowledgements_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publications are handed to the broker in their order, and answered as it acknowledges them."""
    broker = ScriptedBroker()
    given: list[str] = []
    gates = {f"k{number}": asyncio.Event() for number in range(3)}
    publish = broker.publish

    async def slow(topic: str, policy: Any, data: bytes, key: str | None) -> Position:
        given.append(str(key).removeprefix("client/"))
        await gates[given[-1]].wait()
        return await publish(topic, policy, data, key)

    monkeypatch.setattr(broker, "publish", slow)
    async with speaking(broker) as server, talking(server) as peer:
        for key in gates:
            await peer.say("publish", topic="kept", text="x", key=key)
        await until(lambda: len(given) == 3)
        assert given == ["k0", "k1", "k2"]
        for number in (2, 0, 1):
            gates[f"k{number}"].set()
            assert (await peer.hear())["id"] == number + 1


@in_loop
async def test_a_message_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all subscribers of a topic, and once more for those of each pattern."""
    encoded: list[tuple[object, ...]] = []
    encode = encode_message

    def counted(*args: Any) -> bytes:
        encoded.append(args)
        return encode(*args)

    monkeypatch.setattr(dialect, "encode_message", counted)
    async with speaking("memory") as server, talking(server) as one, talking(server) as two, talking(server) as three:
        for peer in (one, two, three):
            await peer.ask("subscribe", topic="a.b")
            await peer.ask("subscribe", topic="a.*")
        await server.publish("a.b", {"x": 1})
        for peer in (one, two, three):
            assert {each.get("pattern") for each in await peer.hear_all(2)} == {None, "a.*"}
        assert len(encoded) == 2
