"""The URL of NATS servers: `nats://user:password@host:4222,host2:4222?replicas=3`, and tls:// for TLS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

PORT = 4222


class Address(NamedTuple):
    """One server's.

    Attributes:
        host: its name or address.
        port: its TCP port.
        secure: whether TLS has to be spoken.
    """

    host: str
    port: int
    secure: bool


@dataclass(kw_only=True)
class Account:
    """Who the servers are told that this is. What is secret is in no text.

    Attributes:
        user: a name, with `password`.
        password: its password.
        token: a token, where there is no name.
        credentials: the path of a file of credentials (a JWT and its key), or None.
        tls: what TLS is spoken with, or None for the system's certificates.
    """

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: str | None = None
    tls: ssl.SSLContext | None = None


class NatsURL(NamedTuple):
    """What a URL says."""

    addresses: tuple[Address, ...]
    account: Account
    replicas: int


def parse_nats_url(url: str) -> NatsURL:
    """Its parts.

    Raises:
        ValueError: it is no such URL; the text does not show it, since it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("nats", "tls"):
        raise ValueError("a URL of NATS begins with nats:// or tls://")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("a URL of NATS has neither a path nor a fragment")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    return NatsURL(
        tuple(_address(host, parts.scheme == "tls") for host in hosts.split(",")),
        _account(userinfo),
        _replicas(parts.query),
    )


def told_addresses(server: Mapping[str, Any], *, secure: bool) -> tuple[Address, ...]:
    """Those of a server's cluster, as it says itself; they have its URL's credentials, and speak TLS if it has to."""
    found = []
    for host in server.get("connect_urls") or ():
        with suppress(ValueError):
            found.append(_address(str(host), secure))
    return tuple(found)


def _address(host: str, secure: bool) -> Address:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a URL of NATS names hosts and ports, as nats://host:4222") from None
    if not name:
        raise ValueError("a URL of NATS names a host, as nats://host:4222")
    return Address(name, PORT if port is None else port, secure)


def _account(userinfo: str) -> Account:
    if not userinfo:
        return Account()
    name, colon, password = userinfo.partition(":")
    if not colon:
        return Account(token=unquote(name))
    return Account(user=unquote(name), password=unquote(password))


def _replicas(query: str) -> int:
    found = dict(parse_qsl(query, keep_blank_values=True))
    text = found.pop("replicas", "1")
    if found:
        raise ValueError(f"a URL of NATS has no parameter {next(iter(found))!r:.75}, only replicas=1, 3 or 5")
    if text not in ("1", "3", "5"):
        raise ValueError(f"replicas in a URL of NATS is 1, 3 or 5, and not {text!r:.75}")
    return int(text)
