"""The sample estate's process: six foreign systems of `examples/estate`, started beside the platform for `--sample estate`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from config.settings import Settings
from core.errors import Unavailable
from server.lean import lean_environment

_READY_S = 60.0
_DRIP_S = "5"


class Estate:
    """The running process and the variables that its `platform.yaml` needs."""

    def __init__(self, process: asyncio.subprocess.Process, variables: dict[str, str], counts: dict[str, Any]) -> None:
        self.process = process
        self.variables = variables
        self.counts = counts


def _arguments(settings: Settings) -> list[str]:
    arguments = ["--dir", str(settings.data_dir / "estate"), "--drip", _DRIP_S]
    if settings.sample_mariadb is not None:
        arguments += ["--mariadb", settings.sample_mariadb.reveal()]
    if settings.sample_sqlserver is not None:
        arguments += ["--sqlserver", settings.sample_sqlserver.reveal()]
    elif not has_odbc():
        arguments += ["--sales-over", "mysql"]
    return arguments


def has_odbc() -> bool:
    """Whether unixODBC is there; without it the sample's sales system is offered over MySQL's protocol."""
    try:
        import pyodbc  # noqa: F401
    except ImportError:
        return False
    return True


async def start_estate(settings: Settings) -> Estate:
    """Start it and wait until all six listen. Unavailable, with its own words, where it does not come up."""
    command = [sys.executable, "-m", "examples.estate", *_arguments(settings)]
    log = settings.data_dir / "estate.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=lean_environment(),
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_S):
            line = await process.stdout.readline()
        told = msgspec.json.decode(line)
        return Estate(process, {name: str(value) for name, value in told["variables"].items()}, told.get("counts", {}))
    except (TimeoutError, msgspec.DecodeError, KeyError) as error:
        if process.returncode is None:
            process.kill()
        raise Unavailable(f"the sample estate did not come up: {_last_line(log)}; all it said is in {log}") from error


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


PLATFORM = Path(__file__).parent.parent / "examples" / "estate" / "platform.yaml"
