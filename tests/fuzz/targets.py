"""What the fuzzer calls with any bytes, by name: each tells what was wrong, or nothing, or raises.

The first three make a schedule of the bytes, on which the native and the pure half
must do the same; the others take them as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from fixtures import driver_twins, twins
from fixtures.codec import CODECS, Codec
from fixtures.driver import DRIVERS
from fixtures.driver_schedules import schedule
from fixtures.schedules import from_bytes, reading, writing
from fuzz import casts, envelopes, fields, heads, streams, texts, trust, whole


def receiver(data: bytes) -> str:
    """Both receivers are fed the same; the first thing that they do not do alike."""
    return twins.difference(reading(from_bytes(data)), *_both())


def sender(data: bytes) -> str:
    """Both senders are asked for the same."""
    return twins.difference(writing(from_bytes(data)), *_both())


def _both() -> tuple[Codec, Codec]:
    pure, native = CODECS["pure"], CODECS["native"]
    assert pure is not None and native is not None
    return pure, native


def engine(data: bytes) -> str:
    """The same happens to connections of both drivers."""
    return driver_twins.difference(schedule(from_bytes(data)), DRIVERS["portable"], DRIVERS["native"])


TWINS: dict[str, Callable[[bytes], str]] = {"receiver": receiver, "sender": sender, "engine": engine}
"""Those that need the native half."""

TARGETS: dict[str, Callable[[bytes], str]] = TWINS | {
    "frames": streams.frames,
    "inflate": streams.inflate,
    "deflate": streams.deflate,
    "request": heads.request,
    "response": heads.response,
    "extensions": fields.extensions,
    "tokens": fields.tokens,
    "retry": fields.retry_after,
    "origin": trust.origin,
    "forwarded": trust.forwarded,
    "redirect": trust.redirect,
    "credentials": trust.credentials,
    "url": texts.url,
    "json": texts.as_json,
    "envelope": envelopes.envelope,
    "cast": casts.cast,
    "server": whole.server,
}
