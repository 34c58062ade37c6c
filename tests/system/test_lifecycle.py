"""What a node survives, how it ends, and what it refuses at the start."""

import os
import re
import signal
import threading
from typing import Any

import httpx
import pytest

from config.address import Address
from tests.system.conftest import NodeMaker
from tests.system.node import Node, at_source, changed, credential_of, eventually, manifest_of, run_once, runs


def _refused(node: Node) -> str:
    """The one line with which a node that can't start ends."""
    node.begin()
    assert node.wait() == 1
    lines = [line for line in node.output().splitlines() if line.startswith("zhiyun: ")]
    assert len(lines) == 1, node.output()
    assert "Traceback" not in node.output()
    return lines[0]


def test_a_killed_gateway_worker_comes_back(own_node: Node) -> None:
    worker = own_node.process("server.gateway_process")
    with own_node.app() as app:
        os.kill(worker, signal.SIGKILL)
        eventually("requests work again", lambda: app.get("/v1/customers/K0000001").status_code == 200)
    assert own_node.process("server.gateway_process") != worker
    assert "gateway ended (status -9); started again" in own_node.output()


def test_who_comes_while_the_only_worker_is_dead_waits_and_is_answered(own_node: Node) -> None:
    os.kill(own_node.process("server.gateway_process"), signal.SIGKILL)
    with httpx.Client(base_url=f"http://{own_node.settings.http}", timeout=httpx.Timeout(20, connect=2)) as client:
        assert client.get("/healthz").status_code == 200, "neither refused nor reset"
    assert "started again" in own_node.output()


def test_a_killed_back_office_comes_back_while_the_gateway_serves_on(own_node: Node) -> None:
    office = own_node.process("server.back_office")
    with own_node.app() as app:
        os.kill(office, signal.SIGKILL)
        assert app.get("/v1/customers/K0000001").status_code == 200
    eventually("the console answers again", lambda: _answers(own_node))
    with own_node.operator() as operator:
        assert run_once(operator, "buildings")["state"] == "succeeded"


def test_killed_deliveries_come_back_and_bring_everything(own_node: Node) -> None:
    deliveries = own_node.process("server.delivery_process")
    with own_node.operator() as operator, own_node.app() as app:
        os.kill(deliveries, signal.SIGKILL)
        at_source(
            own_node,
            "sales",
            "UPDATE Customer SET Status = '归来', UpdatedAt = '2031-01-01 00:00:00.000' WHERE CustomerID = 'K0000007'",
        )
        # By this run or by one that its schedule began just before.
        assert run_once(operator, "customers")["state"] == "succeeded"
        eventually("the change is mirrored", lambda: app.get("/v1/customers/K0000007").json()["status"] == "归来")
        eventually("the bus is empty", lambda: not operator.get("/bus").json()["depth"]["mirror"])
    assert own_node.process("server.delivery_process") != deliveries


def _answers(node: Node) -> bool:
    """With the token of the moment: a back office that starts issues a new one."""
    with node.operator() as operator:
        return operator.get("/jobs").status_code == 200


@pytest.mark.req("0.41")
def test_a_node_that_lost_its_power_goes_on_where_it_stood(own_node: Node) -> None:
    login = credential_of(own_node)
    with own_node.operator() as operator:
        before = {run["batch_id"]: run for run in operator.get("/runs?limit=1000").json()["items"]}
    own_node.kill()
    own_node.start()
    assert credential_of(own_node) == login
    assert "password shown at the first start" in own_node.output(), "made once"
    with own_node.app(login) as app, own_node.operator() as operator:
        assert app.get("/v1/customers/K0000001").status_code == 200
        eventually("customers is collected again", lambda: runs(operator, "customers")[0]["batch_id"] not in before)
        after = operator.get("/runs?limit=1000").json()["items"]
        fresh = [run for run in after if run["batch_id"] not in before]
        assert {run["batch_id"] for run in after} >= set(before), "the sync log is kept"
        assert min(run["batch_id"] for run in fresh) > max(before), "numbers go on"
        assert "tickets-history" not in {run["job"] for run in fresh}, "what is done once is not done again"
        assert sum(run["rows"] for run in fresh if run["job"] == "customers") < manifest_of(own_node)["customers"] / 10


def test_a_second_node_on_the_same_folder_or_ports_is_refused(own_node: Node, make_node: NodeMaker) -> None:
    same_folder = make_node(is_sample=False)
    same_folder.settings = changed(same_folder.settings, data_dir=own_node.folder)
    line = _refused(same_folder)
    assert str(own_node.folder) in line
    assert "another node is running on it" in line
    for option in ("http", "console"):
        taken: dict[str, Any] = {option: getattr(own_node.settings, option)}
        line = _refused(make_node(is_sample=False, **taken))
        assert f"--{option} {taken[option]}" in line
    with own_node.app() as app:
        assert app.get("/v1/customers/K0000001").status_code == 200


def test_both_signals_drain_end_with_0_and_leave_nothing(own_node: Node) -> None:
    reading = threading.Event()
    lost: list[str] = []

    def read() -> None:
        with own_node.app() as app, app.stream("GET", "/v1/customers/changes", headers={"Accept": "text/event-stream"}) as feed:
            for _ in feed.iter_lines():
                reading.set()
            lost.append("ended properly")

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(60)
    assert own_node.stop(signal.SIGINT) == 0
    reader.join(60)
    assert lost == ["ended properly"], "a stream ends with a last chunk, not with a broken connection"
    assert own_node.processes() == {}
    own_node.start()
    assert own_node.stop(signal.SIGTERM) == 0
    assert own_node.processes() == {}
    assert "was killed" not in own_node.output()
    own_node.start()


def test_a_signal_to_the_whole_group_starts_nothing_again(own_node: Node) -> None:
    os.killpg(own_node.pid, signal.SIGTERM)  # what `timeout`, systemd and a closed terminal send
    assert own_node.wait() == 0
    assert own_node.processes() == {}
    said = own_node.output().partition("draining")[2]
    assert "started again" not in said
    own_node.start()


def test_port_0_takes_a_free_one_and_tells_it(make_node: NodeMaker) -> None:
    node = make_node(is_sample=False, http=Address("127.0.0.1", 0), public_url="http://127.0.0.1:0").start()
    found = re.search(r"Gateway \S+ +(http://127\.0\.0\.1:\d+)", node.output())
    assert found is not None
    assert httpx.get(f"{found[1]}/healthz").text == "ok\n"


def test_a_node_that_is_told_to_end_while_it_restarts_a_child_ends(make_node: NodeMaker) -> None:
    node = make_node(is_sample=False).start()
    os.kill(node.process("server.gateway_process"), signal.SIGKILL)
    node.wait_for("started again in")
    assert node.stop() == 0
    assert node.processes() == {}


def test_ctrl_c_during_the_start_ends_it_too(make_node: NodeMaker) -> None:
    node = make_node()
    node.begin()
    eventually("its first child", lambda: len(node.processes()) > 1)
    assert node.stop(signal.SIGINT) == 0
    eventually("nothing is left", lambda: not node.processes())


@pytest.mark.parametrize("name", ["platform.db", "mirror.db", "bus.db"])
def test_a_damaged_file_is_named_and_left_alone(make_node: NodeMaker, name: str) -> None:
    node = make_node(is_sample=False)
    node.folder.mkdir()
    wreck = b"SQLite format 3\0" + b"\xa5" * 8000
    (node.folder / name).write_bytes(wreck)
    line = _refused(node)
    assert str(node.folder / name) in line
    assert "restore it from a backup" in line
    assert (node.folder / name).read_bytes() == wreck
