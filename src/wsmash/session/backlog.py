"""Events of one subscription that wait, in order: for a coroutine callback that is busy, a reader, or anyone to come.

Plain callbacks are called where an event comes in, while nothing waits before it.
Where one returns an awaitable, a task awaits it and goes on with what has come by
then, until nothing is left. `gap` and its like take their turn among the messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from ..constants import MAX_QUEUE_BYTES
from ..runtime.delivery import FAILURES, call_each, deliver, finish
from ..runtime.emitter import Callback, as_tuple, must_run
from ..topics.position import Position
from .events import TopicEvent, TopicGap, TopicMessage

if TYPE_CHECKING:
    from .subscription import Subscription

SLACK: Final = 64
"""How many times more may wait, before reading pauses, while this client waits for an answer that comes behind it."""

Slot = Literal[
    "_on_message", "_on_gap", "_on_subscribed", "_on_degraded", "_on_restored", "_on_join", "_on_leave", "_on_error"
]
_MESSAGES: Final = "_on_message"


class _Item(NamedTuple):
    slot: Slot
    event: TopicEvent
    size: int


class Backlog:
    """The queue of one subscription, and who empties it.

    Args:
        subscription: whose callbacks are called.
        most: messages that may wait before reading pauses.

    Attributes:
        pulled: whether a reader takes the messages.
        task: the one that awaits callbacks, if there is one.
    """

    __slots__ = ("_items", "_most", "_size", "_subscription", "_waiter", "pulled", "task")

    def __init__(self, subscription: Subscription, most: int) -> None:
        self._subscription = subscription
        self._most = most
        self._items: deque[_Item] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self.pulled = False
        self.task: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._items)

    # -- in

    def put(self, slot: Slot, event: TopicEvent, size: int = 0) -> None:
        """Deliver an event, now or when those before it are done with; a message counts its own size."""
        if not self._items and self.task is None and not self.pulled and self._wanted(slot):
            self._call(slot, event)
            return
        if isinstance(event, TopicMessage):
            size = len(event.data)
        if self.unwanted and self.full:
            self._leave_out(event)
            return
        self._items.append(_Item(slot, event, size))
        self._size += size
        self.wake()

    def _wanted(self, slot: Slot) -> bool:
        """Whether somebody takes what is for this slot; of all but messages it does not matter."""
        return slot != _MESSAGES or self._subscription._on_message is not None

    @property
    def unwanted(self) -> bool:
        """Whether nobody takes the messages."""
        return not self.pulled and self._subscription._on_message is None

    def _leave_out(self, event: TopicEvent) -> None:
        """Nobody takes the messages, and enough of them wait: whoever comes will hear of a gap behind them."""
        if not isinstance(event, (TopicMessage, TopicGap)):
            return
        last = self._items[-1].event
        if isinstance(last, TopicGap):
            self._items.pop()
        position = self._subscription._progress.position
        gap = TopicGap(event.client, self._subscription.topic, position, "unread")
        self._items.append(_Item("_on_gap", gap, 0))

    # -- how much

    @property
    def full(self) -> bool:
        """Whether so many wait that reading is to pause."""
        return self._holds(1)

    def stops(self, *, paused: bool, waits: bool) -> bool:
        """Whether reading has to pause for this, or not to go on.

        Args:
            paused: whether it pauses.
            waits: whether the client waits for an answer, which may come behind what would be read.
        """
        if self.unwanted or not self._items:
            return False
        if waits:
            return self._holds(SLACK)
        return not self._few if paused else self._holds(1)

    def _holds(self, times: int) -> bool:
        return len(self._items) >= self._most * times or self._size >= MAX_QUEUE_BYTES * times

    @property
    def _few(self) -> bool:
        return len(self._items) <= self._most // 4 and self._size <= MAX_QUEUE_BYTES // 4

    @property
    def busy(self) -> bool:
        """Whether callbacks are yet to be given something."""
        return self.task is not None and bool(self._items)

    # -- out, to callbacks

    def _call(self, slot: Slot, event: TopicEvent) -> None:
        subscription = self._subscription
        client = subscription._client
        subscription._delivers(event)
        callbacks, context = as_tuple(getattr(subscription, slot)), client._context
        if context is None:
            return  # the client is closed, and no event follows
        for at, callback in enumerate(callbacks, 1):
            try:
                result = context.run(callback, event)
            except FAILURES as error:
                client._callback_failed(error)
                continue
            if must_run(result):
                self._start(cast(Awaitable[Any], result), callbacks[at:], event)
                return

    def wake(self) -> None:
        """Something came, or somebody who takes it."""
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
        elif self._items and self.task is None and not self.pulled and self._wanted(self._items[0].slot):
            self._start(None, (), None)

    def _start(
        self, result: Awaitable[Any] | None, rest: tuple[Callback, ...], event: TopicEvent | None
    ) -> None:
        client = self._subscription._client
        if client._context is None:
            return  # the next connection begins anew
        self.task = client._owner.run(self._deliver(result, rest, event), client._context)
        self.task.add_done_callback(partial(self._ended, client))

    async def _deliver(
        self, result: Awaitable[Any] | None, rest: tuple[Callback, ...], event: TopicEvent | None
    ) -> None:
        failed = self._subscription._client._callback_failed
        try:
            if result is not None:
                await finish(result, failed)
                await call_each(rest, event, failed)
            while self._items and not self.pulled and self._wanted(self._items[0].slot):
                slot, event = self._next()
                await call_each(as_tuple(getattr(self._subscription, slot)), event, failed)
        finally:
            self.task = None
            self._subscription._settled()

    def _ended(self, client: Any, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            return
        self.task = None
        self.clear()
        client._desert()  # nobody but who cancelled it knows what the callback has done

    def _next(self) -> tuple[Slot, TopicEvent]:
        slot, event, size = self._items.popleft()
        self._size -= size
        self._subscription._delivers(event)
        self._subscription._taken()
        return slot, event

    # -- out, to a reader

    @property
    def has_reader(self) -> bool:
        """Whether somebody waits for a message."""
        return self._waiter is not None

    def take(self) -> TopicMessage | None:
        """The next message; what is before it goes to its callbacks. None where there is none yet."""
        subscription = self._subscription
        client = subscription._client
        while self._items:
            slot, event = self._next()
            if isinstance(event, TopicMessage):
                return event
            if client._context is not None:
                deliver(client._owner, client._context, getattr(subscription, slot), event, client._callback_failed)
        return None

    async def arrival(self) -> None:
        """Wait for something to look at."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def clear(self) -> None:
        """Deliver nothing of what waits."""
        self._items.clear()
        self._size = 0
        self._subscription._taken()


def position_of(event: TopicEvent) -> Position | None:
    """How far a subscription is once this event was delivered; None where it says nothing of that."""
    return getattr(event, "position", None)
