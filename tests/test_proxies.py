"""The URLs of proxies, and which one the environment names for an address."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wsmash.options import ClientOptions
from wsmash.proxies import Proxy, environment_proxy, parse_proxy
from wsmash.urls import parse_url


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no proxy, to be added to."""
    for name in ("ws", "wss", "http", "https", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example", Proxy("http", "proxy.example", 80)),
        ("https://proxy.example/", Proxy("https", "proxy.example", 443)),
        ("HTTP://Proxy.Example:3128", Proxy("http", "proxy.example", 3128)),
        ("socks4://10.0.0.1", Proxy("socks4", "10.0.0.1", 1080)),
        ("socks4a://user@proxy.example", Proxy("socks4a", "proxy.example", 1080, "user")),
        ("socks5://[::1]:9", Proxy("socks5", "::1", 9)),
        ("socks5h://user:pass@proxy.example", Proxy("socks5h", "proxy.example", 1080, "user", "pass")),
        ("http://us%65r:p%40%3A@proxy.example", Proxy("http", "proxy.example", 80, "user", "p@:")),
        ("http://:pass@proxy.example", Proxy("http", "proxy.example", 80, "", "pass")),
        ("http://user@proxy.example", Proxy("http", "proxy.example", 80, "user")),
        ("http://münchen.example", Proxy("http", "xn--mnchen-3ya.example", 80)),
    ],
)
def test_parts(url: str, proxy: Proxy) -> None:
    """A proxy's URL comes apart into scheme, host, port and credentials."""
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "must start with"),
        ("proxy.example:3128", "must start with"),
        ("ftp://hunter2@proxy.example", "must start with"),
        ("quic://user:hunter2@proxy.example", "must start with"),
        ("ws://proxy.example", "http://, https://, socks4://"),
        ("http://", "host is missing"),
        ("http://user:hunter2@", "host is missing"),
        ("http://proxy.example:0", "1 to 65535"),
        ("http://proxy.example:x", "1 to 65535"),
        ("http://proxy.example/path", "nothing after"),
        ("http://proxy.example?hunter2", "nothing after"),
        ("http://proxy.example#x", "nothing after"),
        ("http://proxy .example", "whitespace"),
        ("http://user:hun\nter2@proxy.example", "whitespace, control"),
        ("http://user:hun\rter2@proxy.example", "whitespace, control"),
        ("http://user:hun\0ter2@proxy.example", "whitespace, control"),
        ("http://user:hunter2%0d%0aX: y@proxy.example", "whitespace"),
        ("http://user:hunter2%0d%0a@proxy.example", "control characters"),
        ("http://us%00er:hunter2@proxy.example", "control characters"),
        ("http://us%3Aer:hunter2@proxy.example", "colon"),
        ("socks4://us%00er@proxy.example", "control characters"),
        ("socks4://user:hunter2@proxy.example", "no passwords"),
        ("socks5://user@proxy.example", "both"),
        ("socks5://user:@proxy.example", "both"),
        ("socks5://:hunter2@proxy.example", "both"),
        ("socks5://user:hunter2%C3%BC@proxy.example", "ASCII"),
        (f"socks5://user:{'hunter2' * 40}@proxy.example", "255"),
    ],
)
@pytest.mark.case(25, 26, 106)
def test_wrong(url: str, text: str) -> None:
    """What is no proxy's URL, or holds what the protocol can't say, is a ValueError without the credentials."""
    with pytest.raises(ValueError, match="proxy can't be") as caught:
        parse_proxy(url)
    assert text in str(caught.value) and "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="proxy can't be"):
        ClientOptions("ws://localhost", proxy=url)


@pytest.mark.case(106)
@pytest.mark.parametrize(("scheme", "shown"), [("socks5h", "socks5h://***@"), ("pw", "***@")])
def test_what_is_no_proxy_keeps_its_scheme(scheme: str, shown: str) -> None:
    """An error shows it, where it is one, and no credential."""
    with pytest.raises(ValueError, match="whitespace") as caught:
        parse_proxy(f"{scheme}://user:hunter2@a proxy")
    assert f"'{shown}a proxy'" in str(caught.value)


@pytest.mark.case(106)
def test_secrets_are_not_shown() -> None:
    """Neither the proxy's repr nor that of the options holds its credentials."""
    url = "http://user:hunter2@proxy.example"
    shown = f"{parse_proxy(url)!r} {parse_proxy(url)} {ClientOptions('ws://localhost', proxy=url)!r}"
    assert "hunter2" not in shown and "user" not in shown and shown.count("http://proxy.example:80") == 3


@pytest.mark.parametrize(
    ("variables", "ws", "wss"),
    [
        ({}, None, None),
        ({"http_proxy": "http://a"}, "http://a:80", None),
        ({"https_proxy": "http://a"}, "http://a:80", "http://a:80"),
        ({"HTTPS_PROXY": "http://a"}, "http://a:80", "http://a:80"),
        ({"Https_Proxy": "http://a", "ALL_PROXY": ""}, None, None),
        ({"https_proxy": "http://a", "http_proxy": "http://b"}, "http://a:80", "http://a:80"),
        ({"all_proxy": "http://a", "https_proxy": "http://b"}, "http://b:80", "http://b:80"),
        ({"ALL_PROXY": "socks5://a"}, "socks5://a:1080", "socks5://a:1080"),
        ({"all_proxy": "socks://a/"}, "socks5h://a:1080", "socks5h://a:1080"),
        ({"socks_proxy": "a:9", "https_proxy": "http://b"}, "socks5h://a:9", "socks5h://a:9"),
        ({"socks_proxy": "http://a"}, "socks5h://a:1080", "socks5h://a:1080"),
        ({"ws_proxy": "http://a", "https_proxy": "http://b"}, "http://a:80", "http://b:80"),
        ({"WSS_PROXY": "http://a", "socks_proxy": "b"}, "socks5h://b:1080", "http://a:80"),
        ({"https_proxy": "a:3128"}, "http://a:3128", "http://a:3128"),
        ({"https_proxy": "http://a", "no_proxy": "other.example"}, "http://a:80", "http://a:80"),
        ({"https_proxy": "http://a", "no_proxy": "server.example"}, None, None),
        ({"https_proxy": "http://a", "no_proxy": ".example"}, None, None),
        ({"https_proxy": "http://a", "NO_PROXY": "x, example"}, None, None),
        ({"https_proxy": "http://a", "no_proxy": "*"}, None, None),
    ],
)
def test_environment(
    variables: dict[str, str], ws: str | None, wss: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable that is nearest to WebSockets wins, lower case before upper; `no_proxy` takes hosts out."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for scheme, expected in (("ws", ws), ("wss", wss)):
        found = environment_proxy(parse_url(f"{scheme}://server.example/"))
        assert (None if found is None else found.redacted) == expected


def test_no_proxy_with_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """`no_proxy` may name a port."""
    monkeypatch.setenv("https_proxy", "http://a")
    monkeypatch.setenv("no_proxy", "server.example:8080")
    assert environment_proxy(parse_url("ws://server.example:8080/")) is None
    assert environment_proxy(parse_url("ws://server.example/")) is not None


@pytest.mark.parametrize(
    ("host", "listed", "proxied"),
    [
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "192.168.0.0/16, 10.1.2.0/24", False),
        ("10.1.2.3", "10.1.2.9/24", False),
        ("10.1.2.3", "10.2.0.0/16,no/network", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("[2001:db8::1]", "2001:db8::/32", False),
        ("[2001:db8::1]", "[2001:db8:0::1]", False),
        ("[2001:db8::1]", "10.0.0.0/8", True),
        ("server.example", "0.0.0.0/0", True),
    ],
)
def test_no_proxy_with_networks(host: str, listed: str, proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are compared with networks; names are not looked up for it."""
    monkeypatch.setenv("https_proxy", "http://a")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (environment_proxy(parse_url(f"wss://{host}/")) is not None) is proxied


@pytest.mark.parametrize("host", ["localhost", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_loopback_is_not_proxied(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is not what a proxy would take it for."""
    monkeypatch.setenv("all_proxy", "http://a")
    assert environment_proxy(parse_url(f"ws://{host}:8080/")) is None


def test_what_is_no_url_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And keeps its secret."""
    monkeypatch.setenv("ALL_PROXY", "quic://user:hunter2@proxy.example")
    with pytest.raises(ValueError, match="ALL_PROXY in the environment") as caught:
        environment_proxy(parse_url("ws://server.example/"))
    assert "hunter2" not in str(caught.value)


def test_what_is_not_needed_is_not_imported() -> None:
    """Importing the package loads neither python-socks nor urllib's openers, nor does asking an empty environment."""
    code = (
        "import sys, wsmash; from wsmash.proxies import environment_proxy; from wsmash.urls import parse_url\n"
        "environment_proxy(parse_url('ws://server.example'))\n"
        "assert not {'python_socks', 'urllib.request'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
