"""A thousand clients lose their server at once, and it comes back: `python tests/hostile/storm.py`, or `make storm`.

The server is a process that is killed and takes its connections with it; another
takes its port. What is told of it: when the clients came back, whether any was
early, and what became of the messages that they sent meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import wsmash

WINDOW = 0.5
"""Seconds in which connections are counted."""

SERVER = """
import asyncio, os, sys, time
import wsmash

async def main():
    port = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = wsmash.create_server(host="127.0.0.1", port=int(port), backlog=4096)

    def connected(event):
        os.write(file, f"open {time.monotonic()}\\n".encode())  # what was written outlives a kill
        event.client.on("message", lambda message: os.write(file, f"message {message.data}\\n".encode()))

    server.on("connection", connected)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass
class Outcome:
    """What happened.

    Attributes:
        clients: how many there were.
        outage: seconds for which there was no server.
        back: seconds from the server's return until each came.
        planned: in the clock of the machine, when each meant to make the attempt that came through.
        early: retries that came before the delay that was announced.
        attempts: retries in all.
        accepted: messages that the offline queues accepted.
        arrived: how often each message did.
        dropped: those that were reported, by reason.
    """

    clients: int
    outage: float = 0.0
    back: list[float] = field(default_factory=list)
    planned: list[float] = field(default_factory=list)
    early: int = 0
    attempts: int = 0
    accepted: set[str] = field(default_factory=set)
    arrived: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, set[str]] = field(default_factory=dict)

    def mean(self, window: float) -> float:
        """The connections of one `WINDOW`, had they come evenly over so many seconds."""
        return self.clients * WINDOW / window

    @property
    def repeated(self) -> set[str]:
        """Messages that arrived more than once."""
        return {name for name, count in self.arrived.items() if count > 1}

    @property
    def missing(self) -> set[str]:
        """Messages that were accepted, did not arrive, and were not reported."""
        return self.accepted.difference(self.arrived, *self.dropped.values())

    def report(self, first_delay: float) -> str:
        """The same for a reader."""
        reasons = ", ".join(f"{len(names)} {reason}" for reason, names in self.dropped.items()) or "none"
        came, meant = peak(self.back), peak(self.planned)
        even = self.mean(first_delay)
        lines = [
            ("clients", f"{self.clients}, of whom {len(self.back)} came back"),
            ("outage", f"{self.outage:.2f} s without a server"),
            ("retries", f"{self.attempts}, of which {self.early} came before the delay that was announced (0 wanted)"),
            ("first back", f"{min(self.back, default=0):.2f} s after the server"),
            ("last back", f"{max(self.back, default=0):.2f} s after the server"),
            ("most at once", f"{meant} meant to come within {WINDOW} s (at most {2 * even:.0f} wanted,"),
            ("", f"twice the {even:.0f} of an even spread over the {first_delay:g} s of the first retries)"),
            ("", f"{came} did come, which may be more on a machine that is busy"),
            ("messages", f"{len(self.accepted)} sent during the outage, and taken by the offline queues"),
            ("", f"{len(self.accepted & set(self.arrived))} arrived, {len(self.repeated)} more than once (0 wanted)"),
            ("", f"{len(self.missing)} neither arrived nor were reported (0 wanted); reported as dropped: {reasons}"),
        ]
        return "\n".join(f"{name:<14}{text}" for name, text in lines)


def peak(times: list[float]) -> int:
    """The most of them within `WINDOW`, wherever that begins."""
    times = sorted(times)
    first, most = 0, 0
    for last, when in enumerate(times):
        while times[first] < when - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


class Watched:
    """One client's policy, which remembers how long the client is to wait."""

    def __init__(self, policy: wsmash.Reconnect, outcome: Outcome) -> None:
        self.healthy_after = policy.healthy_after
        self._policy = policy
        self._outcome = outcome
        self._due: float | None = None

    def delay(self, outage: wsmash.Outage) -> float | None:
        """See `wsmash.ReconnectPolicy`."""
        self.tried()
        delay = self._policy.delay(outage)
        self._due = None if delay is None else time.monotonic() + delay
        return delay

    def opened(self) -> None:
        """A retry came through."""
        if self._due is not None:
            self._outcome.planned.append(self._due)
        self.tried()

    def tried(self) -> None:
        """A retry was made."""
        if self._due is not None:
            self._outcome.attempts += 1
            self._outcome.early += time.monotonic() < self._due - 0.001
            self._due = None


class Storm:
    """One run.

    Args:
        folder: for what the servers note.
        clients: how many.
        policy: theirs.
        outage: seconds until the server is back.
        messages: how many each client sends while it has none.
        engine: of the servers.
    """

    def __init__(
        self,
        folder: Path,
        clients: int,
        policy: wsmash.Reconnect,
        *,
        outage: float = 0.0,
        messages: int = 3,
        engine: str = "auto",
    ) -> None:
        self.outcome = Outcome(clients)
        self._files = folder / "first", folder / "second"
        self._policy = policy
        self._outage = outage
        self._messages = messages
        self._engine = engine

    async def run(self) -> Outcome:
        """From the first connection to the last message."""
        first = await self._server(self._files[0])
        second = await self._server(self._files[1])
        clients: list[wsmash.WebSocketClient] = []
        try:
            port = await _listen(first, 0)
            url = f"ws://127.0.0.1:{port}/"
            clients = [self._client(url, number) for number in range(self.outcome.clients)]
            for start in range(0, len(clients), 100):
                await asyncio.gather(*(client.connect() for client in clients[start : start + 100]))
            first.kill()
            await first.wait()
            killed = time.monotonic()
            await asyncio.sleep(self._outage)
            await _listen(second, port)
            returned = time.monotonic()
            self.outcome.outage = returned - killed
            await self._all_back(clients)
            opened = [line for line in _lines(self._files[1]) if line.startswith("open")]
            self.outcome.back = [float(line.split()[1]) - returned for line in opened]
        finally:
            for client in clients:
                client.abort()
            for process in (first, second):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return self.outcome

    async def _server(self, file: Path) -> asyncio.subprocess.Process:
        source = str(Path(wsmash.__file__).parents[1])
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVER, str(file)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": source, "WSMASH_ENGINE": self._engine},
        )

    def _client(self, url: str, number: int) -> wsmash.WebSocketClient:
        outcome, policy = self.outcome, Watched(self._policy, self.outcome)
        client = wsmash.create_client(
            url, proxy=None, reconnect=policy, offline_queue=2 * self._messages, compression=None
        )
        client.on("open", lambda _: policy.opened())
        client.on("message", lambda _: None)

        @client.on("reconnecting")
        def lost(event: wsmash.ReconnectingEvent) -> None:
            if event.attempt == 1:
                for each in range(self._messages):
                    name = f"{number}/{each}"
                    client.send(name)
                    outcome.accepted.add(name)

        @client.on("dropped")
        def dropped(event: wsmash.DroppedEvent) -> None:
            outcome.dropped.setdefault(event.reason, set()).add(str(event.data))

        return client

    async def _all_back(self, clients: list[wsmash.WebSocketClient]) -> None:
        """Wait until each is open, and each message has arrived or was reported."""
        deadline = time.monotonic() + self._policy.max_delay * 2 + 20
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            lines = [line for file in self._files for line in _lines(file)]
            self.outcome.arrived = Counter(line.split()[1] for line in lines if line.startswith("message"))
            if all(client.is_open() for client in clients) and not self.outcome.missing:
                return


async def _listen(process: asyncio.subprocess.Process, port: int) -> int:
    """Have it listen there; the port that it got."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{port}\n".encode())
    return int(await process.stdout.readline())


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def main() -> None:
    """Run it as the command line says, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--outage", type=float, default=0.0, help="seconds without a server")
    parser.add_argument("--first-delay", type=float, default=wsmash.Reconnect().first_delay)
    parser.add_argument("--max-delay", type=float, default=wsmash.Reconnect().max_delay)
    options = parser.parse_args()
    policy = wsmash.Reconnect(first_delay=options.first_delay, max_delay=options.max_delay)
    with tempfile.TemporaryDirectory() as folder:
        outcome = await Storm(Path(folder), options.clients, policy, outage=options.outage).run()
    print(outcome.report(options.first_delay))


if __name__ == "__main__":
    asyncio.run(main())
