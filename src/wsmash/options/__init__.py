"""Every option of a client and of a server: its name, its default, what it may be.

A default here is a promise, and tested. Times are in seconds, sizes in bytes,
and None means no limit. `WebSocketClient` and `WebSocketServer` take the
parameters of `ClientOptions` and `ServerOptions`, which check them.
"""

from __future__ import annotations

from .checks import check_protocols as check_protocols
from .checks import check_seconds as check_seconds
from .client import ClientOptions as ClientOptions
from .compression import Deflate as Deflate
from .connection import KIB as KIB
from .connection import MIB as MIB
from .connection import ConnectionOptions as ConnectionOptions
from .connection import Limits as Limits
from .offline import OfflineQueue as OfflineQueue
from .reconnect import Outage as Outage
from .reconnect import Reconnect as Reconnect
from .reconnect import ReconnectPolicy as ReconnectPolicy
from .server import ServerOptions as ServerOptions
