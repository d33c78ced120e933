"""The log of a process that the command line has started, where its application sets up none of its own."""

from __future__ import annotations

import logging
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")

_FORMAT: Final = "%(asctime)s %(levelname)s %(processName)s[%(process)d] %(name)s: %(message)s"


def log_to_stderr(level: str) -> None:
    """Write records from this level on, unless handlers have been set up already."""
    logging.basicConfig(level=level.upper(), format=_FORMAT)
