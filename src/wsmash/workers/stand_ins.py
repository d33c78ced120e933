"""Who accepts for a worker that has died, until the next one with its number listens.

The system goes on to put a share of all clients into its queue, which the parent
keeps open. Where the application takes seconds to load, or dies again and again,
they would wait there; so another worker is handed the same socket meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .places import Places
from .process import Process
from .slot import Slot


class StandIns:
    """Those of all workers.

    Args:
        slots: all there are.
        places: where they listen.
    """

    def __init__(self, slots: Sequence[Slot], places: Places) -> None:
        self._slots = slots
        self._places = places
        self._found: dict[int, Process] = {}

    def settle(self) -> None:
        """A worker has died, is at work, or was replaced: whoever is missing has one, and nobody else."""
        working = [slot.worker for slot in self._slots if slot.worker is not None and slot.is_at_work]
        for slot in self._slots:
            found = self._found.get(slot.number)
            if slot.is_at_work:
                if found is not None:
                    del self._found[slot.number]
                    found.stand_back(slot.number)
            elif found not in working:
                self._choose(slot, working)

    def _choose(self, slot: Slot, working: Sequence[Process]) -> None:
        sockets = () if slot.place is None else self._places.own(slot.place, slot.number)
        if working and sockets:
            found = self._found[slot.number] = random.choice(working)  # noqa: S311  # no secret
            found.stand_in(slot.number, sockets)
