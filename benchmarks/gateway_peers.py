"""Starts the gateways that are compared, ours too, one at a time, on free ports in a temporary folder; ends them by their pid."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gateway_load import GATEWAY_CORE, LOAD_CORE, filled
from benchmarks.node import descendants, free_port
from benchmarks.report import ROOT

PEERS = ROOT / "benchmarks" / "peers"
MODULES = ROOT / "build" / "peers"
_UP_S = 20.0
_TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Place:
    """Where a gateway runs: its folder, the upstream's port, the credential whose tokens it believes, how many workers."""

    folder: Path
    upstream: int
    key: str
    secret: str
    workers: int = 1
    core: str = str(GATEWAY_CORE)


@dataclass(frozen=True)
class Peer:
    """`program` has to be there; `package` says what to install. `template` becomes `<folder>/<template>`. `does_all`: it does
    what ours does, else it only proxies."""

    program: str
    package: str
    template: str
    command: Callable[[Path, int, Place], list[str]]
    does_all: bool = False
    module: str = ""  # of npm
    version: str = "latest"
    files: tuple[str, ...] = ()  # that have to be there besides


def _nginx(config: Path, port: int, place: Place) -> list[str]:
    return ["nginx", "-c", str(config), "-p", str(place.folder), "-e", str(place.folder / "start.err")]


def _node(config: Path, port: int, place: Place) -> list[str]:
    return ["node", str(config)]


def _aiohttp(config: Path, port: int, place: Place) -> list[str]:
    log = str(place.folder / "aiohttp-access.log")
    return [sys.executable, "-m", "benchmarks.peers.aiohttp_way", str(port), str(place.upstream), place.key, place.secret, log]


_LUA = ("/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so")
NGINX_PACKAGES = "nginx libnginx-mod-http-lua lua-resty-core lua-cjson"
PEERS_BY_NAME: Mapping[str, Peer] = {
    "nginx": Peer("nginx", "nginx", "nginx_plain.conf", _nginx),
    "nginx+Lua": Peer("nginx", NGINX_PACKAGES, "nginx_lua.conf", _nginx, does_all=True, files=_LUA),
    "HAProxy": Peer("haproxy", "haproxy", "haproxy.cfg", lambda config, port, place: ["haproxy", "-f", str(config)], does_all=True),
    "aiohttp": Peer(sys.executable, "aiohttp PyJWT (pip)", "", _aiohttp, does_all=True),
    "Caddy": Peer("caddy", "caddy", "Caddyfile", lambda config, port, place: ["caddy", "run", "--config", str(config)]),
    "http-proxy": Peer("node", "nodejs npm", "http_proxy.cjs", _node, module="http-proxy"),
    "fast-gateway": Peer("node", "nodejs npm", "fast_gateway.cjs", _node, module="fast-gateway", version="3.4.7"),
}


def missing(name: str) -> str:
    """Why a peer can't be run here; empty where it can. Fetches a module of npm's at its first use."""
    peer = PEERS_BY_NAME[name]
    absent = peer.program if shutil.which(peer.program) is None else next((f for f in peer.files if not Path(f).exists()), "")
    if absent:
        return f"{name} is left out: {absent} is not installed (Debian: apt-get install {peer.package})"
    if peer.module and not (MODULES / "node_modules" / peer.module).exists():
        if shutil.which("npm") is None:
            return f"{name} is left out: npm is not installed (Debian: apt-get install npm)"
        MODULES.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
            str(MODULES),
            f"{peer.module}@{peer.version}",
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=180)
        except (subprocess.SubprocessError, OSError) as error:
            return f"{name} is left out: npm could not install {peer.module} ({type(error).__name__})"
    return ""


def configured(name: str, port: int, place: Place) -> str:
    """The text of a peer's configuration."""
    values = {"PORT": str(port), "UPSTREAM": str(place.upstream), "FOLDER": str(place.folder), "WORKERS": str(place.workers)}
    values |= {"KEY": place.key, "SECRET": place.secret, "TEMP": temporary(place.folder), "USER": user()}
    return filled((PEERS / PEERS_BY_NAME[name].template).read_text(), values)


def temporary(folder: Path) -> str:
    """nginx's folders of its own, which else are the system's."""
    return " ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMP)


def user() -> str:
    """Whom nginx's workers run as: who runs this, else they could not read a temporary folder."""
    return pwd.getpwuid(os.getuid()).pw_name


@contextmanager
def running(name: str, place: Place) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """A peer for the length of the block: its port, and what gives its processes."""
    peer, port = PEERS_BY_NAME[name], free_port()
    config = place.folder / peer.template
    if peer.template:
        config.write_text(configured(name, port, place))
    environment = {"NODE_PATH": str(MODULES / "node_modules")} if peer.module else {}
    with started(peer.command(config, port, place), port, place.core, place.folder, environment) as pid:
        yield port, lambda: descendants(pid)


@contextmanager
def running_ours(place: Place, **options: object) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """Our worker put together by hand (benchmarks/peers/ours.py), with single parts switched on or off."""
    port = free_port()
    environment = {"ZHIYUN_PURE": "1"} if options.pop("pure", False) else {}
    told = {
        "port": port,
        "upstream": place.upstream,
        "key": place.key,
        "secret": place.secret,
        "folder": str(place.folder),
        **options,
    }
    command = [sys.executable, "-m", "benchmarks.peers.ours", json.dumps(told)]
    with ExitStack() as stack:
        workers = [stack.enter_context(started(command, port, place.core, place.folder, environment)) for _ in range(place.workers)]
        yield port, lambda: [pid for worker in workers for pid in descendants(worker)]


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """nginx with a fixed answer on the load's core, and behind it what takes bodies; its port."""
    port, sink = free_port(), free_port()
    values = {"PORT": str(port), "SINK": str(sink), "FOLDER": str(folder), "TEMP": temporary(folder), "USER": user()}
    config = folder / "upstream.conf"
    config.write_text(filled((PEERS / "upstream.conf").read_text(), values))
    place = Place(folder, 0, "", "")
    taker = [sys.executable, "-m", "benchmarks.peers.sink", str(sink)]
    with started(_nginx(config, port, place), port, str(LOAD_CORE), folder, {}), started(taker, sink, str(LOAD_CORE), folder, {}):
        yield port


@contextmanager
def started(command: list[str], port: int, core: str, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """A server on its core until the block ends; its pid. RuntimeError with the end of its log where it does not listen."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        _wait_listening(process, port, log)
        yield process.pid
    finally:
        _end(process)


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            time.sleep(0.2)
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"{log.name}: no server came up: {log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole session that it leads: nginx's workers too."""
    for number, grace_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                continue
        return


def with_workers(place: Place, workers: int) -> Place:
    """The same place for several workers, on both cores where there are more than one: the load then shares one with them."""
    return replace(place, workers=workers, core=str(GATEWAY_CORE) if workers == 1 else f"{GATEWAY_CORE},{LOAD_CORE}")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis without a disk on the load's core; its URL. RuntimeError where it is not installed."""
    if shutil.which("redis-server") is None:
        raise RuntimeError("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with started(command, port, str(LOAD_CORE), folder, {}):
        yield f"redis://127.0.0.1:{port}/0"
