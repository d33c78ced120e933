"""Any text where it decides whom to trust: Host and Origin, proxies, redirects, credentials."""

from __future__ import annotations

from base64 import b64decode
from ipaddress import ip_address
from urllib.parse import urlsplit

from fuzz.judging import told, too_slow
from wsmash.addresses import Networks, counted_as
from wsmash.auth import basic_auth, bearer_auth
from wsmash.sansio.forwarded import read_forwarded
from wsmash.sansio.head import Request, Response
from wsmash.sansio.headers import Headers
from wsmash.sansio.http1 import BadHead, ParsedHead, parse_request
from wsmash.sansio.origin import refusal
from wsmash.sansio.redirect import is_redirect, redirect_target, same_origin
from wsmash.urls import parse_url, split_host

TRUSTED = Networks(["10.0.0.0/8", "::1"])

BASES = tuple(map(parse_url, ("ws://user:secret@a.example/b/c?d", "wss://[::1]:9/x")))


def origin(data: bytes) -> str:
    """Host in the first line, Origin in those after it: nobody else's page is ever let in."""
    host, *origins = data.decode("ascii", "ignore").split("\n")  # no other is let in by `parse_request`
    headers = Headers([("Host", host), *[("Origin", each) for each in origins]])
    for secure in (False, True):
        for loopback_only in (False, True):
            why = refusal(headers, secure=secure, loopback_only=loopback_only, origins=(), allowed_hosts=None)
            assert why is None or len(why) < 1000
            if why is None and origins and not loopback_only and not _is_own(origins[0], host):
                return f"a page of {origins[0]!r} is let in at {host!r}"
            assert why is not None or len(origins) < 2
    listed = refusal(headers, secure=True, loopback_only=False, origins=("https://a.example",), allowed_hosts=("b.io",))
    if listed is None and split_host(host)[0] != "b.io":
        return f"{host!r} is taken for b.io"
    return _host(host)


def _is_own(origin: str, host: str) -> bool:
    """What the standard library, which takes much more for a URL, says about who the two name."""
    one, other = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
    default = {"http": 80, "https": 443}.get(one.scheme)
    if default is None or one.path:
        return False
    return (_address(one.hostname), one.port or default) == (_address(other.hostname), other.port or default)


def _address(host: str | None) -> object:
    """An address has several forms in IPv6."""
    return ip_address(host) if host and ":" in host else host


def _host(text: str) -> str:
    """A host is a ValueError, or stays what it is when it is taken apart again."""
    try:
        name, port = split_host(text)
    except ValueError:
        return ""
    again = split_host((f"[{name}]" if ":" in name else name) + ("" if port is None else f":{port}"))
    return "" if again == (name, port) else f"{text!r} is {name!r}, and that is {again!r}"


def forwarded(data: bytes) -> str:
    """`X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded`, a line each: nobody behind a stranger is believed."""
    lines = data.decode("latin-1").split("\n")
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
    several = Headers(list(zip(names, lines, strict=False)))
    one = Headers([("Forwarded", line) for line in lines])
    for headers, standard in ((several, False), (one, True)):
        _passed_on(headers, standard=standard)
    # The client can write whatever it likes in front of what the last proxy has added.
    appended = Headers([("X-Forwarded-For", f"{lines[0]}, 203.0.113.9, 10.0.0.1")])
    found = read_forwarded(appended, TRUSTED, standard=False)
    assert found is not None and found.address == ("203.0.113.9", 0)
    return too_slow(lines[0][:20], lambda text: _passed_on(Headers([("Forwarded", text[:8192])]), standard=True))


def _passed_on(headers: Headers, *, standard: bool) -> None:
    try:
        found = read_forwarded(headers, TRUSTED, standard=standard)
    except ValueError as error:
        told(error)
        return
    if found is not None and found.address is not None:
        host, port = found.address
        assert str(ip_address(host)) == host and 0 <= port < 65536 and counted_as(host)
    if found is not None and found.host is not None:
        split_host(found.host)


def redirect(data: bytes) -> str:
    """A `Location`: a ValueError, or a WebSocket's address without credentials, never less secure."""
    text = data.decode("latin-1")
    head = ParsedHead(None, "", 302, "", "1.1", Headers([("Location", text)]))
    assert is_redirect(head)
    for base in BASES:
        try:
            target = redirect_target(base, head)
        except ValueError as error:
            told(error)
            continue
        assert target.secure or not base.secure
        assert target.username is None and target.password is None
        assert parse_url(str(target)) == target
        if same_origin(base, target):
            assert target.host == base.host
    return ""


def credentials(data: bytes) -> str:
    """`Authorization` on a server: only what was agreed on is let in, and nothing is raised."""
    text = data.decode("latin-1")
    asked = Request(b"GET / HTTP/1.1\r\nAuthorization: " + data + b"\r\n\r\n")
    try:
        parse_request(asked.head)
    except BadHead:
        return ""
    if b"\r" in data:
        return ""  # several headers
    scheme, _, rest = text.strip(" \t").partition(" ")
    for hook, known in ((basic_auth(("user", "secret")), "basic"), (bearer_auth("token"), "bearer")):
        answer = hook(asked)
        if answer is None:
            assert scheme.lower() == known, text
            # The last digit of Base64 may have bits that stand for nothing.
            assert b64decode(rest) == b"user:secret" if known == "basic" else rest.strip() == "token", text
        else:
            assert isinstance(answer, Response) and answer.status == 401
    return ""
