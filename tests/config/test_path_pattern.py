"""What the path of a route may be."""

import pytest

from config.path_pattern import PathPattern, parse_path


@pytest.mark.parametrize(
    ("text", "segments", "names", "rest"),
    [
        ("/", (), (), ""),
        ("/a/b", (b"a", b"b"), (), ""),
        ("/a/b/", (b"a", b"b"), (), ""),
        ("/a.b/~c", (b"a.b", b"~c"), (), ""),
        ("/a;v=1/@b", (b"a;v=1", b"@b"), (), ""),
        ("/客户/%E5%AE%A2", ("客户".encode(), "客".encode()), (), ""),
        ("/a/{id}/b/{b_2}", (b"a", None, b"b", None), ((1, "id"), (3, "b_2")), ""),
        ("/{rest...}", (), (), "rest"),
        ("/a/{id}/{rest...}", (b"a", None), ((1, "id"),), "rest"),
    ],
)
def test_segments_names_and_rest(
    text: str, segments: tuple[bytes | None, ...], names: tuple[tuple[int, str], ...], rest: str
) -> None:
    assert parse_path(text) == PathPattern(segments, names, rest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/a//b", "empty segment"),
        ("//", "empty segment"),
        ("/a/../b", "dot segment"),
        ("/a/%2e", "dot segment"),
        ("/./b", "dot segment"),
        ("/a%2Fb", "encoded slash"),
        ("/a%5cb", "encoded slash"),
        ("/a%00", "NUL"),
        ("/a%zz", "no path may have"),
        ("/a?b", "no path may have"),
        ("/a#b", "no path may have"),
        ('/a"b', "no path may have"),
        ("/a{id}", "whole segment"),
        ("/{id}.json", "whole segment"),
        ("/{}", "whole segment"),
        ("/{1}", "whole segment"),
        ("/{a-b}", "whole segment"),
        ("/{x...}/b", "nothing may follow"),
        ("/{x}/{x}", "twice"),
        ("/{x}/{x...}", "twice"),
        ("/a" * 33, "at most 32 segments"),
    ],
)
def test_what_no_path_can_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_path(text)


def test_the_one_path_that_fits() -> None:
    assert parse_path("/a/b/").exact() == b"/a/b"
    assert parse_path("/").exact() == b"/"
    assert parse_path("/{a}").exact() is None
    assert parse_path("/{a...}").exact() is None
