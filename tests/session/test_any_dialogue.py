"""Commands at random, as many as a client likes at once, on each engine."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from fixtures.in_loop import in_loop, until
from fixtures.talker import Envelope, speaking, talking
from wsmash import RequestError, RequestEvent, TopicPolicy, TopicRequest

pytestmark = pytest.mark.usefixtures("engine")

TOPICS = ("a", "b", "c", "d", "a.*", ">", "x", "x.>", "..", "")
"""Some are allowed, the x are not, and some are no names."""


def command(random: Random, number: int) -> Envelope:
    """Anything that may be asked for, and what may not."""
    topic = random.choice(TOPICS)
    made: list[Envelope] = [
        {"type": "subscribe", "topic": topic},
        {"type": "subscribe", "topic": topic, "since": {"epoch": "0" * 32, "offset": random.randrange(9)}},
        {"type": "unsubscribe", "topic": topic},
        {"type": "publish", "topic": topic, "json": [number], "key": f"k{random.randrange(5)}"},
        {"type": "publish", "topic": topic, "binary": "AAE="},
        {"type": "presence", "topic": topic},
        {"type": "request", "method": random.choice(("echo", "slow", "fail", "none")), "text": str(number)},
        {"type": "request", "method": "slow", "timeout": 0.001},
        {"type": "cancel", "id": random.randrange(number + 1)},
        {"type": "later", "topic": topic},
    ]
    return {"id": number} | random.choice(made)


def allow(request: TopicRequest) -> bool:
    """All but some."""
    return not request.topic.startswith("x")


def make_methods(server: Any) -> None:
    """What may be called."""

    async def slow(event: RequestEvent) -> object:
        await asyncio.sleep(0.003)
        return event.data

    def fail(event: RequestEvent) -> None:
        raise RequestError("own", str(event.data))

    server.method("echo", lambda event: event.data)
    server.method("slow", slow)
    server.method("fail", fail)


@pytest.mark.case(69)
@pytest.mark.parametrize("seed", range(12))
@in_loop
async def test_any_dialogue(seed: int) -> None:
    """No command is forgotten, none is answered twice, and what is no request is answered in its order."""
    random = Random(seed)
    async with speaking(authorize=allow, max_topics_per_connection=4, subscribe_rate=None) as server:
        make_methods(server)
        server._policies.add("a", TopicPolicy(history_size=3, history_ttl=60, presence=True))
        async with talking(server) as peer:
            commands = [command(random, number) for number in range(random.randrange(1, 300))]
            writing = asyncio.create_task(peer.write(*map(json.dumps, commands)))
            asked = {each["id"]: each for each in commands if each["type"] != "cancel"}
            answers: dict[int, Envelope] = {}
            while len(answers) < len(asked):
                heard = await peer.hear()
                if heard["type"] in ("reply", "error"):
                    assert heard["id"] not in answers
                    answers[heard["id"]] = heard
            await writing
            in_order = [number for number in answers if asked[number]["type"] not in ("request", "presence")]
            assert in_order == sorted(in_order)
            wanted: dict[str, None] = {}
            for number in sorted(answers):
                kind, topic, told = asked[number]["type"], asked[number].get("topic", ""), answers[number]["type"]
                if kind == "subscribe" and told == "reply":
                    if "since" in asked[number]:
                        wanted.pop(topic, None)
                    wanted[topic] = None
                elif kind == "unsubscribe" or (kind == "subscribe" and answers[number]["code"] == "forbidden"):
                    wanted.pop(topic, None)
            [client] = server.get_clients()
            assert set(client.topics) == set(wanted) and len(wanted) <= 4
        await until(lambda: not server.get_clients())
        assert not any(server.get_subscriber_count(topic) for topic in TOPICS if topic)
