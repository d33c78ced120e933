"""WebSockets for Python: client and server, event-based, strict."""

from ._version import __version__
from .auth import basic_auth, bearer_auth
from .certificates import Certificate
from .client import Connecting, WebSocketClient, connect, create_client
from .constants import CLOSE_CODES, STATES, CloseCode, State
from .endpoint import ConnectionEvent, Endpoint, ServerConnection
from .errors import (
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    InvalidMessage,
    InvalidState,
    InvalidURL,
    MessageTooBig,
    OpenTimeout,
    ProtocolError,
    ProxyError,
    SlowConsumer,
    WebSocketError,
)
from .options import ClientOptions, Deflate, OfflineQueue, Outage, Reconnect, ReconnectPolicy, ServerOptions
from .run import run
from .runtime.connection import WebSocketConnection
from .runtime.counters import ServerCounters
from .runtime.events import CloseEvent, DroppedEvent, ErrorEvent, MessageEvent, OpenEvent, ReconnectingEvent
from .runtime.owner import Counters
from .sansio.head import Request, Response
from .sansio.headers import Headers
from .server import ServerEvent, WebSocketServer, create_server
from .transports.choice import Engine, engine
from .urls import http_to_ws_url, is_valid_url

__all__ = [
    "CLOSE_CODES",
    "STATES",
    "Certificate",
    "ClientOptions",
    "CloseCode",
    "CloseEvent",
    "ConnectError",
    "Connecting",
    "ConnectionClosed",
    "ConnectionEvent",
    "Counters",
    "Deflate",
    "DroppedEvent",
    "Endpoint",
    "Engine",
    "ErrorEvent",
    "HandshakeError",
    "Headers",
    "InvalidMessage",
    "InvalidState",
    "InvalidURL",
    "MessageEvent",
    "MessageTooBig",
    "OfflineQueue",
    "OpenEvent",
    "OpenTimeout",
    "Outage",
    "ProtocolError",
    "ProxyError",
    "Reconnect",
    "ReconnectPolicy",
    "ReconnectingEvent",
    "Request",
    "Response",
    "ServerConnection",
    "ServerCounters",
    "ServerEvent",
    "ServerOptions",
    "SlowConsumer",
    "State",
    "WebSocketClient",
    "WebSocketConnection",
    "WebSocketError",
    "WebSocketServer",
    "__version__",
    "basic_auth",
    "bearer_auth",
    "connect",
    "create_client",
    "create_server",
    "engine",
    "http_to_ws_url",
    "is_valid_url",
    "run",
]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
