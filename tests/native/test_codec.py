"""What only the native codec has: messages received in their place, plain senders, a pool of masking keys."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from fixtures.codec import NATIVE, PURE, Codec, existing
from fixtures.schedules import from_bytes, reading
from fixtures.twins import difference
from vectors.peer import BINARY, CONTINUATION, DEFLATE, PING, TEXT, UNLIMITED, Compressor, Peer
from wsmash.constants import Role
from wsmash.sansio.receiver import Item
from wsmash.transports import native as binding

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

BUILD = f"""
from setuptools import Extension, setup
from Cython.Build import cythonize
inside = Extension("inside", [{str(HERE / "inside.pyx")!r}], include_dirs=[{str(ROOT / "native")!r}])
setup(ext_modules=cythonize([inside], build_dir=".", include_path=[{str(ROOT / "src")!r}], language_level=3))
"""


@pytest.fixture(scope="module")
def native() -> Codec:
    """The native codec."""
    return existing(NATIVE)


@pytest.fixture(scope="module")
def inside(native: Codec, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`inside.pyx`, built for this run."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("inside")
    (folder / "setup.py").write_text(BUILD, encoding="utf-8")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return loaded("inside", next(folder.glob("inside*.so")))


def loaded(name: str, path: Path) -> ModuleType:
    """A module from a file that is not on the path."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_receiving_in_place(inside: Any) -> None:
    """What is received in its place comes out as what went through a buffer, at each step."""
    placing = PURE._replace(Receiver=inside.Placing)
    for seed in range(2000):
        schedule = reading(from_bytes(Random(seed).randbytes(600)))
        assert difference(schedule, PURE, placing) == "", seed
    assert inside.placed > 1_000_000


@pytest.mark.parametrize("kind", [TEXT, BINARY])
@pytest.mark.parametrize("role", Role)
def test_receiving_a_long_message_in_place(inside: Any, role: Role, kind: int) -> None:
    """A message of many reads is received in its place but for the first ones."""
    data = "é".encode() * 500_000 if kind == TEXT else bytes(range(250)) * 4000
    wire = Peer(role).frame(kind, data)
    receiver = inside.Placing(role, UNLIMITED)
    before = inside.placed
    items: list[Item] = []
    for at in range(0, len(wire), 10_000):
        receiver.feed(wire[at : at + 10_000])
        items += iter(receiver.receive, None)
    assert items == [(kind, data.decode() if kind == TEXT else data)]
    assert inside.placed - before > 980_000


@pytest.mark.parametrize("role", Role)
def test_running_out_of_memory(native: Codec, role: Role) -> None:
    """Whichever allocation fails, it is a MemoryError, and what is read after it does no harm."""
    failing = pytest.importorskip("_testcapi", reason="this Python has no failing allocator")
    peer, text = Peer(role), "é" * 3000
    body = Compressor().message(text.encode())
    wire = peer.frame(TEXT, text, fin=False) + peer.frame(CONTINUATION, text) + peer.frame(BINARY, bytes(20_000))
    wire += peer.frame(TEXT, text) + peer.frame(PING) + peer.frame(TEXT, body, rsv=4) + peer.frame(TEXT, b"\xff")
    failed = 0
    for number in range(150):
        receiver = native.Receiver(role, UNLIMITED, DEFLATE)
        for at in range(0, len(wire), 700):
            try:
                failing.set_nomemory(number, number + 1)
                receiver.feed(wire[at : at + 700])
                while receiver.receive() is not None:
                    pass
            except MemoryError:
                failed += 1
            finally:
                failing.remove_mem_hooks()
    assert failed > 50


def test_plain(native: Codec, inside: Any) -> None:
    """A sender is plain while nothing is compressed and no message in fragments is under way."""
    sender = native.Sender(Role.SERVER, None, Random(0).randbytes)
    assert inside.is_plain(sender)
    sender.fragment(TEXT, b"a", final=False)
    assert not inside.is_plain(sender)
    sender.message(TEXT, b"b")
    sender.fragment(CONTINUATION, b"c", final=False)
    assert not inside.is_plain(sender)
    sender.fragment(CONTINUATION, b"d", final=True)
    assert inside.is_plain(sender)
    sender.fragment(TEXT, b"a", final=True)
    assert inside.is_plain(sender)
    assert not inside.is_plain(native.Sender(Role.SERVER, DEFLATE, Random(0).randbytes))


@pytest.mark.case(102)
def test_masking_keys(native: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is drawn once, all of them come from the system, and one draw does for many."""
    drawn: list[bytes] = []

    def urandom(count: int) -> bytes:
        drawn.append(Random(len(drawn)).randbytes(count))
        return drawn[-1]

    monkeypatch.setattr("os.urandom", urandom)
    pool = binding.codec.MaskPool()
    keys = [pool(4) for _ in range(3000)]
    assert len(drawn) <= 3
    assert b"".join(drawn).startswith(b"".join(keys))
    sender = native.Sender(Role.CLIENT, None, pool)
    frames = [sender.message(BINARY, bytes(3)) for _ in range(50)]
    assert b"".join(drawn)[12_000:12_200] == b"".join(frame[2:6] for frame in frames)
    assert all(frame[6:] == frame[2:5] for frame in frames)
    assert pool(7) == drawn[-1]


@pytest.mark.case(102)
def test_a_forked_child_draws_keys_of_its_own(native: Codec) -> None:
    """Parent and child never use one key: the child's pool is drawn anew."""
    program = """
import os
from wsmash.transports.native import codec
pool = codec.MaskPool()
pool(4)
child = os.fork()
os.write(1, b"%s\\n" % pool(4).hex().encode())
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    one, other = ran.stdout.split()
    assert one != other
