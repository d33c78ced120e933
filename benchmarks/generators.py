"""The load generators in C: where their sources are, and building them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from benchmarks.peers import ROOT
from benchmarks.processes import Failed

SOURCES = Path(os.environ.get("BENCH_TOOLS", ROOT.parent / "shared" / "tools" / "bench"))
BUILT = ROOT / "build" / "bench"

FLAGS: dict[str, tuple[str, ...]] = {
    "wsload": (),
    "wsload-tls": ("-DTLS", "-lssl", "-lcrypto"),
    "wsfan": (),
    "wsopen": (),
    "wsdeflate": ("-lz",),
    "floor": (),
}
"""Each program, and what its source is compiled with beside the common flags."""


def why_not() -> str | None:
    """Why nothing can be measured here, or None."""
    missing = [tool for tool in ("gcc", "taskset") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found"
    absent = [source.name for source in map(source_of, FLAGS) if not source.exists()]
    if absent:
        names = ", ".join(dict.fromkeys(absent))
        return f"the load generators are not on this machine ({names}); BENCH_TOOLS names their folder"
    if len(os.sched_getaffinity(0)) < 2:
        return "one core: the server and the load need one each"
    return None


def source_of(program: str) -> Path:
    return SOURCES / f"{program.removesuffix('-tls')}.c"


@cache
def built(program: str) -> str:
    """The path of a generator, compiled where its source is newer than what was compiled.

    Raises:
        Failed: it does not compile, as where the headers of OpenSSL or zlib are missing.
    """
    source, target = source_of(program), BUILT / program
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        command = ["gcc", "-O2", "-w", "-o", str(target), str(source), *FLAGS[program]]
        compiled = subprocess.run(command, capture_output=True, text=True, check=False)
        if compiled.returncode:
            reason = next((line for line in compiled.stderr.splitlines() if "error" in line), "gcc failed")
            raise Failed(f"{program} does not compile: {reason}")
    return str(target)
