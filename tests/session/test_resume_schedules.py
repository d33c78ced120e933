"""Any order of messages, losses, restarts and gaps: a subscription has each message once and in order, or a gap."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts
from fixtures.clock import elapse, virtual
from fixtures.speaking import Speaking
from wsmash.topics.position import Position

HISTORY = 8
"""Messages that the server keeps."""


class Stream:
    """A topic with a history, and the one subscriber that it is told of."""

    def __init__(self, server: Speaking, random: Random) -> None:
        self._server = server
        self._random = random
        self._epochs = 0
        self.everything: list[Position] = []
        self._begin()
        self._subscribed = False

    def _begin(self) -> None:
        self._epochs += 1
        self.epoch = f"{self._epochs:032x}"
        self.top = self._random.randrange(3)
        self._kept: list[int] = []

    def publish(self) -> None:
        """Add a message, and push it to the subscriber, perhaps twice."""
        self.top += self._random.choice((1, 1, 1, 3))  # offsets increase, not always by one
        self._kept = [*self._kept, self.top][-HISTORY:]
        self.everything.append(Position(self.epoch, self.top))
        if self._subscribed:
            for _ in range(self._random.choice((1, 1, 1, 2))):
                self._server.message(self.top)

    def restart(self) -> None:
        """Come back empty."""
        self._begin()
        if self._subscribed:
            self._server.tell("gap", topic="news", epoch=self.epoch, offset=self.top, reason="epoch")

    def skip(self) -> None:
        """The subscriber did not keep up."""
        if self._subscribed:
            self._server.tell("gap", topic="news", epoch=self.epoch, offset=self.top, reason="slow")

    def forget(self) -> None:
        """The connection is gone."""
        self._subscribed = False

    def answer(self) -> None:
        """Answer what the subscriber asks for, if it does."""
        for command in self._server.asked():
            assert command["type"] == "subscribe"
            if self._random.random() < 0.2:
                self._server.tell("error", id=command["id"], code="unavailable")
                continue
            since, at = command.get("since"), {"epoch": self.epoch, "offset": self.top}
            self._subscribed = True
            if since is None:
                self._server.tell("reply", id=command["id"], **at)
                continue
            lost = [position.offset for position in self.everything if position.epoch == self.epoch][: -HISTORY or None]
            recovered = since["epoch"] == self.epoch and all(offset <= since["offset"] for offset in lost)
            self._server.tell("reply", id=command["id"], **(since if recovered else at), recovered=recovered)
            for offset in self._kept if recovered else ():
                if offset > since["offset"] or self._random.random() < 0.2:
                    self._server.message(offset)


def check(events: list[Any], everything: list[Position]) -> int:
    """Whether each message was delivered once and in order, or lies in a gap; how many were delivered."""
    at = -1  # the index of the last message that was delivered or told to be missing
    order = {position: index for index, position in enumerate(everything)}
    delivered = 0
    for event in events:
        if isinstance(event, wsmash.TopicMessage):
            assert event.position is not None
            assert order[event.position] == at + 1, (event, everything[at + 1 : at + 3])
            assert event.data == str(event.position.offset)
            at += 1
            delivered += 1
        else:
            epoch, offset = event.position
            before = [order[each] for each in everything if each.epoch == epoch and each.offset <= offset]
            older = [order[each] for each in everything if each.epoch < epoch]
            at = max([at, *before, *older])
    assert at == len(everything) - 1, "the last messages are missing"
    return delivered


@pytest.mark.parametrize("seed", range(30))
def test_no_schedule_loses_or_doubles_a_message(attempts: Attempts, seed: int) -> None:
    """Over some hundred messages and a dozen connections, with plain callbacks, coroutine functions and readers."""

    @virtual
    async def scenario() -> None:
        random = Random(seed)
        server = Speaking(attempts)
        news = server.client.subscribe("news")
        events: list[Any] = []

        async def slowly(event: Any) -> None:
            await elapse(random.random())
            events.append(event)

        news.on("message", slowly if seed % 2 else events.append)
        news.on("gap", slowly if seed % 3 else events.append)
        await server.open()
        stream = Stream(server, random)
        while not news.is_active():
            stream.answer()
            await elapse(1)
        for _ in range(400):
            step = random.random()
            if step < 0.8:
                stream.publish()
            elif step < 0.83:
                stream.restart()
            elif step < 0.86:
                stream.skip()
            elif step < 0.9:
                stream.forget()
                await server.lose()
                for _ in range(random.randrange(12)):
                    stream.publish()
                await server.open()
            stream.answer()
            if random.random() < 0.3:
                await elapse(random.random())
        while not news.is_active():
            await elapse(1)
            stream.answer()
        stream.publish()
        await elapse(1000)
        assert check(events, stream.everything) > 100
        await server.end()

    scenario()


def test_the_check_can_fail() -> None:
    """A loss, a duplicate, and a wrong order are found."""
    everything = [Position("0" * 32, offset) for offset in (1, 2, 4)]
    good = [wsmash.TopicMessage(None, "news", str(each.offset), each) for each in everything]  # type: ignore[arg-type]
    assert check(good, everything) == 3
    for wrong in (good[:2], good[::2], [good[0], *good], [good[1], good[0], good[2]]):
        with pytest.raises(AssertionError):
            check(wrong, everything)
    gap = wsmash.TopicGap(None, "news", everything[1], "slow")  # type: ignore[arg-type]
    assert check([gap, good[2]], everything) == 1 and check([good[0], gap, good[2]], everything) == 2


