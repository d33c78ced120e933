"""Ways to a server: name lookup and happy eyeballs (RFC 8305), or a Unix socket. What comes back is a socket."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from typing import Any, cast

import aiohappyeyeballs

from ..errors import ConnectError

EYEBALLS_DELAY = 0.25
"""Seconds before the next address is tried beside the one that has not answered (RFC 8305 5)."""


async def dial(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket.

    Raises:
        ConnectError: the name is unknown, or no address answered; its causes are
            what each address met.
    """
    loop = asyncio.get_running_loop()
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found: list[Any] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(f"cannot look up {host}: {error.strerror or error}", errno=error.errno) from error
    except UnicodeError as error:
        raise ConnectError(f"cannot look up {host}: {error}") from error
    met = _Met(loop)
    try:
        return await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=EYEBALLS_DELAY, interleave=1, loop=cast(asyncio.AbstractEventLoop, met)
        )
    except (OSError, RuntimeError) as error:  # uvloop has RuntimeErrors of its own
        raise _connect_error(place, error, met.causes) from error


async def dial_unix(path: str | os.PathLike[str]) -> socket.socket:
    """The same for a Unix socket."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, os.fspath(path))
    except OSError as error:
        sock.close()
        raise _connect_error(os.fspath(path), error, [error]) from error
    except BaseException:
        sock.close()
        raise
    return sock


class _Met:
    """The loop, remembering what each attempt to connect met."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.causes: list[BaseException] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await self._loop.sock_connect(sock, address)
        except (OSError, RuntimeError) as error:
            self.causes.append(error)
            raise


def _connect_error(place: str, error: BaseException, causes: Sequence[BaseException]) -> ConnectError:
    number = error.errno if isinstance(error, OSError) else None
    for each in causes:
        number = number or (each.errno if isinstance(each, OSError) else None)
    what = os.strerror(number) if number is not None and number in errno.errorcode else str(error)
    return ConnectError(f"cannot connect to {place}: {what}", errno=number, causes=causes or [error])
