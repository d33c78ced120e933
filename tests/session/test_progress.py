"""How far a subscription has come: duplicates, gaps and epochs, as pure code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.speaking import EPOCH, LATER, at
from wsmash.session.progress import MAX_SEEN, PatternProgress, TopicProgress, Verdict

offsets = st.integers(0, 30)


def test_the_first_confirmation_is_where_it_begins() -> None:
    """Whatever is told of recovery then."""
    progress = TopicProgress()
    assert progress.since is None and not progress.confirm(at(5), recovered=False)
    assert progress.position == at(5) == progress.since


def test_a_recovery_goes_on_where_it_was() -> None:
    """The position of the reply is not taken over: what follows begins after that of the subscription."""
    progress = TopicProgress(at(5))
    assert not progress.confirm(at(5), recovered=True) and progress.position == at(5)
    assert not progress.confirm(at(9), recovered=True) and progress.position == at(5)


def test_what_is_not_recovered_is_missing_unless_nothing_was_published() -> None:
    """And so is everything where the epoch is another, whatever the server says."""
    progress = TopicProgress(at(5))
    assert not progress.confirm(at(5), recovered=False)
    assert progress.confirm(at(7), recovered=False) and progress.position == at(7)
    assert progress.confirm(at(7, LATER), recovered=True) and progress.position == at(7, LATER)


def test_a_server_that_cannot_know_leaves_the_position() -> None:
    """What is missing then it tells of later."""
    progress = TopicProgress(at(5))
    assert not progress.confirm(None, recovered=False) and progress.since == at(5)
    assert TopicProgress().accept("t", None, 3) == (Verdict.NEW, None)


@given(st.lists(offsets), offsets)
def test_each_offset_is_new_once_and_only_upwards(sent: list[int], begin: int) -> None:
    """Of any sequence those are delivered that are greater than all before them."""
    progress = TopicProgress(at(begin))
    taken = [offset for offset in sent if progress.accept("t", None, offset)[0] is Verdict.NEW]
    assert taken == sorted(set(taken)) and all(offset > begin for offset in taken)
    assert progress.position == at(max([begin, *sent]))


def test_a_message_without_an_offset_changes_nothing() -> None:
    """It was delivered by one node, while the broker was away."""
    progress = TopicProgress(at(5))
    assert progress.accept("t", None, None) == (Verdict.NEW, None) and progress.position == at(5)


def test_another_epoch_comes_after_a_gap() -> None:
    """Positions of two epochs are never compared."""
    progress = TopicProgress(at(5))
    assert progress.accept("t", LATER, 2) == (Verdict.AFTER_GAP, at(2, LATER))
    assert progress.accept("t", None, 2)[0] is Verdict.DUPLICATE
    progress.move("t", at(1))
    assert progress.accept("t", None, 2) == (Verdict.NEW, at(2))


def test_what_was_not_delivered_is_asked_for_again() -> None:
    """Going back makes it new again."""
    progress = TopicProgress(at(5))
    progress.accept("t", None, 6)
    progress.go_back(at(5))
    assert progress.since == at(5) and progress.accept("t", None, 6)[0] is Verdict.NEW


def test_a_pattern_misses_something_from_its_second_confirmation_on() -> None:
    """Its first one begins; and it has nothing to go on from."""
    progress = PatternProgress()
    assert not progress.confirm(None, recovered=False) and progress.confirm(None, recovered=False)
    assert [progress.since, progress.position] == [None, None]


def test_a_pattern_judges_each_topic_by_itself_and_forgets_the_oldest() -> None:
    """A topic that was forgotten is as one never heard of."""
    progress = PatternProgress()
    for number in range(MAX_SEEN + 1):
        assert progress.accept(f"t{number}", EPOCH, 1)[0] is Verdict.NEW
    assert progress.accept("t0", EPOCH, 1)[0] is Verdict.NEW
    assert progress.accept(f"t{MAX_SEEN}", EPOCH, 1)[0] is Verdict.DUPLICATE
    assert progress.accept(f"t{MAX_SEEN}", LATER, 1) == (Verdict.AFTER_GAP, at(1, LATER))
    progress.move("t5", at(9))
    assert progress.accept("t5", EPOCH, 9)[0] is Verdict.DUPLICATE
