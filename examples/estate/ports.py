"""The ports of the estate: free ones on the first start, the same ones on every later start while they can be had."""

import errno
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

LOG = logging.getLogger("estate")


class Ports:
    """The ports kept in the file `path`, by system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    async def listen(self, system: str, start: Callable[[int], Awaitable[int]]) -> int:
        """Start a server by `start(port) -> port it listens on`, at its kept port or, where that is taken, a free one.

        OSError for anything but a port in use.
        """
        kept = self._kept.get(system, 0)
        try:
            port = await start(kept)
        except OSError as error:
            if not kept or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            LOG.warning("%s: port %d is taken by another program, a free one is used instead", system, kept)
            port = await start(0)
        self._kept[system] = port
        return port

    def keep(self) -> None:
        """Write the ports down for the next start."""
        draft = self._path.with_name(self._path.name + ".partial")
        draft.write_text(json.dumps(self._kept, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(self._path)
