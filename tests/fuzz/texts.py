"""Any text as a URL, and any bytes as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fixtures.raw import KEY
from fuzz.judging import told, too_slow
from wsmash.codecs import decode_json, encode_json
from wsmash.errors import InvalidMessage, InvalidURL
from wsmash.options import ClientOptions
from wsmash.sansio.handshake import build_request, check_host, check_request
from wsmash.sansio.head import Request
from wsmash.sansio.http1 import encode_request, parse_request
from wsmash.urls import http_to_ws_url, is_valid_url, parse_url


def url(data: bytes) -> str:
    """A URL is valid for all who ask, or for none; what is valid makes a request that any server can read."""
    text = data.decode("utf-8", "surrogateescape")
    slow = too_slow(text, is_valid_url)
    valid = is_valid_url(text)
    refused = ""
    try:
        ClientOptions(text)
    except InvalidURL as error:
        refused = told(error)
    assert valid is not bool(refused)
    try:
        assert is_valid_url(http_to_ws_url(text))
    except InvalidURL:
        assert not valid or "#" in text
    return slow or (_ask(text) if valid else "")


def _ask(text: str) -> str:
    """What keeps a valid URL from being asked for; empty where nothing does."""
    address = parse_url(text)
    again = parse_url(str(address))
    assert str(again) == str(address) and again.host == address.host and again.port == address.port
    try:
        asked = build_request(address, KEY)
    except ValueError as error:
        return told(error)
    head = parse_request(encode_request("GET", asked.target, asked.headers))
    assert check_host(head) is None and check_request(head) is None
    assert Request(encode_request("GET", asked.target, asked.headers)).host == address.host_header
    assert "@" not in address.redacted.split("/")[2] and address.redacted in repr(address)
    return ""


@dataclass
class Order:
    """What a message may have to be."""

    item: str
    count: int = 1
    tags: tuple[str, ...] = ()
    of: list[Order] | None = None


def as_json(data: bytes) -> str:
    """Bytes are JSON, or an InvalidMessage; what they stand for is what the standard library reads, and is written."""
    for kind in (Order, list[Order], dict[str, int], int | str | None):
        _decoded(data, kind)
    value = _decoded(data)
    if value is _NONE:
        return ""
    assert decode_json(data.decode()) == value
    if json.loads(data) != value:
        return f"{value!r} is {json.loads(data)!r} to the standard library"
    again = decode_json(encode_json(value))
    return "" if again == value else f"{value!r} comes out as {again!r}"


_NONE = object()


def _decoded(data: bytes, kind: Any = None) -> object:
    try:
        return decode_json(data, kind)
    except InvalidMessage as error:
        told(error)
        return _NONE
