"""The native modules, which are built where that can be done and left out where it cannot.

Everything else about the package is in `pyproject.toml`. WSMASH_BUILD=pure leaves them out;
WSMASH_BUILD=native makes a failed build an error; WSMASH_CFLAGS adds flags, as for sanitizers.

They are built both or not at all. What was missing is written to a file beside the
place where they would be, `unbuilt.<Python>.txt`, from which `wsmash.engine()` repeats it.
"""

import copy
import os
import platform
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

WANTED = os.environ.get("WSMASH_BUILD") or "auto"
if WANTED not in ("auto", "pure", "native"):
    sys.exit(f"WSMASH_BUILD must be one of auto, pure, native, and is {WANTED!r}")
OWN_FLAGS = os.environ.get("WSMASH_CFLAGS", "").split()
FLAGS = ["-O3", "-g0", "-std=gnu11", "-fvisibility=hidden", *OWN_FLAGS]
CORE = ["mask.c", "utf8.c", "frame.c", "receiver.c"]
ENGINE = ["output.c", "reactor.c"]
UNBUILT = f"unbuilt.{sys.implementation.cache_tag}.txt"


def can_be_native():
    """Whether the engine runs here: it stands on epoll, on CPython's own object layout and on its global lock."""
    return (
        sys.platform == "linux"
        and platform.python_implementation() == "CPython"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
    )


def what_is_missing():
    """What a build needs and this machine lacks; empty where it may begin."""
    compiler = shlex.split(os.environ.get("CC", sysconfig.get_config_var("CC") or "cc")) or [""]
    if shutil.which(compiler[0]) is None:
        return f"there was no C compiler {compiler[0]!r}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there were no C headers of Python, which Debian has in python3-dev"
    try:
        import Cython  # noqa: F401, PLC0415  # whether it can be imported is what is asked here
    except ImportError:
        return "there was no Cython"
    return ""


def extension(name, sources):
    """One module: its Cython file beside the plain C that it translates for."""
    return Extension(
        f"wsmash._native.{name}",
        [f"src/wsmash/_native/{name}.pyx", *(f"native/{each}" for each in sources)],
        include_dirs=["native"],
        depends=sorted(map(str, Path("native").glob("*.h"))),
        extra_compile_args=FLAGS,
        extra_link_args=OWN_FLAGS,
    )


class BuildNative(build_ext):
    """Build all modules side by side, or none, and say which in one line."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def run(self):
        places = self._places()
        missing = what_is_missing()
        if missing and WANTED == "native":
            raise PlatformError(f"WSMASH_BUILD=native, but {missing}")
        try:
            if not missing:
                self._translate()
                super().run()
        except Exception as error:
            if WANTED == "native":
                raise
            missing = f"the build failed with {type(error).__name__}, which WSMASH_BUILD=native shows in full"
        note(places, missing)

    def build_extension(self, ext):
        """Compile into a folder of its own: both modules contain objects of the same name."""
        own = copy.copy(self)
        own.build_temp = str(Path(self.build_temp, ext.name))
        super(BuildNative, own).build_extension(ext)

    def _translate(self):
        """Have Cython write the C, outside of the source tree."""
        from Cython.Build import cythonize  # noqa: PLC0415  # only where something is built

        translated = cythonize(self.extensions, build_dir="build/cython", language_level=3, quiet=not self.verbose)
        for ours, theirs in zip(self.extensions, translated, strict=True):
            ours.sources, ours.depends = theirs.sources, theirs.depends

    def _places(self):
        """Where the modules will be: what is built in place is built elsewhere first."""
        built = [Path(self.build_lib, self.get_ext_filename(each.name)) for each in self.extensions]
        in_place = [Path(self.get_ext_fullpath(each.name)) for each in self.extensions] if self.inplace else []
        return [*built, *in_place]


def note(places, missing):
    """Leave either all modules or the reason, never what an earlier build left, and say which."""
    for place in places:
        reason = place.with_name(UNBUILT)
        reason.unlink(missing_ok=True)
        if missing:
            place.unlink(missing_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            reason.write_text(f"{missing}\n", encoding="utf-8")
    if missing:
        print(f"wsmash: without the native engine, since {missing}; the portable one does the same, more slowly")
    else:
        print("wsmash: with the native engine")


NATIVE = [extension("codec", CORE), extension("engine", [*CORE, *ENGINE])]

setup(
    ext_modules=[] if WANTED == "pure" or not can_be_native() else NATIVE,
    cmdclass={"build_ext": BuildNative},
)
