"""What probes of an open connection come to, however their bytes are cut."""

from __future__ import annotations

from collections.abc import Sequence

from fixtures.frames import Frame, text
from fixtures.served import Served
from wsmash.constants import Opcode

CUTS = (None, 1)
"""Whole, and in single bytes."""


def closes(
    served: Served, data: bytes, code: int, *extra: str, after: Sequence[Frame] = (), cuts: Sequence[int | None] = CUTS
) -> None:
    """These bytes end an open connection with a close frame of this code.

    A message before them is echoed all the same, and so are the frames `after` it,
    which `data` begins with. The end is an end, and not a reset that could swallow
    the code. `extra` are lines of the request.
    """
    for cut in cuts:
        with served.client("/", *extra) as peer:
            peer.send_until_ended(text("before", masked=True) + data, cut=cut)
            assert peer.frame() == Frame(Opcode.TEXT, b"before")
            assert [peer.frame() for _ in after] == list(after)
            opcode, payload, _ = peer.frame()
            assert (opcode, int.from_bytes(payload[:2]) if payload else 1005) == (Opcode.CLOSE, code), payload
            assert peer.ended() == "end"


def echoes(
    served: Served, data: bytes, *frames: Frame, extra: Sequence[str] = (), cuts: Sequence[int | None] = CUTS
) -> None:
    """These bytes bring exactly these frames, and leave the connection as it is."""
    for cut in cuts:
        with served.client("/", *extra) as peer:
            peer.send(data, cut=cut)
            assert [peer.frame() for _ in frames] == list(frames)
            peer.send(text("after", masked=True))
            assert peer.frame() == Frame(Opcode.TEXT, b"after")
