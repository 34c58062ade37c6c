"""A signature counts once on a node of two workers without Redis, whichever worker it comes to, and after a restart too."""

import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.gateway.signing import hmac_with, signed_request
from tests.system.gateway import Gateway, Login


def _signed(gateway: Gateway, login: Login) -> dict[str, str]:
    made = signed_request(
        url=f"{gateway.url}/usage", sign=hmac_with(login.secret), keyid=login.key, nonce=uuid4().hex, created=int(time.time())
    )
    return {name: made.headers[name] for name in ("signature-input", "signature")}


@pytest.mark.req("0.30")
def test_a_signature_is_taken_once_by_all_workers_together(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", workers=2)
    try:
        gateway.start()
        login = gateway.app()
        signatures = [_signed(gateway, login) for _ in range(5)]
        for headers in signatures:
            answers = gateway.on_each_worker("/usage", headers)
            assert answers[0].status_code == 200
            assert {each.json().get("code") for each in answers[1:]} == {"replayed"}
        assert gateway.node.stop() == 0
        gateway.node.start()
        gateway.settle()
        again = [each for headers in signatures for each in gateway.on_each_worker("/usage", headers)]
        assert {each.json().get("code") for each in again} == {"replayed"}
        assert gateway.get("/usage", headers=_signed(gateway, login)).status_code == 200
    finally:
        gateway.close()
