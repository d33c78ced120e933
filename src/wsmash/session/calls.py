"""What a client asks of its server: to publish, to do something, to say who is on a topic."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from ..codecs import Message, encode_json, is_json_message
from ..errors import InvalidMessage, InvalidState, RequestError
from ..options.checks import check_seconds
from ..runtime.actions import Action, Pending
from ..runtime.connection import encode_message
from ..sansio.head import Request
from ..sansio.headers import Headers
from ..topics.members import Member
from ..topics.names import check_topic
from ..topics.position import Position
from ..topics.record import Kind, Record
from .commands import Call, Command, Publication, Question, new_key
from .envelopes import (
    MAX_DEADLINE,
    MAX_KEY,
    MAX_METHOD,
    PROTOCOL,
    Code,
    Presence,
    Publish,
    check_value,
    content_of,
)
from .envelopes import Request as RequestEnvelope

if TYPE_CHECKING:
    from .client import ClientSession

TIMEOUT = 10.0
"""Seconds that a server has for an answer, where nothing else is said."""

_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")


def publish(
    session: ClientSession, topic: str, data: Message, key: str | None, timeout: float | None
) -> Action[Position | None]:
    """See `WebSocketClient.publish`."""
    check_topic(topic)
    if key is not None and not isinstance(key, str):
        raise TypeError(f"an idempotency key is a str, not {key!r:.75}")
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError(
            f"an idempotency key is 1 to {MAX_KEY} printable ASCII characters without spaces, and not {key!r:.75}"
        )
    check_seconds("timeout", timeout, optional=True)
    content = content_of(_record(data))
    refused = session.check_ready("publish")
    if refused is not None:
        return refused
    key = key or new_key()
    envelope = Publish(id=session.commands.next_id(), topic=topic, key=key, **content)
    outcome = _outcome(session)
    _give(session, Publication(envelope, outcome, key), timeout)
    return Pending(outcome)


def request(session: ClientSession, method: str, data: object, timeout: float | None) -> Action[Any]:
    """See `WebSocketClient.request`."""
    if not isinstance(method, str):
        raise TypeError(f"the name of a method is a str, not {method!r:.75}")
    if not 0 < len(method) <= MAX_METHOD:
        raise ValueError(f"the name of a method has 1 to {MAX_METHOD} characters, and this one has {len(method)}")
    check_seconds("timeout", timeout, optional=True)
    content = {} if data is None else content_of(_record(data, any_json=True))
    refused = session.check_ready("request")
    if refused is not None:
        return refused
    deadline = None if timeout is None or timeout > MAX_DEADLINE else float(timeout)
    envelope = RequestEnvelope(id=session.commands.next_id(), method=method, timeout=deadline, **content)
    outcome = _outcome(session)
    call = Call(envelope, outcome)
    _give(session, call, timeout)
    return Pending(outcome, on_cancel=partial(_cancelled, session, call))


def get_presence(session: ClientSession, topic: str, timeout: float | None) -> Action[tuple[Member, ...]]:
    """See `WebSocketClient.get_presence`."""
    check_topic(topic)
    check_seconds("timeout", timeout, optional=True)
    refused = session.check_ready("get_presence")
    if refused is not None:
        return refused
    outcome = _outcome(session)
    _give(session, Question(Presence(session.commands.next_id(), topic), outcome), timeout)
    return Pending(outcome)


def _outcome(session: ClientSession) -> asyncio.Future[Any]:
    return session.client._owner.environment.loop.create_future()


def _give(session: ClientSession, command: Command, timeout: float | None) -> None:
    session.commands.check_room(len(command.payload))
    command.expire_in(timeout, session.expire)
    session.ask(command)


def _cancelled(session: ClientSession, call: Call) -> None:
    session.give_up(call)
    call.fail(RequestError(Code.CANCELLED, "nobody waits for the answer any more"))


def _record(data: object, *, any_json: bool = False) -> Record:
    """What `publish` takes, or `request`, which takes any JSON value.

    Raises:
        TypeError, ValueError: it is no such thing.
    """
    if is_json_message(data) or (any_json and isinstance(data, (bool, int, float, tuple))):
        record = Record(Kind.JSON, encode_json(data).encode())
        try:
            check_value(record.payload)
        except InvalidMessage as error:
            raise ValueError(str(error)) from None
        return record
    opcode, payload = encode_message(data)
    return Record(Kind.TEXT if opcode == 1 else Kind.BINARY, bytes(payload))


class ClientRequest(Request):
    """The request that opened a client's connection; called, it makes one of the server's methods.

    ```python no-run
    client.request.headers["Host"]                      # what was sent to open the connection
    total = await client.request("sum", [1, 2])         # what the server's method says
    ```

    It is false as long as nothing was sent.
    """

    __slots__ = ("_session",)

    _session: ClientSession | None

    def __init__(self, sent: Request | None, session: ClientSession | None) -> None:
        if sent is None:
            super().__init__(b"")
        else:
            super().__init__(sent.head, secure=sent.secure, remote_address=sent.remote_address)
        object.__setattr__(self, "_session", session)

    def __call__(self, method: str, data: object = None, *, timeout: float | None = TIMEOUT) -> Action[Any]:
        """Call a method of the server, as `@server.method(name)` has named it.

        It is not repeated after an outage, since it may have been done.

        Args:
            method: its name.
            data: a str or a buffer as they are, or any JSON value; None is nothing.
            timeout: seconds until it is given up here and by the server; None is no limit.

        Returns:
            An awaitable of the answer: a JSON value, a str or bytes. Cancelling it cancels the method.

        Raises:
            TypeError, ValueError: an argument is not as above.
            InvalidState: `connect` was not called; or the client was made without `protocols="wsmash.v1"`.
            ConnectionClosed: the client is closing or closed.
            SlowConsumer: 1024 publications and requests have no answer.

        When awaited it raises `RequestError` with the code of the method or of docs/protocol.md, `RequestTimeout`,
        or `ConnectionClosed` where the connection is lost before the answer.
        """
        if self._session is None:
            raise no_session("request")
        return request(self._session, method, data, timeout)

    def __bool__(self) -> bool:
        return bool(self.head)

    @property
    def headers(self) -> Headers:
        """The headers, by name in any case."""
        self._check_sent()
        return super().headers

    @property
    def _line(self) -> tuple[str, str, str]:
        self._check_sent()
        return super()._line

    def _check_sent(self) -> None:
        if not self.head:
            raise InvalidState("no request was sent yet: await connect() first")

    def __repr__(self) -> str:
        return super().__repr__() if self.head else "<ClientRequest, not sent yet>"


def no_session(action: str) -> InvalidState:
    """What is raised where the client does not speak the sub-protocol."""
    return InvalidState(f'{action} speaks {PROTOCOL} with the server: make the client with protocols="{PROTOCOL}"')
