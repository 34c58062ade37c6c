"""When the estate ends: at SIGTERM or SIGINT, and when the program that started it is gone."""

import asyncio
import fcntl
import os
import signal
from pathlib import Path
from typing import IO, Final

PARENT_LOOK_S: Final = 0.5


class FolderInUseError(Exception):
    """Another estate serves the folder."""


async def until_ended(parent: int) -> str:
    """Wait for the end and say why. `parent` is the parent's process id, taken when the program began."""
    reasons: list[str] = []
    ended = asyncio.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, signal.Signals(number).name)
    try:
        # Asked for by polling: PR_SET_PDEATHSIG would fire when the parent's *thread* ends that started us.
        while not ended.is_set() and os.getppid() == parent:
            try:
                await asyncio.wait_for(ended.wait(), PARENT_LOOK_S)
            except TimeoutError:
                continue
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return reasons[0] if reasons else "the parent process has ended"


def lock_folder(folder: Path) -> IO[str]:
    """Claim `folder` for this process until the returned file is closed. FolderInUseError if another has it."""
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FolderInUseError(f"{folder} is served by another estate already; stop it or take another --dir") from None
    return file
