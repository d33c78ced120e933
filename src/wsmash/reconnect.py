"""A client through its outages: what the loss of a connection means where it is not the end.

Without `reconnect`, and without an `offline_queue`, all of this steps aside.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, overload

from .constants import CloseCode
from .errors import InvalidState, WebSocketError
from .options import ClientOptions
from .runtime.actions import Action, Pending
from .runtime.connection import WebSocketConnection
from .runtime.core import START
from .runtime.delivery import deliver
from .runtime.emitter import DECORATES, C, Decorates, Stored
from .runtime.events import CloseEvent, DroppedEvent, ErrorEvent, MessageEvent, OpenEvent, ReconnectingEvent
from .runtime.lifecycle import Stage
from .runtime.offline import Offline
from .runtime.outages import WAKE_TIMEOUT, Outages
from .runtime.owner import Counters
from .sansio.states import Life
from .transports.base import Channel

logger = logging.getLogger("wsmash")

Event = Literal["open", "message", "close", "error", "reconnecting", "dropped"]


class ReconnectingConnection(WebSocketConnection):
    """What a client is beside a connection: it may have several of them, one after another."""

    __slots__ = (
        "_connecting", "_dialling", "_offline", "_on_dropped", "_on_reconnecting", "_outages", "counters", "options"
    )  # fmt: skip

    EVENTS: ClassVar[tuple[str, ...]] = (*WebSocketConnection.EVENTS, "reconnecting", "dropped")

    def __init__(self, options: ClientOptions) -> None:
        super().__init__()
        self.options = options
        self.counters = Counters()
        self._on_reconnecting: Stored = None
        self._on_dropped: Stored = None
        self._connecting: Pending[None] | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._outages: Outages | None = None
        bounds = options.offline_bounds
        self._offline = None if bounds is None else Offline(bounds)

    @overload
    def on(self, event: Literal["open"], callback: Callable[[OpenEvent], object]) -> Callable[[OpenEvent], object]: ...
    @overload
    def on(
        self, event: Literal["message"], callback: Callable[[MessageEvent], object]
    ) -> Callable[[MessageEvent], object]: ...
    @overload
    def on(
        self, event: Literal["close"], callback: Callable[[CloseEvent], object]
    ) -> Callable[[CloseEvent], object]: ...
    @overload
    def on(
        self, event: Literal["error"], callback: Callable[[ErrorEvent], object]
    ) -> Callable[[ErrorEvent], object]: ...
    @overload
    def on(
        self, event: Literal["reconnecting"], callback: Callable[[ReconnectingEvent], object]
    ) -> Callable[[ReconnectingEvent], object]: ...
    @overload
    def on(
        self, event: Literal["dropped"], callback: Callable[[DroppedEvent], object]
    ) -> Callable[[DroppedEvent], object]: ...
    @overload
    def on(
        self, event: Literal["open"]
    ) -> Callable[[Callable[[OpenEvent], object]], Callable[[OpenEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["message"]
    ) -> Callable[[Callable[[MessageEvent], object]], Callable[[MessageEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["close"]
    ) -> Callable[[Callable[[CloseEvent], object]], Callable[[CloseEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["error"]
    ) -> Callable[[Callable[[ErrorEvent], object]], Callable[[ErrorEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["reconnecting"]
    ) -> Callable[[Callable[[ReconnectingEvent], object]], Callable[[ReconnectingEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["dropped"]
    ) -> Callable[[Callable[[DroppedEvent], object]], Callable[[DroppedEvent], object]]: ...
    def on(self, event: Event, callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, at each event; also a decorator.

        Args:
            event: "open", "message", "close", "error", "reconnecting" or "dropped".
            callback: takes the event. The same one added twice runs twice.

        Returns:
            The callback.

        Raises:
            ValueError: there is no such event.
            TypeError: the callback cannot be called.
            RuntimeError: for "message", where `recv` is in use.
        """
        return self._add_callback(event, callback)

    # -- from connect to the last close

    def _begin(self) -> None:
        """`connect` was called, and there is nothing yet."""
        environment = self._owner.environment
        policy = self.options.reconnect_policy
        if policy is not None:
            self._outages = Outages(policy)
            environment.wakeups.add(self)
        if self._offline is not None:
            self._offline.begin(self, environment.wheel.clock())
            self._ask_at(self._offline.next_expiry)

    @abstractmethod
    def _attempt_again(self) -> None:
        """Try to connect."""

    @property
    def _ended_by(self) -> Exception | None:
        """The outage that was the end."""
        return None if self._outages is None else self._outages.ended

    @property
    def _lasts(self) -> bool:
        return self._outages is not None and not self._outages.over

    def _finish(self) -> None:
        if self._outages is not None:
            self._outages.over = True
            self._owner.environment.wakeups.discard(self)
        if self._offline is not None:
            self._offline.end(self)
        super()._finish()

    def _last_no_more(self) -> None:
        """The user ends it: what ends this connection is no outage."""
        if self._outages is not None and not self._outages.over:
            self._outages.over = True
            if self._outages.error is not None:
                self._fire_error(self._outages.error)

    def _leave(self) -> None:
        self._last_no_more()
        if self._offline is not None and self._offline.blocking and self._life is Life.OPEN:
            self._offline.flush(self, hurry=True)

    def _desert(self) -> None:
        self._leave()
        if self._life is Life.CONNECTING:
            self._abandon()
        else:
            super()._desert()

    # -- an outage

    def _blame(self, error: Exception) -> None:
        if self._lasts and self._outages is not None:
            self._outages.error = error
        else:
            super()._blame(error)

    def _give_up(self, code: int, why: str) -> None:
        if self._outages is not None and self._channel is not None:
            self._outages.silent_since = self._channel.info().received_at
        super()._give_up(code, why)

    def _discard(self) -> None:
        if not self._lasts:
            super()._discard()

    def lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        self._release(error)
        if self._offline is not None:
            self._offline.lost(self)
        if self._outages is not None and not self._outages.over:
            ended = self._outlast(self._outages.error or self._closed_error())
            if ended is None:
                return
            self._tell_soon(ended, heard=self._on_error is not None)
            self._deliver_error(ended)
        elif self._outages is not None and self._outages.ended is None:
            self._tell_soon(self._closed_error(), heard=True)  # who joined for a connection that is not to be
        self._finish()

    def _outlast(self, error: Exception) -> Exception | None:
        """Prepare to connect again after this; or what ends the client, where it is not to."""
        outages, owner = self._outages, self._owner
        if outages is None or outages.over:
            return error
        loop = owner.environment.loop
        outage = outages.began(error, self._closing, loop.time())
        try:
            delay = outages.decide(outage)
        except WebSocketError as failure:
            # With the traceback of what the policy raised alone: ours says nothing more.
            logger.error("%s ends: %s", self, failure, exc_info=failure.__cause__)  # noqa: TRY400
            delay, error = None, failure
        else:
            if delay is None and not outages.over:
                logger.info("%s: %s; the policy gives up after %d retries", self, error, outage.attempt - 1)
                if outage.attempt > 1:
                    error.add_note(f"The reconnect policy gave up after {outage.attempt - 1} retries.")
        if delay is None or outages.over:
            outages.over, outages.ended = True, error
            return error
        self._renew()
        self._dialling = None
        if self._inbox is not None:
            self._inbox.pause_if_full()
        if self._offline is not None:
            self._ask_at(self._offline.next_expiry)
        outages.wait(loop, delay, self._attempt_again)
        logger.info("%s: %s; connecting again in %.1f s", self, error, delay)
        if self._on_reconnecting is not None and self._context is not None:
            event = ReconnectingEvent(self, outage.attempt, delay, error, outage.code, outage.reason)
            deliver(owner, self._context, self._on_reconnecting, event, self._callback_failed)
        return None

    def _tell_soon(self, error: Exception, *, heard: bool) -> None:
        """Tell who awaits `connect`: after the events, so that they find the client closed and may connect it again."""
        action = self._connecting

        def tell() -> None:
            waited = action is not None and not action.done()
            if action is not None and waited:
                action.future.set_exception(error)
            if not heard and not (action is not None and waited and action.awaited):
                logger.error("%s: %s", self, error)

        self._owner.environment.loop.call_soon(tell)

    def _check_open(self) -> None:
        outages = self._outages
        if self._life is Life.CONNECTING and outages is not None and outages.any:
            way = "an offline_queue keeps messages until then"
            if self._offline is not None:
                way = "the offline_queue takes what send is given, and nothing else"
            error = InvalidState(f"the client has an outage, and no connection: wait for the open event; {way}")
            error.origin = id(self)
            raise error
        super()._check_open()

    # -- open again

    def _opened(self, channel: Channel, subprotocol: str | None) -> None:
        super()._opened(channel, subprotocol)
        if self._outages is not None:
            self._outages.opened(self._owner.environment.loop.time())
        if self._offline is not None:
            self._offline.block()
            self._congested = self._offline.blocking  # the engine's short way of `send` would overtake the queue
        if self._inbox is not None or self._congested:
            self._pauses |= START  # what empties the inbox must not let messages come before the callbacks started

    def _open_stage(self) -> Stage:
        again = self._outages is not None and self._outages.count > 1
        return self, "_on_open", partial(OpenEvent, reconnected=again), self._callback_failed

    def _begun(self) -> None:
        self._pauses &= ~START
        super()._begun()
        self._flush()

    # -- messages that wait for a connection

    def _ask_at(self, when: float | None) -> None:
        if when is not None and self._context is not None:
            self._owner.environment.wheel.ask(self, when)

    def _hold(self, opcode: int, payload: bytes, key: str | None, compress: bool) -> Action[None] | None:
        offline = self._offline
        if offline is None or self._life is Life.LOST:
            return super()._hold(opcode, payload, key, compress)
        if self._context is not None:
            self._owner.environment.check_thread("send")
        if self._life is Life.OPEN:
            waits = offline.blocking and not self._in_callback()
        else:
            waits = self._life is Life.CONNECTING or self._lasts
        if not waits:
            return super()._hold(opcode, payload, key, compress)
        return offline.add(self, opcode, payload, key, compress=compress)

    def _in_callback(self) -> bool:
        """Whether one of this client's callbacks sends, before the queue is flushed: what it says comes first."""
        task = asyncio.current_task()
        return bool(self._pauses & START) and (task is None or task in self._owner.tasks)

    def drained(self) -> None:
        """The server has caught up."""
        super().drained()
        self._flush()

    def _flush(self) -> None:
        """Hand on what waits in the offline queue, as far as the server keeps up."""
        offline = self._offline
        if offline is None or not offline.blocking or self._life is not Life.OPEN:
            return
        self._congested = True
        if offline.flush(self):
            super().drained()

    # -- the clock

    def woke(self) -> None:
        """The machine was suspended: see whether the connection still lives, or connect at once."""
        outages, environment = self._outages, self._owner.environment
        if outages is None or outages.over:
            return
        outages.hasten(environment.loop, self._attempt_again)
        if self._life is Life.OPEN and not self._congested and not self._pauses:
            self._pinged_at = now = environment.wheel.clock()
            outages.check = now, now + min(WAKE_TIMEOUT, self.options.ping_timeout or WAKE_TIMEOUT)
            self._ping()
            environment.wheel.ask(self, outages.check[1])

    def due(self, now: float) -> float | None:
        """What the clock asks for."""
        moments = [super().due(now)]
        if self._offline is not None:
            moments.append(self._offline.expire(self, now))
        if self._outages is not None:
            moments.append(self._look_for_life(now, self._outages))
        return min((each for each in moments if each is not None), default=None)

    def _look_for_life(self, now: float, outages: Outages) -> float | None:
        """After the machine was suspended: give the connection up where nothing has come."""
        channel = self._channel
        if outages.check is None or channel is None:
            return None
        since, until = outages.check
        if self._pauses or channel.info().received_at > since:
            outages.check = None
        elif now < until:
            return until
        else:
            outages.check = None
            self._give_up(CloseCode.INTERNAL_ERROR, "nothing came from the server after this machine was suspended")
        return None
