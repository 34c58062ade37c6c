"""A process that begins one transaction over two MariaDB databases, or recovers what another left.

`python -m tests.system.transaction_process '{"folder": …, "sources": {…}, "kill_at": 7}'` ends itself with SIGKILL at the 7th
durable write; without `kill_at` it recovers, begins the same transaction again, and prints the state of each saga.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import storage.sagas
from adapters.loader import load_adapters
from config.types import convert
from core.errors import PlatformError
from tests.exchange.two_sources import ALL, desk_on, ends_at


async def main(told: dict[str, Any]) -> None:
    adapter = load_adapters()["mysql"]
    sources: dict[str, Any] = {
        name: adapter.open(convert(settings, adapter.settings)) for name, settings in told["sources"].items()
    }
    kill_at = told.get("kill_at", 0)
    storage.sagas.FORSAKEN_MS = -1  # the process before is dead: nobody waits for it
    async with desk_on(Path(told["folder"]), sources, owner="first" if kill_at else "second") as desk:
        if kill_at:
            ends_at(desk, kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        else:
            await desk.transactions.recover()
        try:
            await desk.begin(*ALL)
        except PlatformError as error:
            print(f"error {error.specific_code}: {error.detail}")
        for saga in await desk.sagas.listed():
            print("saga", saga.state)
        for connection in sources.values():
            await connection.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
