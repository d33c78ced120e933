"""Fuzz the native half beside the pure one, guided by what the pure one runs through (Atheris).

    run.py [--seconds 60] [TARGET...]        each of the targets, for so long

What it has found worth keeping is in build/fuzz/TARGET, and is where the next run goes
on. An input on which the two differ, or the process dies, is written to
tests/fuzz/regressions, where the ordinary tests run it from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REGRESSIONS = HERE / "regressions"
LONGEST = 2000
"""Bytes of an input; a schedule uses up a few hundred."""

INSIDE = "--inside"
"""What the process that fuzzes is started with."""

NAMES = ("receiver", "sender", "engine")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the native half beside the pure one.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    wanted = parser.parse_args()
    failed = [name for name in wanted.targets or NAMES if not start(name, wanted.seconds)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the inputs are in {REGRESSIONS.relative_to(ROOT)}")


def start(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether nothing was found."""
    corpus = ROOT / "build" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    random = Random(0)
    for number in range(32):  # something to begin with
        seed = corpus / f"seed-{number}"
        seed.write_bytes(random.randbytes(32 << number % 6))
    command = [
        sys.executable, __file__, INSIDE, name, str(corpus), str(REGRESSIONS),
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=60", "-print_final_stats=1",
        f"-artifact_prefix={REGRESSIONS}/{name}-",
    ]
    print(f"== {name}", flush=True)
    return subprocess.run(command, check=False, cwd=ROOT).returncode == 0


def fuzz(name: str, options: list[str]) -> None:
    """In that process: everything that is written in Python is traced, the reference above all."""
    import atheris  # there is one for some versions of Python only

    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    with atheris.instrument_imports(include=["wsmash.sansio", "wsmash.transports", "fixtures"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]

    def once(data: bytes) -> None:
        found = target(data)
        if found:
            raise AssertionError(found)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        main()
