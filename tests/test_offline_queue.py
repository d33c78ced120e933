"""The offline queue: what it accepts is delivered once or reported dropped. On the virtual clock, without a network."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Asked, Attempts, make_client
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, frames, texts
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed, HandshakeError, InvalidState, OpenTimeout, SlowConsumer
from wsmash.transports.scripted import ScriptedChannel

pytestmark = pytest.mark.case(121)


async def dropped_client(attempts: Attempts, **options: Any) -> tuple[wsmash.WebSocketClient, Record]:
    """A client during an outage, with a record of what it drops."""
    client = make_client(**{"offline_queue": 100, "compression": None, **options})
    record = Record(client, "dropped", "close")
    client.connect()
    (await attempts.last.succeed()).lose()
    await idle()
    return client, record


def answer_pings(channel: ScriptedChannel, first: int = 0) -> None:
    """The server answers the pings from this one on."""
    for each in frames(channel, Opcode.PING)[first:]:
        channel.control(Opcode.PONG, each.payload)


def catch_up(channel: ScriptedChannel) -> None:
    """The server reads what it was sent, and then again nothing."""
    channel.waiting = 0
    channel.handler.drained()  # type: ignore[union-attr]


def reports(record: Record) -> list[tuple[object, str]]:
    """What was reported as dropped, and why."""
    return [(event.data, event.reason) for event in record.events if isinstance(event, wsmash.DroppedEvent)]


async def ends(client: wsmash.WebSocketClient) -> None:
    """Let go of the client."""
    client.abort()
    await client.wait_closed()


# -- in and out


@virtual
async def test_what_is_sent_during_an_outage_is_sent_after_it(attempts: Attempts) -> None:
    """In order, of each kind, and awaiting each ends when it was handed to the connection."""
    client, record = await dropped_client(attempts)
    buffer = bytearray(b"b")
    waiting = [client.send("a"), client.send(buffer), client.send({"c": 1}), client.send_json(None)]
    waiting.append(client.send("d", compress=False))
    buffer[:] = b"x"  # encoded at the call
    joined = asyncio.gather(*waiting)
    await idle()
    assert not joined.done() and not waiting[0].done()  # type: ignore[attr-defined]
    await attempts.next()
    channel = await attempts.last.succeed()
    await joined
    sent = [each for each in channel.sent if each.opcode != Opcode.PING]
    assert [each.payload for each in sent] == [b"a", b"b", b'{"c":1}', b"null", b"d"]
    assert [each.opcode for each in sent] == [Opcode.TEXT, Opcode.BINARY, Opcode.TEXT, Opcode.TEXT, Opcode.TEXT]
    assert [each.compress for each in sent] == [True] * 4 + [False]
    answer_pings(channel)
    await idle()
    await ends(client)
    assert reports(record) == []


@virtual
async def test_what_is_sent_before_the_first_connection_is_sent_by_it(attempts: Attempts) -> None:
    """With or without `reconnect`, before `connect` and after it; the client needs no loop for it."""
    for reconnect in (True, False):
        client = make_client(offline_queue=5, reconnect=reconnect)
        first = client.send("a")
        client.connect()
        client.send("b")
        await idle()
        channel = await attempts.last.succeed()
        await first
        assert texts(channel) == ["a", "b"]
        await client.send("c")
        assert texts(channel) == ["a", "b", "c"]
        await ends(client)


@virtual
async def test_close_before_the_first_connect_leaves_the_queue(attempts: Attempts) -> None:
    """It does nothing, as it does without a queue: what was sent goes out with the first connection."""
    client = make_client(offline_queue=5)
    record = Record(client, "dropped")
    client.send("a")
    await client.close()
    client.connect()
    channel = await attempts.last.succeed()
    assert texts(channel) == ["a"] and record.names == []
    await ends(client)


@virtual
async def test_a_queue_without_reconnect_ends_with_its_connection(attempts: Attempts) -> None:
    """It takes what is sent while the client connects; what still waits at its end is dropped as "closed"."""
    client = make_client(offline_queue=5, reconnect=False)
    record = Record(client, "dropped", "close")
    client.connect()
    client.send("a")
    await idle()
    await attempts.last.fail()
    await client.wait_closed()
    assert [(each.data, each.reason) for each in record.events[:1]] == [("a", "closed")]
    assert record.names == ["dropped", "close"]


def test_a_message_may_be_queued_without_a_loop() -> None:
    """As `on` and `get_*`, it needs none until somebody awaits."""
    client = make_client(offline_queue=1)
    client.send("a")
    with pytest.raises(SlowConsumer):
        client.send("b")


@virtual
async def test_without_a_queue_send_raises(attempts: Attempts) -> None:
    """And send_fragments always does."""
    client = make_client()
    with pytest.raises(InvalidState):
        client.send("x")
    client, _ = await dropped_client(attempts)
    with pytest.raises(InvalidState):
        client.send_fragments(["x"])
    await ends(client)


@virtual
async def test_what_is_no_message_is_an_error_at_the_call(attempts: Attempts) -> None:
    """As with a connection."""
    client, _ = await dropped_client(attempts)
    for wrong, error in [(5, TypeError), (None, TypeError), ("\ud800", ValueError), ({"a": float("nan")}, ValueError)]:
        with pytest.raises(error):
            client.send(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="key"):
        client.send("x", key=1)  # type: ignore[arg-type]
    await ends(client)


@virtual
async def test_another_thread_may_not_send(attempts: Attempts) -> None:
    """As ever."""
    client, _ = await dropped_client(attempts)
    met: list[BaseException] = []

    def act() -> None:
        try:
            client.send("x")
        except RuntimeError as error:
            met.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert len(met) == 1 and "thread" in str(met[0])
    await ends(client)


@virtual
async def test_while_the_server_closes_messages_are_queued_too(attempts: Attempts) -> None:
    """They would not be sent any more, and the client goes on."""
    client = make_client(offline_queue=5)
    client.connect()
    channel = await attempts.last.succeed()
    channel.close_frame(1012)
    client.send("a")
    channel.lose()
    await attempts.next()
    assert texts(await attempts.last.succeed()) == ["a"]
    await ends(client)


@virtual
async def test_after_one_s_own_close_nothing_is_queued(attempts: Attempts) -> None:
    """It is ConnectionClosed, while the client closes and after it."""
    client = make_client(offline_queue=5)
    client.connect()
    channel = await attempts.last.succeed()
    client.close()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            client.send("x")
        channel.lose()
        await client.wait_closed()


# -- bounds


@virtual
async def test_a_queue_that_is_full_refuses_the_message(attempts: Attempts) -> None:
    """By number, with a SlowConsumer that says so; what it has it keeps."""
    client, record = await dropped_client(attempts, offline_queue=2)
    client.send("a")
    client.send("b")
    with pytest.raises(SlowConsumer, match="max_messages=2"):
        client.send("c")
    await attempts.next()
    assert texts(await attempts.last.succeed()) == ["a", "b"] and reports(record) == []
    await ends(client)


@virtual
async def test_a_queue_is_bounded_by_bytes_too(attempts: Attempts) -> None:
    """Each message counts 128 bytes more than it has, so that empty ones are not free."""
    client, _ = await dropped_client(attempts, offline_queue=wsmash.OfflineQueue(max_bytes=1000))
    for _ in range(7):
        client.send("")
    for data in ("", "x" * 2000):
        with pytest.raises(SlowConsumer, match="max_bytes=1000"):
            client.send(data)
    await ends(client)


@virtual
async def test_what_is_not_confirmed_counts(attempts: Attempts) -> None:
    """A server that never answers pings cannot make the queue hold more than its bounds."""
    client, record = await dropped_client(attempts, offline_queue=2)
    client.send("a")
    client.send("b")
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.lose()
    await idle()
    assert reports(record) == [("a", "unconfirmed"), ("b", "unconfirmed")]
    client.send("c")
    client.send("d")
    await attempts.next()
    channel = await attempts.last.succeed()
    answer_pings(channel)
    await idle()
    channel.lose()
    await idle()
    client.send("e")
    client.send("f")
    assert len(reports(record)) == 2
    await ends(client)


@virtual
async def test_a_message_that_is_too_old_is_dropped(attempts: Attempts) -> None:
    """At its time: `dropped` with "expired", and a TimeoutError for who awaits it; younger ones stay."""
    policy = Asked(100)
    client, record = await dropped_client(
        attempts, offline_queue=wsmash.OfflineQueue(max_age=10), reconnect=policy
    )
    old = client.send(b"old")
    waiting = asyncio.ensure_future(old)
    await elapse(5)
    client.send("young")
    await elapse(4.9)
    assert reports(record) == []
    await elapse(1)
    assert reports(record) == [(b"old", "expired")] and client.counters.dropped == 1
    with pytest.raises(OpenTimeout, match="max_age=10"):
        await waiting
    with pytest.raises(TimeoutError):
        await old
    await elapse(5)
    assert reports(record) == [(b"old", "expired"), ("young", "expired")]
    await ends(client)


@virtual
async def test_age_counts_from_connect_for_what_was_sent_before(attempts: Attempts) -> None:
    """There was no clock."""
    client = make_client(offline_queue=wsmash.OfflineQueue(max_age=10))
    record = Record(client, "dropped")
    client.send("a")
    await elapse(100)
    client.connect()
    await elapse(9)
    assert reports(record) == []
    await elapse(2)
    assert reports(record) == [("a", "expired")]
    await ends(client)


@virtual
async def test_without_max_age_messages_wait_for_ever(attempts: Attempts) -> None:
    """As long as the client does."""
    client, record = await dropped_client(
        attempts, offline_queue=wsmash.OfflineQueue(max_age=None), reconnect=Asked(1e4)
    )
    client.send("a")
    await elapse(9000)
    assert reports(record) == []
    await ends(client)


# -- order


@virtual
async def test_what_the_open_callbacks_send_comes_first(attempts: Attempts) -> None:
    """A plain callback's and a coroutine's, up to its first suspension: a login, say; all else goes behind."""
    client, _ = await dropped_client(attempts)

    async def log_in(_: object) -> None:
        client.send("second")
        await client.send("third")
        client.send("last")

    client.on("open", lambda _: client.send("first"))
    client.on("open", log_in)
    client.send("queued")
    await attempts.next()

    def behind() -> None:
        if client.is_open():
            client.send("behind")
        else:
            asyncio.get_running_loop().call_soon(behind)

    async def from_a_task() -> None:
        while not client.is_open():
            await asyncio.sleep(0)
        client.send("from a task")

    task = asyncio.ensure_future(from_a_task())
    channel = await attempts.last.succeed()
    await task
    await idle()
    sent = texts(channel)
    assert sent[:4] == ["first", "second", "third", "queued"] and set(sent[4:]) == {"from a task", "last"}
    await ends(client)


@virtual
async def test_a_slow_server_is_waited_for(attempts: Attempts) -> None:
    """Above high water the rest stays in the queue, and what is sent meanwhile goes behind it."""
    client, _ = await dropped_client(attempts, write_high_water=10, max_write_buffer=1000)
    actions = [client.send(f"{number:08}") for number in range(6)]
    client.on("open", lambda _: setattr(client._channel, "stuck", True))
    await attempts.next()
    channel = await attempts.last.succeed()
    assert texts(channel) == ["00000000", "00000001"]
    assert [each.done() for each in actions] == [True] * 2 + [False] * 4  # type: ignore[attr-defined]
    behind = client.send("behind")
    for count in (4, 6):
        assert len(texts(channel)) == count - 2
        catch_up(channel)
        assert len(texts(channel)) == count
    catch_up(channel)
    assert texts(channel)[5:] == ["00000005", "behind"] and behind.done()  # type: ignore[attr-defined]
    client.send("direct")
    assert texts(channel)[-1] == "direct"
    await ends(client)


@virtual
async def test_a_message_that_does_not_fit_waits_for_the_pong(attempts: Attempts) -> None:
    """Below high water no `drained` would tell that there is room."""
    client, _ = await dropped_client(attempts, write_high_water=100, max_write_buffer=100)
    client.send("a" * 50)
    client.send("b" * 90)
    client.on("open", lambda _: setattr(client._channel, "stuck", True))
    await attempts.next()
    channel = await attempts.last.succeed()
    assert texts(channel) == ["a" * 50]
    channel.waiting = 0
    answer_pings(channel)
    await idle()
    assert texts(channel) == ["a" * 50, "b" * 90]
    await ends(client)


@virtual
async def test_pings_of_the_server_are_answered_while_the_queue_is_flushed(attempts: Attempts) -> None:
    """At the latest when it has caught up."""
    client, _ = await dropped_client(attempts, write_high_water=10)
    client.send("x" * 20)
    client.send("y")
    client.on("open", lambda _: setattr(client._channel, "stuck", True))
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.control(Opcode.PING, b"?")
    channel.drain()
    assert [each.payload for each in frames(channel, Opcode.PONG)] == [b"?"] and texts(channel)[-1] == "y"
    channel.control(Opcode.PING, b"!")
    assert frames(channel, Opcode.PONG)[-1].payload == b"!"
    await ends(client)


@virtual
async def test_a_message_in_fragments_goes_behind_the_queue(attempts: Attempts) -> None:
    """One that an open callback begins."""
    client, _ = await dropped_client(attempts)
    client.on("open", lambda _: client.send_fragments(["f", "g"]))
    client.send("a")
    await attempts.next()
    channel = await attempts.last.succeed()
    await idle()
    assert [each.payload for each in channel.sent if each.opcode != Opcode.PING] == [b"a", b"f", b"g"]
    await ends(client)


@pytest.mark.parametrize("policy", ["conflate", "raise"])
@virtual
async def test_a_newer_message_takes_the_place_of_one_with_its_key(attempts: Attempts, policy: Any) -> None:
    """Under "conflate": the older one is reported, and who awaits it waits for the newer."""
    client, record = await dropped_client(attempts, slow_consumer=policy, offline_queue=4)
    first = client.send("a1", key="a")
    client.send("b", key="b")
    client.send("c")
    client.send("a2", key="a")
    await idle()
    if policy == "conflate":
        client.send("a3", key="a")
        assert client.counters.conflated == 2 and client.counters.dropped == 0
    await attempts.next()
    channel = await attempts.last.succeed()
    await first
    if policy == "conflate":
        assert texts(channel) == ["b", "c", "a3"]
        assert reports(record) == [("a1", "conflated"), ("a2", "conflated")]
    else:
        assert texts(channel) == ["a1", "b", "c", "a2"] and reports(record) == []
    await ends(client)


@virtual
async def test_what_was_replaced_before_connect_is_reported_by_it(attempts: Attempts) -> None:
    """It does not keep later reports from being made, either."""
    client = make_client(offline_queue=5, slow_consumer="conflate")
    record = Record(client, "dropped")
    client.send("old", key="k")
    client.send("new", key="k")
    client.connect()
    await idle()
    assert reports(record) == [("old", "conflated")]
    (await attempts.last.succeed()).lose()
    await idle()
    assert reports(record) == [("old", "conflated"), ("new", "unconfirmed")]
    await ends(client)


# -- at most once


@virtual
async def test_what_no_pong_has_answered_for_is_reported_and_not_sent_again(attempts: Attempts) -> None:
    """Only what was flushed since the last pong; the rest of the queue goes to the next connection."""
    client, record = await dropped_client(attempts, write_high_water=10)
    for name in ("a" * 20, "b" * 20, "c"):
        client.send(name)
    client.on("open", lambda event: setattr(client._channel, "stuck", len(attempts) == 2))
    await attempts.next()
    channel = await attempts.last.succeed()
    answer_pings(channel)
    catch_up(channel)
    assert texts(channel) == ["a" * 20, "b" * 20]
    channel.lose()
    await idle()
    assert reports(record) == [("b" * 20, "unconfirmed")] and client.counters.dropped == 1
    await attempts.next()
    channel = await attempts.last.succeed()
    assert texts(channel) == ["c"]
    answer_pings(channel)
    await idle()
    await ends(client)
    assert len(reports(record)) == 1


@virtual
async def test_an_answered_ping_forgets_the_messages(attempts: Attempts) -> None:
    """They were delivered: the loss of the connection says nothing of them."""
    client, record = await dropped_client(attempts)
    client.send("a")
    await attempts.next()
    channel = await attempts.last.succeed()
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.PING]
    answer_pings(channel)
    await idle()
    client.send("direct")  # not by the queue: of no concern to it
    channel.lose()
    await idle()
    assert reports(record) == []
    await ends(client)


@virtual
async def test_what_waits_at_the_end_is_reported_before_close(attempts: Attempts) -> None:
    """"closed": by one's own close, or where connecting again is no use; who awaits gets ConnectionClosed."""
    for own in (True, False):
        client, record = await dropped_client(attempts)
        actions = [client.send("a"), client.send(b"b")]
        if own:
            client.close()
        else:
            await attempts.next()
            await attempts.last.fail(HandshakeError("gone", status=410))
        await client.wait_closed()
        assert record.names == ["dropped", "dropped", "close"]
        assert reports(record) == [("a", "closed"), (b"b", "closed")]
        for action in actions:
            with pytest.raises(ConnectionClosed):
                await action


@virtual
async def test_close_sends_what_waits_before_the_close_frame(attempts: Attempts) -> None:
    """As far as there is room, and a server that answers the ping has it."""
    client, record = await dropped_client(attempts, write_high_water=10, max_write_buffer=100)
    for size in (20, 30, 90, 40):
        client.send("x" * size)
    client.on("open", lambda _: setattr(client._channel, "stuck", True))
    await attempts.next()
    channel = await attempts.last.succeed()
    assert [len(each) for each in texts(channel)] == [20]
    client.close()
    assert [len(each) for each in texts(channel)] == [20, 30] and channel.sent[-1].opcode == Opcode.CLOSE
    answer_pings(channel)
    channel.close_frame(1000)
    channel.lose()
    await client.wait_closed()
    assert [(len(str(data)), reason) for data, reason in reports(record)] == [(90, "closed"), (40, "closed")]


@virtual
async def test_a_refused_conflation_is_still_reported_before_close(attempts: Attempts) -> None:
    """In the very turn in which the client ends."""
    client, record = await dropped_client(attempts, slow_consumer="conflate")
    client.send("a", key="k")
    client.close()
    with pytest.raises(ConnectionClosed):
        client.send("b", key="k")
    await client.wait_closed()
    assert record.names == ["dropped", "close"]


@virtual
async def test_drops_that_nobody_hears_of_are_logged(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    """One warning for all of a moment."""
    client = make_client(offline_queue=5)
    client.connect()
    client.send("a")
    client.send("b")
    client.close()
    await client.wait_closed()
    assert [each.getMessage() for each in caplog.records if "dropped" in each.getMessage()] == [
        f"{client!r}: the offline queue dropped 2 of its messages, and nothing listens for that"
    ]


@virtual
async def test_cancelling_the_wait_for_a_message_leaves_it_in_the_queue(attempts: Attempts) -> None:
    """As it ends only the waiting for a `send`."""
    client, _ = await dropped_client(attempts)
    waiting = asyncio.ensure_future(client.send("a"))
    await idle()
    waiting.cancel()
    await attempts.next()
    assert texts(await attempts.last.succeed()) == ["a"]
    await ends(client)


@virtual
async def test_waiting_that_is_given_up_leaves_nothing(attempts: Attempts) -> None:
    """A message under a key may be replaced, and each newer one awaited for a moment, all through an outage."""
    client, _ = await dropped_client(attempts, slow_consumer="conflate")
    for number in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.send(f"price {number}", key="price"), 0.01)
    assert not client.send("price", key="price")._waiters  # type: ignore[attr-defined]
    await ends(client)


@virtual
async def test_a_dropped_callback_may_send_again(attempts: Attempts) -> None:
    """What was not confirmed: the user knows whether twice is no harm."""
    client, record = await dropped_client(attempts)
    client.on("dropped", lambda event: client.send(event.data) if event.reason == "unconfirmed" else None)
    client.send("a")
    await attempts.next()
    (await attempts.last.succeed()).lose()
    await attempts.next()
    assert texts(await attempts.last.succeed()) == ["a"] and reports(record) == [("a", "unconfirmed")]
    await ends(client)
