"""Ours as it is shipped: a node of `zhiyun up` with one route, one upstream and one app whose plan refuses nothing.

Only the gateway's worker is pinned and counted; the back office, which has nothing to do meanwhile, shares the load's core.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gateway_load import GATEWAY_CORE, LOAD_CORE, make_tokens, pin
from benchmarks.node import Node, descendants
from benchmarks.node import running as running_node

_KNOWN_S = 20.0


def document(upstream: int) -> dict[str, Any]:
    """What is declared. The route asks for its scope; nothing else is switched on."""
    return {
        "plans": {"bench": {"per_s": 1_000_000, "burst": 1_000_000}},
        "upstreams": {"up": {"endpoints": [{"url": f"http://127.0.0.1:{upstream}"}]}},
        "routes": {
            "items": {"match": {"path": "/api/{rest...}"}, "upstream": "up", "policies": {"max_body_bytes": 2 << 30}},
        },
        "apps": {"bench": {"plan": "bench", "scopes": ["items:call"]}},
    }


class Credential(msgspec.Struct, frozen=True):
    key: str
    secret: str


def prepare(node: Node, upstream: int) -> Credential:
    """Declare what is measured and issue the app's key and secret."""
    for section, resources in document(upstream).items():
        for name, declared in resources.items():
            node.api("PUT", f"/{section}/{name}", declared)
    issued = node.api("POST", "/apps/bench/credentials")
    return Credential(issued["key"], issued["secret"])


def wait_known(node: Node, credential: Credential) -> None:
    """Until the gateway takes a token of the credential and the upstream answers. RuntimeError after 20 s."""
    path = node.folder / "one.token"
    make_tokens(credential.key, credential.secret, 1, path)
    request = f"GET /api/v1/items HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {path.read_text().strip()}\r\n\r\n".encode()
    until = time.monotonic() + _KNOWN_S
    answer = ""
    while time.monotonic() < until:
        answer = asked_once(node.http, request)
        if answer.startswith("HTTP/1.1 200"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the gateway does not let the benchmark in: {answer[:300]!r}")


def asked_once(port: int, request: bytes) -> str:
    """One request on a connection of its own; the first piece of the answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(request)
            return connection.recv(4096).decode("latin-1")
    except OSError as error:
        return str(error)


@contextmanager
def running_ours(
    folder: Path, credential: Credential | None, *, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Callable[[], list[int]], Node]]:
    """The node on its data folder: the gateway's port, what gives the pids of its workers, and the node."""
    with running_node(folder, sample=False, options=options, environment=environment) as node:
        workers = gateways(node)
        others = [pid for pid in descendants(node.process.pid) if pid not in workers]
        pin(others, LOAD_CORE)
        if len(workers) == 1:
            pin(workers, GATEWAY_CORE)
        if credential is not None:
            wait_known(node, credential)
        yield node.http, lambda: gateways(node), node


def gateways(node: Node) -> list[int]:
    """The pids of the gateway's workers."""
    return [pid for pid in descendants(node.process.pid) if _is_gateway(pid)]


def _is_gateway(pid: int) -> bool:
    try:
        return b"server.gateway_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def can_pin() -> bool:
    """Whether gateway and load can have a core each."""
    return len(os.sched_getaffinity(0)) >= 2
