"""What a client and a server both take."""

from __future__ import annotations

import re
import ssl as tls
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn

from ..codecs import check_type as check_message_type
from ..proxies import parse_proxy
from ..urls import parse_url
from .checks import check_choice, check_int, check_seconds
from .compression import Deflate

SlowConsumerPolicy = Literal["close", "raise", "drop", "conflate"]
BadMessagePolicy = Literal["error", 1007, 1008]

KIB = 1024
MIB = 1024 * KIB


class Limits(NamedTuple):
    """What a channel enforces by itself once it carries messages."""

    max_message_size: int | None
    max_fragments: int | None
    high_water: int
    max_write_buffer: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """What a client and a server both take.

    Attributes:
        open_timeout: from dial or accept until the connection is open, TLS included.
        max_headers: how many header lines a head may have.
        max_header_line: the longest line of a head.
        max_head_size: the longest head.
        max_message_size: of a message after inflation, in bytes of payload.
        max_fragments: how many frames a message may come in, empty ones counted.
        message_timeout: since the last byte of an unfinished message.
        max_queue: messages that wait for a busy callback or reader before reading
            pauses; it also pauses at 64 KiB.
        ping_interval: how often a ping is sent.
        ping_timeout: how long after a ping nothing at all may arrive.
        close_timeout: how long the closing handshake and the drain after it may take.
        write_high_water: above it `await send(...)` waits.
        max_write_buffer: above it `slow_consumer` applies.
        write_timeout: how long a peer may take no byte of what waits for it.
        slow_consumer: "close" (fail the connection with 1013), "raise" (the `send`
            raises, the connection lives), "drop" (the message is not sent) or
            "conflate" (of messages with a `key` the newest waits).
        compression: None, "deflate" or a `Deflate`.
        message_type: what each message's JSON must be: a dataclass, a TypedDict, a
            `msgspec.Struct` or any other type that msgspec validates.
        invalid_message: what a message that is not of `message_type` gets: an
            "error" event, or a close with 1007 or 1008.
        ssl: the TLS context. A server also takes a `Certificate`, which is loaded again
            when its files change.
    """

    open_timeout: float | None = 10
    max_headers: int = 128
    max_header_line: int = 8 * KIB
    max_head_size: int = 64 * KIB
    max_message_size: int | None = MIB
    max_fragments: int | None = 4096
    message_timeout: float | None = 60
    max_queue: int = 16
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float = 10
    write_high_water: int = 64 * KIB
    max_write_buffer: int | None = MIB
    write_timeout: float | None = 30
    slow_consumer: SlowConsumerPolicy = "close"
    compression: Literal["deflate"] | Deflate | None = None
    message_type: Any = None
    invalid_message: BadMessagePolicy = "error"
    ssl: tls.SSLContext | None = None

    _SECRET: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name in ("open_timeout", "message_timeout", "ping_interval", "ping_timeout", "write_timeout"):
            check_seconds(name, getattr(self, name), optional=True)
        check_seconds("close_timeout", self.close_timeout)
        for name in ("max_headers", "max_header_line", "max_head_size", "max_queue", "write_high_water"):
            check_int(name, getattr(self, name), 1)
        for name in ("max_message_size", "max_fragments", "max_write_buffer"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        if self.max_write_buffer is not None and self.max_write_buffer < self.write_high_water:
            raise ValueError(
                f"max_write_buffer={self.max_write_buffer} is below write_high_water={self.write_high_water}"
            )
        check_choice("slow_consumer", self.slow_consumer, ("close", "raise", "drop", "conflate"))
        if self.message_type is not None:
            check_message_type(self.message_type)
        check_choice("invalid_message", self.invalid_message, ("error", 1007, 1008))
        if self.compression is not None and not isinstance(self.compression, Deflate):
            check_choice("compression", self.compression, ("deflate", None))
        self._check_ssl()

    def _check_ssl(self) -> None:
        if self.ssl is not None and not isinstance(self.ssl, tls.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext or None, not {self.ssl!r}")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled: they may hold credentials")

    def __repr__(self) -> str:
        return repr_without_secrets(self, self._SECRET)

    @property
    def deflate(self) -> Deflate | None:
        """The compression settings, None where it is off."""
        return Deflate() if self.compression == "deflate" else self.compression

    @property
    def limits(self) -> Limits:
        """What the channel enforces."""
        return Limits(self.max_message_size, self.max_fragments, self.write_high_water, self.max_write_buffer)


def repr_without_secrets(options: ConnectionOptions, secret: frozenset[str]) -> str:
    shown = []
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name == "url":
            value = parse_url(value).redacted
        elif each.name == "proxy" and isinstance(value, str):
            value = parse_proxy(value).redacted
        elif each.name == "broker" and isinstance(value, str):
            value = re.sub(r"\?.*", "?***", re.sub(r"//.*@", "//***@", value))
        elif each.name in secret and value:
            value = "***"
        shown.append(f"{each.name}={value!r}")
    return f"{type(options).__name__}({', '.join(shown)})"
