"""The browser module `wsmash.js`, as a server gives it to the pages of its clients; see docs/browser.md."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from ..sansio.head import Response
from ..static import names_tag


def respond(known_tags: str) -> Response:
    """The answer to a GET or HEAD request that has this `If-None-Match`.

    It changes with the package alone, and browsers ask each time whether it has. Pages
    of other origins may import it too: it holds nothing but what is published anyway,
    and whether such a page may connect is said by `origins`.
    """
    source, tag = _module()
    headers = [
        ("ETag", tag),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
        ("Access-Control-Allow-Origin", "*"),
    ]
    if names_tag(known_tags, tag):
        return Response(304, headers=headers)
    return Response(200, source, [("Content-Type", "text/javascript; charset=utf-8"), *headers])


@cache
def _module() -> tuple[bytes, str]:
    source = files(__name__).joinpath("wsmash.js").read_bytes()
    return source, f'"{sha256(source).hexdigest()[:32]}"'
