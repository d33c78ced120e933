"""What every foreign implementation is brought to, so that one test speaks with all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ssl import SSLContext
from typing import NamedTuple


class Closed(NamedTuple):
    """A close frame came."""

    code: int
    reason: str


class Pong(NamedTuple):
    """A pong came."""

    payload: bytes


Heard = str | bytes | Closed | Pong


@dataclass(frozen=True)
class Tls:
    """A server's and a client's context that trust each other, and the same as PEM for those who take no contexts."""

    server: SSLContext
    client: SSLContext
    key: str
    certificate: str
    authority: str


@dataclass(frozen=True)
class Setting:
    """How to open a connection."""

    deflate: bool = True
    offered: Sequence[str] = ()
    spoken: Sequence[str] = ()
    tls: Tls | None = None

    @property
    def scheme(self) -> str:
        return "wss" if self.tls else "ws"


class Wire(ABC):
    """One open connection in the hands of a foreign implementation, which reads only when it is asked to."""

    def __init__(self) -> None:
        self._kept: deque[Heard] = deque()

    @property
    @abstractmethod
    def subprotocol(self) -> str | None: ...

    @property
    @abstractmethod
    def deflates(self) -> bool: ...

    @abstractmethod
    async def send(self, message: str | bytes) -> None: ...

    @abstractmethod
    async def send_fragments(self, parts: Sequence[str | bytes]) -> None: ...

    @abstractmethod
    async def send_ping(self, payload: bytes) -> None: ...

    @abstractmethod
    async def close(self, code: int, reason: str) -> None: ...

    @abstractmethod
    async def hear(self) -> Heard:
        """The next message, pong or end."""

    async def receive(self) -> str | bytes | Closed:
        """The next message, or the end."""
        while True:
            heard = self._kept.popleft() if self._kept else await self.hear()
            if not isinstance(heard, Pong):
                return heard

    async def ping(self, payload: bytes) -> None:
        """Send a ping and wait for the pong that answers it."""
        await self.send_ping(payload)
        while (heard := await self.hear()) != Pong(payload):
            assert not isinstance(heard, Closed), f"no pong, but {heard}"
            self._kept.append(heard)


Handler = Callable[[Wire], Awaitable[None]]


class Peer(ABC):
    """A foreign implementation."""

    name: str
    can_fragment = True

    def why_not(self) -> str | None:
        """The reason why it cannot run here, or None."""
        return None

    @abstractmethod
    def connect(self, url: str, setting: Setting) -> AbstractAsyncContextManager[Wire]:
        """As a client."""

    @abstractmethod
    def serve(self, handler: Handler, setting: Setting) -> AbstractAsyncContextManager[int]:
        """As a server on a free port of localhost, which it gives; each connection lasts as long as its handler."""
