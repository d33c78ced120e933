"""What the targets judge with: every way to cut the bytes, and whether twice the text takes about twice the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from zlib import crc32

LONG = 64 * 1024
"""Bytes that a short input is repeated to, for what must be linear."""

PATIENCE = 1.0
"""Seconds of the processor for such a text. It takes a hundredth; quadratic work takes far more."""

seldom = 1
"""One in how many inputs is tried like that; the fuzzer, which traces every line of it, sets it higher."""


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The bytes in one piece, each alone, and in pieces whose sizes depend on the bytes only."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    random = Random(crc32(data))
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = random.choice((1, 2, 3, 10, 50, 400))
        pieces.append(data[at : at + size])
        at += size
    yield pieces


def told(error: Exception) -> str:
    """What an error says: enough to find the fault, too little to fill a log, and nothing that forges its lines."""
    text = str(error)
    assert text and len(text) < 1000 and text.isprintable(), text
    return text


def same_however_cut(data: bytes, outcome: Callable[[Sequence[bytes]], object]) -> str:
    """Where the outcome depends on how the bytes are split into reads, the two outcomes; empty otherwise."""
    first, *others = (outcome(pieces) for pieces in cuts(data))
    for other in others:
        if other != first:
            return f"cut in two ways:\n{first!r:.2000}\n{other!r:.2000}"
    return ""


def too_slow(text: str, parse: Callable[[str], object]) -> str:
    """What was measured where the text, repeated until it is long, takes longer than linear work would."""
    if not text or crc32(text.encode("utf-8", "surrogatepass")) % seldom:
        return ""
    long = text * (LONG // len(text))
    before = time.process_time()
    parse(long)
    taken = time.process_time() - before
    return f"{len(long)} characters took {taken:.2f} s" if taken > PATIENCE else ""
