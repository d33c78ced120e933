"""What was published: which message is where, by all that publishers and subscribers say; and where they disagree."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.records import Absent, Attempt, Ended, Line, Local, Logs, Seen, Stored, Unknown

SHOWN = 20
"""Violations of a kind that are told with all they hold; the others are counted."""


@dataclass
class Violations:
    """Broken promises, by kind.

    Attributes:
        counts: how many of each kind.
        texts: what happened, for the first few of each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str, number: int = 1) -> None:
        if self.counts[kind] < SHOWN:
            self.texts.append(f"{kind}: {text}")
        self.counts[kind] += number


@dataclass(slots=True)
class Publication:
    """One message.

    Attributes:
        topic: of its attempts.
        first: when the first of them began.
        attempts, absent, stored: how many there were, and of these have certainly added nothing, or were acknowledged.
        repeats: whether one of them may have been sent several times.
        acknowledged: when it was first known to be stored.
        places: its offset in each epoch.
        seen: whether a subscriber was given it.
    """

    topic: str
    first: float
    attempts: int = 0
    absent: int = 0
    stored: int = 0
    repeats: bool = False
    acknowledged: float | None = None
    places: dict[str, int] = field(default_factory=dict)
    seen: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether all places are known where it ever was."""
        return self.stored == self.attempts and not self.repeats


class Truth:
    """All publications, and the streams that they make up.

    Attributes:
        publications: by the name of the message.
        streams: of each topic and epoch: the message at each offset.
    """

    def __init__(self, logs: Logs, violations: Violations) -> None:
        self.publications: dict[str, Publication] = {}
        self.streams: defaultdict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        self._violations = violations
        self._acknowledged: dict[tuple[str, str], list[tuple[int, float, float]]] = defaultdict(list)
        self._strangers: Counter[str] = Counter()
        for lines in logs.values():
            self._read_attempts(lines)
        for lines in logs.values():
            self._read_places(lines)
        self._offsets = {key: sorted(stream) for key, stream in self.streams.items()}
        self._check_phantoms()
        self._check_real_time()

    def between(self, topic: str, epoch: str, low: int, high: int) -> list[int]:
        """The offsets that are known of, above `low` and below `high`."""
        offsets = self._offsets.get((topic, epoch), [])
        return offsets[bisect_right(offsets, low) : bisect_left(offsets, high)]

    def place_of(self, message: str, epoch: str | None) -> tuple[str, int] | None:
        """Where a message is: in this epoch, or else in the last one it came to."""
        known = self.publications.get(message)
        if known is None or not known.places:
            return None
        found = epoch if epoch is not None and epoch in known.places else next(reversed(known.places))
        return found, known.places[found]

    def _read_attempts(self, lines: Iterable[Line]) -> None:
        open_attempts: Counter[str] = Counter()
        for line in lines:
            match line:
                case Attempt():
                    known = self.publications.setdefault(line.message, Publication(line.topic, line.at))
                    known.first = min(known.first, line.at)
                    known.attempts += 1
                    known.repeats = known.repeats or line.repeats
                    open_attempts[line.message] += 1
                case Absent():
                    self.publications[line.message].absent += 1
                    open_attempts[line.message] -= 1
                case Stored():
                    self.publications[line.message].stored += 1
                    open_attempts[line.message] -= 1
                case Local() | Unknown():
                    open_attempts[line.message] -= 1
                case Ended():
                    for message in +open_attempts:
                        self._violations.add("unanswered", f"no outcome of publishing {message} was ever told")

    def _read_places(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if isinstance(line, Stored):
                known = self.publications[line.message]
                if known.acknowledged is None or line.at < known.acknowledged:
                    known.acknowledged = line.at
                self._acknowledged[known.topic, line.epoch].append((line.offset, known.first, line.at))
                self._place(known.topic, line.epoch, line.offset, line.message, "acknowledged")
            elif isinstance(line, Seen):
                if line.message in self.publications:
                    self.publications[line.message].seen = True
                else:
                    self._strangers[line.message] += 1
                if line.epoch is not None and line.offset is not None:
                    self._place(line.topic, line.epoch, line.offset, line.message, f"seen by {line.who}")

    def _place(self, topic: str, epoch: str, offset: int, message: str, how: str) -> None:
        there = self.streams[topic, epoch].setdefault(offset, message)
        if there != message:
            text = f"{message}, {how}, is at offset {offset} of {topic} in {epoch:.8}, where {there} is"
            self._violations.add("two messages at an offset", text)
            return
        known = self.publications.get(message)
        if known is None:
            return
        if known.topic != topic:
            self._violations.add("another topic", f"{message}, {how}, came on {topic}, and is one of {known.topic}")
        before = known.places.setdefault(epoch, offset)
        if before != offset:
            text = f"{message}, {how}, is at offsets {before} and {offset} of {topic} in {epoch:.8}"
            self._violations.add("a message at two offsets", text)

    def _check_phantoms(self) -> None:
        """No message comes from nowhere, nor one whose publisher was told each time that it was not added."""
        for message, times in self._strangers.items():
            self._violations.add("phantom", f"{message} was seen {times} times, and never published")
        for message, known in self.publications.items():
            if known.attempts == known.absent and (known.seen or known.places):
                self._violations.add("phantom", f"{message} on {known.topic} is there, and was said not to be")

    def _check_real_time(self) -> None:
        """A message that was published after another one was acknowledged is behind it, whoever published them."""
        for (topic, epoch), found in self._acknowledged.items():
            found.sort(reverse=True)
            soonest, by = float("inf"), 0
            for offset, first, at in found:
                if soonest < first and by > offset:
                    text = f"offset {offset} of {topic} in {epoch:.8} was published when {by} was acknowledged"
                    self._violations.add("against time", text)
                if at < soonest:
                    soonest, by = at, offset
