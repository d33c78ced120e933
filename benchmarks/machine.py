"""What was measured with, and on what: versions, the engine, the processor."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import wsmash
from benchmarks.peers import PEERS, SHOWN, installed_version, why_missing
from benchmarks.ratios import OURS


def description() -> str:
    """One paragraph of all that the numbers depend on."""
    present = [PEERS[name] for name in SHOWN if PEERS[name].module and not why_missing(PEERS[name])]
    peers = [f"{peer.name} {installed_version(peer)}" for peer in present]
    return (
        f"{OURS} {wsmash.__version__}, engine: {wsmash.engine()}; {platform.python_implementation()} "
        f"{platform.python_version()}, uvloop {version('uvloop')}; beside {', '.join(peers)}. "
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}."
    )


def processor() -> str:
    """The model that the kernel names."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
