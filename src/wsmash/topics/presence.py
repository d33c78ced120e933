"""Who is on which topic, as one node knows it: gossip between nodes, which store nothing.

A node is the authority over its own members, and numbers their joins and leaves, those
of all topics together. It tells the others of each change at once, and of the number
of the last one in a beat every `BEAT_INTERVAL`. Whoever finds a number missing asks
for the lists of the topics that it watches; whoever has not heard of a node for
`DEAD_AFTER` takes it for dead, and its members for gone. So whatever is lost,
doubled or late, the nodes that live agree again after a beat and an answer.

Nothing here knows of sockets or clocks: what is to be cast, and who has come or gone,
waits until it is taken.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ..errors import InvalidMessage
from .casts import (
    NODE_SIZE,
    TOKEN_SIZE,
    Ask,
    Beat,
    Body,
    Broadcast,
    Bye,
    Cast,
    Change,
    Changes,
    Lists,
    Part,
    encode_cast,
    in_asks,
    in_changes,
    in_lists,
)
from .members import MAX_MEMBERS, Member, Members, Move, NoRoom, View, encode_info

BEAT_INTERVAL: Final = 5.0
"""Seconds between two beats of a node."""

DEAD_AFTER: Final = 15.0
"""Seconds of silence after which a node is taken for dead, and its members for gone."""

ANSWER_DELAY: Final = 0.05
"""Seconds that a question waits for others like it, which then share the answer."""

PATIENCE: Final = 2.0
"""Seconds that a topic's first lists are waited for, from nodes that may be dead."""

MAX_NODES: Final = 256
"""Other nodes that a node knows at most; those beyond are left out and counted."""

MAX_ASKED: Final = 60_000
"""Topics that a node answers about at once; it is asked again about those beyond."""

_FIRST_LOOK = 1.0  # seconds after its start in which a node has not heard of all others
_TOKENS = 16  # how many of a node's last beats may still be on their way


class _Peer:
    """Another node."""

    __slots__ = ("ask", "gone", "heard", "number", "stale")

    def __init__(self, number: int, heard: float) -> None:
        self.number = number  # up to which its changes are known, but on topics that are stale
        self.heard = heard
        self.stale: dict[str, int] = {}  # the topics of which a list has to come, with this number or a later one
        self.ask = False  # whether it is to be asked for them
        self.gone = False  # it has said goodbye, and what still comes of it is late


class Presence:
    """The members of all topics, as one node knows them.

    Args:
        now: the time in seconds, by the clock of all calls, which never goes back.
        random: gives so many random bytes.
        alone: whether there are no other nodes, so that nothing is to be cast.

    Attributes:
        node: this node's identity: 128 random bits, never configured, of one run of a server.
        alone: as above; it may be set, and nothing is cast from then on.
        left_out: members and nodes that found no room, or of whom was said what is no JSON.
    """

    def __init__(
        self, now: float, random: Callable[[int], bytes] = secrets.token_bytes, *, alone: bool = False
    ) -> None:
        self.node = self._former = random(NODE_SIZE)
        self.alone = alone
        self.left_out = 0
        self._random = random
        self._number = 0  # of the last change
        self._topics: dict[str, Members] = {}
        self._peers: dict[bytes, _Peer] = {}
        self._tokens: deque[bytes] = deque(maxlen=_TOKENS)
        self._started = self._looked = now
        self._renamed = now - DEAD_AFTER
        self._hello = True
        self._beat_at = now
        self._asked: dict[str, None] = {}  # topics that others want to know about
        self._answer_at: float | None = None
        self._new: dict[str, None] = {}  # topics that all are to be asked about
        self._changes: list[Change] = []
        self._moves: list[Move] = []

    # -- this node's own members

    def join(self, topic: str, member: str, info: object, now: float) -> bool:
        """One of this node's connections is on the topic, or something else is said of it than before.

        Returns:
            Whether it is among the members: False where there are `MAX_MEMBERS` already.

        Raises:
            TypeError, ValueError: the info is no JSON value, or longer than `MAX_INFO` bytes.
        """
        data = encode_info(info)
        members = self._watch(topic, now)
        try:
            new = members.put(members.own, member, data, self.node)
        except NoRoom:
            self.left_out += 1
            return False
        if new is not None:
            self._change(Change(topic, member, data))
            self._moves.append(Move("join", topic, new))
        return True

    def leave(self, topic: str, member: str) -> None:
        """It is on the topic no more; again, or where it never was, that does nothing."""
        members = self._topics.get(topic)
        gone = None if members is None else members.remove(members.own, member)
        if gone is not None:
            self._change(Change(topic, member, None))
            self._moves.append(Move("leave", topic, gone))
            self._forget(topic)

    def _change(self, change: Change) -> None:
        if not self.alone:
            self._number += 1
            self._changes.append(change)

    # -- what is known

    def watch(self, topic: str, now: float) -> None:
        """Get to know who is on a topic, though no member of this node is; `unwatch` as often ends it."""
        self._watch(topic, now).watchers += 1

    def unwatch(self, topic: str) -> None:
        """The opposite."""
        self._topics[topic].watchers -= 1
        self._forget(topic)

    def members(self, topic: str) -> tuple[Member, ...]:
        """Those that are known."""
        return tuple(self._topics.get(topic, ()))

    def is_ready(self, topic: str, now: float) -> bool:
        """Whether all nodes have said who is on a topic that is watched, or had the time to; then it stays so."""
        members = self._topics[topic]
        return self.alone or now >= members.until or (not members.waiting and now >= self._started + _FIRST_LOOK)

    def is_own(self, node: bytes) -> bool:
        """Whether that is this node's identity, or was it until it took another."""
        return node in (self.node, self._former)

    def nodes(self) -> tuple[bytes, ...]:
        """The other nodes that are alive."""
        return tuple(node for node, peer in self._peers.items() if not peer.gone)

    def _watch(self, topic: str, now: float) -> Members:
        members = self._topics.get(topic)
        if members is None:
            members = self._topics[topic] = Members(now + PATIENCE)
            if not self.alone:
                self._new[topic] = None
            for node, peer in self._peers.items():
                if not peer.gone:
                    peer.stale[topic] = peer.number
                    members.waiting.add(node)
        return members

    def _forget(self, topic: str) -> None:
        """Know no more of a topic that nobody here is on or asks about."""
        members = self._topics[topic]
        if not members.own and not members.watchers:
            del self._topics[topic]
            self._new.pop(topic, None)
            for peer in self._peers.values():
                peer.stale.pop(topic, None)

    # -- what nodes say

    def receive(self, cast: Cast, now: float) -> None:
        """Take what a node, perhaps this one, has cast."""
        node, body = cast
        if isinstance(body, Broadcast):
            return
        if node == self.node:
            if isinstance(body, Beat) and body.token not in self._tokens:
                self._rename(now)
        elif isinstance(body, Ask):
            if body.node in (b"", self.node):
                self._take_question(body.topics, now)
        elif isinstance(body, Bye):
            self._take_bye(node, now)
        else:
            peer = self._peers.get(node) or self._meet(node, body, now)
            if peer is not None and not peer.gone:
                peer.heard = now
                if isinstance(body, Beat):
                    self._take_beat(peer, body, now)
                elif isinstance(body, Changes):
                    self._take_changes(node, peer, body)
                else:
                    self._take_lists(node, peer, body, now)

    def _meet(self, node: bytes, body: Beat | Changes | Lists, now: float) -> _Peer | None:
        """A node that was not known: what it has done so far has been missed."""
        if len(self._peers) >= MAX_NODES:
            self.left_out += 1
            return None
        number = body.first - 1 if isinstance(body, Changes) else body.number
        peer = self._peers[node] = _Peer(number, now)
        if number:
            self._miss(peer)
        return peer

    def _miss(self, peer: _Peer) -> None:
        """Changes of a node up to its number were lost: ask for its lists of all that is watched."""
        peer.stale = dict.fromkeys(self._topics, peer.number)
        peer.ask = True

    def _take_beat(self, peer: _Peer, beat: Beat, now: float) -> None:
        if beat.number > peer.number:
            peer.number = beat.number
            self._miss(peer)
        peer.ask = True  # where something is stale still: the question or the answer may have been lost
        if beat.hello:
            self._beat_at = min(self._beat_at, now + ANSWER_DELAY)

    def _take_question(self, topics: Iterable[str], now: float) -> None:
        for topic in topics:
            if len(self._asked) < MAX_ASKED:
                self._asked[topic] = None
        if self._answer_at is None:
            self._answer_at = now + ANSWER_DELAY

    def _take_changes(self, node: bytes, peer: _Peer, body: Changes) -> None:
        for number, change in enumerate(body.changes, body.first):
            if number <= peer.number:
                continue  # it is known, or in a list that has to come
            if number > peer.number + 1:
                peer.number = number - 1
                self._miss(peer)
            peer.number = number
            members = self._topics.get(change.topic)
            if members is not None and (not self._apply(node, members, change) or change.topic in peer.stale):
                peer.stale[change.topic] = number

    def _apply(self, node: bytes, members: Members, change: Change) -> bool:
        """Do what another node's change says; whether there was room for it."""
        view = members.view(node)
        if change.info is not None:
            return self._add(members, view, node, change.topic, change.id, change.info, told=True)
        gone = members.remove(view.members, change.id)
        if gone is not None:
            self._moves.append(Move("leave", change.topic, gone))
        return True

    def _add(
        self, members: Members, view: View, node: bytes, topic: str, member: str, data: bytes, *, told: bool
    ) -> bool:
        """Another node has a member, of whom that is said; whether there was room for it."""
        try:
            new = members.put(view.members, member, data, node)
        except (NoRoom, InvalidMessage) as error:
            self.left_out += 1
            return not isinstance(error, NoRoom)
        if new is not None and told:
            self._moves.append(Move("join", topic, new))
        return True

    def _take_lists(self, node: bytes, peer: _Peer, body: Lists, now: float) -> None:
        if body.number > peer.number:
            peer.number = body.number
            self._miss(peer)
        for part in body.parts:
            members = self._topics.get(part.topic)
            # A list that nobody waits for, or that is older than what is known, says nothing.
            if members is not None and body.number >= peer.stale.get(part.topic, body.number + 1):
                self._take_part(node, peer, members, body.number, part, now)

    def _take_part(self, node: bytes, peer: _Peer, members: Members, number: int, part: Part, now: float) -> None:
        view = members.view(node)
        listed = view.begin(number, part)
        # What a topic's first lists say is how it was found, and no news.
        told = view.complete or self.is_ready(part.topic, now)
        for member, data in part.members:
            if not self._add(members, view, node, part.topic, member, data, told=told):
                view.cut = True
            elif member in view.members:
                listed.add(member)
        gone = view.end()
        if gone is None:
            return
        for member in gone:
            left = members.remove(view.members, member)
            if left is not None:
                self._moves.append(Move("leave", part.topic, left))
        members.waiting.discard(node)
        if not view.cut:
            del peer.stale[part.topic]

    # -- who lives

    def _take_bye(self, node: bytes, now: float) -> None:
        peer = self._peers.get(node)
        if peer is not None and not peer.gone:
            self._lose(node)
            peer.gone, peer.heard, peer.stale = True, now, {}

    def _lose(self, node: bytes) -> None:
        """A node is no more, and neither are its members."""
        for topic, members in self._topics.items():
            self._moves.extend(Move("leave", topic, member) for member in members.lose(node))

    def _rename(self, now: float) -> None:
        """Another node has this one's identity, as a copy of a machine that ran: take a new one (case 116)."""
        if now - self._renamed < DEAD_AFTER:
            return
        self._renamed = now
        self._former, self.node = self.node, self._random(NODE_SIZE)
        self._tokens.clear()
        self._number += 1  # whoever meets the new node asks for its lists
        self._changes.clear()
        self.ask_all(now)
        for topic, members in self._topics.items():
            for member, (data, old) in tuple(members.own.items()):
                new = Member(member, old.info, self.node.hex())
                members.own[member] = data, new
                self._moves += (Move("leave", topic, old), Move("join", topic, new))

    def ask_all(self, now: float) -> None:
        """Casts may have been lost: say at the next turn where this node is, and have every other one say it too."""
        self._hello, self._beat_at = True, now

    def due(self, now: float) -> None:
        """Let those go that have been silent for too long."""
        if now - self._looked > 2 * BEAT_INTERVAL:
            # This node was itself held up: what the others have said meanwhile is still to be read.
            for peer in self._peers.values():
                peer.heard = now
        self._looked = now
        for node, peer in tuple(self._peers.items()):
            if now >= peer.heard + DEAD_AFTER:
                if not peer.gone:
                    self._lose(node)
                del self._peers[node]

    def due_at(self) -> float:
        """When `due` and `take_casts` are to be called at the latest."""
        moments = [self._beat_at, *(peer.heard + DEAD_AFTER for peer in self._peers.values())]
        if self._answer_at is not None:
            moments.append(self._answer_at)
        return min(moments)

    # -- what has come of it

    def take_moves(self) -> list[Move]:
        """Who has come and gone since they were last taken, as it happened."""
        moves, self._moves = self._moves, []
        return moves

    def take_casts(self, now: float) -> list[bytes]:
        """What is to be cast now, in this order."""
        return [encode_cast(self.node, body) for body in self._bodies(now)]

    def _bodies(self, now: float) -> Iterator[Body]:
        # Changes come first: what follows says that they are known up to the last one.
        changes, self._changes = self._changes, []
        yield from in_changes(self._number - len(changes) + 1, changes)
        new, self._new = self._new, {}
        yield from in_asks(b"", new)
        for node, peer in self._peers.items():
            if peer.ask:
                peer.ask = False
                stale = (topic for topic in peer.stale if topic not in new and self._has_room(topic))
                yield from in_asks(node, stale)
        if self._answer_at is not None and now >= self._answer_at:
            asked, self._asked, self._answer_at = self._asked, {}, None
            yield from in_lists(self._number, {topic: self._own(topic) for topic in asked})
        if now >= self._beat_at:
            token, hello = self._random(TOKEN_SIZE), self._hello
            self._tokens.append(token)
            self._hello, self._beat_at = False, now + BEAT_INTERVAL
            yield Beat(self._number, hello, token)

    def _has_room(self, topic: str) -> bool:
        return len(self._topics[topic]) < MAX_MEMBERS

    def _own(self, topic: str) -> list[tuple[str, bytes]]:
        members = self._topics.get(topic)
        return [] if members is None else [(member, data) for member, (data, _) in members.own.items()]

    def goodbye(self) -> bytes:
        """What this node casts when it stops."""
        return encode_cast(self.node, Bye())
