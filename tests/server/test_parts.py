"""The parts of a process: what is wrong with one is one clear line that names it."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import PlatformError, Unavailable
from core.secret import Secret
from server.parts import node_name, open_parts
from tests.servers.mariadb import MariaDBDatabase

KEY = Secret("k" * 32)


async def _refused(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        with pytest.raises(PlatformError) as caught:
            await open_parts(settings, stack, role="back-office")
    assert "\n" not in caught.value.detail
    return caught.value.detail


async def test_everything_embedded_is_well_and_closes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        parts = await open_parts(Settings(data_dir=tmp_path / "new" / "data", master_key=KEY), stack, role="gateway-0")
        assert await parts.check() == dict.fromkeys(("database", "mirror", "bus", "cache"), "ok")
        assert {"bus", "http_json", "mysql"} - {"bus"} <= set(parts.adapters)
        assert parts.node.endswith("-gateway-0")
    with pytest.raises(Unavailable):
        await parts.database.check()
    assert {path.name for path in (tmp_path / "new" / "data").glob("*.db")} == {"platform.db", "mirror.db", "bus.db"}


@pytest.mark.parametrize("name", ["platform.db", "mirror.db", "bus.db"])
async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no database, " * 400)
    line = await _refused(Settings(data_dir=tmp_path, master_key=KEY))
    assert str(tmp_path / name) in line
    assert "restore it from a backup, or move it away" in line


async def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    line = await _refused(Settings(data_dir=tmp_path / "data", master_key=KEY))
    assert f"data folder {tmp_path / 'data'}" in line
    assert "--data-dir" in line


@pytest.mark.parametrize("part", ["database", "bus"])
async def test_a_part_that_can_not_be_reached_is_named_without_its_password(tmp_path: Path, free_port: int, part: str) -> None:
    url = {"database": "mysql://zy:hunter2@127.0.0.1:{}/zy", "bus": "amqp://zy:hunter2@127.0.0.1:{}/"}[part].format(free_port)
    settings = Settings(data_dir=tmp_path, master_key=KEY, **{part: Secret(url)})  # type: ignore[arg-type]
    line = await _refused(settings)
    assert f"127.0.0.1:{free_port}" in line
    assert "hunter2" not in line


@pytest.mark.servers
async def test_a_wrong_password_of_the_database_is_said(tmp_path: Path, mariadb_database: MariaDBDatabase) -> None:
    m = mariadb_database
    url = f"mysql://{m.user}:wrong-hunter2@{m.host}:{m.port}/{m.database}"
    line = await _refused(Settings(data_dir=tmp_path, master_key=KEY, database=Secret(url)))
    assert f"{m.host}:{m.port}" in line
    assert "hunter2" not in line
    assert "denied" in line.lower() or "password" in line.lower()


async def test_a_cache_that_is_down_stops_nothing_and_is_reported(tmp_path: Path, free_port: int) -> None:
    async with AsyncExitStack() as stack:
        url = Secret(f"redis://:hunter2@127.0.0.1:{free_port}/0")
        parts = await open_parts(Settings(data_dir=tmp_path, master_key=KEY, cache=url), stack, role="gateway-0")
        health = await parts.check()
    assert health["database"] == "ok"
    assert f"127.0.0.1:{free_port}" in health["cache"]
    assert "hunter2" not in health["cache"]


async def test_processes_that_start_at_once_agree_on_the_node_s_name(tmp_path: Path) -> None:
    names = await asyncio.gather(*(asyncio.to_thread(node_name, tmp_path, f"gateway-{n}") for n in range(30)))
    assert len({name.removesuffix(f"-gateway-{n}") for n, name in enumerate(names)}) == 1
    assert names[0].startswith("node-")
    assert len(names[0]) > len("node--gateway-0")
    assert node_name(tmp_path, "gateway-0") == names[0], "the same after a restart"
    assert os.listdir(tmp_path) == ["node.id"]
