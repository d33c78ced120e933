"""One connection to a NATS server, by way of nats-py: requests, subscriptions, and how its end is found.

nats-py would connect again by itself, and then send what was published meanwhile:
what was said to be unavailable would be stored after all. So a connection here is
one connection: it ends once, whoever waits for an answer is told so, and the broker
makes another (case 108). That nobody answers is found by pings (case 110).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from ...errors import BrokerError, BrokerUnavailable
from ...runtime.actions import retrieve
from .base import TIMEOUT
from .nats_client import Client, ClientError, Message, Sink, Subscription, check_age, explain, shown, version_of
from .nats_url import Account, Address

PING_INTERVAL: Final = 2.0
"""Seconds between two pings; a server is away when one has no answer in what is left of `TIMEOUT`."""

_NO_RESPONDERS: Final = "503"
_STALL = 0.25  # seconds that an answer may lie unread, after the loop itself has stood still
_PERMISSION = "permissions violation"


class Unanswered(Exception):
    """No answer came, and none will be taken."""


class Forbidden(BrokerError):
    """The server does not let this account do that."""


def is_refused(answer: Message) -> bool:
    """Whether nobody was there to take the request: it was certainly not done."""
    return bool(answer.headers) and not answer.data and cast(Any, answer.headers).get("Status") == _NO_RESPONDERS


class Connection:
    """An open connection.

    Attributes:
        server: what the server said of itself: its `INFO`.
        gone: done when the connection has ended; its result is why.
    """

    def __init__(self, client: Client) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._pending: dict[str, _Pending] = {}
        self._deadlines: deque[tuple[float, str]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._counter = 0
        self._inbox = client.new_inbox()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._forbidden: list[str] = []
        self.server = client.info
        self.gone: asyncio.Future[Exception] = self._loop.create_future()

    @classmethod
    async def open(
        cls, address: Address, account: Account, limit: float, garbled: Callable[[], None] = lambda: None
    ) -> Connection:
        """Connect to one server, within `limit` seconds; have a call for each message that is none.

        Raises:
            BrokerUnavailable: it is not there.
            BrokerError: it is, and cannot be used: the credentials, TLS, its age.
        """
        client = Client(address.secure, garbled)
        try:
            async with asyncio.timeout(limit):
                await client.dial(address, account, limit)
            check_age(client.info)
            connection = cls(client)
            client.errors = connection._erred
            client.watch(connection._ended)
            await connection.subscribe(f"{connection._inbox}.*", connection._answered)
            connection._spawn(connection._keep_asking())
        except BaseException as error:
            client.abort()
            if not isinstance(error, Exception):
                raise
            raise explain(error, address) from error
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return not self.gone.done()

    @property
    def max_payload(self) -> int:
        """Bytes of a message, its headers among them."""
        return int(self.server.get("max_payload", 1 << 20))

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of a cluster."""
        return "cluster" in self.server

    @property
    def version(self) -> tuple[int, ...]:
        """The server's: major and minor number."""
        return version_of(self.server)

    # -- to send

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Send a message; nobody says whether it arrived. This never waits, so that the order of calls is kept.

        Raises:
            BrokerUnavailable: the connection has ended.
        """
        try:
            await self._client.publish(subject, data, reply, headers)
        except ClientError as error:
            raise BrokerUnavailable(f"the connection to NATS has ended: {error}") from error

    async def send(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> asyncio.Future[Message]:
        """Send a request; its answer is yet to come, or `Unanswered`.

        Raises:
            BrokerUnavailable: the connection has ended, and the request was not sent.
        """
        pending = await self._request(subject, data, headers, _Pending(subject, self._loop.create_future()))
        return cast("asyncio.Future[Message]", pending)

    async def ask(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> Message:
        """The answer to a request.

        Raises:
            BrokerUnavailable: it has none.
        """
        return await self.answer(await self.send(subject, data, headers))

    async def answer(self, asked: asyncio.Future[Message]) -> Message:
        """The answer to what was sent.

        Raises:
            BrokerUnavailable: it has none.
        """
        return cast(Message, await self._waited(asked))

    async def ask_many(self, subject: str, data: bytes) -> list[Message]:
        """The answers to a request for several: the last one is a status, and without data.

        Raises:
            BrokerUnavailable: they are not all there in time.
        """
        answers: list[Message] = []
        pending = _Pending(subject, self._loop.create_future(), answers)
        await self._waited(await self._request(subject, data, None, pending))
        return answers

    async def ping(self, limit: float = TIMEOUT) -> float:
        """Seconds of a round trip; all that was sent before has been seen by the server then.

        Raises:
            BrokerUnavailable: there is no answer; the connection has ended, unless other things came meanwhile.
        """
        started = self._loop.time()
        # nats-py stops to read when a PONG finds nobody: who asked is cancelled with the connection only.
        asking = self._spawn(self._client.rtt(timeout=3600))
        asking.add_done_callback(retrieve)  # also where whoever asks is cancelled
        read = self._client.stats["in_bytes"]
        for wait in (limit, _STALL):
            await asyncio.wait({asking}, timeout=wait)
        if not asking.done() and self._client.stats["in_bytes"] == read:
            self.fail(TimeoutError(f"no answer to a ping in {limit:g} s"))
        if not asking.done() or asking.cancelled() or asking.exception() is not None:
            raise BrokerUnavailable("NATS does not answer")
        return self._loop.time() - started

    # -- to receive

    async def subscribe(self, subject: str, callback: Callable[[Message], None]) -> Subscription:
        """Have a callback for each message of a subject; from when a `ping` has come back."""
        try:
            return await self._client.subscribe(subject, future=Sink(callback))
        except ClientError as error:
            raise BrokerUnavailable(f"the connection to NATS has ended: {error}") from error

    def unsubscribe(self, subscription: Subscription) -> None:
        """Have no more of them, perhaps not at once."""
        if self.is_open:
            self._spawn(_quietly(subscription.unsubscribe()))

    def check_allowed(self) -> None:
        """Say what the server has forbidden since the last time; it does so by a `ping`'s return.

        Raises:
            Forbidden: with the server's words.
        """
        if self._forbidden:
            text = self._forbidden.pop()
            self._forbidden.clear()
            raise Forbidden(f"NATS does not allow this account what it needs: {text}; see docs/brokers.md")

    # -- its end

    def fail(self, error: Exception) -> None:
        """End it: at once, and without another byte."""
        if self.gone.done():
            return
        self.gone.set_result(error)
        self._client.abort()
        for task in self._tasks:
            task.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.fail(Unanswered(f"the connection to NATS has ended: {error}"))

    async def close(self) -> None:
        """End it, when what was sent has left."""
        if self.is_open:
            with suppress(BrokerError):
                await self.ping(TIMEOUT / 2)
            self.fail(ConnectionAbortedError("closed"))
        await self._client.wait_closed()

    def _ended(self) -> None:
        self.fail(self._client.last_error or ConnectionResetError("NATS has closed it"))

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            with suppress(BrokerUnavailable):
                await self.ping(TIMEOUT - PING_INTERVAL)

    # -- answers

    async def _request(
        self, subject: str, data: bytes, headers: dict[str, str] | None, pending: _Pending
    ) -> asyncio.Future[Any]:
        self._counter += 1
        token = f"{self._counter:x}"
        self._pending[token] = pending
        self._deadlines.append((self._loop.time() + TIMEOUT, token))
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(TIMEOUT, self._sweep)
        try:
            await self.publish(subject, data, f"{self._inbox}.{token}", headers)
        except BrokerUnavailable:
            self._pending.pop(token, None)
            raise
        return pending.future

    async def _waited(self, answer: asyncio.Future[Any]) -> Any:
        try:
            return await answer
        except Unanswered as error:
            raise BrokerUnavailable(str(error)) from None

    def _answered(self, message: Message) -> None:
        token = message.subject[len(self._inbox) + 1 :]
        pending = self._pending.get(token)
        if pending is not None and pending.take(message):
            del self._pending[token]

    def _sweep(self) -> None:
        """Give up those that have waited for long enough; as all wait equally long, they stand in order."""
        now = self._loop.time()
        while self._deadlines:
            deadline, token = self._deadlines[0]
            pending = self._pending.get(token)
            if pending is not None and deadline > now:
                self._sweeping = self._loop.call_at(deadline, self._sweep)
                return
            self._deadlines.popleft()
            if pending is not None:
                del self._pending[token]
                pending.fail(Unanswered(f"NATS has not answered in {TIMEOUT:g} s"))
        self._sweeping = None

    async def _erred(self, error: Exception) -> None:
        text = str(error)
        if _PERMISSION not in text:
            return  # what ends the connection is told when it has ended
        self._forbidden.append(shown(text))
        subject = text.rpartition(' to "')[2].partition('"')[0]
        for token, each in list(self._pending.items()):
            if each.subject.lower() == subject:  # nats-py writes it small
                del self._pending[token]
                each.fail(Forbidden(f"NATS does not allow this account what it needs: {shown(text)}"))

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Pending:
    """Who waits for an answer, or for several up to one that is a status."""

    __slots__ = ("answers", "future", "subject")

    def __init__(self, subject: str, future: asyncio.Future[Any], answers: list[Message] | None = None) -> None:
        self.subject = subject
        self.future = future
        self.answers = answers

    def take(self, message: Message) -> bool:
        """Take an answer; whether it was the last one."""
        if self.answers is not None:
            self.answers.append(message)
            if not (message.headers and "Status" in message.headers):
                return False
        if not self.future.done():
            self.future.set_result(message)
        return True

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # whoever asked may have been cancelled


async def _quietly(coroutine: Any) -> None:
    with suppress(ClientError):
        await coroutine
