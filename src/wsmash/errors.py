"""Every error that the package raises, under one root.

The caller's mistakes are the builtin TypeError, ValueError and RuntimeError, or
an error below that is also one of them. What the network or the peer does is
always a WebSocketError, with the foreign exception chained as its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .constants import SECRET_HEADERS

ClosePair = tuple[int, str]
"""The code and the reason of one close frame."""


class WebSocketError(Exception):
    """The root of all errors of this package."""


class InvalidURL(WebSocketError, ValueError):
    """The text is not a WebSocket URL (RFC 6455 3)."""


class ConnectError(WebSocketError, OSError):
    """The server could not be reached: name lookup, refusal, TLS.

    Attributes:
        errno: the system's number, or None where there is none.
        causes: one exception for each address that was tried, in order.
        permanent: whether it is known that trying again would meet the same: the client, or the environment,
            has to be set up otherwise.
    """

    def __init__(
        self,
        message: str,
        *,
        errno: int | None = None,
        causes: Sequence[BaseException] = (),
        permanent: bool = False,
    ) -> None:
        super().__init__(message)
        self.errno = errno
        self.causes = tuple(causes)
        self.permanent = permanent


class ProxyError(ConnectError):
    """The proxy was not reached, or did not connect to the server.

    Attributes:
        status: the HTTP status of its answer, or None where it gave none: 407 where it wants credentials.
        headers: the headers of that answer, by name in any case.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        errno: int | None = None,
        causes: Sequence[BaseException] = (),
        permanent: bool = False,
    ) -> None:
        super().__init__(message, errno=errno, causes=causes, permanent=permanent)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers


class OpenTimeout(WebSocketError, TimeoutError):
    """The connection was not open within `open_timeout` seconds, or for a queued message within `max_age`."""


class HandshakeError(WebSocketError):
    """The server answered, but not with a valid 101 (RFC 6455 4.1).

    Attributes:
        status: the HTTP status of the answer, or None where no answer could be read.
        headers: the headers of the answer, by name in any case.
        body: the first bytes of the answer's body.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.body = body

    def __reduce__(self) -> tuple[type[HandshakeError], tuple[str], dict[str, object]]:
        """A pickle, which may end in a log or a queue, holds no cookie that the server has set."""
        shown = {name: "***" if name.lower() in SECRET_HEADERS else value for name, value in self.headers.items()}
        return type(self), (str(self),), {**self.__dict__, "headers": shown}


class InvalidState(WebSocketError, RuntimeError):
    """The call makes no sense in the state the connection is in."""

    origin: int | None = None  # the id() of the client, where that is in an outage: its own callbacks may let it out


class ConnectionClosed(WebSocketError):
    """The connection is closing or closed.

    Attributes:
        code: of the close frame received; 1005 if it held none, 1006 if no frame came.
        reason: of the close frame received; with 1006, this package's own account.
        sent, received: the close frames as `(code, reason)`, or None.
        was_clean: whether both frames passed.
    """

    origin: int | None = None  # the id() of the connection: a callback may let out the error of another one

    def __init__(
        self, code: int, reason: str, *, sent: ClosePair | None = None, received: ClosePair | None = None
    ) -> None:
        # The reason is the peer's: escaped, so that it cannot forge a line of a log.
        super().__init__(f"connection closed: {code}{f' ({reason!r})' if reason else ''}")
        self.code = code
        self.reason = reason
        self.sent = sent
        self.received = received

    @property
    def was_clean(self) -> bool:
        """Whether a close frame was both sent and received (RFC 6455 7.1.4)."""
        return self.sent is not None and self.received is not None


class ProtocolError(WebSocketError):
    """The peer broke RFC 6455 or RFC 7692.

    Attributes:
        code: the close code it was answered with.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class MessageTooBig(WebSocketError):
    """The peer sent a message above a limit of `max_message_size` or `max_fragments`.

    Attributes:
        code: the close code it was answered with.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class InvalidMessage(WebSocketError, ValueError):
    """The message is not JSON, or not of the type that was asked for."""


class SlowConsumer(WebSocketError):
    """The peer reads more slowly than is sent to it, and `max_write_buffer`, or a client's offline queue, is full."""


class BrokerError(WebSocketError):
    """What carries topics from node to node, Redis or NATS, does not do what it was asked to."""


class BrokerUnavailable(BrokerError):
    """The broker is away; what was asked of it has certainly not been done."""


class OutcomeUnknown(BrokerError, TimeoutError):
    """A message may have been published, or not: no answer came.

    Publishing it again with the same idempotency key is safe: it is added once.

    Attributes:
        key: the idempotency key that it was published with, or None.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class RequestError(WebSocketError):
    """The peer has answered a request, a subscription or a publication with an error.

    Attributes:
        code: what kind of error: one of those of `docs/protocol.md`, or an application's own.
        message: its text.
    """

    def __init__(self, code: str, message: str = "") -> None:
        # Both are the peer's: escaped, so that they cannot forge a line of a log.
        super().__init__(f"{code!r:.75}: {message!r:.300}" if message else f"{code!r:.75}")
        self.code = code
        self.message = message


class RequestTimeout(WebSocketError, TimeoutError):
    """No answer came within the time that was given for it."""


class LoadError(WebSocketError, ImportError):
    """There is no server to be had by the text `"module:name"` that was given."""


class WorkerError(WebSocketError, RuntimeError):
    """Several processes cannot serve, or have not ended as they were asked to; the text says which one, and why."""
