"""How a connection ends: closed by either side, failed for a fault, or lost.

The rules are the table in `sansio/states.py`; this file acts on them. Events are
fired from the event loop, never from inside a call of the user's.
"""

from __future__ import annotations

import asyncio
import logging

from ..constants import CloseCode, Opcode, Role
from ..errors import ConnectionClosed, InvalidMessage, InvalidState, SlowConsumer
from ..sansio.closing import Closing, check_close, shortened
from ..sansio.frames import encode_close
from ..sansio.states import Life, Signal, advance
from .actions import DONE, Action, Pending
from .core import Core
from .delivery import deliver
from .events import CloseEvent


class Ending(Core):
    """The part of a connection that sees it out."""

    __slots__ = ()

    # -- closing

    def _close(self, code: int, reason: str) -> Action[None]:
        """See `close`."""
        check_close(code, reason)
        if self._life is Life.CONNECTING:
            return self._abandon()
        if self._life is Life.LOST:
            self._leave()  # a client's policy may be deciding on this very loss
            return DONE
        self._owner.environment.check_thread("close")
        self._leave()
        if self._life is Life.OPEN:
            if self._outbox is not None:
                self._outbox.flush()
            self._send_close(code, reason, Signal.SEND_CLOSE)
            self._need_closing().why = "the peer did not answer the close frame"
            self._discard()
        return Pending(self._wait_for(0))

    def _abandon(self) -> Action[None]:
        """`close` before the connection is open; a client gives up its attempt."""
        return DONE

    def _leave(self) -> None:
        """The user closes: a client does not connect again."""

    def _receive_close(self, code: int, reason: str) -> None:
        closing = self._need_closing()
        closing.by_peer = self._life is Life.OPEN
        closing.received = code, reason
        self._life = advance(self._life, Signal.RECEIVE_CLOSE)
        if self._life is Life.CLOSE_RECEIVED:
            self._send_close(None if code == CloseCode.NO_STATUS else code, reason, Signal.SEND_CLOSE)
        if self._channel is not None:
            self._channel.close()

    def _fail(self, code: int, reason: str, error: Exception | None, *, logged: bool = False) -> bool:
        """Fail the connection (RFC 6455 7.1.7): say why, stop listening, drain.

        Returns:
            Whether it was there to be failed; who calls this counts it then.
        """
        if self._life in (Life.CONNECTING, Life.FAILED, Life.LOST):
            return False
        closing = self._need_closing()
        closing.why = f"closed with {code}: {reason}"
        if self._life is Life.OPEN:
            self._send_close(code, reason, Signal.FAIL)
        else:
            self._life = advance(self._life, Signal.FAIL)
        self._discard()
        if not logged:
            self._owner.reports.log(logging.INFO, "%s failed: %s", self, closing.why)
        if self._channel is not None:
            self._channel.close()
        if error is not None:
            self._blame(error)
        return True

    def _fail_internally(self, *, logged: bool = False) -> None:
        """Fail it for something of the user's own."""
        if self._fail(CloseCode.INTERNAL_ERROR, "internal error", None, logged=logged):
            self._owner.counters.failed_callback += 1

    def _blame(self, error: Exception) -> None:
        """The connection was failed for this; a client that connects again tells so with that."""
        self._fire_error(error)

    def _desert(self) -> None:
        """The task that takes the messages was cancelled from outside: the connection must not stay open."""
        self._fail_internally()

    def _send_close(self, code: int | None, reason: str, signal: Signal) -> None:
        closing = self._need_closing()
        reason = shortened(reason)
        closing.sent = int(CloseCode.NO_STATUS if code is None else code), reason
        self._life = advance(self._life, signal)
        self._owner.closing(self._me)
        channel = self._channel
        if self._outbox is not None:
            self._outbox.forget()
        if channel is not None:
            channel.send(Opcode.CLOSE, encode_close(code, reason))
            self._pauses = 0
            channel.resume_reading()  # for the peer's close frame, or for its end
        environment = self._owner.environment
        closing.deadline = environment.wheel.clock() + self._owner.options.close_timeout
        environment.wheel.ask(self._me, closing.deadline)

    def _discard(self) -> None:
        """What waits to be delivered is not: this end closed."""
        if self._inbox is not None:
            self._inbox.clear()

    def _need_closing(self) -> Closing:
        if self._closing is None:
            self._closing = Closing()
        return self._closing

    def _wait_for(self, stage: int) -> asyncio.Future[None]:
        """Ends with the socket (0), or after the close event (1)."""
        if self._closed is None:
            loop = self._owner.environment.loop
            self._closed = [loop.create_future(), loop.create_future()]
        return self._closed[stage]

    async def wait_closed(self) -> None:
        """Wait until the connection is closed and its `close` callbacks were called."""
        if self._context is None:
            return  # never begun, or closed and told
        await asyncio.shield(self._wait_for(1))

    def _give_up(self, code: int, why: str) -> None:
        """Fail without waiting for a peer that is not there."""
        self._fail(code, why, None)
        self._need_closing().why = why
        if self._channel is not None:
            self._channel.abort()

    def _drop(self) -> None:
        """Let it go as it is."""
        if self._channel is not None:
            self._channel.abort()

    # -- the end

    def lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        self._release(error)
        self._finish()

    def _release(self, error: Exception | None) -> None:
        """Let go of the transport, and end the waiting for what only it could have brought."""
        closing = self._need_closing()
        if not closing.why:
            closing.why = str(error) if error is not None else "the peer went away without a close frame"
        self._life = advance(self._life, Signal.LOSE)
        owner = self._owner
        owner.environment.wheel.forget(self._me)
        owner.left(self._me)
        if self._outbox is not None:
            self._outbox.end(self._closed_error())
            self._outbox, self._congested = None, False  # it holds the connection: a cycle
        if self._pings is not None:
            self._pings.end(self._closed_error())

    def _finish(self) -> None:
        """Nothing follows but what was received before, and the close event."""
        if self._closed is not None:
            self._settle(0)
        if self._inbox is None or not self._inbox.end():
            self._fire_close()

    def _inbox_emptied(self) -> None:
        """The last message that came before the end was delivered."""
        self._owner.environment.loop.call_soon(self._fire_close)

    def _fire_close(self) -> None:
        context = self._context
        if context is None or self._life is not Life.LOST:
            return  # fired already, and perhaps connected again
        self._context = None
        if self._inbox is not None:
            self._inbox.release()
        closing, waiting = self._need_closing(), self._closed
        if self._on_close is not None:
            event = CloseEvent(self._me, *closing.outcome, closing.sent, closing.received)
            deliver(self._owner, context, self._on_close, event, self._close_callback_failed)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(None)  # of this life: a callback may have connected again

    def _settle(self, stage: int) -> None:
        if self._closed is not None and not self._closed[stage].done():
            self._closed[stage].set_result(None)

    # -- callbacks that fail

    def _callback_failed(self, error: BaseException) -> None:
        """A callback let an exception out."""
        if self._is_own_end(error):
            self._owner.reports.log(logging.DEBUG, "%s: a callback was ended by %r", self, error)
            return
        server = self._owner.role is Role.SERVER
        if isinstance(error, InvalidMessage):
            # On a server it is a stranger's fault, and worth as much as any other that ends a connection.
            self._owner.reports.log(logging.INFO if server else logging.ERROR, "%s: %s", self, error)
        else:
            self._owner.reports.log(logging.ERROR, "%s: a callback failed", self, error=error)
        if isinstance(error, Exception):
            self._fire_error(error)
        if not server:
            return
        if not isinstance(error, InvalidMessage):
            self._fail_internally(logged=True)
        elif self._fail(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "invalid message", None, logged=True):
            self._owner.counters.failed_message += 1

    def _is_own_end(self, error: BaseException) -> bool:
        """Whether the error only says that this connection has ended, or is slow; that of another is a failure."""
        if isinstance(error, ConnectionClosed):
            return error.origin in (None, id(self))
        if isinstance(error, InvalidState):
            return error.origin == id(self)  # a client's outage
        return isinstance(error, SlowConsumer)

    def _close_callback_failed(self, error: BaseException) -> None:
        """As above, for a connection that is gone: there is nothing left to close, and no event may follow."""
        self._owner.reports.log(logging.ERROR, "%s: a close callback failed", self, error=error)
