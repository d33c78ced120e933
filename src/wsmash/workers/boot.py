"""The first lines of a worker's process, run as a script: it then finds modules where its parent finds them."""

import json
import signal
import socket
import sys


def main() -> None:
    """Read the job from the socket whose descriptor is the last argument, and do it."""
    # Until it serves, a worker ends at any signal, in silence: the parent knows why.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parent = socket.socket(fileno=int(sys.argv.pop()))
    parent.set_inheritable(False)
    with parent.makefile("rb", buffering=0) as lines:  # which takes nothing of what follows the line
        job = lines.readline()
    if not job:
        sys.exit(1)
    values = json.loads(job)
    sys.path[:] = values["path"]

    from wsmash.workers.messages import Job, Link  # noqa: PLC0415  # it is found only now
    from wsmash.workers.worker import work  # noqa: PLC0415

    del values["kind"]
    sys.exit(work(Link(parent), Job(**values)))


if __name__ == "__main__":
    main()
