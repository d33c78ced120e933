"""The checker of the invariant run: sound logs pass, and each planted fault is found for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.checker import Report, check
from chaos.records import (
    BEGUN,
    Absent,
    Attempt,
    Began,
    Degraded,
    Ended,
    Fault,
    Gap,
    Line,
    Local,
    Log,
    Opened,
    Restored,
    Scene,
    Seen,
    Stored,
    Subscribed,
    Unknown,
    now,
    read_logs,
)

A, B = "a" * 32, "b" * 32
"""Two epochs."""

LAST_ONE = "last:h"


def publish(number: int, at: float, outcome: Line | None, topic: str = "h") -> list[Line]:
    lines: list[Line] = [Attempt(at, f"p:{number}", topic)]
    return [*lines, outcome] if outcome is not None else lines


def published(*numbers: int, epoch: str = A) -> list[Line]:
    """Messages that were acknowledged one after the other, each at the offset of its number."""
    return [line for n in numbers for line in publish(n, n, Stored(n + 0.5, f"p:{n}", epoch, n))]


def last(offset: int, epoch: str = A, topic: str = "h") -> list[Line]:
    return [Attempt(90, f"last:{topic}", topic), Stored(91, f"last:{topic}", epoch, offset)]


def opened(*, plain: bool = False, topic: str = "h") -> Line:
    return Opened(0, "s", plain, [topic])


def subscribed(offset: int = 0, epoch: str = A, *, recovered: bool = False) -> Line:
    return Subscribed(0, "s", "h", epoch, offset, recovered)


def seen(*offsets: int, epoch: str = A, topic: str = "h") -> list[Line]:
    return [Seen(50, "s", topic, epoch, each, f"p:{each}") for each in offsets]


def heard(*numbers: int, topic: str = "h") -> list[Line]:
    """What a plain connection is given."""
    return [Seen(50, "s", topic, None, None, f"p:{each}") for each in numbers]


def seen_last(offset: int, epoch: str = A) -> Line:
    return Seen(92, "s", "h", epoch, offset, LAST_ONE)


def judge(
    publisher: list[Line],
    *runs: list[Line],
    contiguous: bool = True,
    killed: bool = False,
    others: list[Line] | None = None,
) -> Report:
    """The report on one publisher and the runs of one subscriber, all of which but the last were killed."""
    logs: dict[str, list[Line]] = {
        "conductor.000": [
            Scene(0, "memory", 1, {"h": 1000, "free": 0}, contiguous),
            *last(100, topic="free"),
            Ended(99),
        ],
        "p.000": publisher if killed else [Began(0), *publisher, Ended(99)],
    }
    if killed:
        logs["p.001"] = [Began(95), Ended(99)]
    for number, run in enumerate(runs):
        end: list[Line] = [Ended(99)] if number == len(runs) - 1 else []
        logs[f"s.{number:03}"] = [Began(0), *run, *end]
    if others:
        logs["t.000"] = [*others, Ended(99)]
    return check(logs)


def test_a_sound_run() -> None:
    """All that was published was seen once, in order: nothing to complain of, and all is counted."""
    report = judge(published(1, 2, 3) + last(4), [opened(), subscribed(), *seen(1, 2, 3), seen_last(4)])
    assert not report.violations, report.texts
    assert (report.messages, report.attempted, report.deliveries, report.subscriptions, report.epochs) == (
        5,
        5,
        4,
        1,
        2,
    )


def test_a_run_with_outages() -> None:
    """Resuming, a gap, an unknown outcome, a new epoch, a subscriber that was killed: all of it is as promised."""
    publisher = [
        *published(1, 2, 3),
        *publish(4, 4, Unknown(9, "p:4", "no answer")),
        *publish(4, 10, Stored(11, "p:4", A, 4)),
        *publish(5, 12, Absent(12, "p:5", "away")),
        *publish(6, 13, Unknown(14, "p:6", "no answer")),
        *publish(1, 20, Stored(21, "p:1", B, 1)),
        *last(2, B),
    ]
    first = [opened(), subscribed(), *seen(1, 2), Degraded(3, "s"), Restored(4, "s")]
    second = [
        opened(),
        subscribed(2, recovered=True),
        *seen(3),
        Gap(30, "s", "h", A, 4, "trimmed"),
        *seen(6),
        Gap(31, "s", "h", B, 0, "epoch"),
        *seen(1, epoch=B),
        seen_last(2, B),
    ]
    report = judge(publisher, first, second, contiguous=False)
    assert not report.violations, report.texts
    assert (report.recovered, report.gaps, report.hidden, report.needless) == (1, {"trimmed": 1, "epoch": 1}, 1, 1)


def test_a_planted_loss() -> None:
    """A message that was acknowledged and left out is lost, and said to be which."""
    report = judge(published(1, 2, 3) + last(4), [opened(), subscribed(), *seen(1, 3), seen_last(4)])
    assert report.violations == {"lost": 1}
    assert "p:2" in report.texts[0]


def test_a_loss_that_only_the_numbers_show() -> None:
    """Where offsets grow by one, a message that nobody knows of is lost too."""
    lines = [opened(), subscribed(), *seen(1, 3), seen_last(4)]
    assert judge(published(1, 3) + last(4), lines).violations == {"lost": 1}
    assert not judge(published(1, 3) + last(4), lines, contiguous=False).violations


def test_a_loss_that_another_subscriber_shows() -> None:
    """What one was given, and nobody has an acknowledgement of, all must be given."""
    unknown = publish(2, 2, Unknown(3, "p:2", "no answer"))
    other: list[Line] = [Seen(50, "t", "h", A, 2, "p:2")]
    publisher = [*published(1, 3), *unknown, *last(4)]
    run = [opened(), subscribed(), *seen(1, 3), seen_last(4)]
    assert judge(publisher, run, contiguous=False, others=other).violations == {"lost": 1}


def test_a_loss_while_resuming() -> None:
    """Recovered means that nothing is missing since the run before."""
    runs = [opened(), subscribed(), *seen(1)], [opened(), subscribed(1, recovered=True), *seen(3), seen_last(4)]
    assert judge(published(1, 2, 3) + last(4), *runs).violations == {"lost": 1}


def test_a_planted_duplicate() -> None:
    """The same message twice is no order."""
    report = judge(published(1, 2) + last(3), [opened(), subscribed(), *seen(1, 2, 2), seen_last(3)])
    assert report.violations == {"duplicate": 1}


def test_a_planted_reorder() -> None:
    """Two messages that were swapped: the first is missing where the second comes, and then comes too late."""
    report = judge(published(1, 2, 3) + last(4), [opened(), subscribed(), *seen(2, 1, 3), seen_last(4)])
    assert report.violations == {"lost": 1, "order": 1}


def test_two_messages_at_an_offset() -> None:
    """An offset is used once in an epoch, whoever says so."""
    publisher = [*published(1), *publish(2, 2, Stored(3, "p:2", A, 1)), *last(3)]
    assert judge(publisher, contiguous=False).violations["two messages at an offset"] == 1
    swapped: list[Line] = [Seen(50, "t", "h", A, 1, "p:2")]
    report = judge(published(1, 2) + last(3), others=swapped)
    assert report.violations["two messages at an offset"] == 1


def test_a_retry_that_was_added_again() -> None:
    """A message is at one offset of an epoch, however often it was published."""
    publisher = [*published(1), *publish(1, 2, Stored(3, "p:1", A, 2)), *last(3)]
    assert judge(publisher, contiguous=False).violations == {"a message at two offsets": 1}


def test_phantoms() -> None:
    """A message that nobody published, and one that was certainly not added."""
    absent = publish(2, 2, Absent(3, "p:2", "away"))
    report = judge([*absent, *last(4)], [opened(), subscribed(1), *seen(2, 3), seen_last(4)])
    assert report.violations == {"phantom": 2}
    assert judge([*absent, *absent, *last(1)], [opened(), subscribed(), seen_last(1)]).violations == {}


def test_an_epoch_that_changes_in_silence() -> None:
    """A gap tells of a new epoch."""
    publisher = [*published(1), *publish(2, 2, Stored(3, "p:2", B, 2)), *last(3, B)]
    run = [opened(), subscribed(), *seen(1), *seen(2, epoch=B), seen_last(3, B)]
    assert judge(publisher, run).violations == {"epoch": 1}


def test_an_epoch_that_comes_again() -> None:
    """While two brokers are used, an epoch may be left and come again: but never an offset in it."""
    publisher = [*published(1, 2), *last(3)]
    away = [opened(), subscribed(), *seen(1), Gap(60, "s", "h", B, 7, "epoch")]
    assert not judge(publisher, [*away, Gap(61, "s", "h", A, 1, "epoch"), *seen(2), seen_last(3)]).violations
    report = judge(publisher, [*away, subscribed(0), *seen(1, 2), seen_last(3)])
    assert report.violations == {"order": 1}


def test_recovered_elsewhere() -> None:
    """Who resumes in another epoch has not recovered."""
    run = [opened(), subscribed(), subscribed(0, B, recovered=True), seen_last(1, B)]
    assert judge(last(1, B), run).violations == {"epoch": 1}


def test_a_gap_that_leads_back() -> None:
    """Positions only grow."""
    run = [opened(), subscribed(), *seen(1, 2), Gap(60, "s", "h", A, 1, "odd"), seen_last(3)]
    assert judge(published(1, 2) + last(3), run).violations["order"] == 1


def test_a_gap_of_a_pattern() -> None:
    """What a pattern's subscriber is told after a gap may be anything newer."""
    run = [opened(), *seen(1), Gap(60, "s", ">", None, None, "restored"), *seen(3), seen_last(4)]
    assert not judge(published(1, 2, 3) + last(4), run).violations
    assert judge(published(1, 2, 3) + last(4), [*run[:3], *seen(1), seen_last(4)]).violations["duplicate"] == 1


def test_a_pattern_of_a_new_program() -> None:
    """It begins where its node is, which may be behind what the program before it was given by another."""
    begun: list[Line] = [Gap(60, "s", ">", None, None, BEGUN)]
    runs = [opened(), *begun, *seen(1, 2)], [opened(), *begun, *seen(1, 2), seen_last(3)]
    report = judge([*published(1, 2), *last(3)], *runs)
    assert (report.violations, report.gaps) == ({}, {})


def test_against_time() -> None:
    """Who publishes after an acknowledgement is behind what was acknowledged."""
    publisher = [*publish(2, 1, Stored(2, "p:2", A, 2)), *publish(1, 3, Stored(4, "p:1", A, 1)), *last(3)]
    assert judge(publisher).violations == {"against time": 1}
    overlapping: list[Line] = [
        Attempt(1, "p:2", "h"),
        Attempt(1.5, "p:1", "h"),
        Stored(2, "p:2", A, 2),
        Stored(4, "p:1", A, 1),
    ]
    assert not judge([*overlapping, *last(3)]).violations


def test_not_caught_up() -> None:
    """When all is quiet, whoever is there has the last message; who was killed for good is excused of nothing."""
    assert judge(published(1) + last(2), [opened(), subscribed(), *seen(1)]).violations == {"not caught up": 1}
    assert judge(published(1) + last(2), [opened()]).violations == {"not caught up": 1}
    assert judge([*published(1), *last(2)], [opened(plain=True), *heard(1)]).violations == {"not caught up": 1}


def test_not_restored() -> None:
    """Who was told of an outage is told of its end; a new connection knows of none."""
    run = [opened(), subscribed(), Degraded(1, "s"), seen_last(1)]
    assert judge(last(1), run).violations == {"not restored": 1}
    assert not judge(last(1), [*run, opened()]).violations


def test_unanswered() -> None:
    """Each attempt ends, unless its program was killed."""
    attempt = publish(1, 1, None)
    assert judge([*attempt, *last(1)], contiguous=False).violations == {"unanswered": 1}
    assert not judge([*attempt, *last(1)], killed=True).violations


def test_unsettled() -> None:
    """Where nothing can be published at the end, nobody knows whether anybody has caught up."""
    assert judge(published(1)).violations == {"unsettled": 1}


def test_not_ended() -> None:
    """A program that was to end and did not is no success."""
    logs: dict[str, list[Line]] = {
        "conductor.000": [Scene(0, "memory", 1, {"h": 1000}, True), *last(1), Ended(99)],
        "s.000": [Began(0)],
    }
    assert check(logs).violations == {"not ended": 1}


def test_plain_connections() -> None:
    """They are in order and free of duplicates within a connection; what they miss is not told."""
    publisher = [*published(1, 2, 3), *last(4)]
    end: list[Line] = [Seen(92, "s", "h", None, None, LAST_ONE)]
    sound = [opened(plain=True), *heard(1, 3), opened(plain=True), *heard(2, 3)]
    assert not judge(publisher, [*sound, *end]).violations
    assert judge(publisher, [opened(plain=True), *heard(1, 1), *end]).violations == {"duplicate": 1}
    assert judge(publisher, [opened(plain=True), *heard(2, 1), *end]).violations == {"order": 1}


def test_plain_connections_and_epochs() -> None:
    """A message that was added to two epochs may come twice, but no epoch comes back."""
    publisher = [*published(1, 2), *publish(2, 9, Stored(9, "p:2", B, 1)), *last(2, B)]
    end: list[Line] = [Seen(92, "s", "h", None, None, LAST_ONE)]
    again = [opened(plain=True), *heard(1, 2, 2), *end]
    assert not judge(publisher, again).violations
    publisher = [*published(1, 2), *publish(3, 9, Stored(9, "p:3", B, 1)), *last(2, B)]
    assert judge(publisher, [opened(plain=True), *heard(1, 3, 2), *end]).violations == {"epoch": 1}


def test_what_a_plain_connection_may_have_been_given_alone() -> None:
    """A message without an answer may have come from a stream that nobody else knows of, and then come again."""
    doubtful = [*publish(2, 2, Unknown(3, "p:2", "no answer")), *publish(2, 9, Stored(9, "p:2", B, 1))]
    repeated: list[Line] = [Attempt(2, "p:2", "h", True), Stored(9, "p:2", B, 1)]
    end: list[Line] = [Seen(92, "s", "h", None, None, LAST_ONE)]
    for retried in (doubtful, repeated):
        publisher = [*published(1, 3), *retried, *last(2, B)]
        assert not judge(publisher, [opened(plain=True), *heard(1, 2, 3, 2), *end], contiguous=False).violations


def test_without_a_history() -> None:
    """On a topic without one, order is all that is promised; what was delivered on one node has no position."""
    publisher = [
        *publish(1, 1, Stored(2, "p:1", A, 1), "free"),
        *publish(2, 3, Local(3, "p:2"), "free"),
        *publish(3, 4, Stored(5, "p:3", A, 3), "free"),
        *last(1),
    ]
    followed = [Opened(0, "s", False, ["h"]), subscribed(0), Subscribed(0, "s", "free", A, 0, False)]
    assert not judge(publisher, [*followed, *seen(3, topic="free"), seen_last(1)], contiguous=False).violations
    local: list[Line] = [Seen(50, "s", "free", None, None, "p:2")]
    assert not judge(publisher, [*followed, *local, *local, seen_last(1)], contiguous=False).violations
    bare: list[Line] = [Seen(50, "s", "h", None, None, "p:1")]
    assert judge(publisher, [*followed, *bare, seen_last(1)], contiguous=False).violations == {"no position": 1}
    wrong = [*followed, *seen(3, 1, topic="free"), seen_last(1)]
    assert judge(publisher, wrong, contiguous=False).violations == {"order": 1}


def test_on_another_topic() -> None:
    """A message comes on the topic that it was published on."""
    publisher = [*published(1), *last(2)]
    report = judge(publisher, others=[Seen(50, "t", "free", A, 7, "p:1")])
    assert report.violations["another topic"] == 1


def test_files(tmp_path: Path) -> None:
    """What is written is read again, without the half of a line that a killed program left."""
    conductor = Log(tmp_path, "conductor")
    lines: list[Line] = [
        Scene(now(), "memory", 1, {"h": 1000}, True),
        Fault(now(), "kill node", "n1", 0.0),
        *last(1),
        Ended(now()),
    ]
    for line in lines:
        conductor.write(line)
    Log(tmp_path, "s").write(opened())
    with (tmp_path / "s.000.jsonl").open("ab") as file:
        file.write(b'["seen",1.0,"s","h"')
    second = Log(tmp_path, "s")
    for line in [opened(), subscribed(), seen_last(1), Ended(now())]:
        second.write(line)
    logs = read_logs(tmp_path)
    assert list(logs) == ["conductor.000", "s.000", "s.001"]
    assert list(logs["conductor.000"])[1:] == lines
    report = check(logs)
    assert not report.violations, report.texts
    assert report.faults == {"kill node": 1}


@pytest.mark.parametrize("number", [3, 30])
def test_only_the_first_are_told(number: int) -> None:
    """Twenty texts of each kind are kept, and all are counted."""
    report = judge(published(1) + last(2), [opened(), subscribed(), *seen(*[1] * (number + 1)), seen_last(2)])
    assert report.violations == {"duplicate": number}
    assert len(report.texts) == min(number, 20)
