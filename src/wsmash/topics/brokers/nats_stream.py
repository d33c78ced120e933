"""One stream of JetStream: its epochs, what is read from it, and what can be said to be complete.

A stream holds the topics of one policy, and its sequence numbers are the offsets of
all of them: increasing in each topic, with holes that are other topics' messages.

*Epochs.* The epoch is part of the stream's subjects. A node that finds a stream
missing makes one with a new epoch; of two that do so at once JetStream takes the
first, and the other one reads what there is. A stream that has lost acknowledged
messages (a server's power was cut: case 113) is given a new epoch: new subjects, and
the old messages are removed. Who still publishes to the old ones is told that
nobody is there, and looks again. Two nodes that do this at once end in one epoch too,
that of the latter, since each reads it back from the stream.

*Complete.* JetStream removes a topic's messages from the oldest on: beyond
`max_msgs_per_subject`, which is one more than the history's size, or older than
`max_age`. So all that came after an offset is there if not more than the history's
size came after it, and nothing of that age has expired: a message as old, of
whichever topic, is still in the stream. For this the messages of a topic stay for
`MEMORY` longer than their `history_ttl`, unseen; and an anchor, a small message
of no topic, is written every few hours: it is the offset of topics that have none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ...errors import BrokerError, BrokerUnavailable
from ..policy import TopicPolicy
from ..position import Position, is_epoch, new_epoch
from .base import DUPLICATE_WINDOW, TIMEOUT, Entry, History
from .nats_connection import Connection, Message, is_refused, shown
from .nats_subjects import Subjects, policy_key

MEMORY: Final = 24 * 3600.0
"""Seconds for which a message that has expired still stands for its topic's last offset."""

SLOTS: Final = 8
"""Anchors are written `SLOTS` times in `MEMORY`, each to the subject of its time's slot; each keeps two of them."""

SCHEMA: Final = "1"
"""The version of what is in a stream and of its subjects: another one's streams are not touched."""

API: Final = "$JS.API"

_NOT_FOUND, _NAME_IN_USE = 10059, 10058
_NO_JETSTREAM = 10039, 10076
_WAIT = 0.05  # seconds after which a leader is asked for again


class ApiError(Exception):
    """What JetStream answers instead of doing something."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.number = int(found.get("err_code", 0))
        super().__init__(f"{shown(found.get('description', 'no reason'))} ({self.number})")


class Stream:
    """The stream of a policy, as this node knows it.

    Attributes:
        key: the policy's name in subjects.
        epoch: its incarnation, or an empty text until it is known.
        top: the greatest offset that is known of it in this epoch.
        reader: the connection over which it was looked at.
    """

    def __init__(self, subjects: Subjects, policy: TopicPolicy, replicas: int) -> None:
        self.key = policy_key(policy)
        self.name = subjects.stream(self.key)
        self.epoch = ""
        self.top = 0
        self.reader: Connection | None = None
        self._subjects = subjects
        self._policy = policy
        self._replicas = replicas
        self._anchor = 0
        self._anchored = 0
        self._opening: asyncio.Task[None] | None = None

    def subject(self, topic: str) -> str:
        """Where a topic is published now."""
        return self._subjects.topic(self.key, self.epoch, topic)

    def saw(self, epoch: str, offset: int) -> None:
        """Remember that there was a message."""
        if epoch == self.epoch and offset > self.top:
            self.top = offset

    # -- its epoch

    async def open(self, connection: Connection, *, again: bool = False) -> None:
        """Look at it, once for each connection or `again`; make it where it is missing. One look serves all.

        Raises:
            BrokerUnavailable: there is no answer.
            BrokerError: JetStream does not let us.
        """
        if self.reader is connection and not again:
            return
        self.reader = None
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(connection))
            self._opening.add_done_callback(self._opened)
        await asyncio.shield(self._opening)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited may have been cancelled

    async def _open(self, connection: Connection) -> None:
        info = await self._info(connection)
        if self._epoch_of(info) == self.epoch and info["state"]["last_seq"] < self.top:
            info = await self.rotate(connection)
        self._adopt(info)
        self.reader = connection
        if self._policy.has_history:
            await self._drop_anchor(connection, info)

    async def rotate(self, connection: Connection) -> dict[str, Any]:
        """Give the stream a new epoch, unless another node has just done so; what was in it is no more."""
        info = await self._info(connection)
        if self._epoch_of(info) != self.epoch:
            return info
        await self._call(connection, "STREAM.UPDATE", self._config(new_epoch()))
        for subject in (self.subject(">"), self._subjects.anchor(self.key, self.epoch, ">")):
            await self._call(connection, "STREAM.PURGE", {"filter": subject})
        return await self._info(connection)

    def _adopt(self, info: dict[str, Any]) -> None:
        epoch = self._epoch_of(info)
        if epoch != self.epoch:
            self.epoch, self.top = epoch, 0
        self.saw(epoch, info["state"]["last_seq"])

    async def _info(self, connection: Connection) -> dict[str, Any]:
        """What JetStream says of it; it is made where it says that there is none."""
        for _ in range(3):
            for verb, config in (("STREAM.INFO", None), ("STREAM.CREATE", self._config(new_epoch()))):
                try:
                    return self._checked(await self._call(connection, verb, config))
                except ApiError as error:
                    if error.number not in (_NOT_FOUND, _NAME_IN_USE):
                        raise BrokerError(f"JetStream does not keep the stream {self.name}: {error}") from error
        raise BrokerUnavailable(f"JetStream neither has nor makes the stream {self.name}")

    def _checked(self, info: dict[str, Any]) -> dict[str, Any]:
        if self._epoch_of(info) == "":
            raise BrokerError(f"JetStream has a stream {self.name} that is not ours, or not of this version: rename it")
        return info

    def _epoch_of(self, info: dict[str, Any]) -> str:
        """Its epoch, which stands in its subjects; empty where they are none of ours."""
        config = info["config"]
        metadata = config.get("metadata") or {}
        epoch = metadata.get("wsmash-epoch")
        if metadata.get("wsmash") != SCHEMA or not is_epoch(epoch):
            return ""
        return str(epoch)

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
            "max_msgs_per_subject": 1 if size is None else size + 1,
            "max_age": int(kept * 1e9),
            "duplicate_window": int(DUPLICATE_WINDOW * 1e9),
            "allow_direct": True,
            "num_replicas": self._replicas,
            "republish": {"src": subjects[0], "dest": self._subjects.live(self.key, epoch, ">")},
            "metadata": {"wsmash": SCHEMA, "wsmash-epoch": epoch},
        }

    # -- its offsets

    async def _drop_anchor(self, connection: Connection, info: dict[str, Any]) -> None:
        """See to it that there is an anchor of this slot of time."""
        slot = int(_time(info["ts"]) // (MEMORY / SLOTS))
        if self._anchored == slot and self._anchor > 0:
            return
        subject = self._subjects.anchor(self.key, self.epoch, str(slot % SLOTS))
        headers = {"Nats-Msg-Id": f"{self.epoch}:{slot}"}
        found = await self._last(connection, subject)
        if found is None or _time(_header(found, "Nats-Time-Stamp")) // (MEMORY / SLOTS) != slot:
            answer = await (await connection.send(subject, b"", headers))
            if is_refused(answer):
                return  # there is another epoch by now, and whoever is first to publish will see it
            offset = int(json.loads(answer.data).get("seq", 0))
        else:
            offset = int(_header(found, "Nats-Sequence"))
        self._anchor, self._anchored = offset, slot
        self.saw(self.epoch, offset)

    async def positions(self, connection: Connection, topics: Sequence[str]) -> list[Position]:
        """The last offset of each topic; that of an anchor where there is no message of it."""
        info = await self._look(connection)
        if not self._policy.has_history:
            return [Position(self.epoch, info["state"]["last_seq"])] * len(topics)
        await self._drop_anchor(connection, info)
        anchor, epoch = self._anchor, self.epoch
        subjects = [self.subject(topic) for topic in topics]
        found = [await self._last(connection, subject) for subject in subjects]
        return [Position(epoch, int(_header(each, "Nats-Sequence")) if each else anchor) for each in found]

    async def _last(self, connection: Connection, subject: str) -> Message | None:
        """The last message of a subject, or None."""
        answer = await connection.ask(f"{API}.DIRECT.GET.{self.name}.{subject}")
        if _status(answer) is None:
            return answer
        if _status(answer) == "404":
            return None
        raise BrokerUnavailable(f"JetStream does not read the stream {self.name}: {_described(answer)}")

    async def _look(self, connection: Connection) -> dict[str, Any]:
        """What it is now."""
        info = await self._info(connection)
        if self._epoch_of(info) == self.epoch and info["state"]["last_seq"] < self.top:
            info = await self.rotate(connection)
        self._adopt(info)
        return info

    # -- its messages

    async def read(self, connection: Connection, topic: str, after: int, limit: int) -> History:
        """A topic's messages after an offset, the newest `limit` of them."""
        size, ttl = self._policy.history_size, self._policy.history_ttl
        before = await self._look(connection)
        if size is None or ttl is None:
            return History(self.epoch, before["state"]["last_seq"], (), False)
        epoch, top = self.epoch, before["state"]["last_seq"]
        if after > top:
            return History(epoch, top, (), False)  # an offset that it does not have: lost, or made up
        found, more = await self._newest(connection, self.subject(topic), after, limit)
        now = await self._info(connection)
        if self._epoch_of(now) != epoch:
            self._adopt(now)
            return await self.read(connection, topic, 0, limit)
        oldest = _time(now["ts"]) - ttl
        fresh = [each for each in found if _time(_header(each, "Nats-Time-Stamp")) >= oldest]
        entries = [Entry(int(_header(each, "Nats-Sequence")), each.data) for each in fresh[-size:]]
        state = now["state"]
        complete = not more and len(fresh) == len(found) <= size and state["first_seq"] <= after + 1
        return History(epoch, max(top, entries[-1].offset) if entries else top, entries, complete)

    async def _newest(self, connection: Connection, subject: str, after: int, limit: int) -> tuple[list[Message], bool]:
        """The newest messages of a subject after an offset, and whether there are more of them."""
        found, left = await self._batch(connection, subject, after + 1, limit)
        if left == 0:
            return found, False
        # So many that we want the other end of them: where it begins is found by halving.
        low, high = int(_header(found[-1], "Nats-Sequence")) + 1, max(self.top, after + 1)
        while low < high:
            middle = (low + high) // 2
            some, rest = await self._batch(connection, subject, middle, 1)
            if len(some) + rest >= limit:
                low = middle + 1
            else:
                high = middle
        found, _ = await self._batch(connection, subject, max(after + 1, low - 1), limit)
        return found, True

    async def _batch(self, connection: Connection, subject: str, start: int, limit: int) -> tuple[list[Message], int]:
        """At most so many messages of a subject from an offset on, and how many there are after them."""
        found: list[Message] = []
        left = 0
        while len(found) < limit:
            asked = {"seq": start, "next_by_subj": subject, "batch": limit - len(found)}
            answers = await connection.ask_many(f"{API}.DIRECT.GET.{self.name}", json.dumps(asked).encode())
            status = answers.pop()
            if _status(status) == "404":
                break
            if _status(status) != "204":
                raise BrokerUnavailable(f"JetStream does not read the stream {self.name}: {_described(status)}")
            found += answers
            left = int(_header(status, "Nats-Num-Pending"))
            if left == 0 or not answers:
                break
            start = int(_header(answers[-1], "Nats-Sequence")) + 1
        return found, left

    # -- what JetStream is asked

    async def _call(self, connection: Connection, verb: str, value: object) -> dict[str, Any]:
        """Its answer, once there is somebody to answer: a cluster may just be choosing a leader."""
        data = b"" if value is None else json.dumps(value).encode()
        until = asyncio.get_running_loop().time() + TIMEOUT
        while True:
            answer = await connection.ask(f"{API}.{verb}.{self.name}", data)
            if not is_refused(answer):
                break
            if "cluster" not in connection.server:
                raise BrokerError("NATS has no JetStream, which topics need: nats-server --jetstream")
            if asyncio.get_running_loop().time() > until:
                raise BrokerUnavailable("JetStream has no leader")
            await asyncio.sleep(_WAIT)
        found = json.loads(answer.data)
        if "error" not in found:
            return dict(found)
        error = ApiError(found["error"])
        if error.number in _NO_JETSTREAM:
            raise BrokerError(f"JetStream is not enabled for this account of NATS: {error}")
        if int(found["error"].get("code", 0)) == 503:
            raise BrokerUnavailable(f"JetStream is not ready: {error}")
        raise error


def _header(message: Message, name: str) -> str:
    return (message.headers or {}).get(name, "0")


def _status(message: Message) -> str | None:
    return None if message.headers is None else message.headers.get("Status")


def _described(message: Message) -> str:
    return shown(f"{_status(message)} {_header(message, 'Description')}")


def _time(text: str) -> float:
    """Seconds since 1970; the text has nanoseconds, which are left out."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
