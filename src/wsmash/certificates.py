"""A server's certificate in files that are replaced while it runs, as by an ACME client every few weeks."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
from os import PathLike, fspath
from pathlib import Path
from typing import Final

logger = logging.getLogger("wsmash")

LOOK_INTERVAL = 10.0
"""Seconds between two looks at the files. What has changed is loaded once it has stayed the same for one of them."""

_Stamp = tuple[tuple[int, int, int], ...]
_NONE: Final[_Stamp] = ()


class Certificate:
    """A certificate and its key: `create_server(ssl=Certificate("fullchain.pem", "privkey.pem"))`.

    While a server runs, the files are loaded again when they have changed, at
    `server.reload_certificates()`, and under `wsmash.run` at SIGHUP. New connections
    then get the new certificate, and those that are open go on. What cannot be
    loaded is logged, and the certificate in use stays.

    Args:
        certfile: the certificate, and those that lead to its issuer, as PEM.
        keyfile: its private key as PEM; None where that is in `certfile` too.
        password: of the key, where it is encrypted.

    Attributes:
        context: what new connections are secured with. It is another one after each
            load: settings made on it are lost then. For settings of your own pass an
            `ssl.SSLContext`, whose `load_cert_chain` may be called again at any time.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: one holds no certificate or no key, or the two do not belong together.
    """

    def __init__(
        self,
        certfile: str | PathLike[str],
        keyfile: str | PathLike[str] | None = None,
        password: str | bytes | None = None,
    ) -> None:
        self._certfile = fspath(certfile)
        self._keyfile = None if keyfile is None else fspath(keyfile)
        self._password = password
        self._lock = threading.Lock()  # looks are taken in threads, and several servers may share a certificate
        self._seen = self._loaded = self._stamp()
        self.context = self._load()

    def reload(self) -> None:
        """Load the files again, which blocks for as long as that takes.

        Raises:
            OSError, ssl.SSLError: as the constructor does; the certificate in use stays.
        """
        with self._lock:
            stamp = self._stamp()
            self.context = self._load()
            self._seen = self._loaded = stamp
        self._tell()

    def look(self) -> bool:
        """Load the files again if they have changed, and not since the last look; whether that was done.

        Raises:
            OSError, ssl.SSLError: they cannot be loaded, or one stays away, which is said once for each change.
        """
        with self._lock:
            stamp = self._stamp()
            settled, self._seen = stamp == self._seen, stamp
            if stamp == self._loaded or not settled:
                return False
            self._loaded = stamp
            self.context = self._load()
            return True

    async def watch(self) -> None:
        """Look from time to time, without blocking the loop, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            try:
                if await loop.run_in_executor(None, self.look):
                    self._tell()
            except OSError as error:
                # Its text says all: a traceback would lead into the standard library.
                logger.error("the certificate in use stays: %s", error)  # noqa: TRY400

    def _tell(self) -> None:
        logger.info("%r was loaded again", self)

    def _load(self) -> ssl.SSLContext:
        # A context of its own: one whose loading has failed half-way has no certificate any more.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certfile, self._keyfile, self._password or _no_password)
        except ssl.SSLError as error:
            raise ssl.SSLError(error.errno, f"{self!r} cannot be loaded: {self._fault() or error.strerror}") from error
        except OSError as error:
            why = self._fault() or os.strerror(error.errno or 0)
            raise OSError(error.errno, f"{self!r} cannot be read: {why}") from error
        return context

    def _fault(self) -> str:
        """Which file is at fault, and why, where it is one alone; OpenSSL does not say."""
        for name, wanted, mark in (
            (self._certfile, "certificate", b"CERTIFICATE-----"),
            (self._keyfile or self._certfile, "private key", b"PRIVATE KEY-----"),
        ):
            try:
                content = Path(name).read_bytes()
            except OSError as error:
                return f"{name!r}: {error.strerror}"
            if mark not in content:
                return f"{name!r} holds no {wanted} as PEM"
        return ""

    def _stamp(self) -> _Stamp:
        """What changes when a file does; nothing where one is not there, as while it is replaced."""
        try:
            found = [Path(name).stat() for name in (self._certfile, self._keyfile) if name is not None]
        except OSError:
            return _NONE
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)

    def __repr__(self) -> str:
        key = "" if self._keyfile is None else f", {self._keyfile!r}"
        return f"Certificate({self._certfile!r}{key})"


def _no_password() -> str:
    """In place of asking for one at the terminal, which would block."""
    raise ssl.SSLError(0, "the key is encrypted, and no password was given")
