"""The two connections of a node to Redis, one for commands and one for pushes, and how they come back.

Whatever ends one of them is an outage, of which the other may still carry what is
under way. It is over when both are there again, on the same server, and all that was
subscribed to is subscribed to again, however often that fails on the way (case 109).
"""

from __future__ import annotations

import asyncio
import logging
import re
from asyncio import Future, Task
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from random import SystemRandom
from typing import Final, cast

from ...errors import BrokerError, BrokerUnavailable, OutcomeUnknown
from .base import TIMEOUT
from .redis_address import Address
from .redis_link import Link
from .redis_replies import Reply, ReplyError

logger = logging.getLogger("wsmash")

PING_INTERVAL: Final = 2.0
"""Seconds between two health checks of each connection."""

MAX_DELAY: Final = 2.0
"""Seconds between two attempts to connect again at most, with jitter; the first ones follow sooner."""

MAX_TOLD: Final = 10
"""Reasons that are logged of an outage that goes on."""

OLDEST: Final = (6, 2)
"""The first version of Redis that will do."""

SCRIPT: Final = files(__package__).joinpath("redis.lua").read_bytes()
"""What changes and reads the streams."""

_BATCH: Final = 500
"""Subscriptions that are under way at a time."""

_random = SystemRandom()

Wanted = Sequence[tuple[bytes, list[bytes]]]
"""Commands, SUBSCRIBE or PSUBSCRIBE, with the names for each."""


class Session:
    """What keeps both connections.

    Args:
        address: where to.
        pushed: called with each push.
        wanted: what a new connection is to subscribe to.

    Attributes:
        sha: what Redis calls the script.
    """

    def __init__(self, address: Address, pushed: Callable[[list[Reply]], None], wanted: Callable[[], Wanted]) -> None:
        self.sha = b""
        self._address = address
        self._place = f"Redis at {address.place}"
        self._pushed, self._wanted = pushed, wanted
        self._commands: Link | None = None
        self._pushes: Link | None = None
        self._up = False
        self._error: Exception = BrokerUnavailable("the broker was not started")
        self._failed = self._doubt = asyncio.Event()
        self._tasks: list[Task[None]] = []

    # -- what it is used for

    @property
    def commands(self) -> Link:
        """The connection for commands.

        Raises:
            BrokerUnavailable: it is not there, or that for the pushes is not.
        """
        if not self._up or self._commands is None:
            raise self._unavailable()
        return self._commands

    async def subscribe(self, command: bytes, names: Sequence[bytes]) -> None:
        """Subscribe; it is confirmed when this returns. Whoever does not wait for that takes nothing back.

        Raises:
            BrokerUnavailable: it is not confirmed.
        """
        for at in range(0, len(names), _BATCH):
            link = self._pushes
            if link is None or link.error is not None:
                raise self._unavailable()
            replies = [link.call(command, name) for name in names[at : at + _BATCH]]
            for reply in replies:
                reply.add_done_callback(_look_at)
            _, late = await asyncio.wait(replies, timeout=TIMEOUT)
            if late:
                raise BrokerUnavailable(f"{self._place} has not confirmed a subscription within {TIMEOUT:g} s")
            for error in filter(None, (reply.exception() for reply in replies)):
                raise BrokerUnavailable(f"{self._place} has not confirmed a subscription: {error!s:.300}") from error

    def unsubscribe(self, command: bytes, name: bytes) -> None:
        """The opposite; nobody waits for it."""
        if self._pushes is not None:
            self._pushes.tell(command, name)

    def doubt(self) -> None:
        """Look soon whether the server is still what it was."""
        self._doubt.set()

    # -- its life

    async def start(self, lost: Callable[[Exception], None], restored: Callable[[], None]) -> None:
        """Connect, and connect again after each outage, of which `lost` and `restored` are told.

        Raises:
            BrokerUnavailable, BrokerError: see `Broker.start`.
        """
        self._failed, self._doubt = asyncio.Event(), asyncio.Event()  # of this loop
        try:
            await self._connect()
        except BaseException:
            await self._let_go(BrokerUnavailable("the broker was not started"))
            raise
        self._up = True
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._live(lost, restored)), loop.create_task(self._check())]

    async def stop(self) -> None:
        """Let go."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._let_go(BrokerUnavailable("the broker was stopped"))

    async def _let_go(self, error: Exception) -> None:
        self._up, self._error = False, error
        links = [link for link in (self._commands, self._pushes) if link is not None]
        self._commands = self._pushes = None
        for link in links:
            link.fail(error)
        for link in links:
            await link.ended()

    async def _live(self, lost: Callable[[Exception], None], restored: Callable[[], None]) -> None:
        while True:
            await self._failed.wait()
            self._failed.clear()
            _tell(lost, self._error)
            await self._connect_again()
            self._up = True
            _tell(restored)

    async def _connect_again(self) -> None:
        attempt = 0
        told: set[str] = set()
        while True:
            await asyncio.sleep(_random.uniform(0.2, 1.0) * min(0.05 * 2.0 ** min(attempt, 16), MAX_DELAY))
            attempt += 1
            try:
                await self._connect()
            except Exception as error:  # whatever it was, the next attempt may succeed
                text = str(error)
                if text not in told and len(told) < MAX_TOLD:
                    told.add(text)
                    is_ours = not isinstance(error, BrokerError)
                    logger.warning("topics wait for their broker: %s", text, exc_info=is_ours)
            else:
                return

    async def _connect(self) -> None:
        """Open the connections that are not, and follow all that was followed."""
        try:
            async with asyncio.timeout(TIMEOUT):
                if self._commands is None or self._commands.error is not None:
                    self._commands = await self._open(None)
                    self.sha = cast(bytes, await self._commands.call(b"SCRIPT", b"LOAD", SCRIPT))
                followed = self._pushes is not None and self._pushes.error is None
                if not followed:
                    self._pushes = await self._open(self._pushed)
            commands, pushes = self._commands, cast(Link, self._pushes)
            if commands.lineage != pushes.lineage:
                for link in (commands, pushes):
                    link.fail(BrokerUnavailable("another server has taken the place of this one"))
            elif not followed:
                await self._subscribe_again(pushes)
        except OutcomeUnknown as error:
            raise BrokerUnavailable(f"{self._place} is away again: {error}") from error
        except TimeoutError as error:
            raise BrokerUnavailable(f"{self._place} has not answered within {TIMEOUT:g} s") from error
        except ReplyError as error:
            kind = BrokerUnavailable if error.did_nothing else BrokerError
            raise kind(f"{self._place} does not let us work: {error!s:.300}") from error
        gone = commands.error or pushes.error
        if gone:
            raise BrokerUnavailable(f"{self._place} is away again: {gone}") from gone

    async def _open(self, pushed: Callable[[list[Reply]], None] | None) -> Link:
        link = Link(await self._address.connect(), self._link_failed, pushed)
        try:
            link.lineage = await self._greet(link)
        except BaseException as error:
            link.fail(BrokerUnavailable(f"not opened: {error!r:.200}"))
            raise
        return link

    async def _subscribe_again(self, pushes: Link) -> None:
        try:
            for command, names in self._wanted():
                await self.subscribe(command, names)
        except BrokerError as error:
            pushes.fail(error)  # or the next attempt would take it for complete
            raise

    async def _greet(self, link: Link) -> bytes:
        """The lineage of the server's data: that of its process, since it was last made a master.

        Raises:
            BrokerUnavailable: it takes no writes.
            BrokerError: it cannot be used at all.
        """
        told = await asyncio.gather(*(link.call(b"INFO", section) for section in (b"server", b"replication")))
        text = b"\r\n".join(part for part in told if isinstance(part, bytes)).decode(errors="replace")
        info = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
        version = info.get("redis_version", "")
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            raise BrokerError(
                f"{self._place} is too old: {'.'.join(map(str, OLDEST))} is needed, and it is {version!r:.50}"
            )
        if info.get("redis_mode") == "cluster":
            raise BrokerError(
                f"{self._place} is one of a Redis Cluster, which is not supported: name a server that is alone"
            )
        if info.get("role") != "master":
            raise BrokerUnavailable(f"{self._place} is a replica, and takes no writes")
        return f"{info.get('run_id')}:{info.get('second_repl_offset')}".encode()

    def _link_failed(self, error: Exception) -> None:
        """A connection is over; while others are being made, who makes them sees it."""
        if self._up and any(link is None or link.error is not None for link in (self._commands, self._pushes)):
            self._up, self._error = False, error
            self._failed.set()

    async def _check(self) -> None:
        """Look every now and then, or when there is a doubt, whether the server is there and still the same."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_INTERVAL):
                    await self._doubt.wait()
            self._doubt.clear()
            commands, pushes = self._commands, self._pushes
            if not self._up or commands is None or pushes is None:
                continue
            pushes.tell(b"PING")
            try:
                if await self._greet(commands) != commands.lineage:
                    raise BrokerUnavailable("another server has taken the place of this one")
            except (BrokerError, ReplyError) as error:
                commands.fail(error)

    def _unavailable(self) -> BrokerUnavailable:
        error = BrokerUnavailable(f"{self._place} is away: {self._error}")
        error.__cause__ = self._error
        return error


def _tell(what: Callable[..., None], *arguments: Exception) -> None:
    """Tell somebody whose errors are no reason to give up the broker."""
    try:
        what(*arguments)
    except Exception as error:
        context = {"message": "who is told of a broker's outages has failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _look_at(reply: Future[Reply]) -> None:
    """Let nobody complain that an error was never looked at."""
    if not reply.cancelled():
        reply.exception()
