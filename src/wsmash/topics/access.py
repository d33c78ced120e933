"""What clients may do with topics by themselves: whom `authorize` allows what, and how often they may subscribe."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..errors import RequestError
from ..options import ServerOptions
from ..runtime.counters import ServerCounters
from ..runtime.limits import TokenBucket

if TYPE_CHECKING:
    from .subscriber import Subscriber

TopicAction = Literal["subscribe", "publish", "presence"]

_WORDS: Final = {"subscribe": "subscribing to", "publish": "publishing to", "presence": "asking who is on"}


class TopicRequest(NamedTuple):
    """What `authorize` is asked about.

    Attributes:
        client: whose wish it is.
        action: "subscribe", "publish" or "presence".
        topic: the topic; for "subscribe" it may be a pattern, which stands for all topics that it matches.
    """

    client: Subscriber
    action: TopicAction
    topic: str


class Access:
    """The answers to what the clients of one server ask for.

    Args:
        options: the server's.
        counters: the server's.
        clock: tells the time in seconds.
    """

    def __init__(self, options: ServerOptions, counters: ServerCounters, clock: Callable[[], float]) -> None:
        self._options = options
        self._counters = counters
        self._clock = clock

    def bucket(self) -> TokenBucket | None:
        """A new connection's own, for its subscriptions; None where there is no `subscribe_rate`."""
        rate = self._options.subscribe_rate
        return None if rate is None else TokenBucket(rate, self._clock())

    async def check(self, client: Subscriber, action: TopicAction, topic: str) -> None:
        """Ask `authorize`.

        Raises:
            RequestError: "forbidden": it refuses, or there is none.
            Exception: what the function raises.
        """
        authorize = self._options.authorize
        if authorize is None:
            self._counters.refused_topics += 1
            raise RequestError("forbidden", "the server was made without authorize=, so that clients may do nothing")
        allowed = authorize(TopicRequest(client, action, topic))
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            self._counters.refused_topics += 1
            raise RequestError("forbidden", f"authorize does not allow {_WORDS[action]} {topic}")
