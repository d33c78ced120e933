"""Files of a folder over plain HTTP: what a page needs beside its WebSocket.

This is for the page of an example, a dashboard or a test, not in place of a web
server. It blocks while it finds and reads a file, may be called from several
threads, and never serves anything from outside its folders nor any name that
starts with a dot. Large files are left to be read while they are sent, so that
slow readers hold little of them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from logging import getLogger
from mimetypes import MimeTypes
from os import PathLike
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .grammar import OWS, shown
from .runtime.opening import Download
from .sansio.head import Request, Response

MAX_FILE_SIZE: Final = 16 * 1024 * 1024
"""A file of more bytes is as good as not there; the log says so once."""

MAX_WHOLE: Final = 128 * 1024
"""A file of more bytes is read while it is sent."""

_INDEX: Final = "index.html"

# What Python knows by itself: the tables of the system, which it asks first, differ, and may be wrong.
_TYPES: Final[Mapping[str, str]] = {
    **MimeTypes().types_map[True],
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

# Nothing is waited for, and no link is followed that was put there after the name was resolved.
_OPEN_FLAGS: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)

_log = getLogger("wsmash")


class StaticFiles:
    """Folders whose files are served, each under a prefix of the path.

    `StaticFiles("public")` serves one folder for all paths, `StaticFiles({"/": "public",
    "/docs": "build/html"})` several. The longest prefix of whole segments is taken:
    `/docs` is for `/docs/a`, and not for `/docsx`.

    Raises:
        ValueError: a folder does not exist, or a prefix does not start with a slash or
            stands there twice.
    """

    __slots__ = ("_folders", "_too_large")

    def __init__(self, folders: str | PathLike[str] | Mapping[str, str | PathLike[str]]) -> None:
        by_prefix: dict[str, Path] = {}
        for prefix, folder in (folders if isinstance(folders, Mapping) else {"/": folders}).items():
            if not prefix.startswith("/"):
                raise ValueError(f"a prefix of static files must start with '/', and is {shown(prefix)}")
            if prefix.rstrip("/") in by_prefix:
                raise ValueError(f"{shown(prefix)} stands twice among the prefixes of static files")
            if not Path(folder).is_dir():
                raise ValueError(f"static files must be in a folder that exists, and {str(folder)!r} is none")
            by_prefix[prefix.rstrip("/")] = Path(folder).resolve()
        self._folders = sorted(by_prefix.items(), key=lambda item: len(item[0]), reverse=True)
        self._too_large: set[Path] = set()

    def respond(self, request: Request) -> Response | Download | None:
        """The answer to a GET or HEAD request, None where no file is there for it.

        The path of a folder stands for its `index.html`; without a slash at the end it is
        redirected to the path with one, on which the page's relative links rely. The answer
        to HEAD has its body too, which gives the length and is left out on the way.
        """
        if request.method not in ("GET", "HEAD"):
            return None
        path = request.path
        for prefix, root in self._folders:
            if path == prefix or path.startswith(f"{prefix}/"):
                return self._respond_from(root, path, path[len(prefix) :], request)
        return None

    def _respond_from(self, root: Path, path: str, rest: str, request: Request) -> Response | Download | None:
        names = rest.split("/")[1:]
        ends_with_slash = names[-1:] == [""]
        if ends_with_slash:
            names.pop()
        location = _locate(root, names)
        if location is not None and location.is_dir():
            location = _locate(root, [*names, _INDEX])
            if location is not None and not ends_with_slash:
                # Relative, so that no path can make it lead to another host.
                return Response(307, headers=[("Location", f"./{quote(path.rpartition('/')[2], safe='')}/")])
        elif ends_with_slash:
            return None
        return None if location is None else self._read(location, request.headers.get("If-None-Match", ""))

    def _read(self, location: Path, known_tags: str) -> Response | Download | None:
        try:
            if not location.is_file():  # to open a device may be enough to set it off
                return None
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(open(location, "rb", opener=_open))  # Path.open takes no opener
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None
                if status.st_size > MAX_FILE_SIZE:
                    self._warn(location, status.st_size)
                    return None
                tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
                headers = [("ETag", tag), ("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff")]
                if names_tag(known_tags, tag):
                    return Response(304, headers=headers)
                headers.insert(0, ("Content-Type", _content_type(location)))
                if status.st_size > MAX_WHOLE:
                    stack.pop_all()  # it is closed by who sends it
                    return Download(Response(200, headers=headers), file, status.st_size)
                return Response(200, file.read(status.st_size), headers)
        except OSError:
            return None

    def _warn(self, location: Path, size: int) -> None:
        if location not in self._too_large:
            self._too_large.add(location)
            _log.warning(
                "static file %r is not served: it has %d bytes, and %d are the most",
                str(location),
                size,
                MAX_FILE_SIZE,
            )


def _locate(root: Path, names: list[str]) -> Path | None:
    """The file or folder of that name, if it really lies below the root."""
    if not all(map(_is_plain, names)):
        return None
    try:
        location = root.joinpath(*names).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return None
    # Links are resolved now: neither may one lead out of the root, nor to what is hidden in it.
    if not location.is_relative_to(root) or not all(map(_is_plain, location.relative_to(root).parts)):
        return None
    return location


def _is_plain(name: str) -> bool:
    """Whether the name is one of a file that is not hidden, and nothing else to any system."""
    if not name or name.startswith(".") or "\\" in name or min(name) < " ":
        return False
    return os.name != "nt" or ":" not in name  # a drive, or a stream beside the file's content


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _OPEN_FLAGS)


def names_tag(known_tags: str, tag: str) -> bool:
    """RFC 9110 13.1.2: any of the tags listed, weak or not, or an asterisk."""
    known = [item.strip(OWS).removeprefix("W/") for item in known_tags.split(",")]
    return tag in known or known == ["*"]


def _content_type(location: Path) -> str:
    found = _TYPES.get(location.suffix.lower(), "application/octet-stream")
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
