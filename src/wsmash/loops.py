"""The event loop of a process that has no other: uvloop's where it is installed."""

from __future__ import annotations

import asyncio

try:
    from uvloop import new_event_loop
except ImportError:
    # Sockets are read by readiness, which Windows' default loop does not tell.
    new_event_loop = asyncio.SelectorEventLoop  # type: ignore[assignment]

__all__ = ["new_event_loop"]
