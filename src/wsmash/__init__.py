"""WebSockets for Python: client and server, event-based, strict."""

from ._version import __version__
from .auth import basic_auth, bearer_auth
from .certificates import Certificate
from .client import Connecting, WebSocketClient, connect, create_client
from .constants import CLOSE_CODES, STATES, CloseCode, State
from .endpoint import ConnectionEvent, Endpoint, ServerConnection
from .errors import (
    BrokerError,
    BrokerUnavailable,
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    InvalidMessage,
    InvalidState,
    InvalidURL,
    LoadError,
    MessageTooBig,
    OpenTimeout,
    OutcomeUnknown,
    ProtocolError,
    ProxyError,
    RequestError,
    RequestTimeout,
    SlowConsumer,
    WebSocketError,
    WorkerError,
)
from .options import ClientOptions, Deflate, OfflineQueue, Outage, Reconnect, ReconnectPolicy, ServerOptions
from .publishing import GapEvent, PresenceEvent, ServerEvent
from .run import run
from .runtime.connection import WebSocketConnection
from .runtime.counters import ServerCounters
from .runtime.events import CloseEvent, DroppedEvent, ErrorEvent, MessageEvent, OpenEvent, ReconnectingEvent
from .runtime.owner import Counters
from .sansio.head import Request, Response
from .sansio.headers import Headers
from .server import WebSocketServer, create_server
from .session.calls import ClientRequest
from .session.events import TopicEvent, TopicGap, TopicMessage, TopicPresence, TopicRefused, TopicSubscribed
from .session.methods import RequestEvent
from .session.subscription import Subscription
from .topics.access import TopicRequest
from .topics.brokers.base import Broker
from .topics.members import Member
from .topics.policy import TopicPolicy
from .topics.position import Position
from .topics.subscriber import Subscribed
from .transports.choice import Engine, engine
from .urls import http_to_ws_url, is_valid_url

__all__ = [
    "CLOSE_CODES",
    "STATES",
    "Broker",
    "BrokerError",
    "BrokerUnavailable",
    "Certificate",
    "ClientOptions",
    "ClientRequest",
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
    "GapEvent",
    "HandshakeError",
    "Headers",
    "InvalidMessage",
    "InvalidState",
    "InvalidURL",
    "LoadError",
    "Member",
    "MessageEvent",
    "MessageTooBig",
    "OfflineQueue",
    "OpenEvent",
    "OpenTimeout",
    "Outage",
    "OutcomeUnknown",
    "Position",
    "PresenceEvent",
    "ProtocolError",
    "ProxyError",
    "Reconnect",
    "ReconnectPolicy",
    "ReconnectingEvent",
    "Request",
    "RequestError",
    "RequestEvent",
    "RequestTimeout",
    "Response",
    "ServerConnection",
    "ServerCounters",
    "ServerEvent",
    "ServerOptions",
    "SlowConsumer",
    "State",
    "Subscribed",
    "Subscription",
    "TopicEvent",
    "TopicGap",
    "TopicMessage",
    "TopicPolicy",
    "TopicPresence",
    "TopicRefused",
    "TopicRequest",
    "TopicSubscribed",
    "WebSocketClient",
    "WebSocketConnection",
    "WebSocketError",
    "WebSocketServer",
    "WorkerError",
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
