"""Bad rows over HTTP (requirement 0.31)."""

import base64

import httpx
import pytest

from console.api.quarantine import best_effort_text
from core.records import BadRow
from tests.console.platform_parts import Platform

DOCUMENT = {
    "sources": {
        "points": {
            "adapter": "http_json",
            "settings": {"url": "http://127.0.0.1:1"},
            "datasets": {"member": {"object": "member", "key": ["id"], "fields": {"id": "integer", "name": "text"}}},
        }
    }
}


@pytest.mark.req("0.31")
async def test_look_mend_replay_discard(platform: Platform, operator: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    await platform.control.registry.apply(DOCUMENT, actor="test")
    await platform.reload()
    raw = '{"id": "x", "name": "王"}'.encode()
    bad = [BadRow("id: x is no integer", "row 1", raw), BadRow("id: missing", "row 2", b"{}")]
    await platform.control.quarantine.add("collect", "points.member", "SYNC20240510001", bad)
    listed = (await operator.get("/api/v1/quarantine", params={"dataset": "points.member"})).json()["items"]
    assert [row["raw_base64"] for row in listed] == [None, None]
    by_place = {row["place"]: row["id"] for row in listed}
    path = f"/api/v1/quarantine/{by_place['row 1']}"
    seen = (await operator.get(path)).json()
    assert base64.b64decode(seen["raw_base64"]) == raw
    assert "王" in seen["text"]
    assert (await viewer.get(path)).json()["text"] is None
    still = await operator.post(f"{path}/replay")
    assert (still.status_code, still.json()["code"]) == (400, "still_bad")
    assert (await operator.post(f"{path}/replay", json={"raw_base64": "%%"})).status_code == 400
    mended = base64.b64encode('{"id": 7, "name": "王"}'.encode()).decode()
    assert (await operator.post(f"{path}/replay", json={"raw_base64": mended})).json()["state"] == "replayed"
    assert (await operator.post(f"{path}/replay", json={"raw_base64": mended})).status_code == 409
    other = f"/api/v1/quarantine/{by_place['row 2']}"
    assert (await operator.post(f"{other}/discard")).status_code == 200
    assert (await operator.post(f"{other}/discard")).status_code == 409
    assert (await operator.get("/api/v1/quarantine", params={"state": "discarded"})).json()["items"][0]["id"] == by_place["row 2"]
    assert (await operator.get("/api/v1/quarantine", params={"state": "lost"})).status_code == 400
    assert (await operator.get("/api/v1/quarantine/none")).status_code == 404


def test_text_in_whatever_encoding() -> None:
    assert best_effort_text("王小明".encode("gb18030")) == "王小明"
    assert best_effort_text("王小明".encode()) == "王小明"
    assert best_effort_text(b"\xff\xff") == "\ufffd\ufffd"
