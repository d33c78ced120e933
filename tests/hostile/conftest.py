"""Fixtures of the hostile cases: servers in processes of their own, on either engine, checked after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from fixtures.certificates import write_certificate
from fixtures.codec import NATIVE, existing
from fixtures.served import Served
from wsmash.transports.portable import PortableDriver


class Serve(Protocol):
    """Starts a server; see `fixtures.served.Served`. `tls=True` has it speak TLS."""

    def __call__(self, work: str = "echo", *, tls: bool = False, level: str = "INFO", **options: Any) -> Served: ...


@pytest.fixture(params=["native", "portable"], scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine the servers run on."""
    if request.param == "native":
        existing(NATIVE)
    return str(request.param)


@pytest.fixture
def local_engine(engine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same engine for the servers and clients of this process."""
    if engine == "portable":
        monkeypatch.setattr("wsmash.runtime.environment.make_driver", PortableDriver)
    return engine


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a server's key and certificate, which the clients of `fixtures.certificates` trust."""
    return write_certificate(tmp_path_factory.mktemp("certificate") / "server.pem")


@pytest.fixture
def serve(engine: str, tmp_path: Path, certificate: Path) -> Iterator[Serve]:
    """Start servers with work and options of the test's own; each is checked and stopped after it."""
    started: list[Served] = []

    def start(work: str = "echo", *, tls: bool = False, level: str = "INFO", **options: Any) -> Served:
        file = certificate if tls else None
        started.append(Served(tmp_path, engine, work, certificate=file, level=level, **options))
        return started[-1]

    try:
        yield start
        for each in started:
            each.check()
            assert each.stop() == 0, each.log()
    finally:
        for each in started:
            each.kill()


@pytest.fixture(scope="module")
def _echo(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("echo"), engine)
    try:
        yield server
        assert server.stop() == 0, server.log()
    finally:
        server.kill()


@pytest.fixture
def served(_echo: Served) -> Iterator[Served]:
    """An echo server with the options' defaults, which all tests of a file share; checked after each."""
    yield _echo
    _echo.check()
