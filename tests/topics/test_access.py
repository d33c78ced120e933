"""What clients may do by themselves: whom `authorize` allows what, and how often they may ask."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.clock import elapse, virtual
from fixtures.nodes import Node
from wsmash import RequestError, TopicRequest


@virtual
async def test_without_authorize_clients_may_do_nothing() -> None:
    """And the error says which option allows something."""
    async with Node() as node:
        with pytest.raises(RequestError, match="authorize=") as caught:
            await node.hub.access.check(node.client().connection, "subscribe", "news")
        assert caught.value.code == "forbidden" and node.hub.counters.refused_topics == 1


@pytest.mark.case(103)
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
def test_authorize_is_asked_each_time(kind: str) -> None:
    """With who wants to do what; whatever is false refuses it."""
    asked: list[TopicRequest] = []
    allowed: list[Any] = [True, "yes", None, 0, False]

    def authorize(request: TopicRequest) -> Any:
        asked.append(request)
        return allowed.pop(0)

    async def authorize_later(request: TopicRequest) -> Any:
        return authorize(request)

    @virtual
    async def scenario() -> None:
        async with Node(authorize=authorize if kind == "function" else authorize_later) as node:
            client = node.client().connection
            await node.hub.access.check(client, "subscribe", "news.>")
            await node.hub.access.check(client, "publish", "news.a")
            for _ in range(3):
                with pytest.raises(RequestError, match=r"asking who is on news\.a"):
                    await node.hub.access.check(client, "presence", "news.a")
            assert asked[0] == (client, "subscribe", "news.>") and asked[1].action == "publish"
            assert node.hub.counters.refused_topics == 3

    scenario()


@virtual
async def test_an_error_of_authorize_is_raised() -> None:
    """It has not allowed anything."""

    def authorize(request: TopicRequest) -> bool:
        raise KeyError(request.topic)

    async with Node(authorize=authorize) as node:
        with pytest.raises(KeyError):
            await node.hub.access.check(node.client().connection, "subscribe", "news")


@pytest.mark.case(71)
@virtual
async def test_so_many_subscriptions_a_second() -> None:
    """`subscribe_rate`, of each connection; None is no limit."""
    async with Node(subscribe_rate=5) as node:
        clock = node.hub.environment.wheel.clock
        one, other = node.hub.access.bucket(), node.hub.access.bucket()
        assert one is not None and other is not None
        assert [one.take(clock()) for _ in range(6)] == [True] * 5 + [False]
        assert other.take(clock())
        await elapse(0.21)
        assert one.take(clock())
    async with Node(subscribe_rate=None) as node:
        assert node.hub.access.bucket() is None
