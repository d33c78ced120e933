"""Messages that wait for their callback or their reader, and how a coroutine callback gets each of them.

What stands here runs for each message: the engine has twins of it in C, in `_native/queue.pxi`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..constants import MAX_QUEUE_BYTES
from ..transports import native
from .delivery import Failed, cancelled
from .emitter import must_run
from .events import MessageEvent

if TYPE_CHECKING:
    from .connection import WebSocketConnection
    from .inbox import Inbox


@native.twin
class Queue:
    """Messages in the order they came.

    Args:
        most: how many may wait before reading pauses.

    Attributes:
        size: how many bytes, or characters, they are.
        pulled: whether a reader takes them, just as they are.
    """

    __slots__ = ("_messages", "most", "pulled", "size")

    def __init__(self, most: int) -> None:
        self._messages: deque[str | bytes] = deque()
        self.most = most
        self.size = 0
        self.pulled = False

    @property
    def full(self) -> bool:
        """Whether reading is to pause."""
        return len(self._messages) >= self.most or self.size >= MAX_QUEUE_BYTES

    @property
    def few(self) -> bool:
        """Whether reading, where it pauses, may go on."""
        return len(self._messages) <= self.most // 4 and self.size <= MAX_QUEUE_BYTES // 4

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, messages: Iterable[str | bytes], size: int) -> None:
        """Add messages, of so many bytes together."""
        self._messages.extend(messages)
        self.size += size

    def take(self) -> str | bytes:
        """The oldest one."""
        data = self._messages.popleft()
        self.size -= len(data)
        return data

    def clear(self) -> None:
        """Forget all of them."""
        self._messages.clear()
        self.size = 0


@native.twin
async def call_with_each(inbox: Inbox, connection: WebSocketConnection, failed: Failed) -> None:
    """Call a connection's one message callback with each message as it comes, and await what it returns.

    Ends when no more will come, or when there is not just one callback. `failed` hears of
    what the callback lets out, as `delivery.call_each` has it.
    """
    queue = inbox.queue
    while True:
        callback = connection._on_message
        if callback is None or isinstance(callback, tuple):
            return
        if not queue:
            if inbox.last:
                return
            await inbox.park()
            continue
        data = queue.take()
        if connection._pauses and queue.few:
            inbox.resume()
        try:
            result: Any = callback(MessageEvent(connection, data))
            if type(result) is CoroutineType or must_run(result):
                await result
        except Exception as error:
            failed(error)
        except asyncio.CancelledError as error:
            cancelled(error, failed)

