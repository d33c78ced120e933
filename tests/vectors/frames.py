"""The vectors of the receiver: bytes of a peer, and the items that must come of them, in order.

Every table is made for both roles; each receiver that there is runs all of
them, however the bytes are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vectors.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    NO_TAKEOVER,
    PING,
    PONG,
    SMALL_WINDOW,
    TEXT,
    UNLIMITED,
    Compressor,
    Peer,
    Vector,
    limited,
)
from wsmash.constants import Role
from wsmash.sansio.receiver import Item
from wsmash.sansio.violations import Violation


def _examples(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.7, byte by byte as it stands there."""
    if peer.role is Role.CLIENT:
        yield peer.vector("RFC 5.7: an unmasked text", bytes.fromhex("810548656c6c6f"), (TEXT, "Hello"))
        fragments = bytes.fromhex("010348656c80026c6f")
        yield peer.vector("RFC 5.7: a fragmented text", fragments, (TEXT, "Hello"))
        yield peer.vector("RFC 5.7: an unmasked ping", bytes.fromhex("890548656c6c6f"), (PING, b"Hello"))
    else:
        yield peer.vector("RFC 5.7: a masked text", bytes.fromhex("818537fa213d7f9f4d5158"), (TEXT, "Hello"))
        yield peer.vector("RFC 5.7: a masked pong", bytes.fromhex("8a8537fa213d7f9f4d5158"), (PONG, b"Hello"))


def _lengths(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.2: every form of a length, and what is wrong with one (cases 27, 29)."""
    for length in (0, 1, 2, 3, 4, 5, 7, 8, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537):
        data = bytes(each % 251 for each in range(length))
        yield peer.vector(f"binary of {length} bytes", peer.frame(BINARY, data), (BINARY, data))
    for length in (0, 1, 125, 126, 127, 65535, 65536):
        yield peer.vector(f"text of {length} bytes", peer.frame(TEXT, "a" * length), (TEXT, "a" * length))

    mask = 4 if peer.masks else 0
    for length, size in ((0, 2), (5, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)):
        head = peer.head(0x82, length, size=size)
        name = f"{length} bytes with a length of {size * 8} bits"
        yield peer.vector(name, head + bytes(20), Violation.LENGTH_NOT_MINIMAL, fault_at=len(head) - mask)
    for length in (2**63, 2**63 + 5, 2**64 - 1):
        for limits in (UNLIMITED, limited(1000)):
            head = peer.head(0x82, length)
            name = f"a length of {length:#x}, limit {limits.max_message_size}"
            yield peer.vector(name, head, Violation.LENGTH_OUT_OF_RANGE, limits=limits, fault_at=len(head) - mask)
    for length in (2**63 - 1, 2**62, 2**32, 2**32 + 5, 2**31, 65536):
        head = peer.head(0x82, length)
        name = f"a length of {length:#x}, limit 1000"
        yield peer.vector(name, head, Violation.MESSAGE_TOO_BIG, limits=limited(1000), fault_at=len(head) - mask)
    for length in (2**63 - 1, 2**32 + 5):
        yield peer.vector(f"a length of {length:#x} without a limit waits", peer.head(0x82, length) + bytes(50))


def _limits(peer: Peer) -> Iterator[Vector]:
    """Limit - 1, limit, limit + 1 in bytes and in fragments (cases 28, 36-39)."""
    frame, vector = peer.frame, peer.vector
    mask = 4 if peer.masks else 0
    for most in (1, 10, 125, 126, 1000):
        for kind, unit in ((TEXT, "x"), (BINARY, b"x")):
            for length in (most - 1, most):
                data = frame(kind, unit * length)
                yield vector(f"{length} of {most} bytes as {kind}", data, (kind, unit * length), limits=limited(most))
            head = peer.head(0x80 | kind, most + 1)
            name = f"{most + 1} of {most} bytes as {kind}, judged without a byte of them"
            yield vector(name, head, Violation.MESSAGE_TOO_BIG, limits=limited(most), fault_at=len(head) - mask)
    none = frame(BINARY) + frame(TEXT)
    yield vector("empty messages under a limit of 0", none, (BINARY, b""), (TEXT, ""), limits=limited(0))
    one = frame(BINARY, b"12345", fin=False) + frame(CONTINUATION, b"67890", fin=False)
    yield vector("10 of 10 bytes in fragments", one + frame(CONTINUATION), (BINARY, b"1234567890"), limits=limited(10))
    over = one + peer.head(0x80, 1)
    at = len(over) - mask
    yield vector(
        "the byte above the limit in a fragment", over, Violation.MESSAGE_TOO_BIG, limits=limited(10), fault_at=at
    )
    each = [frame(BINARY, b"1234567890"), frame(PING, b"x" * 125)]
    want: list[Item] = [(BINARY, b"1234567890"), (PING, b"x" * 125)]
    yield vector(
        "a limit counts each message anew, and no control frame", b"".join(each * 5), *want * 5, limits=limited(10)
    )

    def fragments(count: int, payload: bytes) -> bytes:
        middle = frame(CONTINUATION, payload, fin=False) * (count - 2)
        return frame(BINARY, payload, fin=False) + middle + frame(CONTINUATION, payload)

    for payload in (b"", b"x"):
        for count in (2, 4, 5):
            name = f"{count} of 5 fragments of {len(payload)} bytes"
            yield vector(name, fragments(count, payload), (BINARY, payload * count), limits=limited(None, 5))
        head = peer.head(0x80, len(payload))
        data = fragments(6, payload)
        at = len(data) - len(payload)
        name = f"6 of 5 fragments of {len(payload)} bytes"
        yield vector(name, data, Violation.TOO_MANY_FRAGMENTS, limits=limited(None, 5), fault_at=at)
        assert data[at - len(head) : at] == head
    data = frame(TEXT, "a", fin=False) + frame(PING) * 20 + frame(CONTINUATION, "b")
    pings: list[Item] = [(PING, b"")] * 20
    yield vector("control frames are no fragments", data, *pings, (TEXT, "ab"), limits=limited(None, 2))
    data = (fragments(3, b"x") + frame(TEXT, "y")) * 4
    whole: list[Item] = [(BINARY, b"xxx"), (TEXT, "y")]
    yield vector("fragments are counted anew for each message", data, *whole * 4, limits=limited(None, 3))
    yield vector("one frame is one fragment", frame(TEXT, "y"), (TEXT, "y"), limits=limited(None, 1))


def _fragments(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.4: messages in fragments, control frames between them (cases 40, 41)."""
    frame, vector = peer.frame, peer.vector
    for kind, empty in ((TEXT, ""), (BINARY, b"")):
        data = frame(kind, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION)
        yield vector(f"an empty message in empty fragments as {kind}", data, (kind, empty))
    data = frame(TEXT, "He", fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, "llo")
    yield vector("an empty fragment in the middle", data, (TEXT, "Hello"))
    data = frame(TEXT, fin=False) + frame(CONTINUATION, "Hello")
    yield vector("an empty first fragment", data, (TEXT, "Hello"))
    data = frame(TEXT, "Hello", fin=False) + frame(CONTINUATION)
    yield vector("an empty last fragment", data, (TEXT, "Hello"))
    data = b"".join((
        frame(PONG, b"0"), frame(BINARY, b"a" * 200, fin=False), frame(PING, b"1"), frame(PONG),
        frame(CONTINUATION, b"b" * 3, fin=False), frame(PING, b"2" * 125), frame(CONTINUATION, b"c"), frame(PING, b"3"),
    ))  # fmt: skip
    want: list[Item] = [(PONG, b"0"), (PING, b"1"), (PONG, b""), (PING, b"2" * 125)]
    yield vector("control frames between fragments", data, *want, (BINARY, b"a" * 200 + b"bbbc"), (PING, b"3"))
    data = frame(TEXT, "a", fin=False) + frame(CONTINUATION, "b") + frame(BINARY, b"c", fin=False) + frame(0, b"d")
    yield vector("fragmented messages glued together", data, (TEXT, "ab"), (BINARY, b"cd"))
    data = frame(TEXT, "one") + frame(BINARY, b"two") + frame(TEXT) + frame(BINARY, b"\xff") + frame(TEXT, "€")
    glued: list[Item] = [(TEXT, "one"), (BINARY, b"two"), (TEXT, ""), (BINARY, b"\xff"), (TEXT, "€")]
    yield vector("whole messages glued together", data, *glued)

    for first in (TEXT, BINARY):
        for second in (TEXT, BINARY):
            start = frame(first, "abc", fin=False)
            data = start + frame(second, "def") + frame(PING)
            name = f"a message as {second} inside one as {first}"
            yield vector(name, data, Violation.MESSAGE_UNFINISHED, fault_at=len(start) + 2)
    start = frame(TEXT, "a", fin=False) + frame(CONTINUATION, "b", fin=False) + frame(PING, b"x")
    data = start + frame(TEXT, "c", fin=False)
    yield vector("a message after a continuation and a ping", data, (PING, b"x"), Violation.MESSAGE_UNFINISHED,
                 fault_at=len(start) + 2)  # fmt: skip
    for fin in (False, True):
        data = frame(CONTINUATION, "abc", fin=fin)
        yield vector(f"a continuation first, FIN {fin}", data, Violation.CONTINUATION_FIRST, fault_at=2)
    start = frame(TEXT, "abc")
    data = start + frame(CONTINUATION, "def")
    yield vector("a continuation after a message", data, (TEXT, "abc"), Violation.CONTINUATION_FIRST,
                 fault_at=len(start) + 2)  # fmt: skip
    start = frame(TEXT, "a", fin=False) + frame(CONTINUATION, "b")
    data = start + frame(CONTINUATION, "c")
    yield vector("a continuation after the last", data, (TEXT, "ab"), Violation.CONTINUATION_FIRST,
                 fault_at=len(start) + 2)  # fmt: skip
    data = frame(BINARY, b"lost", fin=False) + frame(CLOSE, b"\x03\xe8bye") + frame(CONTINUATION, b"more")
    yield vector("a close frame inside a message", data, (CLOSE, b"\x03\xe8bye"))
    yield vector("an unfinished message alone", frame(TEXT, "abc", fin=False))


def _heads(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.1, 5.2, 5.5: bits, opcodes and masks (cases 30-32)."""
    frame, vector = peer.frame, peer.vector
    good = frame(TEXT, "good")
    for opcode in (*range(3, 8), *range(0xB, 0x10)):
        for payload in (b"", b"x" * 130):
            data = good + frame(opcode, payload) + good
            name = f"opcode {opcode:#x} with {len(payload)} bytes"
            yield vector(name, data, (TEXT, "good"), Violation.RESERVED_OPCODE, fault_at=len(good) + 2)
    for rsv in range(1, 8):
        for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            data = good + frame(opcode, b"x", rsv=rsv) + good
            name = f"RSV {rsv:03b} on opcode {opcode}"
            yield vector(name, data, (TEXT, "good"), Violation.RESERVED_BITS, fault_at=len(good) + 2)
            if rsv != 4 or opcode not in (TEXT, BINARY):
                name += " with deflate"
                yield vector(name, data, (TEXT, "good"), Violation.RESERVED_BITS,
                             compression=DEFLATE, fault_at=len(good) + 2)  # fmt: skip
    wrong = Violation.UNMASKED if peer.masks else Violation.MASKED
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
        for payload in (b"", b"x" * 100):
            data = good + frame(opcode, payload, masks=not peer.masks) + good
            name = f"the wrong mask bit on opcode {opcode} with {len(payload)} bytes"
            yield vector(name, data, (TEXT, "good"), wrong, fault_at=len(good) + 2)
    start = frame(TEXT, "a", fin=False)
    data = start + frame(CONTINUATION, "b", masks=not peer.masks)
    yield vector("the wrong mask bit on a continuation", data, wrong, fault_at=len(start) + 2)


def _controls(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.5: control frames (cases 40, 45, 47: a close frame's body is judged by `decode_close`)."""
    frame, vector = peer.frame, peer.vector
    for opcode in (PING, PONG):
        for length in (0, 1, 2, 124, 125):
            payload = bytes(range(length))
            data = frame(opcode, payload) * 2
            yield vector(f"opcode {opcode} with {length} bytes", data, *[(opcode, payload)] * 2)
    for opcode in (CLOSE, PING, PONG):
        data = frame(opcode, b"x", fin=False)
        yield vector(f"opcode {opcode} without FIN", data, Violation.CONTROL_FRAGMENTED, fault_at=2)
        for length in (126, 127, 65535, 65536):
            data = peer.head(0x80 | opcode, length)
            yield vector(f"opcode {opcode} with {length} bytes", data, Violation.CONTROL_TOO_LONG, fault_at=2)
        for size in (2, 8):
            data = peer.head(0x80 | opcode, 5, size=size)
            name = f"opcode {opcode} with 5 bytes and a length of {size * 8} bits"
            yield vector(name, data, Violation.CONTROL_TOO_LONG, fault_at=2)
    after = frame(TEXT, "after") + frame(PING) + b"\xff\xff\xff"
    for payload in (b"", b"\x03\xe8", b"\x0f\xa0" + "gehört".encode(), b"\x03\xe8" + b"x" * 123):
        data = frame(TEXT, "before") + frame(CLOSE, payload) + after
        yield vector(f"data after a close frame of {len(payload)} bytes", data, (TEXT, "before"), (CLOSE, payload))
    yield vector("two close frames", frame(CLOSE, b"\x03\xe8") + frame(CLOSE, b"\x03\xe9"), (CLOSE, b"\x03\xe8"))
    for payload in (b"\x03", b"\x03\xed", b"\x03\xe8\xff"):
        yield vector(f"a close frame with {payload!r} comes as it is", frame(CLOSE, payload), (CLOSE, payload))


VALID_TEXTS = (
    "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff",
    "\ufeffwith a mark", "κόσμε", "a\u0300", "\U0001f3f4\u200d\u2620\ufe0f",
)  # fmt: skip
"""The borders of RFC 3629 3, and what people write."""

INVALID_TEXTS = (
    (b"\x80", 1), (b"\xbf", 1), (b"a\x80", 2), (b"\xc0\x80", 1), (b"\xc1\xbf", 1), (b"\xc2\x7f", 2), (b"\xc2\xc0", 2),
    (b"\xe0\x80\x80", 2), (b"\xe0\x9f\xbf", 2), (b"\xe1\x80\x7f", 3), (b"\xed\xa0\x80", 3), (b"\xed\xbf\xbf", 3),
    (b"\xef\xbf\xc0", 3), (b"\xf0\x80\x80\x80", 2), (b"\xf0\x8f\xbf\xbf", 2), (b"\xf1\x80\x80\x7f", 4),
    (b"\xf4\x90\x80\x80", 2), (b"\xf5\x80\x80\x80", 1), (b"\xf8\x88\x80\x80\x80", 1), (b"\xfe", 1), (b"\xff", 1),
    (b"ok \xe2\x82\xac then \xe2\x28\xa1", 14),
)  # fmt: skip
"""Bytes that are no UTF-8, and after how many of them CPython's incremental decoder says so (case 44).

It could tell a surrogate by two bytes, and waits for the third.
"""

UNFINISHED_TEXTS = (b"\xc2", b"\xe2\x82", b"\xf0\x9f\x8f", b"abc\xe2", b"\xed\x9f", b"\xf4\x8f\xbf")


def _texts(peer: Peer) -> Iterator[Vector]:
    """RFC 6455 5.6, 8.1: text is UTF-8, across frames, and a fault is reported where it stands (cases 43, 44)."""
    frame, vector = peer.frame, peer.vector
    mask = 4 if peer.masks else 0
    for text in VALID_TEXTS:
        yield vector(f"text {text!a}", frame(TEXT, text), (TEXT, text))
        body = text.encode()
        for at in range(1, len(body)):
            data = frame(TEXT, body[:at], fin=False) + frame(PING) + frame(CONTINUATION, body[at:])
            yield vector(f"text {text!a} in fragments at {at}", data, (PING, b""), (TEXT, text))
    single = [bytes([each]) for each in "κ€🏴".encode()]
    data = frame(TEXT, fin=False) + b"".join(frame(CONTINUATION, each, fin=False) for each in single)
    yield vector("text in fragments of one byte", data + frame(CONTINUATION), (TEXT, "κ€🏴"))
    for body, enough in INVALID_TEXTS:
        at = 2 + mask + enough
        data = frame(TEXT, body + b" more") + frame(PING)
        yield vector(f"text {body!r}", data, Violation.TEXT_INVALID, fault_at=at)
        data = frame(TEXT, body[: enough - 1], fin=False)
        at = len(data) + 2 + mask + 1
        data += frame(CONTINUATION, body[enough - 1 :], fin=False)
        yield vector(f"text {body!r} in an unfinished message", data, Violation.TEXT_INVALID, fault_at=at)
        head = peer.head(0x01, 10_000)
        data = head + frame(TEXT, body)[2 + mask :]
        yield vector(f"text {body!r} early in a long frame", data, Violation.TEXT_INVALID, fault_at=len(head) + enough)
        yield vector(f"binary {body!r}", frame(BINARY, body), (BINARY, body))
    for body in UNFINISHED_TEXTS:
        data = frame(TEXT, body)
        yield vector(f"text that ends in {body!r}", data + frame(PING), Violation.TEXT_INVALID, fault_at=len(data))
        data = frame(TEXT, body, fin=False) + frame(CONTINUATION)
        yield vector(f"fragments that end in {body!r}", data + frame(PING), Violation.TEXT_INVALID, fault_at=len(data))
        data = frame(TEXT, body, fin=False) + frame(CONTINUATION, b"\x41")
        name = f"a letter after {body!r} in the next fragment"
        yield vector(name, data, Violation.TEXT_INVALID, fault_at=len(data))


def _deflate(peer: Peer) -> Iterator[Vector]:
    """RFC 7692: compressed messages, whole and in fragments (cases 41, 44, 60-62)."""
    frame, vector = peer.frame, peer.vector
    hello = bytes.fromhex("f248cdc9c90700")
    for name, body in (
        ("7.2.3.1: one block", hello),
        ("7.2.3.3: a stored block", bytes.fromhex("000500faff48656c6c6f00")),
        ("7.2.3.4: a final block", bytes.fromhex("f348cdc9c9070000")),
        ("7.2.3.5: two blocks", bytes.fromhex("f24805000000ffffcac9c90700")),
    ):
        yield vector(f"RFC {name}", frame(TEXT, body, rsv=4), (TEXT, "Hello"), compression=DEFLATE)
    data = frame(TEXT, hello[:3], fin=False, rsv=4) + frame(CONTINUATION, hello[3:])
    yield vector("RFC 7.2.3.1: two fragments", data, (TEXT, "Hello"), compression=DEFLATE)
    again = frame(TEXT, hello, rsv=4) + frame(TEXT, bytes.fromhex("f200110000"), rsv=4)
    yield vector("RFC 7.2.3.2: takeover", again, (TEXT, "Hello"), (TEXT, "Hello"), compression=DEFLATE)
    yield vector("a reference to a window that was not agreed on", again, (TEXT, "Hello"), Violation.DEFLATE_INVALID,
                 compression=NO_TAKEOVER)  # fmt: skip
    yield vector("RFC 7.2.3.6: an empty message", frame(TEXT, b"\x00", rsv=4), (TEXT, ""), compression=DEFLATE)
    data = frame(BINARY, fin=False, rsv=4) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, b"\x00")
    yield vector("an empty message in empty fragments, compressed", data, (BINARY, b""), compression=DEFLATE)
    data = frame(TEXT, "plain") + frame(TEXT, hello, rsv=4) + frame(TEXT, "plain")
    plain: Item = (TEXT, "plain")
    yield vector("plain messages beside a compressed one", data, plain, (TEXT, "Hello"), plain, compression=DEFLATE)

    words = [f"{'wide open ' * 20}κόσμε {at}" for at in range(6)]
    for agreed, bits, keep in ((DEFLATE, 15, True), (NO_TAKEOVER, 15, False), (SMALL_WINDOW, 9, True)):
        make: Callable[[bytes], bytes] = Compressor(bits).message
        data = b""
        for at, word in enumerate(words):
            body = (make if keep else Compressor(bits).message)(word.encode())
            if at % 2:
                third = len(body) // 3
                data += frame(TEXT, body[:third], fin=False, rsv=4) + frame(PING, b"%d" % at)
                data += frame(CONTINUATION, body[third : 2 * third], fin=False) + frame(CONTINUATION, body[2 * third :])
            else:
                data += frame(TEXT, body, rsv=4)
        want: list[Item] = []
        for at, word in enumerate(words):
            want += [(PING, b"%d" % at), (TEXT, word)] if at % 2 else [(TEXT, word)]
        yield vector(f"six messages, {bits} bits, takeover {keep}", data, *want, compression=agreed)

    final = Compressor().final
    data = frame(TEXT, final(b"one"), rsv=4) + frame(TEXT, final(b"two"), rsv=4) + frame(TEXT, hello, rsv=4)
    ended: list[Item] = [(TEXT, "one"), (TEXT, "two"), (TEXT, "Hello")]
    yield vector("final blocks in messages one after another", data, *ended, compression=DEFLATE)
    data = frame(TEXT, final(b"one")[:-1] + final(b"two"), rsv=4)
    yield vector("streams joined in one message", data, (TEXT, "onetwo"), compression=DEFLATE)
    data = frame(BINARY, b"\x00\x00\x00\xff\xff" * 300 + hello, rsv=4)
    yield vector("many empty blocks", data, (BINARY, b"Hello"), compression=DEFLATE)

    for name, body in (
        ("a reserved block type", b"\x06\x00\x00"),
        ("a stored block with a wrong length", b"\x00\x05\x00\x00\x00Hello"),
        ("a distance before the start", b"\x02\x03\x00"),
        ("a message that ends inside a block", hello[:4]),
        ("a stored block that is not all there", b"\x00\x05\x00\xfa\xffHel"),
        ("no bytes at all", b""),
    ):
        data = frame(PING) + frame(BINARY, body, rsv=4) + frame(PING)
        yield vector(name, data, (PING, b""), Violation.DEFLATE_INVALID, compression=DEFLATE)
    data = frame(TEXT, Compressor().message(b"abc\xff"), rsv=4)
    yield vector("compressed bytes that are no UTF-8", data, Violation.TEXT_INVALID, compression=DEFLATE)
    body = Compressor().message("€".encode()[:2])
    yield vector(
        "compressed text that ends too early", frame(TEXT, body, rsv=4), Violation.TEXT_INVALID, compression=DEFLATE
    )


def _inflated_limits(peer: Peer) -> Iterator[Vector]:
    """`max_message_size` counts what comes out of inflation (cases 57-59)."""
    frame, vector = peer.frame, peer.vector
    for level in (0, 6):
        for most in (100, 3000):
            for length in (most - 1, most, most + 1):
                for tail in (b"", b"\x00\x00\x00\xff\xff"):
                    body = tail + Compressor(level=level).message(b"z" * length)
                    item: Item | Violation = Violation.MESSAGE_TOO_BIG if length > most else (BINARY, b"z" * length)
                    name = f"{length} of {most} inflated bytes, level {level}, {len(tail)} bytes of empty blocks"
                    yield vector(name, frame(BINARY, body, rsv=4), item, limits=limited(most), compression=DEFLATE)
                body = Compressor(level=level).final(b"z" * length)
                item = Violation.MESSAGE_TOO_BIG if length > most else (BINARY, b"z" * length)
                name = f"{length} of {most} inflated bytes, level {level}, a final block"
                yield vector(name, frame(BINARY, body, rsv=4), item, limits=limited(most), compression=DEFLATE)
    body = Compressor().message(b"z" * 40)
    data = frame(BINARY, body[:3], fin=False, rsv=4) + frame(CONTINUATION, body[3:]) + frame(BINARY, body, rsv=4)
    want: list[Item] = [(BINARY, b"z" * 40)] * 2
    yield vector("a limit for each inflated message", data, *want, limits=limited(40), compression=NO_TAKEOVER)
    yield vector(
        "a limit met in fragments", data, Violation.MESSAGE_TOO_BIG, limits=limited(39), compression=NO_TAKEOVER
    )
    body = Compressor(level=0).message(b"12345\xff7890")
    yield vector("bad text after the limit", frame(TEXT, body, rsv=4), Violation.MESSAGE_TOO_BIG,
                 limits=limited(5), compression=DEFLATE)  # fmt: skip
    body = Compressor().message(bytes(2_000_000))
    assert len(body) * 900 < 2_000_000
    yield vector("a high ratio within the limit", frame(BINARY, body, rsv=4), (BINARY, bytes(2_000_000)),
                 limits=limited(2_000_000), compression=DEFLATE)  # fmt: skip
    yield vector(
        "a bomb", frame(BINARY, body, rsv=4), Violation.MESSAGE_TOO_BIG, limits=limited(65536), compression=DEFLATE
    )
    head = peer.head(0xC2, 2**40)
    mask = 4 if peer.masks else 0
    yield vector("a compressed length that no deflater makes of the limit", head, Violation.MESSAGE_TOO_BIG,
                 limits=limited(1000), compression=DEFLATE, fault_at=len(head) - mask)  # fmt: skip


VECTORS: list[Vector] = [
    vector
    for role in Role
    for table in (_examples, _lengths, _limits, _fragments, _heads, _controls, _texts, _deflate, _inflated_limits)
    for vector in table(Peer(role))
]
