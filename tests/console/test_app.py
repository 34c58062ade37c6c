"""The API stands without the pages."""

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def test_the_api_loads_no_pages() -> None:
    code = "import sys, console.api.app, console.web.mount; print(sorted({'nicegui', 'socketio'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"
