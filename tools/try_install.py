"""Install the packages of dist/ as users would, with compilers and without, and see which engine each gets.

    python tools/try_install.py [WORD...]        only the cases whose names contain one of the words

Each case has an empty virtual environment, an environment with nothing but what
pip needs, and ends with `round_trip.py`. `make packages` runs it after `make wheel`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
COMPILER = shlex.split(sysconfig.get_config_var("CC"))[0]

LEFT_OUT = re.compile(r"\.(c|h|o|pyx|pxi|pxd)$")
"""What belongs into no installed package."""


@dataclass
class Case:
    """One way to install.

    Attributes:
        name: what is tried.
        what: what pip is told to install.
        engine: what `wsmash.engine()` must begin with; "" where installing must fail.
        variables: what the environment has beside the usual.
        compiler: whether PATH leads to one.
        python: the interpreter.
    """

    name: str
    what: list[str]
    engine: str
    variables: dict[str, str] = field(default_factory=dict)
    compiler: bool = True
    python: str = sys.executable


def cases(folder: Path) -> Iterator[Case]:
    """All of them; `folder` is for what they need."""
    sdist = [str(next(DIST.glob("*.tar.gz")))]
    unbuilt = "portable (it was not built: "
    for wheel in sorted(DIST.glob("*.whl")):
        version = re.sub(r".*-cp3(\d+)-cp.*", r"3.\1", wheel.name)
        yield Case(f"wheel, {version}, no compiler", [str(wheel)], "native", compiler=False, python=found(version))
    yield Case("sdist", sdist, "native")
    yield Case("sdist, no compiler", sdist, f"{unbuilt}there was no C compiler '{COMPILER}')", compiler=False)
    yield Case("sdist, CC=/nonexistent", sdist, f"{unbuilt}there was no C compiler", {"CC": "/nonexistent"})
    yield Case("sdist, CC=false", sdist, f"{unbuilt}the build failed", {"CC": "false"})
    yield Case("sdist, headers not found", sdist, f"{unbuilt}the build failed", {"CC": headless(folder)})
    yield Case("sdist, no headers", sdist, f"{unbuilt}there were no C headers", python=without_headers(folder))
    yield Case("sdist, pure", sdist, f"{unbuilt}WSMASH_BUILD=pure", {"WSMASH_BUILD": "pure"})
    yield Case("sdist, native or nothing", sdist, "", {"WSMASH_BUILD": "native", "CC": "false"})
    yield Case("checkout", [str(checkout(folder / "checkout"))], "native")
    yield Case("checkout, editable", ["--editable", str(checkout(folder / "editable"))], "native")
    bare = ["--editable", str(checkout(folder / "bare"))]
    yield Case("checkout, editable, no compiler", bare, unbuilt, compiler=False)


def found(version: str) -> str:
    """The interpreter of a version."""
    return output([shutil.which("sh") or "sh", str(ROOT / "tools" / "find_python.sh"), version]).strip()


def headless(folder: Path) -> str:
    """A compiler that is not told where the headers of Python are."""
    path = folder / "headless"
    path.write_text(
        "#!/bin/sh\n"
        'for each; do shift; case $each in -I*python*) ;; *) set -- "$@" "$each" ;; esac; done\n'
        f'exec {COMPILER} "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return str(path)


def without_headers(folder: Path) -> str:
    """An interpreter whose installation has no headers: this one's, but for them."""
    prefix = folder / "python"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").symlink_to(Path(sys.base_prefix, "lib"))
    return str(shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / "python3"))


def checkout(folder: Path) -> Path:
    """The files of this checkout, with a module that another Python left and may not be installed."""
    names = output(["git", "ls-files", "--cached", "--others", "--exclude-standard"]).splitlines()
    for name in filter(os.path.isfile, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    (folder / "src/wsmash/_native/engine.cpython-399-x86_64-linux-gnu.so").touch()
    return folder


def output(command: list[str]) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def environment(case: Case, venv: Path) -> dict[str, str]:
    """The variables of a clean environment."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR") or "PIP" in name}
    path = [str(venv / "bin"), *([os.defpath, os.environ["PATH"]] if case.compiler else [])]
    return {**kept, "PATH": os.pathsep.join(path), **case.variables}


def fault(case: Case, venv: Path) -> str:
    """Install, and what is wrong; empty where all is as it must be."""
    subprocess.run([case.python, "-m", "venv", "--without-pip", venv], check=True)
    python, variables = str(venv / "bin" / "python"), environment(case, venv)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    # -v shows what a build prints. The cache would take a file of the same name for the same.
    command = [*pip, "install", "-v", "--no-cache-dir", *case.what]
    done = subprocess.run(command, env=variables, cwd=venv, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    if not case.engine:
        return "" if done.returncode else "was installed, and should have failed"
    if done.returncode or "Traceback" in log:
        return f"pip failed, or printed a traceback:\n{log}"
    ran = subprocess.run(
        [python, ROOT / "tools" / "round_trip.py"], env=variables, cwd=venv, capture_output=True, text=True, check=False
    )
    if ran.returncode or not ran.stdout.startswith(case.engine):
        return f"not {case.engine!r} but {ran.stdout}{ran.stderr}\n{log}"
    said = re.findall(r"^ *wsmash: with.*", log, re.MULTILINE)
    if len(said) != (0 if "WSMASH_BUILD" in case.variables or case.what[0].endswith(".whl") else 1):
        return f"what was built should say in one line which engine it is: {said}"
    return leftovers(case, venv)


def leftovers(case: Case, venv: Path) -> str:
    """Which files were installed and should not have been, or the other way round."""
    if "--editable" in case.what:
        return ""
    names = [path.name for path in venv.glob("lib/python*/site-packages/wsmash/**/*") if path.is_file()]
    modules = [name for name in names if name.endswith(".so")]
    if len(modules) != (2 if case.engine == "native" else 0):
        return f"modules: {modules}"
    if missing := {"py.typed", "codec.pyi", "engine.pyi"}.difference(names):
        return f"not there: {missing}"
    return ", ".join(filter(LEFT_OUT.search, names))


def main(words: list[str]) -> int:
    """Try each case; 1 if one is not as it must be."""
    failed = 0
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, case in enumerate(cases(folder)):
            if words and not any(word in case.name for word in words):
                continue
            started = time.monotonic()
            wrong = fault(case, folder / str(number))
            print(f"{'FAILED' if wrong else 'ok':7}{case.name}, {time.monotonic() - started:.0f} s", flush=True)
            if wrong:
                failed += 1
                print(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
