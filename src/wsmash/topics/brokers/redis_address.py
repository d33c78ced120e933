"""Where a Redis server is, by its URL, and the way in; the rest of a connection is `redis_link`'s."""

from __future__ import annotations

import re
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import ConnectionPool
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ...errors import BrokerError, BrokerUnavailable
from .base import TIMEOUT

OPTIONS: Final = frozenset(
    {
        "client_name",
        "db",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_password",
    }
)
"""What may stand behind the `?` of a URL."""


class Address:
    """Where a Redis server is: `redis://`, `rediss://` (TLS) or `unix://`.

    Attributes:
        place: where it is, for people: without user and password.

    Raises:
        ValueError: this is no such URL; the text, which never holds a password, says why.
    """

    def __init__(self, url: str) -> None:
        try:
            self.place = _check(url)
            # Nobody's name can be checked who is not verified; and before redis 7 the package does not know that.
            is_unverified = dict(parse_qsl(urlsplit(url).query)).get("ssl_cert_reqs") == "none"
            unverified = {"ssl_check_hostname": False} if is_unverified else {}
            times = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
            self._pool = ConnectionPool.from_url(url, protocol=2, client_name="wsmash", **times, **unverified)
        except ValueError as error:
            raise ValueError(f"a Redis URL {error}") from None

    async def connect(self) -> tuple[StreamReader, StreamWriter]:
        """Connect, with TLS, user, password and database as the URL says.

        Raises:
            BrokerUnavailable: there is no answer.
            BrokerError: there is, and it does not let us in.
        """
        connection = cast(Any, self._pool).make_connection()
        try:
            await connection.connect()
            reader, writer = connection._reader, connection._writer
            connection._reader = connection._writer = None  # it has done its work, and must not close them
        except (RedisError, OSError) as error:
            kind = BrokerError if _is_refusal(error) else BrokerUnavailable
            raise kind(f"cannot use Redis at {self.place}: {error!s:.300}") from error
        finally:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
        return reader, writer


def _check(url: str) -> str:
    """What names the server of a URL for people; a ValueError's text holds nothing of the URL."""
    try:
        parts = urlsplit(url)
        port, options = parts.port, dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise ValueError("names a host and a port; what is special in its password is percent-encoded") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("begins with redis://, rediss:// or unix://")
    if parts.fragment:
        raise ValueError("has no '#' in it; what is special in its password is percent-encoded")
    if not OPTIONS.issuperset(options):
        raise ValueError(f"has no other options than {', '.join(sorted(OPTIONS))}")
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise ValueError("has options of TLS only where it begins with rediss://")
    if options.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise ValueError("has ssl_cert_reqs=none, optional or required")
    if not re.fullmatch(r"\d{0,9}", options.get("db", "")):
        raise ValueError("has a number as its db")
    if parts.scheme == "unix":
        if parts.hostname or not parts.path:
            raise ValueError("names a path after unix://, as unix:///run/redis/redis.sock")
        return unquote(parts.path)
    if not parts.hostname:
        raise ValueError("names a host")
    if not re.fullmatch(r"/?|/\d{1,9}", parts.path):
        raise ValueError("has a number behind the host, of the database, or nothing")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port or 6379}"


def _is_refusal(error: BaseException) -> bool:
    """Whether the server is there, and it is its set-up or ours that is wrong."""
    inner = error.__cause__ or error.__context__
    return isinstance(error, (AuthenticationError, ResponseError)) or isinstance(inner, ssl.SSLCertVerificationError)
