"""Which endpoint a request's path belongs to.

A pattern is matched segment by segment, so that the work grows with the length of
the path and with nothing else.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from .grammar import shown

E = TypeVar("E")

_REST: Final = ":path}"


class Pattern:
    """A path that may hold names for what stands in their place.

    `{name}` stands for one whole segment that is not empty. `{name:path}`, at the end,
    stands for the rest, slashes included; it may be empty, but the slash before it must
    be there. Everything else stands for itself, case and trailing slash included.

    >>> Pattern("/rooms/{room}").match("/rooms/7")
    {'room': '7'}
    >>> Pattern("/files/{name:path}").match("/files/a/b.txt")
    {'name': 'a/b.txt'}

    Args:
        path: what to match, percent-decoded, without a query.

    Raises:
        ValueError: the path does not start with a slash, or a name in braces is not as above.
    """

    __slots__ = ("_literals", "_names", "_rest", "path")

    def __init__(self, path: str) -> None:
        if not path.startswith("/"):
            raise ValueError(f"a path must start with '/', and is {shown(path)}")
        self.path: Final = path
        segments = path.split("/")
        has_rest = segments[-1].endswith(_REST)
        self._rest: Final = _name_of(path, segments.pop().removesuffix(_REST) + "}") if has_rest else None
        names = [_name_of(path, segment) for segment in segments]
        given = [name for name in (*names, self._rest) if name is not None]
        if len(set(given)) != len(given):
            raise ValueError(f"a name stands twice in {shown(path)}")
        self._names: Final = tuple(names)
        self._literals: Final = tuple(
            segment if name is None else None for segment, name in zip(segments, names, strict=True)
        )

    @property
    def is_exact(self) -> bool:
        """Whether it matches one path only."""
        return self._rest is None and None not in self._literals

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for two patterns that match the same paths, whatever their names are."""
        return (*self._literals, self._rest is not None)

    def match(self, path: str) -> dict[str, str] | None:
        """What the names stand for in this path, or None where it does not match."""
        count = len(self._literals)
        segments = path.split("/", count if self._rest is not None else -1)
        if len(segments) != count + (self._rest is not None):
            return None
        params: dict[str, str] = {}
        for literal, name, segment in zip(self._literals, self._names, segments, strict=False):
            if name is None:
                if segment != literal:
                    return None
            elif segment:
                params[name] = segment
            else:
                return None
        if self._rest is not None:
            params[self._rest] = segments[-1]
        return params

    def __repr__(self) -> str:
        return f"Pattern({self.path!r})"


class Router(Generic[E]):
    """Endpoints by their paths: an exact path before patterns, patterns in the order they were added.

    >>> router = Router[str]()
    >>> router.add("/rooms/{room}", "a room")
    >>> router.add("/rooms/lobby", "the lobby")
    >>> router.find("/rooms/lobby")
    ('the lobby', {})
    """

    __slots__ = ("_exact", "_patterns", "_shapes")

    def __init__(self) -> None:
        self._exact: dict[str, E] = {}
        self._patterns: list[tuple[Pattern, E]] = []
        self._shapes: dict[tuple[object, ...], str] = {}

    def add(self, pattern: Pattern | str, endpoint: E) -> None:
        """Give the paths that match to the endpoint.

        Raises:
            ValueError: the pattern is none, or matches the same paths as an earlier one.
        """
        if isinstance(pattern, str):
            pattern = Pattern(pattern)
        earlier = self._shapes.get(pattern.shape)
        if earlier is not None:
            raise ValueError(f"{shown(pattern.path)} matches what {shown(earlier)} matches, which was added before")
        self._shapes[pattern.shape] = pattern.path
        if pattern.is_exact:
            self._exact[pattern.path] = endpoint
        else:
            self._patterns.append((pattern, endpoint))

    def find(self, path: str) -> tuple[E, dict[str, str]] | None:
        """The endpoint of a percent-decoded path, and what the names in its pattern stand for."""
        endpoint = self._exact.get(path)
        if endpoint is not None:
            return endpoint, {}
        for pattern, endpoint in self._patterns:
            params = pattern.match(path)
            if params is not None:
                return endpoint, params
        return None


def _name_of(path: str, segment: str) -> str | None:
    """The name in braces that a segment is, None for one that stands for itself."""
    if "{" not in segment and "}" not in segment:
        return None
    name = segment[1:-1]
    if not (segment.startswith("{") and segment.endswith("}")) or "{" in name or "}" in name:
        raise ValueError(f"{shown(segment)} in {shown(path)}: braces must hold a whole segment, as in '/{{name}}'")
    if segment.endswith(_REST):
        raise ValueError(f"{shown(segment)} in {shown(path)}: only the last segment may stand for the rest")
    if not name.isidentifier():
        raise ValueError(f"{shown(segment)} in {shown(path)}: allowed are {{name}}, an identifier, and {{name:path}}")
    return name
