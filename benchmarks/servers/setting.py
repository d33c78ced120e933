"""What a server is told on its command line, and how it runs on uvloop."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import NamedTuple

import uvloop

HOST = "127.0.0.1"


class Setting(NamedTuple):
    """The work, and the files of the certificate where it is done over TLS."""

    work: str
    certificate: str | None = None
    key: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """A context with the certificate, or None for plain TCP."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def announce(port: int) -> None:
    """Tell whoever started this server where it listens."""
    print(port, flush=True)


def setting() -> Setting:
    """What the command line says."""
    return Setting(*sys.argv[1:])


def serve(main: Callable[[Setting], Coroutine[None, None, object]]) -> None:
    """Run `main` on uvloop until this process is ended."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(setting()))
