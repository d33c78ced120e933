"""The native engine as a driver, where it was built and runs; the one file that imports the binding.

The binding is chosen once, when this is imported: `missing` then says why there is
none, and the portable driver does the same in pure Python.
"""

from __future__ import annotations

import functools
import logging
import os
import ssl
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import Any, TypeVar

from .base import TLS, ByteHandler, Channel, Connected, Group, Listener, prepare
from .tls import TLSPump

logger = logging.getLogger("wsmash")

F = TypeVar("F", bound=Callable[..., Any])
"""Functions, and classes, which are called too."""

VARIABLE = "WSMASH_ENGINE"
"""The environment variable that chooses: "native", "portable", or "auto" for the native one wherever it runs."""

CHOICES = ("auto", "native", "portable")


def _chosen() -> str:
    choice = os.environ.get(VARIABLE, "").strip().lower() or "auto"
    if choice not in CHOICES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(CHOICES)}, and is {choice!r:.75}")
    return choice


def _load() -> tuple[Any, Any, str]:
    """The codec, the engine, and why there are none."""
    if _chosen() == "portable":
        return None, None, f"{VARIABLE}=portable"
    if sys.platform != "linux":
        return None, None, f"it stands on Linux' epoll, and this is {sys.platform}"
    if sys.implementation.name != "cpython":
        return None, None, f"it is an extension of CPython, and this is {sys.implementation.name}"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():  # asked for since 3.13; there was no other way before
        return None, None, "this interpreter runs without its global lock"
    try:
        from .._native import codec, engine  # noqa: PLC0415  # whether it can be imported is what is asked here
    except ImportError as error:
        if find_spec("wsmash._native.engine") is None:
            return None, None, f"it was not built: {_what_was_missing()}"
        logger.warning("the native engine cannot be loaded, and the portable one runs in its place: %s", error)
        return None, None, f"it cannot be loaded: {error}"
    return codec, engine, ""


def _what_was_missing() -> str:
    """What `setup.py` wrote down in place of the modules."""
    note = Path(__file__).parents[1] / "_native" / f"unbuilt.{sys.implementation.cache_tag}.txt"
    try:
        return note.read_text(encoding="utf-8").strip()
    except OSError:
        return "WSMASH_BUILD=pure left it out, or nothing was built for this Python"


codec, _engine, missing = _load()
"""The twin of `sansio/receiver.py` and `sansio/sender.py`; the engine; why there are none."""

if missing and _chosen() == "native":
    raise ImportError(f"{VARIABLE}=native asks for the native engine, but {missing}")


def why_not(loop: AbstractEventLoop) -> str:
    """Why the engine cannot run on this loop; empty where it can."""
    if missing:
        return missing
    if type(loop).add_reader is AbstractEventLoop.add_reader or "Proactor" in type(loop).__name__:
        return f"{type(loop).__name__} has no add_reader"
    return ""


class NativeDriver:
    """See `base.Driver`."""

    name = "native"

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._engine = _engine.Engine(loop)
        # Of all TLS sessions: see `_native/tls.pxi`.
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def listen(
        self, sock: socket, on_socket: Callable[[Connected], None], on_failure: Callable[[OSError], None]
    ) -> Listener:
        sock.setblocking(False)
        return self._engine.listen(sock, on_socket, on_failure)  # type: ignore[no-any-return]

    def attach(self, sock: Connected, handler: ByteHandler, tls: TLS | None = None, received: bytes = b"") -> Channel:
        if isinstance(sock, socket):  # and not what the engine has accepted
            prepare(sock)
        pump = None if tls is None else self._engine.pump(TLSPump, tls, self._incoming, self._outgoing)
        return self._engine.attach(sock, handler, pump, received)  # type: ignore[no-any-return]

    def group(self, on_slow: Callable[[Channel, bool], None]) -> Group:
        return self._engine.group(on_slow)  # type: ignore[no-any-return]


def shortened(slow: F) -> F:
    """A method of a connection with the engine's short way before it; as it is where there is no engine."""
    if _engine is None:
        return slow
    return functools.update_wrapper(_engine.SHORTENED[slow.__name__](slow), slow)  # type: ignore[return-value]


def twin(pure: F) -> F:
    """A class or function, or in its place the engine's of the same name, which does the same."""
    return pure if _engine is None else getattr(_engine, pure.__name__)


def maker_of(event: F) -> F:
    """What the engine makes a message's event with; its class itself where there is no engine."""
    return event if _engine is None else _engine.make_event


def take_shortcuts(**what: Any) -> None:
    """Tell the engine what it may do for a connection without asking it; see `_native/shortcuts.pxi`."""
    if _engine is not None:
        _engine.take_shortcuts(**what)
