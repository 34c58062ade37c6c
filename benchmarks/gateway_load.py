"""Load and what it cost: wrk's figures, CPU time of the gateway's processes from /proc, steal and business of the cores.

The gateway's processes are pinned to one core, wrk and the upstream to another. A run is clean while less than 3 % of either core
was stolen by other guests of the machine, and less than 5 % of the gateway's core was used by other programs of this one: they push
its data out of the caches, so that the same work takes longer.
"""

import base64
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

GATEWAY_CORE, LOAD_CORE = 0, 1
KINDS = ("unique", "known", "ids", "repeated")
UNIQUE_TOKENS, KNOWN_TOKENS = 70_000, 20_000
CLEAN, ALONE = 0.03, 0.05
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_PEERS = Path(__file__).parent / "peers"


class Run(Struct):
    """One variant under one load. Latencies in ms, CPU in µs per request over all processes of the gateway; `steal` and `busy` are
    the worst core's share stolen, and the gateway core's share used; `foreign` is its share used by others."""

    name: str
    kind: str
    round: int
    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    steal: float
    busy: float
    failures: int
    foreign: float = 0.0

    @property
    def is_clean(self) -> bool:
        return self.steal < CLEAN and self.foreign < ALONE and not self.failures


def make_tokens(key: str, secret: str, count: int, path: Path) -> None:
    """`count` different JWTs that the app signs itself (HS256 with its AppSecret), one a line, good for 55 minutes."""
    now = int(time.time())
    front = _packed(b'{"alg":"HS256","typ":"JWT"}') + b"."
    lines = []
    for number in range(count):
        claims = {"iss": key, "sub": key, "aud": "zhiyun", "iat": now, "exp": now + 3300, "jti": f"bench-{number:06d}"}
        signed = front + _packed(json.dumps(claims, separators=(",", ":")).encode())
        lines.append(signed + b"." + _packed(hmac.digest(secret.encode(), signed, hashlib.sha256)) + b"\n")
    path.write_bytes(b"".join(lines))


def _packed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def make_scripts(folder: Path, key: str, secret: str, path: str = "/api/v1/items") -> None:
    """wrk's script of each kind, `<folder>/<kind>.lua`, and the tokens they take."""
    make_tokens(key, secret, UNIQUE_TOKENS, folder / "unique.tokens")
    make_tokens(key, secret, KNOWN_TOKENS, folder / "known.tokens")
    template = (_PEERS / "requests.lua").read_text()
    for kind in KINDS:
        tokens = folder / ("unique.tokens" if kind == "unique" else "known.tokens")
        values = {"KIND": kind, "PATH": path, "TOKENS": str(tokens), "SEED": str(random.randrange(1 << 30))}
        (folder / f"{kind}.lua").write_text(filled(template, values))


def filled(template: str, values: dict[str, str]) -> str:
    """`@NAME@` → its value. KeyError for a name without one."""
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], template)


def wrk(port: int, script: Path, seconds: float, connections: int = 64) -> str:
    """What wrk prints. Whole seconds are all it knows."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["--timeout", "5s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def parsed(text: str) -> tuple[int, float, float, float, int]:
    """Requests, requests/s, p50 and p99 in ms, failures (other statuses and socket errors) of wrk's output. ValueError where it is
    no such output."""
    found = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec:\s+([\d.]+)", text)
    latencies = [re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", text, re.M) for share in (50, 99)]
    if not all(found) or not all(latencies):
        raise ValueError(f"wrk printed no figures: {text[-500:]!r}")
    requests, per_s = (float(match[1]) for match in found if match)
    p50, p99 = (float(match[1]) * _UNITS[match[2]] for match in latencies if match)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    failures = (int(other[1]) if other else 0) + (sum(map(int, re.findall(r"\d+", errors[1]))) if errors else 0)
    return int(requests), per_s, p50, p99, failures


def cpu_us(pids: Iterable[int]) -> float:
    """CPU time so far of all threads of the processes, from the scheduler's own accounting (nanoseconds, no ticks)."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1000


def cores() -> dict[int, tuple[int, int, int]]:
    """Core → ticks in all, used, stolen."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        if match := re.match(r"cpu(\d+) (.*)", line):
            ticks = list(map(int, match[2].split()[:8]))
            total, idle = sum(ticks), ticks[3] + ticks[4]
            found[int(match[1])] = total, total - idle, ticks[7]
    return found


def pin(pids: Iterable[int], core: int) -> None:
    """All threads of the processes onto one core."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def measure(name: str, port: int, pids: Callable[[], list[int]], kind: str, folder: Path, turn: int, seconds: float) -> Run:
    """One run after a warm-up (two seconds where caches of tokens have to fill)."""
    script = folder / f"{kind}.lua"
    wrk(port, script, 2 if kind == "known" else 1)
    counted = pids()
    before, cpu, started = cores(), cpu_us(counted), time.monotonic()
    requests, per_s, p50, p99, failures = parsed(wrk(port, script, seconds))
    spent, after, seconds = cpu_us(counted) - cpu, cores(), time.monotonic() - started
    shares = {core: _shares(before[core], after[core]) for core in (GATEWAY_CORE, LOAD_CORE) if core in after}
    steal = max(share for _, share in shares.values())
    busy = shares[GATEWAY_CORE][0]
    foreign = max(0.0, busy - spent / 1e6 / seconds) if len(os.sched_getaffinity(counted[0])) == 1 else 0.0
    return Run(name, kind, turn, requests, per_s, p50, p99, spent / requests, steal, busy, failures, foreign)


def _shares(before: tuple[int, int, int], after: tuple[int, int, int]) -> tuple[float, float]:
    total, used, stolen = (new - old for new, old in zip(after, before, strict=True))
    return (used / total, stolen / total) if total else (0.0, 0.0)


def memory_kb(pid: int) -> int:
    """Resident memory of a process that it shares with nobody counts whole, what it shares counts by its share (Pss)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])


def pairs(runs: Iterable[Run]) -> dict[tuple[str, int], dict[str, Run]]:
    """(kind, round) → name → its run."""
    ordered = sorted(runs, key=lambda run: (run.kind, run.round))
    grouped = itertools.groupby(ordered, lambda run: (run.kind, run.round))
    return {key: {run.name: run for run in group} for key, group in grouped}
