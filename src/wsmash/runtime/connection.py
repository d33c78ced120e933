"""A WebSocket connection as its user sees it; how it lives is in `lifecycle.py`, how it ends in `ending.py`.

`WebSocketConnection` is the base of `WebSocketClient` and of what a server hands
out. An idle one owns as little as it can: whatever only some connections need (an
inbox, an outbox, pings, the account of a closing) is made when it is needed.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Literal, overload

from .. import codecs
from ..codecs import Message
from ..errors import ConnectionClosed, InvalidState
from ..sansio.head import Request, Response
from ..sansio.states import Life
from ..transports import native
from ..transports.base import REFUSED, named
from .actions import DONE, Action, Pending
from .core import Core
from .delivery import cancelled
from .emitter import DECORATES, C, Callback, Decorates, must_run
from .events import CloseEvent, ErrorEvent, MessageEvent, OpenEvent
from .inbox import Inbox
from .lifecycle import Lifecycle
from .outbox import Pieces, refused, send_fragments

Event = Literal["open", "message", "close", "error"]


class WebSocketConnection(Lifecycle, ABC):
    """One connection. Every action acts at the call, and what it returns may be awaited or left alone.

    Connections are compared by identity and may be kept in sets and dicts.
    """

    __slots__ = ()

    EVENTS: ClassVar[tuple[str, ...]] = ("open", "message", "close", "error")

    # -- callbacks

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
    def on(self, event: Event, callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, at each event; also a decorator.

        Args:
            event: "open", "message", "close" or "error".
            callback: takes the event. The same one added twice runs twice.

        Returns:
            The callback.

        Raises:
            ValueError: there is no such event.
            TypeError: the callback cannot be called.
            RuntimeError: for "message", where `recv` is in use.
        """
        return self._add_callback(event, callback)

    def off(self, event: str, callback: Callback) -> None:
        """Remove one callback that equals the one given; one that is not there is ignored.

        Raises:
            ValueError: there is no such event.
        """
        super().off(event, callback)
        if self._inbox is not None and self._inbox.unwanted and not self._opening:
            self._resume_after_inbox()  # nobody listens: the pause that waits for a listener would be for ever

    def _store(self, slot: str, callback: Callback) -> None:
        inbox = self._inbox if slot == "_on_message" else None
        if inbox is not None and inbox.pulled:
            raise RuntimeError("messages of this connection are taken by recv: it cannot have a message callback too")
        if inbox is not None:
            self._owner.environment.check_thread("on")
        super()._store(slot, callback)
        if inbox is not None:
            inbox.start()  # what waited for a callback is delivered

    # -- sending

    @native.shortened
    def send(
        self, data: Message, *, key: str | None = None, compress: bool = True
    ) -> Action[None]:
        """Send a message: a str as text, a buffer as binary, a dict, list, dataclass or Struct as JSON in text.

        Args:
            data: the message. A buffer may be changed as soon as this returns.
            key: under the policy "conflate", which messages this one may replace.
            compress: False for what must not be compressed beside data that an
                attacker chooses (the CRIME and BREACH attacks).

        Returns:
            An awaitable that ends when the peer keeps up.

        Raises:
            TypeError: this is no message, where `send_json` takes any JSON value; or the key is no str.
            ValueError: a lone surrogate, or a NaN or infinity in JSON.
            InvalidState: the connection is not open yet, or a client has an outage, and there is no `offline_queue`.
            ConnectionClosed: it is open no more.
            SlowConsumer: the write buffer is full, and the policy is "close" or "raise"; or
                the offline queue is full.
        """
        opcode, payload = encode_message(data)
        if key is not None and not isinstance(key, str):
            raise TypeError(f"the key of a message is a str, not {key!r:.75}")
        if self._life is not Life.OPEN or self._congested:
            held = self._hold(opcode, payload, key, compress)
            if held is not None:
                return held
        self._owner.environment.check_thread("send")
        if self._congested and key is not None and self._owner.options.slow_consumer == "conflate":
            if self._need_outbox().conflate(key, opcode, bytes(payload)):
                return self._need_outbox().room()
            refused(self)
        waiting = self._put(opcode, payload, compress=compress)
        if waiting == REFUSED:
            refused(self)
            return DONE
        return self._need_outbox().room() if self._congested else DONE

    def _hold(self, opcode: int, payload: bytes, key: str | None, compress: bool) -> Action[None] | None:
        """What cannot be sent at once: None where it can, after all; a client may have a queue for it."""
        self._check_open()
        return None

    def _sent_above_high_water(self) -> Action[None]:
        """What the engine's short way of `send` comes back with, where the peer does not keep up."""
        self._congest()
        return self._need_outbox().room()

    def send_json(
        self, value: object, *, key: str | None = None, compress: bool = True
    ) -> Action[None]:
        """Send any JSON value as a text message; otherwise as `send`."""
        return self.send(codecs.encode_json(value), key=key, compress=compress)

    def send_fragments(self, pieces: Pieces) -> Action[None]:
        """Send one message in fragments (RFC 6455 5.4), one for each str, or each bytes, of an iterable.

        Other messages wait until it is sent; control frames do not. If the
        iterable raises, mixes types or the awaiting is cancelled, the connection
        is closed with 1011.
        """
        self._check_open()
        self._owner.environment.check_thread("send_fragments")
        return send_fragments(self, pieces)

    def ping(self, data: str | bytes | bytearray | memoryview = b"") -> Action[float]:
        """Send a ping; awaiting what is returned gives the seconds of its round trip.

        Args:
            data: at most 125 bytes. Where it is empty, eight random bytes stand
                for it, so that its pong can be told from others.

        Raises:
            ValueError: the data is too long.
            InvalidState: the connection is not open yet, or 1024 pings of yours are
                unanswered. One that is given up, as by a timeout, still counts.
            ConnectionClosed: as `send`.
        """
        payload = _utf8(data) if isinstance(data, str) else bytes(memoryview(data))
        if len(payload) > 125:
            raise ValueError(f"a ping has at most 125 bytes (RFC 6455 5.5), and this one has {len(payload)}")
        self._check_open()
        environment = self._owner.environment
        environment.check_thread("ping")
        answered = environment.loop.create_future()
        self._ping(payload, answered)
        return Pending(answered)

    def close(self, code: int = 1000, reason: str = "") -> Action[None]:
        """Close the connection (RFC 6455 7.1.2). Again, or before `connect`, it does nothing.

        Args:
            code: 1000-1003, 1007-1014 or 3000-4999.
            reason: at most 123 bytes of UTF-8.

        Returns:
            An awaitable that ends when the socket is closed.

        Raises:
            TypeError, ValueError: the code or the reason is not as above.
        """
        return self._close(code, reason)

    # -- receiving, pull style

    async def recv(self) -> str | bytes:
        """The next message. Cancelling it loses nothing.

        Raises:
            ConnectionClosed: no more will come.
            RuntimeError: another `recv` is waiting, or there is a message callback.
        """
        return await self._next_of(self._pull())

    async def _next_of(self, inbox: Inbox) -> str | bytes:
        while True:
            data = await inbox.get()
            if data is None:
                raise self._closed_error(inbox.closing)
            if self.message_type is None or self._event_of(data) is not None:
                return data

    def _pull(self) -> Inbox:
        if self._on_message is not None or (self._inbox is not None and self._inbox.delivers):
            raise RuntimeError("this connection has a message callback: its messages cannot be taken by recv too")
        if self._inbox is None:
            if self._life is Life.CONNECTING and not self._lasts:
                raise InvalidState("recv needs an open connection: await connect() first")
            if self._life is Life.LOST:
                raise self._closed_error()
            self._inbox = Inbox(self)
        if self._inbox.has_reader:
            raise RuntimeError("another recv is waiting on this connection: only one may")
        self._inbox.pull()
        return self._inbox

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages, until the connection is closed with 1000 or 1001; any other end raises `ConnectionClosed`."""
        return self

    @native.shortened
    async def __anext__(self, inbox: Inbox | None = None) -> str | bytes:
        try:
            # The engine's short way comes here with the inbox that it has waited at.
            return await self._next_of(self._pull() if inbox is None else inbox)
        except ConnectionClosed as error:
            if error.code in (1000, 1001):
                raise StopAsyncIteration from None
            raise

    # -- what there is to know

    @abstractmethod
    def get_url(self) -> str:
        """The URL: the one given to a client, the one requested of a server."""

    @abstractmethod
    def get_protocols(self) -> tuple[str, ...]:
        """The subprotocols that the client offered."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on, None if none was."""
        return self._subprotocol

    @property
    @abstractmethod
    def request(self) -> Request | None:
        """The opening request; None before there is one."""

    @property
    @abstractmethod
    def response(self) -> Response | None:
        """The answer to the opening request; None before there is one."""

    @property
    def remote_address(self) -> tuple[str, int] | str | None:
        """The peer's host and port, the path of a Unix socket, or None where there is none."""
        return None if self._channel is None else named(self._channel.info().remote_address)

    @property
    def local_address(self) -> tuple[str, int] | str | None:
        """Our own address, in the same form; None once the connection is closed."""
        return None if self._channel is None else named(self._channel.info().local_address)

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip of a ping; None before the first."""
        return self._latency

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits of randomness: the connection's name in logs."""
        if self._id is None:
            self._id = secrets.token_hex(8)
        return self._id

    @property
    def state(self) -> dict[Any, Any]:
        """The user's own data; nothing of it is looked at."""
        if self._state is None:
            self._state = {}
        return self._state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.get_state().name} {self._shown()}>"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text cannot hold a lone surrogate: {text[error.start : error.end]!r} at {error.start}"
        ) from None


def encode_message(data: object) -> tuple[int, bytes]:
    """The opcode and the payload of what `send` takes.

    Raises:
        TypeError: it is no message.
        ValueError: a lone surrogate, or a NaN or infinity in JSON.
    """
    if type(data) is bytes:
        return 2, data
    if isinstance(data, str):
        return 1, _utf8(data)
    if codecs.is_json_message(data):
        return 1, codecs.encode_json(data).encode()
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"a message is a str, a buffer of bytes, a dict, a list, a dataclass or a Struct, not "
            f"{type(data).__name__}; another JSON value is sent by send_json(value), and published in a dict or a list"
        ) from None
    if not view.c_contiguous:
        raise TypeError("a buffer must be C-contiguous to be sent: copy it first")
    return 2, view.tobytes()


native.take_shortcuts(
    connection=Core,
    event=MessageEvent,
    inbox=Inbox,
    open=Life.OPEN,
    done=DONE,
    must_run=must_run,
    cancelled=cancelled,
    is_plain=lambda connection: connection._owner.options.message_type is None,
)
