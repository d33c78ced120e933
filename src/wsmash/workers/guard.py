"""Who stands beside a local NATS server, run as a script: it ends the server when the parent of workers is gone.

    guard.py FOLDER COMMAND...

Its standard input is a pipe from that parent, which never writes to it: at its end,
however the parent has ended, the server is ended and the folder removed. A server that
ends by itself ends the guard with its status, and leaves the folder for the next one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 5.0
"""Seconds in which the server must have ended."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Guard it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # which a whole group may have been sent
    folder, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent)  # noqa: PLW1509, S603
    alone = threading.Event()
    threading.Thread(target=_wait_for_parent, args=(server, alone), daemon=True).start()
    status = server.wait()
    if alone.is_set():
        status = 0
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status if status >= 0 else 128 - status)  # though a thread still reads; as a shell has it


def _wait_for_parent(server: subprocess.Popen[bytes], alone: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    alone.set()
    server.terminate()
    time.sleep(PATIENCE)
    server.kill()


def _end_with_parent() -> None:
    """In the child: on Linux it ends with the guard, though that was killed."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # a Python may be built without it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
