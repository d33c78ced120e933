"""What JetStream is asked and how it answers: its API of requests, and direct reads of a stream's messages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ...errors import BrokerError, BrokerUnavailable
from .base import TIMEOUT
from .nats_client import Message, shown
from .nats_connection import Connection, is_refused

API: Final = "$JS.API"

NOT_FOUND: Final = 10059
"""There is no such stream."""

NAME_IN_USE: Final = 10058
"""There is such a stream, configured otherwise."""

BATCHES: Final = (2, 11)
"""The first version that answers a direct read with several messages."""

_NO_JETSTREAM: Final = frozenset({10039, 10076})
_NO_MESSAGE: Final = 10037
_WAIT: Final = 0.05  # seconds after which a leader is looked for again
_PATIENCE: Final = 1.0  # seconds in which a leader has answered
_BATCH_SIZE: Final = 512 * 1024  # bytes of one answer: a server ends a connection that it has too much for
_AT_ONCE: Final = 64  # requests that wait together


class ApiError(Exception):
    """What JetStream answers instead of doing something.

    Attributes:
        number: its `err_code`.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        self.number = int(found.get("err_code", 0))
        super().__init__(f"{shown(found.get('description', 'no reason'))} ({self.number})")


class Stored(NamedTuple):
    """A message as a stream keeps it.

    Attributes:
        offset: its sequence number.
        time: when it was stored, by the server's clock, in seconds since 1970.
        data: its payload.
    """

    offset: int
    time: float
    data: bytes


async def call(connection: Connection, verb: str, stream: str, value: object = None) -> dict[str, Any]:
    """The answer to a request about a stream, once there is somebody to give it: a cluster may be choosing a leader.

    Raises:
        ApiError: it is an error.
        BrokerUnavailable: there is none.
        BrokerError: there is no JetStream.
    """
    answer = await _answer(connection, f"{API}.{verb}.{stream}", b"" if value is None else json.dumps(value).encode())
    found = parse_answer(answer)
    if "error" not in found:
        return found
    error = ApiError(found["error"])
    if error.number in _NO_JETSTREAM:
        raise BrokerError(f"JetStream is not enabled for this account of NATS: {error}")
    if found["error"].get("code") == 503:
        raise BrokerUnavailable(f"JetStream is not ready: {error}")
    raise error


def parse_answer(answer: Message) -> dict[str, Any]:
    """The JSON of an answer.

    Raises:
        BrokerError: it is none: somebody else has answered.
    """
    try:
        return dict(json.loads(answer.data))
    except (ValueError, TypeError):
        raise BrokerError(f"JetStream is not who answers, with {shown(answer.data)}") from None


async def _answer(connection: Connection, subject: str, data: bytes) -> Message:
    """An answer; asked for again where a cluster has nobody to give it, as whoever was to do so may have died."""
    if not connection.is_clustered:
        answer = await connection.ask(subject, data)
        if is_refused(answer):
            raise BrokerError("NATS has no JetStream, which topics need: nats-server --jetstream")
        return answer
    loop = asyncio.get_running_loop()
    until = loop.time() + TIMEOUT
    while loop.time() < until:
        asked = await connection.send(subject, data)
        await asyncio.wait([asked], timeout=min(_PATIENCE, until - loop.time()))
        if not asked.done():
            continue
        if not is_refused(answer := await connection.answer(asked)):
            return answer
        await asyncio.sleep(_WAIT)
    raise BrokerUnavailable("JetStream has no leader")


async def read_last(connection: Connection, stream: str, subject: str) -> Stored | None:
    """A subject's last message, from whichever server has it at hand; None where there is none."""
    answer = await connection.ask(f"{API}.DIRECT.GET.{stream}.{subject}")
    if _status(answer) == "404":
        return None
    return _stored(stream, answer)


async def read_last_of_leader(connection: Connection, stream: str, subject: str) -> Stored | None:
    """The same from the stream's leader, which no acknowledged message is unknown to."""
    try:
        found = await call(connection, "STREAM.MSG.GET", stream, {"last_by_subj": subject})
    except ApiError as error:
        if error.number == _NO_MESSAGE:
            return None
        raise BrokerUnavailable(f"JetStream does not read the stream {stream}: {error}") from error
    message = found["message"]
    data = base64.b64decode(message.get("data", ""))
    return Stored(int(message["seq"]), parse_time(message["time"]), data)


async def read_lasts(
    connection: Connection, stream: str, subjects: Sequence[str], *, of_leader: bool
) -> list[Stored | None]:
    """The last messages of many subjects, some asked for at once."""
    read = read_last_of_leader if of_leader else read_last
    found: list[Stored | None] = []
    for start in range(0, len(subjects), _AT_ONCE):
        some = subjects[start : start + _AT_ONCE]
        found += await asyncio.gather(*(read(connection, stream, subject) for subject in some))
    return found


async def read_batch(
    connection: Connection, stream: str, subject: str, start: int, limit: int, size: int
) -> tuple[list[Stored], int]:
    """A subject's messages from an offset on, from whichever server has them at hand.

    Args:
        connection: to ask over.
        stream: its name.
        subject: which may hold wildcards.
        start: the first offset that is asked for.
        limit: messages at most.
        size: bytes after which no further one is read.

    Returns:
        They, and how many there are after them; with a server before 2.11 only whether: 0 or 1.
    """
    if connection.version < BATCHES:
        return await _read_singly(connection, stream, subject, start, limit, size)
    found: list[Stored] = []
    left = 0
    while len(found) < limit and size > 0:
        wanted = {
            "seq": start,
            "next_by_subj": subject,
            "batch": limit - len(found),
            "max_bytes": min(size, _BATCH_SIZE),
        }
        *answers, status = await connection.ask_many(f"{API}.DIRECT.GET.{stream}", json.dumps(wanted).encode())
        if _status(status) == "404":
            return found, 0
        if _status(status) != "204":
            raise BrokerUnavailable(f"JetStream does not read the stream {stream}: {_described(status)}")
        found += (_stored(stream, answer) for answer in answers)
        size -= sum(len(answer.data) for answer in answers)
        left = int(_header(status, "Nats-Num-Pending"))
        if left == 0 or not answers:
            break
        start = found[-1].offset + 1
    return found, left


async def _read_singly(
    connection: Connection, stream: str, subject: str, start: int, limit: int, size: int
) -> tuple[list[Stored], int]:
    found: list[Stored] = []
    while True:
        wanted = {"seq": start, "next_by_subj": subject}
        answer = await connection.ask(f"{API}.DIRECT.GET.{stream}", json.dumps(wanted).encode())
        if _status(answer) == "404":
            return found, 0
        if len(found) == limit or size <= 0:
            return found, 1
        found.append(_stored(stream, answer))
        size -= len(answer.data)
        start = found[-1].offset + 1


def parse_time(text: str) -> float:
    """Seconds since 1970; the text has nanoseconds."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")


def _stored(stream: str, message: Message) -> Stored:
    if _status(message) is not None:
        raise BrokerUnavailable(f"JetStream does not read the stream {stream}: {_described(message)}")
    time = parse_time(_header(message, "Nats-Time-Stamp"))
    return Stored(int(_header(message, "Nats-Sequence")), time, message.data)


def _header(message: Message, name: str) -> str:
    return (message.headers or {}).get(name, "0")


def _status(message: Message) -> str | None:
    return None if message.headers is None else message.headers.get("Status")


def _described(message: Message) -> str:
    return shown(f"{_status(message)} {_header(message, 'Description')}")
