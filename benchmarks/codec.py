"""How long one message takes the pure and the native codec, to frame and to read, in nanoseconds: a table.

    codec.py [--seconds 0.2]

What is read comes as a server's turn has it: 64 KiB of frames at once, or one
longer frame; the best of the rounds is printed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

from wsmash.constants import Opcode, Role
from wsmash.options import Limits
from wsmash.sansio import receiver, sender
from wsmash.transports import native

SIZES = (32, 1024, 65536, 1 << 20)
LIMITS = Limits(16 << 20, 4096, 65536, None)
TURN = 65536
TEXTS = {"ASCII": "a", "text": "é", "binary": None}


def best(act: Callable[[], object], seconds: float) -> float:
    """The shortest that it took."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        act()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def reading(codec: Any, frame: bytes, seconds: float) -> float:
    """Seconds for each frame."""
    count = max(1, TURN // len(frame))
    stream = frame * count
    reader = codec.Receiver(Role.SERVER, LIMITS)

    def read() -> None:
        reader.feed(stream)
        while reader.receive() is not None:
            pass

    return best(read, seconds) / count


def framing(codec: Any, opcode: int, payload: bytes, seconds: float) -> float:
    """Seconds for each frame of a server."""
    writer = codec.Sender(Role.SERVER, None, os.urandom)

    def write() -> None:
        for _ in range(100):
            writer.message(opcode, payload)

    return best(write, seconds) / 100


class Pure:
    """The pure codec, under the names of the native one."""

    Receiver = receiver.Receiver
    Sender = sender.Sender


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each number")
    seconds = parser.parse_args().seconds
    codecs = {"pure": Pure, **({} if native.missing else {"native": native.codec})}
    print("| message | " + " | ".join(f"{name}: read | {name}: frame" for name in codecs) + " |")
    print("|---" * (1 + 2 * len(codecs)) + "|")
    for size in SIZES:
        for kind, letter in TEXTS.items():
            payload = bytes(size) if letter is None else letter.encode() * (size // len(letter.encode()))
            opcode = Opcode.BINARY if letter is None else Opcode.TEXT
            row = []
            for codec in codecs.values():
                frame = sender.Sender(Role.CLIENT, None, os.urandom).message(opcode, payload)
                row += [reading(codec, frame, seconds), framing(codec, opcode, payload, seconds)]
            print(f"| {size} B {kind} | " + " | ".join(f"{each * 1e9:,.0f}" for each in row) + " |")


if __name__ == "__main__":
    main()
