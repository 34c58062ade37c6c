"""Contacts are told by real servers: a webhook with its signature, a robot, a mail server; what fails is said without the URL."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from config.contacts import Contact, Mail
from core.secret import Secret
from exchange.notify import Message, tell
from tests.exchange.listeners import mailbox, posts
from tests.servers.certificate import self_signed
from tests.servers.ports import free_port

pytestmark = pytest.mark.req("2.12")
_MESSAGE = Message(
    "i1-raised", "job 夜间 failed\r\nBcc: thief@example.test", "reason: 源不可用", {"event": "incident.raised", "subject": "夜间"}
)


def _mail(port: int, **more: Any) -> Contact:
    mail = Mail("127.0.0.1", "zhiyun@example.test", ("ops@example.test", "dev@example.test"), port=port, user="zhiyun", **more)
    return Contact(mail=mail)


@pytest.mark.parametrize("secret", ["s3cret", f"whsec_{base64.b64encode(b's3cret').decode()}"])
async def test_a_webhook_gets_signed_json(secret: str) -> None:
    async with posts() as listener:
        contact = Contact(webhook=Secret(f"{listener.url}/hook?token=t0ken"), webhook_secret=Secret(secret))
        assert await tell(contact, _MESSAGE) == []
        ((_, headers, body),) = listener.got
    assert json.loads(body) == _MESSAGE.event
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"s3cret", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == "i1-raised"


async def test_a_secret_that_is_no_key_is_told_without_it() -> None:
    contact = Contact(webhook=Secret("http://127.0.0.1:9/"), webhook_secret=Secret("whsec_s3cret!"))
    assert await tell(contact, _MESSAGE) == ["webhook: webhook_secret: what follows whsec_ is no base64"]


async def test_a_robot_gets_markdown_and_its_refusal_is_a_failure() -> None:
    async with posts() as listener:
        contact = Contact(wecom=Secret(f"{listener.url}/robot?key=k3y"))
        long = Message("i2", "job x failed", "很长" * 5_000, {})
        assert await tell(contact, long) == []
        sent = json.loads(listener.got[0][2])
        assert sent["msgtype"] == "markdown"
        assert sent["markdown"]["content"].startswith("**job x failed**")
        assert len(sent["markdown"]["content"].encode()) <= 4_096
        listener.errcode = 93000
        assert await tell(contact, long) == ["wecom: the robot refused: errcode 93000"]
        listener.status = 500
        assert await tell(contact, long) == ["wecom: it answered 500"]


async def test_what_fails_does_not_keep_the_other_ways_and_shows_no_url() -> None:
    dead = f"http://127.0.0.1:{free_port()}/hook?token=t0ken"
    async with posts() as listener:
        contact = Contact(webhook=Secret(dead), wecom=Secret(f"{listener.url}/robot"))
        failures = await tell(contact, _MESSAGE)
        assert len(listener.got) == 1
    assert failures == ["webhook: it could not be reached (ClientConnectorError)"]
    for odd in ("no url at all", "ftp://127.0.0.1/x", "http://"):
        (failure,) = await tell(Contact(webhook=Secret(odd)), _MESSAGE)
        assert odd not in failure


async def test_mail_goes_by_a_checked_tls_and_a_line_break_makes_no_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    async with mailbox(certificate=certificate) as box:
        contact = _mail(box.port, password=Secret(box.password))
        assert await tell(contact, _MESSAGE) == [f"mail: 127.0.0.1:{box.port}: SSLCertVerificationError"]
        assert box.messages == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
        assert await tell(contact, _MESSAGE) == []
        (message,) = box.messages
        assert box.was_safe == [True]
        assert message["Subject"] == "job 夜间 failed  Bcc: thief@example.test"
        assert message["Bcc"] is None
        assert (message["To"], message["Message-ID"]) == ("ops@example.test, dev@example.test", "<i1-raised@zhiyun>")
        assert message.get_content().strip() == "reason: 源不可用"


async def test_a_mail_server_that_refuses_is_said_so() -> None:
    async with mailbox() as box:
        wrong = await tell(_mail(box.port, security="none", password=Secret("wr0ng")), _MESSAGE)
        assert wrong == [f"mail: 127.0.0.1:{box.port} does not take the user's password (535)"]
        assert "wr0ng" not in wrong[0]
        assert await tell(_mail(box.port, password=Secret(box.password)), _MESSAGE) == [
            f"mail: 127.0.0.1:{box.port}: SMTPNotSupportedError"
        ]
        box.refuses = True
        (refused,) = await tell(_mail(box.port, security="none", password=Secret(box.password)), _MESSAGE)
        assert refused.startswith(f"mail: 127.0.0.1:{box.port} refused: 550") or "SMTPRecipientsRefused" in refused
