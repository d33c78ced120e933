"""One run: a candidate does the work of a row on one core, put to it from the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme

from benchmarks.generators import built
from benchmarks.peers import PEERS, Peer, command, why_missing, work_of
from benchmarks.processes import Failed, announced_port, free_port, output, running, wait_for
from benchmarks.ratios import Values
from benchmarks.rows import SECONDS, Row

HOST = "127.0.0.1"
LONGEST_EXTRA = 120.0
"""Seconds that a run may take beside those that are measured: opening connections, warming up."""


class Served(NamedTuple):
    """A server that runs: its port, and its process."""

    port: int
    process: int


class Runs:
    """All runs of a benchmark.

    Args:
        cores: for what is measured, and for what puts it to work.
        seconds: how long a run is measured.
        folder: for certificates and for what programs complain of.
    """

    def __init__(self, cores: tuple[int, int], seconds: float, folder: Path) -> None:
        self._core, self._other_core = cores
        self._seconds = seconds
        self._folder = folder
        self._certificate, self._key = _write_certificate(folder)

    def run(self, row: Row, candidate: str) -> Values:
        """What the candidate reaches.

        Raises:
            Failed: it could not be measured, and why.
        """
        peer = PEERS[candidate]
        if reason := why_missing(peer):
            raise Failed(reason)
        if row.load.program == "client":
            return self._run_client(row, peer)
        with self._server(row, peer) as served:
            told = output(self._load(row, served), self._other_core, self._longest)
        return _values(told)

    @property
    def _longest(self) -> float:
        return 2 * self._seconds + LONGEST_EXTRA

    def _run_client(self, row: Row, peer: Peer) -> Values:
        with self._floor(self._other_core) as served:
            arguments = [f"ws://{HOST}:{served.port}/", *self._arguments(row)]
            told = output([*command(peer, "clients"), *arguments], self._core, self._longest)
        return _values(told)

    @contextmanager
    def _server(self, row: Row, peer: Peer) -> Iterator[Served]:
        if not peer.module:
            with self._floor(self._core) as served:
                yield served
            return
        certificate = [str(self._certificate), str(self._key)] if row.tls else []
        log = self._folder / f"{row.name}-{peer.name}.log"
        with running([*command(peer, "servers"), work_of(peer, row), *certificate], self._core, log) as process:
            yield Served(announced_port(process, log), process.pid)

    @contextmanager
    def _floor(self, core: int) -> Iterator[Served]:
        port = free_port()
        with running([built("floor"), str(port)], core, self._folder / "floor.log") as process:
            wait_for(port)
            yield Served(port, process.pid)

    def _load(self, row: Row, served: Served) -> list[str]:
        if row.load.program == "holder":
            who = [sys.executable, "-m", "benchmarks.holder", HOST, str(served.port), str(served.process)]
            return [*who, *self._arguments(row), *(["tls"] if row.tls else [])]
        program = built(row.load.program + ("-tls" if row.tls else ""))
        return [program, HOST, str(served.port), "/", *self._arguments(row)]

    def _arguments(self, row: Row) -> list[str]:
        return [str(self._seconds) if each == SECONDS else each for each in row.load.arguments]


def _values(told: str) -> Values:
    """What a load prints: one line of JSON."""
    try:
        values: Values = json.loads(told)
    except ValueError as broken:
        raise Failed(f"no JSON came: {told[:80]!r}") from broken
    return values


def _write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback interface, and its key."""
    made = trustme.CA().issue_cert(HOST)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made.private_key_pem.write_to_path(key)
    certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    return certificate, key
