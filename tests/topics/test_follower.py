"""One topic's stream as one node sees it, whatever happens to the pushes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from wsmash.topics.brokers.base import Entry, History
from wsmash.topics.follower import MAX_HELD, Follower, Gap, Passed, Step, covers
from wsmash.topics.position import Position

A, B = "a" * 32, "b" * 32


def begun(keeps: bool = True, offset: int = 0) -> Follower:
    """A follower that knows where it is."""
    follower = Follower(keeps)
    assert follower.position is None
    assert follower.begin(Position(A, offset)) == []
    return follower


def offsets(steps: Sequence[Step]) -> list[int]:
    """Those of the messages that passed."""
    return [step.position.offset for step in steps if isinstance(step, Passed)]


def test_messages_pass_once_and_in_order() -> None:
    """One that follows the last passes; one that came before does not."""
    follower = begun()
    assert offsets(follower.pushed(A, 0, 1, b"1")) == [1]
    assert offsets(follower.pushed(A, 0, 1, b"1")) == []
    assert offsets(follower.pushed(A, 1, 5, b"5")) == [5]  # offsets may have holes that are none
    assert follower.position == Position(A, 5) and not follower.wants


@pytest.mark.case(111)
def test_a_hole_is_filled_by_a_read() -> None:
    """What comes after a hole waits for the read, and passes after what that brings."""
    follower = begun()
    assert offsets(follower.pushed(A, 1, 2, b"2")) == [] and follower.wants
    assert offsets(follower.pushed(A, 2, 3, b"3")) == []
    follower.read_begun()
    steps = follower.read(History(A, 2, (Entry(1, b"1"), Entry(2, b"2")), True), 0)
    assert [(step.position.offset, step.data) for step in steps if isinstance(step, Passed)] == [
        (1, b"1"), (2, b"2"), (3, b"3"),
    ]  # fmt: skip
    assert not follower.wants


@pytest.mark.case(111, 116)
def test_a_hole_that_cannot_be_filled_is_a_gap() -> None:
    """Where the history does not go back so far nothing of it passes, and the position is the history's."""
    follower = begun()
    follower.pushed(A, 3, 4, b"4")
    follower.read_begun()
    steps = follower.read(History(A, 4, (Entry(3, b"3"), Entry(4, b"4")), False), 0)
    assert steps == [Gap(Position(A, 4), "trimmed")] and follower.position == Position(A, 4)


@pytest.mark.case(109, 112)
def test_another_epoch_is_a_gap() -> None:
    """A push of another stream is looked into: its messages pass after the gap that the read is."""
    follower = begun(offset=7)
    assert follower.pushed(B, 0, 1, b"new") == () and follower.wants
    follower.read_begun()
    assert follower.pushed(B, 1, 2, b"newer") == ()
    steps = follower.read(History(B, 1, (Entry(1, b"new"),), True), 7)
    assert steps == [Gap(Position(B, 1), "epoch"), Passed(Position(B, 2), b"newer")]


def test_a_late_push_of_the_epoch_before_is_left_out() -> None:
    """What came before the read is of an older stream than the read's, and what comes after it is read again."""
    follower = begun(offset=7)
    follower.pushed(B, 0, 1, b"new")
    follower.pushed(A, 7, 8, b"old")
    follower.read_begun()
    assert follower.read(History(B, 1, (), True), 7) == [Gap(Position(B, 1), "epoch")]
    assert follower.position == Position(B, 1)
    assert follower.pushed(A, 8, 9, b"older") == ()
    follower.read_begun()
    assert follower.read(History(B, 1, (), True), 1) == []
    assert follower.position == Position(B, 1) and not follower.wants


def test_a_push_of_another_stream_that_came_during_a_read_is_looked_into() -> None:
    """It may be of a stream that began after the read."""
    follower = begun(offset=7)
    follower.pushed(A, 8, 9, b"9")
    follower.read_begun()
    follower.pushed(B, 0, 1, b"new")
    assert offsets(follower.read(History(A, 9, (Entry(8, b"8"), Entry(9, b"9")), True), 7)) == [8, 9]
    assert follower.wants


def test_a_topic_without_a_history_keeps_the_order_alone() -> None:
    """No hole is filled; a new epoch is told, and a late push of the one before is left out."""
    follower = begun(keeps=False)
    assert offsets(follower.pushed(A, 4, 5, b"5")) == [5] and not follower.wants
    assert offsets(follower.pushed(A, 3, 4, b"4")) == []
    assert follower.pushed(B, 0, 1, b"1") == [Gap(Position(B, 0), "epoch"), Passed(Position(B, 1), b"1")]
    assert follower.pushed(A, 5, 6, b"6") == ()
    assert follower.checked(Position(B, 3)) == () and follower.position == Position(B, 1)


@pytest.mark.case(111)
def test_a_check_finds_what_was_lost() -> None:
    """A stream that has gone on without a push is read."""
    follower = begun()
    assert follower.checked(Position(A, 0)) == () and not follower.wants
    assert follower.checked(Position(A, 2)) == () and follower.wants


def test_before_it_is_known_where_the_stream_is_pushes_wait() -> None:
    """They pass, or are left out, once that is known."""
    follower = Follower(True)
    for offset in (1, 2, 3):
        assert follower.pushed(A, offset - 1, offset, b"%d" % offset) == ()
    assert offsets(follower.begin(Position(A, 2))) == [3]


def test_what_is_held_back_is_bounded() -> None:
    """Pushes beyond `MAX_HELD` are left out, and read again."""
    follower = begun()
    for offset in range(2, MAX_HELD + 12):
        follower.pushed(A, offset - 1, offset, b"")
    follower.read_begun()
    steps = follower.read(History(A, 2, (Entry(1, b""), Entry(2, b"")), True), 0)
    assert offsets(steps) == [1, 2] and follower.wants  # it reads on, and then the rest passes
    follower.read_begun()
    rest = tuple(Entry(offset, b"") for offset in range(3, MAX_HELD + 12))
    assert offsets(follower.read(History(A, MAX_HELD + 11, rest, True), 2)) == list(range(3, MAX_HELD + 12))
    assert not follower.wants


@pytest.mark.parametrize(
    ("offset", "whole"), [(4, False), (8, False), (9, True), (10, True), (12, True), (99, True)]
)
def test_a_read_serves_those_who_are_not_so_far_behind(offset: int, whole: bool) -> None:
    """A history that is cut off has all that there is after the offset before its first message, and no earlier one."""
    assert covers(History(A, 12, (Entry(10, b""), Entry(12, b"")), False), 4, offset) is whole


class Interleavings(RuleBasedStateMachine):
    """Publishing, lost, doubled and late pushes, reads at any moment, outages, new epochs: in any order.

    What passes is compared with what was published: in each epoch every offset once and in order, from where a gap,
    or the begin, has put the reader.
    """

    def __init__(self) -> None:
        super().__init__()
        self.follower = begun()
        self.published: dict[str, list[int]] = {A: []}
        self.epoch = A
        self.kept = 0  # the first offset of the history
        self.sent: list[tuple[str, int, int]] = []
        self.under_way: tuple[History, int] | None = None
        self.at: Position = Position(A, 0)

    def take(self, steps: Sequence[Step]) -> None:
        """What a subscriber sees."""
        for step in steps:
            if isinstance(step, Gap):
                assert step.position > self.at or step.position.epoch != self.at.epoch
                self.at = step.position
                continue
            epoch, offset = step.position
            assert epoch == self.at.epoch, "another epoch without a gap"
            due = [each for each in self.published[epoch] if each > self.at.offset]
            assert due[:1] == [offset], f"{offset} has passed, and {due[:3]} were due"
            assert step.data == b"%s%d" % (epoch.encode(), offset)
            self.at = step.position

    @rule(step=st.integers(1, 3), lost=st.booleans())
    def publish(self, step: int, lost: bool) -> None:
        """A message is added, and its push is on its way, or lost."""
        entries = self.published[self.epoch]
        previous = entries[-1] if entries else 0
        entries.append(previous + step)
        if not lost:
            self.sent.append((self.epoch, previous, previous + step))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), again=st.booleans())
    def push(self, data: st.DataObject, again: bool) -> None:
        """One of the pushes that are on their way comes, and perhaps once more later."""
        at = data.draw(st.integers(0, min(3, len(self.sent) - 1)))
        epoch, previous, offset = self.sent[at] if again else self.sent.pop(at)
        self.take(self.follower.pushed(epoch, previous, offset, b"%s%d" % (epoch.encode(), offset)))

    @rule(count=st.integers(1, 5))
    def trim(self, count: int) -> None:
        """The history loses its oldest messages."""
        entries = self.published[self.epoch]
        left = [each for each in entries if each > self.kept]
        self.kept = left[:count][-1] if left else self.kept

    @rule()
    def renew(self) -> None:
        """The stream is lost, and another begins."""
        self.epoch = f"{len(self.published):032x}"
        self.published[self.epoch] = []
        self.kept = 0

    @precondition(lambda self: self.under_way is None)
    @rule(limit=st.integers(1, 5), earlier=st.integers(0, 4))
    def begin_read(self, limit: int, earlier: int) -> None:
        """A read is begun, for the follower, or for somebody who lacks more; the broker answers at once."""
        position = self.follower.position
        assert position is not None
        after = max(0, position.offset - earlier)
        self.follower.read_begun()
        entries = self.published[self.epoch]
        found = [each for each in entries if each > after and each > self.kept]
        top = entries[-1] if entries else 0
        there = [Entry(each, b"%s%d" % (self.epoch.encode(), each)) for each in found[-limit:]]
        self.under_way = History(self.epoch, top, there, after >= self.kept and len(found) <= limit), after

    @precondition(lambda self: self.under_way is not None)
    @rule(fails=st.booleans())
    def end_read(self, fails: bool) -> None:
        """Its answer comes, or none does."""
        assert self.under_way is not None
        answer, after = self.under_way
        self.under_way = None
        if not fails:
            self.take(self.follower.read(answer, after))

    @rule()
    def check(self) -> None:
        """It is told where the stream is."""
        entries = self.published[self.epoch]
        self.take(self.follower.checked(Position(self.epoch, entries[-1] if entries else 0)))

    @invariant()
    def knows_where_it_is(self) -> None:
        """The follower's position is never behind what has passed."""
        assert self.follower.position is not None
        assert self.follower.position.epoch == self.at.epoch and self.follower.offset >= self.at.offset

    def teardown(self) -> None:
        """Once the faults end, reads bring it to the end of the stream."""
        if self.under_way is not None:
            answer, after = self.under_way
            self.under_way = None
            self.take(self.follower.read(answer, after))
        entries = self.published[self.epoch]
        top = entries[-1] if entries else 0
        self.take(self.follower.checked(Position(self.epoch, top)))
        for _ in range(3):
            if self.follower.wants:
                self.follower.read_begun()
                after = self.follower.offset
                there = [Entry(each, b"%s%d" % (self.epoch.encode(), each)) for each in entries if each > after]
                self.take(self.follower.read(History(self.epoch, top, there, after >= self.kept), after))
        assert not self.follower.wants and self.follower.position == Position(self.epoch, top)


@pytest.mark.case(115)
def test_any_interleaving() -> None:
    """Nothing is lost in silence, doubled or out of order."""
    run_state_machine_as_test(Interleavings)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=60))
def test_without_a_history_offsets_only_grow(pushes: list[tuple[int, int]]) -> None:
    """Whatever comes: what passes is strictly increasing."""
    follower = begun(keeps=False)
    passed = [offset for offset, previous in pushes for offset in offsets(follower.pushed(A, previous, offset, b""))]
    assert passed == sorted(set(passed))
