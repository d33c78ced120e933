"""What one connection takes, measured: bytes of the process's memory for each of many in one state, on either engine.

    python tools/measure_memory.py [--write] [--states NAME ...]

Servers and clients are processes of their own. Each state is brought about with real
connections over loopback, at first with some and then with all: the difference of the
process's memory (Rss), divided by that of the connections, is what one takes. It does
not hold what the kernel keeps for a socket. `--write` puts the table into docs/limits.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import ssl
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple, cast

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "limits.md"
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests")]

import wsmash  # noqa: E402
from benchmarks.machine import processor  # noqa: E402
from fixtures.certificates import authority, write_certificate  # noqa: E402
from fixtures.frames import frame  # noqa: E402
from fixtures.peer import Peer  # noqa: E402
from fixtures.served import Served, resident  # noqa: E402
from wsmash.constants import Opcode  # noqa: E402
from wsmash.sansio.deflate import BACKEND  # noqa: E402

ENGINES = ("native", "portable")
KIB = 1024
MIB = 1024 * KIB
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
COMPRESSED = 0x40
"""The bit of a compressed message (RFC 7692 6), beside its opcode."""

PROSE = json.dumps([{"id": at * 7919 % 10007, "name": f"user {at * 31 % 997}", "at": at**3} for at in range(1300)])
"""A little more than a window of JSON, which compresses as such text does."""

MARKS = ("<!-- measured -->", "<!-- end -->")
"""Around the table in docs/limits.md."""

Act = Callable[[Peer], None]

TOPICS = {"protocols": "wsmash.v1", "generous": True}
"""Options of a server whose clients may do everything with topics."""


class State(NamedTuple):
    """A state of connections.

    Attributes:
        name: what the table says.
        connections: how many are measured.
        options: of the server, or of the clients.
        act: brings a raw connection to a server into the state; None where it only opens.
        work: what the server does; see `hostile.works`.
        tls: whether over TLS.
        then: told to the server when all are there.
    """

    name: str
    connections: int
    options: Mapping[str, Any] = MappingProxyType({})
    act: Act | None = None
    work: str = "hear"
    tls: bool = False
    then: tuple[Any, ...] = ()


def opened(peer: Peer) -> None:
    """The handshake, and nothing else."""
    peer.upgrade()


def echoed(peer: Peer) -> None:
    """One small message, and its answer."""
    peer.upgrade()
    peer.send(frame(Opcode.TEXT, b"hello", masked=True))
    peer.frame()


def spoken(peer: Peer) -> None:
    """`wsmash.v1` is agreed on, and nothing said in it."""
    peer.upgrade("/", "Sec-WebSocket-Protocol: wsmash.v1")


def _topic(name: Callable[[], str]) -> Act:
    """The same, and subscribed to a topic."""

    def act(peer: Peer) -> None:
        spoken(peer)
        envelope = f'\x1e{{"type":"subscribe","id":1,"topic":"{name()}"}}'
        peer.send(frame(Opcode.TEXT, envelope.encode(), masked=True))
        peer.frame()

    return act


_numbers = count()
on_one_topic = _topic(lambda: "news")
on_its_own_topic = _topic(lambda: f"user.{next(_numbers)}")


def agreed(peer: Peer) -> None:
    """Compression is agreed on, and not yet used."""
    peer.upgrade("/", DEFLATE)


def deflated(peer: Peer) -> None:
    """A window of text was received and sent, compressed."""
    bits = 15
    answer = peer.upgrade("/", DEFLATE)
    for each in answer.headers["sec-websocket-extensions"].split(";"):
        if "client_max_window_bits" in each:
            bits = int(each.partition("=")[2])
    stream = zlib.compressobj(6, zlib.DEFLATED, -bits)
    payload = stream.compress(PROSE.encode()) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    peer.send(frame(COMPRESSED | Opcode.TEXT, payload, masked=True))
    peer.frame()


def half_a_head(peer: Peer) -> None:
    """A request that is nearly as long as it may be, and not at its end."""
    peer.send(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"x" * 8000) for at in range(8)))


def silent(peer: Peer) -> None:
    """A connection, and not a byte."""


def unfinished(peer: Peer) -> None:
    """A message of the most that is allowed, but for its last byte."""
    peer.upgrade()
    peer.send(frame(Opcode.BINARY, bytes(MIB), masked=True)[:-1])


def _full(opcode: int, largest: bytes) -> Act:
    def act(peer: Peer) -> None:
        peer.upgrade()
        small = frame(Opcode.BINARY, bytes(64 * KIB - 1), masked=True)
        big = frame(opcode, largest, masked=True)
        peer.send(big + small + big + frame(Opcode.BINARY, bytes(60 * KIB), masked=True))

    return act


full = _full(Opcode.BINARY, bytes(MIB))
full_of_text = _full(Opcode.TEXT, b"x" * (MIB - 4) + "\U0001f600".encode())

SERVER = [
    State("idle", 2000, act=opened),
    State("idle, over TLS", 600, act=opened, tls=True),
    State("one message echoed by a plain callback", 2000, act=echoed, work="echo"),
    State("one message echoed in pull style, its task waiting", 2000, act=echoed, work="iterate"),
    State("speaks `wsmash.v1`", 2000, TOPICS, spoken),
    State("speaks `wsmash.v1`, subscribed to a topic", 2000, TOPICS, on_one_topic),
    State("speaks `wsmash.v1`, subscribed to a topic of its own", 2000, TOPICS, on_its_own_topic),
    State("compression agreed on, not used yet", 1000, {"compression": "deflate"}, agreed),
    State("compression in use", 200, {"compression": "deflate"}, deflated, "echo"),
    State(
        "compression in use, windows of 11 bits", 400,
        {"compression": {"server_max_window_bits": 11, "client_max_window_bits": 11}}, deflated, "echo",
    ),
    State(
        "compression in use, no context takeover", 400,
        {"compression": {"server_no_context_takeover": True, "client_no_context_takeover": True}}, deflated, "echo",
    ),
    State("connected, nothing said", 1000, {"open_timeout": None, "max_openings": None}, silent),
    State("connected to TLS, nothing said", 1000, {"open_timeout": None, "max_openings": None}, silent, tls=True),
    State("half a request of 64 KiB", 300, {"open_timeout": None, "max_openings": None}, half_a_head),
    State("an unfinished message of 1 MiB", 60, act=unfinished),
    State("a busy callback and a full inbox, bytes", 40, act=full, work="stuck"),
    State("a busy callback and a full inbox, text beyond U+FFFF", 40, act=full_of_text, work="stuck"),
    State(
        "a full write buffer", 60, {"slow_consumer": "drop"}, opened,
        then=("send", "x" * (15 * KIB)),
    ),
]  # fmt: skip

CLIENT = [
    State("idle", 1000, {"compression": None}),
    State("idle, over TLS", 300, {"compression": None}, tls=True),
    State("compression agreed on, not used yet", 500),
    State("compression in use", 150, work="echo"),
]


class Memory(NamedTuple):
    """A process that is measured: its memory, and what brings more connections to it."""

    rss: Callable[[], int]
    open: Callable[[int], None]
    settle: Callable[[int], None]


def taken(memory: Memory, many: int) -> int:
    """Bytes for each connection, of those between the first quarter and all."""
    memory.open(many // 4)
    memory.settle(many // 4)
    before = memory.rss()
    memory.open(many - many // 4)
    memory.settle(many)
    return (memory.rss() - before) // (many - many // 4)


def of_server(folder: Path, engine: str, state: State) -> int:
    """What one connection in this state takes of a server."""
    certificate = write_certificate(folder / "certificate.pem") if state.tls else None
    options: dict[str, Any] = {"ping_interval": None, "message_timeout": None, "write_timeout": None, **state.options}
    served = Served(folder, engine, state.work, certificate=certificate, level="ERROR", backlog=4096, **options)
    peers: list[Peer] = []

    def open_more(many: int) -> None:
        for _ in range(many):
            peers.append(served.peer(plain=state.act is silent, window=None if not state.then else 4096))
            if state.act is not None:
                state.act(peers[-1])

    def settle(many: int) -> None:
        if state.then:
            for _ in range(400):  # more than the buffers of the system and of the server hold
                served.tell(*state.then)
                time.sleep(0.002)
        time.sleep(1)
        now = served.state()
        if now["connections"] + now["openings"] != many:
            raise RuntimeError(f"{state.name}: not all connections are there: {now}")

    try:
        return taken(Memory(served.rss, open_more, settle), state.connections)
    finally:
        served.kill()


def of_client(folder: Path, engine: str, state: State) -> int:
    """What one client in this state takes."""
    certificate = write_certificate(folder / "certificate.pem") if state.tls else None
    served = Served(
        folder, engine, state.work, certificate=certificate, level="ERROR", backlog=4096, compression="deflate"
    )
    setting: dict[str, Any] = {"url": served.url, "options": dict(state.options), "talks": state.work == "echo"}
    if state.tls:
        setting["trust"] = str(folder / "authority.pem")
        authority().cert_pem.write_to_path(setting["trust"])
    clients = subprocess.Popen(
        [sys.executable, __file__, "--clients", json.dumps(setting)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "WSMASH_ENGINE": engine},
    )  # fmt: skip
    told, heard = cast(IO[str], clients.stdin), cast(IO[str], clients.stdout)

    def open_more(many: int) -> None:
        told.write(f"{many}\n")
        told.flush()
        if heard.readline() != "open\n":
            raise RuntimeError(f"{state.name}: the clients have ended")

    try:
        return taken(Memory(lambda: resident(clients.pid), open_more, lambda _: time.sleep(0.5)), state.connections)
    finally:
        clients.kill()
        clients.communicate()
        served.kill()


async def be_clients(setting: dict[str, Any]) -> None:
    """Open as many clients as each line read says; each may send a message and have it back."""
    options = setting["options"]
    if "trust" in setting:
        options["ssl"] = ssl.create_default_context(cafile=setting["trust"])
    answered = asyncio.Event()
    clients = []  # held, as a program would
    while line := await asyncio.to_thread(sys.stdin.readline):
        for _ in range(int(line)):
            clients.append(client := wsmash.create_client(setting["url"], **options))
            client.on("message", lambda _: answered.set())
            await client.connect()
            if setting["talks"]:
                answered.clear()
                client.send(PROSE)
                await answered.wait()
        print("open", flush=True)


def table(states: list[State], measure: Callable[[Path, str, State], int], chosen: list[str] | None) -> list[str]:
    """A row for each of the states that were chosen, with a column for each engine."""
    rows = []
    for state in states:
        if chosen is not None and state.name not in chosen:
            continue
        cells = []
        for engine in ENGINES:
            with tempfile.TemporaryDirectory() as folder:
                cells.append(shown(measure(Path(folder), engine, state)))
        rows.append(f"| {state.name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def shown(size: int) -> str:
    """Bytes as a reader takes them in."""
    return f"{size / MIB:.2f} MiB" if size >= MIB else f"{size / KIB:.1f} KiB"


def written(text: str, rows: list[str]) -> str:
    """The page with the table between its marks."""
    block = "\n".join([MARKS[0], "", *rows, "", MARKS[1]])
    return re.sub(f"{MARKS[0]}.*?{MARKS[1]}", lambda _: block, text, flags=re.DOTALL)


def main() -> None:
    """Measure, or be the clients that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/limits.md")
    parser.add_argument("--states", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--clients", metavar="SETTING", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.clients is not None:
        asyncio.run(be_clients(json.loads(wanted.clients)))
        return
    head = ["| state | native | portable |", "|---|---|---|"]
    rows = ["On a server:", "", *head, *table(SERVER, of_server, wanted.states), ""]
    rows += ["On a client:", "", *head, *table(CLIENT, of_client, wanted.states), ""]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    rows.append(f"{python}, {openssl}, {BACKEND}, Linux {platform.release()}, {processor()}.")
    if wanted.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
