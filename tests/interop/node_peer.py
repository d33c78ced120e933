"""npm's `ws`, in a process of its own that node/peer.mjs lets us control."""

from __future__ import annotations

import asyncio
import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interop.wire import Closed, Handler, Heard, Peer, Pong, Setting, Wire

FOLDER = Path(__file__).parent / "node"
LONGEST_LINE = 16 * 1024 * 1024


class NodeWire(Wire):
    """The process; what it heard comes line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process
        self._opened: dict[str, Any] = {}

    @property
    def subprotocol(self) -> str | None:
        return self._opened["subprotocol"]  # type: ignore[no-any-return]

    @property
    def deflates(self) -> bool:
        return self._opened["deflates"]  # type: ignore[no-any-return]

    async def opened(self) -> None:
        """Wait for the connection."""
        self._opened = (await self.line())["open"]

    async def send(self, message: str | bytes) -> None:
        await self.send_fragments([message])

    async def send_fragments(self, parts: Sequence[str | bytes]) -> None:
        for number, part in enumerate(parts, 1):
            action = "text" if isinstance(part, str) else "binary"
            data = part if isinstance(part, str) else b64encode(part).decode()
            await self._act(action, data, fin=number == len(parts))

    async def send_ping(self, payload: bytes) -> None:
        await self._act("ping", b64encode(payload).decode())

    async def close(self, code: int, reason: str) -> None:
        await self._act("close", [code, reason])
        while not isinstance(await self.hear(), Closed):
            pass

    async def hear(self) -> Heard:
        match await self.line():
            case {"text": str(text)}:
                return text
            case {"binary": str(data)}:
                return b64decode(data)
            case {"pong": str(data)}:
                return Pong(b64decode(data))
            case {"closed": [int(code), str(reason)]}:
                return Closed(code, reason)
            case other:
                raise AssertionError(f"unexpected: {other}")

    async def line(self) -> dict[str, Any]:
        """What the process says next."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process ended"
        said: dict[str, Any] = json.loads(line)
        return said

    async def _act(self, action: str, data: object, *, fin: bool = True) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"action": action, "data": data, "fin": fin}).encode() + b"\n")
        await self._process.stdin.drain()


class NodePeer(Peer):
    name = "ws"

    def why_not(self) -> str | None:
        if shutil.which("node") is None:
            return "node is not installed"
        if not (FOLDER / "node_modules" / "ws").exists():
            return "npm's ws is not installed: make peers"
        return None

    @asynccontextmanager
    async def connect(self, url: str, setting: Setting) -> AsyncIterator[Wire]:
        authority = setting.tls.authority if setting.tls else None
        options = {"url": url, "offered": list(setting.offered), "deflate": setting.deflate, "authority": authority}
        async with node("connect", options) as wire:
            await wire.opened()
            yield wire

    @asynccontextmanager
    async def serve(self, handler: Handler, setting: Setting) -> AsyncIterator[int]:
        options: dict[str, Any] = {"spoken": list(setting.spoken), "deflate": setting.deflate}
        if setting.tls:
            options |= {"key": setting.tls.key, "certificate": setting.tls.certificate}

        async def handle(wire: NodeWire) -> None:
            await wire.opened()
            await handler(wire)

        async with node("serve", options) as wire:
            port = (await wire.line())["port"]
            handling = asyncio.create_task(handle(wire))
            yield port
            await handling


@asynccontextmanager
async def node(role: str, options: dict[str, Any]) -> AsyncIterator[NodeWire]:
    """A process of node; it ends with its standard input."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "peer.mjs",
        role,
        json.dumps(options),
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    try:
        yield NodeWire(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
