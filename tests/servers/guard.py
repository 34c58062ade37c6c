"""Ends the servers of a test run that was itself killed before it could stop them.

A small process waits on a pipe. The pipe closes however pytest ends, and then the process groups still listed die.
"""

import atexit
import subprocess
import sys

_PROGRAM = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    number = int(line)
    groups.add(number) if number > 0 else groups.discard(-number)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Guard:
    """Knows the process groups that must not outlive this process."""

    def __init__(self) -> None:
        """Nothing runs before the first `watch`."""
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> int:
        """End this process group when pytest is gone; return the guard's own process id."""
        if self._process is None:
            command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
            atexit.register(self.close)
        self._tell(group)
        return self._process.pid

    def forget(self, group: int) -> None:
        """Leave this process group alone: it has ended, and its number may be given to another."""
        self._tell(-group)

    def close(self) -> None:
        """End what is still watched, and the guard."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()
            atexit.unregister(self.close)

    def _tell(self, number: int) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{number}\n".encode())
