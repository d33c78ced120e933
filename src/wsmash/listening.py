"""Listening sockets: TCP on every address that a host stands for, or a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from .options import ServerOptions

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What binding to an address meets that this machine lacks."""

_TRIES_FOR_ONE_PORT = 8


async def open_sockets(options: ServerOptions) -> list[socket.socket]:
    """The sockets that the options ask for, bound and listening.

    Raises:
        OSError: nothing could be bound, or a port is in use.
    """
    sockets = await bind_sockets(options)
    try:
        for sock in sockets:
            sock.listen(options.backlog)
            sock.setblocking(False)
    except OSError:
        close_all(sockets)
        raise
    return sockets


async def bind_sockets(options: ServerOptions) -> list[socket.socket]:
    """The same, bound alone: nobody can connect to them yet.

    Raises:
        OSError: nothing could be bound, or a port is in use.
    """
    if options.sockets:
        return list(options.sockets)
    if options.unix is not None:
        return [_bind_unix(os.fspath(options.unix))]
    return await _bind_hosts(options)


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Let go of sockets that are not listened on after all."""
    for sock in sockets:
        sock.close()


def remove_unix(options: ServerOptions) -> None:
    """Take away the file of a Unix socket that was closed."""
    if options.unix is not None:
        with contextlib.suppress(OSError):  # taken away by somebody else
            Path(options.unix).unlink()


def is_loopback_only(sockets: list[socket.socket]) -> bool:
    """Whether no other machine can reach these sockets."""
    for sock in sockets:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            host = sock.getsockname()[0].partition("%")[0]
            if not ip_address(host).is_loopback:
                return False
    return True


async def _bind_hosts(options: ServerOptions) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    hosts = [options.host] if options.host is None or isinstance(options.host, str) else list(options.host)
    addresses: dict[tuple[int, Any], None] = {}
    for host in hosts:
        try:
            found = await loop.getaddrinfo(host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            number, what = (error.errno, error.strerror) if isinstance(error, OSError) else (None, error)
            raise OSError(number, f"cannot look up {host}: {what}") from error
        addresses.update(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for left in reversed(range(_TRIES_FOR_ONE_PORT)):
        try:
            return _bind_all(list(addresses), options)
        except OSError as error:
            # Port 0: the port that the first address got may be taken on the next one.
            if options.port != 0 or error.errno != errno.EADDRINUSE or not left:
                raise
    raise AssertionError("unreachable")


def _bind_all(addresses: list[tuple[int, Any]], options: ServerOptions) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    port = options.port
    try:
        for family, address in addresses:
            try:
                sock = _bind(family, (address[0], port, *address[2:]), options)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
        if not sockets:
            raise absent or OSError(errno.EADDRNOTAVAIL, f"no address to listen on for {options.host!r}")
    except BaseException:
        close_all(sockets)
        raise
    return sockets


def _bind(family: int, address: Any, options: ServerOptions) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        raise OSError(error.errno, f"cannot listen on {host}:{address[1]}: {os.strerror(error.errno or 0)}") from error
    return sock


def _bind_unix(path: str) -> socket.socket:
    """Bind, in place of a socket file that nobody listens on any more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_stale(path):
            Path(path).unlink()
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {path}: {os.strerror(error.errno or 0)}") from error
    return sock


def _is_stale(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server whose queue is full is alive too
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
