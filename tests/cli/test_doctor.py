"""doctor with a node, and without."""

from pathlib import Path

from tests.cli.conftest import CommandLine


async def test_a_healthy_node(zhiyun: CommandLine) -> None:
    ended = await zhiyun.ok("doctor")
    assert "ok  console" in ended.out
    assert "ok  database" in ended.out
    assert "!!" not in ended.out


async def test_without_a_node_the_machine_is_checked(alone: CommandLine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "platform.db").write_bytes(b"no database at all" * 100)
    ended = await alone("doctor", "--server", alone.url)
    assert ended.status == 1
    assert "ok  Python" in ended.out
    assert "!!  platform.db" in ended.out
    assert "!!  master key" in ended.out
    found = (await alone("doctor", "--server", alone.url, "--json")).json["checks"]
    assert {"name": "data folder", "ok": True, "detail": "data is writable"} in found
