"""Whom a proxy speaks for: the list of hops is read from its end, and only as far as it is trusted."""

from __future__ import annotations

import time

import pytest

from wsmash.addresses import Networks
from wsmash.sansio.forwarded import MAX_HOPS, Forwarded, read_forwarded
from wsmash.sansio.headers import Headers

TRUSTED = Networks(["10.0.0.0/8", "2001:db8:ffff::/48"])

pytestmark = pytest.mark.case(83)


def read(*pairs: tuple[str, str]) -> Forwarded | None:
    """What these headers say; of `Forwarded` where they hold it."""
    return read_forwarded(Headers(pairs), TRUSTED, standard=pairs[0][0] == "Forwarded")


def x_for(*values: str) -> Forwarded | None:
    """What lines of X-Forwarded-For say."""
    return read(*(("X-Forwarded-For", value) for value in values))


def standard(*values: str) -> Forwarded | None:
    """What lines of Forwarded say."""
    return read(*(("Forwarded", value) for value in values))


def test_nothing_is_said() -> None:
    """Without any of the headers there is nobody else."""
    assert read_forwarded(Headers([("Host", "x")]), TRUSTED, standard=False) is None
    assert read_forwarded(Headers([("X-Forwarded-For", "192.0.2.1")]), TRUSTED, standard=True) is None
    assert read_forwarded(Headers([("Forwarded", "for=192.0.2.1")]), TRUSTED, standard=False) is None


@pytest.mark.parametrize(
    ("values", "host"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.0.0.7, 10.1.2.3"], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1, 10.0.0.7"], "192.0.2.1"),
        (["10.0.0.1, 10.0.0.7"], "10.0.0.1"),
        (["garbage, 192.0.2.1"], "192.0.2.1"),
        (["2001:db8::7"], "2001:db8::7"),
        (["2001:db8::7, 2001:db8:ffff::1"], "2001:db8::7"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["::ffff:10.0.0.1,192.0.2.1,::ffff:10.0.0.2"], "192.0.2.1"),
        (["unknown, 10.0.0.7"], "10.0.0.7"),
    ],
)
def test_the_last_address_that_is_no_proxy(values: list[str], host: str) -> None:
    """Proxies are passed over; what stands before the first other address is the client's own invention."""
    found = x_for(*values)
    assert found is not None and found.address == (host, 0)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("[2001:db8::7]:4711", ("2001:db8::7", 4711)),
        ("[2001:db8::7]", ("2001:db8::7", 0)),
    ],
)
def test_ports(value: str, address: tuple[str, int]) -> None:
    """A port is taken where one is told."""
    found = x_for(value)
    assert found is not None and found.address == address


def test_nobody_is_told() -> None:
    """A proxy that hides who asks leaves the peer as who asks."""
    assert x_for("unknown") == Forwarded()
    assert standard("for=_hidden;proto=https") == Forwarded(None, True)


def test_parallel_lists() -> None:
    """Protocol and host are those of the hop that is taken, or the last ones where the lists differ in length."""
    hops = ("X-Forwarded-For", "192.0.2.1, 10.0.0.1")
    assert read(hops, ("X-Forwarded-Proto", "https, http")) == Forwarded(("192.0.2.1", 0), True)
    assert read(hops, ("X-Forwarded-Proto", "https")) == Forwarded(("192.0.2.1", 0), True)
    assert read(hops, ("X-Forwarded-Proto", "https,http,http")) == Forwarded(("192.0.2.1", 0), False)
    assert read(hops, ("X-Forwarded-Host", "a.example"), ("X-Forwarded-Host", "b.example")) == Forwarded(
        ("192.0.2.1", 0), None, "a.example"
    )
    assert read(("X-Forwarded-Proto", "HTTPS")) == Forwarded(None, True)


def test_the_standard_header() -> None:
    """Elements of RFC 7239, on one line or several, quoted or not, in any case."""
    assert standard('For="[2001:db8:cafe::17]:4711"') == Forwarded(("2001:db8:cafe::17", 4711))
    assert standard("for=192.0.2.60;proto=http;by=203.0.113.43") == Forwarded(("192.0.2.60", 0), False)
    assert standard("for=192.0.2.43, for=10.0.0.17") == Forwarded(("192.0.2.43", 0))
    assert standard("for=192.0.2.43;host=a.example;proto=https", "for=10.0.0.17;host=b.example") == Forwarded(
        ("192.0.2.43", 0), True, "a.example"
    )
    assert standard('for=192.0.2.43; host="a.example:8443"') == Forwarded(("192.0.2.43", 0), None, "a.example:8443")
    assert standard('for="192.0.2.43:_port"') == Forwarded(("192.0.2.43", 0))
    assert standard('for=" , for=192.0.2.1', "for=192.0.2.2") == Forwarded(("192.0.2.2", 0))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "for",
        "for=",
        "for=192.0.2.1;for=192.0.2.2",
        'for="192.0.2.1',
        'for="a", for=192.0.2.1"',
        "for=a b",
        "for=[::1]",
        "f or=192.0.2.1",
        "for=example.com",
        "for=192.0.2.1;proto=ftp",
        'for=192.0.2.1;host="a b"',
    ],
)
def test_malformed(value: str) -> None:
    """What a trusted proxy would not send is an error, not a guess."""
    with pytest.raises(ValueError, match=r"."):
        standard(value)


@pytest.mark.parametrize(
    "value", ["example.com", "192.0.2.1:70000", "192.0.2.1:x", "[::1", "[::1]x", "192.0.2.256", "²", "", "192.0.2.1,"]
)
def test_malformed_addresses(value: str) -> None:
    """The same of the old header."""
    with pytest.raises(ValueError, match=r"no address|no port|empty"):
        x_for(value)


def test_too_long_a_way() -> None:
    """The proxies that are passed over are bounded."""
    with pytest.raises(ValueError, match=str(MAX_HOPS)):
        x_for(", ".join(["10.0.0.1"] * (MAX_HOPS + 1)))


@pytest.mark.parametrize("value", ["," * 60_000, "10.0.0.1," * 6000, '"' * 60_001, ";" * 60_000, "\\" * 60_000])
def test_linear(value: str) -> None:
    """Nothing that fits into a head takes long."""
    before = time.perf_counter()
    for each in (x_for, standard):
        with pytest.raises(ValueError, match=r"."):
            each(value)
    assert time.perf_counter() - before < 0.5
