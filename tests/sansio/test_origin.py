"""Which pages may open a WebSocket (hostile cases 98 and 99)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.sansio.headers import Headers
from wsmash.sansio.origin import refusal


def judge(
    origin: str | tuple[str, ...] | None,
    host: str | tuple[str, ...] = "example.com",
    *,
    secure: bool = False,
    loopback_only: bool = False,
    origins: tuple[str, ...] = (),
    allowed_hosts: tuple[str, ...] | None = None,
) -> str | None:
    values = (origin,) if isinstance(origin, str) else origin or ()
    hosts = (host,) if isinstance(host, str) else host
    headers = Headers([*(("Host", each) for each in hosts), *(("Origin", each) for each in values)])
    return refusal(headers, secure=secure, loopback_only=loopback_only, origins=origins, allowed_hosts=allowed_hosts)


@pytest.mark.case(99)
def test_without_an_origin() -> None:
    """What is not a browser is let in."""
    assert judge(None) is None
    assert judge(None, "example.com", loopback_only=True) is None


@pytest.mark.case(98)
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://example.com", "example.com"),
        ("http://example.com", "example.com:80"),
        ("http://example.com:80", "example.com"),
        ("https://example.com", "example.com"),  # TLS may end in a proxy in front of us
        ("https://example.com", "example.com:443"),
        ("http://EXAMPLE.com", "Example.COM"),
        ("http://example.com:8080", "example.com:8080"),
        ("http://[::1]:8080", "[0:0::1]:8080"),
        ("http://192.0.2.1", "192.0.2.1"),
    ],
)
def test_own_origin(origin: str, host: str) -> None:
    """The server's own pages are let in: host and port are equal, a missing port is that of the Origin's scheme."""
    assert judge(origin, host) is None


@pytest.mark.case(98, 99)
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://good.example.evil", "good.example"),
        ("https://evilgood.example", "good.example"),
        ("https://good.example.", "good.example"),
        ("https://sub.good.example", "good.example"),
        ("https://good.example:8443", "good.example"),
        ("https://good.example", "good.example:8443"),
        ("https://good.example", "good.example:80"),
        ("http://good.example", "good.example:443"),
        ("ftp://good.example", "good.example"),
        ("capacitor://localhost", "localhost"),
        ("chrome-extension://abcdef", "abcdef"),
        ("http://[::2]", "[::1]"),
    ],
)
def test_other_origins(origin: str, host: str) -> None:
    """Another origin is refused, however like it looks, and the text names it and the option."""
    text = judge(origin, host)
    assert text is not None
    assert f"origins=[{origin!r}]" in text
    assert judge(origin, host, origins=(origin,)) is None
    assert judge(origin, host, origins=("*",)) is None


@pytest.mark.case(99)
def test_scheme_over_tls() -> None:
    """A TLS listener refuses pages that came without TLS, unless they are listed."""
    assert judge("https://example.com", secure=True) is None
    text = judge("http://example.com", "example.com:80", secure=True)
    assert text is not None
    assert "origins=['http://example.com']" in text
    assert judge("http://localhost", "localhost", secure=True, loopback_only=True) is not None
    assert judge("http://example.com", secure=True, origins=("http://example.com",)) is None


@pytest.mark.case(99)
def test_null_origin() -> None:
    """The null origin is nobody's own; it may be listed."""
    text = judge("null")
    assert text is not None
    assert "origins=['null']" in text
    assert judge("null", origins=("https://example.com", "null")) is None
    assert judge("null", origins=("*",)) is None
    assert judge("null", "localhost", loopback_only=True) is not None


@pytest.mark.case(98, 99)
def test_listed_origins_are_exact() -> None:
    """A listed origin matches with scheme, host and port, default ports filled in, and no pattern does."""
    listed = ("https://App.example", "http://other.example:8080")
    assert judge("https://app.example", origins=listed) is None
    assert judge("https://app.example:443", origins=listed) is None
    assert judge("http://other.example:8080", origins=listed) is None
    for origin in ("http://app.example", "https://app.example:8443", "http://other.example", "https://x.app.example"):
        assert judge(origin, origins=listed) is not None
    assert judge("https://a.x.example", origins=("*.x.example", "https://*.x.example")) is not None


@pytest.mark.case(99)
@pytest.mark.parametrize(
    "origin",
    [
        "",
        "example.com",
        "//example.com",
        "http://",
        "http://example.com/",
        "http://example.com/path",
        "http:example.com",
        "http://user@example.com",
        "http://example.com:0",
        "http://example.com:x",
        "http://example.com example.com",
        "http://example.com, http://example.com",
        "http://example.com#",
        "1http://example.com",
        "NULL",
        "://example.com",
    ],
)
def test_malformed_origins(origin: str) -> None:
    """What is no origin is refused, even where any origin is let in."""
    for origins in ((), ("*",)):
        text = judge(origin, origins=origins)
        assert text is not None
        assert "malformed" in text


@pytest.mark.case(99)
def test_two_origins() -> None:
    """Two Origin headers are refused, though they be the same and any origin be let in."""
    text = judge(("http://example.com", "http://example.com"), origins=("*", "http://example.com"))
    assert text is not None
    assert "more than one" in text


@pytest.mark.parametrize("host", [(), ("",), ("a b",), ("example.com", "example.com"), ("user@example.com",)])
def test_bad_hosts(host: tuple[str, ...]) -> None:
    """Without one valid Host nobody is let in."""
    assert judge(None, host) is not None


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]", "http://app.localhost", "http://127.9.9.9"],
)
def test_loopback_server(origin: str) -> None:
    """A server bound to loopback takes pages from this machine on any port; others don't."""
    assert judge(origin, "localhost:8080", loopback_only=True) is None
    assert judge(origin, "localhost:8080") is not None
    assert judge("http://example.com", "localhost:8080", loopback_only=True) is not None
    assert judge("http://localhost.evil.example:8080", "localhost:8080", loopback_only=True) is not None


@pytest.mark.case(98)
def test_dns_rebinding() -> None:
    """A page whose name was made to point to a loopback server is refused, unless the host is allowed."""
    text = judge("http://evil.example:8080", "evil.example:8080", loopback_only=True)
    assert text is not None
    assert "allowed_hosts=['evil.example']" in text
    for origins in (("*",), ("http://evil.example:8080",)):
        assert judge("http://evil.example:8080", "evil.example:8080", loopback_only=True, origins=origins) is not None
    assert judge("http://my.test:80", "my.test", loopback_only=True, allowed_hosts=("my.test",)) is None


def test_allowed_hosts() -> None:
    """`allowed_hosts` restricts Host with or without a port, for requests without an Origin too."""
    allowed = ("Example.com", "other.example:8080", "[::1]")
    for host in ("example.com", "EXAMPLE.com:9", "other.example:8080", "[::1]:1"):
        assert judge(None, host, allowed_hosts=allowed) is None
    for host in ("evil.example", "other.example", "other.example:80", "sub.example.com", "localhost"):
        text = judge(None, host, allowed_hosts=allowed)
        assert text is not None
        assert "allowed_hosts=[" in text
    assert judge(None, "localhost", loopback_only=True, allowed_hosts=()) is not None
    assert judge("http://evil.example", "example.com", allowed_hosts=allowed) is not None


@pytest.mark.case(99)
@given(st.text(), st.text(), st.booleans(), st.booleans())
def test_any_text(origin: str, host: str, secure: bool, loopback_only: bool) -> None:
    """Nothing raises, and what is refused is cut and escaped in the text."""
    for each in (origin, "http://" + origin):
        text = judge(each, host or "a", secure=secure, loopback_only=loopback_only, origins=("a", host))
        assert text is None or (text.isprintable() and len(text) < 500)
