"""One attempt to connect: a server is dialled, secured and asked, and its answer read and, if need be, followed.

All of that, every redirect with its dial, is within one `open_timeout`.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from .constants import USER_AGENT
from .errors import ConnectError, OpenTimeout, ProxyError, WebSocketError
from .options import ClientOptions
from .proxies import Proxy, environment_proxy, parse_proxy
from .runtime.actions import retrieve
from .runtime.client_opening import ClientOpening
from .runtime.environment import Environment
from .runtime.opening import head_limits
from .sansio.deflate_negotiation import offer
from .sansio.handshake import Agreement, build_request
from .sansio.head import Request
from .sansio.headers import checked_pairs, format_extension
from .sansio.http1 import ParsedHead, encode_request
from .sansio.redirect import FOR_ANYBODY, redirect_target, same_origin
from .transports.base import TLS, Channel
from .transports.dial import dial, dial_unix
from .transports.proxy import dial_through
from .transports.tunnel import Tunnel
from .urls import WebSocketURL

logger = logging.getLogger("wsmash")

Accepted = Callable[[Channel, ParsedHead, Agreement, bytes], None]
"""Who takes over where the server said yes: given the channel, paused, the answer's head, what was agreed on, and
the bytes that followed. It is called while the answer is read, so that nothing can come between."""


class Attempt:
    """One attempt, which ends when a server has said yes or no; it knows no client, and fires no event."""

    __slots__ = ("_address", "_environment", "_opening", "_options", "_proxy", "_sent", "_visited")

    def __init__(self, options: ClientOptions, environment: Environment) -> None:
        self._options = options
        self._environment = environment
        self._address = options.address
        self._sent: bytes | None = None
        self._visited: tuple[str, ...] = ()
        self._opening: ClientOpening | None = None
        self._proxy: Proxy | None = None  # while it is asked

    @property
    def request(self) -> Request | None:
        """The request that was sent last; None before the first."""
        return None if self._sent is None else Request(self._sent, secure=self._address.secure)

    async def run(self, accepted: Accepted) -> None:
        """Connect, and hand the channel over. Cancelling it leaves nothing behind, unless that was done.

        Raises:
            ConnectError: the server was not reached, or TLS failed.
            ProxyError: the same of a proxy, or it refused to connect to the server.
            HandshakeError: it answered, but not with a valid 101.
            OpenTimeout: that took longer than `open_timeout`.
        """
        trusted = True
        try:
            async with asyncio.timeout(self._options.open_timeout) as limit:
                while (target := await self._visit(accepted, trusted=trusted)) is not None:
                    # Once lost, trust does not come back: who sends the client around is not to choose where it goes.
                    trusted = trusted and same_origin(self._options.address, target)
                    self._address = target
        except TimeoutError as error:
            if not limit.expired():
                raise self._placed(ConnectError(f"cannot connect: {error}")) from error
            if self._opening is None or not self._opening.accepted:  # and not handed over just in time
                raise self._placed(self._late()) from error
        except WebSocketError as error:
            self._placed(error)
            raise
        except Exception as error:
            raise self._placed(ConnectError(f"cannot connect: {error}")) from error
        finally:
            self._opening = None
            self._visited = ()

    async def _visit(self, accepted: Accepted, *, trusted: bool) -> WebSocketURL | None:
        """Ask one server: None once the channel is handed over, or where to ask instead."""
        answered: asyncio.Future[WebSocketURL | None] = self._environment.loop.create_future()
        answered.add_done_callback(retrieve)
        self._visited += (str(self._address),)
        self._opening = None
        opening = self._ask(await self._dial(), accepted, answered, trusted=trusted)
        self._opening = opening
        try:
            return await answered
        finally:
            answered.cancel()  # what the opening hears from now on is of no interest
            if not opening.accepted:
                cast(Channel, opening.channel).abort()

    async def _dial(self) -> socket.socket | Tunnel:
        """A way to the server: straight, through a proxy, or by a Unix socket."""
        options, address = self._options, self._address
        if options.unix is not None:
            return await dial_unix(options.unix)
        proxy = self._proxy_for(address)
        if proxy is None:
            return await dial(address.host, address.port)
        context = _verifying(options.proxy_ssl, proxy.host) if proxy.scheme == "https" else None
        self._proxy = proxy
        way = await dial_through(proxy, address.host, address.port, head_limits(options), context)
        self._proxy = None
        return way

    def _proxy_for(self, address: WebSocketURL) -> Proxy | None:
        given = self._options.proxy
        if isinstance(given, str):
            return parse_proxy(given)
        try:
            return environment_proxy(address) if given else None
        except ValueError as error:
            raise ProxyError(str(error), permanent=True) from error

    def _ask(
        self,
        way: socket.socket | Tunnel,
        accepted: Accepted,
        answered: asyncio.Future[WebSocketURL | None],
        *,
        trusted: bool,
    ) -> ClientOpening:
        """Send the request; who waits for `answered` hears how that ends."""
        options = self._options
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        opening = ClientOpening(key, options, tuple(options.protocols), accepted, answered, self._follow)
        try:
            self._sent = encode_opening(options, self._address, key, trusted=trusted)
            environment, tls = self._environment, self._tls()
            if isinstance(way, Tunnel):
                opening.channel = way.attach(environment.loop, opening, tls)
            else:
                opening.channel = environment.driver.attach(way, opening, tls)
        except BaseException:  # such as a name that TLS does not take
            way.close()
            raise
        opening.channel.write(self._sent)
        return opening

    def _tls(self) -> TLS | None:
        address = self._address
        if not address.secure:
            return None
        return TLS(_verifying(self._options.ssl, address.host), server_side=False, server_hostname=address.host)

    def _follow(self, head: ParsedHead) -> WebSocketURL:
        """Where to ask next.

        Raises:
            ValueError: this redirect is not followed.
        """
        options = self._options
        if len(self._visited) > options.max_redirects:
            raise ValueError(f"max_redirects is {options.max_redirects}")
        target = redirect_target(self._address, head)
        if options.unix is not None and not same_origin(options.address, target):
            raise ValueError(f"its Location leads away from the Unix socket: {target.redacted}")
        if str(target) in self._visited:
            raise ValueError(f"its Location leads in a circle: {target.redacted}")
        return target

    def _placed(self, error: WebSocketError) -> WebSocketError:
        """The error; it says where the client was, if that is not where it was told to go."""
        if len(self._visited) > 1:
            error.args = (f"{error}; a redirect had led to {self._address.redacted}",)
        return error

    def _late(self) -> WebSocketError:
        """The time is up. Where all but the end of a refusal's body was there, it is that refusal."""
        refusal = None if self._opening is None else self._opening.refusal()
        text = f"the connection to {self._address.redacted} was not open within {self._options.open_timeout} s"
        if self._proxy is not None:
            text += f": the proxy {self._proxy} has not made it"
        return refusal or OpenTimeout(text)


def encode_opening(options: ClientOptions, address: WebSocketURL, key: str, *, trusted: bool = True) -> bytes:
    """The head of the request that asks this address for a connection.

    Where it is not `trusted`, being of another origin than the user gave, it is
    told no credentials of the user's, and of the user's headers `FOR_ANYBODY` alone.

    Raises:
        ValueError, TypeError: the options hold a header, a cookie or a credential that cannot be sent.
    """
    headers = checked_pairs(options.headers)
    if trusted:
        given = options.address
        address = replace(address, username=given.username, password=given.password)
    else:
        headers = tuple(pair for pair in headers if pair[0].lower() in FOR_ANYBODY)
    request = build_request(
        address,
        key,
        protocols=tuple(options.protocols),
        extension_offer=None if options.deflate is None else format_extension(offer(options.deflate)),
        headers=headers,
        cookies=options.cookies if trusted else None,
        auth=options.auth if trusted else None,
        user_agent=USER_AGENT,
    )
    return encode_request("GET", request.target, request.headers)


def _verifying(context: ssl.SSLContext | None, host: str) -> ssl.SSLContext:
    """The context to meet this host with: the system's certificates where there is none."""
    if context is None:
        return _default_context()
    if context.verify_mode is ssl.CERT_NONE:
        logger.warning("the certificate of %s is not verified: its ssl context says so", host)
    return context


@functools.cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()
