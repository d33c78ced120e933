"""Any bytes as what other nodes cast, one after another: each is one, or an InvalidMessage, and no node falters."""

from __future__ import annotations

from fuzz.judging import told
from wsmash.errors import InvalidMessage
from wsmash.topics.casts import Broadcast, Cast, decode_cast, encode_cast
from wsmash.topics.presence import Presence
from wsmash.topics.record import decode_record

BETWEEN = b"\r\n--\r\n"
"""Stands between two casts of an input."""


def cast(data: bytes) -> str:
    """A node that is on a topic hears them."""
    node = Presence(0.0, bytes)
    node.join("a", "own", None, 0.0)
    for now, part in enumerate(data.split(BETWEEN)):
        found = _tried(part)
        if found is None:
            continue
        again = encode_cast(*found)
        if decode_cast(again, None) != found:
            return f"{found} is not what was written"
        node.receive(found, float(now))
        node.due(float(now))
        for each in node.take_casts(float(now)):
            decode_cast(each, None)
    moves, known = node.take_moves(), node.members("a")
    there = {move.member.id for move in moves if move.what == "join"}
    if not {member.id for member in known if member.node == node.node.hex()} <= there:
        return "a node has lost a member of its own"
    return ""


def _tried(data: bytes) -> Cast | None:
    try:
        found = decode_cast(data, 1000)
        if isinstance(found.body, Broadcast):
            decode_record(found.body.record, 1000)
    except InvalidMessage as error:
        told(error)
        return None
    return found
