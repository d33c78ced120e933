"""The envelopes of `wsmash.v1`, and their codec for both ends: pure, and bounded in what it takes.

An envelope is a text message that begins with U+001E, as a record of RFC 7464
does, and goes on as one JSON object with a `type`. All other messages of the
connection are ordinary ones. docs/protocol.md says what each envelope means.

A published JSON value is embedded as it came, and encoded and parsed by nobody
on its way; for that the codec makes sure that it is JSON, and not too deep.
"""

from __future__ import annotations

from base64 import b64encode
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any, Final, Literal

from ..codecs import UNSET, Bounds, Raw, Struct, UnsetType, decode_json, json_reader, write_json
from ..errors import InvalidMessage
from ..topics.names import MAX_NAME
from ..topics.position import Position
from ..topics.record import Kind, Record

PROTOCOL: Final = "wsmash.v1"
"""The subprotocol that two ends agree on (RFC 6455 1.9)."""

MARK: Final = "\x1e"
"""What every envelope begins with, and no ordinary text message of such a connection."""

MAX_DEPTH: Final = 128
"""Arrays and objects within each other in a published value: less than any parser of a subscriber's takes."""

MAX_ID: Final = 2**53 - 1
"""The greatest number that JavaScript counts to."""

MAX_KEY: Final = 128
"""Characters of an idempotency key."""

MAX_METHOD: Final = 255
"""Characters of a method's name."""

MAX_DEADLINE: Final = 3600.0
"""Seconds that a request may be given."""


class Code(StrEnum):
    """What kind of error an envelope tells of; an application's methods have codes of their own beside these."""

    BAD_DATA = "bad_data"
    BAD_TOPIC = "bad_topic"
    CANCELLED = "cancelled"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"
    NO_METHOD = "no_method"
    NO_PRESENCE = "no_presence"
    OUTCOME_UNKNOWN = "outcome_unknown"
    TIMEOUT = "timeout"
    TOO_BIG = "too_big"
    TOO_FAST = "too_fast"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    UNSUPPORTED = "unsupported"


Id = Annotated[int, Bounds(ge=0, le=MAX_ID)]
Offset = Annotated[int, Bounds(ge=0)]
Epoch = Annotated[str, Bounds(pattern=r"^[0-9a-f]{32}\Z")]
Name = Annotated[str, Bounds(max_length=MAX_NAME)]
Key = Annotated[str, Bounds(pattern=rf"^[!-~]{{1,{MAX_KEY}}}\Z")]  # no spaces: it may come to stand in a header
Method = Annotated[str, Bounds(min_length=1, max_length=MAX_METHOD)]
Deadline = Annotated[float, Bounds(gt=0, le=MAX_DEADLINE)]


class _Content(Struct, tag_field="type", omit_defaults=True, kw_only=True):
    """What was published, asked or answered: at most one of the three."""

    text: str | UnsetType = UNSET
    json: Raw | UnsetType = UNSET
    binary: bytes | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.text is UNSET) + (self.json is UNSET) + (self.binary is UNSET) < 2:
            raise ValueError("an envelope holds one of text, json and binary")

    @property
    def record(self) -> Record | None:
        """The same as brokers keep it, or None where there is nothing."""
        if self.json is not UNSET:
            return Record(Kind.JSON, bytes(self.json))
        if self.text is not UNSET:
            return Record(Kind.TEXT, self.text.encode())
        return None if self.binary is UNSET else Record(Kind.BINARY, self.binary)


class At(Struct):
    """A position, where it is a field."""

    epoch: Epoch
    offset: Offset


class Subscribe(Struct, tag_field="type", tag="subscribe", omit_defaults=True):
    """Messages of a topic are wanted: from now on, or after a position."""

    id: Id
    topic: Name
    since: At | None = None


class Unsubscribe(Struct, tag_field="type", tag="unsubscribe"):
    """And no more."""

    id: Id
    topic: Name


class Publish(_Content, tag="publish"):
    """A message for a topic."""

    id: Id
    topic: Name
    key: Key | None = None


class Request(_Content, tag="request"):
    """A call that is answered."""

    id: Id
    method: Method
    timeout: Deadline | None = None


class Cancel(Struct, tag_field="type", tag="cancel"):
    """The answer to a request is not wanted any more."""

    id: Id


class Presence(Struct, tag_field="type", tag="presence"):
    """Who is on a topic?"""

    id: Id
    topic: Name


class Unsupported(Struct):
    """A command of a later version, which can still be answered."""

    id: Id
    type: str


FromClient = Subscribe | Unsubscribe | Publish | Request | Cancel | Presence
_COMMANDS: Final = frozenset({"subscribe", "unsubscribe", "publish", "request", "cancel", "presence"})


class Present(Struct, omit_defaults=True):
    """A member of a topic: `topics.presence.Member`."""

    id: str
    node: str
    info: Any = None


class Reply(_Content, tag="reply"):
    """A command was done."""

    id: int
    epoch: Epoch | None = None
    offset: Offset | None = None
    recovered: bool | None = None
    reason: str | None = None
    degraded: bool = False
    members: list[Present] | None = None

    @property
    def position(self) -> Position | None:
        """Its epoch and offset, where it has them."""
        return None if self.epoch is None or self.offset is None else Position(self.epoch, self.offset)


class Error(Struct, tag_field="type", tag="error", omit_defaults=True):
    """A command was not done."""

    id: int
    code: str
    message: str = ""


class Message(_Content, tag="message"):
    """What was published."""

    topic: Name
    pattern: Name | None = None
    offset: Offset | None = None
    epoch: Epoch | None = None


class Gap(Struct, tag_field="type", tag="gap", omit_defaults=True):
    """Messages were missed, or may have been, up to a position."""

    topic: Name
    epoch: Epoch | None = None
    offset: Offset | None = None
    reason: str = ""
    pattern: Name | None = None

    @property
    def position(self) -> Position | None:
        """Where the subscription goes on; None for a pattern as a whole."""
        return None if self.epoch is None or self.offset is None else Position(self.epoch, self.offset)


class Degraded(Struct, tag_field="type", tag="degraded"):
    """The broker is away: messages may come late."""


class Restored(Struct, tag_field="type", tag="restored"):
    """It is back, and what was missed has been sent, or a gap."""


class Join(Struct, tag_field="type", tag="join", omit_defaults=True):
    """Somebody is on a topic now."""

    topic: Name
    member: Present
    pattern: Name | None = None


class Leave(Struct, tag_field="type", tag="leave", omit_defaults=True):
    """And is no more."""

    topic: Name
    member: Present
    pattern: Name | None = None


class Subscribed(Struct, tag_field="type", tag="subscribed", omit_defaults=True):
    """The server has subscribed the connection by itself."""

    topic: Name
    epoch: Epoch | None = None
    offset: Offset | None = None


class Unsubscribed(Struct, tag_field="type", tag="unsubscribed", omit_defaults=True):
    """The server has ended a subscription."""

    topic: Name
    code: str = ""
    message: str = ""


FromServer = Reply | Error | Message | Gap | Degraded | Restored | Join | Leave | Subscribed | Unsubscribed
_NEWS: Final = frozenset(
    {
        "reply", "error", "message", "gap", "degraded", "restored", "join", "leave", "subscribed", "unsubscribed",
    }
)  # fmt: skip


_read_command: Final = json_reader(FromClient)
_read_news: Final = json_reader(FromServer)


class _Type(Struct):
    type: str


def is_envelope(data: str | bytes) -> bool:
    """Whether a message of the connection is an envelope: binary ones never are."""
    return isinstance(data, str) and data.startswith(MARK)


def encode(envelope: FromClient | FromServer) -> bytes:
    """The payload of its text message."""
    return b"\x1e" + write_json(envelope)


def encode_message(
    topic: str, record: Record, offset: int | None = None, epoch: str | None = None, pattern: str | None = None
) -> bytes:
    """The same as of a `Message`, for what all subscribers of a topic are sent: JSON is put in as it is."""
    head = _message_head(topic, pattern)
    if offset is not None:
        head += b',"offset":%d' % offset
    if epoch is not None:
        head += b',"epoch":"%s"' % epoch.encode()
    if record.kind is Kind.JSON:
        return b'%s,"json":%s}' % (head, record.payload)
    if record.kind is Kind.TEXT:
        return b'%s,"text":%s}' % (head, write_json(record.payload.decode()))
    return b'%s,"binary":"%s"}' % (head, b64encode(record.payload))


@lru_cache(maxsize=1024)
def _message_head(topic: str, pattern: str | None) -> bytes:
    head = b'\x1e{"type":"message","topic":' + write_json(topic)
    return head if pattern is None else head + b',"pattern":' + write_json(pattern)


def content_of(record: Record) -> dict[Literal["text", "json", "binary"], Any]:
    """A record as the field of an envelope, to be given to its class by keyword."""
    if record.kind is Kind.JSON:
        return {"json": Raw(record.payload)}
    if record.kind is Kind.TEXT:
        return {"text": record.payload.decode()}
    return {"binary": record.payload}


def decode_from_client(data: str) -> FromClient | Unsupported:
    """The command that an envelope holds; what it publishes or asks is JSON for certain, where it says so.

    Raises:
        InvalidMessage: it holds none; the text says why.
    """
    text = data[1:]
    try:
        command: FromClient = _read_command(text)
    except InvalidMessage:
        return _later_command(text)
    if isinstance(command, (Publish, Request)):
        if isinstance(command, Publish) and command.record is None:
            raise InvalidMessage("a publication holds one of text, json and binary")
        if command.json is not UNSET:
            check_value(bytes(command.json))
    return command


def decode_from_server(data: str) -> FromServer | None:
    """What the server tells, or None for what this version does not know.

    Raises:
        InvalidMessage: it is no envelope; the text says why.
    """
    text = data[1:]
    try:
        envelope: FromServer = _read_news(text)
    except InvalidMessage:
        if decode_json(text, _Type).type in _NEWS:
            raise
        return None
    return envelope


def check_value(payload: bytes) -> None:
    """Let only what every subscriber can parse pass.

    Raises:
        InvalidMessage: it is no JSON, or is nested too deeply.
    """
    # The brackets within strings count too here, so that few values are looked at more closely.
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and _depth(payload) > MAX_DEPTH:
        raise InvalidMessage(f"a value has at most {MAX_DEPTH} arrays and objects within each other")
    decode_json(payload)


def _later_command(text: str) -> Unsupported:
    command = decode_json(text, Unsupported)
    if command.type in _COMMANDS:
        _read_command(text)
    return command


_STEPS: Final = bytes({0x5B: 1, 0x7B: 1, 0x5D: 0xFF, 0x7D: 0xFF}.get(byte, byte) for byte in range(256))
_FLAT: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _depth(payload: bytes) -> int:
    """How deep the brackets of JSON go, those within its strings left out: in time linear in its length, and in C."""
    # Without escapes each second part between quotation marks is a string.
    parts = payload.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    steps = b"".join(parts[::2]).translate(_STEPS, _FLAT)
    return max(accumulate(memoryview(steps).cast("b")), default=0)
