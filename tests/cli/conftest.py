"""A live management API in the test's process, and the real `python -m cli` beside it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from console.api.app import create_api
from tests.console.platform_parts import Platform, open_platform

ROOT = Path(__file__).parents[2]


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs `zhiyun` in a folder where nothing of this machine's user is seen."""

    folder: Path
    url: str
    platform: Platform | None = None

    async def __call__(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ended:
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        environment = {**kept, "HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT), **(env or {})}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *arguments,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ended(process.returncode, out.decode(), err.decode())

    async def ok(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ended:
        ended = await self(*arguments, stdin=stdin, env=env)
        assert ended.status == 0, ended.err
        return ended


@pytest.fixture
def alone(tmp_path: Path, free_port: int) -> CommandLine:
    """No node runs."""
    return CommandLine(tmp_path, f"http://127.0.0.1:{free_port}")


@pytest.fixture
async def zhiyun(tmp_path: Path, free_port: int) -> AsyncIterator[CommandLine]:
    """A node's API runs, and its data folder holds what a node writes there for the local operator."""
    data = tmp_path / "data"
    async with open_platform(data) as platform:
        app = create_api(platform.control)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=free_port, loop="none", log_level="warning"))
        serving = asyncio.ensure_future(server.serve())
        while not server.started:  # noqa: ASYNC110  # uvicorn tells it in no other way
            await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{free_port}"
        token = await platform.control.users.issue_token("operator", ttl_s=600)
        (data / "node.json").write_text(json.dumps({"console": url}))
        (data / "operator.token").write_text(token.reveal())
        yield CommandLine(tmp_path, url, platform)
        server.should_exit = True
        await serving
