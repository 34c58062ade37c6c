"""`python -m server.lean MODULE [ARGUMENT …]`: run one of a node's processes without what it will never use.

structlog imports rich, where it is installed, for coloured tracebacks; these processes log JSON. It is 7 MB and 0.1 s each.
"""

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it is an ImportError, which structlog expects
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
