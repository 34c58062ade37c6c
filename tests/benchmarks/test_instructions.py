"""What the counting of instructions starts, and what it makes of the load's output."""

import json
from pathlib import Path

import pytest

from benchmarks.gateway_peers import Place
from benchmarks.instructions import NAMES, NO_METRICS, command, requests_of


def test_requests_are_counted_only_where_all_were_answered() -> None:
    assert requests_of("  7058 requests in 10.02s, 2.80MB read\n  99%    1.24s ") == 7058
    for text in ("7058 requests in 10.02s\n  Non-2xx or 3xx responses: 1", "unable to connect"):
        with pytest.raises(RuntimeError, match="the load failed"):
            requests_of(text)


def test_each_gateway_is_one_process_that_valgrind_can_hold(tmp_path: Path) -> None:
    place = Place(tmp_path, 9, "ak_1", "secret")
    theirs, ours = (command(name, place, 8080) for name in NAMES)
    assert theirs[-2:] == ["-g", "master_process off;"]
    assert "daemon off" in (tmp_path / "counted.conf").read_text()
    told = {"port": 8080, "upstream": 9, "key": "ak_1", "secret": "secret", "folder": str(tmp_path)}
    assert json.loads(ours[-1]) == told | {"metrics": True}
    assert json.loads(command(NO_METRICS, place, 8080)[-1]) == told | {"metrics": False}
