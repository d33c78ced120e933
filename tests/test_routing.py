"""Patterns of paths, and the router that finds an endpoint by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.routing import Pattern, Router


class TestPattern:
    @pytest.mark.parametrize(
        ("pattern", "path", "params"),
        [
            ("/", "/", {}),
            ("/ws", "/ws", {}),
            ("/ws/", "/ws/", {}),
            ("/räume", "/räume", {}),
            ("/rooms/{room}", "/rooms/7", {"room": "7"}),
            ("/rooms/{room}", "/rooms/{room}", {"room": "{room}"}),
            ("/rooms/{room}", "/rooms/..", {"room": ".."}),
            ("/{a}/x/{b}", "/1/x/2", {"a": "1", "b": "2"}),
            ("/{a}/", "/1/", {"a": "1"}),
            ("/{rest:path}", "/", {"rest": ""}),
            ("/{rest:path}", "//", {"rest": "/"}),
            ("/files/{rest:path}", "/files/a/b.txt", {"rest": "a/b.txt"}),
            ("/files/{rest:path}", "/files/", {"rest": ""}),
            ("/{user}/{rest:path}", "/me/a//b/", {"user": "me", "rest": "a//b/"}),
        ],
    )
    def test_match(self, pattern: str, path: str, params: dict[str, str]) -> None:
        """Literal segments stand for themselves, names for one segment, and the last for the rest."""
        assert Pattern(pattern).match(path) == params

    @pytest.mark.parametrize(
        ("pattern", "path"),
        [
            ("/", ""),
            ("/ws", "/ws/"),
            ("/ws/", "/ws"),
            ("/ws", "/WS"),
            ("/ws", "/ws2"),
            ("/ws", "/x/ws"),
            ("/rooms/{room}", "/rooms/"),
            ("/rooms/{room}", "/rooms"),
            ("/rooms/{room}", "/rooms/7/8"),
            ("/rooms/{room}", "/rooms/7/"),
            ("/{a}/{b}", "//x"),
            ("/files/{rest:path}", "/files"),
            ("/files/{rest:path}", "/filesystem/x"),
            ("/{user}/{rest:path}", "//x"),
        ],
    )
    def test_no_match(self, pattern: str, path: str) -> None:
        """The whole path must match; a name never stands for an empty segment."""
        assert Pattern(pattern).match(path) is None

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("", "must start with '/'"),
            ("ws", "must start with '/'"),
            ("{a}", "must start with '/'"),
            ("/{a", "whole segment"),
            ("/a}", "whole segment"),
            ("/}{", "whole segment"),
            ("/{{a}}", "whole segment"),
            ("/{a}{b}", "whole segment"),
            ("/a{b}", "whole segment"),
            ("/{b}.txt", "whole segment"),
            ("/{", "whole segment"),
            ("/x{a:path}", "whole segment"),
            ("/{}", "an identifier"),
            ("/{:path}", "an identifier"),
            ("/{1}", "an identifier"),
            ("/{a-b}", "an identifier"),
            ("/{a:int}", "an identifier"),
            ("/{a b}", "an identifier"),
            ("/{a:path:path}", "only the last segment may stand for the rest"),
            ("/{a}/{a}", "twice"),
            ("/{a}/{a:path}", "twice"),
            ("/{a:path}/b", "only the last segment"),
            ("/{a:path}/", "only the last segment"),
        ],
    )
    def test_bad_pattern(self, pattern: str, said: str) -> None:
        """A pattern with a fault is a ValueError that says which."""
        with pytest.raises(ValueError) as caught:
            Pattern(pattern)
        assert said in str(caught.value)

    def test_exact(self) -> None:
        """A pattern without names is exact."""
        assert Pattern("/a/b").is_exact
        assert not Pattern("/{a}").is_exact
        assert not Pattern("/a/{b:path}").is_exact

    def test_repr(self) -> None:
        """A pattern shows how it was made."""
        assert repr(Pattern("/rooms/{room}")) == "Pattern('/rooms/{room}')"

    @given(st.lists(st.text(st.characters(exclude_characters="/{}")), min_size=1, max_size=5))
    def test_what_is_put_in_comes_out(self, segments: list[str]) -> None:
        """Names give back the segments of any path, and the rest gives back all of it."""
        path = "/" + "/".join(segments)
        names = Pattern("/" + "/".join(f"{{n{number}}}" for number in range(len(segments))))
        expected = {f"n{number}": segment for number, segment in enumerate(segments)}
        assert names.match(path) == (expected if all(segments) else None)
        assert Pattern("/{rest:path}").match(path) == {"rest": path[1:]}
        assert Pattern(path).match(path) == {}


class TestRouter:
    def test_nothing_added(self) -> None:
        """An empty router finds nothing."""
        assert Router[str]().find("/") is None

    def test_exact_path_wins(self) -> None:
        """An exact path comes before a pattern that was added earlier."""
        router = Router[str]()
        router.add("/rooms/{room}", "any")
        router.add("/rooms/lobby", "lobby")
        assert router.find("/rooms/lobby") == ("lobby", {})
        assert router.find("/rooms/7") == ("any", {"room": "7"})
        assert router.find("/rooms") is None

    def test_patterns_in_the_order_added(self) -> None:
        """Of two patterns that match, the one added first is found."""
        router = Router[int]()
        router.add("/{a}/x", 1)
        router.add("/y/{b}", 2)
        router.add(Pattern("/{rest:path}"), 3)
        assert router.find("/y/x") == (1, {"a": "y"})
        assert router.find("/y/z") == (2, {"b": "z"})
        assert router.find("/z") == (3, {"rest": "z"})

    @pytest.mark.parametrize(
        ("first", "second"),
        [("/ws", "/ws"), ("/{a}", "/{a}"), ("/{a}/x", "/{b}/x"), ("/x/{a:path}", "/x/{b:path}")],
    )
    def test_same_path_twice(self, first: str, second: str) -> None:
        """Adding what matches the same paths again is a ValueError, and changes nothing."""
        router = Router[int]()
        router.add(first, 1)
        with pytest.raises(ValueError, match="was added before"):
            router.add(second, 2)
        found = router.find(first)
        assert found is not None
        assert found[0] == 1

    def test_bad_pattern_is_not_added(self) -> None:
        """A pattern with a fault is refused when it is added."""
        with pytest.raises(ValueError, match="whole segment"):
            Router[int]().add("/a{b}", 1)
