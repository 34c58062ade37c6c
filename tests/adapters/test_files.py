"""Files of a local folder: the suites, and that nothing outside the folder is touched."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from adapters.files import ADAPTER, FilesSettings
from core.errors import Forbidden, NotConnected, NotFound
from core.records import Chunk, Payload
from core.schema import Dataset
from tests.conformance.adapter_suite import ConnectionSuite, Person, SourceSuite, opened, people, read_transactions

pytestmark = pytest.mark.req("0.46")


class FilesHarness:
    """Each `put` drops one more file of JSON lines."""

    adapter = ADAPTER

    def __init__(self, root: Path) -> None:
        self.folder = root / "daily"
        self.folder.mkdir(parents=True)
        self.dataset = people("/daily/people_*.jsonl")
        self.missing: Dataset | None = people("/no_such_folder/people_*.jsonl")
        self.settings = FilesSettings(str(root))
        self.wrong_password = None
        self.unreachable = FilesSettings(str(root / "not mounted"))

    async def put(self, people: Sequence[Person]) -> None:
        name = f"people_{len(list(self.folder.iterdir())):04d}.jsonl"
        (self.folder / name).write_bytes(b"".join(msgspec.json.encode(asdict(person)) + b"\n" for person in people))

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        lines = b"".join(cast(Chunk, payload).data for payload in payloads).splitlines()
        return [msgspec.json.decode(line, type=Person) for line in lines]


@pytest.fixture
def harness(tmp_path: Path) -> FilesHarness:
    return FilesHarness(tmp_path / "root")


class TestPeople(ConnectionSuite, SourceSuite):
    """The conformance suites."""


def _dataset(pattern: str, **options: Any) -> Dataset:
    return Dataset(object=pattern, key=("id",), fields={"id": "integer"}, options=options)


async def test_nothing_outside_the_folder_is_read_moved_or_deleted(harness: FilesHarness, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_bytes(b"1\n")
    (harness.folder / "link.csv").symlink_to(outside / "secret.csv")
    (harness.folder / "away").symlink_to(outside)
    (harness.folder / "own.csv").write_bytes(b"2\n")
    async with opened(harness) as source:
        found = await read_transactions(source, _dataset("/daily/*.csv"))
        assert [(Path(cast(Chunk, each.payload).name).name, cast(Chunk, each.payload).data) for each in found] == [
            ("own.csv", b"2\n")
        ]
        for pattern in ("/../outside/*.csv", "/daily/../../outside/*.csv", "/daily/away/*.csv"):
            with pytest.raises((Forbidden, NotFound)):
                await read_transactions(source, _dataset(pattern))
        with pytest.raises(Forbidden, match="leads out of it"):
            await read_transactions(source, _dataset("/daily/*.csv", after="archive:../../outside"))
    assert {path.name for path in outside.iterdir()} == {"secret.csv"}
    assert (harness.folder / "own.csv").exists()


async def test_a_file_that_grows_is_left_alone_and_one_that_may_not_be_read_is_said(harness: FilesHarness) -> None:
    import asyncio

    growing = harness.folder / "growing.csv"
    growing.write_bytes(b"1\n")
    (harness.folder / "still.csv").write_bytes(b"2\n")

    async def grow() -> None:
        for _ in range(10):
            await asyncio.sleep(0.05)
            with growing.open("ab") as file:
                file.write(b"3\n")

    async with opened(harness) as source:
        task = asyncio.create_task(grow())
        found = await read_transactions(source, _dataset("/daily/*.csv", stable_s=0.3, after="delete"))
        assert [Path(cast(Chunk, each.payload).name).name for each in found] == ["still.csv"]
        await task
        assert {path.name for path in harness.folder.iterdir()} == {"growing.csv"}
        if os.geteuid() != 0:
            growing.chmod(0)
            with pytest.raises(Forbidden, match="permission denied"):
                await read_transactions(source, _dataset("/daily/*.csv"))


async def test_a_folder_that_is_gone_is_not_connected(tmp_path: Path) -> None:
    source = ADAPTER.open(FilesSettings(str(tmp_path / "nowhere")))
    with pytest.raises(NotConnected, match="is it mounted"):
        await source.check()
    await source.close()
