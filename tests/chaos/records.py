"""What the programs of a run write down, a line of JSON for each: all that the checker gets to see.

A program has a file for each time that it was started, `<program>.<number>.jsonl`. A line is written
before what it tells of goes on, so that a program that is killed leaves nothing unsaid but its last line.
Times are of the machine's monotonic clock, which all programs share. A message is named by its payload,
`<publisher>:<number>`, which no other has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct


class Record(Struct, array_like=True, frozen=True, gc=False):
    """A line; `at` is when it was written, in seconds."""

    at: float


# -- of every program


class Began(Record, tag="began", frozen=True):
    """A program has been started."""


class Ended(Record, tag="ended", frozen=True):
    """It ends because it was asked to, and all that it had begun is done."""


# -- of publishers


class Attempt(Record, tag="attempt", frozen=True):
    """A message is about to be published; again, if it was before.

    `repeats` is that of a client, which sends it again by itself when its connection was lost before the answer.
    """

    message: str
    topic: str
    repeats: bool = False


class Stored(Record, tag="stored", frozen=True):
    """The attempt was acknowledged."""

    message: str
    epoch: str
    offset: int


class Absent(Record, tag="absent", frozen=True):
    """The attempt failed, and has certainly added nothing."""

    message: str
    why: str


class Unknown(Record, tag="unknown", frozen=True):
    """The attempt failed, and may have added the message."""

    message: str
    why: str


class Local(Record, tag="local", frozen=True):
    """The message reached the subscribers of one node alone, and has no position."""

    message: str


# -- of subscribers; `who` is one client of a program, which resumes where it was after the program was killed


class Opened(Record, tag="opened", frozen=True):
    """A connection is open, and has to have the last message of these topics in the end.

    One without the sub-protocol begins anew, from whatever comes next.
    """

    who: str
    plain: bool
    topics: list[str]


class Subscribed(Record, tag="subscribed", frozen=True):
    """The server has confirmed: all from here on, or from where the client was if it is `recovered`."""

    who: str
    topic: str
    epoch: str
    offset: int
    recovered: bool


class Seen(Record, tag="seen", frozen=True):
    """A callback was given a message; a plain connection's has no position."""

    who: str
    topic: str
    epoch: str | None
    offset: int | None
    message: str


class Gap(Record, tag="gap", frozen=True):
    """A callback was told that messages up to here may be missing.

    Of a pattern as a whole it has no position; with the reason `BEGUN` it is the program that tells of it.
    """

    who: str
    topic: str
    epoch: str | None
    offset: int | None
    reason: str


class Degraded(Record, tag="degraded", frozen=True):
    """A client was told that its node has lost the broker."""

    who: str


class Restored(Record, tag="restored", frozen=True):
    """And that it has it again."""

    who: str


# -- of the conductor


class Scene(Record, tag="scene", frozen=True):
    """What a run is made of: how many messages each topic keeps, 0 for none; whether offsets grow by one."""

    broker: str
    seed: int
    topics: dict[str, int]
    contiguous: bool


class Fault(Record, tag="fault", frozen=True):
    """What was done to whom, for how many seconds."""

    kind: str
    target: str
    seconds: float


Line = (
    Began | Ended | Attempt | Stored | Absent | Unknown | Local | Opened | Subscribed | Seen | Gap | Degraded
    | Restored | Scene | Fault
)  # fmt: skip
"""Any of them."""

Logs = Mapping[str, Iterable[Line]]
"""By the name of a file, in the order of their runs; each may be read again."""

BEGUN = "begun"
"""A pattern's subscription is a new one, which knows nothing of what a former run of its program was given."""

LAST = "last:"
"""What the name of the message begins with that ends a topic: who has it, has come to the end."""


class Log:
    """Where a program writes.

    Args:
        folder: of all of them.
        program: its name.

    Attributes:
        run: how often it was started before.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self.run = sum(1 for _ in folder.glob(f"{program}.*.jsonl"))
        path = folder / f"{program}.{self.run:03}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._encoder = msgspec.json.Encoder()
        self.write(Began(now()))

    def write(self, line: Line) -> None:
        """It is in the file when this returns, though the program were killed."""
        os.write(self._file, self._encoder.encode(line) + b"\n")


class LogFile:
    """The lines of one file, read anew by each loop over it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Line]:
        decode = msgspec.json.Decoder(Line).decode
        with self._path.open("rb") as file:
            for text in file:
                if text.endswith(b"\n"):  # not the half of a line that a killed program left
                    yield decode(text)


def read_logs(folder: Path) -> dict[str, LogFile]:
    """Those that a run has left."""
    return {path.stem: LogFile(path) for path in sorted(folder.glob("*.jsonl"))}


def now() -> float:
    """The time of a line, to the microsecond."""
    return round(time.monotonic(), 6)
