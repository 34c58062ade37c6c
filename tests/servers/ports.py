"""Free loopback ports for servers that must come back on the same one after being killed."""

import random
import socket

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): otherwise any client
# socket on the machine could occupy a killed server's port before the server is started again.
_LOWEST, _HIGHEST = 15_000, 32_000
_random = random.SystemRandom()  # seeded tests must not make two workers draw the same ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at the moment."""
    return free_port_range(1)


def free_port_range(count: int) -> int:
    """Return the first of `count` consecutive free TCP ports of 127.0.0.1."""
    while True:
        first = _random.randrange(_LOWEST, _HIGHEST - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
