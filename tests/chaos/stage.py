"""The processes of a run, and what can be done to them: nodes, publishers, subscribers, and the broker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from chaos.records import Log
from chaos.schedule import NODES, PUBLISHERS, SUBSCRIBERS
from chaos.setting import Setting
from fixtures.brokers import BrokerProcess, NatsServer, RedisServer
from fixtures.chaos import ChaosProxy

ROOT = Path(__file__).parents[2]

LONGEST = 30.0
"""Seconds until a program must have started; it may have to wait for the broker."""

SABOTEUR = SUBSCRIBERS[0]
"""Whose first client breaks promises, where any are to be broken."""

LAST_WORDS = 90.0
"""Seconds until one that is asked to end must have done so: it tries to publish for sixty."""


class Program:
    """One of the programs, through all its runs.

    Args:
        module: of this folder.
        setting: what it is told.
    """

    def __init__(self, module: str, setting: Setting) -> None:
        self.setting = setting
        self._module = module
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, again if it ends before it is ready: a node does where the broker is away."""
        async with asyncio.timeout(LONGEST):
            while not await self._try():
                await asyncio.sleep(0.3)

    async def kill(self) -> None:
        """End it at once, whatever it is doing."""
        process = self.process
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> int:
        """Ask a node to end, and wait until it has."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def finish(self) -> int:
        """Tell it that there is nothing more to do, and wait until it has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.ended()

    async def quiet(self) -> None:
        """Let a node publish no more, and wait until all it had begun has its outcome."""
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"quiet\n")
        async with asyncio.timeout(LAST_WORDS):
            await process.stdout.readline()

    async def ended(self) -> int:
        """Wait for its end."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                return await self.process.wait()
        except TimeoutError:
            await self.kill()
            return -1

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The latest one."""
        assert self._process is not None
        return self._process

    async def _try(self) -> bool:
        path = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
        errors = Path(self.setting.folder) / f"{self.setting.program}.log"
        with errors.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"chaos.{self._module}", msgspec.json.encode(self.setting).decode(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                env=os.environ | {"PYTHONPATH": path},
            )  # fmt: skip
        assert self._process.stdout is not None
        return bool(await self._process.stdout.readline())


class Stage:
    """All of them.

    Args:
        folder: for logs and data.
        kind: of the broker, "redis" or "nats".
        rate: messages a second, of all publishers together.
        sabotage: promises that are broken on purpose; see `chaos.sabotage`.

    Attributes:
        broker: the process that nodes reach now.
        links: those of each node to it.
        programs: by name.
    """

    def __init__(self, folder: Path, kind: str, rate: float, sabotage: list[str]) -> None:
        self.kind = kind
        self.folder = folder
        self.log = Log(folder, "conductor")
        self.broker: BrokerProcess = self._new_broker()
        self.links: dict[str, ChaosProxy] = {}
        self.programs: dict[str, Program] = {}
        self._brokers = [self.broker]
        self._rate = rate
        self._sabotage = sabotage
        self._port = 0

    @asynccontextmanager
    async def set(self) -> AsyncIterator[None]:
        """All is there until the block ends."""
        async with AsyncExitStack() as stack:
            port = stack.enter_context(reserved_port())
            self._port = port.getsockname()[1]
            stack.push_async_callback(self._clear)
            await asyncio.to_thread(self.broker.start)
            for name in NODES:
                self.links[name] = await stack.enter_async_context(ChaosProxy(self.broker.port))
                self._add("node", name, self._rate * 0.4 / len(NODES))
            for name in SUBSCRIBERS:
                self._add("subscriber", name, 0.0)
            for name in PUBLISHERS:
                self._add("publisher", name, self._rate * 0.6 / len(PUBLISHERS))
            for group in (NODES, SUBSCRIBERS, PUBLISHERS):
                await asyncio.gather(*(self.programs[name].start() for name in group))
            yield

    def one_more(self, module: str, name: str) -> Program:
        """A program that comes late."""
        self._add(module, name, 0.0)
        return self.programs[name]

    async def fail_over(self, seconds: float) -> None:
        """Let a replica take the place of this Redis, which it lacks the last messages of.

        For so many seconds both are used, each by some of the nodes.
        """
        assert isinstance(self.broker, RedisServer)
        old, new = self.broker, await asyncio.to_thread(self.broker.replica)
        self._brokers.append(new)
        await asyncio.to_thread(new.promote)  # from here on it is told nothing more by the old one
        self.broker = new
        first, *others = self.links.values()
        for links in ([first], others):
            await asyncio.sleep(seconds / 2)
            for link in links:
                link.server_port = new.port
                link.kill_all()
        await asyncio.to_thread(old.kill)

    def _add(self, module: str, name: str, rate: float) -> None:
        link = self.links.get(name)
        url = "" if link is None else self.broker.url.replace(f":{self.broker.port}", f":{link.port}")
        sabotage = self._sabotage if name in (SABOTEUR, *NODES) else []
        self.programs[name] = Program(module, Setting(str(self.folder), name, self._port, url, rate, sabotage))

    def _new_broker(self) -> BrokerProcess:
        # A buffer that a paused node fills: the broker then drops it, as it would a slow one.
        if self.kind == "redis":
            return RedisServer(self.folder / "redis", **{"client-output-buffer-limit": "pubsub 1mb 256kb 2"})
        return NatsServer(self.folder / "nats", max_pending="1MB", write_deadline='"2s"')

    async def _clear(self) -> None:
        for each in self.programs.values():
            each.signal(signal.SIGKILL)
        for broker in self._brokers:
            await asyncio.to_thread(broker.kill)


def reserved_port() -> socket.socket:
    """A port that several may listen on, and that stays ours while none does."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", 0))
    return sock
