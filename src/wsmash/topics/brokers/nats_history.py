"""What a stream has of a topic after an offset, and whether that is all there was."""

from __future__ import annotations

import asyncio
from typing import Final

from ...errors import BrokerUnavailable
from ..policy import TopicPolicy
from .base import TIMEOUT, Entry, History
from .nats_api import BATCHES, Stored, parse_time, read_batch, read_last_of_leader
from .nats_connection import Connection
from .nats_stream import Stream

MAX_READ_SIZE: Final = 16 * 1024 * 1024
"""Bytes of a history after which no further message is read: who lacks more gets a gap, and none of them."""

_WAIT: Final = 0.05  # seconds after which a replica that lags behind is asked again


async def read_history(
    connection: Connection, stream: Stream, policy: TopicPolicy, topic: str, after: int, limit: int
) -> History:
    """As `Broker.read`.

    What came after an offset is complete if at most `history_size` messages did, since
    one more is kept, and if none of them can have expired: a message that is not
    younger than what came next to the offset is still there. The stream is looked at
    before the messages are, for what `top` may say, and after, for what was removed meanwhile.
    """
    size, ttl = policy.history_size, policy.history_ttl
    before = await stream.look(connection)
    epoch, top = stream.epoch, max(stream.top, int(before["state"]["last_seq"]))
    if size is None or ttl is None or after > top:
        return History(epoch, top, (), False)  # there is no history, or it never was so long: it was lost, or made up
    subject = stream.subject(topic)
    found, more = await _read_newest(connection, stream, subject, after, limit, top)
    now = await stream.look(connection)
    if stream.epoch != epoch:
        return await read_history(connection, stream, policy, topic, 0, limit)
    oldest = parse_time(now["ts"]) - ttl
    fresh = [each for each in found if each.time >= oldest]
    entries = [Entry(each.offset, each.data) for each in fresh[-size:]]
    complete = not more and len(fresh) == len(found) <= size and int(now["state"]["first_seq"]) <= after + 1
    return History(epoch, max(top, entries[-1].offset) if entries else top, entries, complete)


async def _read_newest(
    connection: Connection, stream: Stream, subject: str, after: int, limit: int, top: int
) -> tuple[list[Stored], bool]:
    """A subject's newest messages after an offset, and whether there are more of them after it."""
    found, left = await _read_settled(connection, stream, subject, after + 1, limit)
    if not left:
        return found, False
    if len(found) < limit or connection.version < BATCHES:
        return [], True  # they are too long, or it is not told how many there are
    if left < limit:
        rest, _ = await _read_settled(connection, stream, subject, found[-1].offset + 1, left)
        return found[left:] + rest, True
    # So many that they are looked for from their other end: from the last offset that has `limit` of them after it.
    low, high = found[-1].offset + 1, top + 1
    while low < high:
        middle = (low + high + 1) // 2
        one, after_it = await read_batch(connection, stream.name, subject, middle, 1, MAX_READ_SIZE)
        if len(one) + after_it >= limit:
            low = middle
        else:
            high = middle - 1
    found, left = await _read_settled(connection, stream, subject, low, limit)
    return ([] if left else found), True


async def _read_settled(
    connection: Connection, stream: Stream, subject: str, start: int, limit: int
) -> tuple[list[Stored], int]:
    """Messages from an offset on, with all that the stream's leader has acknowledged: other replicas may lag behind."""
    if not stream.is_replicated:
        return await read_batch(connection, stream.name, subject, start, limit, MAX_READ_SIZE)
    last = await read_last_of_leader(connection, stream.name, subject)
    until = asyncio.get_running_loop().time() + TIMEOUT
    while True:
        found, left = await read_batch(connection, stream.name, subject, start, limit, MAX_READ_SIZE)
        if left or last is None or last.offset < start or (found and found[-1].offset >= last.offset):
            return found, left
        if asyncio.get_running_loop().time() > until:
            raise BrokerUnavailable(f"the replicas of the stream {stream.name} lag behind its leader")
        await asyncio.sleep(_WAIT)
