"""The peers: what each can do, how its programs are started, and which version is installed."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.ratios import OURS
from benchmarks.rows import ITSELF, Row

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
NODE_MODULES = ROOT / "tests" / "interop" / "node" / "node_modules"
ECHOES = frozenset({"echo", "broadcast"})
DEFLATES = ECHOES | {"deflate"}


class Peer(NamedTuple):
    """Someone who does the work of the rows.

    Attributes:
        name: what rows and tables call it.
        works: what its server can do.
        tls: whether it can do that over TLS.
        client: whether it is a client too.
        module: its file in `servers/` and `clients/`, without a suffix.
        distribution: the package that it comes in.
    """

    name: str
    works: frozenset[str]
    tls: bool = True
    client: bool = True
    module: str = ""
    distribution: str = ""

    def can(self, row: Row) -> bool:
        """Whether it can do the work of this row at all."""
        if row.load.program == "client":
            return self.client
        return work_of(self, row) in self.works and (self.tls or not row.tls)


PEERS = {
    each.name: each
    for each in (
        Peer(OURS, DEFLATES | {"coroutine", "iterate"}, module="wsmash", distribution="wsmash"),
        Peer("picows", ECHOES, module="picows", distribution="picows"),
        Peer("websockets", DEFLATES, module="websockets", distribution="websockets"),
        Peer("aiohttp", DEFLATES, module="aiohttp", distribution="aiohttp"),
        Peer("uvicorn", DEFLATES, client=False, module="uvicorn", distribution="uvicorn"),
        Peer("ws", DEFLATES, module="ws.mjs"),
        Peer("floor", frozenset({"echo"}), tls=False, client=False),
        Peer(ITSELF, frozenset({"echo"}), client=False, module="wsmash", distribution="wsmash"),
    )
}

SHOWN = tuple(name for name in PEERS if name not in {OURS, ITSELF})
"""Those that have a column of their own."""


def work_of(peer: Peer, row: Row) -> str:
    """What this peer's server is told to do in this row."""
    return row.work if peer.name == OURS else row.peers_work


def command(peer: Peer, folder: str) -> list[str]:
    """What starts its program in `servers` or `clients`."""
    if peer.module.endswith(".mjs"):
        return ["node", str(HERE / folder / peer.module)]
    return [sys.executable, "-m", f"benchmarks.{folder}.{peer.module}"]


def installed_version(peer: Peer) -> str:
    """Its version; empty for what has none.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    if not peer.module:
        return ""
    if not peer.module.endswith(".mjs"):
        return version(peer.distribution)
    about = NODE_MODULES / peer.name / "package.json"
    if not about.exists() or shutil.which("node") is None:
        raise PackageNotFoundError(peer.name)
    return str(json.loads(about.read_text())["version"])


def why_missing(peer: Peer) -> str | None:
    """Why it can't take part on this machine, or None."""
    try:
        installed_version(peer)
    except PackageNotFoundError:
        return "not installed"
    return None
