"""The call centre, read by a real FTP client."""

from collections.abc import AsyncIterator
from pathlib import Path

import aioftp
import pytest

from examples.estate.callcentre import callcentre_server


@pytest.fixture
async def server(generated: Path) -> AsyncIterator[aioftp.Server]:
    server = callcentre_server(generated / "callcentre", user="u", password="p")
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.mark.req("0.46")
async def test_history_and_daily_files_come_over_ftp_as_they_are(server: aioftp.Server, generated: Path) -> None:
    async with aioftp.Client.context("127.0.0.1", server.server_port, "u", "p") as client:
        names = {str(path) for path, info in await client.list("/", recursive=True) if info["type"] == "file"}
        assert "/history/tickets_2023.csv" in names
        assert len([name for name in names if name.endswith(".done")]) == 7
        async with client.download_stream("/history/tickets_2023.csv") as stream:
            got = await stream.read()
    assert got == (generated / "callcentre" / "history" / "tickets_2023.csv").read_bytes()


async def test_nothing_can_be_written(server: aioftp.Server) -> None:
    async with aioftp.Client.context("127.0.0.1", server.server_port, "u", "p") as client:
        with pytest.raises(aioftp.StatusCodeError):
            await client.remove_file("/history/tickets_2023.csv")
        with pytest.raises(aioftp.StatusCodeError):
            await client.make_directory("/mine")


@pytest.mark.parametrize(("user", "password"), [("u", "wrong"), ("anonymous", "anon@")])
async def test_other_logins_are_refused(server: aioftp.Server, user: str, password: str) -> None:
    with pytest.raises(aioftp.StatusCodeError):
        async with aioftp.Client.context("127.0.0.1", server.server_port, user, password):
            pass
