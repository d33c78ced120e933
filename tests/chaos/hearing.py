"""A broker as a node has it, but for what it hears of it: that can be lost for a while, or be wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from chaos.sabotage import Ear
from wsmash.topics.brokers.base import Receiver
from wsmash.topics.brokers.choice import make_broker


class Hearing:
    """The broker at a URL; all but what it pushes is its own.

    Args:
        url: of the broker.
        sabotage: what it pushes wrongly; see `Ear`.
    """

    def __init__(self, url: str, sabotage: Iterable[str]) -> None:
        self._broker: Any = make_broker(url, "wsmash")
        self._sabotage = sabotage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def start(self, receiver: Receiver) -> None:
        """See `Broker`."""
        self._ear = Ear(receiver, self._sabotage)
        await self._broker.start(self._ear)

    def deafen(self, seconds: float) -> None:
        """Lose what is pushed, for so long: the broker does not know, and nobody tells (case 111)."""
        self._ear.deaf = True
        asyncio.get_running_loop().call_later(seconds, self._hear)

    def _hear(self) -> None:
        self._ear.deaf = False
