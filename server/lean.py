"""`python -m server.lean MODULE [ARGUMENT …]`: run one of a node's processes without what it will never use.

structlog imports rich, where it is installed, for coloured tracebacks; these processes log JSON. It is 7 MB and 0.1 s each.
"""

import os
import runpy
import sys


def lean_environment() -> dict[str, str]:
    """This process's environment for a child with many threads and large batches: glibc would keep a heap for each of up to 16
    threads, and the memory of every batch."""
    return {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072", **os.environ}


if __name__ == "__main__":
    del sys.argv[0]
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it is an ImportError, which structlog expects
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
