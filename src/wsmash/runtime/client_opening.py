"""A client's side of an opening: from a request to its 101, or to the error that its answer, or its absence, makes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from ..errors import ConnectError, HandshakeError
from ..grammar import shown
from ..options import ConnectionOptions
from ..sansio.handshake import Agreement, check_response
from ..sansio.http1 import MAX_INTERIM, BadHead, BodyReader, HeadReader, ParsedHead, is_interim, parse_response
from ..sansio.redirect import is_redirect
from ..transports.base import Channel
from ..transports.tls import explained, is_permanent
from ..urls import WebSocketURL
from .opening import head_limits


class ClientOpening:
    """A request that was sent, until its answer has come.

    Args:
        key: that of the request.
        options: the client's.
        protocols: the subprotocols offered.
        accept: called with the answer, what was agreed on, and the bytes that
            followed, while the channel is paused; the channel is then the caller's.
        answered: is done with the answer: with None where it was a yes, with where a
            redirect leads, or with the error.
        follow: says where a redirect leads, or raises a ValueError where it is not followed.

    Attributes:
        accepted: whether the channel was handed over.
    """

    __slots__ = (
        "_accept",
        "_answered",
        "_body",
        "_follow",
        "_head",
        "_interim",
        "_key",
        "_options",
        "_protocols",
        "_reader",
        "_unfollowed",
        "accepted",
        "channel",
    )

    def __init__(
        self,
        key: str,
        options: ConnectionOptions,
        protocols: tuple[str, ...],
        accept: Callable[[Channel, ParsedHead, Agreement, bytes], None],
        answered: asyncio.Future[WebSocketURL | None],
        follow: Callable[[ParsedHead], WebSocketURL],
    ) -> None:
        self._key = key
        self._options = options
        self._protocols = protocols
        self._accept = accept
        self._answered = answered
        self._follow = follow
        self._unfollowed = ""
        self.accepted = False
        self._reader = HeadReader(head_limits(options), request=False)
        self._interim = 0
        self._head: ParsedHead | None = None
        self._body: BodyReader | None = None
        self.channel: Channel | None = None

    def bytes_received(self, data: bytes) -> None:
        """Part of the answer."""
        if self._answered.done():
            return
        try:
            if self._body is not None:
                self._read_body(data)
            else:
                self._read_head(data)
        except BadHead as error:
            self._answered.set_exception(HandshakeError(f"the server's answer is not valid HTTP: {error}"))
        except HandshakeError as error:
            self._answered.set_exception(error)

    def _read_head(self, data: bytes) -> None:
        raw = self._reader.feed(data)
        if raw is None:
            return
        head, rest = parse_response(raw), self._reader.rest
        if is_interim(head):  # RFC 9110 15.2
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise HandshakeError(f"the server sent more than {MAX_INTERIM} interim answers", status=head.status)
            self._reader = HeadReader(head_limits(self._options), request=False)
            self._read_head(rest)
        elif head.status != 101:
            if is_redirect(head) and self._redirected(head):
                return
            self._head, self._body = head, BodyReader(raw)
            self._read_body(rest)
        else:
            agreement = check_response(head, self._key, self._protocols, self._options.deflate)
            channel = cast(Channel, self.channel)
            channel.pause_reading()
            self._answered.set_result(None)
            self.accepted = True
            self._accept(channel, head, agreement, rest)

    def _redirected(self, head: ParsedHead) -> bool:
        """Whether the answer sends us elsewhere; its body is of no interest then."""
        try:
            self._answered.set_result(self._follow(head))
        except ValueError as error:
            self._unfollowed = f"; the redirect is not followed: {error}"
            return False
        return True

    def _read_body(self, data: bytes) -> None:
        if cast(BodyReader, self._body).feed(data):
            self._refused()

    def _refused(self) -> None:
        """The answer was no 101; its body is in the error as far as it came."""
        try:
            check_response(cast(ParsedHead, self._head), self._key, self._protocols, self._options.deflate)
        except HandshakeError as error:
            error.body = body = cast(BodyReader, self._body).body
            first = body.partition(b"\n")[0].decode("utf-8", "replace")
            error.args = (f"{error}{self._unfollowed}{f': {shown(first, 200)}' if first else ''}",)
            raise

    def refusal(self) -> HandshakeError | None:
        """What a server that said no, and has not come to the end of it, has said."""
        try:
            if self._body is not None:
                self._refused()
        except HandshakeError as error:
            return error
        return None

    def lost(self, error: Exception | None) -> None:
        """The server has gone."""
        if self._answered.done():
            return
        refusal = self.refusal()
        if refusal is not None:
            self._answered.set_exception(refusal)
        elif isinstance(error, ssl.SSLError):
            session = None if self.channel is None else self.channel.info().tls
            host = None if session is None else session.server_hostname
            failure = ConnectError(
                explained(error, host or "the server"),
                errno=error.errno,
                causes=[error],
                permanent=is_permanent(error),
            )
            failure.__cause__ = error
            self._answered.set_exception(failure)
        else:
            text = f": {error}" if error is not None else ""
            if self.channel is not None and self.channel.info().tls is None:
                text += "; if it expects TLS, the scheme is wss"
            failure = ConnectError(
                f"the server closed the connection before it answered{text}",
                errno=getattr(error, "errno", None),
                causes=[error] if error is not None else (),
            )
            failure.__cause__ = error
            self._answered.set_exception(failure)
