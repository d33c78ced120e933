"""The client: one object from `connect` to `close`, which may then be connected again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Mapping
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self

from .attempt import Attempt, encode_opening
from .codecs import Message
from .constants import CloseCode, Role, State
from .errors import ConnectionClosed, InvalidState, WebSocketError
from .options import ClientOptions
from .reconnect import ReconnectingConnection
from .runtime.actions import DONE, Action, Pending
from .runtime.environment import current_environment
from .runtime.owner import Owner
from .sansio.handshake import Agreement
from .sansio.head import Response
from .sansio.http1 import ParsedHead
from .sansio.receiver import Compression
from .sansio.states import Life, Signal, advance
from .session.calls import TIMEOUT, ClientRequest, get_presence, no_session, publish
from .session.client import ClientSession
from .session.envelopes import PROTOCOL
from .session.subscription import Subscription
from .signatures import takes, with_parameters_of
from .topics.members import Member
from .topics.position import Position
from .transports.base import Channel

logger = logging.getLogger("wsmash")

LAST_CALLBACKS = 1.0
"""Seconds that callbacks have which begin while those before them are cancelled, as those for `close` do."""


class WebSocketClient(ReconnectingConnection):
    """A client of one server. Its parameters are those of `ClientOptions`.

    ```python no-run
    client = wsmash.create_client("wss://example.com/feed")
    client.on("message", lambda event: print(event.data))
    wsmash.run(client)
    ```

    Raises:
        InvalidURL: the address is not a ws:// or wss:// URL.
        ValueError, TypeError: an option is not what it may be.
    """

    __slots__ = ("_answer", "_attempt", "_patient", "_session")

    @takes(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        super().__init__(options)
        self._attempt: Attempt | None = None
        self._patient = False
        self._answer: ParsedHead | None = None
        self._session = ClientSession(self) if PROTOCOL in options.protocols else None
        encode_opening(options, options.address, key="")  # what cannot be sent is the caller's mistake, and raised here

    # -- connecting

    def connect(self) -> Action[None]:
        """Connect to the server. While that is under way, or done, it joins what is there; once closed it dials again.

        Returns:
            An awaitable that ends once the connection is open and the `open`
            callbacks have run to their first `await`, and what waited in an
            `offline_queue` follows what they have sent until then. Cancelling it abandons the attempt, and with
            `reconnect` those that would follow; where the client was open before,
            and it waits for the end of an outage, cancelling ends only that waiting.

        Raises:
            RuntimeError: no event loop is running, or the client belongs to another.
            InvalidState: the connection is closing.

        When awaited it raises `ConnectError`, `OpenTimeout` or `HandshakeError`;
        these also fire `error`, then `close` with 1006. With `reconnect` it does so
        only where connecting again is no use, and until then goes on.
        """
        environment = current_environment("connect()")
        if hasattr(self, "_owner") and self._owner.environment is not environment:
            raise RuntimeError("this client belongs to the event loop of its first connect()")
        if self._context is not None and self._connecting is not None:
            if self._life is Life.OPEN or (self._life is Life.CONNECTING and not self._connecting.done()):
                return self._connecting
            if not self._lasts:
                raise InvalidState("the connection is closing: wait_closed() before you connect again")
            if self._connecting.done():  # it was open before this outage
                self._connecting = Pending(environment.loop.create_future())
            return self._connecting
        self._reset()
        self._answer = None
        self._owner = Owner(environment, self.options, Role.CLIENT, self.counters, patient=self._patient)
        self._context = copy_context()
        self._connecting = Pending(environment.loop.create_future(), on_cancel=self.close)
        self._begin()
        self._attempt_again()
        return self._connecting

    def _attempt_again(self) -> None:
        environment = self._owner.environment
        self._attempt = Attempt(self.options, environment)
        self._dialling = environment.run(self._dial(self._attempt))
        self._dialling.add_done_callback(self._dialled)

    async def _dial(self, attempt: Attempt) -> None:
        """Carry the attempt out; every way that it can fail ends in `_failed`."""
        try:
            await attempt.run(self._accepted)
        except WebSocketError as error:
            self._failed(error)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        """Whoever cancelled the task of the attempt from outside has ended the client: nothing else would go on."""
        if task.cancelled() and task is self._dialling and self._life is Life.CONNECTING:
            self._desert()

    def _accepted(self, channel: Channel, head: ParsedHead, agreement: Agreement, rest: bytes) -> None:
        """The server has said yes."""
        if self._life is not Life.CONNECTING:
            channel.abort()  # and the client, in this very turn, no
            return
        options = self.options
        compression = None
        if agreement.deflate is not None and options.deflate is not None:
            compression = Compression(agreement.deflate, options.deflate)
        self._answer = head
        channel.upgrade(self, Role.CLIENT, self._owner.limits, compression, rest)
        self._opened(channel, agreement.subprotocol)
        if self._session is not None:
            self._session.opened(agreement.subprotocol)
        self._start_callbacks(self._open_stage())
        self._owner.environment.loop.call_soon(self._settle_connect, self._connecting)

    def _settle_connect(self, connecting: Pending[None] | None) -> None:
        if connecting is not None and not connecting.done():
            connecting.future.set_result(None)

    def _failed(self, error: WebSocketError) -> None:
        """The attempt came to nothing: `error`, then `close`, and the exception for who awaits it."""
        self._dialling = None
        ended = self._outlast(error)
        if ended is None:
            return
        heard = self._on_error is not None
        self._fire_error(ended)
        self._owner.environment.loop.call_soon(self.lost, ended)
        self._tell_soon(ended, heard=heard)

    def _abandon(self) -> Action[None]:
        """`close` while connecting: no `error`, and who awaits `connect` gets `ConnectionClosed`."""
        if self._context is None or self._connecting is None or self._life is not Life.CONNECTING:
            return DONE
        self._owner.environment.check_thread("close")
        self._leave()
        waited = self._outages is not None and self._outages.stop()
        if self._dialling is not None:
            self._dialling.cancel()
        elif not waited:
            return Pending(self._wait_for(0))  # it has failed, and its events are on their way
        closing = self._need_closing()
        again = self._outages is not None and self._outages.count
        closing.why = "closed during an outage" if again else "closed before it was open"
        self._discard()
        outcome = self._connecting.future
        if not outcome.done():
            outcome.set_exception(closing.exception())
        done = Pending(self._wait_for(0))
        self._life = advance(self._life, Signal.LOSE)
        self._owner.environment.loop.call_soon(self.lost, None)
        return done

    def abort(self) -> None:
        """Drop the connection, or the attempt, as it is: `close` fires with 1006.

        Raises:
            RuntimeError: called from another thread than the event loop's.
        """
        if self._channel is not None:
            self._owner.environment.check_thread("abort")
            self._last_no_more()
            closing = self._need_closing()
            closing.why = closing.why or "abort() dropped the connection"
            self._channel.abort()
        else:
            self._abandon()

    async def callbacks_done(self) -> None:
        """Wait until no callback is running."""
        while tasks := self._callbacks():
            await asyncio.wait(tasks)

    def _cut(self) -> None:
        """Abort, and cancel the callbacks; also those that begin now, where they have not ended a second later."""
        self.abort()
        known = set(self._callbacks())
        loop = self._owner.environment.loop
        for task in known:
            loop.call_soon(task.cancel)  # not before its first step: Python warns of what never began
        loop.call_later(LAST_CALLBACKS, lambda: [task.cancel() for task in self._callbacks() - known])

    def _callbacks(self) -> set[asyncio.Task[Any]]:
        return self._owner.tasks if hasattr(self, "_owner") else set()

    # -- what is particular to a client

    @property
    def message_type(self) -> Any:
        """What each message's JSON must be; None where nothing was declared."""
        return self.options.message_type

    def get_url(self) -> str:
        """The URL as it was given."""
        return self.options.url

    def get_protocols(self) -> tuple[str, ...]:
        """The subprotocols to offer."""
        return tuple(self.options.protocols)

    @property
    def request(self) -> ClientRequest:
        """The request that opened the connection, false before there is one; called, a request to the server's methods.

        ```python no-run
        total = await client.request("sum", [1, 2], timeout=5)
        ```
        """
        return ClientRequest(None if self._attempt is None else self._attempt.request, self._session)

    @property
    def response(self) -> Response | None:
        """The answer of a server that said yes; None before it came."""
        head = self._answer
        return None if head is None else Response(head.status, headers=head.headers.pairs, reason=head.reason)

    def _shown(self) -> str:
        return self.options.address.redacted

    # -- topics, where the server speaks `wsmash.v1` too

    def subscribe(self, topic: str, *, since: tuple[str, int] | None = None) -> Subscription:
        """Subscribe to a topic, or to all that a pattern stands for; before `connect` too.

        Each connection is asked for it anew, from where the last one came to. A client has one subscription to each
        topic and pattern, with as many callbacks as you like.

        Args:
            topic: segments between dots; in a pattern `*` stands for one, and `>` as the last one for the rest.
            since: the `Position` of the last message that is known; None begins with what is published from now on.

        Raises:
            TypeError, ValueError: that is no topic, or no position.
            InvalidState: the client was made without `protocols="wsmash.v1"`, or is subscribed to it already.
            SlowConsumer: 1024 commands have no answer.
        """
        return self._need_session("subscribe").subscribe(topic, since)

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """Those that are not over, by topic or pattern; the ones among them that the server made by itself."""
        return self._need_session("subscriptions").all()

    def publish(
        self, topic: str, data: Message, *, idempotency_key: str | None = None, timeout: float | None = TIMEOUT
    ) -> Action[Position | None]:
        """Publish a message to all subscribers of a topic.

        One that is unanswered when the connection is lost is sent again on the next one, in order and with its
        key, by which it is added once.

        Args:
            topic: its name.
            data: as `send` takes it.
            idempotency_key: 1 to 128 printable ASCII characters; one is drawn where none is given.
            timeout: seconds for all of that; None is no limit.

        Returns:
            An awaitable of the message's `Position`, or of None where it has none since the broker is away.
            Cancelling it ends only the waiting.

        Raises:
            TypeError, ValueError: an argument is not as above.
            InvalidState: `connect` was not called; or the client was made without `protocols="wsmash.v1"`.
            ConnectionClosed: the client is closing or closed.
            SlowConsumer: 1024 publications and requests have no answer, or 16 MiB of them.

        When awaited it raises `OutcomeUnknown` where it may have been published, and else `RequestTimeout`,
        `BrokerUnavailable`, `RequestError`, `ConnectionClosed`, or `MessageTooBig` where the server takes none
        of this size.
        """
        return publish(self._need_session("publish"), topic, data, idempotency_key, timeout)

    def get_presence(self, topic: str, *, timeout: float | None = TIMEOUT) -> Action[tuple[Member, ...]]:
        """Ask who is on a topic; awaited it raises as a request does, with the code "no_presence" among others."""
        return get_presence(self._need_session("get_presence"), topic, timeout)

    def _need_session(self, action: str) -> ClientSession:
        if self._session is None:
            raise no_session(action)
        return self._session

    def _begin(self) -> None:
        super()._begin()
        if self._session is not None:
            self._session.begin()

    def _release(self, error: Exception | None) -> None:
        super()._release(error)
        if self._session is not None:
            self._session.lost()

    def _discard(self) -> None:
        super()._discard()
        if self._session is not None and not self._lasts:
            self._session.discard()

    def _finish(self) -> None:
        if self._session is not None:
            self._session.ended()
        super()._finish()

    def _fire_close(self) -> None:
        if self._session is None or not self._session.delivering:  # which else comes here again
            super()._fire_close()

    def _pause_for_inbox(self) -> None:
        if self._session is None or self._inbox is None or not self._session.spares(self._inbox):
            super()._pause_for_inbox()

    def drained(self) -> None:
        """The server has caught up."""
        super().drained()
        if self._session is not None:
            self._session.drained()

    # -- as a block

    async def __aenter__(self) -> Self:
        """Connect; messages wait until somebody takes them."""
        self._patient = True
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close with 1000; with 1011 where an exception ends the block; without waiting where it was cancelled."""
        if self._context is None and self.get_state() is State.CONNECTING:
            return
        failed = isinstance(error, Exception) and not isinstance(error, ConnectionClosed)
        closing = self.close(CloseCode.INTERNAL_ERROR if failed else CloseCode.NORMAL)
        if error is None or isinstance(error, Exception):
            await closing


class Connecting(Action[WebSocketClient]):
    """What `connect` returns: it dials when it is awaited or entered, not before."""

    __slots__ = ("_runs", "client")

    def __init__(self, client: WebSocketClient) -> None:
        self._runs = None
        self.client = client
        client._patient = True

    def __await__(self) -> Generator[Any, Any, WebSocketClient]:
        return self.client.__aenter__().__await__()

    async def __aenter__(self) -> WebSocketClient:
        return await self.client.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(kind, error, trace)


@with_parameters_of(WebSocketClient)
def create_client(client: WebSocketClient) -> WebSocketClient:
    """Create a client; it connects when told to. The parameters are those of `ClientOptions`."""
    return client


@with_parameters_of(WebSocketClient)
def connect(client: WebSocketClient) -> Connecting:
    """Connect, pull style: `client = await connect(url)` or `async with connect(url) as client`.

    The parameters are those of `ClientOptions`. Messages wait for `recv`,
    `async for` or a callback; reading pauses when they are too many.
    """
    return Connecting(client)
