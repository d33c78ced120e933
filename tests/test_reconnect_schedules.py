"""Clients that connect again, through schedules drawn by chance: whatever happens when, the same promises hold."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts, ScriptedAttempt
from fixtures.clock import elapse, idle, turns, virtual
from fixtures.ends import URL, Record, frames, texts
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed, HandshakeError, InvalidState, SlowConsumer
from wsmash.sansio.violations import Violation
from wsmash.transports.scripted import ScriptedChannel

SEEDS = 150


class Schedule:
    """One client, and what happens to it."""

    def __init__(self, seed: int, attempts: Attempts) -> None:
        self.random = Random(seed)
        self.attempts = attempts
        self.queue = wsmash.OfflineQueue(max_messages=8, max_age=self.random.choice([20, None]))
        policy = wsmash.Reconnect(jitter=lambda most: self.random.uniform(0, most))
        self.client = wsmash.create_client(
            URL,
            reconnect=policy,
            offline_queue=self.queue,
            ping_interval=None,
            write_high_water=self.random.choice([1, 1000]),
            slow_consumer=self.random.choice(["raise", "conflate"]),
        )
        self.record = Record(self.client, *(name for name in self.client.EVENTS if name != "message"))
        self.channels: list[ScriptedChannel] = []
        self.tried: set[ScriptedAttempt] = set()
        self.accepted: list[str] = []  # by the queue
        self.direct: list[str] = []
        self.sent = self.came = 0
        self.got: list[object] = []
        self.answered = 0

    @property
    def channel(self) -> ScriptedChannel | None:
        """That of the present connection."""
        last = self.channels[-1] if self.channels else None
        return None if last is None or last.gone else last

    @property
    def attempt(self) -> ScriptedAttempt | None:
        """The one that waits for its outcome."""
        last = self.attempts[-1] if self.attempts else None
        return None if last is None or last in self.tried or last.given_up else last

    # -- what may happen

    async def succeed(self) -> None:
        """The server lets the client in."""
        if self.attempt is not None:
            self.tried.add(self.attempt)
            self.channels.append(await self.attempts.last.succeed())
            self.channels[-1].stuck = self.random.random() < 0.3
            self.answered = 0

    async def fail(self) -> None:
        """It does not."""
        if self.attempt is not None:
            self.tried.add(self.attempt)
            await self.attempts.last.fail()

    async def lose(self) -> None:
        """The network breaks, or the server closes, or errs."""
        channel = self.channel
        if channel is not None:
            how = self.random.randrange(3)
            if how == 1:
                channel.close_frame(self.random.choice([1000, 1012, 4000]))
            elif how == 2:
                channel.violate(Violation.TEXT_INVALID)
            await turns(self.random.randrange(3))
            channel.lose()
            await turns(self.random.randrange(4))

    async def send(self) -> None:
        """The client sends."""
        self.sent += 1
        data = f"message {self.sent}"
        open_before = self.client.is_open() and not self.client._offline.blocking  # type: ignore[union-attr]
        key = self.random.choice([None, None, "k"])
        try:
            self.client.send(data, key=key)
        except (InvalidState, SlowConsumer, ConnectionClosed):
            return
        (self.direct if open_before else self.accepted).append(data)

    async def receive(self) -> None:
        """The server sends."""
        if self.channel is not None and self.client.is_open():
            self.came += 1
            self.channel.message(str(self.came))

    async def catch_up(self) -> None:
        """The server reads, and answers pings."""
        channel = self.channel
        if channel is not None:
            for ping in frames(channel, Opcode.PING)[self.answered :]:
                self.answered += 1
                channel.control(Opcode.PONG, ping.payload)
            channel.waiting = 0
            channel.handler.drained()  # type: ignore[union-attr]

    async def wait(self) -> None:
        """Time passes."""
        await elapse(self.random.choice([0.001, 1, 7, 40]))

    async def join(self) -> None:
        """Somebody awaits `connect` for a while."""
        joined = self.client.connect()
        await turns(self.random.randrange(3))
        assert joined is not None

    async def play(self, steps: int) -> None:
        """Some of that, in any order, while a reader reads."""

        async def read() -> None:
            while True:
                self.got.append(await self.client.recv())

        self.client.connect()
        reading = asyncio.ensure_future(read())
        actions = [
            self.succeed, self.succeed, self.fail, self.lose, self.send, self.send, self.receive, self.catch_up,
            self.wait, self.join,
        ]  # fmt: skip
        for _ in range(steps):
            await self.random.choice(actions)()
            await turns(self.random.randrange(3))
            assert "close" not in self.record.names and self.client.get_state() is not State.CLOSED
        await self._end()
        with pytest.raises(ConnectionClosed):
            await reading

    async def _end(self) -> None:
        how = self.random.randrange(3)
        if how == 0:
            self.client.abort()
        elif how == 1 and self.attempt is not None:
            await self.attempts.last.fail(HandshakeError("gone", status=410))
            return
        else:
            self.client.close()
        if self.channel is not None:
            self.channel.lose()
        await self.client.wait_closed()


@pytest.mark.case(118, 121)
@pytest.mark.parametrize("seed", range(SEEDS))
@virtual
async def test_the_promises_hold_on_any_schedule(attempts: Attempts, seed: int) -> None:
    """One close, last; an outage before each further open; messages in order; what was accepted once or reported."""
    schedule = Schedule(seed, attempts)
    await schedule.play(60)
    await schedule.client.wait_closed()
    await idle()
    names = schedule.record.names
    assert names.count("close") == 1 and names[-1] == "close" and names.count("error") <= 1
    opens = [event for event in schedule.record.events if isinstance(event, wsmash.OpenEvent)]
    assert [event.reconnected for event in opens] == [False, *[True] * len(opens)][: len(opens)]
    story = [name for name in names if name in ("open", "reconnecting")]
    assert all(before == "reconnecting" for before, name in pairwise(story) if name == "open")
    assert schedule.got == [str(number + 1) for number in range(len(schedule.got))]
    _account_for(schedule)


def _account_for(schedule: Schedule) -> None:
    """Each message that the queue accepted was sent once and confirmed, or is reported, or both but unconfirmed."""
    dropped = [event for event in schedule.record.events if isinstance(event, wsmash.DroppedEvent)]
    reported = {str(event.data): event.reason for event in dropped}
    sent = [text for channel in schedule.channels for text in texts(channel)]
    assert len(reported) == len(dropped) and len(set(sent)) == len(sent)
    for data in schedule.accepted:
        assert (data in sent) == (reported.get(data) in (None, "unconfirmed")), data
    queued = [data for data in sent if data in set(schedule.accepted)]
    assert queued == sorted(queued, key=_number)
    assert set(reported) <= set(schedule.accepted)


def _number(data: str) -> int:
    return int(data.split()[1])


@pytest.mark.parametrize("promise", ["twice", "silence"])
@virtual
async def test_the_account_can_fail(attempts: Attempts, promise: Any) -> None:
    """A message that is sent twice, or neither sent nor reported, is found."""
    schedule = Schedule(1, attempts)
    await schedule.play(40)
    if promise == "twice":
        one = ScriptedChannel(asyncio.get_running_loop(), None)  # type: ignore[arg-type]
        one.send(Opcode.TEXT, b"message 1")
        schedule.channels += [one, one]
    else:
        schedule.accepted.append("message 0")
    with pytest.raises(AssertionError):
        _account_for(schedule)
