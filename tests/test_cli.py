"""The command line: `wsmash serve app:server`, in processes of its own, and the statuses with which they end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wsmash
from fixtures.parents import Parent, app

SOURCE = Path(__file__).parents[1] / "src"


def call(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run it to its end; the status, and what it has written."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "wsmash", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_process_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    """With options in place of the server's own, and status 0 at the end."""
    path = tmp_path / "socket"
    with Parent(tmp_path, app(), "--unix", str(path)) as server:
        while not path.exists():
            assert server.process.poll() is None, server.log()

        async def talk() -> None:
            async with wsmash.connect("ws://server.example/", unix=path) as client:
                assert await client.recv() == f"None {server.process.pid} 1"
                server.signal(number)
                with pytest.raises(wsmash.ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.code == 1001

        asyncio.run(talk())
        assert server.ended() == 0 and not path.exists()
        assert server.log() == ""


def test_several_hosts(tmp_path: Path) -> None:
    """Each is listened on, on the one port."""
    with Parent(
        tmp_path, app(), "--workers", "2", "--broker", "memory", "--host", "127.0.0.1", "--host", "127.0.0.2"
    ) as server:
        found = server.wait_for(r"workers listen on 127\.0\.0\.1:(\d+) and 127\.0\.0\.2:(\d+)")
        assert found[1] == found[2]

        async def talk() -> None:
            for host in ("127.0.0.1", "127.0.0.2"):
                async with wsmash.connect(f"ws://{host}:{found[1]}/") as client:
                    await client.recv()

        asyncio.run(talk())


def test_a_module_from_another_folder(tmp_path: Path) -> None:
    """`--app-dir` says where it is looked for, in each worker too."""
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / "other.py").write_text(app(), "utf-8")
    status, text = call(tmp_path, "serve", "other:server")
    assert status == 2 and "no module 'other'" in text
    (folder / "other.py").write_text("server = 5\n", "utf-8")
    for workers in ("1", "2"):
        status, text = call(tmp_path, "serve", "other:server", "--app-dir", "apps", "--workers", workers)
        assert status == 2 and "but 5" in text


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["serve"], 2, "Missing argument 'MODULE:NAME'"),
        (["serve", "app"], 2, "'module:name'"),
        (["serve", "app:server", "--workers", "0"], 2, "'--workers'"),
        (["serve", "app:server", "--port", "65536"], 2, "'--port'"),
        (["serve", "app:server", "--host", ""], 1, "cannot look up"),
        (["serve", "app:server", "--broker", "ftp://secret@x"], 2, "broker must be"),
        (["serve", "app:server", "--broker", "local"], 2, "several workers"),
        (["serve", "app:server", "--app-dir", "nowhere"], 2, "nowhere"),
        (["serve", "broken:server"], 1, "ZeroDivisionError"),
        (["swerve"], 2, "No such command"),
    ],
)
def test_what_is_wrong_has_a_status(tmp_path: Path, arguments: list[str], status: int, text: str) -> None:
    """2 where the call would fail again, 1 where the application failed; the text says which."""
    (tmp_path / "app.py").write_text(app(), "utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\n", "utf-8")
    found, said = call(tmp_path, *arguments)
    assert (found, text in said, "secret" in said) == (status, True, False), said


def test_an_application_that_fails_shows_its_own_traceback(tmp_path: Path) -> None:
    """From its own first line on, and nothing of what led there."""
    (tmp_path / "app.py").write_text("import no_such_thing\n", "utf-8")
    status, text = call(tmp_path, "serve", "app:server")
    assert status == 1
    files = re.findall(r'^  File "(.*?)"', text, re.MULTILINE)
    assert files == [str(tmp_path / "app.py")]
    assert text.splitlines()[-1] == "wsmash: app:server failed, as above"


def test_without_click_one_line_says_what_to_install(tmp_path: Path) -> None:
    """The command is there all the same: it comes with the package, and click with an extra."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['click'] = None\n", "utf-8")
    status, text = call(tmp_path, "serve", "app:server", PYTHONPATH=os.pathsep.join((str(tmp_path), str(SOURCE))))
    assert status == 1 and len(text.splitlines()) == 1 and "'wsmash[cli]'" in text


def test_the_application_s_own_logging_stays(tmp_path: Path) -> None:
    """Where it sets up handlers, the command line adds none; elsewhere a line tells its process."""
    own = app() + "logging.basicConfig(format='mine %(message)s', stream=sys.stdout)\n"
    own += "logging.getLogger('app').warning('loaded')\n"
    theirs = app() + "\n@server.on('connection')\ndef told(_): logging.getLogger('app').warning('told')\n"
    for source, line in ((own, "mine loaded"), (theirs, r"WARNING worker-\d\[\d+\] app: told")):
        with Parent(tmp_path, source, "--workers", "2", "--broker", "memory", PYTHONUNBUFFERED="1") as server:
            url = server.url()

            async def talk(url: str = url) -> None:
                async with wsmash.connect(url) as client:
                    await client.recv()

            asyncio.run(talk())
            server.wait_for(f"(?m)^.*{line}$")


def test_the_version() -> None:
    """Asked for by `--version`."""
    assert call(Path(), "--version") == (0, f"wsmash, version {wsmash.__version__}\n")
