"""The histories of a server that is alone, and what is forgotten of them."""

from __future__ import annotations

import pytest

from wsmash.topics.brokers import memory
from wsmash.topics.brokers.base import DUPLICATE_WINDOW, MAX_READ, Entry
from wsmash.topics.brokers.memory import SWEEP, MemoryBroker
from wsmash.topics.policy import PLAIN, TopicPolicy

KEPT = TopicPolicy(history_size=3, history_ttl=10)


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_offsets_grow_over_all_topics() -> None:
    """Each message has a greater one; the epoch is that of the broker."""
    broker = MemoryBroker(Clock())
    positions = [broker.add(topic, PLAIN, b"", None)[0] for topic in ("a", "b", "a")]
    assert [each.offset for each in positions] == [1, 2, 3] and {each.epoch for each in positions} == {broker.epoch}
    assert broker.position() == positions[-1] and broker.epoch != MemoryBroker(Clock()).epoch


def test_a_history_has_the_newest_messages() -> None:
    """`history_size` of them, each for `history_ttl` seconds; a read says whether any are missing."""
    clock = Clock()
    broker = MemoryBroker(clock)
    for number in range(4):
        broker.add("a", KEPT, b"%d" % number, None)
    broker.add("b", KEPT, b"", None)
    assert broker.read("a", 1) == (broker.epoch, 5, [Entry(2, b"1"), Entry(3, b"2"), Entry(4, b"3")], True)
    assert not broker.read("a", 0).complete
    assert broker.read("a", 4).entries == [] and broker.read("a", 4).complete
    clock.now = 10
    assert broker.read("a", 1).entries == [] and not broker.read("a", 3).complete and broker.read("a", 4).complete


def test_a_read_has_a_limit() -> None:
    """The newest, and not complete, where there are more."""
    broker = MemoryBroker(Clock())
    policy = TopicPolicy(history_size=1000, history_ttl=10)
    for _ in range(MAX_READ + 1):
        broker.add("a", policy, b"", None)
    assert broker.read("a", 1).complete and len(broker.read("a", 1).entries) == MAX_READ
    found = broker.read("a", 0)
    assert not found.complete and [each.offset for each in found.entries] == list(range(2, MAX_READ + 2))


@pytest.mark.case(114)
def test_a_key_is_known_for_a_while() -> None:
    """A second publication with it adds nothing, and gives the same position; a key is one of its topic."""
    clock = Clock()
    broker = MemoryBroker(clock)
    first, new = broker.add("a", KEPT, b"1", "k")
    assert new and broker.add("a", KEPT, b"2", "k") == (first, False)
    assert broker.add("b", KEPT, b"3", "k")[1]
    assert [each.data for each in broker.read("a", 0).entries] == [b"1"]
    clock.now = DUPLICATE_WINDOW
    assert broker.add("a", KEPT, b"4", "k")[1]


@pytest.mark.case(69)
def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(memory, "MAX_KEYS", 10)
    broker = MemoryBroker(Clock())
    for number in range(100):
        broker.add("a", PLAIN, b"", f"k{number}")
    assert len(broker._keys) <= 11
    assert not broker.add("a", PLAIN, b"", "k99")[1] and broker.add("a", PLAIN, b"", "k0")[1]


@pytest.mark.case(69)
def test_nothing_is_kept_of_topics_without_a_history() -> None:
    """However many are published on."""
    broker = MemoryBroker(Clock())
    for number in range(1000):
        broker.add(f"t{number}", PLAIN, b"x", None)
    assert not (broker._streams or broker._keys or broker._ended)


@pytest.mark.case(69)
def test_histories_that_have_expired_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each ended is remembered of so many; of those beyond it is not known what is missing."""
    monkeypatch.setattr(memory, "MAX_ENDED", 10)
    clock = Clock()
    broker = MemoryBroker(clock)
    for number in range(100):
        broker.add(f"t{number}", KEPT, b"x", None)
    clock.now = SWEEP + 1
    last, _ = broker.add("next", KEPT, b"x", None)
    assert len(broker._streams) == 1 and len(broker._ended) == 10
    assert broker.read("t99", 100).complete and not broker.read("t99", 99).complete
    assert not broker.read("t5", 89).complete and broker.read("t5", 90).complete
    assert broker.read("never", last.offset).complete
    broker.add("t99", KEPT, b"y", None)
    assert [each.data for each in broker.read("t99", 100).entries] == [b"y"] and broker.read("t99", 100).complete
