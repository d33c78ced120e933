"""What the connections of one client or one endpoint of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..constants import Role
from ..options import ConnectionOptions
from ..sansio.keepalive import Timeouts, first_look
from .environment import Environment
from .reports import Reports

if TYPE_CHECKING:
    from .connection import WebSocketConnection


AGES = 3600.0
"""Seconds until a connection without any timeout is looked at again."""


@dataclass(slots=True)
class Counters:
    """What a client, or all connections of a server, did not deliver, and why connections ended.

    Attributes:
        closed_slow: connections failed with 1013 because their peer reads too slowly.
        dropped: messages not sent: under the policy "drop"; broadcasts under "raise";
            conflated ones that found no room when the connection closed; and those of an
            offline queue that expired, were left or are not known to have arrived.
        conflated: messages replaced by a newer one of their key before they were sent.
        discarded: messages received that nobody was there to take.
        closed_rate: connections failed with 1008 because of `message_rate`.
        timed_out: connections given up because of `ping_timeout`, `write_timeout` or `message_timeout`.
        failed_protocol: connections failed with 1002 or 1007 because their peer broke the protocol.
        failed_limit: those failed because of `max_message_size` (1009) or `max_fragments` (1008).
        failed_message: those failed with 1007 because a message was invalid, or as `invalid_message` says.
        failed_callback: those failed with 1011 because something of your own did: a callback raised or was
            cancelled, or what `send_fragments` was given did not come to its end.
    """

    closed_slow: int = 0
    dropped: int = 0
    conflated: int = 0
    discarded: int = 0
    closed_rate: int = 0
    timed_out: int = 0
    failed_protocol: int = 0
    failed_limit: int = 0
    failed_message: int = 0
    failed_callback: int = 0


class Owner:
    """A client's, or a server endpoint's.

    Attributes:
        environment: of the loop they live on.
        options: the limits they keep.
        role: which end of the connection they are.
        counters: what they did not deliver.
        tasks: their callbacks that are running.
        reports: the records of what their peers bring about.
        patient: whether reading pauses until a callback or a reader comes, rather than
            messages being discarded.
    """

    def __init__(
        self,
        environment: Environment,
        options: ConnectionOptions,
        role: Role,
        counters: Counters,
        *,
        patient: bool,
        reports: Reports | None = None,
    ) -> None:
        self.environment = environment
        self.options = options
        self.role = role
        self.counters = counters
        self.reports = reports or Reports(environment.wheel)
        self.patient = patient
        self.limits = options.limits
        self.tasks: set[asyncio.Task[Any]] = set()
        self.timeouts = Timeouts(
            options.ping_interval, options.ping_timeout, options.message_timeout, options.write_timeout
        )
        self.first_look = first_look(self.timeouts) or AGES
        self.message_rate: float | None = getattr(options, "message_rate", None)

    def run(self, coroutine: Coroutine[Any, Any, Any], context: Context | None) -> asyncio.Task[Any]:
        """Run part of a callback in a task, held here until it ends."""
        task = self.environment.run(coroutine, context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def closing(self, connection: WebSocketConnection) -> None:
        """The connection takes no messages any more."""

    def left(self, connection: WebSocketConnection) -> None:
        """The connection's transport is gone; its `close` event is next."""
