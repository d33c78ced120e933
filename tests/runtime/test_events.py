"""What callbacks are given: small immutable objects that show what they hold."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict

import pytest

from fixtures.clock import virtual
from fixtures.ends import Record, end, open_client_end, open_server_end
from wsmash.endpoint import ConnectionEvent
from wsmash.errors import InvalidMessage, ProtocolError
from wsmash.publishing import ServerEvent
from wsmash.runtime.events import CloseEvent, DroppedEvent, ErrorEvent, MessageEvent, OpenEvent, ReconnectingEvent
from wsmash.server import create_server

client: Any = "the client"

EVENTS = [
    OpenEvent(client),
    MessageEvent(client, "text"),
    CloseEvent(client, 1000, "bye", (1000, "bye"), (1000, "bye")),
    ErrorEvent(client, ProtocolError("fault", 1002)),
    ConnectionEvent(client),
    ReconnectingEvent(client, 2, 7.5, OSError("fault"), 1006, "gone"),
    DroppedEvent(client, b"data", "expired"),
    ServerEvent(create_server(), OSError("fault")),
]

ids = [type(event).__name__ for event in EVENTS]


@pytest.mark.parametrize("event", EVENTS, ids=ids)
def test_events_are_immutable(event: Any) -> None:
    """No attribute can be set, added or deleted."""
    names = [name for kind in type(event).__mro__ for name in getattr(kind, "__slots__", ())]
    assert names
    for name in [*names, "new", "was_clean"]:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(event, name, None)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(event, name)


@pytest.mark.parametrize("event", EVENTS, ids=ids)
def test_events_have_no_dict(event: Any) -> None:
    """Slots alone: an event costs little."""
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("event", EVENTS[:-1], ids=ids[:-1])
def test_every_event_of_a_connection_has_its_client(event: Any) -> None:
    """`event.client` is the connection."""
    assert event.client is client


def test_reprs_show_what_an_event_holds() -> None:
    """By name, and a message's data cut."""
    assert repr(EVENTS[0]) == "OpenEvent(reconnected=False)"
    assert repr(EVENTS[1]) == "MessageEvent(data='text')"
    assert repr(EVENTS[2]) == "CloseEvent(code=1000, reason='bye', received=(1000, 'bye'), sent=(1000, 'bye'))"
    assert repr(EVENTS[3]) == "ErrorEvent(error=ProtocolError('fault'))"
    assert repr(EVENTS[5]) == (
        "ReconnectingEvent(attempt=2, code=1006, delay=7.5, error=OSError('fault'), reason='gone')"
    )
    assert repr(EVENTS[6]) == "DroppedEvent(data=b'data', reason='expired')"
    assert repr(EVENTS[7]) == "ServerEvent(error=OSError('fault'), server=<WebSocketServer NEW port=8080 clients=0>)"
    assert len(repr(MessageEvent(client, "x" * 1_000_000))) < 120
    assert len(repr(MessageEvent(client, b"x" * 1_000_000))) < 120


@pytest.mark.case(46, 104)
def test_a_repr_escapes_what_a_peer_chose() -> None:
    """Control characters of a message or a reason do not reach a terminal."""
    for event in (MessageEvent(client, "\x1b[31m\r\n"), CloseEvent(client, 1000, "\x1b[31m\r\n")):
        assert repr(event).isprintable()


@pytest.mark.parametrize(
    ("sent", "received", "clean"),
    [
        (None, None, False),
        ((1000, ""), None, False),
        (None, (1000, ""), False),
        ((1000, ""), (1000, ""), True),
    ],
)
def test_was_clean_means_that_both_close_frames_passed(sent: Any, received: Any, clean: bool) -> None:
    """One alone is not enough."""
    assert CloseEvent(client, 1000, "", sent, received).was_clean is clean


class Named(TypedDict):
    """A typed dict."""

    name: str


@dataclasses.dataclass
class Person:
    """A dataclass."""

    name: str


@pytest.mark.parametrize("data", ['{"name":"Ada"}', b'{"name":"Ada"}'])
@virtual
async def test_json_parses_text_and_binary(data: str | bytes) -> None:
    """`event.json()` gives the value, `event.json(type)` the value as that type."""
    connection, channel = open_server_end()
    record = Record(connection, "message")
    channel.message(data)
    event: MessageEvent = record.last
    assert event.json() == {"name": "Ada"}
    assert event.json(Person) == Person("Ada")
    assert event.json(Named) == {"name": "Ada"}
    end(connection)


@virtual
async def test_json_says_which_field_is_wrong() -> None:
    """A message that is not of the type is `InvalidMessage`, with the path of the field."""
    connection, channel = open_client_end()
    record = Record(connection, "message")
    channel.message('{"name":1}')
    with pytest.raises(InvalidMessage, match=r"\$\.name"):
        record.last.json(Person)
    end(connection)


@virtual
async def test_json_is_parsed_once() -> None:
    """Asked again, the same object comes back."""
    connection, channel = open_client_end()
    record = Record(connection, "message")
    channel.message("[1]")
    assert record.last.json() is record.last.json()
    numbers = list[int]
    assert record.last.json(numbers) is record.last.json(numbers)
    end(connection)


@virtual
async def test_json_is_of_the_declared_type() -> None:
    """Where a `message_type` was declared, `event.json()` gives that."""
    connection, channel = open_server_end(message_type=Person)
    record = Record(connection, "message")
    channel.message('{"name":"Ada"}')
    assert record.last.json() == Person("Ada")
    end(connection)
