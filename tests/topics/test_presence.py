"""Who is on a topic: nodes over a network that loses, doubles and delays agree once it does what it should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.gossip import QUIET, Node, World, agreed
from wsmash.topics import presence as subject
from wsmash.topics.casts import MAX_INFO, Ask, Beat, Cast, Change, Changes, Lists, Part, decode_cast
from wsmash.topics.members import Member, Move
from wsmash.topics.presence import BEAT_INTERVAL, DEAD_AFTER, Presence

TOPICS = ("a", "b.c", "d")

step = st.one_of(
    st.tuples(st.just("join"), st.integers(0, 9), st.sampled_from(TOPICS), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("leave"), st.integers(0, 9), st.sampled_from(TOPICS), st.integers(0, 5)),
    st.tuples(st.just("start")),
    st.tuples(st.just("kill"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("cut off"), st.integers(0, 9)),
    st.tuples(st.just("network"), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.5]), st.floats(0, 0.5)),
    st.tuples(st.just("heal")),
    st.tuples(st.just("time"), st.sampled_from([0.0, 0.01, 1.0, 6.0, 20.0])),
)


def do(world: World, what: str, *args: object) -> None:
    """One step of a story."""
    match what, args:
        case "start", ():
            if len(world.nodes) < 5:
                world.start()
        case "network", (float(lost), float(doubled), float(late)):
            world.lost, world.doubled, world.late = lost, doubled, late
        case "heal", ():
            world.heal()
        case "time", (float(seconds),):
            world.elapse(seconds)
        case _, (int(number), *rest) if world.nodes:
            to_a_node(world, what, world.nodes[number % len(world.nodes)], *rest)


def to_a_node(world: World, what: str, node: Node, *args: object) -> None:
    """One that happens to a node."""
    match what, args:
        case "join", (str(topic), int(member), int(info)):
            world.join(node, topic, f"{id(node)}-{member}", {"info": info})
        case "leave", (str(topic), int(member)):
            world.leave(node, topic, f"{id(node)}-{member}")
        case "kill", (bool(bye),):
            world.kill(node, bye=bye)
        case "cut off", ():
            world.cut_off.add(id(node))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(step, max_size=40),
    st.tuples(st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 0.3])),
    st.integers(0, 2**32),
)
def test_nodes_agree_in_the_end(
    story: list[tuple[object, ...]], network: tuple[float, float, float], seed: int
) -> None:
    """After any joins, leaves, deaths, restarts, and lost, doubled and late casts, all that live know the truth."""
    world = World(seed)
    world.lost, world.doubled, world.late = network
    for _ in range(3):
        world.start()
    for what, *args in story:
        do(world, str(what), *args)
    world.heal()
    world.elapse(QUIET)
    world.check(TOPICS)


def names(node: Node, topic: str) -> list[str]:
    """Who is there, as a node knows it."""
    return sorted(member.id for member in node.presence.members(topic))


def test_a_join_and_a_leave_are_known_at_once() -> None:
    """No beat has to come first."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two", {"name": "Zoë"})
    world.elapse(0.2)
    assert names(first, "a") == names(second, "a") == ["one", "two"]
    [other] = [member for member in first.presence.members("a") if member.id == "two"]
    assert other == Member("two", {"name": "Zoë"}, second.presence.node.hex())
    world.leave(second, "a", "two")
    world.elapse(0.01)
    assert names(first, "a") == ["one"]


def test_who_comes_to_a_topic_learns_who_is_there() -> None:
    """The first member of a node on a topic has it ask; that they are there already is no news."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.elapse(1)
    world.join(second, "a", "two")
    world.elapse(1)
    assert names(second, "a") == ["one", "two"]
    assert second.told_of("a") == {"two"}
    assert first.told_of("a") == {"one", "two"}


def test_a_topic_that_is_watched_is_known_without_members() -> None:
    """Until it is watched no more."""
    world = agreed(3)
    first, second, third = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    third.presence.watch("a", world.now)
    assert not third.presence.is_ready("a", world.now)
    world.elapse(0.2)
    assert third.presence.is_ready("a", world.now)
    assert names(third, "a") == ["one", "two"]
    third.presence.unwatch("a")
    assert names(third, "a") == []


def test_nobody_waits_for_the_dead() -> None:
    """A node that does not answer is waited for as long as the constant says."""
    world = agreed()
    first, second = world.nodes
    world.kill(second)
    first.presence.watch("a", world.now)
    world.elapse(subject.PATIENCE - 0.1)
    assert not first.presence.is_ready("a", world.now)
    world.elapse(0.1)
    assert first.presence.is_ready("a", world.now)


def test_a_node_that_has_just_started_looks_around() -> None:
    """It has heard of nobody, and says so only after a moment."""
    world = World()
    first = world.start()
    first.presence.watch("a", world.now)
    assert not first.presence.is_ready("a", world.now)
    world.elapse(1)
    assert first.presence.is_ready("a", world.now)


def test_a_silent_node_is_dead() -> None:
    """Its members leave after `DEAD_AFTER`, and not before."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.elapse(BEAT_INTERVAL)
    world.kill(second)
    world.elapse(DEAD_AFTER - BEAT_INTERVAL - 0.1)
    assert names(first, "a") == ["one", "two"]
    world.elapse(BEAT_INTERVAL + 0.1)
    assert names(first, "a") == ["one"]
    assert first.told_of("a") == {"one"}
    assert first.presence.nodes() == ()


def test_a_node_that_stops_says_so() -> None:
    """Its members leave at once, and what comes of it late brings none of them back."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.elapse(1)
    node = second.presence.node
    world.kill(second, bye=True)
    world.elapse(0.01)
    assert names(first, "a") == ["one"]
    late = Changes(2, [Change("a", "three", b"null")])
    first.presence.receive(Cast(node, late), world.now)
    assert names(first, "a") == ["one"]


def test_a_network_that_was_away_for_a_moment() -> None:
    """What was missed is asked for as soon as a beat tells of it; nobody has left in between."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.elapse(1)
    world.lost = 1.0
    world.join(second, "a", "three")
    world.leave(second, "a", "two")
    world.elapse(DEAD_AFTER - BEAT_INTERVAL - 1)
    assert names(first, "a") == ["one", "two"]
    world.heal()
    for node in world.nodes:
        node.presence.ask_all(world.now)
    world.elapse(0.2)
    assert names(first, "a") == ["one", "three"]


def test_a_network_that_was_away_for_long() -> None:
    """Members elsewhere are kept for the time of a dead node, leave then, and come again."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.elapse(1)
    world.lost = 1.0
    world.elapse(DEAD_AFTER + 1)
    assert names(first, "a") == ["one"]
    assert names(second, "a") == ["two"]
    world.heal()
    world.elapse(BEAT_INTERVAL + 0.2)
    assert names(first, "a") == names(second, "a") == ["one", "two"]
    assert first.told_of("a") == {"one", "two"}


def test_a_node_that_was_held_up_takes_nobody_for_dead() -> None:
    """What the others said while it slept is still to be read."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.elapse(1)
    first.presence.due(world.now + 100)
    assert names(first, "a") == ["one", "two"]
    for after in range(5, 16, 5):
        first.presence.due(world.now + 100 + after)
    assert names(first, "a") == ["one"]


@pytest.mark.case(116)
def test_two_nodes_with_one_identity() -> None:
    """Each notices, and takes a new one: both are known, with their members."""
    world = agreed(3)
    first, second, third = world.nodes
    second.presence.node = first.presence.node
    world.join(first, "a", "one")
    world.join(second, "a", "two")
    world.join(third, "a", "three")
    world.elapse(QUIET)
    assert len({node.presence.node for node in world.nodes}) == 3
    for node in world.nodes:
        assert names(node, "a") == ["one", "three", "two"]
    world.check(("a",))


@pytest.mark.case(116)
def test_a_node_knows_its_own_beats() -> None:
    """What it has said itself, once or twice, is no other node's."""
    world = World()
    world.doubled = 1.0
    node = world.start()
    name = node.presence.node
    world.elapse(QUIET)
    assert node.presence.node == name


@pytest.mark.case(116)
def test_identities_are_random() -> None:
    """Each run of a server has its own, of 128 bits."""
    assert len({Presence(0.0).node for _ in range(100)}) == 100
    assert len(Presence(0.0).node) == 16


def test_something_else_is_said_of_a_member() -> None:
    """It comes again, with that; the same again is no news."""
    world = agreed()
    first, second = world.nodes
    world.join(second, "a", "two")
    world.join(first, "a", "one", 1)
    world.join(first, "a", "one", 1)
    world.join(first, "a", "one", True)
    member = Member("one", True, first.presence.node.hex())
    assert [move.member.info for move in first.presence.take_moves()] == [1, True]
    world.elapse(0.2)
    assert member in second.presence.members("a")


def test_who_comes_when_a_beat_finds_changes_missing() -> None:
    """A change that was lost is found by the next one, not only by a beat."""
    world = agreed()
    first, second = world.nodes
    world.join(first, "a", "one")
    world.elapse(1)
    world.lost = 1.0
    world.join(second, "a", "two")
    world.elapse(0.01)
    world.heal()
    world.join(second, "a", "three")
    world.elapse(0.2)
    assert names(first, "a") == ["one", "three", "two"]


def test_an_old_list_says_nothing() -> None:
    """One from before the change that is missing, late or doubled, does not take the place of the new one."""
    other = b"o" * 16
    node = Presence(0.0)
    node.join("a", "own", None, 0.0)
    node.receive(Cast(other, Beat(5, False, bytes(8))), 0.0)
    node.receive(Cast(other, Lists(4, [Part("a", 0, 1, [("old", b"null")])])), 0.0)
    assert [member.id for member in node.members("a")] == ["own"]
    node.receive(Cast(other, Lists(5, [Part("a", 0, 1, [("new", b"null")])])), 0.0)
    node.receive(Cast(other, Lists(5, [Part("a", 0, 1, [])])), 0.0)
    assert [member.id for member in node.members("a")] == ["own", "new"]


def test_a_list_that_a_change_has_overtaken_says_nothing() -> None:
    """Who has come since then is there, and the list is asked for again."""
    other = b"o" * 16
    node = Presence(0.0)
    node.join("a", "own", None, 0.0)
    node.receive(Cast(other, Beat(5, False, bytes(8))), 0.0)
    node.receive(Cast(other, Changes(6, [Change("a", "new", b"null")])), 0.0)
    node.receive(Cast(other, Lists(5, [Part("a", 0, 1, [("old", b"null")])])), 0.0)
    assert [member.id for member in node.members("a")] == ["own", "new"]
    node.take_casts(0.0)
    node.receive(Cast(other, Beat(6, False, bytes(8))), 1.0)
    [question] = [decode_cast(data, None).body for data in node.take_casts(1.0)]
    assert question == Ask(other, ["a"])


def test_a_change_that_comes_again_is_passed_over() -> None:
    """Who has left is not back, and nothing is asked."""
    other = b"o" * 16
    node = Presence(0.0)
    node.join("a", "own", None, 0.0)
    come = Cast(other, Changes(1, [Change("a", "new", b"null")]))
    node.receive(come, 0.0)
    node.receive(Cast(other, Changes(2, [Change("a", "new", None)])), 0.0)
    node.take_casts(0.0)
    node.receive(come, 0.0)
    assert [member.id for member in node.members("a")] == ["own"]
    assert node.take_casts(0.0) == []


def test_a_list_in_many_parts() -> None:
    """A topic with more members than fit into one cast is told in several, and is whole once all have come."""
    world = agreed()
    first, second = world.nodes
    for number in range(500):
        world.join(first, "a", f"member-{number}", "x" * (MAX_INFO - 2))
    world.elapse(1)
    sent = world.casts
    world.join(second, "a", "own")
    world.elapse(0.2)
    assert world.casts - sent > 8
    assert len(second.presence.members("a")) == 501
    world.check(("a",))


def test_questions_share_an_answer() -> None:
    """Ten nodes that ask about one topic in a moment are answered once."""
    world = agreed(11)
    first, *others = world.nodes
    world.join(first, "a", "one")
    world.elapse(0.1)
    sent = world.casts
    for number, node in enumerate(others):
        world.join(node, "a", f"other-{number}")
    world.elapse(0.2)
    answers_and_questions_and_joins = world.casts - sent
    assert answers_and_questions_and_joins <= 11 + 10 + 10
    world.check(("a",))


def test_a_quiet_node_says_one_thing_every_five_seconds() -> None:
    """However many topics it has, and members on them."""
    world = agreed(1)
    [node] = world.nodes
    for number in range(1000):
        world.join(node, f"topic-{number}", "one")
    world.elapse(BEAT_INTERVAL)
    sent = world.casts
    world.elapse(BEAT_INTERVAL * 10)
    assert world.casts - sent == 10


@pytest.mark.parametrize("info", ["x" * (MAX_INFO - 1), {1, object()}, float("nan")])
def test_what_is_said_of_an_own_member_is_checked(info: object) -> None:
    """It is a JSON value of `MAX_INFO` bytes at most, and nothing is done where it is none."""
    node = Presence(0.0)
    with pytest.raises((TypeError, ValueError)):
        node.join("a", "own", info, 0.0)
    assert node.members("a") == () and node.take_moves() == []


def test_leaving_twice() -> None:
    """Does nothing, and so does leaving where one never was."""
    node = Presence(0.0)
    node.leave("a", "own")
    node.join("a", "own", None, 0.0)
    node.leave("a", "own")
    node.leave("a", "own")
    assert [move.what for move in node.take_moves()] == ["join", "leave"]
    assert Move("join", "a", Member("own", None, node.node.hex())) not in node.take_moves()
