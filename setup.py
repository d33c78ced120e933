"""The native modules, which are built where a C compiler is found and left out where none is.

Everything else about the package is in `pyproject.toml`. WSMASH_BUILD=pure leaves them out;
WSMASH_BUILD=native makes a failed build an error; WSMASH_CFLAGS adds flags, as for sanitizers.
"""

import os
import platform
import sys

from setuptools import Extension, setup

WANTED = os.environ.get("WSMASH_BUILD", "auto")
FLAGS = ["-O3", "-std=gnu11", "-fvisibility=hidden", *os.environ.get("WSMASH_CFLAGS", "").split()]
CORE = ["mask.c", "utf8.c", "frame.c", "receiver.c"]
ENGINE = ["output.c", "reactor.c"]


def can_be_native():
    """Whether the engine runs here: it stands on epoll and on CPython's own object layout."""
    return sys.platform == "linux" and platform.python_implementation() == "CPython"


def extension(name, sources):
    """One module: its Cython file beside the plain C that it translates for."""
    paths = [f"src/wsmash/_native/{name}.pyx", *(f"native/{each}" for each in sources)]
    return Extension(
        f"wsmash._native.{name}",
        paths,
        include_dirs=["native"],
        extra_compile_args=FLAGS,
        extra_link_args=os.environ.get("WSMASH_CFLAGS", "").split(),
        optional=WANTED != "native",
    )


def extensions():
    """All modules, translated to C."""
    if WANTED == "pure" or not can_be_native():
        return []
    from Cython.Build import cythonize  # noqa: PLC0415  # only where something is built

    modules = [extension("codec", CORE), extension("engine", [*CORE, *ENGINE])]
    return cythonize(modules, build_dir="build/cython", language_level=3)


setup(ext_modules=extensions())
