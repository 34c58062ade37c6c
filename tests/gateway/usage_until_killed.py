"""A worker's usage loop in a process of its own, for the test that kills it: counts, and prints what is flushed."""

import asyncio
import sys
from pathlib import Path

from gateway import usage
from gateway.record import Recorder
from gateway.usage import UsageMeter
from storage.sqlite import open_sqlite
from storage.usage import SqlUsage
from tests.gateway.observed import ended


async def main(path: Path) -> None:
    store = SqlUsage(await open_sqlite(path))
    await store.prepare()
    recorder = Recorder()
    meter = recorder.usage = UsageMeter(store, recorder.fold)
    counted = 0
    while True:
        for _ in range(100):
            recorder.on_end(ended())
        counted += 100
        if await meter.flush():
            print(counted, flush=True)
        await asyncio.sleep(usage.FLUSH_S / 500)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
