"""The sftp adapter against OpenSSH."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from adapters.file_drop import CHUNK_BYTES
from adapters.sftp import ADAPTER, SftpConnection, SftpSettings
from core.errors import DeadlineExceeded, NotConnected, PlatformError, Unauthenticated, Unavailable
from core.records import Chunk, Payload, Transaction
from core.schema import Dataset
from core.secret import Secret
from tests.conformance.adapter_suite import ConnectionSuite, Person, SourceSuite, opened, people, read_transactions
from tests.servers.ports import free_port
from tests.servers.ssh import SSHServer

pytestmark = [pytest.mark.servers, pytest.mark.req("0.46")]


class SftpHarness:
    """Each `put` drops one more file of JSON lines."""

    adapter = ADAPTER

    def __init__(self, server: SSHServer, folder: Path) -> None:
        self.folder = folder
        self.dataset = people(f"{folder}/people_*.jsonl")
        self.missing: Dataset | None = people(f"{folder}/no_such_folder/people_*.jsonl")
        self.settings = SftpSettings(
            server.host, server.user, server.host_key, private_key=Secret(server.private_key), port=server.port, timeout_s=10
        )
        self.wrong_password = replace(self.settings, private_key=None, password=Secret("wrong-password"))
        self.unreachable = replace(self.settings, port=free_port(), connect_timeout_s=1.0)

    async def put(self, people: Sequence[Person]) -> None:
        name = f"people_{len(list(self.folder.iterdir())):04d}.jsonl"
        (self.folder / name).write_bytes(b"".join(msgspec.json.encode(asdict(person)) + b"\n" for person in people))

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        lines = b"".join(cast(Chunk, payload).data for payload in payloads).splitlines()
        return [msgspec.json.decode(line, type=Person) for line in lines]


@pytest.fixture
def harness(ssh_server: SSHServer, tmp_path: Path) -> SftpHarness:
    ssh_server.start()
    folder = tmp_path / "daily"
    folder.mkdir()
    return SftpHarness(ssh_server, folder)


class TestPeople(ConnectionSuite, SourceSuite):
    """The conformance suites."""


def _dataset(harness: SftpHarness, **options: Any) -> Dataset:
    return Dataset(object=f"{harness.folder}/*.csv", key=("id",), fields={"id": "integer"}, options=options)


def _files(found: Sequence[Transaction]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for transaction in found:
        chunk = cast(Chunk, transaction.payload)
        name = Path(chunk.name).name
        contents[name] = contents.get(name, b"") + chunk.data
    return contents


async def test_whole_files_are_read_once_and_put_away(harness: SftpHarness) -> None:
    sizes = {"a.csv": 0, "b.csv": 1, "c.csv": CHUNK_BYTES, "d.csv": 3 * CHUNK_BYTES + 5}
    contents = {name: os.urandom(size) for name, size in sizes.items()}
    for name, content in contents.items():
        (harness.folder / name).write_bytes(content)
        if name != "b.csv":
            (harness.folder / f"{name}.done").touch()
    (harness.folder / "link.csv").symlink_to("/etc/passwd")
    (harness.folder / "link.csv.done").touch()
    wanted = _dataset(harness, done_marker=".done", after="archive:old")
    async with opened(harness) as source:
        found = await read_transactions(source, wanted)
        del contents["b.csv"]
        assert _files(found) == contents
        assert {path.name for path in harness.folder.iterdir()} == {"b.csv", "link.csv", "link.csv.done", "old"}
        assert {path.name: path.read_bytes() for path in (harness.folder / "old").glob("*.csv")} == contents
        assert await read_transactions(source, wanted, found[-1].cursor) == []


async def test_another_host_key_is_refused_before_the_login(harness: SftpHarness) -> None:
    other = replace(harness.settings, host_key="SHA256:" + "A" * 43, password=Secret("s3cret"))
    async with opened(harness, other) as source:
        with pytest.raises(NotConnected, match="host key is SHA256:") as caught:
            await source.check()
        assert harness.settings.host_key in caught.value.detail
        assert "s3cret" not in caught.value.detail


async def test_a_key_that_can_t_be_read_is_said_so_without_it(harness: SftpHarness) -> None:
    for broken in ("no key at all", harness.settings.private_key.reveal()[:200] if harness.settings.private_key else ""):
        async with opened(harness, replace(harness.settings, private_key=Secret(broken))) as source:
            with pytest.raises(Unauthenticated, match="`private_key` can't be read") as caught:
                await source.check()
            assert "BEGIN" not in caught.value.detail


async def test_killed_in_the_middle_of_a_file_it_is_read_again_whole(harness: SftpHarness, ssh_server: SSHServer) -> None:
    contents = {f"{number}.csv": os.urandom(4 * CHUNK_BYTES) for number in range(3)}
    for name, content in contents.items():
        (harness.folder / name).write_bytes(content)
    source = cast(SftpConnection, ADAPTER.open(harness.settings))
    taken: list[Transaction] = []

    async def read() -> None:
        async for transaction in source.read(_dataset(harness), None, batch_rows=10):
            taken.append(transaction)
            if len(taken) == 6:  # the first file and a half
                ssh_server.kill()

    with pytest.raises((Unavailable, DeadlineExceeded)):
        await read()
    ssh_server.start()
    rest = await read_transactions(source, _dataset(harness), taken[3].cursor)
    assert _files([*taken[:4], *rest]) == contents
    await source.close()
    with pytest.raises(PlatformError, match="closed"):
        await source.check()
