"""What a server may do to a client with topics, and what that costs it at most."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import paused
from fixtures.speaking import EPOCH, Heard, Speaking, at, subscribed


@virtual
async def test_answers_to_what_nobody_asked_are_ignored(attempts: Attempts) -> None:
    """Replies and errors with made-up ids, messages and news of topics that are not subscribed to."""
    server, news = await subscribed(attempts)
    heard = Heard(news)
    for number in (0, 7, 99, 2**53 - 1, -1):
        server.tell("reply", id=number, epoch=EPOCH, offset=3)
        server.tell("error", id=number, code="forbidden")
    for kind in ("gap", "unsubscribed", "join", "leave", "message"):
        server.tell(kind, topic="other", reason="x", code="x", offset=1, epoch=EPOCH, member={"id": "a", "node": "n"})
    assert heard.names == [] and server.client.is_open() and news.is_active()
    await server.end()


@virtual
async def test_a_reply_that_is_not_what_was_asked_for_breaks_nothing(attempts: Attempts) -> None:
    """A subscription without a position, a publication without one, a request without content, nobody present."""
    server = Speaking(attempts)
    await server.open()
    news, published = server.client.subscribe("news"), server.client.publish("news", "x")
    asked, present = server.client.request("sum"), server.client.get_presence("news")
    for command in server.asked():
        server.tell("reply", id=command["id"], members=[])
    assert await news is news and news.position is None
    assert (await published, await asked, await present) == (None, None, ())
    await server.end()


@pytest.mark.parametrize("kind", ["join", "gap", "message", "degraded"])
def test_what_nobody_takes_is_bounded(attempts: Attempts, kind: str) -> None:
    """A subscription without callbacks keeps `max_queue` events and one gap, however many come."""

    @virtual
    async def scenario() -> None:
        server, news = await subscribed(attempts)
        for offset in range(1, 40):
            server.message(offset)
        for offset in range(40, 2000):
            members: dict[str, Any] = {"member": {"id": "a", "node": "n"}, "text": "x", "reason": "slow"}
            server.tell(kind, topic="news", offset=offset, epoch=EPOCH, **members)
        assert len(news._backlog) <= 17 and not paused(server.channel)
        await server.end()

    scenario()


@virtual
async def test_a_server_that_never_answers_leaves_nothing_waiting(attempts: Attempts) -> None:
    """Each call ends by its time, and what is held for it goes with it."""
    server = Speaking(attempts)
    await server.open()
    calls: list[Any] = [server.client.publish("news", "x") for _ in range(200)]
    calls += [server.client.request("sum") for _ in range(200)]
    calls += [server.client.get_presence("news") for _ in range(200)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, TimeoutError) and isinstance(each, wsmash.WebSocketError) for each in outcomes)
    commands = server.client._session.commands  # type: ignore[union-attr]
    assert not commands and commands._size == 0
    await server.end()


@virtual
async def test_a_server_that_refuses_for_ever_is_asked_ever_less(attempts: Attempts) -> None:
    """Within an hour hardly more often than every quarter of a minute."""
    server = Speaking(attempts)
    server.client.subscribe("news")
    await server.open()
    count, loop = 0, asyncio.get_running_loop()
    until = loop.time() + 3600
    while loop.time() < until:
        for command in server.asked():
            count += 1
            server.tell("error", id=command["id"], code="unavailable")
        await elapse(0.25)
    assert 120 < count < 360
    await server.end()


@virtual
async def test_text_of_the_server_s_forges_no_line_of_a_log(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """Codes, messages and reasons are escaped and cut wherever they are shown."""
    server, news = await subscribed(attempts)
    server.tell("unsubscribed", topic="news", code="x\n\x1b[31m", message="y\r\n" * 10_000)
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert text.isprintable() and len(text) < 600
    await idle()
    assert repr(news) == "<Subscription 'news' OVER>"
    await server.end()


@virtual
async def test_positions_that_go_back_deliver_nothing_twice(attempts: Attempts) -> None:
    """A gap that leads back is followed, as a server may; a message below the position is a duplicate."""
    server, news = await subscribed(attempts, offset=10)
    heard = Heard(news)
    for offset in (11, 5, 11, 10, 12):
        server.message(offset)
    assert heard.data == ["11", "12"] and news.position == at(12)
    await server.end()


@pytest.mark.parametrize(
    "members",
    [
        {"topic": "a" * 256},
        {"topic": "a", "pattern": "a" * 256},
        {"topic": "a", "epoch": "0" * 33},
        {"topic": "a", "offset": -1},
    ],
)
def test_names_and_positions_that_are_none(attempts: Attempts, members: dict[str, Any]) -> None:
    """They are invalid, and so never kept, however many topics a pattern has: the connection fails."""

    @virtual
    async def scenario() -> None:
        server, _ = await subscribed(attempts, "*")
        server.tell("message", text="x", **{"pattern": "*", "offset": 1, "epoch": EPOCH} | members)
        assert not server.client.is_open()
        await server.end()

    scenario()


@virtual
async def test_news_counts_by_its_size(attempts: Attempts) -> None:
    """What is said of members fills a backlog as messages do: reading pauses, also while an answer is waited for."""
    server, news = await subscribed(attempts)
    go_on = asyncio.Event()
    news.on("message", lambda _: go_on.wait())
    server.client.publish("news", "x")
    server.message(1)
    for number in range(100):
        server.tell("join", topic="news", member={"id": str(number), "node": "n", "info": "x" * 100_000})
        if paused(server.channel):
            break
    assert 40 <= number <= 45
    go_on.set()
    await server.end()
