"""`python -m examples.estate`: makes the estate in a folder if needed, serves its six systems, and says where they are."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from examples.estate.generate import DEFAULT_SEED
from examples.estate.lifetime import FolderInUseError
from examples.estate.serve import Options, serve_until_ended
from examples.estate.store import StoreError


def main(arguments: list[str] | None = None) -> int:
    """0 when it was ended, 1 with one clear line on stderr when it could not start, 2 for wrong usage."""
    parent = os.getppid()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for noisy in ("aioftp", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = _options(arguments)
    try:
        asyncio.run(serve_until_ended(options, parent))
    except KeyboardInterrupt:  # Ctrl-C while it was still generating; the half folder is made anew next time
        return 0
    except (OSError, FolderInUseError, StoreError, ValueError) as error:
        print(f"examples.estate: {error}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m examples.estate", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of the estate; made when it is not there")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the generator and the drip (%(default)s)")
    parser.add_argument("--scale", type=_positive, default=1.0, help="multiplies the default counts")
    parser.add_argument("--drip", type=_positive, metavar="S", help="make a small change every S seconds")
    parser.add_argument("--mariadb", metavar="URL", help="property lives in mysql://user:password@host:port/database")
    parser.add_argument("--sqlserver", metavar="ODBC", help="sales lives where this ODBC connection string leads")
    parser.add_argument("--sales-over", choices=("tds", "mysql"), default="tds", help="protocol of the embedded sales system")
    given = parser.parse_args(arguments)
    return Options(
        folder=given.dir,
        seed=given.seed,
        scale=given.scale,
        drip_s=given.drip,
        mariadb=given.mariadb,
        sqlserver=given.sqlserver,
        sales_over=given.sales_over,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 10_000:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
