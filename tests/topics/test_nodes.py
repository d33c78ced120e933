"""Servers that share a broker: each knows who is on a topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import wsmash
from fixtures.bus import Bus, agree, cluster, known, visiting
from fixtures.in_loop import in_loop, turns, until
from fixtures.talker import talking
from wsmash import Member, PresenceEvent
from wsmash.server import WebSocketServer
from wsmash.session.envelopes import PROTOCOL
from wsmash.topics import presence
from wsmash.topics.casts import Bye, Change, Changes, decode_cast, encode_cast

OTHER = b"o" * 16


@pytest.fixture(autouse=True)
def _without_a_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that have nobody to wait for."""
    monkeypatch.setattr(presence, "_FIRST_LOOK", 0.05)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are taken for dead after a third of a second."""
    monkeypatch.setattr(presence, "BEAT_INTERVAL", 0.05)
    monkeypatch.setattr(presence, "DEAD_AFTER", 0.3)


def node_of(server: WebSocketServer) -> bytes:
    """Its identity."""
    assert server._serving is not None
    return server._serving.nodes._presence.node


@pytest.mark.case(107)
@in_loop
async def test_members_that_are_made_up(hurried: None) -> None:
    """They are believed, since the broker let somebody say so, and have left as soon as their node is silent."""
    bus = Bus()
    async with cluster(bus.broker()) as (server,), visiting(server, info="one"):
        bus.cast(encode_cast(OTHER, Changes(1, [Change("room", "x", b'"made up"'), Change("room", "y", b"{")])))
        await agree([server], ["made up", "one"])
        await agree([server], ["one"])
        assert server.counters.left_out_members == 1


@in_loop
async def test_members_are_known_on_all_nodes() -> None:
    """Who subscribes and who leaves, with what is said of them, and of which node they are."""
    bus = Bus()
    async with cluster(bus.broker(), bus.broker(), bus.broker()) as servers:
        first, second, _ = servers
        async with visiting(first, info={"name": "Ann"}) as _, visiting(second, info="Bob"):
            await agree(servers, ["Bob", "{'name': 'Ann'}"])
            members = await first.get_presence("room")
            assert {member.id for member in members} == {
                client.id for server in servers for client in server.get_clients()
            }
            assert len({member.node for member in members}) == 2
            assert set(await second.get_presence("room")) == set(members)
        await agree(servers, [])


@in_loop
async def test_presence_without_a_broker() -> None:
    """It is known at once, and nothing is asked of anybody."""
    async with cluster("memory") as (server,), visiting(server, info=1), visiting(server, "room.a", info=2):
        assert await known(server) == ["1"]
        assert await known(server, "room.a") == ["2"]
        assert await known(server, "room.b") == []


@in_loop
async def test_what_is_asked_where_there_is_none() -> None:
    """A topic without presence, a pattern and a server that does not run have no members."""
    bus = Bus()
    async with cluster(bus.broker()) as (server,):
        for name in ("other", "room.*", "room.>", ""):
            with pytest.raises(ValueError, match=r"presence|pattern|bytes"):
                server.get_presence(name)
    with pytest.raises(wsmash.InvalidState):
        server.get_presence("room")


@in_loop
async def test_patterns_have_no_members() -> None:
    """Who is subscribed to a pattern is on none of its topics, and is not told of those who are."""
    bus = Bus()
    async with cluster(bus.broker()) as (server,), visiting(server, "room.*", info="pattern"):
        assert await known(server, "room.a") == []


@in_loop
async def test_servers_are_told_who_comes_and_leaves() -> None:
    """By the events of each node that has subscribers; a node without hears nothing."""
    bus = Bus()
    told: list[tuple[str, str, str, bool]] = []

    def listen(server: WebSocketServer, name: str) -> None:
        def tell(what: str) -> Callable[[PresenceEvent], None]:
            return lambda event: told.append((name, what, str(event.member.info), event.is_local))

        server.on("join", tell("join"))
        server.on("leave", tell("leave"))

    async with cluster(bus.broker(), bus.broker(), bus.broker()) as servers:
        first, second, _third = servers
        for server, name in zip(servers, ("first", "second", "third"), strict=True):
            listen(server, name)
        async with visiting(first, info="Ann"):
            await agree([first, second], ["Ann"])
            async with visiting(second, info="Bob"):
                await agree([first, second], ["Ann", "Bob"])
            await agree([first, second], ["Ann"])
        await agree(servers, [])
        await turns()
        assert sorted(told) == [
            ("first", "join", "Ann", True),
            ("first", "join", "Bob", False),
            ("first", "leave", "Ann", True),
            ("first", "leave", "Bob", False),
            ("second", "join", "Bob", True),
            ("second", "leave", "Bob", True),
        ]


@in_loop
async def test_what_others_may_know_of_a_client() -> None:
    """What `subscribe` is given, else what the server keeps of it for that, else the name of its user, else nothing."""
    secret = {"name": "Ann", "password": "secret"}
    async with cluster("memory") as (server,):
        told: list[tuple[dict[str, Any], Any, str]] = [
            ({"user": "Ann", "presence": {"name": "A."}}, "given", "given"),
            ({"user": "Ann", "presence": {"name": "A."}}, None, "{'name': 'A.'}"),
            ({"user": "Ann"}, None, "Ann"),
            ({"user": secret}, None, "None"),
            ({"presence": object()}, None, "None"),
            ({"presence": "x" * 2000}, None, "None"),
        ]
        for state, info, shown in told:
            async with visiting(server, "other"):
                [client] = server.get_clients()
                client.state.update(state)
                await client.subscribe("room", info=info)
                assert await known(server) == [shown]
            await until(lambda: not server.get_clients())


@in_loop
async def test_something_else_is_said_of_a_member() -> None:
    """Subscribing again with another info tells it; without, it stays."""
    bus = Bus()
    async with cluster(bus.broker(), bus.broker()) as servers, visiting(servers[0], info="here"):
        await agree(servers, ["here"])
        [client] = servers[0].get_clients()
        await client.subscribe("room", info="away")
        await agree(servers, ["away"])
        await client.subscribe("room")
        await agree(servers, ["away"])


@pytest.mark.parametrize("info", [object(), "x" * 2000, float("nan")])
def test_an_info_that_is_none(info: object) -> None:
    """It is refused before the client is subscribed."""

    @in_loop
    async def scenario() -> None:
        async with cluster("memory") as (server,), visiting(server, "other"):
            [client] = server.get_clients()
            with pytest.raises((TypeError, ValueError)):
                client.subscribe("room", info=info)
            assert client.topics == ("other",)

    scenario()


@in_loop
async def test_a_client_hears_who_comes_and_leaves() -> None:
    """It asks who is there, and is told of each change from then on; a plain client hears nothing of it."""
    bus = Bus()
    options: dict[str, Any] = {"protocols": PROTOCOL, "authorize": lambda request: True}
    async with cluster(bus.broker(), bus.broker(), **options) as servers:
        first, second = servers
        async with visiting(second, info="Bob") as plain, talking(first) as talker:
            await agree([first], ["Bob"])
            reply = await talker.ask("subscribe", topic="room")
            assert reply["type"] == "reply"
            join = await talker.hear()
            assert (join["type"], join["topic"], set(join["member"])) == ("join", "room", {"id", "node"})
            reply = await talker.ask("presence", topic="room")
            assert {member.get("info") for member in reply["members"]} == {None, "Bob"}
            async with visiting(second, info={"name": "Cy"}):
                join = await talker.hear()
                assert (join["type"], join["member"]["info"]) == ("join", {"name": "Cy"})
            leave = await talker.hear()
            assert (leave["type"], leave["member"]) == ("leave", join["member"])
            assert plain == []
            error = await talker.ask("presence", topic="other")
            assert error["code"] == "no_presence"
            await talker.ask("unsubscribe", topic="room")
            await agree([second], ["Bob"])


@in_loop
async def test_a_client_of_the_package_hears_it_too() -> None:
    """By its subscription's events, and by `get_presence`."""
    bus = Bus()
    async with cluster(bus.broker(), bus.broker(), protocols=PROTOCOL, authorize=lambda request: True) as servers:
        first, second = servers
        told: list[tuple[str, Any]] = []
        async with wsmash.create_client(f"ws://127.0.0.1:{first.port}", protocols=PROTOCOL) as client:
            room = client.subscribe("room")
            room.on("join", lambda event: told.append(("join", event.member.info)))
            room.on("leave", lambda event: told.append(("leave", event.member.info)))
            await room
            async with visiting(second, info=["Bob"]):
                await until(lambda: ("join", ["Bob"]) in told)
                assert set(await client.get_presence("room")) == set(await second.get_presence("room"))
            await until(lambda: told[-1] == ("leave", ["Bob"]))
            assert told == [("join", None), ("join", ["Bob"]), ("leave", ["Bob"])]


@in_loop
async def test_a_client_that_asks_for_more_than_it_may_be_sent() -> None:
    """A list of members that would not fit into its write buffer is an error, and not the end of its connection."""
    options: dict[str, Any] = {"protocols": PROTOCOL, "authorize": lambda request: True, "max_write_buffer": 70_000}
    async with cluster("memory", **options) as (server,), talking(server) as talker:
        for number in range(100):
            server._serving.nodes._presence.join("room", str(number), "x" * 1000, 0.0)  # type: ignore[union-attr]
        error = await talker.ask("presence", topic="room")
        assert error["code"] == "too_big"


@in_loop
async def test_a_node_that_stops_says_so() -> None:
    """Its members have left before anybody takes it for dead, and one cast was enough for all of them."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker()) as (first, second),
        visiting(second, info="stays"),
        visiting(first, info="one"),
        visiting(first, info="two"),
    ):
        await agree([second], ["one", "stays", "two"])
        sent, node = len(bus.casts), node_of(first)
        await first.stop()
        await agree([second], ["stays"])
        casts = [decode_cast(data, None) for data in bus.casts[sent:]]
        assert [cast.body for cast in casts if cast.node == node] == [Bye()]


@in_loop
async def test_a_node_that_dies(hurried: None) -> None:
    """Its members leave once it has been silent for long enough."""
    bus = Bus()
    end = bus.broker()
    async with (
        cluster(end, bus.broker()) as (first, second),
        visiting(second, info="stays"),
        visiting(first, info="dies"),
    ):
        await agree([second], ["dies", "stays"])
        end._away = True
        await agree([second], ["stays"])


@pytest.mark.case(109)
@in_loop
async def test_a_short_outage_of_the_broker(hurried: None) -> None:
    """Members elsewhere are kept, and what was missed is known once it is over."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker()) as (first, second),
        visiting(first, info="one"),
        visiting(second, info="two"),
    ):
        await agree([first, second], ["one", "two"])
        bus.cut()
        async with visiting(second, info="three"):
            assert await known(first) == ["one", "two"]
            assert await known(second) == ["three", "two"] or await known(second) == ["one", "three", "two"]
            bus.mend()
            await agree([first, second], ["one", "three", "two"])


@pytest.mark.case(109)
@in_loop
async def test_a_long_outage_of_the_broker(hurried: None) -> None:
    """Members elsewhere leave as those of a dead node do, and come again when it is over."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker()) as (first, second),
        visiting(first, info="one"),
        visiting(second, info="two"),
    ):
        await agree([first, second], ["one", "two"])
        bus.cut()
        await agree([first], ["one"])
        await agree([second], ["two"])
        bus.mend()
        await agree([first, second], ["one", "two"])


@in_loop
async def test_casts_that_are_lost_and_late(hurried: None) -> None:
    """Nodes that miss a third of what they tell each other agree all the same."""
    bus = Bus()
    bus.lost, bus.late = 0.3, 0.3
    async with cluster(bus.broker(), bus.broker(), bus.broker()) as servers:
        first, second, third = servers
        async with visiting(first, info="one"), visiting(second, info="two"), visiting(third, info="three"):
            for _ in range(3):
                async with visiting(first, info="four"), visiting(second, info="five"):
                    await agree(servers, ["five", "four", "one", "three", "two"])
                await agree(servers, ["one", "three", "two"])


@in_loop
async def test_a_server_without_presence_says_nothing() -> None:
    """Not a beat."""
    bus = Bus()
    async with cluster(bus.broker(), presence=False) as (server,), visiting(server):
        await turns()
        assert bus.casts == []


def test_a_member_says_who_it_is() -> None:
    """It compares by all that is known of it, and may be in a set whatever that is."""
    member = Member("a", {"not": "hashable"}, "n")
    assert len({member, member}) == 1 and member != Member("a", None, "n")
