"""Group H: a little deflate that would inflate to a lot."""

from __future__ import annotations

import zlib

import pytest

from fixtures.frames import frame
from hostile.conftest import Serve

MIB = 1 << 20
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def bomb(size: int) -> bytes:
    """A binary message of so many zeros, compressed, in one frame."""
    packed = zlib.compressobj(9, wbits=-15)
    payload = (packed.compress(bytes(size)) + packed.flush(zlib.Z_SYNC_FLUSH))[:-4]
    plain = frame(2, payload, masked=True)
    return bytes((plain[0] | 0x40,)) + plain[1:]


@pytest.mark.case(57)
@pytest.mark.parametrize("cut", [None, 1, 7, 1000, 1023, 4096, 16384, 65537])
def test_127_kib_that_inflate_to_128_mib(serve: Serve, cut: int | None) -> None:
    """1009 where `max_message_size` is passed; the process has 2 MiB more at the peak at most, however it is cut."""
    data = bomb(128 * MIB)
    assert len(data) < 128 * 1024
    server = serve(compression="deflate")
    for _ in range(4):  # the first finds a process that never held a message, the others what the allocator kept of it
        before = server.reset_peak()
        with server.client("/", DEFLATE) as peer:
            peer.send_until_ended(data, cut=cut)
            assert peer.read_close() == 1009 and peer.ended() == "end"
        assert server.peak() - before <= 2 * MIB


@pytest.mark.case(57)
@pytest.mark.parametrize("cut", [None, 1000])
def test_together_they_take_no_more(serve: Serve, cut: int | None) -> None:
    """The same over the life of a server: what one leaves is what the next one takes."""
    data = bomb(128 * MIB)
    server = serve(compression="deflate")
    before = server.reset_peak()
    for _ in range(20):
        with server.client("/", DEFLATE) as peer:
            peer.send_until_ended(data, cut=cut)
            assert peer.read_close() == 1009 and peer.ended() == "end"
    assert server.peak() - before <= 2 * MIB
