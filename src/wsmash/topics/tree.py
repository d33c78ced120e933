"""The patterns that are subscribed to, by their segments: which of them match a topic is found without trying each."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class _Node(Generic[V]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[V]] = {}
        self.value: V | None = None


class PatternTree(Generic[V]):
    """A value for each pattern, in a tree that holds nothing of patterns which were removed."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, pattern: str, value: V) -> None:
        """Put a value in, or another in its place."""
        node = self._root
        for segment in pattern.split("."):
            found = node.children.get(segment)
            if found is None:
                found = node.children[segment] = _Node()
            node = found
        self._count += node.value is None
        node.value = value

    def remove(self, pattern: str) -> None:
        """Take it out; one that is not there is ignored."""
        path, node = [], self._root
        for segment in pattern.split("."):
            path.append((node, segment))
            found = node.children.get(segment)
            if found is None:
                return
            node = found
        self._count -= node.value is not None
        node.value = None
        for parent, segment in reversed(path):
            child = parent.children[segment]
            if child.children or child.value is not None:
                return
            del parent.children[segment]

    def matching(self, topic: str) -> list[V]:
        """The values of the patterns that match a topic."""
        found: list[V] = []
        nodes = [self._root]
        for segment in topic.split("."):
            reached = []
            for node in nodes:
                children = node.children
                if not children:
                    continue
                rest = children.get(">")
                if rest is not None and rest.value is not None:
                    found.append(rest.value)
                for key in (segment, "*"):
                    child = children.get(key)
                    if child is not None:
                        reached.append(child)
            nodes = reached
        found += [node.value for node in nodes if node.value is not None]
        return found
