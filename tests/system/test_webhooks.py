"""Webhooks to a real receiver: the platform killed while it delivers, a private address, dead letters, 410 (issue 4)."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.exchange.receiver import SECRET, is_signed
from tests.system.node import Node, at_source, eventually, run_once, settle

_DAYS = itertools.count(1)


class Receiver:
    """Takes what is signed; `status` is what it answers, `got` all that it was sent: (webhook-id, status, event)."""

    def __init__(self) -> None:
        self.url = ""
        self.status: Callable[[dict[str, Any]], int] = lambda event: 204
        self.pause_s = 0.0
        self.got: list[tuple[str, int, dict[str, Any]]] = []
        self.forged = 0

    def values(self, field: str) -> dict[str, set[Any]]:
        """By room, the values of a field that were taken; what comes twice under one id counts once."""
        found: dict[str, set[Any]] = {}
        for _, status, event in list(self.got):
            for record in event["data"].get("records", []) if status < 300 else []:
                found.setdefault(record["room_id"], set()).add(record.get(field))
        return found


@contextmanager
def _receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if is_signed(SECRET, self.headers, body):
                event = json.loads(body)
                time.sleep(receiver.pause_s)
                status = receiver.status(event)
                receiver.got.append((self.headers["webhook-id"], status, event))
            else:
                receiver.forged += 1
                status = 401
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None: ...  # the sender was killed

    server = Server(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def _declare(node: Node, operator: httpx.Client, url: str, **changed: Any) -> None:
    hook = {"url": url, "secrets": [SECRET], "services": ["rooms"], "app": "sample-app", "allow_private": ["127.0.0.0/8"]}
    body = {**hook, "first_delay_s": 0.2, "max_delay_s": 1.0, "retry_s": 600.0, **changed}
    answer = operator.put("/webhooks/partner", json=body)
    assert answer.status_code in (200, 201), answer.text
    assert SECRET not in answer.text
    settle(node, "deliveries")
    eventually(
        "it listens", lambda: any(each.startswith("webhook:partner:rooms:") for each in operator.get("/bus").json()["depth"])
    )


def _touch(node: Node, layout: str, *, limit: int = 10_000) -> set[str]:
    """Change rooms at the source; their ids. Their stamps rise with each change."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 86_400 * next(_DAYS)))
    rooms = {row[0] for row in at_source(node, "property", "SELECT room_id FROM room ORDER BY room_id LIMIT ?", limit)}
    for room in rooms:
        at_source(node, "property", "UPDATE room SET layout = ?, updated_at = ? WHERE room_id = ?", layout, stamp, room)
    return rooms


def _depth(operator: httpx.Client) -> int:
    depth = operator.get("/bus").json()["depth"]
    return sum(count for name, count in depth.items() if name.startswith("webhook:partner:"))


def _metric(node: Node, name: str) -> float:
    text = httpx.get(f"http://{node.settings.console}/metrics", timeout=20).text
    return next(
        (float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f'{name}{{webhook="partner"')), -1.0
    )


@pytest.mark.req("0.33")
def test_each_change_arrives_though_the_platform_is_killed_while_it_delivers(own_node: Node) -> None:
    with _receiving() as receiver:
        receiver.pause_s = 0.02
        turn = [0]

        def now_and_then(event: dict[str, Any]) -> int:
            turn[0] += 1
            return 503 if turn[0] % 10 == 0 else 204

        receiver.status = now_and_then
        with own_node.operator() as operator:
            assert run_once(operator, "rooms")["state"] in ("succeeded", "partial")
            _declare(own_node, operator, receiver.url)
            rooms = _touch(own_node, "killed")
            assert len(rooms) > 100
            assert run_once(operator, "rooms")["state"] in ("succeeded", "partial")
        for share in (0.2, 0.5):
            enough = int(share * len(rooms))

            def are_under_way(enough: int = enough) -> bool:
                return len(receiver.values("layout")) > enough

            eventually("deliveries are under way", are_under_way)
            assert len(receiver.values("layout")) < len(rooms), "killed in the middle"
            own_node.kill()
            own_node.start()

        def have_come() -> bool:
            return {room for room, layouts in receiver.values("layout").items() if "killed" in layouts} >= rooms

        eventually("every change arrived", have_come, within_s=120)
        with own_node.operator() as operator:
            eventually("nothing is left", lambda: _depth(operator) == 0)
            eventually("nothing waits", lambda: _metric(own_node, "zhiyun_webhook_waiting") == 0)
            assert operator.get("/bus").json()["dead_letters"] == 0
        assert receiver.forged == 0
        taken = [message_id for message_id, status, event in receiver.got if status < 300]
        by_id: dict[str, list[dict[str, Any]]] = {}
        for message_id, _, event in receiver.got:
            by_id.setdefault(message_id, []).append(event)
        assert len(set(taken)) == len(by_id), "each message was taken in the end"
        assert all(each == events[0] for events in by_id.values() for each in events), "what comes twice is the same"
        assert _metric(own_node, "zhiyun_webhook_failed_total") > 0
        assert _metric(own_node, "zhiyun_webhook_delivered_total") > 0


def test_the_owners_masks_hold_and_a_dead_letter_is_redelivered(own_node: Node) -> None:
    with _receiving() as receiver, own_node.operator() as operator:
        receiver.status = lambda event: 500
        grant = {"grants": {"rooms": {"fields": ["room_id", "layout"], "masks": {"layout": {"keep_first": 1}}}}}
        assert operator.patch("/apps/sample-app", json=grant).status_code == 200
        _declare(own_node, operator, receiver.url, retry_s=2.0)
        (room,) = _touch(own_node, "masked-as-it-should-be", limit=1)
        run_once(operator, "rooms")
        letters = eventually("it is dead", lambda: operator.get("/bus/dead-letters").json()["items"])
        assert "it answered 500" in json.dumps(letters)
        receiver.status = lambda event: 204
        assert operator.post(f"/bus/dead-letters/{letters[0]['id']}/redeliver").status_code in (200, 202, 204)
        eventually("it came", lambda: receiver.values("layout"))
        record = receiver.got[-1][2]["data"]["records"][0]
        assert record == {"room_id": room, "layout": "m" + "*" * (len("masked-as-it-should-be") - 1)}
        assert len({message_id for message_id, _, _ in receiver.got}) == 1
        assert operator.patch("/apps/sample-app", json={"grants": None}).status_code == 200


def test_a_private_address_is_refused_unless_it_is_listed(own_node: Node) -> None:
    with _receiving() as receiver, own_node.operator() as operator:
        plain = {"url": receiver.url, "secrets": [SECRET], "services": ["rooms"], "app": "sample-app"}
        answer = operator.put("/webhooks/partner", json=plain)
        assert answer.status_code in (400, 422), "plain http needs allow_private"
        weak = operator.put("/webhooks/partner", json={**plain, "url": "https://partner.example/", "secrets": ["short"]})
        assert (weak.status_code, "24 to 64 bytes" in weak.text, "short" in weak.text) == (422, True, False)
        _declare(own_node, operator, receiver.url, allow_private=["10.0.0.0/8"], retry_s=1.0)
        _touch(own_node, "private", limit=1)
        run_once(operator, "rooms")
        letters = eventually("it is dead", lambda: operator.get("/bus/dead-letters").json()["items"])
        assert "its address is not public" in json.dumps(letters)
        assert (receiver.got, receiver.forged) == ([], 0)
        for letter in letters:
            assert operator.post(f"/bus/dead-letters/{letter['id']}/discard").status_code == 200


def test_410_ends_it_and_removing_it_leaves_nothing(own_node: Node) -> None:
    with _receiving() as receiver, own_node.operator() as operator:
        receiver.status = lambda event: 410
        _declare(own_node, operator, receiver.url)
        _touch(own_node, "gone", limit=3)
        run_once(operator, "rooms")
        eventually("it is said", lambda: _metric(own_node, "zhiyun_webhook_gone") == 1)
        asked = len(receiver.got)
        _touch(own_node, "gone again", limit=3)
        run_once(operator, "rooms")
        time.sleep(2)
        assert len(receiver.got) == asked
        assert _depth(operator) > 0, "it is kept"
        assert operator.delete("/webhooks/partner").status_code in (200, 204)

        def is_forgotten() -> bool:
            return not any(name.startswith("webhook:") for name in operator.get("/bus").json()["depth"])

        eventually("its subscription is gone", is_forgotten)
        eventually("its figures are gone", lambda: _metric(own_node, "zhiyun_webhook_gone") == -1)
