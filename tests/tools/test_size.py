"""What the size check refuses."""

from pathlib import Path

from tools.size import MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PUBLIC_METHODS, findings


def _findings(folder: Path, text: str, name: str = "route.py") -> list[str]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return findings(path)


def test_file_at_the_limit_passes_and_one_line_more_is_refused(tmp_path: Path) -> None:
    assert _findings(tmp_path, "x = 1\n" * MAX_FILE_LINES) == []
    assert _findings(tmp_path, "x = 1\n" * (MAX_FILE_LINES + 1)) == ["1: 601 lines, at most 600: it has more than one subject"]


def test_long_function_is_named_with_its_line(tmp_path: Path) -> None:
    body = "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    assert _findings(tmp_path, f"async def fits():\n{body}") == []
    assert _findings(tmp_path, f"\nasync def long():\n{body}    x = 2\n") == ["2: function long has 61 lines, at most 60: split it"]


def test_public_methods_are_counted_without_private_ones_and_setters(tmp_path: Path) -> None:
    methods = "".join(f"    def m{number}(self): ...\n" for number in range(MAX_PUBLIC_METHODS - 1))
    prop = "    @property\n    def p(self): ...\n    @p.setter\n    def p(self, v): ...\n    def _own(self): ...\n"
    assert _findings(tmp_path, f"class Route:\n{methods}{prop}") == []
    assert _findings(tmp_path, f"class Route:\n{methods}{prop}    def more(self): ...\n") == [
        "1: class Route has 13 public methods, at most 12"
    ]


def test_tests_of_a_suite_are_no_interface(tmp_path: Path) -> None:
    tests = "".join(f"    async def test_{number}(self): ...\n" for number in range(30))
    assert _findings(tmp_path, f"class TransportConformance:\n{tests}") == []


def test_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    (found,) = _findings(tmp_path, "x = 1\n", name="utils.py")
    assert "says nothing" in found
