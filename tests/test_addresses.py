"""Addresses: which of them count as one peer's."""

from __future__ import annotations

import pytest

from wsmash.addresses import counted_as


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("not:an:address", "not:an:address"),
        ("a name", "a name"),
    ],
)
def test_counted_as(host: str, name: str) -> None:
    """IPv4 by address, however it is written, and IPv6 by its /64."""
    assert counted_as(host) == name
