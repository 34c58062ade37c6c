"""Sessions with servers that misbehave, over real sockets; what works is proved in `test_ftp`."""

import asyncio
from pathlib import PurePosixPath
from typing import Any

import pytest

from adapters.ftp_client import Account, session, translated
from core.errors import DeadlineExceeded, InvalidInput, NotConnected, Unauthenticated, Unavailable
from core.secret import Secret

PASSWORD = Secret("ftp-test-password")


async def working_directory(account: Account) -> PurePosixPath:
    async with session(account) as client:
        with translated(account, "work", "PWD"):
            folder: PurePosixPath = await client.get_current_directory()
            return folder


async def scripted(answers: dict[str, bytes], *, greeting: bytes = b"220 ready\r\n") -> asyncio.Server:
    """A server that says to each command what the script has for it, and nothing to others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            answer = answers.get(line.split()[0].decode().upper(), b"")
            if answer == b"close":
                break
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answers", "greeting", "kind", "message"),
    [
        ({}, b"", NotConnected, "no connection within"),
        ({}, b"421 too many users\r\n", NotConnected, "421 too many users"),
        ({}, b"HTTP/1.1 400 Bad Request\r\n", (NotConnected, Unavailable), "."),
        ({"USER": b"close"}, b"220 hi\r\n", Unavailable, "broke off"),
        ({}, b"220 hi\r\n", DeadlineExceeded, r"nothing came for 0\.2 s"),
        (
            {"USER": b"331 ?\r\n", "PASS": b"530 ftp-test-password is wrong\r\n"},
            b"220 hi\r\n",
            Unauthenticated,
            r"530 \*\*\* is wrong",
        ),
        ({"USER": b"230 in\r\n", "PWD": b"\xff\xfe\r\n"}, b"220 hi\r\n", Unavailable, "not FTP"),
    ],
)
async def test_servers_that_misbehave(answers: dict[str, bytes], greeting: bytes, kind: Any, message: str) -> None:
    server = await scripted(answers, greeting=greeting)
    port = server.sockets[0].getsockname()[1]
    account = Account("127.0.0.1", port, "feeds", PASSWORD, False, None, "utf-8", 0.2, 0.2)
    with pytest.raises(kind, match=message):
        await working_directory(account)
    server.close()
    await server.wait_closed()


async def test_an_encoding_that_does_not_exist_is_named() -> None:
    server = await scripted({})
    port = server.sockets[0].getsockname()[1]
    account = Account("127.0.0.1", port, "feeds", PASSWORD, False, None, "utf-99", 0.2, 0.2)
    with pytest.raises(InvalidInput, match="unknown encoding 'utf-99'"):
        await working_directory(account)
    server.close()
    await server.wait_closed()


async def test_a_list_with_a_total_line_is_read() -> None:
    """Servers without MLSD answer LIST in the way of `ls -l`."""
    line = b"-rw-r--r-- 1 u g 12 May 10 2024 a b.csv\r\n"

    async def listing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"total 4\r\n" + line)
        writer.close()

    data = await asyncio.start_server(listing, "127.0.0.1", 0)
    passive = f"229 Extended passive (|||{data.sockets[0].getsockname()[1]}|)\r\n".encode()
    answers = {"USER": b"230 in\r\n", "TYPE": b"200 ok\r\n", "EPSV": passive, "MLSD": b"502 no\r\n", "QUIT": b"221 bye\r\n"}
    server = await scripted({**answers, "LIST": b"150 here\r\n226 done\r\n"})
    account = Account("127.0.0.1", server.sockets[0].getsockname()[1], "feeds", PASSWORD, False, None, "utf-8", 1, 1)
    async with session(account) as client:
        entries = await client.list("/daily")
    assert [(str(path), facts["size"], facts["modify"]) for path, facts in entries] == [("/daily/a b.csv", "12", "20240510000000")]
    for each in (server, data):
        each.close()
        await each.wait_closed()
