"""What setup.py makes: the source distribution, and the package with its native modules or without."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from fixtures.codec import NATIVE, existing

ROOT = Path(__file__).parent.parent
SOURCES = ["setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "native", "src"]
FAILING = shutil.which("false")

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of a checkout in which modules were built."""
    pytest.importorskip("setuptools")
    checkout = tmp_path_factory.mktemp("checkout")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, checkout / name)
    (checkout / "src/wsmash/_native/engine.cpython-399-x86_64-linux-gnu.so").touch()
    built = setuptools(checkout, "sdist")
    assert built.returncode == 0, built.stderr
    with tarfile.open(next((checkout / "out").glob("*.tar.gz"))) as file:
        file.extractall(checkout / "unpacked", filter="data")
    return next((checkout / "unpacked").iterdir())


def setuptools(folder: Path, what: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Have setuptools build an "sdist" or a "wheel" of a folder into its `out`, as pip does, under these variables."""
    command = [sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_{what}('out')"]
    usual = {name: value for name, value in os.environ.items() if not name.startswith("WSMASH_") and name != "CC"}
    (folder / "out").mkdir(exist_ok=True)
    return subprocess.run(command, cwd=folder, env={**usual, **variables}, capture_output=True, text=True, check=False)


def installed(folder: Path, sdist: Path, **variables: str) -> tuple[list[str], list[str], str]:
    """Build a wheel: what was said of the engine, what `_native` has beside Python, what the round trip prints."""
    copied = shutil.copytree(sdist, folder / "source")
    built = setuptools(copied, "wheel", **variables)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next((copied / "out").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
        names = wheel.namelist()
    assert {"wsmash/py.typed", "wsmash/browser/wsmash.js"} <= set(names)
    assert not [name for name in names if re.search(r"\.(c|h|o|pyx|pxi|pxd)$|399", name)]
    native = {name.removeprefix("wsmash/_native/") for name in names if name.startswith("wsmash/_native/")}
    python = {path.name for path in (sdist / "src/wsmash/_native").glob("*.py*") if path.suffix in (".py", ".pyi")}
    assert native >= python
    said = [line for line in (built.stdout + built.stderr).splitlines() if line.startswith("wsmash: ")]
    return said, sorted(native - python), round_trip(folder / "site")


def round_trip(site: Path) -> str:
    """What `tools/round_trip.py` prints with the package that lies in a folder."""
    usual = {name: value for name, value in os.environ.items() if name != "WSMASH_ENGINE"}
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "round_trip.py"],
        cwd=site,
        env={**usual, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or sys.implementation.name != "cpython", reason="the native engine is built on Linux only"
)


def test_engine_of_these_tests() -> None:
    """The tests run on the native engine; without it they are skipped where they need it, and fail in CI."""
    existing(NATIVE)


def test_sdist(sdist: Path) -> None:
    """The source distribution has all that builds the modules, and nothing that was built."""
    for folder in ("native", "src/wsmash"):
        ours = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts}
        theirs = {path.relative_to(sdist) for path in (sdist / folder).rglob("*.*")}
        assert theirs == {path for path in ours if path.suffix not in (".so", ".txt")}
    assert {path.name for path in sdist.iterdir()} == {"PKG-INFO", "setup.cfg", *SOURCES}


@needs_linux
def test_without_a_compiler(tmp_path: Path, sdist: Path) -> None:
    """Where there is no compiler the package is built without the engine, and says why."""
    said, native, engine = installed(tmp_path, sdist, CC="/nonexistent")
    reason = "there was no C compiler '/nonexistent'"
    assert said == [f"wsmash: without the native engine, since {reason}; the portable one does the same, more slowly"]
    assert native == [f"unbuilt.{sys.implementation.cache_tag}.txt"]
    assert engine == f"portable (it was not built: {reason})"


@needs_linux
@pytest.mark.skipif(FAILING is None, reason="there is no program that fails")
def test_failing_compiler(tmp_path: Path, sdist: Path) -> None:
    """Where the compiler fails the package is built without the engine, and what an earlier build left is gone."""
    pytest.importorskip("Cython")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    earlier = tmp_path / "earlier"
    shutil.copytree(sdist, earlier)
    left = earlier / f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}/wsmash/_native/codec{suffix}"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))
    said, native, engine = installed(tmp_path, earlier, CC="false")
    assert len(said) == 1
    assert native == [f"unbuilt.{sys.implementation.cache_tag}.txt"]
    assert engine.startswith("portable (it was not built: the build failed with CompileError")


@needs_linux
def test_a_failed_build_as_an_error(sdist: Path) -> None:
    """With WSMASH_BUILD=native nothing is built without the engine."""
    built = setuptools(sdist, "wheel", CC="/nonexistent", WSMASH_BUILD="native")
    assert built.returncode != 0
    assert "error: WSMASH_BUILD=native, but there was no C compiler '/nonexistent'" in built.stderr


def test_pure(tmp_path: Path, sdist: Path) -> None:
    """With WSMASH_BUILD=pure the package is of Python only, for any machine."""
    said, native, engine = installed(tmp_path, sdist, WSMASH_BUILD="pure")
    assert (said, native) == ([], [])
    assert engine.startswith("portable (")
    assert next((tmp_path / "source/out").glob("*.whl")).name.endswith("-py3-none-any.whl")


@needs_linux
def test_native(tmp_path: Path, sdist: Path) -> None:
    """The source distribution builds the engine where there is a compiler."""
    existing(NATIVE)
    pytest.importorskip("Cython")
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    said, native, engine = installed(tmp_path, sdist, WSMASH_BUILD="native", WSMASH_CFLAGS="-O0 -w")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert said == ["wsmash: with the native engine"]
    assert native == [f"codec{suffix}", f"engine{suffix}"]
    assert engine == "native"


def test_no_warnings(tmp_path: Path) -> None:
    """The compiler has nothing to say about our own C."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    for path in (ROOT / "native").glob("*.c"):
        command = [compiler, "-c", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", str(path), "-o", "out.o"]
        built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
