"""The ways to tell a contact: a webhook, a WeCom group robot, mail. Each says it once; whoever calls tries again.

The URLs are secrets: they stand in no error and no log.
"""

import asyncio
import json
import smtplib
import ssl
import time
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from config.check_webhooks import signing_key
from config.contacts import Contact, Mail
from core.errors import InvalidInput, NotConnected, PlatformError, Unavailable
from core.secret import Secret
from exchange.posting import signatures

if TYPE_CHECKING:
    import aiohttp

_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 65_536
_MAX_WECOM_BYTES = 4_000  # of a markdown message: 4096


class Message:
    """What is to be said: `subject` in a line, `text` in a few, `event` as JSON for machines. `id` is the same in a repeat."""

    def __init__(self, message_id: str, subject: str, text: str, event: dict[str, Any]) -> None:
        self.id = message_id
        self.subject = subject
        self.text = text
        self.event = event


async def tell(contact: Contact, message: Message) -> list[str]:
    """Tell by every way; what failed, a line each, empty where all went well. Never raises."""
    ways: list[tuple[str, Callable[[], Awaitable[None]]]] = []
    if (webhook := contact.webhook) is not None:
        ways.append(("webhook", lambda: _webhook(webhook, contact.webhook_secret, message)))
    if (wecom := contact.wecom) is not None:
        ways.append(("wecom", lambda: _wecom(wecom, message)))
    if (mail := contact.mail) is not None:
        ways.append(("mail", lambda: _mail(mail, message)))
    failures = []
    for name, way in ways:
        try:
            await way()
        except PlatformError as error:
            failures.append(f"{name}: {error.detail}")
    return failures


async def _webhook(url: Secret, secret: Secret | None, message: Message) -> None:
    body = json.dumps(message.event, ensure_ascii=False).encode()
    now = int(time.time())
    headers = {"Content-Type": "application/json", "webhook-id": message.id, "webhook-timestamp": str(now)}
    if secret is not None:
        headers["webhook-signature"] = signatures([_key(secret)], message.id, now, body)
    await _post(url, body, headers)


def _key(secret: Secret) -> bytes:
    try:
        return signing_key(secret.reveal())
    except ValueError as error:
        raise InvalidInput(f"webhook_secret: {error}") from None


async def _wecom(url: Secret, message: Message) -> None:
    content = f"**{message.subject}**\n{message.text}".encode()[:_MAX_WECOM_BYTES].decode("utf-8", "ignore")
    body = json.dumps({"msgtype": "markdown", "markdown": {"content": content}}, ensure_ascii=False).encode()
    answer = await _post(url, body, {"Content-Type": "application/json"})
    try:
        code = json.loads(answer)["errcode"]
    except (ValueError, KeyError, TypeError):
        raise Unavailable("the robot answered what is no JSON of its kind") from None
    if code != 0:
        raise Unavailable(f"the robot refused: errcode {code}")


async def _post(url: Secret, body: bytes, headers: dict[str, str]) -> bytes:
    import aiohttp

    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url.reveal(), data=body, headers=headers, allow_redirects=False) as answer,
        ):
            content = await answer.content.read(_MAX_ANSWER_BYTES)
            if not 200 <= answer.status < 300:
                raise Unavailable(f"it answered {answer.status}")
            return content
    except TimeoutError:
        raise NotConnected(f"no answer within {_TIMEOUT_S:g} s") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise NotConnected(_cause(error)) from None


def _cause(error: "aiohttp.ClientError | ValueError | OSError") -> str:
    """Its kind alone: the text of most holds the URL."""
    return f"it could not be reached ({type(error).__name__})"


async def _mail(mail: Mail, message: Message) -> None:
    await asyncio.to_thread(_send_mail, mail, message)


def _send_mail(mail: Mail, message: Message) -> None:
    made = EmailMessage()
    made["From"], made["To"] = mail.sender, ", ".join(mail.to)
    made["Subject"] = message.subject.replace("\n", " ").replace("\r", " ")
    made["Message-ID"] = f"<{message.id}@zhiyun>"  # a repeat is seen as one by those who look
    made.set_content(message.text)
    where = f"{mail.host}:{mail.port}"
    try:
        with _connected(mail) as server:
            if mail.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if mail.user:
                server.login(mail.user, mail.password.reveal() if mail.password else "")
            server.send_message(made)
    except smtplib.SMTPAuthenticationError as error:
        raise Unavailable(f"{where} does not take the user's password ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        raise Unavailable(f"{where} refused: {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotConnected(f"{where}: {type(error).__name__}") from None


def _connected(mail: Mail) -> smtplib.SMTP:
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
    return smtplib.SMTP(mail.host, mail.port, timeout=_TIMEOUT_S)
