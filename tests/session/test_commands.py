"""What a client asks of its server: publications, requests, presence; their answers, times and outages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts
from fixtures.clock import elapse, idle, virtual
from fixtures.speaking import EPOCH, Speaking, at
from wsmash.codecs import Raw
from wsmash.errors import (
    BrokerUnavailable,
    ConnectionClosed,
    InvalidState,
    OutcomeUnknown,
    RequestError,
    RequestTimeout,
    SlowConsumer,
)
from wsmash.session.commands import MAX_RUNNING, MAX_UNANSWERED, MAX_UNANSWERED_BYTES, Call
from wsmash.session.envelopes import Reply, Request

# -- publishing


@virtual
async def test_a_publication_has_content_and_a_key_and_gives_its_position(attempts: Attempts) -> None:
    """Text, binary and JSON; a key is drawn where none is given. One without a position gives None."""
    server = Speaking(attempts)
    await server.open()
    published = [
        server.client.publish("news", "Rain"),
        server.client.publish("news", b"\0\1", idempotency_key="k1"),
        server.client.publish("news", {"a": 1}),
    ]
    commands = server.asked()
    assert [command["type"] for command in commands] == ["publish"] * 3 and commands[1]["key"] == "k1"
    assert (commands[0]["text"], commands[1]["binary"], commands[2]["json"]) == ("Rain", "AAE=", {"a": 1})
    assert commands[0]["key"] != commands[2]["key"] and len(commands[0]["key"]) >= 16
    for offset, command in enumerate(commands[:2], 1):
        server.tell("reply", id=command["id"], epoch=EPOCH, offset=offset)
    server.tell("reply", id=commands[2]["id"])
    assert [await each for each in published] == [at(1), at(2), None]
    await server.end()


@virtual
async def test_unanswered_publications_are_sent_again_in_order_with_their_keys(attempts: Attempts) -> None:
    """After an outage, before what is published later; an answer that comes twice is ignored."""
    server = Speaking(attempts)
    await server.open()
    first = [server.client.publish("news", str(number), timeout=60) for number in range(3)]
    sent = server.asked()
    server.tell("reply", id=sent[0]["id"], epoch=EPOCH, offset=1)
    await server.lose()
    first.append(server.client.publish("news", "3", timeout=60))
    await server.open()
    server.client.publish("news", "4", timeout=60)
    again = server.asked()
    assert [command["text"] for command in again] == ["1", "2", "3", "4"]
    assert [command["key"] for command in again[:2]] == [command["key"] for command in sent[1:]]
    for offset, command in enumerate(again, 2):
        server.tell("reply", id=command["id"], epoch=EPOCH, offset=offset)
        server.tell("reply", id=command["id"], epoch=EPOCH, offset=99)
    assert [await each for each in first] == [at(1), at(2), at(3), at(4)]
    await server.end()


@virtual
@pytest.mark.parametrize("code", ["unavailable", "forbidden", "too_fast"])
async def test_a_refusal_of_what_is_sent_again_says_nothing_of_the_first_time(attempts: Attempts, code: str) -> None:
    """It may have been published before the connection was lost; what is sent for the first time has not been."""
    server = Speaking(attempts)
    await server.open()
    first = server.client.publish("news", "1", idempotency_key="k1", timeout=60)
    await server.lose()
    second = server.client.publish("news", "2", timeout=60)
    await server.open()
    for command in server.asked():
        server.tell("error", id=command["id"], code=code, message="not now")
    with pytest.raises(OutcomeUnknown) as unknown:
        await first
    assert unknown.value.key == "k1"
    with pytest.raises((BrokerUnavailable, RequestError)):
        await second
    await server.end()


@virtual
async def test_the_time_of_a_publication_runs_on_over_outages(attempts: Attempts) -> None:
    """One that left may have been published; one that never did has not been."""
    server = Speaking(attempts)
    await server.open()
    sent = server.client.publish("news", "1", idempotency_key="k1")
    await server.lose()
    unsent = server.client.publish("news", "2", timeout=3)
    await elapse(3.1)
    with pytest.raises(RequestTimeout, match="no connection"):
        await unsent
    await server.open()
    assert server.last()["text"] == "1"
    await elapse(10)
    with pytest.raises(OutcomeUnknown) as unknown:
        await sent
    assert unknown.value.key == "k1" and isinstance(unknown.value, TimeoutError)
    await server.lose()
    await server.open()
    assert server.asked() == []
    await server.end()


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_client_that_ends_leaves_no_publication_waiting(attempts: Attempts, reconnect: bool) -> None:
    """What left has an unknown outcome, with its key; what did not, the error of the end."""

    @virtual
    async def scenario() -> None:
        server = Speaking(attempts, **({} if reconnect else {"reconnect": False}))
        await server.open()
        server.channel.stuck = True
        sent = server.client.publish("news", "x" * 70_000)
        unsent = server.client.publish("news", "2")
        if reconnect:
            server.client.close()
        await server.lose()
        with pytest.raises(OutcomeUnknown) as unknown:
            await sent
        assert unknown.value.key and isinstance(unknown.value.__cause__, ConnectionClosed)
        with pytest.raises(ConnectionClosed):
            await unsent
        with pytest.raises(ConnectionClosed):
            server.client.publish("news", "3")

    scenario()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("unavailable", BrokerUnavailable),
        ("outcome_unknown", OutcomeUnknown),
        ("internal", OutcomeUnknown),
        ("forbidden", RequestError),
    ],
)
def test_the_server_s_errors_are_raised_as_what_they_mean(
    attempts: Attempts, code: str, error: type[Exception]
) -> None:
    """With its text, escaped."""

    @virtual
    async def scenario() -> None:
        server = Speaking(attempts)
        await server.open()
        published = server.client.publish("news", "x", idempotency_key="k")
        server.tell("error", id=server.last()["id"], code=code, message="no\nway")
        with pytest.raises(error, match=r"no\\nway") as raised:
            await published
        assert getattr(raised.value, "key", "k") == "k"
        await server.end()

    scenario()


@virtual
async def test_cancelling_who_waits_for_a_publication_leaves_it_alone(attempts: Attempts) -> None:
    """It ends only the waiting."""
    server = Speaking(attempts)
    await server.open()
    published = server.client.publish("news", "x")
    waiting = asyncio.ensure_future(published)
    await idle()
    waiting.cancel()
    await idle()
    server.tell("reply", id=server.last()["id"], epoch=EPOCH, offset=1)
    assert await published == at(1)
    await server.end()


# -- bounds and back-pressure


@virtual
async def test_what_is_unanswered_is_bounded(attempts: Attempts) -> None:
    """In number and in bytes; one answer makes room for one more."""
    server = Speaking(attempts)
    await server.open()
    for _ in range(MAX_UNANSWERED):
        server.client.publish("news", "x")
    calls: list[Any] = [
        lambda: server.client.publish("news", "x"),
        lambda: server.client.request("sum"),
        lambda: server.client.get_presence("news"),
        lambda: server.client.subscribe("news"),
    ]
    for call in calls:
        with pytest.raises(SlowConsumer, match="1024"):
            call()
    server.tell("reply", id=server.asked()[0]["id"], epoch=EPOCH, offset=1)
    server.client.publish("news", "x")
    server.client.close()
    await server.end()
    await server.open()
    server.client.publish("news", b"x" * (MAX_UNANSWERED_BYTES * 3 // 4))
    with pytest.raises(SlowConsumer, match="bytes"):
        server.client.publish("news", "x" * MAX_UNANSWERED_BYTES)
    await server.end()


@virtual
async def test_commands_wait_for_room_on_the_connection(attempts: Attempts) -> None:
    """Above high water they are held here; none is refused, and their order stays."""
    server = Speaking(attempts)
    await server.open()
    server.channel.stuck = True
    published = [server.client.publish("news", str(number) + "x" * 40_000) for number in range(6)]
    assert len(server.asked()) == 2
    for _ in range(3):
        server.channel.drain()
        server.channel.stuck = True
    server.channel.drain()
    assert [command["text"][0] for command in server.asked()] == ["2", "3", "4", "5"]
    assert not any(each.done() for each in published)  # type: ignore[attr-defined]
    await server.end()


@virtual
async def test_a_command_that_finds_too_little_room_below_high_water_goes_later(attempts: Attempts) -> None:
    """Of which room no channel tells: the answer of a ping does."""
    server = Speaking(attempts, max_write_buffer=100_000)
    await server.open()
    server.channel.stuck = True
    server.client.publish("news", "x" * 1000)
    server.client.publish("news", "y" * 100_000)
    assert len(server.asked()) == 1
    ping = server.channel.sent[-1]
    assert ping.opcode == 9
    server.channel.stuck = False
    server.channel.waiting = 0
    server.channel.control(10, ping.payload)  # type: ignore[arg-type]
    await idle()
    assert server.last()["text"][0] == "y"
    await server.end()


# -- requests


@virtual
async def test_a_request_is_answered_with_what_the_method_returned(attempts: Attempts) -> None:
    """Values of JSON, text and bytes, in any order; it carries its deadline."""
    server = Speaking(attempts)
    await server.open()
    asked: list[Any] = [[1, 2], "text", b"\0", None, 5, {"a": None}]
    requests = [server.client.request("echo", data, timeout=5) for data in asked]
    commands = server.asked()
    assert {command["timeout"] for command in commands} == {5}
    for command in reversed(commands):
        content = {name: command[name] for name in ("text", "json", "binary") if name in command}
        server.tell("reply", id=command["id"], **content)
    assert [await each for each in requests] == asked
    assert [sorted(command.keys() & {"text", "json", "binary"}) for command in commands] == [
        ["json"], ["text"], ["binary"], [], ["json"], ["json"]
    ]  # fmt: skip
    await server.end()


@virtual
async def test_a_request_s_time_ends_it_here_and_there(attempts: Attempts) -> None:
    """The server is told to cancel it; its own word of the time is the same error."""
    server = Speaking(attempts)
    await server.open()
    slow = server.client.request("slow", timeout=2)
    command = server.last()
    with pytest.raises(RequestTimeout, match="has not answered"):
        await slow
    assert server.last() == {"type": "cancel", "id": command["id"]}
    server.tell("error", id=command["id"], code="cancelled")
    slow = server.client.request("slow", timeout=2)
    server.tell("error", id=server.last()["id"], code="timeout", message="2 s")
    with pytest.raises(RequestTimeout, match="2 s"):
        await slow
    await server.end()


@virtual
async def test_cancelling_who_waits_for_a_request_cancels_it(attempts: Attempts) -> None:
    """At the server too; and before it has left, it never does."""
    server = Speaking(attempts)
    await server.open()
    waiting = asyncio.ensure_future(server.client.request("slow"))
    await idle()
    command = server.last()
    waiting.cancel()
    await idle()
    assert waiting.cancelled() and server.last() == {"type": "cancel", "id": command["id"]}
    await server.lose()
    waiting = asyncio.ensure_future(server.client.request("slow"))
    await idle()
    waiting.cancel()
    await idle()
    await server.open()
    assert server.asked() == []
    await server.end()


@virtual
async def test_a_request_is_not_repeated_after_an_outage(attempts: Attempts) -> None:
    """It may have been executed; one that never left goes out once there is a connection."""
    server = Speaking(attempts)
    await server.open()
    lost = server.client.request("sum", timeout=60)
    server.asked()
    await server.lose()
    with pytest.raises(ConnectionClosed):
        await lost
    waits = server.client.request("sum", [1], timeout=60)
    await server.open()
    command = server.last()
    server.tell("reply", id=command["id"], json=1)
    assert await waits == 1
    await server.end()


@virtual
async def test_a_server_has_sixteen_requests_at_once(attempts: Attempts) -> None:
    """Further ones wait here; one that was given up keeps its place until the server has let it go."""
    server = Speaking(attempts)
    await server.open()
    requests = [server.client.request("slow", number, timeout=100) for number in range(MAX_RUNNING)]
    late = server.client.request("slow", "late", timeout=100)
    published = server.client.publish("news", "x")
    commands = server.asked()
    assert [command["type"] for command in commands] == ["request"] * MAX_RUNNING + ["publish"]
    waiting = asyncio.ensure_future(requests[3])
    await idle()
    waiting.cancel()
    await idle()
    assert [command["type"] for command in server.asked()] == ["cancel"]
    server.tell("error", id=commands[3]["id"], code="cancelled")
    command = server.last()
    assert command["text"] == "late"
    server.tell("reply", id=command["id"], text="there")
    assert await late == "there" and not published.done()  # type: ignore[attr-defined]
    await server.end()


@virtual
async def test_an_answer_too_deep_to_read_is_an_error(attempts: Attempts) -> None:
    """Of who waits for it, and nobody else's."""
    outcome = asyncio.get_running_loop().create_future()
    call = Call(Request(id=1, method="deep"), outcome)
    call.answered(Reply(id=1, json=Raw(b"[" * 100_000 + b"]" * 100_000)))
    with pytest.raises(wsmash.InvalidMessage, match="nested"):
        await outcome


@virtual
async def test_presence_is_who_is_there(attempts: Attempts) -> None:
    """Or an error, where the topic has none."""
    server = Speaking(attempts)
    await server.open()
    present, none = server.client.get_presence("chat"), server.client.get_presence("news")
    commands = server.asked()
    assert [(command["type"], command["topic"]) for command in commands] == [("presence", "chat"), ("presence", "news")]
    server.tell("reply", id=commands[0]["id"], members=[{"id": "a", "node": "n", "info": 1}, {"id": "b", "node": "m"}])
    server.tell("error", id=commands[1]["id"], code="no_presence")
    assert [(member.id, member.info, member.node) for member in await present] == [("a", 1, "n"), ("b", None, "m")]
    with pytest.raises(RequestError, match="no_presence"):
        await none
    await server.end()


# -- what may be asked, and when


@virtual
async def test_what_is_asked_while_connecting_waits_for_it(attempts: Attempts) -> None:
    """Behind the subscriptions; before `connect` there is nothing to wait for, and that is said."""
    server = Speaking(attempts)
    client = server.client
    for call in (lambda: client.publish("news", "x"), lambda: client.request("sum")):
        with pytest.raises(InvalidState, match="connect"):
            call()
    client.connect()
    published = client.publish("news", "x")
    client.subscribe("news")
    await idle()
    server.channel = await attempts.last.succeed("wsmash.v1")
    commands = server.asked()
    assert [command["type"] for command in commands] == ["subscribe", "publish"]
    server.tell("reply", id=commands[1]["id"], epoch=EPOCH, offset=1)
    assert await published == at(1)
    await server.end()


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("a.*", "x"), {}, ValueError),
        (("a", None), {}, TypeError),
        (("a", 5), {}, TypeError),
        (("a", "\ud800"), {}, ValueError),
        (("a", {"x": float("nan")}), {}, ValueError),
        (("a", "x"), {"idempotency_key": "two words"}, ValueError),
        (("a", "x"), {"idempotency_key": "x" * 129}, ValueError),
        (("a", "x"), {"idempotency_key": b"x"}, TypeError),
        (("a", "x"), {"timeout": 0}, ValueError),
        (("a", "x"), {"timeout": "1"}, TypeError),
    ],
)
def test_what_cannot_be_published_is_refused_at_the_call(
    arguments: Any, options: Any, error: type[Exception]
) -> None:
    """Whether there is a connection or not."""
    client = wsmash.create_client("ws://server.example", "wsmash.v1")
    with pytest.raises(error):
        client.publish(*arguments, **options)


def test_a_value_nested_too_deeply_is_refused_at_the_call() -> None:
    """The server would end the connection for it."""
    client = wsmash.create_client("ws://server.example", "wsmash.v1")
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    for call in (lambda: client.publish("a", deep), lambda: client.request("a", deep)):
        with pytest.raises(ValueError, match="at most 128"):
            call()


@pytest.mark.parametrize(
    ("method", "data", "timeout", "error"),
    [
        ("", 1, 1, ValueError),
        ("x" * 256, 1, 1, ValueError),
        (1, 1, 1, TypeError),
        ("a", object(), 1, TypeError),
        ("a", 1, -1, ValueError),
    ],
)
def test_what_cannot_be_requested_is_refused_at_the_call(
    method: Any, data: Any, timeout: Any, error: type[Exception]
) -> None:
    """Whether there is a connection or not."""
    client = wsmash.create_client("ws://server.example", "wsmash.v1")
    with pytest.raises(error):
        client.request(method, data, timeout=timeout)


def test_the_request_that_opens_a_connection_is_the_same_name() -> None:
    """It is false and says so until it was sent."""
    client = wsmash.create_client("ws://server.example", "wsmash.v1")
    assert not client.request and "not sent" in repr(client.request)
    for look in (lambda: client.request.headers, lambda: client.request.path):
        with pytest.raises(InvalidState, match="no request was sent yet"):
            look()


@virtual
async def test_an_offline_queue_goes_beside_it(attempts: Attempts) -> None:
    """Ordinary messages wait in it and follow the `open` callbacks; commands do not wait for them, nor the reverse."""
    server = Speaking(attempts, offline_queue=10)
    await server.open()
    news = server.client.subscribe("news")
    server.confirm()
    await server.lose()
    server.client.send("ordinary")
    published = server.client.publish("news", "x", timeout=60)
    server.channel.stuck = True
    await server.open()
    commands = server.asked()
    assert [command["type"] for command in commands] == ["subscribe", "publish"]
    server.tell("reply", id=commands[0]["id"], epoch=EPOCH, offset=0, recovered=True)
    server.tell("reply", id=commands[1]["id"], epoch=EPOCH, offset=1)
    assert await published == at(1) and await news is news
    texts = [each.payload for each in server.channel.sent if each.opcode == 1]
    assert texts[2:] == [b"ordinary"]
    await server.end()
