"""Which patterns match a topic, found in a tree, and as `names.matches` says one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.topics.names import matches
from wsmash.topics.tree import PatternTree

SEGMENTS = st.sampled_from(["a", "b", "c"])
TOPICS = st.lists(SEGMENTS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.tuples(
    st.lists(SEGMENTS | st.just("*"), min_size=1, max_size=4), st.sampled_from([[], [], [">"]])
).map(lambda parts: ".".join(parts[0] + parts[1])) | st.just(">")  # fmt: skip


@given(st.sets(PATTERNS, max_size=12), st.sets(PATTERNS, max_size=12), TOPICS)
def test_those_match_that_match_one_by_one(patterns: set[str], removed: set[str], topic: str) -> None:
    """Whatever was removed in between; what is not there may be removed."""
    tree: PatternTree[str] = PatternTree()
    for pattern in patterns | removed:
        tree.add(pattern, pattern)
    for pattern in removed:
        tree.remove(pattern)
        tree.remove(pattern)
    left = patterns - removed
    assert sorted(tree.matching(topic)) == sorted(each for each in left if matches(each, topic))
    assert len(tree) == len(left)


@pytest.mark.case(71)
@given(st.lists(st.tuples(PATTERNS, st.booleans()), max_size=40))
def test_nothing_is_left_of_patterns_that_were_removed(changes: list[tuple[str, bool]]) -> None:
    """Not a node of the tree."""
    tree: PatternTree[str] = PatternTree()
    for pattern, added in changes:
        (tree.add(pattern, pattern) if added else tree.remove(pattern))
    for pattern, _ in changes:
        tree.remove(pattern)
    assert len(tree) == 0 and not tree._root.children
