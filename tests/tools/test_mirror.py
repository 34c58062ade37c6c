"""Which test files mirror a module."""

from pathlib import Path

import pytest

from tools.mirror import unmatched


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("gateway/__init__.py", "gateway/router.py", "gateway/channel/__init__.py", "gateway/channel/frame.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "gateway/test_router.py",
        "gateway/test_frame.py",
        "gateway/test_channel_frame.py",
        "gateway/channel/test_frame.py",
        "gateway/test_channel.py",
        "gateway/conftest.py",
        "conformance/test_bus.py",
        "system/test_restart.py",
        "test_repository.py",
    ],
)
def test_mirrored_or_exempt(tree: Path, name: str) -> None:
    path = tree / "tests" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert unmatched(tree) == []


@pytest.mark.parametrize("name", ["gateway/test_routes.py", "gatway/test_router.py", "bus/test_topic.py"])
def test_refused(tree: Path, name: str) -> None:
    path = tree / "tests" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert unmatched(tree) == [Path("tests") / name]
