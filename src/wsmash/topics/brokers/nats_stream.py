"""One stream of JetStream: the topics of one policy, in one epoch after the other.

Its sequence numbers are the offsets of all of them: increasing in each topic, with
holes that are other topics' messages.

*Epochs.* The epoch is part of the stream's subjects. A node that finds a stream
missing makes one with a new epoch; of two that do so at once JetStream takes the
first, and the other one reads what there is. A stream that has lost acknowledged
messages (a server's power was cut: case 113) is given a new epoch: new subjects, and
the old messages are removed. Who still publishes to the old ones is told that
nobody is there, and looks again. Two nodes that do this at once end in one epoch too,
that of the latter, since each reads it back from the stream.

*Loss* is seen by a node that knows a greater offset than the stream's last one; or,
where others have published since, greater than that of the first line which a
node wrote into the stream after its server was started again. Every node writes this
line, or sees that it is there, before it publishes anything.

*Anchors.* A small message of no topic is written every few hours. It is the offset of
topics without messages, and as nothing that is younger has expired before it, it shows
up to where a history may have lost messages by their age. For the same end the messages
of a topic stay for `MEMORY` longer than their `history_ttl`, unseen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ...errors import BrokerError, BrokerUnavailable
from ..policy import TopicPolicy
from ..position import Position, is_epoch, new_epoch
from .base import DUPLICATE_WINDOW
from .nats_api import (
    NAME_IN_USE,
    NOT_FOUND,
    ApiError,
    call,
    parse_answer,
    parse_time,
    read_batch,
    read_last,
    read_lasts,
)
from .nats_connection import Connection, is_refused
from .nats_subjects import Subjects, policy_key

MEMORY: Final = 24 * 3600.0
"""Seconds for which a message that has expired still stands for its topic's last offset."""

SLOTS: Final = 8
"""Anchors that are written in `MEMORY`, each to a subject of its own."""

SCHEMA: Final = "1"
"""The version of what is in a stream and of its subjects: another one's streams are not touched."""

PATIENCE: Final = 1.0
"""Seconds after which a last offset that has gone back is believed."""

KEPT_FOR_KEYS: Final = 1000
"""Messages of a topic that are kept at least: a server that starts again knows the keys of what it still has."""

_WAIT: Final = 0.1  # seconds after which it is looked at again
_MAX_LINES: Final = 256  # starts of a server within MEMORY that are looked at
_MAX_LINES_SIZE: Final = 1 << 20


class _Refused(BrokerUnavailable):
    """A line was not written."""


class Stream:
    """The stream of a policy, as this node knows it.

    Attributes:
        key: the policy's name in subjects.
        name: the stream's.
        epoch: its incarnation, or an empty text until it is known.
        top: the greatest offset that is known of it in this epoch.
        reader: the connection over which it was looked at, so that it may be published to over this one.
        is_replicated: whether several servers have it.
    """

    def __init__(self, subjects: Subjects, policy: TopicPolicy, replicas: int) -> None:
        self.key = policy_key(policy)
        self.name = subjects.stream(self.key)
        self.epoch = ""
        self.top = 0
        self.reader: Connection | None = None
        self.is_replicated = replicas > 1
        self._subjects = subjects
        self._policy = policy
        self._replicas = replicas
        self._anchor, self._slot = 0, -1
        self._server, self._line = "", 0
        self._looking = asyncio.Lock()
        self._next: tuple[Connection, asyncio.Task[dict[str, Any]]] | None = None

    def subject(self, topic: str) -> str:
        """Where a topic is published now."""
        return self._subjects.topic(self.key, self.epoch, topic)

    def saw(self, epoch: str, offset: int) -> None:
        """Remember that there was a message."""
        if epoch == self.epoch and offset > self.top:
            self.top = offset

    # -- its epoch

    async def open(self, connection: Connection, *, again: bool = False) -> None:
        """Look at it, once for each connection or `again`; make it where it is missing.

        Raises:
            BrokerUnavailable: there is no answer.
            BrokerError: JetStream does not let us.
        """
        if self.reader is connection and not again:
            return
        self.reader = None
        await self.look(connection)
        self.reader = connection

    async def look(self, connection: Connection) -> dict[str, Any]:
        """What JetStream says of the stream, once its epoch is sure: a new one where it has lost messages.

        One look after the other, as an older answer would bring back an epoch that a
        newer one has ended; whoever comes during one shares the next.
        """
        while True:
            if self._next is None or self._next[0] is not connection:
                self._next = connection, asyncio.create_task(self._look_next(connection))
                self._next[1].add_done_callback(_note)
            info = await asyncio.shield(self._next[1])
            if epoch_of(info) == self.epoch:
                return info

    async def _look_next(self, connection: Connection) -> dict[str, Any]:
        async with self._looking:
            if self._next is not None and self._next[0] is connection:
                self._next = None
            return await self._look(connection)

    async def _look(self, connection: Connection) -> dict[str, Any]:
        waited = 0.0
        while True:
            known = self.top  # what comes while it is asked for may be later than the answer
            info = await self._info(connection)
            if epoch_of(info) != self.epoch:
                self.epoch, self.top, self._server, self._line, self._slot = epoch_of(info), 0, "", 0, -1
            try:
                # A new leader may not have come so far yet, though it has all that was acknowledged.
                lost = info["state"]["last_seq"] < min(known, self.top)
                if lost and waited < PATIENCE:
                    raise _Refused(f"JetStream has lost the end of the stream {self.name}")
                if lost or await self._has_lost(connection, known):
                    await self.rotate(connection)
                    continue
                await self._drop_anchor(connection, info)
            except _Refused:
                # Another node has changed the epoch just now, or the stream is not ready: looking again will tell.
                if waited >= PATIENCE:
                    raise
                await asyncio.sleep(_WAIT)
                waited += _WAIT
                continue
            self.saw(self.epoch, info["state"]["last_seq"])
            return info

    async def rotate(self, connection: Connection) -> None:
        """Give the stream a new epoch, unless another node has just done so; what was in it is no more."""
        epoch = self.epoch
        if epoch_of(await self._info(connection)) != epoch:
            return
        await self._call(connection, "STREAM.UPDATE", self._config(new_epoch()))
        for subjects in (self._subjects.topic, self._subjects.anchor):
            await self._call(connection, "STREAM.PURGE", {"filter": subjects(self.key, epoch, ">")})

    async def _info(self, connection: Connection) -> dict[str, Any]:
        for _ in range(3):
            for verb, config in (("STREAM.INFO", None), ("STREAM.CREATE", self._config(new_epoch()))):
                try:
                    info = await call(connection, verb, self.name, config)
                except ApiError as error:
                    if error.number not in (NOT_FOUND, NAME_IN_USE):
                        raise BrokerError(f"JetStream does not keep the stream {self.name}: {error}") from error
                else:
                    if not epoch_of(info):
                        raise BrokerError(f"JetStream has a stream {self.name} that is not of this package's version")
                    return info
        raise BrokerUnavailable(f"JetStream neither has nor makes the stream {self.name}")

    async def _call(self, connection: Connection, verb: str, value: object) -> None:
        try:
            await call(connection, verb, self.name, value)
        except ApiError as error:
            if error.number != NOT_FOUND:
                raise BrokerError(f"JetStream does not change the stream {self.name}: {error}") from error

    def _config(self, epoch: str) -> dict[str, Any]:
        size, ttl = self._policy.history_size, self._policy.history_ttl
        kept = DUPLICATE_WINDOW if ttl is None else ttl + MEMORY
        subjects = [self._subjects.topic(self.key, epoch, ">"), self._subjects.anchor(self.key, epoch, ">")]
        return {
            "name": self.name,
            "subjects": subjects,
            "storage": "memory" if size is None else "file",
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": 1 if size is None else max(size + 1, KEPT_FOR_KEYS),
            "max_age": int(kept * 1e9),
            "duplicate_window": int(DUPLICATE_WINDOW * 1e9),
            "allow_direct": True,
            "num_replicas": self._replicas,
            "republish": {"src": subjects[0], "dest": self._subjects.live(self.key, epoch, ">")},
            "metadata": {"wsmash": SCHEMA, "wsmash-epoch": epoch},
        }

    # -- what this node writes into it

    async def _has_lost(self, connection: Connection, known: int) -> bool:
        """Whether its server was started again, and then had not all that this node knew of; write the line of it.

        Servers of a cluster have no line: there a start of one is not that of the stream.
        """
        server = str(connection.server.get("server_id", ""))
        if connection.is_clustered or not self._policy.has_history or self._server == server:
            return False
        subject = self._subjects.anchor(self.key, self.epoch, "start.*")
        lines, _ = await read_batch(connection, self.name, subject, self._line + 1, _MAX_LINES, _MAX_LINES_SIZE)
        offsets = [line.offset for line in lines]
        if server.encode() not in [line.data for line in lines]:
            offsets.append(await self._write(connection, f"start.{server}", server))
        lost = self._line > 0 and known >= min(offsets)
        if not lost:
            self._server, self._line = server, max(offsets)
            self.saw(self.epoch, self._line)
        return lost

    async def _drop_anchor(self, connection: Connection, info: dict[str, Any]) -> None:
        """See to it that there is an anchor of this time."""
        slot = int(parse_time(info["ts"]) // (MEMORY / SLOTS))
        if self._slot == slot or not self._policy.has_history:
            return
        found = await read_last(connection, self.name, self._subjects.anchor(self.key, self.epoch, f"{slot % SLOTS}"))
        if found is not None and found.data == str(slot).encode():
            self._anchor = found.offset
        else:
            self._anchor = await self._write(connection, f"{slot % SLOTS}", str(slot))
        self._slot = slot
        self.saw(self.epoch, self._anchor)

    async def _write(self, connection: Connection, place: str, text: str) -> int:
        """Write a line, once for all nodes; its offset."""
        headers = {"Nats-Msg-Id": f"{self.epoch}:{place}:{text}"}
        answer = await connection.ask(self._subjects.anchor(self.key, self.epoch, place), text.encode(), headers)
        offset = None if is_refused(answer) else parse_answer(answer).get("seq")
        if not offset:
            raise _Refused(f"JetStream writes nothing into the stream {self.name}")
        return int(offset)

    # -- its offsets

    async def positions(self, connection: Connection, topics: Sequence[str]) -> list[Position]:
        """The last offset of each topic; that of an anchor where there is no message of it."""
        info = await self.look(connection)
        epoch = self.epoch
        if not self._policy.has_history:
            return [Position(epoch, int(info["state"]["last_seq"]))] * len(topics)
        anchor, subjects = self._anchor, [self.subject(topic) for topic in topics]
        found = await read_lasts(connection, self.name, subjects, of_leader=self.is_replicated)
        return [Position(epoch, each.offset if each else anchor) for each in found]


def _note(task: asyncio.Task[Any]) -> None:
    """See how it ended: whoever waited for it may have been cancelled."""
    if not task.cancelled():
        task.exception()


def epoch_of(info: dict[str, Any]) -> str:
    """The epoch of a stream, as it says; empty where it is none of ours."""
    metadata = info["config"].get("metadata") or {}
    epoch = metadata.get("wsmash-epoch")
    return str(epoch) if metadata.get("wsmash") == SCHEMA and is_epoch(epoch) else ""
