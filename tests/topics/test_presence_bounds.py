"""What a node keeps of what others say is bounded, whoever says it."""

from __future__ import annotations

import pytest

from fixtures.gossip import QUIET, agreed
from wsmash.topics import presence as subject
from wsmash.topics.casts import Ask, Beat, Cast, Change, Changes, Lists, decode_cast
from wsmash.topics.members import MAX_MEMBERS
from wsmash.topics.presence import Presence


@pytest.mark.case(107)
def test_members_of_a_topic_are_bounded() -> None:
    """Beyond `MAX_MEMBERS` they are left out and counted; where some leave, others are asked for."""
    world = agreed()
    first, second = world.nodes
    for number in range(MAX_MEMBERS - 1):
        world.join(first, "a", f"one-{number}")
    world.join(second, "a", "two")
    world.join(second, "a", "three")
    world.elapse(1)
    assert len(first.presence.members("a")) == MAX_MEMBERS
    assert first.presence.left_out >= 1
    assert not first.presence.join("a", "one more", None, world.now)
    for number in range(10):
        world.leave(first, "a", f"one-{number}")
    world.elapse(QUIET)
    world.check(("a",))


@pytest.mark.case(107)
def test_nodes_are_bounded() -> None:
    """Whoever makes up nodes fills no memory with them."""
    node = Presence(0.0)
    for number in range(1000):
        node.receive(Cast(number.to_bytes(16), Beat(1, False, bytes(8))), 0.0)
    assert len(node.nodes()) == subject.MAX_NODES
    assert node.left_out == 1000 - subject.MAX_NODES


@pytest.mark.case(107)
def test_questions_are_bounded() -> None:
    """Whoever asks about ever more topics is answered about so many of them."""
    node = Presence(0.0)
    for number in range(100):
        node.receive(Cast(b"o" * 16, Ask(b"", [f"{number}.{topic}" for topic in range(1000)])), 0.0)
    answers = [decode_cast(data, None).body for data in node.take_casts(1.0)]
    assert sum(len(body.parts) for body in answers if isinstance(body, Lists)) == subject.MAX_ASKED


@pytest.mark.case(107)
def test_topics_that_nobody_watches_are_not_kept() -> None:
    """However many members are named on them."""
    node = Presence(0.0)
    changes = [Change(f"topic-{number}", "x", b"null") for number in range(500)]
    node.receive(Cast(b"o" * 16, Changes(1, changes)), 0.0)
    assert node.members("topic-0") == ()
    assert node._topics == {}


@pytest.mark.case(107)
def test_what_is_said_of_a_member_has_to_be_json() -> None:
    """A member of whom another node says something else is left out and counted."""
    node = Presence(0.0)
    node.join("a", "own", None, 0.0)
    node.receive(Cast(b"o" * 16, Changes(1, [Change("a", "x", b"{"), Change("a", "y", b"1")])), 0.0)
    assert [member.id for member in node.members("a")] == ["own", "y"]
    assert node.left_out == 1
