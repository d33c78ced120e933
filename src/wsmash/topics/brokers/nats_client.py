"""nats-py's client, made to be one connection: what it does not do by itself is done here.

It is the only file that imports nats-py, and that uses what there is of it below its
documented methods; `tests/topics/brokers/test_nats*.py` notice where that changes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

import nats.aio.client
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ...errors import BrokerError, BrokerUnavailable
from .nats_url import Account, Address

__all__ = ["Client", "ClientError", "Message", "Sink", "Subscription", "check_age", "explain", "shown", "version_of"]

Message = Msg
"""A message: its `subject`, `data` and `headers` (or None)."""

ClientError = nats.errors.Error
"""The root of what nats-py raises."""

OLDEST: Final = (2, 10)
"""The oldest server whose streams say what they are: metadata, and the time of an answer."""


class Sink(asyncio.Future[Msg]):
    """A future that is never done: nats-py gives each message of a subscription to it where it reads them.

    So there is no queue and no task for each subscription, all are called in the
    order of arrival, and a node that is slow is so to the server, which says so by
    ending the connection (case 111): no message is dropped in silence.
    """

    def __init__(self, callback: Callable[[Msg], None]) -> None:
        super().__init__()
        self._callback = callback

    def set_result(self, result: Msg) -> None:
        try:
            self._callback(result)
        except Exception as error:  # it would end nats-py's reading
            self.get_loop().call_exception_handler({"message": "a message from NATS", "exception": error})


class Client(nats.aio.client.Client):
    """nats-py's client, for one connection: see this file's first lines."""

    def __init__(self, secure: bool, garbled: Callable[[], None]) -> None:
        super().__init__()
        self._secure = secure
        self._garbled = garbled
        self._ended: Callable[[], None] | None = None
        self.errors: Callable[[Exception], Any] | None = None

    @property
    def info(self) -> dict[str, Any]:
        """The server's INFO."""
        return self._server_info

    async def dial(self, address: Address, account: Account, limit: float) -> None:
        """Connect to one server."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        await self.connect(
            f"nats://{host}:{address.port}",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=cast(int, limit),
            error_cb=self._on_error,
            # Nothing is kept for a later connection, and sending never waits.
            pending_size=0,
            flusher_queue_size=0,
            ping_interval=3600,
            name="wsmash",
            user=account.user,
            password=account.password,
            token=account.token,
            tls=cast(ssl.SSLContext, account.tls),
            tls_hostname=cast(str, address.host if self._secure else None),
            user_credentials=account.credentials,
        )

    async def _on_error(self, error: Exception) -> None:
        if self.errors is None:
            raise error  # while it connects, which nats-py would try again
        await self.errors(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # By itself it speaks TLS where the server wants it, and plainly where somebody has cut that out.
        if initial_connection and self._secure and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, *args: Any) -> None:
        try:
            await super()._process_msg(*args)
        except Exception:  # a subject or headers that are no text, at which it would stop to read (case 107)
            self._garbled()

    def watch(self, ended: Callable[[], None]) -> None:
        """Have a call when nothing more is read, whatever the reason."""
        self._ended = ended
        if self._reading_task is not None:
            self._reading_task.add_done_callback(self._on_end)

    def _on_end(self, _: asyncio.Task[None]) -> None:
        if self._ended is not None:
            self._ended()

    def abort(self) -> None:
        """Drop the socket, with what is yet to be sent: closing it would wait for a server that does not read."""
        self._pending.clear()
        self._pending_data_size = 0
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        for task in (self._reading_task, self._flusher_task, self._ping_interval_task):
            if task is not None:
                task.cancel()
        self._status = nats.aio.client.Client.CLOSED

    async def wait_closed(self) -> None:
        """Wait for its tasks, and for its socket."""
        tasks = [t for t in (self._reading_task, self._flusher_task, self._ping_interval_task) if t is not None]
        await asyncio.wait(tasks, timeout=1) if tasks else None


def version_of(server: dict[str, Any]) -> tuple[int, ...]:
    """The major and the minor number of a server, by its INFO."""
    parts = str(server.get("version", "")).split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def check_age(server: dict[str, Any]) -> None:
    """Refuse a server that is too old, or does not do what topics need.

    Raises:
        BrokerError: with what is wrong.
    """
    if version_of(server) < OLDEST:
        raise BrokerError(f"NATS is {shown(server.get('version'))}: topics need 2.10 or later")
    if not server.get("headers"):
        raise BrokerError("NATS has headers turned off (no_header_support): topics need them")


def explain(error: Exception, address: Address) -> Exception:
    """What a user is told; never with credentials."""
    at = f"NATS at {address.host}:{address.port}"
    text = str(error)
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, ssl.SSLError):
        return BrokerError(f"{at} was not trusted: {shown(text)}")
    if isinstance(error, nats.errors.AuthorizationError) or "auth" in text.lower():
        return BrokerError(f"{at} refuses the credentials of its URL: {shown(text)}")
    if isinstance(error, nats.errors.SecureConnWantedError):
        return BrokerError(f"{at} does not speak TLS, which tls:// asks for")
    if isinstance(error, TimeoutError):
        return BrokerUnavailable(f"{at} has not answered in time")
    if isinstance(error, (ImportError, FileNotFoundError)):
        return BrokerError(f"{at}: {text}")
    if isinstance(error, OSError):
        return BrokerUnavailable(f"{at} is not there: {text or type(error).__name__}")
    return BrokerUnavailable(f"{at} does not speak as NATS does: {shown(text or type(error).__name__)}")


def shown(text: object) -> str:
    """What a server said, escaped and cut: it may be anybody's."""
    return repr(str(text)[:300])
