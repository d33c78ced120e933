"""Headers as a mapping, and the lists that some of them hold (RFC 9110 5, RFC 6455 9.1).

Nothing here uses a regular expression: each parser splits its text a fixed
number of times, so its work is linear in the text (hostile cases 5-7). What is
malformed is a ValueError, which becomes a 400 on one side and a failed
handshake on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..constants import SECRET_HEADERS
from ..grammar import OWS, HeaderPairs, is_field_value, is_token, shown

MAX_EXTENSIONS: Final = 32
"""How many extensions a peer may list, and how many parameters each may have."""


class Headers(Mapping[str, str]):
    """The header lines of one head: a read-only mapping whose names match in any case.

    `headers[name]` joins the values of several lines with ", " (RFC 9110 5.3);
    for `Set-Cookie`, whose values hold commas, take `get_all`.

    >>> headers = Headers([("Accept", "a"), ("accept", "b")])
    >>> headers["ACCEPT"], headers.get_all("Accept")
    ('a, b', ('a', 'b'))
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, headers: HeaderPairs = ()) -> None:
        self._pairs = tuple(headers) if type(headers) is list else _pairs(headers)
        values: dict[str, tuple[str, ...]] = {}
        for name, value in self._pairs:
            folded = name.lower()
            values[folded] = (*values[folded], value) if folded in values else (value,)
        self._values = values

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every line as (name, value), as they came."""
        return self._pairs

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def get_all(self, name: str) -> tuple[str, ...]:
        """The value of each line of this name, in order."""
        return self._values.get(name.lower(), ())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        """Each name once, spelled as in its first line."""
        first = {name.lower(): name for name, _ in reversed(self._pairs)}
        return (first[folded] for folded in self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if isinstance(other, Headers):
            return self._values == other._values
        return {name.lower(): self[name] for name in self._values} == {
            name.lower() if isinstance(name, str) else name: value for name, value in other.items()
        }

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        pairs = (f"({name!r}, {'***' if name.lower() in SECRET_HEADERS else value!r})" for name, value in self._pairs)
        return f"Headers([{', '.join(pairs)}])"


class Extension(NamedTuple):
    """One element of `Sec-WebSocket-Extensions`; a parameter's value is None where it has none."""

    name: str
    params: tuple[tuple[str, str | None], ...] = ()


def checked_pairs(headers: HeaderPairs) -> tuple[tuple[str, str], ...]:
    """Headers that a user gave, as pairs that may go out as they are (hostile case 25).

    Raises:
        TypeError: for what is not a str.
        ValueError: for a name that is no token, or a value that is not Latin-1 or
            holds a control character.
    """
    return tuple(_checked_pair(pair) for pair in _pairs(headers))


def holds_token(values: Iterable[str], token: str) -> bool:
    """Whether a comma list holds this token, in any case and as a whole (hostile case 11)."""
    for value in values:
        for element in value.split(","):
            if element.strip(OWS).lower() == token:
                return True
    return False


def parse_tokens(values: Sequence[str]) -> tuple[str, ...]:
    """The tokens of a comma list such as `Sec-WebSocket-Protocol`, which may be spread over several lines.

    Empty elements are skipped (RFC 9110 5.6.1.2).
    """
    if not values:
        return ()
    found = tuple(_elements(values))
    for element in found:
        if not is_token(element):
            raise ValueError(f"{shown(element)} is not a token (RFC 9110 5.6.2)")
    return found


def parse_extensions(values: Sequence[str]) -> tuple[Extension, ...]:
    """The elements of `Sec-WebSocket-Extensions` (RFC 6455 9.1).

    A quoted value must be a token once it is unquoted, and no token holds a
    comma, a semicolon or an equals sign. So to split at these, whether or not
    they are quoted, takes valid text apart rightly and leaves an unfinished
    quotation, which is refused, of all other.
    """
    if not values:
        return ()
    found = tuple(_extension(element) for element in _elements(values, most=MAX_EXTENSIONS))
    if len(found) > MAX_EXTENSIONS:
        raise ValueError(f"more than {MAX_EXTENSIONS} extensions")
    return found


def format_extension(extension: Extension) -> str:
    """The extension as it stands in the header."""
    return "; ".join([extension.name, *(_format_param(name, value) for name, value in extension.params)])


def _pairs(headers: HeaderPairs) -> tuple[tuple[str, str], ...]:
    if isinstance(headers, Headers):
        return headers.pairs
    return tuple(headers.items() if isinstance(headers, Mapping) else headers)


def _checked_pair(pair: object) -> tuple[str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
        raise TypeError("headers must be a mapping or pairs of a name and a value, both str")
    name, value = pair
    if not isinstance(value, str):
        raise TypeError(f"the header {shown(name)} must be a str, not {type(value).__name__}")
    if not is_token(name):
        raise ValueError(f"the header name {shown(name)} is not a token (RFC 9110 5.1)")
    if not is_field_value(value):
        bad = next(character for character in value if not is_field_value(character))
        # The value itself may be a secret: only the character is shown.
        raise ValueError(
            f"the header {name} holds {bad!r}; a value is Latin-1 without control characters (RFC 9110 5.5)"
        )
    return name, value.strip(OWS)


def _elements(values: Iterable[str], most: int | None = None) -> Iterator[str]:
    """The elements of a comma list without the empty ones; one more than `most` of them at most."""
    count = 0
    for value in values:
        for element in value.split(","):
            if stripped := element.strip(OWS):
                yield stripped
                count += 1
                if most is not None and count > most:
                    return


def _extension(text: str) -> Extension:
    name, *params = text.split(";", MAX_EXTENSIONS + 1)
    if len(params) > MAX_EXTENSIONS:
        raise ValueError(f"more than {MAX_EXTENSIONS} parameters of one extension")
    name = name.strip(OWS)
    if not is_token(name):
        raise ValueError(f"{shown(name)} is no name of an extension (RFC 6455 9.1)")
    return Extension(name, tuple(_param(param) for param in params))


def _param(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    # Whitespace may surround the equals sign: RFC 6455 4.3 applies the implied *LWS of RFC 2616.
    name = name.strip(OWS)
    if not is_token(name):
        raise ValueError(f"{shown(text)} is no parameter of an extension (RFC 6455 9.1)")
    return name, _param_value(value.strip(OWS)) if equals else None


def _param_value(text: str) -> str:
    value = text
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        inside = text[1:-1]
        # A quoted-pair stands for its second character (RFC 9110 5.6.4), and neither
        # a backslash nor a quotation mark is part of a token: one before the other,
        # or at the end, can only be malformed, and all others just go.
        value = text if "\\\\" in inside or inside.endswith("\\") else inside.replace("\\", "")
    if not is_token(value):
        raise ValueError(f"the value {shown(text)} of an extension's parameter is not a token (RFC 6455 9.1)")
    return value


def _format_param(name: str, value: str | None) -> str:
    return name if value is None else f"{name}={value}"
