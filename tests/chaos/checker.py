"""The promises, checked against the logs of a run alone: it is pure, and knows nothing of how they came to be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chaos.following import Following, PlainFollowing
from chaos.records import (
    BEGUN,
    LAST,
    Degraded,
    Ended,
    Fault,
    Gap,
    Line,
    Logs,
    Opened,
    Restored,
    Scene,
    Seen,
    Subscribed,
)
from chaos.truth import Truth, Violations
from wsmash.topics.brokers.base import MAX_READ


@dataclass
class Report:
    """What was found.

    Attributes:
        messages: that were acknowledged.
        attempted: messages that publishers tried to publish, once or several times.
        deliveries: messages that callbacks were given.
        subscriptions: that servers have confirmed, first ones and after an outage; `recovered`, those of them that
            went on without a gap.
        gaps: by reason.
        hidden: messages that lie within a gap of one epoch.
        needless: gaps of one epoch that the history of their topic, where it is long, had all messages of.
        epochs: incarnations of all streams.
        faults: by kind.
        violations: by kind; there should be none.
        texts: of the first few of each.
    """

    messages: int = 0
    attempted: int = 0
    deliveries: int = 0
    subscriptions: int = 0
    recovered: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    needless: int = 0
    epochs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return dict(vars(self))


class Subscriber:
    """One client, through all runs of its program."""

    def __init__(self, who: str, check: Check) -> None:
        self._who = who
        self._check = check
        self._degraded = False
        self._wanted: list[str] = []
        self._plain: PlainFollowing | None = None
        self._topics: dict[str, Following] = {}

    def take(self, line: Line) -> None:
        """What it was told next."""
        match line:
            case Seen() if self._plain is not None:
                self._plain.seen(line)
            case Seen(epoch=None):
                self._following(line.topic).local(line.message)
            case Seen():
                self._following(line.topic).seen(line)
            case Subscribed():
                self._count(line.topic, self._following(line.topic).subscribed(line))
            case Gap():
                self._gap(line)
            case Opened():
                self._degraded, self._wanted = False, line.topics
                if line.plain:
                    self._plain = PlainFollowing(self._who, self._check.truth, self._check.violations)
            case Degraded():
                self._degraded = True
            case Restored():
                self._degraded = False

    def end(self) -> None:
        """It is there at the end, when all is quiet: it has everything."""
        if self._degraded:
            self._check.violations.add("not restored", f"{self._who} was never told that the broker is back")
        if self._plain is not None:
            self._plain.end(self._wanted)
            return
        for topic in self._wanted:
            self._following(topic).end()

    def _gap(self, line: Gap) -> None:
        if line.epoch is not None and line.offset is not None:
            self._count(line.topic, self._following(line.topic).gap(line.epoch, line.offset))
            return
        if line.reason == BEGUN:
            self._topics.clear()
        for following in self._topics.values():  # a pattern's: of what it lacks, nobody knows where it begins
            following.forget()

    def _count(self, topic: str, hidden: int | None) -> None:
        if hidden is not None:
            self._check.report.hidden += hidden
            self._check.report.needless += hidden <= MAX_READ <= self._check.scene.topics[topic]

    def _following(self, topic: str) -> Following:
        found = self._topics.get(topic)
        if found is None:
            check = self._check
            found = Following(
                self._who, topic, check.truth, check.violations,
                has_history=check.scene.topics[topic] > 0, contiguous=check.scene.contiguous,
            )  # fmt: skip
            self._topics[topic] = found
        return found


class Check:
    """Reads the logs twice: for what was published, then for what each subscriber was given of it."""

    def __init__(self, logs: Logs) -> None:
        self.report = Report()
        self.violations = Violations()
        self.scene = next(line for lines in logs.values() for line in lines if isinstance(line, Scene))
        self.truth = Truth(logs, self.violations)
        self._subscribers: dict[str, Subscriber] = {}
        by_program: defaultdict[str, list[Iterable[Line]]] = defaultdict(list)
        for name, lines in sorted(logs.items()):
            by_program[name.rpartition(".")[0]].append(lines)
        for program, runs in by_program.items():
            self._follow(program, runs)
        self._finish()

    def _follow(self, program: str, runs: list[Iterable[Line]]) -> None:
        """One program after the other: what all were told at one time would be a lot to hold."""
        subscribers: dict[str, Subscriber] = {}
        ended = False
        for lines in runs:
            ended = False
            for line in lines:
                self._count(line)
                ended = ended or isinstance(line, Ended)
                who = getattr(line, "who", None)
                if who is not None:
                    found = subscribers.get(who)
                    if found is None:
                        found = subscribers[who] = Subscriber(who, self)
                    found.take(line)
        if not ended:
            self.violations.add("not ended", f"{program} was to end by itself, and did not")
            return
        for each in subscribers.values():
            each.end()

    def _count(self, line: Line) -> None:
        report = self.report
        match line:
            case Seen():
                report.deliveries += 1
            case Subscribed():
                report.subscriptions += 1
                report.recovered += line.recovered
            case Gap() if line.reason != BEGUN:
                report.gaps[line.reason] += 1
            case Fault():
                report.faults[line.kind] += 1

    def _finish(self) -> None:
        report, known = self.report, self.truth.publications
        for topic in self.scene.topics:
            last = known.get(f"{LAST}{topic}")
            if last is None or last.acknowledged is None:
                self.violations.add("unsettled", f"nothing could be published on {topic} at the end")
        report.attempted = len(known)
        report.messages = sum(each.acknowledged is not None for each in known.values())
        report.epochs = len(self.truth.streams)
        report.violations, report.texts = self.violations.counts, self.violations.texts


def check(logs: Logs) -> Report:
    """What the logs of a run say of the promises."""
    return Check(logs).report
