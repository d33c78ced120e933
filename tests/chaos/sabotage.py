"""Promises that are broken on purpose, where nothing of the package can mend it, to show that the checker sees it.

Each is broken once, on a topic of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chaos.publishing import name_of
from chaos.records import Seen
from wsmash.topics.brokers.base import Receiver
from wsmash.topics.record import Record, decode_record, encode_record

AT = 50
"""Which message of the topic is dealt with wrongly."""

CLIENTS = {"drop": "deep.0", "duplicate": "deep.1", "swap": "deep.2", "forge": "deep.3", "repeat": "deep.4"}
"""What one client's callback does: it leaves a message out, takes it twice or after the one behind it, is given one
that nobody published, or the one before it again."""

NODES = {"hide": "deep.5", "alter": "deep.6"}
"""What all nodes do: they leave a message out where nothing shows it, or give it the name of another one."""

SABOTAGE = CLIENTS | NODES
"""The topic of each."""


class Hand:
    """What a client's messages pass through between the callback and the log.

    Args:
        names: what it does wrong.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._wrong = {topic: name for name, topic in CLIENTS.items() if name in names}
        self._counts = dict.fromkeys(self._wrong, 0)
        self._held: dict[str, Seen] = {}

    def __call__(self, line: Seen) -> Sequence[Seen]:
        if line.topic not in self._wrong:
            return [line]
        self._counts[line.topic] += 1
        now = self._counts[line.topic] - AT
        if now == 0:
            self._held[line.topic] = line
        elif now != 1:
            return [line]
        return self._deal(self._wrong[line.topic], line, second=now == 1)

    def _deal(self, name: str, line: Seen, *, second: bool) -> Sequence[Seen]:
        """With the message, or with the second one, which comes after it."""
        held = self._held[line.topic]
        if name == "drop":
            return [line] if second else []
        if name == "swap":
            return [line, held] if second else []
        if name == "repeat":
            return [msgspec.structs.replace(line, message=held.message)] if second else [line]
        if second:
            return [line]
        return [line, line] if name == "duplicate" else [msgspec.structs.replace(line, message="nobody:0")]


class Ear:
    """A node's receiver, which what a broker pushes passes through.

    Args:
        receiver: the hub.
        names: what it does wrong.

    Attributes:
        deaf: whether it hears nothing.
    """

    def __init__(self, receiver: Receiver, names: Iterable[str]) -> None:
        self.deaf = False
        self.cast = receiver.cast
        self.lost = receiver.lost
        self.missed = receiver.missed
        self.restored = receiver.restored
        self._receiver = receiver
        self._wrong = {topic: name for name, topic in NODES.items() if name in names}
        self._heard: dict[str, list[int]] = {topic: [] for topic in self._wrong}  # offsets, each once

    def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """See `Receiver`."""
        if self.deaf:
            return
        if topic in self._wrong:
            heard = self._heard[topic]
            if offset not in heard:
                heard.append(offset)
            # A message comes twice where a pattern brings it too.
            at = heard.index(offset) + 1
            if at == AT and self._wrong[topic] == "hide":
                return
            if at == AT:
                data = altered(data)
            elif at == AT + 1 and self._wrong[topic] == "hide":
                previous = heard[AT - 2]
        self._receiver.pushed(topic, epoch, previous, offset, data)


def altered(data: bytes) -> bytes:
    """The record with the name of another message, by the same publisher."""
    record = decode_record(data, None)
    text = record.payload.decode()
    publisher, _, number = name_of(text).rpartition(":")
    return encode_record(Record(record.kind, text.replace(name_of(text), f"{publisher}:{number}0", 1).encode()))
