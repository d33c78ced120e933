"""A client's subscription over its connections: what it asks for, what it delivers, what it does not deliver twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts, make_client
from fixtures.clock import elapse, idle, turns, virtual
from fixtures.live import errors
from fixtures.speaking import EPOCH, LATER, Heard, Speaking, at, subscribed
from wsmash.errors import ConnectionClosed, InvalidState, RequestError

# -- messages and positions


@virtual
async def test_a_subscription_made_before_connect_is_asked_for_at_open(attempts: Attempts) -> None:
    """Awaiting it ends with the server's reply, and messages have their data and their position."""
    server = Speaking(attempts)
    news = server.client.subscribe("news")
    heard = Heard(news)
    await server.open()
    waiting = asyncio.ensure_future(news._confirmed())
    await idle()
    assert not waiting.done() and not news.is_active()
    command = server.confirm(41)
    assert command == {"type": "subscribe", "id": command["id"], "topic": "news"}
    assert await waiting is news and news.is_active() and news.position == at(41)
    server.message(42, text="Rain")
    assert heard.names == ["subscribed", "message"]
    event = heard.of("message")[0]
    assert (event.client, event.topic, event.data, event.position) == (server.client, "news", "Rain", at(42))
    assert news.position == at(42) and heard.of("subscribed")[0].position == at(41)
    await server.end()


@virtual
async def test_messages_are_text_binary_or_json(attempts: Attempts) -> None:
    """JSON comes as the text that was published, and is validated where a type is given."""
    server, news = await subscribed(attempts)
    heard = Heard(news)
    server.tell("message", topic="news", offset=1, json={"a": [1, None]})
    server.tell("message", topic="news", offset=2, binary="AAE=")
    server.tell("message", topic="news", offset=3, text="é")
    assert [event.data for event in heard.of("message")] == ['{"a": [1, null]}', b"\0\1", "é"]
    first = heard.of("message")[0]
    assert first.json() == {"a": [1, None]} and first.json() is first.json()
    with pytest.raises(wsmash.InvalidMessage):
        first.json(list[int])
    with pytest.raises(AttributeError):
        first.data = "x"
    await server.end()


@virtual
async def test_after_an_outage_it_goes_on_where_it_was(attempts: Attempts) -> None:
    """The next connection is asked with `since`, and what comes twice is delivered once."""
    server, news = await subscribed(attempts, offset=5)
    heard = Heard(news)
    server.message(6)
    server.message(8)
    await server.lose()
    assert repr(news) == "<Subscription 'news' IDLE>"
    await server.open()
    command = server.confirm(8, recovered=True)
    assert command["since"] == {"epoch": EPOCH, "offset": 8}
    for offset in (7, 8, 9, 9, 12):
        server.message(offset)
    assert heard.data == ["6", "8", "9", "12"] and heard.names.count("gap") == 0
    assert news.position == at(12)
    await server.end()


@virtual
async def test_what_was_not_recovered_is_a_gap(attempts: Attempts) -> None:
    """Its position is where the subscription goes on, and offsets of another epoch begin anew."""
    server, news = await subscribed(attempts, offset=5)
    heard = Heard(news)
    server.message(6)
    await server.lose()
    await server.open()
    server.confirm(2, epoch=LATER, recovered=False, reason="epoch")
    server.message(3)
    assert heard.names == ["message", "subscribed", "gap", "message"]
    gap = heard.of("gap")[0]
    assert (gap.topic, gap.position, gap.reason) == ("news", at(2, LATER), "epoch")
    assert heard.of("message")[1].position == at(3, LATER) == news.position
    await server.lose()
    await server.open()
    assert server.confirm(3, epoch=LATER, recovered=False, reason="trimmed")["since"]["epoch"] == LATER
    assert heard.names.count("gap") == 1  # nothing was published in between
    await server.end()


@virtual
async def test_a_gap_of_the_server_moves_the_position(attempts: Attempts) -> None:
    """It takes its turn among the messages."""
    server, news = await subscribed(attempts, offset=5)
    heard = Heard(news)
    server.message(6)
    server.tell("gap", topic="news", epoch=EPOCH, offset=20, reason="slow")
    server.message(15)
    server.message(21)
    assert heard.names == ["message", "gap", "message"] and heard.data == ["6", "21"]
    assert heard.of("gap")[0].position == at(20)
    await server.end()


@virtual
async def test_since_begins_where_another_client_was(attempts: Attempts) -> None:
    """A position that was kept goes along with the first question too."""
    server = Speaking(attempts)
    news = server.client.subscribe("news", since=at(7))
    assert news.position == at(7)
    heard = Heard(news)
    await server.open()
    assert server.confirm(7, recovered=True)["since"] == {"epoch": EPOCH, "offset": 7}
    server.message(8)
    assert heard.names == ["subscribed", "message"] and heard.of("subscribed")[0].recovered is True
    await server.end()


@virtual
async def test_degraded_and_restored_reach_every_subscription(attempts: Attempts) -> None:
    """A message without an offset is delivered and has no position; a reply may say that the broker is away."""
    server, news = await subscribed(attempts, offset=5)
    heard = Heard(news)
    server.tell("degraded")
    server.tell("message", topic="news", text="local")
    server.tell("restored")
    server.message(6)
    assert heard.names == ["degraded", "message", "restored", "message"]
    assert [event.position for event in heard.of("message")] == [None, at(6)] and heard.events[0][1].topic == "news"
    other = server.client.subscribe("other")
    heard = Heard(other)
    command = server.last()
    server.tell("reply", id=command["id"], degraded=True)
    assert heard.names == ["subscribed", "degraded"] and heard.of("subscribed")[0].position is None
    server.tell("gap", topic="other", epoch=EPOCH, offset=3, reason="outage")
    assert other.position == at(3)
    await server.end()


@virtual
async def test_join_and_leave_name_the_member(attempts: Attempts) -> None:
    """Who is on a topic with presence, as the server says it."""
    server, news = await subscribed(attempts)
    heard = Heard(news)
    server.tell("join", topic="news", member={"id": "a1", "node": "n", "info": {"name": "Ada"}})
    server.tell("leave", topic="news", member={"id": "a1", "node": "n"})
    assert heard.names == ["join", "leave"]
    member = heard.of("join")[0].member
    assert (member.id, member.info, member.node) == ("a1", {"name": "Ada"}, "n")
    await server.end()


# -- patterns


@virtual
async def test_a_pattern_has_a_position_for_each_topic(attempts: Attempts) -> None:
    """Duplicates are dropped topic by topic; a message for the pattern is none for a topic's own subscription."""
    server, chat = await subscribed(attempts, "chat.>")
    heard = Heard(chat)
    for topic, offset in (("chat.a", 3), ("chat.b", 1), ("chat.a", 3), ("chat.b", 2)):
        server.message(offset, topic, epoch=EPOCH, pattern="chat.>")
    server.message(9, "chat.a")
    assert [(event.topic, event.data) for event in heard.of("message")] == [
        ("chat.a", "3"), ("chat.b", "1"), ("chat.b", "2")
    ]  # fmt: skip
    assert chat.position is None
    await server.end()


@virtual
async def test_a_pattern_that_was_away_has_a_gap(attempts: Attempts) -> None:
    """It cannot go on where it was: nobody knows which topics there were meanwhile."""
    server, chat = await subscribed(attempts, "chat.*")
    heard = Heard(chat)
    await server.lose()
    await server.open()
    command = server.last()
    assert "since" not in command
    server.tell("reply", id=command["id"])
    assert heard.names == ["subscribed", "gap"]
    gap = heard.of("gap")[0]
    assert (gap.topic, gap.position, gap.reason) == ("chat.*", None, "disconnected")
    await server.end()


# -- refusals


@pytest.mark.case(103)
@virtual
async def test_a_resume_that_is_forbidden_ends_the_subscription(attempts: Attempts) -> None:
    """`error` fires with the server's code, who waits hears of it, and nothing more is delivered or asked for."""
    server, news = await subscribed(attempts, offset=5)
    heard = Heard(news)
    await server.lose()
    await server.open()
    waiting = asyncio.ensure_future(news._confirmed())
    await idle()
    server.tell("error", id=server.last()["id"], code="forbidden", message="not any more")
    with pytest.raises(RequestError) as raised:
        await waiting
    assert raised.value.code == "forbidden"
    server.message(6)
    assert heard.names == ["error"] and heard.events[0][1].error is raised.value
    assert not server.client.subscriptions
    await server.lose()
    await server.open()
    assert server.asked() == []
    with pytest.raises(RequestError):
        await news
    assert server.client.subscribe("news") is not news  # and may be asked for again
    await server.end()


@virtual
async def test_a_refusal_that_nobody_hears_of_is_logged(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    """Once, at ERROR."""
    server = Speaking(attempts)
    server.client.subscribe("news")
    await server.open()
    server.tell("error", id=server.last()["id"], code="forbidden", message="no\nway")
    (record,) = errors(caplog)
    assert "'news' is not subscribed to: 'forbidden': 'no\\nway'" in record.getMessage()
    await server.end()


@pytest.mark.parametrize("code", ["unavailable", "too_fast"])
def test_what_passes_is_asked_for_again(attempts: Attempts, code: str) -> None:
    """After a moment that grows, with the position; the subscription waits, and `error` does not fire."""

    @virtual
    async def scenario() -> None:
        server = Speaking(attempts)
        news = server.client.subscribe("news", since=at(5))
        heard = Heard(news)
        await server.open()
        for most in (2, 4, 8, 16, 30, 30):
            server.tell("error", id=server.last()["id"], code=code)
            began = asyncio.get_running_loop().time()
            while len(server.channel.sent) == server._read:
                await elapse(0.125)
            assert asyncio.get_running_loop().time() - began <= most + 0.25
        assert server.confirm(5, recovered=True)["since"] == {"epoch": EPOCH, "offset": 5}
        assert heard.names == ["subscribed"]
        await server.end()

    scenario()


@virtual
async def test_a_subscription_that_waits_asks_no_more_once_it_is_unsubscribed(attempts: Attempts) -> None:
    """Nor once its connection is gone, whose successor is asked at once."""
    server = Speaking(attempts)
    news, other = server.client.subscribe("news"), server.client.subscribe("other")
    await server.open()
    for command in server.asked():
        server.tell("error", id=command["id"], code="unavailable")
    await news.unsubscribe()
    await server.lose()
    await server.open()
    assert server.last()["topic"] == "other"
    await elapse(60)
    assert server.asked() == [] and repr(other) == "<Subscription 'other' ASKED>"
    await server.end()


@virtual
async def test_the_server_may_end_a_subscription(attempts: Attempts) -> None:
    """`error` fires, and a reader gets what had come, then the error."""
    server, news = await subscribed(attempts)
    server.message(1)
    server.tell("unsubscribed", topic="news", code="forbidden", message="you left the room")
    assert (await anext(news)).data == "1"
    with pytest.raises(RequestError, match="you left the room"):
        await anext(news)
    await server.end()


# -- a server that does not speak it


@virtual
async def test_a_server_that_does_not_agree_is_an_error_and_no_hang(attempts: Attempts) -> None:
    """At each await, and as an event; the next connection may do."""
    server = Speaking(attempts)
    news = server.client.subscribe("news")
    heard = Heard(news)
    client = server.client
    await server.open(None)
    assert server.asked() == [] and heard.names == ["error"]
    refused: list[Any] = [news, client.publish("news", "x"), client.request("sum"), client.get_presence("news")]
    for each in refused:
        with pytest.raises(InvalidState, match=r"did not agree on the subprotocol wsmash\.v1"):
            await each
    late = server.client.subscribe("late")
    late_heard = Heard(late)
    await idle()
    assert late_heard.names == ["error"]
    late.off("message", late._on_message)  # type: ignore[arg-type]
    with pytest.raises(InvalidState):
        await anext(late)
    await server.lose()
    await server.open()
    assert [command["topic"] for command in server.asked()] == ["news", "late"]
    await server.end()


def test_a_client_without_the_protocol_says_how_to_get_it() -> None:
    """The error of each call names the option."""
    client = make_client()
    calls: list[Any] = [
        lambda: client.subscribe("news"),
        lambda: client.publish("news", "x"),
        lambda: client.request("sum"),
        lambda: client.get_presence("news"),
        lambda: client.subscriptions,
    ]
    for call in calls:
        with pytest.raises(InvalidState, match=r'protocols="wsmash\.v1"'):
            call()


# -- one subscription for each name


@virtual
async def test_a_second_subscription_to_a_topic_is_refused(attempts: Attempts) -> None:
    """The first one is found among `subscriptions`, and takes more callbacks."""
    server, news = await subscribed(attempts)
    with pytest.raises(InvalidState, match="is subscribed to 'news'"):
        server.client.subscribe("news")
    assert server.client.subscriptions == {"news": news}
    with pytest.raises(TypeError):
        server.client.subscriptions["other"] = news  # type: ignore[index]
    await server.end()


@pytest.mark.parametrize(
    ("topic", "since", "error"),
    [
        ("a..b", None, ValueError),
        (b"a", None, TypeError),
        ("a b", None, ValueError),
        ("a.>", at(1), ValueError),
        ("a", ("x", 1), ValueError),
        ("a", (EPOCH, -1), ValueError),
        ("a", (EPOCH, True), ValueError),
        ("a", EPOCH, TypeError),
    ],
)
def test_what_is_no_topic_or_no_position_is_refused(topic: Any, since: Any, error: type[Exception]) -> None:
    """At the call, with what is wrong."""
    client = make_client(protocols="wsmash.v1")
    with pytest.raises(error):
        client.subscribe(topic, since=since)
    assert not client.subscriptions


@virtual
async def test_a_subscription_of_the_server_s_own_is_claimed_by_subscribe(attempts: Attempts) -> None:
    """Its messages wait for that; the next connection is not asked for it, and tells by itself."""
    server = Speaking(attempts)
    await server.open()
    server.tell("subscribed", topic="mine", epoch=EPOCH, offset=4)
    server.message(5, "mine")
    mine = server.client.subscriptions["mine"]
    assert server.client.subscribe("mine") is mine and server.asked() == []
    heard = Heard(mine)
    await idle()
    assert heard.data == ["5"]
    server.tell("subscribed", topic="other", epoch=EPOCH, offset=4)
    await server.lose()
    assert list(server.client.subscriptions) == ["mine"]
    await server.open()
    assert server.asked() == []
    server.tell("subscribed", topic="mine", epoch=EPOCH, offset=9)
    assert heard.names == ["message", "subscribed", "gap"] and mine.position == at(9)
    await server.end()


@virtual
async def test_subscriptions_of_the_server_s_own_are_bounded(attempts: Attempts) -> None:
    """Those beyond are as if they had not been told of."""
    server = Speaking(attempts)
    await server.open()
    for number in range(200):
        server.tell("subscribed", topic=f"t{number}")
        server.message(1, f"t{number}")
    assert len(server.client.subscriptions) == 128
    await server.end()


# -- unsubscribing


@virtual
async def test_unsubscribe_ends_it_at_once(attempts: Attempts) -> None:
    """Nothing more is delivered, a reader comes to its end, who waits hears of it; awaiting it waits for the reply."""
    server, news = await subscribed(attempts)
    other = server.client.subscribe("other")
    waiting = asyncio.ensure_future(other._confirmed())
    server.message(1)
    reader = asyncio.ensure_future(_all(news))
    await idle()
    server.asked()
    leaving = news.unsubscribe()
    server.message(2)
    assert [each.data for each in await reader] == ["1"]
    command = server.last()
    assert command["type"] == "unsubscribe" and not leaving.done()  # type: ignore[attr-defined]
    server.tell("reply", id=command["id"])
    await leaving
    await news.unsubscribe()
    other.unsubscribe()
    with pytest.raises(InvalidState, match="has ended"):
        await waiting
    assert not server.client.subscriptions
    await server.end()


@virtual
async def test_messages_of_a_subscription_before_are_none_of_the_next(attempts: Attempts) -> None:
    """Between unsubscribing and the new reply what comes was meant for the old one."""
    server, news = await subscribed(attempts)
    news.unsubscribe()
    again = server.client.subscribe("news")
    heard = Heard(again)
    server.message(1)
    commands = server.asked()
    assert [command["type"] for command in commands] == ["unsubscribe", "subscribe"]
    server.tell("reply", id=commands[0]["id"])
    server.message(2)
    server.tell("reply", id=commands[1]["id"], epoch=EPOCH, offset=2)
    server.message(3)
    assert heard.data == ["3"]
    await server.end()


@virtual
async def test_unsubscribing_without_a_connection_needs_no_answer(attempts: Attempts) -> None:
    """Before connect, in an outage, and where the connection goes before the answer."""
    server = Speaking(attempts)
    await server.client.subscribe("early").unsubscribe()
    news, other = server.client.subscribe("news"), server.client.subscribe("other")
    await server.open()
    leaving = news.unsubscribe()
    await server.lose()
    await leaving
    await other.unsubscribe()
    await server.open()
    assert server.asked() == []
    await server.end()


# -- ends


@virtual
async def test_a_close_ends_iterations_and_awaits(attempts: Attempts) -> None:
    """Quietly where the client was closed with 1000 or 1001, and else by `ConnectionClosed`."""
    server, news = await subscribed(attempts)
    other = server.client.subscribe("other")
    reader, waiting = asyncio.ensure_future(_all(news)), asyncio.ensure_future(other._confirmed())
    await idle()
    closing = server.client.close()
    server.channel.close_frame()
    server.channel.lose()
    await closing
    assert await reader == []
    for each in (waiting, other):
        with pytest.raises(ConnectionClosed):
            await each


@virtual
async def test_what_came_before_a_loss_for_good_is_read_before_its_error(attempts: Attempts) -> None:
    """And its callbacks are called before `close` fires."""
    server, news = await subscribed(attempts, reconnect=False)
    called: list[Any] = []
    other = server.client.subscribe("other")
    server.confirm()
    server.client.on("close", called.append)

    @other.on("message")
    async def callback(event: wsmash.TopicMessage) -> None:
        await elapse(1)
        called.append(event.data)

    reader = asyncio.ensure_future(anext(news))
    for offset in (1, 2, 3):
        server.message(offset)
        server.message(offset, "other")
    assert (await reader).data == "1"
    await server.lose()
    await elapse(10)
    assert called[:3] == ["1", "2", "3"] and isinstance(called[3], wsmash.CloseEvent)
    assert [(await anext(news)).data for _ in range(2)] == ["2", "3"]
    with pytest.raises(ConnectionClosed):
        await anext(news)


@virtual
async def test_a_client_that_connects_again_goes_on(attempts: Attempts) -> None:
    """What a close of one's own has left undelivered is asked for again."""
    server, news = await subscribed(attempts, offset=1)
    server.message(2)
    assert (await anext(news)).data == "2"
    server.message(3)
    server.client.close()
    await server.lose()
    with pytest.raises(ConnectionClosed):
        await anext(news)
    await server.open()
    assert server.confirm(2, recovered=True)["since"] == {"epoch": EPOCH, "offset": 2}
    server.message(3)
    assert (await anext(news)).data == "3"
    await server.end()


@virtual
async def test_without_a_connection_on_its_way_nothing_is_waited_for(attempts: Attempts) -> None:
    """Before `connect` who would wait is told to call it."""
    client = make_client(protocols="wsmash.v1")
    news = client.subscribe("news")
    for each in (news._confirmed(), anext(news), client.publish):
        with pytest.raises(InvalidState, match="connect"):
            await (each("news", "x") if callable(each) else each)
    await turns(1)


@virtual
async def test_an_envelope_that_is_none_fails_the_connection(attempts: Attempts) -> None:
    """With 1007; a type that is not known is ignored."""
    server, news = await subscribed(attempts)
    server.tell("later", topic="news")
    assert server.client.is_open()
    server.tell("message", topic=7)
    assert not server.client.is_open() and server.client.counters.failed_message == 1
    assert server.channel.sent[-1].payload[:2] == (1007).to_bytes(2)
    await server.end()
    assert news.position == at(0)


async def _all(subscription: wsmash.Subscription) -> list[wsmash.TopicMessage]:
    return [message async for message in subscription]
