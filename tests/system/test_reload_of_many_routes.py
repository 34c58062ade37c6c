"""Ten thousand routes: from a committed change to the router that serves it; how long it takes is benchmarks/gateway_sizes.py's."""

from pathlib import Path
from typing import Any

import pytest

from config.model import Platform
from config.upstreams import Match
from core.errors import NotFound
from core.stores import Edit
from gateway.http1.message import made_request
from gateway.kept import Kept
from gateway.pipe import Pipe
from gateway.router import Router
from registry.snapshot import build_snapshot
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.sqlite import open_sqlite

ROUTES, UPSTREAMS = 10_000, 100


def body(number: int, timeout_s: float = 10.0) -> dict[str, Any]:
    match = {"path": f"/team{number % 100}/svc{number}/{{id}}", "methods": ["GET", "POST"]}
    policies = {"timeout_s": timeout_s, "limits": [{"per_s": 5.0, "burst": 10}]}
    return {"match": match, "upstream": f"u{number % UPSTREAMS}", "policies": policies}


def entries(platform: Platform, pipes: Kept[Pipe], made: list[str]) -> list[tuple[Match, Pipe]]:
    """`made` gets the names of those whose pipe is a new one."""
    pipes.turn()

    def pipe(name: str) -> Pipe:
        route = platform.routes[name]

        def make() -> Pipe:
            made.append(name)
            return Pipe(name, (), kind="route", timeout_s=route.policies.timeout_s)

        return pipes.get(name, (route,), make)

    return [(route.match, pipe(name)) for name, route in platform.routes.items()]


@pytest.mark.slow
async def test_a_change_among_ten_thousand_routes_makes_only_what_has_changed(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "registry.db")
    resources, vault = SqlResources(database), Vault(bytes(32))
    edits = [Edit("upstream", f"u{n}", {"endpoints": [{"url": f"http://10.0.0.{n}"}]}) for n in range(UPSTREAMS)]
    await resources.commit([*edits, *(Edit("route", f"r{n}", body(n)) for n in range(ROUTES))], actor="li")
    snapshot, pipes = await build_snapshot(resources, vault, {}), Kept[Pipe]()
    router = Router(entries(snapshot.platform, pipes, []))
    for turn in range(1, 6):
        changes = [Edit("route", f"r{turn}", body(turn, timeout_s=20.0 + turn)), Edit("route", f"r{turn + 100}", None)]
        await resources.commit([*changes, Edit("route", f"new-{turn}", body(ROUTES + turn))], actor="li")
        made: list[str] = []
        snapshot = await build_snapshot(resources, vault, {}, before=snapshot)
        router.update(entries(snapshot.platform, pipes, made))
        assert sorted(made) == [f"new-{turn}", f"r{turn}"]
        assert router.find(made_request("GET", f"/team{turn}/svc{turn}/7")).timeout_s == 20.0 + turn
        assert router.find(made_request("POST", f"/team{turn}/svc{ROUTES + turn}/7")).name == f"new-{turn}"
        with pytest.raises(NotFound):
            router.find(made_request("GET", f"/team{(turn + 100) % 100}/svc{turn + 100}/7"))
    await database.close()
