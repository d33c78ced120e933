"""The parent of workers: it starts them, tells them to end when it is told to, and has them replaced at SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any

from ..errors import WebSocketError, WorkerError
from .local_nats import LocalNats
from .messages import App, Wish
from .places import Places
from .process import Process, can_start
from .slot import Slot
from .stand_ins import StandIns

logger = logging.getLogger("wsmash")


def supervise(app: App, count: int) -> None:
    """Serve with so many workers until SIGINT or SIGTERM comes.

    Raises:
        WorkerError: the first workers could not start, or one did not end by itself.
        LoadError: there is no server of that name.
        OSError: there is nothing to listen on, as a port that is in use.
        RuntimeError: this is not the main thread, or the system has no way to do it.
    """
    if not can_start():
        raise RuntimeError("several workers need sockets that pass from process to process, which only Unix has")
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("workers are started in the main thread: no other hears of signals")
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(Parent(app, count).run())


class Parent:
    """See `supervise`, and `slot.Supplies`."""

    def __init__(self, app: App, count: int) -> None:
        self.places = Places(count)
        self._slots = [Slot(app, number, self) for number in range(1, count + 1)]
        self._stand_ins = StandIns(self._slots, self.places)
        self._asked = asyncio.Event()  # to end
        self._again = asyncio.Event()  # to replace all
        self._aborting = asyncio.Event()
        self._nats: LocalNats | None = None
        self._finding = asyncio.Lock()

    async def run(self) -> None:
        """Serve until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end_asked)
        loop.add_signal_handler(signal.SIGHUP, self._again.set)
        keepers: list[asyncio.Task[None]] = []
        try:
            await self._unless_asked(self._start())
            if not self._asked.is_set():
                names = len(self._slots), self.places, os.getpid()
                logger.info("%d workers listen on %s; their parent is %d", *names)
                keepers += [loop.create_task(slot.keep()) for slot in self._slots]
                await self._unless_asked(self._replace_whenever_asked())
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._end()

    def _end_asked(self) -> None:
        if self._asked.is_set():
            self._aborting.set()
        self._asked.set()

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, and give it up when it is time to end."""
        asked = asyncio.create_task(self._asked.wait())
        task = asyncio.create_task(work)
        await asyncio.wait((asked, task), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not task.done():
            task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    # -- starting

    async def _start(self) -> None:
        """Start one worker, and the others once it has loaded the server: what is wrong there is said once."""
        loaded = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._slots[0].fill(loaded.set))
                await loaded.wait()
                for slot in self._slots[1:]:
                    group.create_task(slot.fill())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def changed(self) -> None:
        """See `slot.Supplies`."""
        self._stand_ins.settle()

    async def broker(self, wish: Wish) -> str | None:
        """The URL of the broker that a worker needs and does not name: a NATS server, started for the first of them.

        Raises:
            WorkerError: it is not installed, or does not start.
        """
        if not wish.local:
            return None
        async with self._finding:
            if self._nats is None:
                nats = LocalNats()
                await nats.start()
                self._nats = nats
        return self._nats.url

    # -- replacing

    async def _replace_whenever_asked(self) -> None:
        while True:
            await self._again.wait()
            self._again.clear()
            await self._replace_all()

    async def _replace_all(self) -> None:
        """One worker after the other; where a new one cannot start, the old ones stay."""
        logger.info("all workers are replaced, one after the other")
        for slot in self._slots:
            try:
                await slot.replace()
            except (WebSocketError, OSError) as error:
                logger.error("the workers that there are stay: %s", error)  # noqa: TRY400
                return
        self.places.keep(slot.place for slot in self._slots if slot.place is not None)
        logger.info("all workers were replaced")

    # -- the end

    async def _end(self) -> None:
        """Have all workers end, and wait for them."""
        self.places.close()
        workers = [each for slot in self._slots for each in (slot.worker, *slot.leaving) if each is not None]
        living = [each for each in workers if each.status is None]
        aborting = asyncio.create_task(self._abort(living))
        await asyncio.gather(*(each.end("stop") for each in living))
        aborting.cancel()
        if self._nats is not None:
            await self._nats.stop()
        self.places.remove()
        for each in workers:
            each.close()
        bad = [f"{each} {each.how()}" for each in living if each.killed or each.status]
        if bad:
            raise WorkerError(f"not all workers have ended as asked to: {', '.join(bad)}")

    async def _abort(self, workers: list[Process]) -> None:
        await self._aborting.wait()
        for each in workers:
            each.order("abort")
