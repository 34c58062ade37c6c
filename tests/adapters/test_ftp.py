"""The ftp adapter against aioftp's server in this process and against ProFTPD, plain and with TLS."""

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, cast

import aioftp
import msgspec
import pytest

from adapters.file_drop import CHUNK_BYTES
from adapters.ftp import ADAPTER, FtpConnection, FtpSettings
from core.errors import Forbidden, InvalidInput, NotConnected, NotFound, Unavailable
from core.records import Chunk, Cursor, Payload, Transaction
from core.schema import Dataset
from core.secret import Secret
from tests.conformance.adapter_suite import ConnectionSuite, Person, SourceSuite, people, read_transactions
from tests.servers.ftp import FTPServer
from tests.servers.ports import free_port

PASSWORD = Secret("ftp-test-password")


class PeopleHarness:
    """Each `put` drops one more file of JSON lines."""

    adapter = ADAPTER

    def __init__(self, root: Path, port: int, **settings: Any) -> None:
        self._folder = root / "daily"
        self._folder.mkdir(exist_ok=True)
        self.dataset = people("/daily/people_*.jsonl")
        self.missing = people("/no_such_folder/people_*.jsonl")
        self.settings = FtpSettings("127.0.0.1", "feeds", PASSWORD, port, **settings)
        self.wrong_password = replace_settings(self.settings, password=Secret("wrong-password"))
        self.unreachable = replace_settings(self.settings, port=free_port(), connect_timeout_s=1.0)

    async def put(self, people: Sequence[Person]) -> None:
        name = f"people_{len(list(self._folder.iterdir())):04d}.jsonl"
        (self._folder / name).write_bytes(b"".join(msgspec.json.encode(asdict(person)) + b"\n" for person in people))

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        lines = b"".join(cast(Chunk, payload).data for payload in payloads).splitlines()
        return [msgspec.json.decode(line, type=Person) for line in lines]


def replace_settings(settings: FtpSettings, **changes: Any) -> FtpSettings:
    return msgspec.structs.replace(settings, **changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "daily").mkdir(parents=True)
    return made


@pytest.fixture
async def port(root: Path) -> AsyncIterator[int]:
    """aioftp's server over `root`; /locked can't be read."""
    permissions = [aioftp.Permission("/"), aioftp.Permission("/locked", readable=False)]
    account = aioftp.User("feeds", PASSWORD.reveal(), base_path=root, permissions=permissions)
    server = aioftp.Server([account])
    await server.start("127.0.0.1", 0)
    yield server.address[1]
    await server.close()


@pytest.fixture
async def connection(port: int) -> AsyncIterator[FtpConnection]:
    made = FtpConnection(FtpSettings("127.0.0.1", "feeds", PASSWORD, port, timeout_s=5))
    yield made
    await made.close()


@pytest.fixture
async def harness(root: Path, port: int) -> PeopleHarness:
    return PeopleHarness(root, port)


class TestPeople(ConnectionSuite, SourceSuite):
    """The conformance suite against aioftp's server."""


@pytest.mark.servers
@pytest.mark.req("0.46")
class TestPeopleOnProftpd(ConnectionSuite, SourceSuite):
    """The conformance suite against a server that nobody here wrote, plain and with TLS."""

    @pytest.fixture(params=["none", "explicit"])
    def harness(self, request: pytest.FixtureRequest, ftp_server: FTPServer, ftp_root: Path) -> PeopleHarness:
        trust = str(ftp_server.certificate.certificate)
        return PeopleHarness(ftp_root, ftp_server.port, tls=request.param, ca_file=trust)


def dataset(pattern: str = "/daily/*.csv", **options: Any) -> Dataset:
    return Dataset(object=pattern, key=("id",), fields={"id": "integer"}, options=options)


def files(found: Sequence[Transaction]) -> dict[str, bytes]:
    """What was read, by name."""
    contents: dict[str, bytes] = {}
    for transaction in found:
        chunk = cast(Chunk, transaction.payload)
        contents[chunk.name] = contents.get(chunk.name, b"") + chunk.data
    return contents


async def read(connection: FtpConnection, wanted: Dataset, cursor: Cursor | None = None) -> tuple[list[str], Cursor | None]:
    found = await read_transactions(connection, wanted, cursor)
    return [PurePosixPath(name).name for name in files(found)], found[-1].cursor if found else cursor


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
async def test_files_of_every_size_come_whole_in_pieces(connection: FtpConnection, root: Path, size: int) -> None:
    content = os.urandom(size)
    (root / "daily" / "a.csv").write_bytes(content)
    found = await read_transactions(connection, dataset())
    assert files(found) == {"/daily/a.csv": content}
    chunks = [cast(Chunk, transaction.payload) for transaction in found]
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert max(len(chunk.data) for chunk in chunks) <= CHUNK_BYTES
    assert [transaction.cursor for transaction in found[:-1]] == [{"done": {}}] * (len(found) - 1)
    assert cast(Any, found[-1].cursor)["done"]["a.csv"][0] == size


async def test_a_file_is_read_once_until_it_changes_and_forgotten_when_it_goes(connection: FtpConnection, root: Path) -> None:
    daily = root / "daily"
    for name in ("b.csv", "a.csv", "note.txt"):
        (daily / name).write_text(name)
    (daily / "folder.csv").mkdir()
    names, cursor = await read(connection, dataset())
    assert names == ["a.csv", "b.csv"]
    assert (await read(connection, dataset(), cursor))[0] == []
    (daily / "a.csv").write_text("longer than before")
    os.utime(daily / "b.csv", (1_700_000_000, 1_700_000_000))
    names, cursor = await read(connection, dataset(), cursor)
    assert names == ["a.csv", "b.csv"]
    (daily / "a.csv").unlink()
    (daily / "c.csv").write_text("c")
    names, cursor = await read(connection, dataset(), cursor)
    assert names == ["c.csv"]
    assert set(cast(Any, cursor)["done"]) == {"b.csv", "c.csv"}


async def test_a_read_that_broke_off_inside_a_file_starts_it_again(connection: FtpConnection, root: Path) -> None:
    (root / "daily" / "a.csv").write_bytes(b"a")
    (root / "daily" / "b.csv").write_bytes(bytes(5 * CHUNK_BYTES))
    before = await read_transactions(connection, dataset(), stop_after=3)
    assert [cast(Chunk, t.payload).name for t in before] == ["/daily/a.csv", "/daily/b.csv", "/daily/b.csv"]
    found = await read_transactions(connection, dataset(), before[-1].cursor)
    assert files(found) == {"/daily/b.csv": bytes(5 * CHUNK_BYTES)}


async def test_done_markers_say_when_a_file_is_whole(connection: FtpConnection, root: Path) -> None:
    daily = root / "daily"
    for name in ("a.csv", "b.csv", "b.csv.done", "c.csv.done"):
        (daily / name).write_text(name)
    names, cursor = await read(connection, dataset("/daily/*", done_marker=".done"))
    assert names == ["b.csv"]
    (daily / "a.csv.done").touch()
    assert (await read(connection, dataset("/daily/*", done_marker=".done"), cursor))[0] == ["a.csv"]


async def test_a_file_that_grows_is_left_until_it_is_stable(connection: FtpConnection, root: Path) -> None:
    (root / "daily" / "growing.csv").write_text("1")
    (root / "daily" / "whole.csv").write_text("1")
    wanted = dataset(stable_s=0.3)

    async def grow() -> None:
        while True:
            await asyncio.sleep(0.05)
            with (root / "daily" / "growing.csv").open("a") as file:
                file.write("1")

    growing = asyncio.ensure_future(grow())
    names, cursor = await read(connection, wanted)
    growing.cancel()
    assert names == ["whole.csv"]
    assert (await read(connection, wanted, cursor))[0] == ["growing.csv"]


@pytest.mark.parametrize("after", ["delete", "archive:done", "archive:/old/2024"])
async def test_files_are_put_away_with_their_markers_once_they_are_durable(
    connection: FtpConnection, root: Path, after: str
) -> None:
    daily = root / "daily"
    for name in ("a.csv", "a.csv.done", "b.csv", "b.csv.done"):
        (daily / name).write_text(name)
    wanted = dataset(done_marker=".done", after=after)
    async with aclosing(cast(Any, connection.read(wanted, None, batch_rows=1))) as stream:
        first = await anext(stream)
        assert len(list(daily.iterdir())) == 4  # not before it is acknowledged
        second = await anext(stream)
        await first.acknowledge()
        await second.acknowledge()
        assert await anext(stream, None) is None
    archive = {"delete": None, "archive:done": daily / "done", "archive:/old/2024": root / "old" / "2024"}[after]
    assert [path.name for path in daily.iterdir() if path.is_file()] == []
    if archive is not None:
        assert sorted(path.name for path in archive.iterdir()) == ["a.csv", "a.csv.done", "b.csv", "b.csv.done"]


async def test_archiving_keeps_an_earlier_file_of_the_same_name(connection: FtpConnection, root: Path) -> None:
    cursor: Cursor | None = None
    for content in ("first", "second!"):
        (root / "daily" / "a.csv").write_text(content)
        _, cursor = await read(connection, dataset(after="archive:old"), cursor)
    kept = sorted((root / "daily" / "old").iterdir())
    assert [path.read_text() for path in kept] == ["first", "second!"]


async def test_what_a_crash_left_lying_is_put_away_by_the_next_read_without_reading_it(
    connection: FtpConnection, root: Path
) -> None:
    (root / "daily" / "a.csv").write_text("a")
    found = [transaction async for transaction in connection.read(dataset(after="delete"), None, batch_rows=1)]
    assert (root / "daily" / "a.csv").exists()  # durable, but the crash came before the acknowledgement
    assert (await read(connection, dataset(after="delete"), found[-1].cursor))[0] == []
    assert not (root / "daily" / "a.csv").exists()


async def test_a_file_that_changed_after_it_was_read_is_not_put_away(connection: FtpConnection, root: Path) -> None:
    (root / "daily" / "a.csv").write_text("a")
    (transaction,) = [transaction async for transaction in connection.read(dataset(after="delete"), None, batch_rows=1)]
    (root / "daily" / "a.csv").write_text("a and more")
    await transaction.acknowledge()
    assert (root / "daily" / "a.csv").read_text() == "a and more"
    assert (await read(connection, dataset(after="delete"), transaction.cursor))[0] == ["a.csv"]


async def test_a_file_that_vanishes_after_the_listing_is_passed_over(connection: FtpConnection, root: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (root / "daily" / name).write_text(name)
    names = []
    async for transaction in connection.read(dataset(), None, batch_rows=1):
        names.append(cast(Chunk, transaction.payload).name)
        (root / "daily" / "b.csv").unlink(missing_ok=True)
    assert names == ["/daily/a.csv", "/daily/c.csv"]


async def test_names_in_chinese_and_with_blanks(connection: FtpConnection, root: Path) -> None:
    (root / "daily" / "工单 05.csv").write_text("x")
    assert (await read(connection, dataset("/daily/工单*.csv")))[0] == ["工单 05.csv"]


async def test_memory_stays_flat(connection: FtpConnection, root: Path) -> None:
    with (root / "daily" / "large.csv").open("wb") as file:
        file.truncate(40 * CHUNK_BYTES)
    tracemalloc.start()
    total = 0
    async for transaction in connection.read(dataset(), None, batch_rows=1):
        total += len(cast(Chunk, transaction.payload).data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 40 * CHUNK_BYTES
    assert peak < 12 * CHUNK_BYTES  # the server in this process takes its share of it


@pytest.mark.parametrize(
    ("pattern", "options", "message"),
    [
        ("/da*/x.csv", {}, "expected a folder"),
        ("/", {}, "expected a folder"),
        ("/daily/*.csv", {"after": "burn"}, "options: .*after"),
        ("/daily/*.csv", {"afterwards": "keep"}, "options: .*afterwards"),
    ],
)
async def test_wrong_patterns_and_options_are_named(
    connection: FtpConnection, pattern: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        await read(connection, dataset(pattern, **options))


async def test_more_known_files_than_a_cursor_can_hold_are_refused_in_words(
    connection: FtpConnection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.file_drop.MAX_KNOWN_FILES", 2)
    for number in range(3):
        (root / "daily" / f"{number}.csv").write_text("x")
    with pytest.raises(InvalidInput, match="more than 2 files are kept there; let `after`"):
        await read(connection, dataset())
    found = await read_transactions(connection, dataset(after="delete"))
    assert [list(cast(Any, transaction.cursor)["done"]) for transaction in found] == [["0.csv"], ["1.csv"], ["2.csv"]]


async def test_a_forbidden_folder_is_forbidden(connection: FtpConnection, root: Path) -> None:
    (root / "locked").mkdir()
    with pytest.raises((Forbidden, NotFound), match="/locked"):
        await read(connection, dataset("/locked/*.csv"))


async def test_closing_during_a_read_is_not_connected(connection: FtpConnection, root: Path) -> None:
    (root / "daily" / "a.csv").write_bytes(bytes(50 * CHUNK_BYTES))

    async def read_and_close() -> None:
        async for _ in connection.read(dataset(), None, batch_rows=1):
            await connection.close()

    with pytest.raises(NotConnected, match="closed"):
        await read_and_close()
    with pytest.raises(NotConnected, match="closed"):
        await connection.check()


async def test_a_server_without_tls_is_not_used_in_clear(port: int) -> None:
    connection = FtpConnection(FtpSettings("127.0.0.1", "feeds", PASSWORD, port, tls="explicit"))
    with pytest.raises(NotConnected, match="offers no explicit TLS"):
        await connection.check()
    missing = FtpConnection(FtpSettings("127.0.0.1", "feeds", PASSWORD, port, tls="explicit", ca_file="/no/such/file"))
    with pytest.raises(NotConnected, match="/no/such/file"):
        await missing.check()


@pytest.mark.servers
async def test_a_certificate_that_is_not_trusted_is_not_connected(ftp_server: FTPServer, ftp_root: Path) -> None:
    connection = FtpConnection(FtpSettings("127.0.0.1", ftp_server.user, PASSWORD, ftp_server.port, tls="explicit"))
    with pytest.raises(NotConnected, match="not trusted"):
        await connection.check()


@pytest.mark.servers
@pytest.mark.parametrize("tls", ["none", "explicit"])
async def test_large_files_archives_and_a_kill_on_proftpd(ftp_server: FTPServer, ftp_root: Path, tls: Any) -> None:
    trust = str(ftp_server.certificate.certificate)
    settings = FtpSettings("127.0.0.1", ftp_server.user, PASSWORD, ftp_server.port, tls=tls, ca_file=trust, timeout_s=5)
    content = os.urandom(9 * CHUNK_BYTES + 1)
    (ftp_root / "a.csv").write_bytes(content)
    (ftp_root / "b.csv").write_bytes(content * 4)
    connection = FtpConnection(settings)
    wanted = dataset("/*.csv", after="archive:old")
    stream = connection.read(wanted, None, batch_rows=1)
    found: list[Transaction] = []
    while not (found and cast(Chunk, found[-1].payload).last):
        found.append(await anext(stream))
    assert files(found) == {"/a.csv": content}
    await anext(stream)  # the next file is under way on the same session
    await found[-1].acknowledge()
    assert (ftp_root / "old" / "a.csv").read_bytes() == content
    ftp_server.kill()

    async def drain() -> None:
        async for _ in stream:
            continue

    with pytest.raises(Unavailable):
        await drain()
    with pytest.raises(NotConnected):
        await read(connection, wanted, found[-1].cursor)
    ftp_server.start()
    rest = await read_transactions(connection, wanted, found[-1].cursor)
    assert files(rest) == {"/b.csv": content * 4}
    assert sorted(path.name for path in (ftp_root / "old").iterdir()) == ["a.csv", "b.csv"]
    await connection.close()
