"""The last snapshot on disk: whole, sealed, and never a reason to crash."""

import asyncio
import os
from pathlib import Path

import pytest

from core.database import Database
from core.errors import Unavailable
from core.secret import Secret
from registry.credentials import Credentials
from registry.registry import Registry
from registry.snapshot import Snapshot, build_snapshot
from registry.snapshot_file import SnapshotFile
from registry.sql_resources import SqlResources
from registry.tokens import SigningKeys
from registry.users import Users
from registry.vault import Vault
from tests.registry.sample import ADAPTERS, SECRETS, bytes_on_disk, document


@pytest.fixture
async def snapshot(resources: SqlResources, vault: Vault) -> Snapshot:
    await Registry(resources, vault, ADAPTERS).apply(document(), actor="li")
    await Credentials(resources, vault).issue("app", "shop", actor="li")
    await SigningKeys(resources, vault).ensure()
    return await build_snapshot(resources, vault, ADAPTERS)


@pytest.fixture
def file(tmp_path: Path, vault: Vault) -> SnapshotFile:
    return SnapshotFile(tmp_path / "node" / "snapshot", vault)


async def test_what_is_saved_is_what_a_node_runs_after_a_restart(snapshot: Snapshot, file: SnapshotFile) -> None:
    await file.save(snapshot)
    await file.save(snapshot)
    loaded, reason = await file.load(ADAPTERS)
    assert loaded is not None
    assert reason == ""
    assert (loaded.revision, loaded.platform.apps) == (snapshot.revision, snapshot.platform.apps)
    assert loaded.credentials == snapshot.credentials
    assert loaded.verification_keys.keys() == snapshot.verification_keys.keys()
    assert loaded.platform.sources["sales"].settings["password"] == Secret(SECRETS[0])
    assert os.listdir(file.path.parent) == [file.path.name]
    assert os.stat(file.path).st_mode & 0o777 == 0o600


async def test_nothing_is_readable_in_it(snapshot: Snapshot, file: SnapshotFile) -> None:
    await file.save(snapshot)
    on_disk = bytes_on_disk(file.path.parent)
    (credential,) = snapshot.credentials.values()
    words = (*SECRETS, "dbo.Customer", "shop", credential.secrets[0].secret.reveal(), credential.key)
    assert not any(word.encode() in on_disk for word in words)


async def test_a_damaged_file_is_a_reason_not_a_crash(snapshot: Snapshot, file: SnapshotFile) -> None:
    assert await file.load(ADAPTERS) == (None, f"there is no snapshot {file.path}: this node has never reached the registry")
    await file.save(snapshot)
    whole = bytes_on_disk(file.path.parent)
    for damaged in (b"", b"\xff\xfe", whole[:-20], whole[: len(whole) // 2], b"x" + whole, whole[:40] + b"~" + whole[41:]):
        file.path.write_bytes(damaged)
        loaded, reason = await file.load(ADAPTERS)
        assert loaded is None
        assert str(file.path) in reason
    file.path.write_bytes(whole)
    loaded, reason = await SnapshotFile(file.path, Vault(b"x" * 32)).load(ADAPTERS)
    assert loaded is None
    assert "master key" in reason


async def test_workers_that_save_at_once_leave_one_whole_file(snapshot: Snapshot, file: SnapshotFile) -> None:
    await asyncio.gather(*(file.save(snapshot) for _ in range(8)))
    loaded, _ = await file.load(ADAPTERS)
    assert loaded is not None
    assert os.listdir(file.path.parent) == [file.path.name]


async def test_a_folder_that_is_none_is_told(snapshot: Snapshot, vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Unavailable, match="make the folder writable"):
        await SnapshotFile(tmp_path / "taken" / "snapshot", vault).save(snapshot)


async def test_users_stay_in_the_registry(resources: SqlResources, database: Database, vault: Vault) -> None:
    await Users(resources, database).ensure_operator()
    assert (await build_snapshot(resources, vault, ADAPTERS)).stored == ()
