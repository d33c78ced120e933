"""Any bytes as an envelope of `wsmash.v1`, from either end: one, or an InvalidMessage; what is one comes out again."""

from __future__ import annotations

import json
from collections.abc import Callable

from fuzz.judging import told
from wsmash.codecs import decode_json
from wsmash.errors import InvalidMessage
from wsmash.session.envelopes import (
    MARK,
    FromClient,
    FromServer,
    Message,
    Publish,
    Request,
    Unsupported,
    decode_from_client,
    decode_from_server,
    encode,
    encode_message,
    is_envelope,
)


def envelope(data: bytes) -> str:
    """The same bytes as a command, and as what a server tells."""
    text = MARK + data.decode("utf-8", "replace")
    found = _read(text, decode_from_client) or _read(text, decode_from_server)
    command = _tried(text, decode_from_client)
    if isinstance(command, (Publish, Request)) and command.record is not None:
        sent = encode_message("t", command.record, 1).decode()
        received = decode_from_server(sent)
        assert isinstance(received, Message) and received.record == command.record
        json.loads(sent[1:])  # what subscribers are sent is JSON to others too
    return found


def _read(text: str, decode: Callable[[str], FromClient | FromServer | Unsupported | None]) -> str:
    found = _tried(text, decode)
    if found is None or isinstance(found, Unsupported):
        return ""
    assert json.loads(text[1:])["type"] == type(found).__name__.lower()
    written = encode(found).decode()
    assert is_envelope(written)
    again = decode(written)
    # Raw values compare by identity: what both are written as is compared.
    return "" if again is not None and not isinstance(again, Unsupported) and _same(written, again) else written


def _same(written: str, again: FromClient | FromServer) -> bool:
    return bool(decode_json(written[1:]) == decode_json(encode(again)[1:]))


def _tried(
    text: str, decode: Callable[[str], FromClient | FromServer | Unsupported | None]
) -> FromClient | FromServer | Unsupported | None:
    try:
        return decode(text)
    except InvalidMessage as error:
        told(error)
        return None
