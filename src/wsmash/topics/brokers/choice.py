"""Which broker a URL names. What needs a package that is not installed is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from ...errors import BrokerError
from .base import Broker

SCHEMES: Final = {"redis": "redis", "rediss": "redis", "unix": "redis", "nats": "nats", "tls": "nats"}
"""Of URLs, and the module that serves them, which is also the name of the extra of its package."""

_CLASSES: Final = {"redis": "RedisBroker", "nats": "NatsBroker"}


def make_broker(url: str, namespace: str) -> Broker:
    """The broker behind a URL; it is not connected yet.

    Args:
        url: `redis://...`, `rediss://...`, `unix:///...` (Redis), `nats://...` or `tls://...` (NATS over TLS).
        namespace: what the names of all that it keeps begin with.

    Raises:
        ValueError: no broker has such URLs.
        BrokerError: the package that speaks to it is not installed.
    """
    scheme = url.partition("://")[0]
    name = SCHEMES.get(scheme)
    if name is None:
        raise ValueError(f"no broker is known for {scheme}:// URLs: they begin with {'://, '.join(SCHEMES)}://")
    try:
        module = import_module(f".{name}", __package__)
    except ImportError as error:
        raise BrokerError(f"{name}'s client is not installed: pip install 'wsmash[{name}]'") from error
    return cast(Broker, getattr(module, _CLASSES[name])(url, namespace))
