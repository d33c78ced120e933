"""NATS with JetStream, 2.10 or later, as a broker. How it keeps the promises: docs/brokers.md."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence
from typing import Final

from ...constants import CloseCode
from ...errors import BrokerError, BrokerUnavailable, MessageTooBig
from ..policy import TopicPolicy
from ..position import Position, is_epoch
from .base import MAX_READ, TIMEOUT, History, Receiver
from .nats_client import Message, Subscription
from .nats_connection import Connection
from .nats_history import read_history
from .nats_publisher import Publisher
from .nats_stream import Stream
from .nats_subjects import Subjects, policy_key
from .nats_url import Address, parse_nats_url, told_addresses

logger = logging.getLogger("wsmash")

_DELAYS: Final = 0.1, 2.0  # seconds before the servers are tried again: at first, and at most


class NatsBroker:
    """Topics by way of NATS servers.

    Args:
        url: `nats://user:password@host:4222,host2:4222?replicas=3`; tls:// wants TLS.
        namespace: what all names of subjects and streams begin with.
        tls: what TLS is spoken with; None trusts the system's certificates.
        credentials: the path of a file of credentials, for servers that want one.

    Attributes:
        durability: what an acknowledged message survives.
        shared: that other nodes may be there.
        ignored: what came and made no sense: somebody else writes to our subjects (case 107).

    Raises:
        ValueError: the URL or the namespace cannot be used.
    """

    shared = True

    def __init__(
        self, url: str, namespace: str = "wsmash", *, tls: ssl.SSLContext | None = None, credentials: str | None = None
    ) -> None:
        found = parse_nats_url(url)
        self._addresses = list(found.addresses)
        self._told: tuple[Address, ...] = ()  # those of its cluster, by the last server
        self._account = found.account
        self._account.tls = tls
        self._account.credentials = credentials
        self._replicas = found.replicas
        self._subjects = Subjects(namespace)
        self.durability = _durability(found.replicas)
        self.ignored = 0
        self._receiver: Receiver | None = None
        self._connection: Connection | None = None
        self._streams: dict[str, Stream] = {}
        self._publishers: dict[str, Publisher] = {}
        # What is followed, by its subject; and what of it this connection's server knows.
        self._followed: dict[str, str] = {}
        self._patterns: dict[str, str] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        hosts = ",".join(f"{each.host}:{each.port}" for each in self._addresses)
        return f"<NatsBroker {hosts} {self._subjects.namespace}>"

    # -- its connection

    async def start(self, receiver: Receiver) -> None:
        """As `Broker.start`."""
        self._receiver = receiver
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._connect(TIMEOUT)
        except TimeoutError:
            hosts = ", ".join(f"{each.host}:{each.port}" for each in self._addresses)
            raise BrokerUnavailable(f"NATS at {hosts} has not answered in {TIMEOUT:g} s") from None
        self._task = asyncio.create_task(self._stay(receiver))

    async def stop(self) -> None:
        """As `Broker.stop`."""
        if self._task is not None:
            while not self._task.done():
                # Again: on Python 3.11 `asyncio.wait_for`, in nats-py, may return in place of being cancelled.
                self._task.cancel()
                await asyncio.wait([self._task], timeout=0.1)
            self._task = None
        for publisher in self._publishers.values():
            publisher.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _stay(self, receiver: Receiver) -> None:
        """Connect again, for ever."""
        while self._connection is not None:
            error = await asyncio.shield(self._connection.gone)
            self._connection = None
            receiver.lost(error)
            await self._return()
            receiver.restored()

    async def _return(self) -> None:
        delay, told = _DELAYS[0], ""
        while True:
            await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - no secret
            delay = min(delay * 2, _DELAYS[1])
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await self._connect(TIMEOUT)
            except Exception as error:  # whatever is there now, another attempt may find something else
                if str(error) != told and not isinstance(error, (BrokerUnavailable, TimeoutError)):
                    told = str(error)
                    logger.warning("NATS cannot be used: %s", told)

    async def _connect(self, limit: float) -> None:
        """Be connected to one of the servers, with everything followed again; on failure nothing is left."""
        known = [*self._addresses, *(each for each in self._told if each not in self._addresses)]
        addresses = random.sample(known, len(known))
        failure: Exception = BrokerUnavailable("no server of NATS is there")
        for address in addresses:
            try:
                connection = await self._dial(address, limit / len(addresses))
            except BrokerError as error:
                failure = error
                continue
            self._connection = connection
            self._told = told_addresses(connection.server, secure=address.secure)
            return
        raise failure

    async def _dial(self, address: Address, limit: float) -> Connection:
        connection = await Connection.open(address, self._account, limit, self._ignore)
        try:
            await self._prepare(connection)
        except BaseException as error:
            connection.fail(error if isinstance(error, Exception) else ConnectionAbortedError("given up"))
            raise
        return connection

    async def _prepare(self, connection: Connection) -> None:
        """Look at the streams that were in use, and follow what was followed; others may be added meanwhile."""
        probe = self._stream(TopicPolicy())
        self._subscriptions = {self._subjects.cast: await connection.subscribe(self._subjects.cast, self._casted)}
        for stream in {probe.key: probe, **self._streams}.values():
            await stream.open(connection)
        while True:
            missing = [each for each in self._subjects_followed() if each not in self._subscriptions]
            for subject in missing:
                self._subscriptions[subject] = await connection.subscribe(subject, self._pushed)
            await connection.ping()
            connection.check_allowed()
            if all(each in self._subscriptions for each in self._subjects_followed()):
                return

    def _open_connection(self) -> Connection:
        connection = self._connection
        if connection is None or not connection.is_open:
            raise BrokerUnavailable("NATS is away")
        return connection

    # -- publishing

    def _stream(self, policy: TopicPolicy) -> Stream:
        key = policy_key(policy)
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = Stream(self._subjects, policy, self._replicas)
            self._publishers[key] = Publisher(found, lambda: self._connection)
        return found

    async def publish(self, topic: str, policy: TopicPolicy, data: bytes, key: str | None) -> Position:
        """As `Broker.publish`."""
        self._open_connection()
        return await self._publishers[self._stream(policy).key].publish(topic, data, key)

    # -- following

    def _subjects_followed(self) -> list[str]:
        return [*self._followed.values(), *self._patterns.values()]

    async def follow(self, topics: Sequence[tuple[str, TopicPolicy]]) -> None:
        """As `Broker.follow`."""
        added = []
        for topic, policy in topics:
            if topic not in self._followed:
                self._followed[topic] = subject = self._subjects.live(self._stream(policy).key, "*", topic)
                added.append(subject)
        await self._subscribe(added)

    def unfollow(self, topics: Sequence[str]) -> None:
        """As `Broker.unfollow`."""
        for topic in topics:
            self._unsubscribe(self._followed.pop(topic, None))

    async def follow_pattern(self, pattern: str) -> None:
        """As `Broker.follow_pattern`."""
        if pattern not in self._patterns:
            self._patterns[pattern] = self._subjects.live("*", "*", pattern)
            await self._subscribe([self._patterns[pattern]])

    def unfollow_pattern(self, pattern: str) -> None:
        """As `Broker.unfollow_pattern`."""
        self._unsubscribe(self._patterns.pop(pattern, None))

    async def _subscribe(self, subjects: Sequence[str]) -> None:
        connection = self._open_connection()
        for subject in subjects:
            if subject not in self._subscriptions:
                self._subscriptions[subject] = await connection.subscribe(subject, self._pushed)
        if subjects:
            await connection.ping()
            connection.check_allowed()

    def _unsubscribe(self, subject: str | None) -> None:
        if subject is None:
            return
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None and self._connection is not None:
            self._connection.unsubscribe(subscription)

    def _pushed(self, message: Message) -> None:
        found = self._subjects.parse_live(message.subject)
        headers = message.headers or {}
        previous, offset = _number(headers.get("Nats-Last-Sequence")), _number(headers.get("Nats-Sequence"))
        if found is None or not is_epoch(found[1]) or previous is None or offset is None or previous >= offset:
            self._ignore()
            return
        key, epoch, topic = found
        stream = self._streams.get(key)
        if stream is not None:
            stream.saw(epoch, offset)
        if self._receiver is not None:
            self._receiver.pushed(topic, epoch, previous, offset, message.data)

    def _ignore(self) -> None:
        self.ignored += 1

    # -- reading

    async def positions(self, topics: Sequence[tuple[str, TopicPolicy]]) -> list[Position]:
        """As `Broker.positions`."""
        connection = self._open_connection()
        by_stream: dict[str, list[str]] = {}
        for topic, policy in topics:
            by_stream.setdefault(self._stream(policy).key, []).append(topic)
        found: dict[str, Position] = {}
        for key, names in by_stream.items():
            stream = self._streams[key]
            await stream.open(connection)
            found.update(zip(names, await stream.positions(connection, names), strict=True))
        return [found[topic] for topic, _ in topics]

    async def read(self, topic: str, policy: TopicPolicy, after: int, limit: int = MAX_READ) -> History:
        """As `Broker.read`."""
        connection = self._open_connection()
        stream = self._stream(policy)
        await stream.open(connection)
        return await read_history(connection, stream, policy, topic, after, limit)

    # -- between nodes

    async def cast(self, data: bytes) -> None:
        """As `Broker.cast`."""
        connection = self._open_connection()
        if len(data) > connection.max_payload:
            raise MessageTooBig(f"NATS takes {connection.max_payload} bytes (max_payload)", CloseCode.MESSAGE_TOO_BIG)
        await connection.publish(self._subjects.cast, data)

    def _casted(self, message: Message) -> None:
        if self._receiver is not None:
            self._receiver.cast(message.data)

    async def ping(self) -> float:
        """As `Broker.ping`."""
        return await self._open_connection().ping()


def _number(text: str | None) -> int | None:
    """A sequence number, or None where it is none."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 20 else None


def _durability(replicas: int) -> str:
    if replicas > 1:
        return f"{replicas} NATS servers: the loss of {replicas // 2} of them"
    return "one NATS server's disk: the end of its process, and its power's where it has sync_interval: always"
