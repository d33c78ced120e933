"""What `shim.c` is told from Python, in the process that it was put in by LD_PRELOAD; and how it is built."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from pathlib import Path

CALLS = (
    "recv",
    "send",
    "accept",
    "epoll_ctl",
    "epoll_wait",
    "getpeername",
    "setsockopt",
    "shutdown",
    "connect",
    "allocate",
)
"""In the order of `enum call`. The kinds stand for all calls that do the same: `readv` is a `recv`."""

SHORT = -1
"""In place of an error: one byte passes, or one event."""


class Shim:
    """The one of this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.faults_count.restype = ctypes.c_long

    def begin(self) -> None:
        """Count calls from here, and forget what was to fail."""
        self._library.faults_begin()

    def end(self) -> None:
        """Count no more, and let nothing fail."""
        self._library.faults_end()

    def arm(self, call: str, nth: int, error: int, count: int = 1) -> None:
        """Let a call fail: the nth from `begin` on, counted from 1, and `count` of them."""
        self._library.faults_arm(CALLS.index(call), ctypes.c_long(nth), error, ctypes.c_long(count))

    def count(self, call: str) -> int:
        """How many there were since `begin`."""
        return int(self._library.faults_count(CALLS.index(call)))

    @property
    def hits(self) -> int:
        """How many were made to fail."""
        return int(self._library.faults_hits())

    @property
    def ports(self) -> set[int]:
        """Those of the socket hit last, at either end."""
        return {int(self._library.faults_port(which)) for which in (0, 1)} - {0}


def named(error: int) -> str:
    """An error as it is written."""
    return "SHORT" if error == SHORT else errno.errorcode[error]


def build(directory: Path) -> Path | None:
    """Compile the shim; None where there is no compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        return None
    library = directory / "shim.so"
    source = Path(__file__).with_suffix(".c")
    flags = ["-shared", "-fPIC", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    built = subprocess.run(
        [*compiler.split(), *flags, str(source), "-o", str(library), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return library
