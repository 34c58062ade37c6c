"""Every way in which asking the API can fail is one clear line and status 1."""

import asyncio

import pytest

from tests.cli.conftest import CommandLine
from tests.console.platform_parts import PASSWORD

pytestmark = pytest.mark.slow  # each step is a process of its own


async def test_no_node(alone: CommandLine) -> None:
    ended = await alone("app", "list", "--server", alone.url)
    assert ended.status == 1
    assert ended.err == f"zhiyun: no node answers at {alone.url}; start one with zhiyun up, or name another with --server\n"
    assert ended.out == ""


async def test_a_wrong_token_and_none(zhiyun: CommandLine) -> None:
    wrong = await zhiyun("app", "list", env={"ZHIYUN_TOKEN": "zt_wrong"})
    assert wrong.status == 1
    assert "run zhiyun login" in wrong.err
    assert "zt_wrong" not in wrong.err
    none = await zhiyun("app", "list", "--server", zhiyun.url, "--data-dir", "elsewhere")
    assert (none.status, "run zhiyun login" in none.err) == (1, True)


async def test_a_viewer_is_refused(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    token = await zhiyun.platform.control.users.issue_token("eve", ttl_s=60)
    ended = await zhiyun("user", "list", env={"ZHIYUN_TOKEN": token.reveal()})
    assert (ended.status, "viewer" in ended.err) == (1, True)


async def test_the_nearest_name(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    await zhiyun.platform.control.registry.put("plan", "standard", {"per_s": 1, "burst": 1}, actor="test")
    for arguments in (("plan", "show", "standrad"), ("app", "show", "x")):
        ended = await zhiyun(*arguments)
        assert ended.status == 1
    ended = await zhiyun("plan", "show", "standrad")
    assert "did you mean 'standard'?" in ended.err


async def test_not_a_console(alone: CommandLine) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await alone("bus", "depth", "--server", f"http://127.0.0.1:{port}")
    assert (ended.status, "is it a Zhiyun console?" in ended.err) == (1, True)


async def test_usage(alone: CommandLine) -> None:
    assert (await alone("app", "create", "shop")).status == 2
    assert (await alone("nothing")).status == 2
    assert (await alone("app", "list", "--server", "localhost:1")).status == 1
    assert (await alone("--help")).status == 0


async def test_login_elsewhere_and_logout(zhiyun: CommandLine) -> None:
    there = ("--server", zhiyun.url, "--data-dir", "elsewhere")
    bad = await zhiyun("login", "--user", "eve", "--password-stdin", *there, stdin="wrong password\n")
    assert (bad.status, "name or the password is wrong" in bad.err) == (1, True)
    assert "as eve (viewer)" in (await zhiyun.ok("login", "--user", "eve", "--password-stdin", *there, stdin=PASSWORD + "\n")).out
    kept = zhiyun.folder / "home" / ".config" / "zhiyun" / "token"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (await zhiyun.ok("app", "list", *there)).out == "no app is declared\n"
    await zhiyun.ok("logout", *there)
    assert (await zhiyun("app", "list", *there)).status == 1
