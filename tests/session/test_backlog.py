"""How a subscription's events reach callbacks and readers: one at a time, in order, and bounded on the way."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import paused
from fixtures.live import errors
from fixtures.speaking import Heard, Speaking, at, subscribed
from wsmash.constants import MAX_QUEUE_BYTES
from wsmash.session.backlog import SLACK

where: ContextVar[str] = ContextVar("where", default="nowhere")


@virtual
async def test_coroutine_callbacks_are_awaited_in_order(attempts: Attempts) -> None:
    """One at a time, all of an event before the next, gaps in their turn, while other subscriptions go on."""
    server, news = await subscribed(attempts)
    other = Heard(server.client.subscribe("other"))
    server.confirm()
    told: list[Any] = []

    @news.on("message")
    async def slow(event: wsmash.TopicMessage) -> None:
        told.append(("begin", event.data))
        await elapse(1)
        told.append(("end", event.data))

    news.on("message", lambda event: told.append(("plain", event.data)))
    news.on("gap", lambda event: told.append(("gap", event.position)))
    server.message(1)
    server.tell("gap", topic="news", epoch=at(0).epoch, offset=5, reason="slow")
    server.message(6)
    server.message(1, "other")
    assert told == [] and other.data == ["1"]
    await idle()
    assert told == [("begin", "1")] and news.position == at(1)
    await elapse(5)
    rest = [("end", "1"), ("plain", "1"), ("gap", at(5)), ("begin", "6"), ("end", "6"), ("plain", "6")]
    assert told[1:] == rest and news.position == at(6)
    await server.end()


@virtual
async def test_callbacks_run_in_the_client_s_context(attempts: Attempts) -> None:
    """That of `connect`, whoever added them, plain ones and coroutine functions."""
    server = Speaking(attempts)
    news = server.client.subscribe("news")
    token = where.set("connect")
    await server.open()
    where.reset(token)
    server.confirm()
    seen: list[str] = []
    news.on("message", lambda _: seen.append(where.get()))

    @news.on("message")
    async def later(_: wsmash.TopicMessage) -> None:
        seen.append(where.get())

    server.message(1)
    server.message(2)
    await idle()
    assert seen == ["connect"] * 4
    await server.end()


@virtual
async def test_a_callback_that_raises_is_logged_and_fires_the_client_s_error(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """The other callbacks and the next messages are not affected, and the client stays open."""
    server, news = await subscribed(attempts)
    failed: list[Any] = []
    server.client.on("error", lambda event: failed.append(event.error))

    @news.on("message")
    def plain(event: wsmash.TopicMessage) -> None:
        raise LookupError("plain")

    @news.on("message")
    async def later(event: wsmash.TopicMessage) -> None:
        raise LookupError("later")

    heard = Heard(news)
    server.message(1)
    await idle()
    server.message(2)
    await idle()
    assert heard.data == ["1", "2"] and [str(error) for error in failed] == ["plain", "later"] * 2
    assert server.client.is_open() and len(errors(caplog)) == 4
    await server.end()


@virtual
async def test_a_task_of_callbacks_that_is_cancelled_ends_the_client(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of message callbacks does: nobody could tell what it has not done."""
    server, news = await subscribed(attempts)

    @news.on("message")
    async def forever(event: wsmash.TopicMessage) -> None:
        running.append(asyncio.current_task())
        await asyncio.Event().wait()

    running: list[Any] = []
    server.message(1)
    server.message(2)
    await idle()
    running[0].cancel()
    await idle()
    assert not server.client.is_open()
    await server.end()
    assert len(running) == 1


# -- bounds


@pytest.mark.parametrize("size", [1, MAX_QUEUE_BYTES // 4])
def test_reading_pauses_while_a_callback_is_behind(attempts: Attempts, size: int) -> None:
    """By the number of messages and by their bytes; it goes on when a quarter is left, and nothing is lost."""

    @virtual
    async def scenario() -> None:
        server, news = await subscribed(attempts)
        told: list[int] = []

        @news.on("message")
        async def slow(event: wsmash.TopicMessage) -> None:
            await elapse(1)
            told.append(event.position.offset if event.position else 0)

        count = 0
        while not paused(server.channel):
            count += 1
            server.message(count, text="x" * size)
        assert count == (16 if size == 1 else 4) + 1  # the first one is with the callback
        while paused(server.channel):
            await elapse(0.5)
        assert len(told) == count - 1 - (4 if size == 1 else 1)
        await elapse(20)
        assert told == list(range(1, count + 1))
        await server.end()

    scenario()


@virtual
async def test_a_callback_that_awaits_an_answer_gets_it(attempts: Attempts) -> None:
    """Reading goes on for that, though more messages wait than may otherwise, and up to a bound."""
    server, news = await subscribed(attempts)
    answers: list[Any] = []

    @news.on("message")
    async def ask(event: wsmash.TopicMessage) -> None:
        answers.append(await server.client.request("add", event.data, timeout=None))

    for number in range(1, 40):
        server.message(number)
    await idle()
    assert not paused(server.channel)
    for number in range(40, 40 + 16 * SLACK):
        server.message(number)
    assert paused(server.channel)
    server.tell("reply", id=server.last()["id"], text="done")
    await idle()
    assert answers == ["done"]
    await server.end()


@virtual
async def test_a_pause_ends_where_something_is_asked(attempts: Attempts) -> None:
    """The answer may stand behind what is not read."""
    server, news = await subscribed(attempts)
    go = asyncio.Event()

    @news.on("message")
    async def ask(event: wsmash.TopicMessage) -> None:
        await go.wait()
        await server.client.request("add")

    for number in range(1, 18):
        server.message(number)
    await idle()
    assert paused(server.channel)
    go.set()
    await idle()
    assert not paused(server.channel)
    server.tell("reply", id=server.last()["id"])
    await server.end()


@virtual
async def test_a_pause_lasts_over_an_outage(attempts: Attempts) -> None:
    """What waits is still too much on the next connection."""
    server, news = await subscribed(attempts)
    go = asyncio.Event()

    @news.on("message")
    async def wait(event: wsmash.TopicMessage) -> None:
        await go.wait()

    for number in range(1, 18):
        server.message(number)
    await server.lose()
    await server.open()
    server.confirm(17, recovered=True)
    await idle()
    assert paused(server.channel)
    go.set()
    await idle()
    assert not paused(server.channel) and news.position == at(17)
    await server.end()


@virtual
async def test_what_nobody_takes_never_pauses_reading(attempts: Attempts) -> None:
    """As much as may wait does; a gap says where the rest is missing, and what comes later follows it."""
    server, news = await subscribed(attempts)
    for number in range(1, 41):
        server.message(number)
    server.tell("join", topic="news", member={"id": "a", "node": "n"})
    server.tell("gap", topic="news", epoch=at(0).epoch, offset=50, reason="slow")
    assert not paused(server.channel)
    heard = Heard(news)
    await idle()
    assert heard.data == [str(number) for number in range(1, 17)] and heard.names[16:] == ["gap"]
    assert heard.of("gap")[0].position == at(50) == news.position and heard.of("gap")[0].reason == "unread"
    server.message(51)
    assert heard.data[-1] == "51"
    await server.end()


@virtual
async def test_ordinary_messages_that_nobody_takes_keep_no_envelope_back(attempts: Attempts) -> None:
    """Also on a client that is opened as a block, which otherwise stops reading until somebody comes."""
    server = Speaking(attempts)
    server.client._patient = True
    news = server.client.subscribe("news")
    await server.open()
    server.confirm()
    server.channel.message(*(f"ordinary {number}" for number in range(40)))
    server.message(1)
    assert not paused(server.channel) and (await anext(news)).data == "1"
    assert await server.client.recv() == "ordinary 0"
    await server.end()


@virtual
async def test_ordinary_messages_are_delivered_as_ever(attempts: Attempts) -> None:
    """To `message` callbacks of the client, in order with nothing of the envelopes among them."""
    server, news = await subscribed(attempts)
    ordinary: list[Any] = []
    server.client.on("message", lambda event: ordinary.append(event.data))
    server.channel.message("a", b"\x1eb")
    server.message(1)
    server.channel.message("c")
    assert ordinary == ["a", b"\x1eb", "c"] and (await anext(news)).data == "1"
    await server.end()


@virtual
async def test_a_message_callback_of_the_client_that_awaits_an_answer_gets_it(attempts: Attempts) -> None:
    """Its inbox has the same slack; without an answer to wait for it pauses reading when it is full."""
    server = Speaking(attempts)
    answers: list[Any] = []
    go = asyncio.Event()

    @server.client.on("message")
    async def ask(event: wsmash.MessageEvent) -> None:
        await go.wait()
        answers.append(await server.client.request("add", event.data))

    await server.open()
    server.channel.message(*map(str, range(20)))
    await idle()
    assert paused(server.channel)
    go.set()
    await idle()
    assert not paused(server.channel)
    server.channel.message(*map(str, range(20, 40)))
    assert not paused(server.channel)
    server.tell("reply", id=server.last()["id"], text="done")
    await idle()
    assert answers == ["done"] and server.last()["text"] == "1"
    await server.end()


@virtual
async def test_the_inbox_and_subscriptions_are_emptied_before_close(attempts: Attempts) -> None:
    """Whichever of them takes longer."""
    for times in ((1, 3), (3, 1)):
        server, news = await subscribed(attempts, reconnect=False)
        told: list[Any] = []

        async def callback(event: Any, told: list[Any] = told, times: tuple[int, int] = times) -> None:
            await elapse(times[isinstance(event, wsmash.TopicMessage)])
            told.append(event.data)

        news.on("message", callback)
        server.client.on("message", callback)
        server.client.on("close", told.append)
        for number in (1, 2):
            server.message(number)
            server.channel.message(f"ordinary {number}")
        await server.lose()
        await elapse(20)
        assert sorted(told[:-1]) == ["1", "2", "ordinary 1", "ordinary 2"] and len(told) == 5
        attempts.clear()


# -- readers


@virtual
async def test_iterating_gives_messages_and_fires_the_rest(attempts: Attempts) -> None:
    """Gaps go to their callback in their turn; the position follows the reader."""
    server, news = await subscribed(attempts)
    gaps: list[Any] = []
    news.on("gap", gaps.append)
    for offset in (1, 2):
        server.message(offset)
    server.tell("gap", topic="news", epoch=at(0).epoch, offset=5, reason="slow")
    server.message(6)
    seen = []
    async for message in news:
        seen.append((message.data, news.position, len(gaps)))
        if message.data == "6":
            break
    assert seen == [("1", at(1), 0), ("2", at(2), 0), ("6", at(6), 1)]
    await server.end()


@virtual
async def test_reading_pauses_for_a_reader_that_is_behind(attempts: Attempts) -> None:
    """And goes on as it takes messages; cancelling it loses nothing."""
    server, news = await subscribed(attempts)
    reader = asyncio.ensure_future(anext(news))
    await idle()
    reader.cancel()
    await idle()
    for number in range(1, 18):
        server.message(number)
    assert paused(server.channel)
    seen = [(await anext(news)).data for _ in range(17)]
    assert seen == [str(number) for number in range(1, 18)] and not paused(server.channel)
    await server.end()


@virtual
async def test_a_reader_and_callbacks_exclude_each_other(attempts: Attempts) -> None:
    """Whichever comes second is told so, and so is a second reader at once."""
    server, news = await subscribed(attempts)
    reader = asyncio.ensure_future(anext(news))
    await idle()
    with pytest.raises(RuntimeError, match="another task"):
        await anext(news)
    with pytest.raises(RuntimeError, match="async for"):
        news.on("message", print)
    server.message(1)
    assert (await reader).data == "1"
    other = server.client.subscribe("other")
    other.on("message", print)
    with pytest.raises(RuntimeError, match="callback"):
        await anext(other)
    with pytest.raises(ValueError, match="no event is named"):
        other.on("open", print)  # type: ignore[call-overload]
    await server.end()


@virtual
async def test_callbacks_that_go_let_reading_go_on(attempts: Attempts) -> None:
    """Nobody is waited for then."""
    server, news = await subscribed(attempts)

    @news.on("message")
    async def stuck(event: wsmash.TopicMessage) -> None:
        await elapse(100)

    for number in range(1, 18):
        server.message(number)
    assert paused(server.channel)
    news.off("message", stuck)
    assert not paused(server.channel)
    server.client.close()
    await server.end()
    await server.client.callbacks_done()


@virtual
async def test_a_callback_may_unsubscribe(attempts: Attempts) -> None:
    """From inside a delivery: nothing more of it is delivered, plain or not."""
    server, news = await subscribed(attempts)
    seen: list[Any] = []

    @news.on("message")
    async def once(event: wsmash.TopicMessage) -> None:
        seen.append(event.data)
        news.unsubscribe()

    server.message(1)
    server.message(2)
    await idle()
    server.message(3)
    await idle()
    assert seen == ["1"] and repr(news) == "<Subscription 'news' OVER>"
    await server.end()
