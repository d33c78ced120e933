"""One attempt to connect: the server is dialled, secured and asked, and its answer is read, within `open_timeout`."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import cast

from ._version import __version__
from .errors import ConnectError, OpenTimeout, WebSocketError
from .options import ClientOptions
from .runtime.actions import retrieve
from .runtime.environment import Environment
from .runtime.opening import ClientOpening
from .sansio.deflate_negotiation import offer
from .sansio.handshake import Agreement, build_request
from .sansio.head import Request
from .sansio.headers import checked_pairs, format_extension
from .sansio.http1 import ParsedHead, encode_request
from .transports.base import TLS, Channel
from .transports.dial import dial, dial_unix
from .urls import WebSocketURL

logger = logging.getLogger("wsmash")

USER_AGENT = f"wsmash/{__version__}"

Accepted = Callable[[Channel, ParsedHead, Agreement, bytes], None]
"""Who takes over where the server said yes: given the channel, paused, the answer's head, what was agreed on, and
the bytes that followed. It is called while the answer is read, so that nothing can come between."""


class Attempt:
    """One attempt, which ends when the server has answered; the attempt knows no client, and fires no event."""

    __slots__ = ("_address", "_environment", "_options", "_sent")

    def __init__(self, options: ClientOptions, environment: Environment) -> None:
        self._options = options
        self._environment = environment
        self._address = options.address
        self._sent: bytes | None = None

    @property
    def request(self) -> Request | None:
        """The request that was sent; None before."""
        return None if self._sent is None else Request(self._sent, secure=self._address.secure)

    async def run(self, accepted: Accepted) -> None:
        """Connect, and hand the channel over. Cancelling it leaves nothing behind, unless that was done.

        Raises:
            ConnectError: the server was not reached, or TLS failed.
            HandshakeError: it answered, but not with a valid 101.
            OpenTimeout: that took longer than `open_timeout`.
        """
        answered: asyncio.Future[None] = self._environment.loop.create_future()
        answered.add_done_callback(retrieve)
        opening: ClientOpening | None = None
        try:
            async with asyncio.timeout(self._options.open_timeout) as limit:
                opening = self._ask(await self._dial(), accepted, answered)
                await answered
        except (Exception, asyncio.CancelledError) as error:
            if answered.done() and not answered.cancelled() and answered.exception() is None:
                if limit.expired():
                    return  # it was handed over in the turn in which the time was up
                raise
            if opening is not None:
                cast(Channel, opening.channel).abort()
            if isinstance(error, TimeoutError) and limit.expired():
                raise self._late(opening) from error
            if isinstance(error, (WebSocketError, asyncio.CancelledError)):
                raise
            raise ConnectError(f"cannot connect: {error}") from error
        finally:
            answered.cancel()  # what the opening hears from now on is of no interest

    async def _dial(self) -> socket.socket:
        options, address = self._options, self._address
        return await (dial(address.host, address.port) if options.unix is None else dial_unix(options.unix))

    def _ask(self, sock: socket.socket, accepted: Accepted, answered: asyncio.Future[None]) -> ClientOpening:
        """Send the request; who waits for `answered` hears how that ends."""
        options = self._options
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self._sent = encode_opening(options, self._address, key)
        opening = ClientOpening(key, options, tuple(options.protocols), accepted, answered)
        try:
            opening.channel = self._environment.driver.attach(sock, opening, self._tls())
        except BaseException:  # such as a name that TLS does not take
            sock.close()
            raise
        opening.channel.write(self._sent)
        return opening

    def _tls(self) -> TLS | None:
        address, context = self._address, self._options.ssl
        if not address.secure:
            return None
        if context is None:
            context = _default_context()
        elif context.verify_mode is ssl.CERT_NONE:
            logger.warning("the certificate of %s is not verified: its ssl context says so", address.host)
        return TLS(context, server_side=False, server_hostname=address.host)

    def _late(self, opening: ClientOpening | None) -> WebSocketError:
        """The time is up. Where all but the end of a refusal's body was there, it is that refusal."""
        refusal = None if opening is None else opening.refusal()
        timeout = self._options.open_timeout
        return refusal or OpenTimeout(f"the connection to {self._address.redacted} was not open within {timeout} s")


def encode_opening(options: ClientOptions, address: WebSocketURL, key: str) -> bytes:
    """The head of the request that asks this address for a connection.

    Raises:
        ValueError, TypeError: the options hold a header, a cookie or a credential that cannot be sent.
    """
    request = build_request(
        address,
        key,
        protocols=tuple(options.protocols),
        extension_offer=None if options.deflate is None else format_extension(offer(options.deflate)),
        headers=checked_pairs(options.headers),
        cookies=options.cookies,
        auth=options.auth,
        user_agent=USER_AGENT,
    )
    return encode_request("GET", request.target, request.headers)


@functools.cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()
