"""The names of the document that the product was asked for, as README's table gives them."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import wsmash

README = Path(__file__).parent.parent / "README.md"

STATES = {"CONNECTING": 0, "OPEN": 1, "CLOSING": 2, "CLOSED": 3}

CLOSE_CODES = {
    "NORMAL": 1000,
    "GOING_AWAY": 1001,
    "PROTOCOL_ERROR": 1002,
    "UNSUPPORTED_DATA": 1003,
    "RESERVED": 1004,
    "NO_STATUS": 1005,
    "ABNORMAL": 1006,
    "INVALID_FRAME_PAYLOAD_DATA": 1007,
    "POLICY_VIOLATION": 1008,
    "MESSAGE_TOO_BIG": 1009,
    "MISSING_EXTENSION": 1010,
    "INTERNAL_ERROR": 1011,
    "SERVICE_RESTART": 1012,
    "TRY_AGAIN_LATER": 1013,
    "BAD_GATEWAY": 1014,
    "TLS_HANDSHAKE": 1015,
}

CLIENT = ["connect", "send", "close", "on", "off", "get_state", "is_open", "get_url", "get_protocols"]
SERVER = ["start", "stop", "broadcast", "on", "off", "get_clients", "get_client_count", "is_started", "get_options"]


def table() -> str:
    """README's table of names."""
    text = README.read_text(encoding="utf-8")
    return text.partition("## The interface")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", CLIENT)
def test_each_method_of_a_client_is_in_the_table_and_on_both_kinds_of_client(name: str) -> None:
    """Whoever looks for a client's method finds it, on a server's connections too (which do not connect)."""
    assert f"`client.{name}(" in table()
    assert callable(getattr(wsmash.WebSocketClient, name))
    assert name == "connect" or callable(getattr(wsmash.ServerConnection, name))


@pytest.mark.parametrize("name", SERVER)
def test_each_method_of_a_server_is_in_the_table_and_there(name: str) -> None:
    """Whoever looks for a server's method finds it."""
    assert f"`server.{name}(" in table()
    assert callable(getattr(wsmash.WebSocketServer, name))


def test_what_the_package_shows_is_what_it_exports() -> None:
    """`dir` and a star import have the interface, and none of the modules it is made of."""
    shown = {name for name in dir(wsmash) if not name.startswith("__")}
    assert shown == set(wsmash.__all__) - {"__version__"} and "WebSocketError" in shown
    assert not [name for name in shown if isinstance(getattr(wsmash, name), ModuleType)]
    starred: dict[str, object] = {}
    exec("from wsmash import *", starred)
    assert starred.keys() - {"__builtins__"} == set(wsmash.__all__)


def test_every_function_in_the_table_is_exported() -> None:
    """What the table names without an object in front of it is a name of the package."""
    right = "".join(re.findall(r"\|[^|]*\|([^|]*)\|\n", table()))
    names = set(re.findall(r"`(?:wsmash\.)?([A-Za-z_]+)[(`]", right)) - {"str"}
    assert {"create_client", "WebSocketClient", "create_server", "is_valid_url", "State", "CloseCode", "run"} <= names
    assert [name for name in names if not hasattr(wsmash, name)] == []


def test_the_constants_have_the_document_s_names_and_values() -> None:
    """Both enumerations, and the document's own names for them."""
    assert {each.name: each.value for each in wsmash.State} == STATES
    assert {each.name: each.value for each in wsmash.CloseCode} == CLOSE_CODES
    assert wsmash.STATES is wsmash.State and wsmash.CLOSE_CODES is wsmash.CloseCode


def test_the_events_are_the_document_s() -> None:
    """Names and fields of the events, on clients and on servers."""
    assert wsmash.ServerConnection.EVENTS == ("open", "message", "close", "error")
    assert wsmash.WebSocketClient.EVENTS == ("open", "message", "close", "error", "reconnecting", "dropped")
    assert wsmash.WebSocketServer.EVENTS == (
        "connection", "close", "error", "degraded", "restored", "gap", "join", "leave",
    )  # fmt: skip
    for event, field in [
        (wsmash.MessageEvent, "data"),
        (wsmash.CloseEvent, "code"),
        (wsmash.CloseEvent, "reason"),
        (wsmash.CloseEvent, "was_clean"),
        (wsmash.ErrorEvent, "error"),
        (wsmash.ConnectionEvent, "client"),
        (wsmash.ConnectionEvent, "request"),
    ]:
        assert hasattr(event, field)


def test_the_defaults_of_a_server_are_the_document_s() -> None:
    """Port 8080 on localhost, at the path /."""
    options = wsmash.create_server().get_options()
    assert (options.port, options.host, options.path) == (8080, "localhost", "/")
