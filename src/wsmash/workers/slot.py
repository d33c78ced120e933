"""One place among the workers, where there is always one at work: what starts it again, and lets another take over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from ..errors import WebSocketError, WorkerError
from .backoff import Backoff
from .messages import App, Wish
from .places import Place, Places
from .process import START_TIMEOUT, Process

logger = logging.getLogger("wsmash")


class Supplies(Protocol):
    """What workers are given."""

    places: Places

    async def broker(self, wish: Wish) -> str | None:
        """The URL of the broker that a worker needs and does not name."""

    def changed(self) -> None:
        """A worker has died, is at work again, or was replaced."""


class Slot:
    """The place with one number.

    Args:
        app: what is served.
        number: from 1 on.
        supplies: what its workers are given.

    Attributes:
        number: as given.
        worker: the one that is at work there, or has died; None before the first.
        leaving: those that still see their clients out, and have another in their place.
        place: where it listens.
    """

    def __init__(self, app: App, number: int, supplies: Supplies) -> None:
        self.number = number
        self.worker: Process | None = None
        self.leaving: set[Process] = set()
        self.place: Place | None = None
        self._app = app
        self._supplies = supplies
        self._starting = asyncio.Lock()  # one at a time
        self._backoff = Backoff()

    @property
    def is_at_work(self) -> bool:
        """Whether there is one."""
        return self.worker is not None and self.worker.status is None and self.worker.ready

    async def fill(self, loaded: Callable[[], None] = lambda: None) -> None:
        """Start a worker, and wait until it listens.

        Args:
            loaded: called once it has loaded its server.

        Raises:
            WorkerError, LoadError, OSError: it cannot; nothing is left of the attempt.
        """
        async with self._starting:
            self.worker = await self._start(loaded)

    async def _start(self, loaded: Callable[[], None] = lambda: None) -> Process:
        worker = await Process.start(self._app, self.number)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                wish = await worker.wish()
                loaded()
                place = Place.of(wish)
                sockets = await self._supplies.places.sockets(place, self.number)
                await worker.grant(sockets, await self._supplies.broker(wish))
        except TimeoutError:
            await worker.kill()
            raise WorkerError(f"{worker} could not start: it did not listen within {START_TIMEOUT:g} s") from None
        except BaseException:
            await worker.kill()
            raise
        self.place = place
        return worker

    async def keep(self) -> None:
        """Start a worker again whenever it dies, for ever, and later each time."""
        while (worker := self.worker) is not None:
            await worker.ended()
            if worker is not self.worker:
                continue  # another has taken over, which is what it has ended for
            worker.close()
            self._supplies.changed()
            await self._again(f"{worker} {worker.how()} after {worker.lived:.1f} s", worker.lived)

    async def _again(self, what: str, lived: float) -> None:
        self._backoff.lived(lived)
        dead = self.worker
        while self.worker is dead:
            delay = self._backoff.delay()
            logger.error("%s; it is started again in %.1f s", what, delay)
            await asyncio.sleep(delay)
            async with self._starting:
                if self.worker is not dead:
                    return  # a restart was faster
                try:
                    self.worker = await self._start()
                except (WebSocketError, OSError) as error:
                    what = str(error)
                else:
                    logger.info("%s is at work", self.worker)
                    self._supplies.changed()

    async def replace(self) -> None:
        """Start another worker, and once that listens have the old one see its clients out.

        Raises:
            WorkerError, LoadError, OSError: the new one cannot start; the old one stays.
        """
        async with self._starting:
            new = await self._start()
            old, self.worker = self.worker, new
        self._backoff.reset()
        self._supplies.changed()
        if old is None or old.status is not None:
            return
        logger.info("%s takes over from %s", new, old)
        self.leaving.add(old)
        await old.end("make way")
        self.leaving.discard(old)
        if old.killed:
            logger.error("%s did not end in time, and was killed", old)
